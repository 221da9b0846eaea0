/* SPDX-License-Identifier: MIT */
/*
 * CURVE (ZeroMQ RFC 26): every connection gets keys of its own, which are gone with it.
 *
 *   client  HELLO      its short-term key C', and a box that proves it
 *   server  WELCOME    its short-term key S' and a cookie, in a box that only the owner of the
 *                      server's long-term key S can make
 *   client  INITIATE   the cookie; its long-term key C, a vouch that C' belongs to it, properties
 *   server  READY      properties
 *   both    MESSAGE    every frame after that: flags and payload in a box
 *
 * Before INITIATE the server keeps this struct for a client and nothing besides. Nonces of 24 bytes
 * are a name and a counter, which never repeats under one key, or a name and 16 random bytes.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "wire/crypto.h"
#include "wire/frame.h"
#include "wire/handshake.h"
#include "wire/mechanism.h"

enum {
    KEY = CRYPTO_KEY,
    MAC = CRYPTO_MAC,
    SHORT_NONCE = 8,
    LONG_NONCE = 16,

    HELLO_ZEROS = 64,
    HELLO_LEN = 200,
    HELLO_CLIENT = 80, /* where C' lies in the command, and so on */
    HELLO_NONCE = 112,
    HELLO_BOX = 120,

    COOKIE_LEN = LONG_NONCE + MAC + 2 * KEY,
    WELCOME_LEN = 168,
    WELCOME_NONCE = 8,
    WELCOME_BOX = 24,

    INITIATE_COOKIE = 9,
    INITIATE_NONCE = 105,
    INITIATE_BOX = 113,
    VOUCH_BOX = MAC + 2 * KEY,
    INITIATE_FIXED = KEY + LONG_NONCE + VOUCH_BOX, /* in the box, before the properties */
    INITIATE_MIN = INITIATE_BOX + MAC + INITIATE_FIXED,

    READY_NONCE = 6,
    READY_BOX = 14,
    READY_MIN = READY_BOX + MAC,

    MESSAGE_NONCE = 8,
    MESSAGE_BOX = 16,
    MESSAGE_FLAGS = MESSAGE_BOX + MAC,
    MESSAGE_OVERHEAD = MESSAGE_FLAGS + 1
};

/* Inside a MESSAGE the bits of a frame lie elsewhere. */
#define INNER_MORE 1u
#define INNER_COMMAND 2u

enum state {
    C_HELLO, /* to be sent */
    C_WAIT_WELCOME,
    C_INITIATE, /* to be sent */
    C_WAIT_READY,
    S_WAIT_HELLO,
    S_WELCOME, /* to be sent */
    S_WAIT_INITIATE,
    S_ASKING,
    S_READY, /* to be sent */
    DONE
};

struct curve {
    struct mechanism base;
    const struct fmq_crypto *lib;
    enum state state;
    bool server;
    bool asks;
    uint64_t nonce_out;           /* the last one used */
    uint64_t nonce_in;            /* the last one seen */
    uint8_t shared[KEY];          /* of the short-term keys, worked out once */
    struct crypto_series out, in; /* of messages */

    uint8_t own_public[KEY], own_secret[KEY];     /* long-term */
    uint8_t short_public[KEY], short_secret[KEY]; /* of this connection */
    uint8_t peer_short[KEY];
    uint8_t peer_key[KEY];      /* long-term: S from the start, C from INITIATE on */
    uint8_t cookie[COOKIE_LEN]; /* client */
    uint8_t cookie_key[KEY];    /* server */
};

static void long_nonce(uint8_t *nonce, const char *name, const uint8_t *rest)
{
    memcpy(nonce, name, SHORT_NONCE);
    memcpy(nonce + SHORT_NONCE, rest, LONG_NONCE);
}

/* Box and its opening with a pair of keys. Non-zero: failed. */
static int box(struct curve *n, uint8_t *to, const uint8_t *content, size_t len,
               const uint8_t *nonce, const uint8_t *public_key, const uint8_t *secret_key)
{
    uint8_t shared[KEY];
    int rc = n->lib->box_beforenm(shared, public_key, secret_key);
    if (rc == 0)
        rc = n->lib->box_easy_afternm(to, content, len, nonce, shared);
    secret_wipe(shared, sizeof(shared));
    return rc;
}

static int open_box(struct curve *n, uint8_t *to, const uint8_t *from, size_t len,
                    const uint8_t *nonce, const uint8_t *public_key, const uint8_t *secret_key)
{
    uint8_t shared[KEY];
    int rc = n->lib->box_beforenm(shared, public_key, secret_key);
    if (rc == 0)
        rc = n->lib->box_open_easy_afternm(to, from, len, nonce, shared);
    secret_wipe(shared, sizeof(shared));
    return rc;
}

