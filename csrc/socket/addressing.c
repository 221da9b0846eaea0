/* SPDX-License-Identifier: MIT */
/* What messages are addressed by beside their parts: peers by their numbers, groups. */
#include "base/error.h"
#include "fastmq.h"
#include "net/connecter.h"
#include "net/endpoint_close.h"
#include "pipe/pattern_ops.h"
#include "socket/registry.h"
#include "socket/socket.h"

static int not_supported(const struct fmq_socket *s, const char *what)
{
    detail_set("a %s socket has no %s", s->net.pipes.ops->name, what);
    return -ENOTSUP;
}

enum fmq_addressing fmq_addressing(const fmq_socket *s)
{
    return s->net.pipes.ops->addressing;
}

int fmq_connect_peer(fmq_socket *s, const char *endpoint, uint32_t *id)
{
    const struct transport_ops *tr;
    const char *rest;
    struct pipe_set *pipes = &s->net.pipes;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    if (!pipes->ops->last_peer) {
        rc = not_supported(s, "peers that are connected by number");
    } else if (pipes->opt.immediate) {
        detail_set("with IMMEDIATE a peer gets its routing id when it is connected, not before");
        rc = -EFAULT;
    } else {
        rc = transport_of(endpoint, &tr, &rest);
    }
    if (rc == 0 && (rc = endpoint_connect(&s->net, tr, endpoint, rest)) >= 0)
        *id = pipes->ops->last_peer(pipes);
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_disconnect_peer(fmq_socket *s, uint32_t id)
{
    struct pipe_set *pipes = &s->net.pipes;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    struct pipe *p = pipes->ops->peer ? pipes->ops->peer(pipes, id) : NULL;
    if (!pipes->ops->peer)
        rc = not_supported(s, "peers with numbers");
    else if (!p)
        rc = -EHOSTUNREACH;
    else
        endpoint_end_peer(p);
    reactor_leave(socket_reactor(s));
    return rc;
}

static int change_group(fmq_socket *s, const void *group, size_t len, bool join)
{
    struct pipe_set *pipes = &s->net.pipes;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    int (*change)(struct pipe_set *, const void *, size_t) =
        join ? pipes->ops->join : pipes->ops->leave;
    if (!change) {
        rc = not_supported(s, "groups to join");
    } else if (len > GROUP_MAX) {
        detail_set("a group's name has at most %d bytes, not %zu", GROUP_MAX, len);
        rc = -EINVAL;
    } else {
        rc = change(pipes, group, len);
    }
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_join(fmq_socket *s, const void *group, size_t len)
{
    return change_group(s, group, len, true);
}

int fmq_leave(fmq_socket *s, const void *group, size_t len)
{
    return change_group(s, group, len, false);
}
