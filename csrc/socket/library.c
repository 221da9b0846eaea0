/* SPDX-License-Identifier: MIT */
/* What concerns the process and no context: setting up, forks, errors, what there is. */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/map.h"
#include "fastmq.h"
#include "net/borrow.h"
#include "os/clock.h"
#include "os/fork.h"
#include "os/net.h"
#include "os/poller.h"
#include "os/random.h"
#include "reactor/decref_queue.h"
#include "socket/ctx_list.h"
#include "socket/registry.h"
#include "socket/window.h"
#include "wire/crypto.h"

static void before_fork(void)
{
    window_fork_prepare();
    ctx_list_fork_prepare();
    borrow_before_fork();
    decref_queue_fork_prepare();
    net_fork_prepare();
}

static void forked_parent(void)
{
    net_fork_parent();
    decref_queue_fork_done();
    ctx_list_fork_parent();
    window_fork_parent();
}

static void forked_child(void)
{
    net_close_all_after_fork();
    decref_queue_fork_done();
    ctx_list_fork_child();
    window_fork_child();
}

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;

static void setup(void)
{
    uint64_t seed;
    random_bytes(&seed, sizeof(seed));
    map_seed(seed);
    clock_setup();
    fork_handlers(before_fork, forked_parent, forked_child);
}

int fmq_setup(void)
{
    pthread_once(&setup_once, setup);
    return 0;
}

const char *fmq_strerror(int err)
{
    return error_text(err);
}

const char *fmq_last_detail(void)
{
    return detail_text();
}

long fmq_open_fds(void)
{
    return net_fd_count();
}

long fmq_live_blocks(void)
{
    return mem_live();
}

int fmq_readable(int fd)
{
    return poller_shows(fd);
}

const char *fmq_poller_name(void)
{
    return poller_name();
}

int fmq_has(const char *capability)
{
    return transport_exists(capability) || strcmp(capability, "draft") == 0 ||
           (strcmp(capability, "curve") == 0 && crypto_get());
}
