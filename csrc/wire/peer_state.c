/* SPDX-License-Identifier: MIT */
#include "wire/peer_state.h"

#include <errno.h>

#include "wire/types.h"

int peer_fail(struct peer *p, enum peer_failure failure, uint32_t code)
{
    if (p->state != PEER_DEAD) {
        p->state = PEER_DEAD;
        p->ready = false;
        p->rx.fast_max = -1;
        p->failure = failure;
        p->failure_code = code;
    }
    return -EPROTO;
}

int peer_fail_for_good(struct peer *p, enum peer_failure failure, uint32_t code)
{
    if (p->state != PEER_DEAD)
        p->failure_final = true;
    return peer_fail(p, failure, code);
}

void peer_become_ready(struct peer *p)
{
    p->state = PEER_TRAFFIC;
    p->handshake.may_error = false;
    p->handshake.deadline = PEER_NEVER;
    p->due_ready = true;
    p->due_subscribe = p->version_major == 1 && type_v1_gets_all(p->cfg.socket_type);
    if (p->version_major >= 3 && p->cfg.heartbeat_ivl_ms)
        p->heartbeat.ping_next = p->now + p->cfg.heartbeat_ivl_ms * PEER_NS_PER_MS;
}

void peer_not_ready(struct peer *p)
{
    p->ready = false;
    p->due_ready = true;
    p->rx.fast_max = -1;
}

int peer_put_command(struct peer *p, const void *body, size_t len)
{
    uint8_t head[FRAME_HEAD_MAX];
    struct msg m;
    msg_init_borrowed(&m, body, len, NULL);
    return outq_put_bytes_msg(&p->tx.buf, head, frame_build_v2(head, FRAME_COMMAND, len), &m);
}
