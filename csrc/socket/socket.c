/* SPDX-License-Identifier: MIT */
#include "socket/socket.h"

int socket_cannot(struct fmq_socket *s, const char *verb)
{
    detail_set("a %s socket cannot %s", s->net.pipes.ops->name, verb);
    return -ENOTSUP;
}

void socket_drop_partials(struct fmq_socket *s)
{
    rx_fini(&s->rx);
    tx_drop(&s->tx_begun, true, NULL);
}

bool fmq_closed(const fmq_socket *s)
{
    return s->net.pipes.reactor.fork_generation != fork_generation ||
           atomic_load(&s->net.pipes.reactor.stop) == ENOTSOCK;
}

int fmq_socket_type(const fmq_socket *s)
{
    return s->net.pipes.type;
}

int fmq_sndtimeo(const fmq_socket *s)
{
    return __atomic_load_n(&s->net.pipes.opt.sndtimeo, __ATOMIC_RELAXED);
}

int fmq_rcvtimeo(const fmq_socket *s)
{
    return __atomic_load_n(&s->net.pipes.opt.rcvtimeo, __ATOMIC_RELAXED);
}
