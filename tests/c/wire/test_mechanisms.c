/* SPDX-License-Identifier: MIT */
// needs: base msg wire
/* PLAIN, CURVE and questions before READY, both roles, with a test double for CURVE's primitives.
 */
#include "check.h"

#include <errno.h>

#include "base/bytes.h"
#include "fake_crypto.h"
#include "wire/frame.h"
#include "wire/outq_drain.h"
#include "wire/peer.h"

#define MS UINT64_C(1000000)
#define BIG 100000

static struct pool *pool;
static uint8_t server_public[32], server_secret[32], client_public[32], client_secret[32];

/* One end, a log of its events, and what it has written since the last delivery. */
struct end {
    struct peer p;
    struct outq q;
    char log[2048];
    size_t log_len;
    uint8_t *out;
    size_t out_len;
    uint64_t now;
    uint32_t refuse; /* the status that is answered; 0: let in, 1: no answer */
    struct peer_credentials shown;
    char first[64], second[64]; /* copies of what was shown */
};

static struct end ends[2];
static struct end *const client = &ends[0], *const server = &ends[1];

/* From where on in the client's stream a byte is changed, and how much was sent. */
static size_t flip_at;
static size_t client_sent;

static struct peer_config config(bool is_server, enum peer_mechanism mechanism)
{
    struct peer_config c = {
        .pool = pool,
        .socket_type = is_server ? FMQ_ROUTER : FMQ_DEALER,
        .identity = (const uint8_t *)"me",
        .identity_len = is_server ? 0 : 2,
        .max_msg_size = -1,
        .heartbeat_timeout_ms = -1,
        .handshake_ms = 1000,
    };
    c.security = (struct peer_security){
        .mechanism = mechanism,
        .server = is_server,
        .username = (const uint8_t *)"admin",
        .username_len = 5,
        .password = (const uint8_t *)"secret",
        .password_len = 6,
        .public_key = is_server ? NULL : client_public,
        .secret_key = is_server ? server_secret : client_secret,
        .server_key = server_public,
    };
    return c;
}

static int end_init(struct end *e, const struct peer_config *c)
{
    memset(e, 0, sizeof(*e));
    e->now = 1000 * MS;
    outq_init(&e->q, pool);
    return peer_init(&e->p, c, e->now);
}

static void setup(void)
{
    CHECK_EQ(pool_create(&pool), 0);
    fake_crypto_set();
    fake_state = 1;
    fake_keypair(server_public, server_secret);
    fake_keypair(client_public, client_secret);
    flip_at = SIZE_MAX;
    client_sent = 0;
}

static void start(enum peer_mechanism mechanism, bool asks)
{
    setup();
    for (int i = 0; i < 2; i++) {
        struct peer_config c = config(i == 1, mechanism);
        c.security.asks = asks && i == 1;
        CHECK_EQ(end_init(&ends[i], &c), 0);
    }
}

static void finish(void)
{
    for (int i = 0; i < 2; i++) {
        peer_fini(&ends[i].p);
        outq_fini(&ends[i].q);
        free(ends[i].out);
    }
    pool_release(pool);
}

static void note(struct end *e, const char *tag, const uint8_t *data, size_t len, const char *tail)
{
    size_t shown = len < 16 ? len : 16;
    CHECK(e->log_len + shown + 60 < sizeof(e->log));
    e->log_len += (size_t)sprintf(e->log + e->log_len, "%s", tag);
    for (size_t i = 0; i < shown; i++)
        e->log[e->log_len++] = data[i] >= 32 && data[i] < 127 ? (char)data[i] : '.';
    if (shown < len)
        e->log_len += (size_t)sprintf(e->log + e->log_len, "~%zu", len);
    e->log_len += (size_t)sprintf(e->log + e->log_len, "%s ", tail);
}

static void answer(struct end *e)
{
    peer_credentials(&e->p, &e->shown);
    char *const copies[2] = {e->first, e->second};
    for (int i = 0; i < e->shown.count; i++) {
        CHECK(e->shown.part[i].len < sizeof(e->first));
        memcpy(copies[i], e->shown.part[i].data, e->shown.part[i].len);
        copies[i][e->shown.part[i].len] = 0;
    }
    CHECK(peer_auth_pending(&e->p));
    if (e->refuse > 1) {
        peer_refuse(&e->p, e->refuse);
    } else if (e->refuse == 0) {
        struct meta *granted = meta_new();
        CHECK(granted && meta_set(granted, "User-Id", 7, "somebody", 8) == 0);
        peer_auth(&e->p, granted);
        meta_unref(granted);
    }
}

