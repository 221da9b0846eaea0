/* SPDX-License-Identifier: MIT */
/*
 * PLAIN: the client shows a name and a password, in the clear.
 *
 *   client  HELLO      name, password
 *   server  WELCOME    once an authenticator has let the client in
 *   client  INITIATE   properties
 *   server  READY      properties
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "wire/handshake.h"
#include "wire/mechanism.h"

enum state {
    C_HELLO, /* to be sent */
    C_WAIT_WELCOME,
    C_INITIATE, /* to be sent */
    C_WAIT_READY,
    S_WAIT_HELLO,
    S_ASKING,
    S_WELCOME, /* to be sent */
    S_WAIT_INITIATE,
    S_READY, /* to be sent */
    DONE
};

struct plain {
    struct mechanism base;
    enum state state;
    uint8_t username[255], password[255];
    uint8_t username_len, password_len;
};

static void wipe_secrets(struct plain *n)
{
    secret_wipe(n->password, sizeof(n->password));
    n->password_len = 0;
}

static int plain_next(struct mechanism *m, struct peer *p, struct command_buf *out)
{
    struct plain *n = (struct plain *)m;
    enum state after;
    switch (n->state) {
    case C_HELLO:
        command_add_name(out, "HELLO");
        command_add(out, &n->username_len, 1);
        command_add(out, n->username, n->username_len);
        command_add(out, &n->password_len, 1);
        command_add(out, n->password, n->password_len);
        after = C_WAIT_WELCOME;
        break;
    case S_WELCOME:
        command_add_name(out, "WELCOME");
        after = S_WAIT_INITIATE;
        break;
    case C_INITIATE:
        command_add_name(out, "INITIATE");
        handshake_add_properties(out, &p->cfg);
        after = C_WAIT_READY;
        break;
    case S_READY:
        command_add_name(out, "READY");
        handshake_add_properties(out, &p->cfg);
        after = DONE;
        break;
    default:
        return 0;
    }
    if (out->failed)
        return -ENOMEM;
    if (n->state == C_HELLO)
        wipe_secrets(n);
    n->state = after;
    return 1;
}

static bool take_short(struct cursor *c, uint8_t *to, uint8_t *to_len)
{
    const uint8_t *from;
    if (!cursor_u8(c, to_len) || !cursor_take(c, *to_len, &from))
        return false;
    if (*to_len)
        memcpy(to, from, *to_len);
    return true;
}

static int take_hello(struct plain *n, struct peer *p, const uint8_t *args, size_t len)
{
    struct cursor c = {args, len};
    if (!take_short(&c, n->username, &n->username_len) ||
        !take_short(&c, n->password, &n->password_len) || c.left)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_HELLO);
    n->state = S_ASKING;
    return 0;
}

static int take_properties(struct plain *n, struct peer *p, const uint8_t *args, size_t len,
                           enum state after)
{
    int rc = handshake_read_properties(p, args, len);
    if (rc == 0)
        n->state = after;
    return rc;
}

/* libzmq 4.3.5 writes the command's name as five bytes of which the first is 0x5e: a hexadecimal
 * escape in its source swallows the E. */
static bool is_error(const uint8_t *body, size_t len, const uint8_t **args, size_t *args_len)
{
    static const char misspelt[] = "^RROR";
    if (command_is(body, len, "ERROR", args, args_len))
        return true;
    if (len < 5 || memcmp(body, misspelt, 5) != 0)
        return false;
    *args = body + 5;
    *args_len = len - 5;
    return true;
}

static int plain_process(struct mechanism *m, struct peer *p, const uint8_t *body, size_t len)
{
    struct plain *n = (struct plain *)m;
    const uint8_t *args;
    size_t args_len;
    bool client = n->state == C_WAIT_WELCOME || n->state == C_WAIT_READY;
    if (client && is_error(body, len, &args, &args_len))
        return handshake_read_error(p, args, args_len);
    switch (n->state) {
    case S_WAIT_HELLO:
        if (command_is(body, len, "HELLO", &args, &args_len))
            return take_hello(n, p, args, args_len);
        break;
    case C_WAIT_WELCOME:
        if (!command_is(body, len, "WELCOME", &args, &args_len))
            break;
        if (args_len)
            return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_WELCOME);
        n->state = C_INITIATE;
        return 0;
    case S_WAIT_INITIATE:
        if (command_is(body, len, "INITIATE", &args, &args_len))
            return take_properties(n, p, args, args_len, S_READY);
        break;
    case C_WAIT_READY:
        if (command_is(body, len, "READY", &args, &args_len))
            return take_properties(n, p, args, args_len, DONE);
        break;
    default:
        break;
    }
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNEXPECTED_COMMAND);
}

static enum mechanism_status plain_status(const struct mechanism *m)
{
    const struct plain *n = (const struct plain *)m;
    if (n->state == S_ASKING)
        return MECH_AUTH_PENDING;
    return n->state == DONE ? MECH_READY : MECH_HANDSHAKING;
}

static void plain_credentials(const struct mechanism *m, struct peer_credentials *out)
{
    const struct plain *n = (const struct plain *)m;
    out->count = 2;
    out->part[0].data = n->username;
    out->part[0].len = n->username_len;
    out->part[1].data = n->password;
    out->part[1].len = n->password_len;
}

static void plain_admitted(struct mechanism *m)
{
    struct plain *n = (struct plain *)m;
    wipe_secrets(n);
    n->state = S_WELCOME;
}

static void plain_destroy(struct mechanism *m)
{
    secret_wipe(m, sizeof(struct plain));
    mem_free(m);
}

static const struct mechanism_ops plain_ops = {
    .name = "PLAIN",
    .next = plain_next,
    .process = plain_process,
    .status = plain_status,
    .credentials = plain_credentials,
    .admitted = plain_admitted,
    .destroy = plain_destroy,
};

int plain_create(struct mechanism **out, const struct peer_security *sec)
{
    struct plain *n = mem_zalloc(sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->base.ops = &plain_ops;
    n->state = sec->server ? S_WAIT_HELLO : C_HELLO;
    if (!sec->server) {
        n->username_len = (uint8_t)sec->username_len;
        n->password_len = (uint8_t)sec->password_len;
        if (n->username_len)
            memcpy(n->username, sec->username, n->username_len);
        if (n->password_len)
            memcpy(n->password, sec->password, n->password_len);
    }
    *out = &n->base;
    return 0;
}
