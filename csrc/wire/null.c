/* SPDX-License-Identifier: MIT */
/* The NULL mechanism: each side sends READY and nothing else; at once or, with an authentication
 * domain, once the authenticator has let the peer in. */
#include <errno.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "wire/handshake.h"
#include "wire/mechanism.h"

struct null {
    struct mechanism base;
    bool asks; /* not let in yet */
    bool sent, received;
};

static int null_next(struct mechanism *m, struct peer *p, struct command_buf *out)
{
    struct null *n = (struct null *)m;
    if (n->sent || n->asks)
        return 0;
    command_add_name(out, "READY");
    handshake_add_properties(out, &p->cfg);
    if (out->failed)
        return -ENOMEM;
    n->sent = true;
    return 1;
}

static int null_process(struct mechanism *m, struct peer *p, const uint8_t *body, size_t len)
{
    struct null *n = (struct null *)m;
    const uint8_t *args;
    size_t args_len;
    if (!n->received && command_is(body, len, "READY", &args, &args_len)) {
        int rc = handshake_read_properties(p, args, args_len);
        if (rc == 0)
            n->received = true;
        return rc;
    }
    if (!n->received && command_is(body, len, "ERROR", &args, &args_len))
        return handshake_read_error(p, args, args_len);
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNEXPECTED_COMMAND);
}

static enum mechanism_status null_status(const struct mechanism *m)
{
    const struct null *n = (const struct null *)m;
    if (n->asks)
        return MECH_AUTH_PENDING;
    return n->sent && n->received ? MECH_READY : MECH_HANDSHAKING;
}

static void null_admitted(struct mechanism *m)
{
    struct null *n = (struct null *)m;
    n->asks = false;
}

static void null_destroy(struct mechanism *m)
{
    mem_free(m);
}

static const struct mechanism_ops null_ops = {
    .name = "NULL",
    .next = null_next,
    .process = null_process,
    .status = null_status,
    .admitted = null_admitted,
    .destroy = null_destroy,
};

int null_create(struct mechanism **out, const struct peer_security *sec)
{
    struct null *n = mem_zalloc(sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->base.ops = &null_ops;
    n->asks = sec->asks;
    *out = &n->base;
    return 0;
}