/* A key that no box can be made with: zero, or of small order. */
static int bad_key(struct peer *p)
{
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_KEY_EXCHANGE);
}

static int not_authentic(struct peer *p)
{
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_CRYPTOGRAPHIC);
}

/* What only the handshake needs. */
static void wipe_secrets(struct curve *n)
{
    secret_wipe(n->own_secret, KEY);
    secret_wipe(n->short_secret, KEY);
    secret_wipe(n->cookie_key, KEY);
    secret_wipe(n->cookie, COOKIE_LEN);
}

/* The handshake is over. */
static void begin_traffic(struct curve *n)
{
    _Static_assert(MESSAGE_FLAGS == CRYPTO_SPACE, "a message is made and opened where it lies");
    static const char from_client[] = "CurveZMQMESSAGEC", from_server[] = "CurveZMQMESSAGES";
    crypto_series_init(&n->out, n->shared, n->server ? from_server : from_client);
    crypto_series_init(&n->in, n->shared, n->server ? from_client : from_server);
    secret_wipe(n->shared, KEY);
    n->state = DONE;
}

/* ---- commands out ---- */

static int put_hello(struct curve *n, struct peer *p, struct command_buf *out)
{
    static const uint8_t zeros[HELLO_ZEROS];
    uint8_t body[HELLO_LEN] = "\5HELLO\1\0", nonce[CRYPTO_NONCE];
    memcpy(body + HELLO_CLIENT, n->short_public, KEY);
    crypto_counter_nonce(nonce, "CurveZMQHELLO---", ++n->nonce_out);
    memcpy(body + HELLO_NONCE, nonce + LONG_NONCE, SHORT_NONCE);
    if (box(n, body + HELLO_BOX, zeros, HELLO_ZEROS, nonce, n->peer_key, n->short_secret))
        return bad_key(p);
    command_add(out, body, sizeof(body));
    return 0;
}

static int put_welcome(struct curve *n, struct peer *p, struct command_buf *out)
{
    uint8_t body[WELCOME_LEN] = "\7WELCOME", nonce[CRYPTO_NONCE];
    uint8_t content[KEY + COOKIE_LEN];
    uint8_t *cookie = content + KEY, keys[2 * KEY];
    memcpy(content, n->short_public, KEY);
    memcpy(keys, n->peer_short, KEY);
    memcpy(keys + KEY, n->short_secret, KEY);
    n->lib->random(cookie, LONG_NONCE);
    long_nonce(nonce, "COOKIE--", cookie);
    int rc = n->lib->secretbox_easy(cookie + LONG_NONCE, keys, sizeof(keys), nonce, n->cookie_key);
    secret_wipe(keys, sizeof(keys));
    n->lib->random(body + WELCOME_NONCE, LONG_NONCE);
    long_nonce(nonce, "WELCOME-", body + WELCOME_NONCE);
    if (rc ||
        box(n, body + WELCOME_BOX, content, sizeof(content), nonce, n->peer_short, n->own_secret))
        return bad_key(p);
    command_add(out, body, sizeof(body));
    return 0;
}

/* The properties, in one piece that will be wiped: they are nobody else's business. */
static int own_properties(struct peer *p, struct command_buf *b)
{
    command_buf_init(b);
    handshake_add_properties(b, &p->cfg);
    if (b->failed) {
        command_buf_fini(b);
        return -ENOMEM;
    }
    return 0;
}