/* Takes all events. -ENOMEM is tried again: nothing may have been lost. */
static int drain(struct end *e)
{
    static const char *const tags[] = {"READY", "F:", "SUB:", "CAN:", "JOIN:", "LEAVE:", "AUTH"};
    struct peer_event ev;
    int rc, tries = 0;
    while ((rc = peer_next(&e->p, &ev)) != 0) {
        if (rc == -ENOMEM && ++tries < 5)
            continue;
        if (rc < 0)
            break;
        switch (ev.kind) {
        case PEER_EV_FRAME:
            note(e, "F:", msg_data(&ev.msg), msg_size(&ev.msg),
                 ev.msg.flags & PART_MORE ? "+" : "");
            msg_drop(&ev.msg);
            break;
        case PEER_EV_READY:
            note(e, "READY", NULL, 0, "");
            break;
        case PEER_EV_AUTH:
            note(e, "AUTH", NULL, 0, "");
            answer(e);
            break;
        default:
            note(e, tags[ev.kind], ev.data, ev.len, "");
        }
    }
    return rc;
}

/* Gives it bytes, `step` at a time, the first time `first`. */
static void feed(struct end *e, const uint8_t *data, size_t len, size_t first, size_t step)
{
    size_t most = first ? first : step;
    while (len && e->p.state != PEER_DEAD) {
        uint8_t *buf;
        size_t room;
        int tries = 0;
        while (peer_recv_buf(&e->p, &buf, &room) && ++tries < 5)
            continue;
        CHECK(tries < 5);
        size_t n = len < room ? len : room;
        n = n < most ? n : most;
        most = step;
        memcpy(buf, data, n);
        peer_recv_done(&e->p, n, e->now);
        data += n;
        len -= n;
        drain(e);
    }
}

/* Collects what it has to write in its `out`. */
static void pump(struct end *e)
{
    struct iovec iov[8];
    int n, tries = 0;
    while ((n = peer_send_iov(&e->p, &e->q, iov, 8)) != 0) {
        if (n < 0) {
            CHECK(++tries < 5);
            continue;
        }
        size_t taken = 0;
        for (int i = 0; i < n; i++) {
            uint8_t *grown = realloc(e->out, e->out_len + iov[i].iov_len);
            CHECK(grown != NULL);
            e->out = grown;
            memcpy(e->out + e->out_len, iov[i].iov_base, iov[i].iov_len);
            e->out_len += iov[i].iov_len;
            taken += iov[i].iov_len;
        }
        peer_sent(&e->p, &e->q, taken);
    }
}

static bool deliver(struct end *from, struct end *to, size_t first, size_t step)
{
    pump(from);
    if (from->out_len == 0)
        return false;
    if (from == client) {
        if (flip_at >= client_sent && flip_at < client_sent + from->out_len)
            from->out[flip_at - client_sent] ^= 0x10;
        client_sent += from->out_len;
    }
    feed(to, from->out, from->out_len, first, step);
    from->out_len = 0;
    return true;
}

/* Until both are silent. */
static void talk(size_t first, size_t step)
{
    bool any = true;
    for (int round = 0; any && round < 50; round++) {
        drain(client);
        drain(server);
        any = deliver(client, server, first, step);
        any |= deliver(server, client, first, step);
    }
    CHECK(!any);
}

static void put(struct end *e, const char *a, const char *b, size_t filler)
{
    struct msg parts[3];
    uint32_t n = 0;
    static const uint8_t fill[BIG];
    msg_init_borrowed(&parts[n++], a, strlen(a), NULL);
    if (b)
        msg_init_borrowed(&parts[n++], b, strlen(b), NULL);
    if (filler)
        msg_init_borrowed(&parts[n++], fill, filler, NULL);
    CHECK_EQ(outq_put(&e->q, parts, n), 0);
}

/* Every kind of frame, both ways. */
static void put_traffic(void)
{
    put(client, "hello", NULL, 0);
    put(client, "", "two", 0);
    put(client, "big", NULL, BIG);
    CHECK_EQ(peer_put_subscription(&client->p, &client->q, "topic", 5, true), 0);
    put(client, "last", NULL, 300);
    put(server, "answer", NULL, 20000);
    put(server, "x", "", 0);
}

