/* SPDX-License-Identifier: MIT */
/* Beginning and ending a monitor. */
#include <string.h>

#include "base/error.h"
#include "fastmq.h"
#include "net/conn_shm.h"
#include "socket/monitor.h"
#include "socket/socket.h"

#define EVENT_MASK_V1 0xFFFFu

/* Takes the monitor off the socket; the caller frees what it gets, with no lock held: the
 * registry's comes first. Lock held. */
static struct fmq_socket *take_off(struct fmq_socket *s)
{
    monitor_stop(s);
    struct fmq_socket *out = s->monitor.out;
    s->monitor.out = NULL;
    return out;
}

static void free_out(struct fmq_socket *out)
{
    if (out)
        fmq_socket_free(out);
}

static int open_out(fmq_socket *s, const char *endpoint, uint64_t events, int version, int type,
                    struct fmq_socket **out)
{
    if (strncmp(endpoint, "inproc://", 9) != 0) {
        detail_set("a monitor's endpoint must be inproc://..., not '%.100s'", endpoint);
        return -EPROTONOSUPPORT;
    }
    if (version == 1 && (events & ~(uint64_t)EVENT_MASK_V1)) {
        detail_set("version 1 has no events above 0xffff, as PIPES_STATS and LINK are: version=2");
        return -EINVAL;
    }
    if (version != 1 && version != 2)
        return -EINVAL;
    if (type != FMQ_PAIR && (version == 1 || (type != FMQ_PUB && type != FMQ_PUSH)))
        return -EINVAL;
    int rc = fmq_socket_new(s->ctx, type, out);
    if (rc)
        return rc;
    (*out)->net.pipes.opt.linger = 0; /* no other thread knows it yet */
    rc = fmq_bind(*out, endpoint);
    if (rc < 0)
        fmq_socket_free(*out);
    return rc < 0 ? rc : 0;
}

int fmq_monitor(fmq_socket *s, const char *endpoint, uint64_t events, int version, int type)
{
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    /* The old one ends first, so that the same endpoint can be bound anew. */
    struct fmq_socket *old = take_off(s);
    reactor_leave(socket_reactor(s));
    free_out(old);
    if (!endpoint)
        return 0;
    struct fmq_socket *out;
    rc = open_out(s, endpoint, events, version, type, &out);
    if (rc)
        return rc;
    rc = reactor_enter(socket_reactor(s));
    if (rc) {
        fmq_socket_free(out);
        return rc;
    }
    old = take_off(s); /* another thread may have been faster */
    s->monitor = (struct monitor){.out = out, .events = events, .version = version};
    reactor_leave(socket_reactor(s));
    free_out(old);
    return 0;
}

int fmq_monitor_stats(fmq_socket *s)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = monitor_emit_stats(s);
    reactor_leave(socket_reactor(s));
    return rc;
}

const char *fmq_carrier_reason(uint32_t number)
{
    return conn_shm_reason(number);
}
