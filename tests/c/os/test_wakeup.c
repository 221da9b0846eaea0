/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>

#include "os/net.h"
#include "os/thread.h"
#include "os/wakeup.h"

static bool readable(const struct wakeup *w)
{
    struct pollfd p = {.fd = w->rfd, .events = POLLIN};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents & POLLIN;
}

TEST(is_readable_from_signal_to_drain)
{
    struct wakeup w;
    CHECK_EQ(wakeup_init(&w), 0);
    CHECK(!readable(&w));
    wakeup_signal(&w);
    CHECK(readable(&w));
    CHECK(readable(&w));
    wakeup_drain(&w);
    CHECK(!readable(&w));
    wakeup_drain(&w); /* of nothing: does not block */
    wakeup_fini(&w);
}

TEST(many_signals_are_one_wake_up_and_never_block)
{
    struct wakeup w;
    CHECK_EQ(wakeup_init(&w), 0);
    for (int i = 0; i < 100000; i++)
        wakeup_signal(&w);
    CHECK(readable(&w));
    wakeup_drain(&w);
    CHECK(!readable(&w));
    wakeup_fini(&w);
}

static void signal_it(void *arg)
{
    wakeup_signal(arg);
}

TEST(wakes_a_sleeper_of_another_thread)
{
    struct wakeup w;
    struct thread t;
    CHECK_EQ(wakeup_init(&w), 0);
    CHECK_EQ(thread_start(&t, signal_it, &w, "signal"), 0);
    struct pollfd p = {.fd = w.rfd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, -1), 1);
    thread_join(&t);
    wakeup_fini(&w);
}

TEST(is_closed_on_exec_and_counted)
{
    long before = net_fd_count();
    struct wakeup w;
    CHECK_EQ(wakeup_init(&w), 0);
    CHECK(fcntl(w.rfd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(w.wfd, F_GETFD) & FD_CLOEXEC);
    CHECK(net_fd_count() > before);
    wakeup_fini(&w);
    CHECK_EQ(net_fd_count(), before);
    wakeup_fini(&w); /* twice is harmless */
}

TEST(without_descriptors_init_fails)
{
    struct rlimit old, none;
    struct wakeup w;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = wakeup_init(&w);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(result, -EMFILE);
}