#define AT_SERVER                                                                                  \
    "F:hello F:+ F:two F:big+ F:................~100000 SUB:topic F:last+ "                        \
    "F:................~300 "
#define AT_CLIENT "F:answer+ F:................~20000 F:x+ F: "

static void whole_exchange(enum peer_mechanism mechanism, bool asks, size_t first, size_t step)
{
    start(mechanism, asks);
    talk(first, step);
    CHECK(client->p.ready && server->p.ready);
    put_traffic();
    talk(first, step);
    CHECK_STR(client->log, "READY " AT_CLIENT);
    CHECK_STR(server->log, asks ? "AUTH READY " AT_SERVER : "READY " AT_SERVER);
    CHECK_EQ(client->q.msgs, 0u);
    CHECK_EQ(client->p.remote.type, FMQ_ROUTER);
    CHECK_EQ(server->p.remote.type, FMQ_DEALER);
    CHECK_EQ(server->p.remote.identity_len, 2);
    const uint8_t *value;
    size_t len;
    int rc = meta_get(server->p.remote.meta, "User-Id", &value, &len);
    CHECK_EQ(rc, asks ? 0 : -ENOENT);
    if (asks)
        CHECK_MEM(value, "somebody", 8);
    finish();
}

TEST(every_mechanism_carries_everything_however_it_is_cut)
{
    static const struct {
        enum peer_mechanism mechanism;
        bool asks;
    } kinds[] = {{PEER_MECH_NULL, false},
                 {PEER_MECH_NULL, true},
                 {PEER_MECH_PLAIN, true},
                 {PEER_MECH_CURVE, false},
                 {PEER_MECH_CURVE, true}};
    for (size_t k = 0; k < 5; k++) {
        for (size_t step = 1; step < 9; step++)
            whole_exchange(kinds[k].mechanism, kinds[k].asks, 0, step);
        for (size_t first = 1; first < 420; first++)
            whole_exchange(kinds[k].mechanism, kinds[k].asks, first, SIZE_MAX);
    }
}

TEST(server_is_shown_what_the_client_has)
{
    start(PEER_MECH_PLAIN, true);
    talk(0, SIZE_MAX);
    CHECK_STR(server->shown.mechanism, "PLAIN");
    CHECK_EQ(server->shown.count, 2);
    CHECK_STR(server->first, "admin");
    CHECK_STR(server->second, "secret");
    finish();
    start(PEER_MECH_CURVE, true);
    talk(0, SIZE_MAX);
    CHECK_STR(server->shown.mechanism, "CURVE");
    CHECK_EQ(server->shown.count, 1);
    CHECK_MEM(server->first, client_public, 32);
    finish();
    start(PEER_MECH_NULL, true);
    talk(0, SIZE_MAX);
    CHECK_STR(server->shown.mechanism, "NULL");
    CHECK_EQ(server->shown.count, 0);
    finish();
}

TEST(refused_client_is_told_400_and_500_but_not_300)
{
    static const uint32_t codes[] = {300, 400, 500};
    for (int m = 0; m < 3; m++) {
        for (int i = 0; i < 3; i++) {
            start((enum peer_mechanism)m, true);
            server->refuse = codes[i];
            talk(0, SIZE_MAX);
            CHECK_EQ(server->p.failure, PEER_FAIL_AUTH);
            CHECK_EQ(server->p.failure_code, codes[i]);
            CHECK(!client->p.ready);
            CHECK_EQ(client->p.failure, codes[i] == 300 ? PEER_OK : PEER_FAIL_AUTH);
            CHECK_EQ(client->p.failure_code, codes[i] == 300 ? 0u : codes[i]);
            finish();
        }
    }
}

TEST(peer_without_an_answer_waits_until_the_handshake_interval_is_over)
{
    start(PEER_MECH_CURVE, true);
    server->refuse = 1;
    talk(0, SIZE_MAX);
    CHECK(peer_auth_pending(&server->p) && !server->p.ready && !client->p.ready);
    CHECK_EQ(drain(server), 0);
    peer_tick(&server->p, &server->q, server->now + 1001 * MS);
    CHECK_EQ(server->p.failure, PEER_FAIL_NO_DETAIL);
    CHECK_EQ(server->p.failure_code, ETIMEDOUT);
    /* An answer that comes too late changes nothing. */
    peer_auth(&server->p, NULL);
    peer_refuse(&server->p, 400);
    CHECK_EQ(server->p.failure, PEER_FAIL_NO_DETAIL);
    finish();
}

