/* SPDX-License-Identifier: MIT */
#include "wire/handshake.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wire/heartbeat.h"
#include "wire/mechanism.h"
#include "wire/types.h"

/* Far more than anyone sends; keeps the work per handshake small. */
#define MAX_PROPERTIES 512

/* ---- what all mechanisms do alike ---- */

void handshake_add_properties(struct command_buf *b, const struct peer_config *cfg)
{
    const char *type = type_name(cfg->socket_type);
    if (type)
        command_add_property(b, "Socket-Type", type, strlen(type));
    if (type_sends_identity(cfg->socket_type))
        command_add_property(b, "Identity", cfg->identity, cfg->identity_len);
    command_add(b, cfg->extra_props, cfg->extra_props_len);
}

/* Properties that only an authenticator or the connection may set: the peer's own are left out. So
 * is an identity of the kind that ROUTER makes up: it may have been another peer's. */
static bool is_not_the_peers(const uint8_t *name, size_t len, const uint8_t *value,
                             size_t value_len)
{
    const char *text = (const char *)name;
    return len == 0 || (len == 7 && strncasecmp(text, "User-Id", 7) == 0) ||
           (len == 12 && strncasecmp(text, "Peer-Address", 12) == 0) ||
           (len == 8 && peer_identity_is_reserved(value, value_len) &&
            strncasecmp(text, "Identity", 8) == 0);
}

int handshake_read_properties(struct peer *p, const uint8_t *data, size_t len)
{
    struct meta *meta = meta_new();
    if (!meta)
        return -ENOMEM;
    int rc = meta_read(meta, data, len, MAX_PROPERTIES, is_not_the_peers);
    if (rc == -ENOMEM) {
        meta_unref(meta);
        return rc;
    }
    const uint8_t *value;
    size_t value_len;
    int type = -1;
    if (rc == 0 && meta_get(meta, "Socket-Type", &value, &value_len) == 0) {
        type = type_from_name(value, value_len);
        if (type < 0 || !type_accepts(p->cfg.socket_type, type))
            rc = -EPROTO;
        p->remote.type = type; /* why it fails */
    }
    if (rc == 0 && meta_get(meta, "Identity", &value, &value_len) == 0) {
        if (value_len > sizeof(p->remote.identity)) {
            rc = -EPROTO;
        } else {
            memcpy(p->remote.identity, value, value_len);
            p->remote.identity_len = (uint8_t)value_len;
        }
    }
    if (rc) {
        meta_unref(meta);
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_INVALID_METADATA);
    }
    p->remote.type = type;
    meta_unref(p->remote.meta);
    p->remote.meta = meta;
    return 0;
}

int handshake_read_error(struct peer *p, const uint8_t *args, size_t len)
{
    if (len < 1 || args[0] > len - 1)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_ERROR);
    if (args[0] == 3 && args[1] >= '3' && args[1] <= '5' && args[2] == '0' && args[3] == '0')
        return peer_fail_for_good(p, PEER_FAIL_AUTH, (uint32_t)(args[1] - '0') * 100);
    return peer_fail_for_good(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNSPECIFIED);
}

void peer_put_error(struct peer *p, const char *reason)
{
    struct command_buf b;
    size_t len = strlen(reason);
    if (!p->handshake.may_error)
        return;
    p->handshake.may_error = false;
    if (len > 255)
        len = 255;
    uint8_t len8 = (uint8_t)len;
    command_buf_init(&b);
    command_add_name(&b, "ERROR");
    command_add(&b, &len8, 1);
    command_add(&b, reason, len);
    /* Best effort: without memory the peer just sees the connection end. */
    if (!b.failed)
        (void)peer_put_command(p, b.data, b.len);
    command_buf_fini(&b);
}

/* ---- may the peer come in? ---- */

bool peer_auth_pending(const struct peer *p)
{
    return p->state == PEER_HANDSHAKE && p->mech->ops->status(p->mech) == MECH_AUTH_PENDING;
}

void peer_credentials(const struct peer *p, struct peer_credentials *out)
{
    memset(out, 0, sizeof(*out));
    out->mechanism = p->mech->ops->name;
    if (p->mech->ops->credentials)
        p->mech->ops->credentials(p->mech, out);
}

void peer_auth(struct peer *p, struct meta *auth_metadata)
{
    if (!peer_auth_pending(p))
        return;
    if (auth_metadata)
        meta_ref(auth_metadata);
    p->handshake.auth_metadata = auth_metadata;
    p->mech->ops->admitted(p->mech);
    p->rx.drained = false;
}

void peer_refuse(struct peer *p, uint32_t status)
{
    if (!peer_auth_pending(p))
        return;
    if (status >= 400)
        peer_put_error(p, status == 400 ? "400" : "500");
    peer_fail_for_good(p, PEER_FAIL_AUTH, status);
}

/* What the authenticator says of a peer overrides what the peer says of itself. */
static int apply_auth_metadata(struct peer *p)
{
    const struct meta *from = p->handshake.auth_metadata;
    struct cursor c = {from ? from->buf : NULL, from ? from->len : 0};
    uint8_t name_len;
    uint32_t value_len;
    const uint8_t *name, *value;
    while (cursor_u8(&c, &name_len) && cursor_take(&c, name_len, &name) &&
           cursor_be32(&c, &value_len) && cursor_take(&c, value_len, &value)) {
        int rc = meta_set(p->remote.meta, (const char *)name, name_len, value, value_len);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the state ---- */

/* Queues all commands that the mechanism has to send now. */
static int mechanism_pump(struct peer *p)
{
    for (;;) {
        if (!p->handshake.command) {
            struct command_buf b;
            command_buf_init(&b);
            int rc = p->mech->ops->next(p->mech, p, &b);
            if (rc <= 0) {
                command_buf_fini(&b);
                return rc;
            }
            p->handshake.command = b.data;
            p->handshake.command_len = b.len;
        }
        int rc = peer_put_command(p, p->handshake.command, p->handshake.command_len);
        if (rc)
            return rc;
        mem_free(p->handshake.command);
        p->handshake.command = NULL;
    }
}

int handshake_step(struct peer *p, struct peer_event *ev)
{
    int rc = mechanism_pump(p);
    if (rc)
        return rc;
    switch (p->mech->ops->status(p->mech)) {
    case MECH_READY:
        rc = apply_auth_metadata(p);
        if (rc)
            return rc;
        peer_become_ready(p);
        return PEER_AGAIN;
    case MECH_AUTH_PENDING:
        if (p->handshake.auth_asked)
            return 0;
        p->handshake.auth_asked = true;
        ev->kind = PEER_EV_AUTH;
        return 1;
    default:
        break;
    }
    struct frame_head h;
    rc = peer_parse_frame(p, &h);
    if (rc == 0)
        return 0;
    if (rc < 0 || h.size > PEER_HANDSHAKE_MAX)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    if (peer_avail(p) < h.head + h.size) {
        p->rx.frame_need = h.head + h.size;
        return 0;
    }
    if (heartbeat_before_ready(p, &h))
        return PEER_AGAIN;
    rc = p->mech->ops->process(p->mech, p, peer_at(p) + h.head, h.size);
    if (rc)
        return rc;
    peer_consume(p, h.head + h.size);
    return PEER_AGAIN;
}

void handshake_fini(struct peer *p)
{
    meta_unref(p->handshake.auth_metadata);
    p->handshake.auth_metadata = NULL;
    mem_free(p->handshake.command);
    p->handshake.command = NULL;
}