static int put_initiate(struct curve *n, struct peer *p, struct command_buf *out)
{
    struct command_buf props;
    if (own_properties(p, &props))
        return -ENOMEM;
    size_t content_len = INITIATE_FIXED + props.len;
    size_t len = INITIATE_BOX + MAC + content_len;
    uint8_t *body = mem_zalloc(len);
    if (!body) {
        command_buf_fini(&props);
        return -ENOMEM;
    }
    memcpy(body, "\10INITIATE", INITIATE_COOKIE);
    memcpy(body + INITIATE_COOKIE, n->cookie, COOKIE_LEN);

    /* Put together where it will be encrypted. */
    uint8_t *content = body + INITIATE_BOX + MAC;
    uint8_t *vouch_nonce = content + KEY, *vouch = vouch_nonce + LONG_NONCE;
    uint8_t keys[2 * KEY], nonce[CRYPTO_NONCE];
    memcpy(content, n->own_public, KEY);
    n->lib->random(vouch_nonce, LONG_NONCE);
    long_nonce(nonce, "VOUCH---", vouch_nonce);
    memcpy(keys, n->short_public, KEY);
    memcpy(keys + KEY, n->peer_key, KEY);
    int rc = box(n, vouch, keys, sizeof(keys), nonce, n->peer_short, n->own_secret);
    if (props.len)
        memcpy(content + INITIATE_FIXED, props.data, props.len);
    command_buf_fini(&props);

    crypto_counter_nonce(nonce, "CurveZMQINITIATE", ++n->nonce_out);
    memcpy(body + INITIATE_NONCE, nonce + LONG_NONCE, SHORT_NONCE);
    if (rc == 0)
        rc = n->lib->box_easy_afternm(body + INITIATE_BOX, content, content_len, nonce, n->shared);
    if (rc) {
        secret_wipe(body, len);
        mem_free(body);
        return bad_key(p);
    }
    command_add(out, body, len);
    mem_free(body);
    return 0;
}

static int put_ready(struct curve *n, struct peer *p, struct command_buf *out)
{
    struct command_buf props;
    if (own_properties(p, &props))
        return -ENOMEM;
    uint8_t head[READY_BOX + MAC] = "\5READY", nonce[CRYPTO_NONCE];
    crypto_counter_nonce(nonce, "CurveZMQREADY---", ++n->nonce_out);
    memcpy(head + READY_NONCE, nonce + LONG_NONCE, SHORT_NONCE);
    command_add(out, head, sizeof(head));
    command_add(out, props.data, props.len);
    command_buf_fini(&props);
    if (out->failed)
        return -ENOMEM;
    uint8_t *content = out->data + READY_BOX + MAC;
    if (n->lib->box_easy_afternm(out->data + READY_BOX, content, out->len - READY_BOX - MAC, nonce,
                                 n->shared))
        return bad_key(p);
    return 0;
}

static int curve_next(struct mechanism *m, struct peer *p, struct command_buf *out)
{
    struct curve *n = (struct curve *)m;
    enum state after;
    int rc;
    switch (n->state) {
    case C_HELLO:
        rc = put_hello(n, p, out);
        after = C_WAIT_WELCOME;
        break;
    case S_WELCOME:
        rc = put_welcome(n, p, out);
        after = S_WAIT_INITIATE;
        break;
    case C_INITIATE:
        rc = put_initiate(n, p, out);
        after = C_WAIT_READY;
        break;
    case S_READY:
        rc = put_ready(n, p, out);
        after = DONE;
        break;
    default:
        return 0;
    }
    if (rc)
        return rc;
    if (out->failed)
        return -ENOMEM;
    n->state = after;
    if (after == DONE || after == C_WAIT_READY)
        wipe_secrets(n);
    if (after == DONE)
        begin_traffic(n);
    return 1;
}

/* ---- commands in ---- */

static int bad_sequence(struct peer *p)
{
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_INVALID_SEQUENCE);
}

static int take_hello(struct curve *n, struct peer *p, const uint8_t *body, size_t len)
{
    static const uint8_t zeros[HELLO_ZEROS];
    uint8_t content[HELLO_ZEROS], nonce[CRYPTO_NONCE];
    if (len != HELLO_LEN || body[6] != 1 || body[7] != 0)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_HELLO);
    n->nonce_in = get_be64(body + HELLO_NONCE); /* any: it is the first */
    memcpy(n->peer_short, body + HELLO_CLIENT, KEY);
    crypto_counter_nonce(nonce, "CurveZMQHELLO---", n->nonce_in);
    if (open_box(n, content, body + HELLO_BOX, HELLO_ZEROS + MAC, nonce, n->peer_short,
                 n->own_secret) ||
        !secret_equal(content, zeros, sizeof(zeros)))
        return not_authentic(p);
    if (n->lib->box_keypair(n->short_public, n->short_secret) ||
        n->lib->box_beforenm(n->shared, n->peer_short, n->short_secret))
        return bad_key(p);
    n->lib->random(n->cookie_key, KEY);
    n->state = S_WELCOME;
    return 0;
}

static int take_welcome(struct curve *n, struct peer *p, const uint8_t *body, size_t len)
{
    uint8_t content[KEY + COOKIE_LEN], nonce[CRYPTO_NONCE];
    if (len != WELCOME_LEN)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_WELCOME);
    long_nonce(nonce, "WELCOME-", body + WELCOME_NONCE);
    if (open_box(n, content, body + WELCOME_BOX, sizeof(content) + MAC, nonce, n->peer_key,
                 n->short_secret))
        return not_authentic(p);
    memcpy(n->peer_short, content, KEY);
    memcpy(n->cookie, content + KEY, COOKIE_LEN);
    if (n->lib->box_beforenm(n->shared, n->peer_short, n->short_secret))
        return bad_key(p);
    n->state = C_INITIATE;
    return 0;
}