TEST(peer_cannot_say_itself_what_only_others_say_of_it)
{
    start(PEER_MECH_NULL, false);
    peer_fini(&client->p);
    struct peer_config c = config(false, PEER_MECH_NULL);
    static const uint8_t props[] = "\7user-ID\0\0\0\4root"
                                   "\14Peer-Address\0\0\0\1z"
                                   "\5X-own\0\0\0\3yes";
    c.extra_props = props;
    c.extra_props_len = sizeof(props) - 1;
    CHECK_EQ(peer_init(&client->p, &c, client->now), 0);
    talk(0, SIZE_MAX);
    const uint8_t *value;
    size_t len;
    CHECK(server->p.ready);
    CHECK_EQ(meta_get(server->p.remote.meta, "User-Id", &value, &len), -ENOENT);
    CHECK_EQ(meta_get(server->p.remote.meta, "Peer-Address", &value, &len), -ENOENT);
    CHECK_EQ(meta_get(server->p.remote.meta, "X-own", &value, &len), 0);
    finish();
}

/* What the server has seen is the beginning of what was sent. */
static bool prefix(const char *log)
{
    static const char whole[] = "READY " AT_SERVER;
    return strncmp(whole, log, strlen(log)) == 0;
}

TEST(any_changed_byte_ends_a_curve_connection_and_nothing_false_is_delivered)
{
    start(PEER_MECH_CURVE, false);
    talk(0, SIZE_MAX);
    size_t handshake = client_sent;
    finish();
    /* The signature's length and the filler of the greeting are nobody's business, and so are the
     * padding of HELLO and what a frame says of itself outside. */
    size_t caught = 0, total = 0;
    for (size_t at = 64; at < handshake + 400; at++) {
        start(PEER_MECH_CURVE, false);
        flip_at = at;
        talk(0, SIZE_MAX);
        if (server->p.ready && client->p.ready)
            put_traffic();
        talk(0, SIZE_MAX);
        CHECK(prefix(server->log));
        caught += server->p.state == PEER_DEAD || strcmp(server->log, "READY " AT_SERVER) != 0;
        total++;
        finish();
    }
    CHECK(caught + 100 >= total);
}

static void expect_failure(struct end *e, uint32_t code)
{
    CHECK_EQ(e->p.state, PEER_DEAD);
    CHECK_EQ(e->p.failure, PEER_FAIL_PROTOCOL);
    CHECK_EQ(e->p.failure_code, code);
}

/* A client made by hand, which may lie in its vouch and begins with that nonce. */
static void initiate_by_hand(int lie, uint64_t first_nonce)
{
    uint8_t short_public[32], short_secret[32], other[32], shared[32], nonce[24], plain[600];
    setup();
    memset(ends, 0, sizeof(ends));
    struct peer_config c = config(true, PEER_MECH_CURVE);
    CHECK_EQ(end_init(server, &c), 0);
    uint8_t greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE";
    feed(server, greeting, 64, 0, SIZE_MAX);
    fake_keypair(short_public, short_secret);
    fake_random(other, 32);

    uint8_t hello[202] = "\4\xc8\5HELLO\1\0";
    memcpy(hello + 2 + 80, short_public, 32);
    put_be64(hello + 2 + 112, first_nonce);
    memcpy(nonce, "CurveZMQHELLO---", 16);
    put_be64(nonce + 16, first_nonce);
    memset(plain, 0, 64);
    fake_beforenm(shared, server_public, short_secret);
    fake_box(hello + 2 + 120, plain, 64, nonce, shared);
    feed(server, hello, sizeof(hello), 0, SIZE_MAX);

    pump(server);
    CHECK_EQ(server->out_len, 64 + 2 + 168);
    const uint8_t *welcome = server->out + 66;
    uint8_t keys[128]; /* S' and the cookie */
    memcpy(nonce, "WELCOME-", 8);
    memcpy(nonce + 8, welcome + 8, 16);
    CHECK_EQ(fake_open(keys, welcome + 24, 144, nonce, shared), 0);

    uint8_t vouch[64];
    memcpy(vouch, lie == 1 ? other : short_public, 32);
    memcpy(vouch + 32, lie == 2 ? other : server_public, 32);
    memcpy(plain, lie == 3 ? other : client_public, 32);
    fake_random(plain + 32, 16);
    memcpy(nonce, "VOUCH---", 8);
    memcpy(nonce + 8, plain + 32, 16);
    fake_beforenm(shared, keys, client_secret);
    fake_box(plain + 48, vouch, 64, nonce, shared);
    memcpy(plain + 128, "\13Socket-Type\0\0\0\6DEALER", 22);

    uint8_t initiate[9 + 113 + 16 + 150] = "\6\0\0\0\0\0\0\0";
    initiate[7] = 1;
    initiate[8] = (uint8_t)(113 + 16 + 150 - 256);
    uint8_t *body = initiate + 9;
    memcpy(body, "\10INITIATE", 9);
    memcpy(body + 9, keys + 32, 96);
    if (lie == 4)
        body[9 + 40] ^= 1;
    put_be64(body + 105, lie == 5 ? 1 : 2);
    memcpy(nonce, "CurveZMQINITIATE", 16);
    put_be64(nonce + 16, lie == 5 ? 1 : 2);
    fake_beforenm(shared, keys, short_secret);
    fake_box(body + 113, plain, 150, nonce, shared);
    feed(server, initiate, sizeof(initiate), 0, SIZE_MAX);
    if (lie == 0) {
        CHECK_STR(server->log, "READY ");
    } else {
        CHECK_STR(server->log, "");
        CHECK_EQ(server->p.failure_code,
                 lie == 5 ? PROTO_ZMTP_INVALID_SEQUENCE : PROTO_ZMTP_CRYPTOGRAPHIC);
    }
    peer_fini(&server->p);
    outq_fini(&server->q);
    free(server->out);
    pool_release(pool);
}

