/* SPDX-License-Identifier: MIT */
/*
 * Bodies of commands. Input: what, socket type, the allocation that fails (0: none), the body.
 * What: 0 the properties of READY, 1 the reason of ERROR, 2 the name of any command, 3 a command
 * to a peer that is ready (SUBSCRIBE, PING and the like).
 */
#include <errno.h>

#include "base/alloc.h"
#include "fuzz.h"
#include "wire/command.h"
#include "wire/peer.h"
#include "wire/types.h"

static struct pool *pool;

/* All that was read can be looked up, and reads the same when it is said again. */
static void properties(struct peer *p, const uint8_t *body, size_t len)
{
    int rc = handshake_read_properties(p, body, len);
    if (rc) {
        CHECK(rc == -ENOMEM ? p->state != PEER_DEAD : rc == -EPROTO && p->state == PEER_DEAD);
        CHECK(rc == -ENOMEM || p->failure_code == PROTO_ZMTP_INVALID_METADATA);
        return;
    }
    CHECK(p->remote.meta);
    CHECK(p->remote.type == -1 || type_accepts(p->cfg.socket_type, p->remote.type));
    CHECK(!peer_identity_is_reserved(p->remote.identity, p->remote.identity_len));
    mem_fail_at(0);
    struct command_buf again;
    struct meta *first = p->remote.meta;
    meta_ref(first);
    command_buf_init(&again);
    command_add(&again, first->buf, first->len);
    CHECK(!again.failed && again.len == first->len);
    CHECK_EQ(handshake_read_properties(p, again.data, again.len), 0);
    CHECK(p->remote.meta->len == first->len);
    CHECK(first->len == 0 || memcmp(p->remote.meta->buf, first->buf, first->len) == 0);
    command_buf_fini(&again);
    meta_unref(first);
}

static void error(struct peer *p, const uint8_t *body, size_t len)
{
    CHECK_EQ(handshake_read_error(p, body, len), -EPROTO);
    CHECK(p->state == PEER_DEAD);
    CHECK(p->failure == PEER_FAIL_AUTH || p->failure == PEER_FAIL_PROTOCOL);
    if (p->failure == PEER_FAIL_AUTH)
        CHECK(p->failure_code == 300 || p->failure_code == 400 || p->failure_code == 500);
}

static void names(const uint8_t *body, size_t len)
{
    static const char *const known[] = {"READY", "ERROR", "SUBSCRIBE", "CANCEL",
                                        "PING",  "PONG",  "JOIN",      "LEAVE"};
    int matches = 0;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const uint8_t *args;
        size_t args_len;
        if (!command_is(body, len, known[i], &args, &args_len))
            continue;
        matches++;
        CHECK(args >= body && args + args_len == body + len);
        CHECK(args == body + 1 + strlen(known[i]));
    }
    CHECK(matches <= 1);
}

static void hear(struct peer *p, const uint8_t *data, size_t len)
{
    while (len && p->state != PEER_DEAD) {
        uint8_t *buf;
        size_t room;
        if (peer_recv_buf(p, &buf, &room))
            continue;
        size_t n = len < room ? len : room;
        memcpy(buf, data, n);
        peer_recv_done(p, n, 1);
        data += n;
        len -= n;
        struct peer_event ev;
        int rc;
        while ((rc = peer_next(p, &ev)) == 1 || rc == -ENOMEM) {
            if (rc == 1 && ev.kind == PEER_EV_FRAME)
                abort(); /* none was sent */
            if (rc == 1 && ev.kind != PEER_EV_READY) {
                volatile uint8_t sum = 0;
                for (size_t i = 0; i < ev.len; i++)
                    sum = (uint8_t)(sum + ev.data[i]);
            }
        }
    }
}

static void traffic(struct peer *p, const uint8_t *body, size_t len)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 1, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\4\6\5READY";
    hear(p, greeting, sizeof(greeting));
    hear(p, ready, 8);
    CHECK(p->ready);
    uint8_t head[9] = {6, 0, 0, 0, 0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len};
    hear(p, head, sizeof(head));
    hear(p, body, len);
    CHECK(p->state == PEER_TRAFFIC);
    struct outq q;
    struct iovec iov[8];
    outq_init(&q, pool);
    for (int n; (n = peer_send_iov(p, &q, iov, 8)) != 0;) {
        if (n < 0)
            continue;
        size_t total = 0;
        for (int i = 0; i < n; i++)
            total += iov[i].iov_len;
        peer_sent(p, &q, total);
    }
    outq_fini(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned what = input_u8(&in) % 4;
    int type = input_u8(&in) % 12;
    long failing = input_u8(&in);
    long live = mem_live();
    struct peer peer;
    if (in.left > 65535)
        in.left = 65535;
    if (pool_create(&pool))
        abort();
    struct peer_config cfg = {
        .pool = pool, .socket_type = type, .max_msg_size = -1, .heartbeat_timeout_ms = -1};
    if (peer_init(&peer, &cfg, 0))
        abort();
    mem_fail_at(failing);
    if (what == 0)
        properties(&peer, in.at, in.left);
    else if (what == 1)
        error(&peer, in.at, in.left);
    else if (what == 2)
        names(in.at, in.left);
    else
        traffic(&peer, in.at, in.left);
    mem_fail_at(0);
    peer_fini(&peer);
    pool_release(pool);
    CHECK_EQ(mem_live(), live);
    return 0;
}
