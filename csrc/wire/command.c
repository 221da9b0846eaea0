/* SPDX-License-Identifier: MIT */
#include "wire/command.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "include/fastmq.h"

/* Far more than anyone sends; keeps the work per handshake small. */
#define MAX_PROPERTIES 512

void command_buf_init(struct command_buf *b)
{
    memset(b, 0, sizeof(*b));
}

void command_buf_fini(struct command_buf *b)
{
    mem_free(b->data);
    command_buf_init(b);
}

void command_add(struct command_buf *b, const void *data, size_t len)
{
    if (b->failed || len == 0)
        return;
    if (len > b->cap - b->len) {
        size_t cap = (b->len + len) * 2 + 64;
        uint8_t *grown = mem_realloc(b->data, cap);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->cap = cap;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void command_add_name(struct command_buf *b, const char *name)
{
    uint8_t len = (uint8_t)strlen(name);
    command_add(b, &len, 1);
    command_add(b, name, len);
}

void command_add_property(struct command_buf *b, const char *name, const void *value, size_t len)
{
    uint8_t size[4];
    command_add_name(b, name);
    put_be32(size, (uint32_t)len);
    command_add(b, size, sizeof(size));
    command_add(b, value, len);
}

void command_add_own_properties(struct command_buf *b, const struct peer_config *cfg)
{
    const char *type = peer_type_name(cfg->socket_type);
    if (type)
        command_add_property(b, "Socket-Type", type, strlen(type));
    if (cfg->socket_type == FMQ_REQ || cfg->socket_type == FMQ_DEALER ||
        cfg->socket_type == FMQ_ROUTER)
        command_add_property(b, "Identity", cfg->identity, cfg->identity_len);
    command_add(b, cfg->extra_props, cfg->extra_props_len);
}

bool command_is(const uint8_t *body, size_t len, const char *name, const uint8_t **args,
                size_t *args_len)
{
    size_t name_len = strlen(name);
    if (len < 1 + name_len || body[0] != name_len || memcmp(body + 1, name, name_len) != 0)
        return false;
    *args = body + 1 + name_len;
    *args_len = len - 1 - name_len;
    return true;
}

/* What only an authenticator, or the connection, says of a peer: its own word does not count. Nor
 * does an identity of the kind that ROUTER makes up: it may have been another peer's. */
static bool not_its_own(const uint8_t *name, size_t len, const uint8_t *value, size_t value_len)
{
    const char *text = (const char *)name;
    return len == 0 || (len == 7 && strncasecmp(text, "User-Id", 7) == 0) ||
           (len == 12 && strncasecmp(text, "Peer-Address", 12) == 0) ||
           (len == 8 && peer_identity_is_reserved(value, value_len) &&
            strncasecmp(text, "Identity", 8) == 0);
}

int command_read_properties(struct peer *p, const uint8_t *data, size_t len)
{
    struct meta *meta = meta_new();
    if (!meta)
        return -ENOMEM;
    int rc = meta_read(meta, data, len, MAX_PROPERTIES, not_its_own);
    if (rc == -ENOMEM) {
        meta_unref(meta);
        return rc;
    }
    const uint8_t *value;
    size_t value_len;
    int type = -1;
    if (rc == 0 && meta_get(meta, "Socket-Type", &value, &value_len) == 0) {
        type = peer_type_from_name(value, value_len);
        if (type < 0 || !peer_types_match(p->cfg.socket_type, type))
            rc = -EPROTO;
    }
    if (rc == 0 && meta_get(meta, "Identity", &value, &value_len) == 0) {
        if (value_len > sizeof(p->remote_identity)) {
            rc = -EPROTO;
        } else {
            memcpy(p->remote_identity, value, value_len);
            p->remote_identity_len = (uint8_t)value_len;
        }
    }
    if (rc) {
        meta_unref(meta);
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_INVALID_METADATA);
    }
    p->remote_type = type;
    meta_unref(p->meta);
    p->meta = meta;
    return 0;
}

int command_read_error(struct peer *p, const uint8_t *args, size_t len)
{
    if (len < 1 || args[0] > len - 1)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_ERROR);
    if (args[0] == 3 && args[1] >= '3' && args[1] <= '5' && args[2] == '0' && args[3] == '0')
        return peer_fail_for_good(p, PEER_FAIL_AUTH, (uint32_t)(args[1] - '0') * 100);
    return peer_fail_for_good(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNSPECIFIED);
}