TEST(a_vouch_counts_only_for_this_connection_this_server_and_the_key_shown)
{
    for (int lie = 0; lie < 6; lie++)
        initiate_by_hand(lie, 1);
}

TEST(a_hello_may_begin_with_nonce_0)
{
    initiate_by_hand(0, 0);
}

TEST(wrong_keys_do_not_get_through)
{
    uint8_t other_public[32], other_secret[32];
    /* 0: another server's key; 1: a public key without its secret; 2: a key of zeros */
    static const uint8_t zeros[32];
    for (int kind = 0; kind < 3; kind++) {
        start(PEER_MECH_CURVE, false);
        fake_keypair(other_public, other_secret);
        struct peer_config c = config(false, PEER_MECH_CURVE);
        if (kind == 0)
            c.security.server_key = other_public;
        else if (kind == 1)
            c.security.public_key = other_public;
        else
            c.security.server_key = zeros;
        peer_fini(&client->p);
        CHECK_EQ(peer_init(&client->p, &c, client->now), 0);
        talk(0, SIZE_MAX);
        CHECK(!client->p.ready && !server->p.ready);
        if (kind == 2)
            expect_failure(client, PROTO_ZMTP_KEY_EXCHANGE);
        else
            expect_failure(server, PROTO_ZMTP_CRYPTOGRAPHIC);
        finish();
    }
}

static void connected_curve(void)
{
    start(PEER_MECH_CURVE, false);
    talk(0, SIZE_MAX);
    CHECK(client->p.ready && server->p.ready);
}

/* Where an end of a connection keeps its own secret key, which it has to do at first. */
static const uint8_t *secret_of(const struct end *e, const uint8_t *key)
{
    const uint8_t *at = (const uint8_t *)e->p.mech;
    while (memcmp(at, key, 32) != 0)
        at++;
    return at;
}

TEST(secret_keys_are_wiped_when_the_handshake_is_over)
{
    static const uint8_t zeros[32];
    start(PEER_MECH_CURVE, false);
    const uint8_t *const kept[] = {secret_of(client, client_secret),
                                   secret_of(server, server_secret)};
    talk(0, SIZE_MAX);
    CHECK(client->p.ready && server->p.ready);
    for (int i = 0; i < 2; i++)
        CHECK(memcmp(kept[i], zeros, sizeof(zeros)) == 0);
    finish();
}

TEST(replayed_message_ends_the_connection)
{
    connected_curve();
    put(client, "once", NULL, 0);
    pump(client);
    feed(server, client->out, client->out_len, 0, SIZE_MAX);
    CHECK_STR(server->log, "READY F:once ");
    feed(server, client->out, client->out_len, 0, SIZE_MAX);
    CHECK_STR(server->log, "READY F:once ");
    expect_failure(server, PROTO_ZMTP_INVALID_SEQUENCE);
    finish();
}

