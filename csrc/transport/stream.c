/* SPDX-License-Identifier: MIT */
#include "transport/stream.h"

#include <errno.h>

int stream_apply(struct endpoint *ep, int fd, int family)
{
    const struct option_values *o = &ep->set->pipes.opt;
    struct net_stream_opts opts = {
        .sndbuf = o->sndbuf,
        .rcvbuf = o->rcvbuf,
        .tos = o->tos ? o->tos : -1,
        .priority = o->priority ? o->priority : -1,
        .keepalive = o->tcp_keepalive,
        .keepalive_cnt = o->tcp_keepalive_cnt,
        .keepalive_idle = o->tcp_keepalive_idle,
        .keepalive_intvl = o->tcp_keepalive_intvl,
        .maxrt_ms = o->tcp_maxrt ? o->tcp_maxrt : -1,
        .busy_poll = o->busy_poll ? o->busy_poll : -1,
        .bind_to_device = o->bind_to_device[0] ? o->bind_to_device : NULL,
    };
    return net_apply(fd, family, &opts);
}

int stream_socket(struct endpoint *ep, int family)
{
    int fd = net_socket(family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    int rc = stream_apply(ep, fd, family);
    if (rc) {
        net_close(fd);
        return rc;
    }
    return fd;
}

int stream_adopted(struct endpoint *ep)
{
    int fd = ep->set->pipes.opt.use_fd;
    if (fd < 0)
        return -1;
    int rc = net_fd_adopt(fd);
    return rc == -1 ? -EBADF : rc; /* -1 means none */
}