static bool cookie_is_ours(struct curve *n, const uint8_t *cookie)
{
    uint8_t keys[2 * KEY], nonce[CRYPTO_NONCE];
    long_nonce(nonce, "COOKIE--", cookie);
    bool ours = n->lib->secretbox_open_easy(keys, cookie + LONG_NONCE, COOKIE_LEN - LONG_NONCE,
                                            nonce, n->cookie_key) == 0 &&
                secret_equal(keys, n->peer_short, KEY) &&
                secret_equal(keys + KEY, n->short_secret, KEY);
    secret_wipe(keys, sizeof(keys));
    return ours;
}

/* The owner of the long-term key says that the short-term one is its own, and means this server. */
static bool vouched(struct curve *n, const uint8_t *client, const uint8_t *vouch_nonce,
                    const uint8_t *vouch)
{
    uint8_t keys[2 * KEY], nonce[CRYPTO_NONCE];
    long_nonce(nonce, "VOUCH---", vouch_nonce);
    return open_box(n, keys, vouch, VOUCH_BOX, nonce, client, n->short_secret) == 0 &&
           secret_equal(keys, n->peer_short, KEY) && secret_equal(keys + KEY, n->own_public, KEY);
}

static int take_initiate(struct curve *n, struct peer *p, const uint8_t *body, size_t len)
{
    if (len < INITIATE_MIN)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_INITIATE);
    uint64_t counter = get_be64(body + INITIATE_NONCE);
    if (counter <= n->nonce_in)
        return bad_sequence(p);
    size_t content_len = len - INITIATE_BOX - MAC;
    uint8_t *content = mem_alloc(content_len);
    if (!content)
        return -ENOMEM;
    uint8_t nonce[CRYPTO_NONCE];
    crypto_counter_nonce(nonce, "CurveZMQINITIATE", counter);
    int rc;
    if (!cookie_is_ours(n, body + INITIATE_COOKIE) ||
        n->lib->box_open_easy_afternm(content, body + INITIATE_BOX, content_len + MAC, nonce,
                                      n->shared) ||
        !vouched(n, content, content + KEY, content + KEY + LONG_NONCE))
        rc = not_authentic(p);
    else
        rc = handshake_read_properties(p, content + INITIATE_FIXED, content_len - INITIATE_FIXED);
    if (rc == 0) {
        memcpy(n->peer_key, content, KEY);
        n->nonce_in = counter;
        n->state = n->asks ? S_ASKING : S_READY;
    }
    secret_wipe(content, content_len);
    mem_free(content);
    return rc;
}

static int take_ready(struct curve *n, struct peer *p, const uint8_t *body, size_t len)
{
    if (len < READY_MIN)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_READY);
    size_t content_len = len - READY_MIN;
    uint8_t *content = mem_alloc(content_len ? content_len : 1);
    if (!content)
        return -ENOMEM;
    uint64_t counter = get_be64(body + READY_NONCE);
    uint8_t nonce[CRYPTO_NONCE];
    crypto_counter_nonce(nonce, "CurveZMQREADY---", counter);
    int rc;
    if (counter <= n->nonce_in)
        rc = bad_sequence(p);
    else if (n->lib->box_open_easy_afternm(content, body + READY_BOX, content_len + MAC, nonce,
                                           n->shared))
        rc = not_authentic(p);
    else if ((rc = handshake_read_properties(p, content, content_len)) == -EPROTO)
        p->failure_final = true; /* it came in the server's box */
    if (rc == 0) {
        n->nonce_in = counter;
        begin_traffic(n);
    }
    secret_wipe(content, content_len);
    mem_free(content);
    return rc;
}