TEST(server_and_client_do_not_take_their_own_messages_back)
{
    connected_curve();
    put(server, "mine", NULL, 0);
    pump(server);
    feed(server, server->out, server->out_len, 0, SIZE_MAX);
    CHECK_EQ(server->p.state, PEER_DEAD);
    finish();
}

TEST(a_curve_client_without_keys_of_its_own_is_not_made)
{
    setup();
    memset(ends, 0, sizeof(ends));
    struct peer_config c = config(false, PEER_MECH_CURVE);
    fake_has_no_keys = true;
    int rc = end_init(client, &c);
    fake_has_no_keys = false;
    CHECK_EQ(rc, -EINVAL);
    pool_release(pool);
}

TEST(nothing_in_the_clear_is_taken_after_a_curve_handshake)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t code;
    } cases[] = {
        {"\0\5hello", 7, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {"\4\12\4PING\0\0abc", 12, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {"\4\6\5ERROR", 8, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {"\0\0", 2, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {"\0\x10\7MESSAGE01234567", 18, PROTO_ZMTP_MALFORMED_MESSAGE},
        {"\0\x21\7MESSAGE\xff\xff\xff\xff\xff\xff\xff\xff"
         "0123456789abcdef!",
         35, PROTO_ZMTP_CRYPTOGRAPHIC},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        connected_curve();
        feed(server, (const uint8_t *)cases[i].bytes, cases[i].len, 0, SIZE_MAX);
        expect_failure(server, cases[i].code);
        CHECK_STR(server->log, "READY ");
        finish();
    }
}

TEST(handshake_commands_of_wrong_size_or_order_are_named)
{
    static const char greeting[] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE";
    static const struct {
        enum peer_mechanism mechanism;
        bool server;
        const char *command;
        size_t len;
        uint32_t code;
    } cases[] = {
        {PEER_MECH_CURVE, true, "\5HELLO\1\0", 199, PROTO_ZMTP_MALFORMED_HELLO},
        {PEER_MECH_CURVE, true, "\5HELLO\1\0", 201, PROTO_ZMTP_MALFORMED_HELLO},
        {PEER_MECH_CURVE, true, "\5HELLO\2\0", 200, PROTO_ZMTP_MALFORMED_HELLO},
        {PEER_MECH_CURVE, true, "\5HELLO\1\0", 200, PROTO_ZMTP_CRYPTOGRAPHIC}, /* no box */
        {PEER_MECH_CURVE, true, "\10INITIATE", 300, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_CURVE, true, "\7MESSAGE", 100, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_CURVE, true, "\5ERROR\0", 7, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_CURVE, false, "\7WELCOME", 167, PROTO_ZMTP_MALFORMED_WELCOME},
        {PEER_MECH_CURVE, false, "\7WELCOME", 168, PROTO_ZMTP_CRYPTOGRAPHIC},
        {PEER_MECH_CURVE, false, "\5READY", 100, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_PLAIN, true, "\5HELLO\1a\1", 9, PROTO_ZMTP_MALFORMED_HELLO},
        {PEER_MECH_PLAIN, true, "\5HELLO\1a\1bc", 11, PROTO_ZMTP_MALFORMED_HELLO},
        {PEER_MECH_PLAIN, true, "\5HELLO", 6, PROTO_ZMTP_MALFORMED_HELLO},
        {PEER_MECH_PLAIN, true, "\10INITIATE", 9, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_PLAIN, true, "\5READY", 6, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_PLAIN, false, "\7WELCOME!", 9, PROTO_ZMTP_MALFORMED_WELCOME},
        {PEER_MECH_PLAIN, false, "\5READY", 6, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_PLAIN, false, "\5ERROR\5", 7, PROTO_ZMTP_MALFORMED_ERROR},
        {PEER_MECH_PLAIN, false, "^RROR\5", 6, PROTO_ZMTP_MALFORMED_ERROR},
        {PEER_MECH_PLAIN, false, "^RROR", 5, PROTO_ZMTP_MALFORMED_ERROR},
        {PEER_MECH_PLAIN, false, "^RROR\3no!", 9, PROTO_ZMTP_UNSPECIFIED},
        {PEER_MECH_PLAIN, false, "^RRO", 4, PROTO_ZMTP_UNEXPECTED_COMMAND},
        {PEER_MECH_PLAIN, false, "", 0, PROTO_ZMTP_UNEXPECTED_COMMAND},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        setup();
        memset(ends, 0, sizeof(ends));
        struct peer_config c = config(cases[i].server, cases[i].mechanism);
        struct end *e = cases[i].server ? server : client;
        CHECK_EQ(end_init(e, &c), 0);
        uint8_t bytes[64 + 2 + 512] = {0};
        memcpy(bytes, greeting, sizeof(greeting) - 1);
        if (cases[i].mechanism == PEER_MECH_PLAIN)
            memcpy(bytes + 12, "PLAIN", 5);
        size_t head = frame_build_v2(bytes + 64, FRAME_COMMAND, cases[i].len);
        size_t text = strlen(cases[i].command);
        memcpy(bytes + 64 + head, cases[i].command, text < cases[i].len ? text : cases[i].len);
        feed(e, bytes, 64 + head + cases[i].len, 0, SIZE_MAX);
        expect_failure(e, cases[i].code);
        peer_fini(&e->p);
        outq_fini(&e->q);
        pool_release(pool);
    }
}

TEST(secured_peers_speak_no_older_protocol)
{
    static const char old[][12] = {"\xff\0\0\0\0\0\0\0\1\x7f\0", "\xff\0\0\0\0\0\0\0\1\x7f\1"};
    for (int m = 0; m < 3; m++) {
        for (int kind = 0; kind < 3; kind++) {
            setup();
            memset(ends, 0, sizeof(ends));
            struct peer_config c = config(true, (enum peer_mechanism)m);
            c.security.asks = true;
            CHECK_EQ(end_init(server, &c), 0);
            if (kind < 2)
                feed(server, (const uint8_t *)old[kind], 11, 0, SIZE_MAX);
            else
                feed(server, (const uint8_t *)"\1\0", 2, 0, SIZE_MAX);
            expect_failure(server, PROTO_ZMTP_MECHANISM_MISMATCH);
            peer_fini(&server->p);
            outq_fini(&server->q);
            pool_release(pool);
        }
    }
}

TEST(heartbeats_go_inside_the_boxes)
{
    setup();
    for (int i = 0; i < 2; i++) {
        struct peer_config c = config(i == 1, PEER_MECH_CURVE);
        c.heartbeat_ivl_ms = i == 0 ? 10 : 0;
        CHECK_EQ(end_init(&ends[i], &c), 0);
    }
    talk(0, SIZE_MAX);
    client->now += 11 * MS;
    peer_tick(&client->p, &client->q, client->now);
    pump(client);
    CHECK(client->out_len > 33 && client->out[0] == 0);
    CHECK(!memmem(client->out, client->out_len, "PING", 4));
    client->now += 1 * MS;
    talk(0, SIZE_MAX);
    CHECK_EQ(client->p.heartbeat.rtt_ns, 1 * MS);
    finish();
}

TEST(limits_are_on_the_payload_and_not_on_its_wrapping)
{
    for (size_t size = 999; size < 1002; size++) {
        setup();
        for (int i = 0; i < 2; i++) {
            struct peer_config c = config(i == 1, PEER_MECH_CURVE);
            c.max_msg_size = i == 1 ? 1000 : -1;
            c.max_parts = i == 1 ? 2 : 0;
            CHECK_EQ(end_init(&ends[i], &c), 0);
        }
        talk(0, SIZE_MAX);
        put(client, "a", NULL, size);
        talk(0, SIZE_MAX);
        CHECK_EQ(server->p.state == PEER_DEAD, size > 1000);
        if (size <= 1000) {
            put(client, "a", "b", 1);
            talk(0, SIZE_MAX);
            expect_failure(server, PROTO_ZMTP_MALFORMED_MESSAGE);
        }
        finish();
    }
}

TEST(only_a_bounded_amount_is_encrypted_ahead_of_the_kernel)
{
    connected_curve();
    for (int i = 0; i < 1000; i++)
        put(client, "0123456789", NULL, 990);
    struct iovec iov[8];
    CHECK(peer_send_iov(&client->p, &client->q, iov, 8) > 0);
    CHECK(client->p.tx.buf.bytes < (64 << 10) + 2200);
    CHECK(client->q.msgs > 900 && client->q.msgs < 1000);
    finish();
}

TEST(message_that_was_encrypted_in_part_is_dropped_whole_with_its_connection)
{
    connected_curve();
    put(client, "begun", NULL, BIG);
    CHECK_EQ(outq_put_command(&client->q, "\4PING", 5, "", 0), 0);
    put(client, "next", NULL, 0);
    /* Encrypted: the first part, and the second since 64 KiB were not reached before it. */
    struct msg extra[3];
    static const uint8_t fill[BIG];
    outq_fini(&client->q);
    outq_init(&client->q, pool);
    for (int i = 0; i < 3; i++)
        msg_init_borrowed(&extra[i], fill, BIG, NULL);
    CHECK_EQ(outq_put(&client->q, extra, 3), 0);
    put(client, "next", NULL, 0);
    struct iovec iov[8];
    CHECK(peer_send_iov(&client->p, &client->q, iov, 8) > 0);
    CHECK_EQ(client->q.msgs, 2u);
    outq_rewind(&client->q);
    CHECK_EQ(client->q.msgs, 1u);
    struct msg m;
    CHECK_EQ(outq_take(&client->q, &m), 1);
    CHECK_MEM(msg_data(&m), "next", 4);
    msg_drop(&m);
    finish();
}

TEST(garbage_at_any_moment_is_survived)
{
    for (int round = 0; round < 3000; round++) {
        start((enum peer_mechanism)(round % 3), round % 2);
        size_t rounds = check_below(4);
        for (size_t i = 0; i < rounds; i++) {
            deliver(client, server, 0, SIZE_MAX);
            deliver(server, client, 0, SIZE_MAX);
        }
        uint8_t noise[300];
        size_t len = 1 + check_below(sizeof(noise));
        for (size_t i = 0; i < len; i++)
            noise[i] = (uint8_t)check_below(256);
        if (check_below(2))
            noise[0] = (uint8_t)check_below(8);
        feed(check_below(2) ? client : server, noise, len, 0, 1 + check_below(64));
        talk(0, SIZE_MAX);
        finish();
    }
}

#ifdef FMQ_DEBUG
TEST(an_encrypted_pong_that_finds_no_memory_says_so_and_goes_later)
{
    start(PEER_MECH_CURVE, false);
    talk(0, SIZE_MAX);
    CHECK(client->p.ready && server->p.ready);
    static const char ping[] = "\4PING", body[] = "\0\0x";
    CHECK_EQ(outq_put_command(&client->q, ping, 5, body, 3), 0);
    deliver(client, server, 0, SIZE_MAX);
    CHECK_EQ(server->p.heartbeat.pongs_due, 1);
    outq_trim(&server->q);
    struct iovec iov[8];
    mem_fail_at(1);
    CHECK_EQ(peer_send_iov(&server->p, &server->q, iov, 8), -ENOMEM);
    CHECK(mem_failed() > 0);
    mem_fail_at(0);
    CHECK(peer_send_iov(&server->p, &server->q, iov, 8) > 0);
    CHECK_EQ(server->p.heartbeat.pongs_due, 0);
    finish();
}

TEST(any_allocation_of_a_handshake_may_fail)
{
    for (int m = 0; m < 3; m++) {
        for (long nth = 1; nth < 60; nth++) {
            setup();
            int rc = 0;
            mem_fail_at(nth);
            memset(ends, 0, sizeof(ends));
            for (int i = 0; i < 2 && rc == 0; i++) {
                struct peer_config c = config(i == 1, (enum peer_mechanism)m);
                c.security.asks = i == 1 && m == 1;
                rc = end_init(&ends[i], &c);
                CHECK(rc == 0 || rc == -ENOMEM);
            }
            if (rc == 0) {
                server->refuse = 1;
                talk(0, SIZE_MAX);
                mem_fail_at(0);
                peer_auth(&server->p, NULL);
                talk(0, SIZE_MAX);
                CHECK(client->p.ready && server->p.ready);
                mem_fail_at(nth);
                struct msg one;
                msg_init_borrowed(&one, "hello", 5, NULL);
                while (outq_put(&client->q, &one, 1))
                    continue;
                talk(0, SIZE_MAX);
                mem_fail_at(0);
                talk(0, SIZE_MAX);
                CHECK(strstr(server->log, "F:hello ") != NULL);
            }
            mem_fail_at(0);
            finish();
        }
    }
}
#endif