static int curve_process(struct mechanism *m, struct peer *p, const uint8_t *body, size_t len)
{
    static const struct {
        const char *name;
        enum state when;
        int (*take)(struct curve *n, struct peer *p, const uint8_t *body, size_t len);
    } commands[] = {
        {"HELLO", S_WAIT_HELLO, take_hello},
        {"WELCOME", C_WAIT_WELCOME, take_welcome},
        {"INITIATE", S_WAIT_INITIATE, take_initiate},
        {"READY", C_WAIT_READY, take_ready},
    };
    struct curve *n = (struct curve *)m;
    const uint8_t *args;
    size_t args_len;
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (n->state == commands[i].when &&
            command_is(body, len, commands[i].name, &args, &args_len))
            return commands[i].take(n, p, body, len);
    if (!n->server && command_is(body, len, "ERROR", &args, &args_len)) {
        int rc = handshake_read_error(p, args, args_len);
        if (n->state == C_WAIT_WELCOME)
            p->failure_final = false; /* it has not shown yet that it has the server's key */
        return rc;
    }
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNEXPECTED_COMMAND);
}

static enum mechanism_status curve_status(const struct mechanism *m)
{
    const struct curve *n = (const struct curve *)m;
    if (n->state == S_ASKING)
        return MECH_AUTH_PENDING;
    return n->state == DONE ? MECH_READY : MECH_HANDSHAKING;
}

static void curve_credentials(const struct mechanism *m, struct peer_credentials *out)
{
    const struct curve *n = (const struct curve *)m;
    out->count = 1;
    out->part[0].data = n->peer_key;
    out->part[0].len = KEY;
}

static void curve_admitted(struct mechanism *m)
{
    struct curve *n = (struct curve *)m;
    n->state = S_READY;
}

/* ---- traffic ---- */

static void curve_encrypt(struct mechanism *m, uint8_t *out, uint8_t flags, const uint8_t *data,
                          size_t size)
{
    struct curve *n = (struct curve *)m;
    out[MESSAGE_FLAGS] = (uint8_t)((flags & FRAME_MORE ? INNER_MORE : 0) |
                                   (flags & FRAME_COMMAND ? INNER_COMMAND : 0));
    if (size)
        memcpy(out + MESSAGE_OVERHEAD, data, size);
    crypto_encrypt(&n->out, out, size + 1, ++n->nonce_out);
    memcpy(out, "\7MESSAGE", MESSAGE_NONCE);
    put_be64(out + MESSAGE_NONCE, n->nonce_out);
}

static int curve_decrypt(struct mechanism *m, struct peer *p, uint8_t *body, size_t len,
                         uint8_t *flags)
{
    struct curve *n = (struct curve *)m;
    const uint8_t *args;
    size_t args_len;
    if (!command_is(body, len, "MESSAGE", &args, &args_len))
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_UNEXPECTED_COMMAND);
    if (len < MESSAGE_OVERHEAD)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    uint64_t counter = get_be64(body + MESSAGE_NONCE);
    if (counter <= n->nonce_in)
        return bad_sequence(p);
    if (crypto_decrypt(&n->in, body, len - MESSAGE_FLAGS, counter))
        return not_authentic(p);
    n->nonce_in = counter;
    uint8_t inner = body[MESSAGE_FLAGS];
    *flags = (uint8_t)((inner & INNER_MORE ? FRAME_MORE : 0) |
                       (inner & INNER_COMMAND ? FRAME_COMMAND : 0));
    return 0;
}

/* ---- life ---- */

static void curve_destroy(struct mechanism *m)
{
    secret_wipe(m, sizeof(struct curve));
    mem_free(m);
}

static const struct mechanism_ops curve_ops = {
    .name = "CURVE",
    .crypto_overhead = MESSAGE_OVERHEAD,
    .next = curve_next,
    .process = curve_process,
    .status = curve_status,
    .credentials = curve_credentials,
    .admitted = curve_admitted,
    .encrypt = curve_encrypt,
    .decrypt = curve_decrypt,
    .destroy = curve_destroy,
};

int curve_create(struct mechanism **out, const struct peer_security *sec)
{
    const struct fmq_crypto *lib = crypto_get();
    if (!lib)
        return -ENOTSUP;
    struct curve *n = mem_zalloc(sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->base.ops = &curve_ops;
    n->lib = lib;
    n->server = sec->server;
    n->asks = sec->asks && sec->server;
    n->state = sec->server ? S_WAIT_HELLO : C_HELLO;
    memcpy(n->own_secret, sec->secret_key, KEY);
    int rc = 0;
    if (sec->public_key && !sec->server)
        memcpy(n->own_public, sec->public_key, KEY);
    else
        rc = lib->scalarmult_base(n->own_public, n->own_secret);
    if (!sec->server) {
        memcpy(n->peer_key, sec->server_key, KEY);
        rc |= lib->box_keypair(n->short_public, n->short_secret);
    }
    if (rc) {
        curve_destroy(&n->base);
        return -EINVAL;
    }
    *out = &n->base;
    return 0;
}
