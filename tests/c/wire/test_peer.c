/* SPDX-License-Identifier: MIT */
// needs: base msg wire
#include "check.h"

#include <errno.h>

#include "base/bytes.h"
#include "include/fastmq.h"
#include "wire/outq_drain.h"
#include "wire/peer.h"

#define MS UINT64_C(1000000)
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* Ten bytes of signature for an empty identity; the rest of a greeting of 3.0 or 3.1. */
#define SIGNATURE "\xff\0\0\0\0\0\0\0\1\x7f"
#define ZEROS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define NULL_REST "NULL" ZEROS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" ZEROS_16
#define GREETING_31 SIGNATURE "\3\1" NULL_REST
#define GREETING_30 SIGNATURE "\3\0" NULL_REST
#define READY_PULL "\4\x1a\5READY\13Socket-Type\0\0\0\4PULL"
#define READY_SUB "\4\x19\5READY\13Socket-Type\0\0\0\3SUB"

_Static_assert(sizeof(GREETING_31) - 1 == 64, "a greeting has 64 bytes");

/* One end: a peer with its queue, and a log of what its events were. */
struct end {
    struct peer p;
    struct outq q;
    char log[4096];
    size_t log_len;
    uint8_t out[65536]; /* what it wrote */
    size_t out_len;
    uint64_t now;
    int frames;
    int rc; /* of the last peer_next */
};

static struct pool *pool;

static struct peer_config config(int type)
{
    struct peer_config c = {
        .pool = pool, .socket_type = type, .max_msg_size = -1, .heartbeat_timeout_ms = -1};
    return c;
}

static struct end *end_new(const struct peer_config *cfg)
{
    struct end *e = calloc(1, sizeof(*e));
    e->now = 1000 * MS;
    outq_init(&e->q, pool);
    CHECK_EQ(peer_init(&e->p, cfg, e->now), 0);
    return e;
}

static void end_free(struct end *e)
{
    peer_fini(&e->p);
    outq_fini(&e->q);
    free(e);
}

static struct end *end_of(int type)
{
    struct peer_config c = config(type);
    return end_new(&c);
}

static void note(struct end *e, const char *tag, const uint8_t *data, size_t len, const char *tail)
{
    size_t shown = len < 20 ? len : 20;
    if (e->log_len + shown + 40 > sizeof(e->log))
        return;
    e->log_len += (size_t)sprintf(e->log + e->log_len, "%s", tag);
    for (size_t i = 0; i < shown; i++)
        e->log[e->log_len++] = data[i] >= 32 && data[i] < 127 ? (char)data[i] : '.';
    if (shown < len)
        e->log_len += (size_t)sprintf(e->log + e->log_len, "~%zu", len);
    e->log_len += (size_t)sprintf(e->log + e->log_len, "%s ", tail);
}

static void drain(struct end *e)
{
    struct peer_event ev;
    struct msg m;
    for (;;) {
        if (check_below(2) && peer_next_small(&e->p, &m)) {
            ev.kind = PEER_EV_FRAME;
            ev.msg = m;
            e->rc = 1;
        } else {
            e->rc = peer_next(&e->p, &ev);
        }
        if (e->rc <= 0)
            return;
        switch (ev.kind) {
        case PEER_EV_READY:
            note(e, "READY", NULL, 0, "");
            break;
        case PEER_EV_FRAME:
            e->frames++;
            note(e, "F:", msg_data(&ev.msg), msg_size(&ev.msg),
                 ev.msg.flags & PART_MORE ? "+" : "");
            CHECK((ev.msg.flags & ~PART_MORE) == 0);
            msg_drop(&ev.msg);
            break;
        default: {
            static const char *const tags[] = {"", "", "SUB:", "CAN:", "JOIN:", "LEAVE:"};
            note(e, tags[ev.kind], ev.data, ev.len, "");
        }
        }
    }
}

/* Gives it bytes, at most `step` at a time, and takes the events. */
static void feed(struct end *e, const uint8_t *data, size_t len, size_t step)
{
    while (len && e->p.state != PEER_DEAD) {
        uint8_t *buf;
        size_t room;
        CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
        CHECK(room > 0);
        size_t n = len < room ? len : room;
        if (n > step)
            n = step;
        memcpy(buf, data, n);
        peer_recv_done(&e->p, n, e->now);
        data += n;
        len -= n;
        drain(e);
    }
}

/* Moves what it has to say into `out`. */
static void pump(struct end *e)
{
    struct iovec iov[8];
    int n;
    while ((n = peer_send_iov(&e->p, &e->q, iov, 8)) > 0) {
        size_t taken = 0;
        for (int i = 0; i < n; i++) {
            CHECK(e->out_len + iov[i].iov_len <= sizeof(e->out));
            memcpy(e->out + e->out_len, iov[i].iov_base, iov[i].iov_len);
            e->out_len += iov[i].iov_len;
            taken += iov[i].iov_len;
        }
        peer_sent(&e->p, &e->q, taken);
    }
    CHECK_EQ(n, 0);
    CHECK(!peer_wants_write(&e->p, &e->q));
}

static void expect_out(struct end *e, const uint8_t *bytes, size_t len)
{
    pump(e);
    CHECK_EQ(e->out_len, len);
    CHECK_MEM(e->out, bytes, len);
    e->out_len = 0;
}

static void setup(void)
{
    CHECK_EQ(pool_create(&pool), 0);
}

/* A canned peer's bytes give this log, and those bytes back, however they are cut. */
static void transcript(const struct peer_config *cfg, const uint8_t *in, size_t in_len,
                       const char *log, const uint8_t *out, size_t out_len)
{
    for (size_t cut = 0; cut <= in_len; cut++) {
        struct end *e = end_new(cfg);
        feed(e, in, cut, SIZE_MAX);
        if (cut % 2)
            pump(e);
        feed(e, in + cut, in_len - cut, SIZE_MAX);
        CHECK_STR(e->log, log);
        if (out)
            expect_out(e, out, out_len);
        end_free(e);
    }
    for (size_t step = 1; step < 6; step++) {
        struct end *e = end_new(cfg);
        feed(e, in, in_len, step);
        CHECK_STR(e->log, log);
        end_free(e);
    }
}

TEST(peer_of_3_1_is_understood_however_it_is_cut)
{
    static const char in[] = GREETING_31 READY_PULL "\0\5hello"
                                                    "\1\1a\0\0"
                                                    "\2\0\0\0\0\0\0\0\3abc";
    setup();
    struct peer_config c = config(FMQ_PUSH);
    transcript(&c, BYTES(in), "READY F:hello F:a+ F: F:abc ",
               BYTES(GREETING_31 "\4\x1a\5READY\13Socket-Type\0\0\0\4PUSH"));
    pool_release(pool);
}

TEST(peer_of_3_0_gets_subscriptions_as_messages)
{
    setup();
    struct end *e = end_of(FMQ_SUB);
    feed(e, BYTES(GREETING_30 "\4\x19\5READY\13Socket-Type\0\0\0\3PUB"), 7);
    CHECK_STR(e->log, "READY ");
    CHECK_EQ(e->p.version_minor, 0);
    pump(e);
    e->out_len = 0;
    CHECK_EQ(peer_put_subscription(&e->p, &e->q, "ab", 2, true), 0);
    CHECK_EQ(peer_put_subscription(&e->p, &e->q, "ab", 2, false), 0);
    expect_out(e, BYTES("\0\3\1ab\0\3\0ab"));
    char topic[255];
    memset(topic, 't', sizeof(topic));
    CHECK_EQ(peer_put_subscription(&e->p, &e->q, topic, 255, true), 0);
    pump(e);
    CHECK_EQ(e->out_len, 9 + 256);
    CHECK_MEM(e->out, "\2\0\0\0\0\0\0\1\0\1t", 11);
    end_free(e);
    pool_release(pool);
}

TEST(peer_of_3_1_gets_subscriptions_as_commands)
{
    setup();
    struct end *e = end_of(FMQ_XSUB);
    feed(e, BYTES(GREETING_31 "\4\x19\5READY\13Socket-Type\0\0\0\3PUB"), 1000);
    pump(e);
    e->out_len = 0;
    CHECK_EQ(peer_put_subscription(&e->p, &e->q, "ab", 2, true), 0);
    CHECK_EQ(peer_put_subscription(&e->p, &e->q, "", 0, false), 0);
    expect_out(e, BYTES("\4\14\11SUBSCRIBEab\4\7\6CANCEL"));
    end_free(e);
    pool_release(pool);
}

TEST(peer_that_does_not_say_its_type_has_none)
{
    setup();
    struct end *e = end_of(FMQ_DEALER);
    feed(e, BYTES(GREETING_31 "\4\6\5READY"), 1000);
    CHECK_STR(e->log, "READY ");
    CHECK_EQ(e->p.remote.type, -1);
    end_free(e);
    pool_release(pool);
}

TEST(peer_cannot_say_what_only_the_socket_says_of_it)
{
    setup();
    struct end *e = end_of(FMQ_DEALER);
    feed(e,
         BYTES(GREETING_31 "\4\x25\5READY\7USER-Id\0\0\0\1x"
                           "\14Peer-Address\0\0\0\1y"),
         1000);
    CHECK_STR(e->log, "READY ");
    const uint8_t *v;
    size_t len;
    CHECK(e->p.remote.meta);
    CHECK(meta_get(e->p.remote.meta, "User-Id", &v, &len) != 0);
    CHECK(meta_get(e->p.remote.meta, "Peer-Address", &v, &len) != 0);
    end_free(e);
    pool_release(pool);
}

TEST(ids_that_begin_with_a_zero_are_reserved)
{
    const uint8_t id[] = {0, 1};
    CHECK(!peer_identity_is_reserved(id, 0));
    CHECK(peer_identity_is_reserved(id, 1));
    CHECK(peer_identity_is_reserved(id, 2));
    CHECK(!peer_identity_is_reserved(id + 1, 1));
}

TEST(bytes_of_which_no_event_was_made_are_buffered)
{
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    CHECK(!peer_buffered(&e->p));
    uint8_t *buf;
    size_t room;
    CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
    memcpy(buf, "\0\1a", 3);
    peer_recv_done(&e->p, 3, e->now);
    CHECK(peer_buffered(&e->p));
    struct peer_event ev;
    CHECK_EQ(peer_next(&e->p, &ev), 1);
    CHECK_EQ(msg_size(&ev.msg), 1);
    msg_drop(&ev.msg);
    CHECK(!peer_buffered(&e->p));
    end_free(e);
    pool_release(pool);
}

TEST(peer_of_2_0_is_understood_however_it_is_cut)
{
    setup();
    struct peer_config c = config(FMQ_DEALER);
    c.identity = (const uint8_t *)"me";
    c.identity_len = 2;
    /* Type 6 ROUTER, identity "you", a message. */
    transcript(&c, BYTES(SIGNATURE "\1\6\0\3you\1\1x\0\1y"), "READY F:x+ F:y ",
               BYTES("\xff\0\0\0\0\0\0\0\3\x7f\3\5\0\2me"));
    struct end *e = end_new(&c);
    feed(e, BYTES(SIGNATURE "\1\6\0\3you"), 3);
    CHECK_EQ(e->p.remote.type, FMQ_ROUTER);
    CHECK_EQ(e->p.remote.identity_len, 3);
    CHECK_MEM(e->p.remote.identity, "you", 3);
    CHECK_EQ(e->p.version_major, 2);
    end_free(e);
    pool_release(pool);
}

TEST(peer_of_1_0_without_version_is_understood_however_it_is_cut)
{
    setup();
    struct peer_config c = config(FMQ_PUB);
    c.identity = (const uint8_t *)"me";
    c.identity_len = 2;
    transcript(&c, BYTES("\1\0\2\0x\3\1yz\1\0"),
               "READY SUB: F:x F:yz+ F: ", BYTES("\xff\0\0\0\0\0\0\0\3\x7fme"));
    /* An identity so long that its frame begins with ff. */
    static uint8_t in[10 + 255 + 3];
    memset(in, 'i', sizeof(in));
    memcpy(in, "\xff\0\0\0\0\0\0\1\0\0", 10);
    memcpy(in + 265, "\2\0x", 3);
    transcript(&c, in, sizeof(in), "READY SUB: F:x ", NULL, 0);
    pool_release(pool);
}

TEST(peer_of_1_0_with_version_is_understood)
{
    setup();
    struct peer_config c = config(FMQ_PULL);
    transcript(&c, BYTES(SIGNATURE "\0\10\1\0\2\0x"), "READY F:x ", BYTES(SIGNATURE "\3\7\1\0"));
    pool_release(pool);
}

TEST(messages_to_1_0_peers_are_framed_anew)
{
    setup();
    struct end *e = end_of(FMQ_PUSH);
    static uint8_t big[300 + 20000];
    struct msg parts[3];
    memset(big, 'b', sizeof(big));
    feed(e, BYTES("\1\0"), 1);
    pump(e);
    e->out_len = 0;
    CHECK_EQ(outq_put_copy(&e->q, "abc", 3), 0);
    /* A command left from another connection is no message. */
    CHECK_EQ(outq_put_command(&e->q, "\4PING", 5, "\0\0", 2), 0);
    msg_init_borrowed(&parts[0], big, 253, NULL);
    msg_init_borrowed(&parts[1], big, 254, NULL);
    msg_init_borrowed(&parts[2], big, 20000, NULL);
    CHECK_EQ(outq_put(&e->q, parts, 3), 0);
    pump(e);
    CHECK_MEM(e->out, "\4\0abc\xfe\1b", 8);
    CHECK_MEM(e->out + 5 + 255, "\xff\0\0\0\0\0\0\0\xff\1b", 11);
    CHECK_MEM(e->out + 5 + 255 + 264, "\xff\0\0\0\0\0\0\x4e\x21\0b", 11);
    CHECK_EQ(e->out_len, 5 + 255 + 264 + 20010);
    CHECK_EQ(e->q.msgs, 0);
    end_free(e);
    pool_release(pool);
}

TEST(signature_alone_goes_out_before_the_peer_speaks)
{
    setup();
    struct end *e = end_of(FMQ_PAIR);
    expect_out(e, BYTES(SIGNATURE));
    feed(e, BYTES(SIGNATURE), 3);
    expect_out(e, BYTES("\3"));
    feed(e, BYTES("\3"), 1);
    expect_out(e, BYTES("\1" NULL_REST));
    CHECK_EQ(outq_put_copy(&e->q, "early", 5), 0);
    feed(e, BYTES("\1" NULL_REST), 10);
    expect_out(e, BYTES("\4\x1a\5READY\13Socket-Type\0\0\0\4PAIR"));
    feed(e, BYTES("\4\x1a\5READY\13Socket-Type\0\0\0\4PAIR"), 10);
    expect_out(e, BYTES("\0\5early"));
    end_free(e);
    pool_release(pool);
}

TEST(ready_carries_identity_and_the_programs_own_properties)
{
    setup();
    struct peer_config c = config(FMQ_REQ);
    c.identity = (const uint8_t *)"me";
    c.identity_len = 2;
    c.extra_props = (const uint8_t *)"\3X-A\0\0\0\1v";
    c.extra_props_len = 9;
    struct end *e = end_new(&c);
    feed(e, BYTES(GREETING_31), 100);
    pump(e);
    static const char ready[] = "\4\x31\5READY\13Socket-Type\0\0\0\3REQ\10Identity\0\0\0\2me"
                                "\3X-A\0\0\0\1v";
    CHECK_MEM(e->out + 64, ready, sizeof(ready) - 1);
    CHECK_EQ(e->out_len, 64 + sizeof(ready) - 1);
    feed(e, BYTES("\0\x33\5READY\13SOCKET-type\0\0\0\3REP\10identitY\0\0\0\3you\3X-B\0\0\0\2vw"),
         3);
    CHECK_STR(e->log, "READY ");
    CHECK_EQ(e->p.remote.type, FMQ_REP);
    CHECK_EQ(e->p.remote.identity_len, 3);
    const uint8_t *v;
    size_t len;
    CHECK_EQ(meta_get(e->p.remote.meta, "x-b", &v, &len), 0);
    CHECK_EQ(len, 2);
    CHECK_MEM(v, "vw", 2);
    end_free(e);
    pool_release(pool);
}

TEST(commands_after_the_handshake_become_events_or_are_ignored)
{
    setup();
    struct peer_config c = config(FMQ_XPUB);
    transcript(&c,
               BYTES(GREETING_31 READY_SUB "\4\13\11SUBSCRIBEa"
                                           "\4\11\6CANCELbb"
                                           "\5\13\11SUBSCRIBEx"
                                           "\4\0"
                                           "\4\3\7no"
                                           "\4\5\4WHAT"
                                           "\0\2\1m"
                                           "\4\6\4JOINg"
                                           "\4\7\5LEAVEg"
                                           "\6\0\0\0\0\0\0\0\14\11SUBSCRIBEzz"),
               "READY SUB:a CAN:bb F:.m JOIN:g LEAVE:g SUB:zz ", NULL, 0);
    pool_release(pool);
}

/* The peer dies of these bytes, however they are cut, for this reason, after these events. */
static void dies(const struct peer_config *cfg, const uint8_t *in, size_t len,
                 enum peer_failure why, uint32_t code, const char *log)
{
    for (size_t step = 1; step <= len; step = step < 20 ? step + 1 : step * 2) {
        struct end *e = end_new(cfg);
        struct peer_event ev;
        feed(e, in, len, step);
        CHECK_EQ(e->p.state, PEER_DEAD);
        CHECK_EQ(e->rc, -EPROTO);
        CHECK_EQ(e->p.failure, why);
        CHECK_EQ(e->p.failure_code, code);
        CHECK_STR(e->log, log);
        CHECK_EQ(peer_next(&e->p, &ev), -EPROTO);
        CHECK_EQ(peer_tick(&e->p, &e->q, e->now + 1), UINT64_MAX);
        end_free(e);
    }
}

TEST(faults_end_the_connection_with_their_code)
{
    setup();
    struct peer_config c = config(FMQ_PUSH);
    enum peer_failure proto = PEER_FAIL_PROTOCOL;
#define G GREETING_31
    dies(&c, BYTES(SIGNATURE "\3\1PLAIN" ZEROS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" ZEROS_16), proto,
         PROTO_ZMTP_MECHANISM_MISMATCH, "");
    dies(&c, BYTES(G "\4\x19\5READY\13Socket-Type\0\0\0\3PUB"), proto, PROTO_ZMTP_INVALID_METADATA,
         "");
    dies(&c, BYTES(G "\4\x19\5READY\13Socket-Type\0\0\0\3XYZ"), proto, PROTO_ZMTP_INVALID_METADATA,
         "");
    dies(&c, BYTES(G "\4\x19\5READY\13Socket-Type\0\0\0\4PUL"), proto, PROTO_ZMTP_INVALID_METADATA,
         "");
    dies(&c, BYTES(G "\4\7\5READY\1"), proto, PROTO_ZMTP_INVALID_METADATA, "");
    dies(&c, BYTES(G "\4\14\5READY\1a\xff\xff\xff\xff"), proto, PROTO_ZMTP_INVALID_METADATA, "");
    dies(&c, BYTES(G "\4\5READY"), proto, PROTO_ZMTP_UNEXPECTED_COMMAND, "");
    dies(&c, BYTES(G "\0\5hello"), proto, PROTO_ZMTP_UNEXPECTED_COMMAND, "");
    dies(&c, BYTES(G "\4\0"), proto, PROTO_ZMTP_UNEXPECTED_COMMAND, "");
    dies(&c, BYTES(G "\4\6\5ERROR"), proto, PROTO_ZMTP_MALFORMED_ERROR, "");
    dies(&c,
         BYTES(G "\4\x0a\5ERROR\4"
                 "400"),
         proto, PROTO_ZMTP_MALFORMED_ERROR, "");
    dies(&c, BYTES(G "\4\7\5ERROR\0"), proto, PROTO_ZMTP_UNSPECIFIED, "");
    dies(&c, BYTES(G "\4\x0a\5ERROR\003no!"), proto, PROTO_ZMTP_UNSPECIFIED, "");
    dies(&c, BYTES(G "\4\x0a\5ERROR\003300"), PEER_FAIL_AUTH, 300, "");
    dies(&c, BYTES(G "\4\x0a\5ERROR\003400"), PEER_FAIL_AUTH, 400, "");
    dies(&c, BYTES(G "\4\x0a\5ERROR\003500"), PEER_FAIL_AUTH, 500, "");
    dies(&c, BYTES(G "\4\x0a\5ERROR\003600"), proto, PROTO_ZMTP_UNSPECIFIED, "");
    /* Longer than any handshake. */
    dies(&c, BYTES(G "\6\0\0\0\0\0\1\0\1"), proto, PROTO_ZMTP_MALFORMED_MESSAGE, "");
    dies(&c, BYTES(G READY_PULL "\2\xff\0\0\0\0\0\0\0"), proto, PROTO_ZMTP_MALFORMED_MESSAGE,
         "READY ");
    dies(&c, BYTES("\0"), proto, PROTO_ZMTP_MALFORMED_MESSAGE, "");
    dies(&c,
         BYTES("\1\0"
               "\xff\0\0\0\0\0\0\0\0"),
         proto, PROTO_ZMTP_MALFORMED_MESSAGE, "READY ");
    dies(&c, BYTES(SIGNATURE "\1\7\2\0\0\0\0\0\0\1\0"), proto, PROTO_ZMTP_INVALID_METADATA, "");

    c.max_msg_size = 4;
    /* The handshake has its own limit. */
    dies(&c, BYTES(G READY_PULL "\0\5"), proto, PROTO_ZMTP_MALFORMED_MESSAGE, "READY ");
    c.max_msg_size = 0; /* empty ones only */
    dies(&c, BYTES(G READY_PULL "\0\0\0\1"), proto, PROTO_ZMTP_MALFORMED_MESSAGE, "READY F: ");
    c.max_msg_size = 27;
    dies(&c,
         BYTES(G READY_PULL "\0\x1b"
                            "123456789012345678901234567"
                            "\0\x1c"),
         proto, PROTO_ZMTP_MALFORMED_MESSAGE, "READY F:12345678901234567890~27 ");
    dies(&c, BYTES(G READY_PULL "\2\0\0\0\0\0\0\0\x1c"), proto, PROTO_ZMTP_MALFORMED_MESSAGE,
         "READY ");
    dies(&c,
         BYTES("\1\0"
               "\x1d"
               "\0"),
         proto, PROTO_ZMTP_MALFORMED_MESSAGE, "READY ");

    c = config(FMQ_PUSH);
    c.v3_only = true;
    dies(&c, BYTES("\1"), proto, PROTO_ZMTP_MECHANISM_MISMATCH, "");
    dies(&c, BYTES(SIGNATURE "\1"), proto, PROTO_ZMTP_MECHANISM_MISMATCH, "");

    c = config(FMQ_PUSH);
    c.max_parts = 2;
    dies(&c,
         BYTES(G READY_PULL "\1\0\0\0"
                            "\1\1a\1\1b"),
         proto, PROTO_ZMTP_MALFORMED_MESSAGE, "READY F:+ F: F:a+ ");
    pool_release(pool);
}

TEST(a_peer_that_is_known_is_sent_the_whole_greeting_at_once)
{
    static const char ready[] = "\4\x1a\5READY\13Socket-Type\0\0\0\4PUSH";
    setup();
    struct peer_config c = config(FMQ_PUSH);
    c.at_once = true;
    for (int i = 0; i < 2;
         i++) { /* and so is one of a kind that older versions are not let in by */
        struct end *e = end_new(&c);
        expect_out(e, BYTES(GREETING_31));
        feed(e, BYTES(GREETING_31 READY_PULL), 7);
        CHECK_STR(e->log, "READY ");
        expect_out(e, BYTES(ready));
        end_free(e);
        c.at_once = false;
        c.v3_only = true;
    }
    c = config(FMQ_PUSH);
    transcript(&c, BYTES(GREETING_31 READY_PULL "\0\2hi"), "READY F:hi ", NULL, 0);
    struct end *e = end_new(&c);
    expect_out(e, BYTES(SIGNATURE)); /* one that is not known gets no more */
    end_free(e);
    pool_release(pool);
}

TEST(a_known_peer_that_is_older_ends_the_connection_and_may_be_tried_again)
{
    setup();
    struct peer_config c = config(FMQ_PUSH);
    c.at_once = true;
    dies(&c, BYTES("\1\0"), PEER_FAIL_NO_DETAIL, EPROTONOSUPPORT, "");
    dies(&c, BYTES(SIGNATURE "\0"), PEER_FAIL_NO_DETAIL, EPROTONOSUPPORT, "");
    dies(&c, BYTES(SIGNATURE "\1\7"), PEER_FAIL_NO_DETAIL, EPROTONOSUPPORT, "");
    pool_release(pool);
}

TEST(what_is_sent_at_once_is_no_message_to_an_older_peer)
{
    static const enum peer_mechanism mechanisms[] = {PEER_MECH_NULL, PEER_MECH_PLAIN};
    uint8_t identity[255];
    memset(identity, 'i', sizeof(identity));
    setup();
    for (size_t k = 0; k < 2; k++) {
        for (size_t len = 0; len < sizeof(identity); len++) {
            struct peer_config c = config(FMQ_DEALER);
            c.at_once = true;
            c.security.mechanism = mechanisms[k];
            c.identity = identity;
            c.identity_len = len;
            struct end *e = end_new(&c);
            pump(e);
            /* ZMTP 1.0: a length with the flags' byte, the flags; the first frame is an identity.
             */
            size_t at = 10 + len;
            bool whole = false;
            while (at < e->out_len && e->out[at] && at + 1 + e->out[at] <= e->out_len) {
                whole = !(e->out[at + 1] & 1);
                CHECK(!whole);
                at += 1 + e->out[at];
            }
            end_free(e);
        }
    }
    pool_release(pool);
}

TEST(missing_socket_type_is_accepted)
{
    setup();
    struct peer_config c = config(FMQ_PUSH);
    transcript(&c, BYTES(GREETING_31 "\4\6\5READY"), "READY ", NULL, 0);
    pool_release(pool);
}

TEST(versions_to_come_are_spoken_to_as_3_1)
{
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(SIGNATURE "\5\0" NULL_REST READY_PULL), 9);
    CHECK_STR(e->log, "READY ");
    CHECK_EQ(e->p.version_major, 3);
    CHECK_EQ(e->p.version_minor, 1);
    end_free(e);
    pool_release(pool);
}

/* Carries bytes both ways, in pieces of random size, until nothing moves. */
static void converse(struct end *a, struct end *b)
{
    bool moved = true;
    size_t most = 1 + check_below(check_below(2) ? 300000 : 50);
    while (moved) {
        moved = false;
        for (int dir = 0; dir < 2; dir++) {
            struct end *from = dir ? b : a, *to = dir ? a : b;
            struct iovec iov[8];
            int n = peer_send_iov(&from->p, &from->q, iov, 8);
            CHECK(n >= 0);
            size_t budget = check_below(most) + 1, sent = 0;
            for (int i = 0; i < n && budget; i++) {
                size_t k = iov[i].iov_len < budget ? iov[i].iov_len : budget;
                feed(to, iov[i].iov_base, k, SIZE_MAX);
                CHECK(to->p.state != PEER_DEAD);
                sent += k;
                budget -= k;
            }
            peer_sent(&from->p, &from->q, sent);
            moved |= sent > 0;
        }
    }
}

TEST(two_peers_understand_each_other)
{
    static uint8_t body[400000];
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)('a' + i % 26);
    setup();
    for (int round = 0; round < 40; round++) {
        struct peer_config ca = config(FMQ_DEALER), cb = config(FMQ_ROUTER);
        ca.identity = (const uint8_t *)"an identity";
        ca.identity_len = 11;
        struct end *a = end_new(&ca), *b = end_new(&cb);
        struct end *ends[2] = {a, b};
        int count[2] = {0, 0};
        for (int i = 0; i < 30; i++) {
            size_t d = check_below(2);
            struct msg parts[4];
            uint32_t n = 1 + (uint32_t)check_below(4);
            for (uint32_t k = 0; k < n; k++) {
                size_t size = check_below(3) ? check_below(400) : check_below(70000);
                if (check_below(20) == 0)
                    size = check_below(sizeof(body));
                msg_init_borrowed(&parts[k], body, size, NULL);
            }
            CHECK_EQ(outq_put(&ends[d]->q, parts, n), 0);
            count[d] += (int)n;
            if (check_below(4) == 0)
                converse(a, b);
        }
        converse(a, b);
        CHECK_EQ(a->frames, count[1]);
        CHECK_EQ(b->frames, count[0]);
        CHECK_EQ(a->q.msgs + b->q.msgs, 0);
        CHECK_EQ(b->p.remote.identity_len, 11);
        peer_trim(&a->p);
        CHECK(!a->p.rx.chunk);
        end_free(a);
        end_free(b);
    }
    pool_release(pool);
}

TEST(small_frames_arrive_with_their_bytes_on_both_paths)
{
    setup();
    static uint8_t in[400 * 260], *w = in;
    size_t sizes[400];
    w = in;
    for (size_t i = 0; i < 400; i++) {
        sizes[i] = check_below(256);
        *w++ = 0;
        *w++ = (uint8_t)sizes[i];
        memset(w, (int)(i & 255), sizes[i]);
        w += sizes[i];
    }
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    struct msg kept[400];
    size_t n = 0;
    for (size_t at = 0; at < (size_t)(w - in);) {
        uint8_t *buf;
        size_t room;
        CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
        size_t k = (size_t)(w - in) - at;
        if (k > room)
            k = room;
        if (k > 2000)
            k = 1 + check_below(2000);
        memcpy(buf, in + at, k);
        peer_recv_done(&e->p, k, e->now);
        at += k;
        for (;;) {
            struct peer_event ev;
            if (check_below(8) && peer_next_small(&e->p, &kept[n])) {
                n++;
                continue;
            }
            if (peer_next(&e->p, &ev) <= 0)
                break;
            kept[n++] = ev.msg;
        }
    }
    CHECK_EQ(n, 400);
    end_free(e);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(msg_size(&kept[i]), sizes[i]);
        CHECK_EQ(kept[i].kind, sizes[i] <= MSG_INLINE_MAX ? MSG_INLINE : MSG_SLICE);
        for (size_t k = 0; k < sizes[i]; k++)
            CHECK_EQ(msg_data(&kept[i])[k], i & 255);
        msg_drop(&kept[i]);
    }
    pool_release(pool);
}

TEST(lying_lengths_do_not_allocate)
{
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e,
         BYTES(GREETING_31 READY_PULL "\2\0\0\x7f\xff\xff\xff\xff\xff"
                                      "abc"),
         1000);
    CHECK_STR(e->log, "READY ");
    uint8_t *buf;
    size_t room;
    CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
    CHECK_EQ(room, PEER_OWN_BODY_MIN - 3);
    CHECK(!peer_buffered(&e->p));
    end_free(e);
    pool_release(pool);
}

/* Not the memory that is touched alone, but also what is set aside of the address space. */
TEST(memory_for_a_large_body_grows_with_what_has_come)
{
    enum { SIZE = 3 << 20 };
    static const uint8_t head[] = {2, 0, 0, 0, 0, 0, SIZE >> 16, 0, 0};
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    for (int round = 0; round < 2; round++) {
        /* As much as the connection's largest had is made at once: growing would copy it. */
        size_t eager = round ? SIZE : PEER_OWN_BODY_MIN, have = 0;
        feed(e, head, sizeof(head), sizeof(head));
        while (have < SIZE) {
            uint8_t *buf;
            size_t room;
            struct peer_event ev;
            CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
            CHECK(have + room <= (have > eager / 2 ? 2 * have : eager));
            CHECK(have || room == eager);
            if (room > 50000)
                room = 50000;
            memset(buf, 7, room);
            have += room;
            peer_recv_done(&e->p, room, e->now);
            if (peer_next(&e->p, &ev) == 1) {
                CHECK_EQ(msg_size(&ev.msg), SIZE);
                msg_drop(&ev.msg);
            }
        }
    }
    end_free(e);
    pool_release(pool);
}

#ifdef FMQ_DEBUG
/* Who reads then learns that it does not grow either, and gives the connection up in time. */
TEST(a_large_body_begins_small_where_there_is_no_memory_for_all_of_it)
{
    enum { SIZE = 5 << 20 };
    static const uint8_t head[] = {2, 0, 0, 0, 0, 0, SIZE >> 16, 0, 0};
    uint8_t *buf;
    size_t room;
    struct peer_event ev;
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    feed(e, head, sizeof(head), sizeof(head));
    for (size_t have = 0; have < SIZE; have += room) {
        CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
        memset(buf, 7, room);
        peer_recv_done(&e->p, room, e->now);
    }
    CHECK_EQ(peer_next(&e->p, &ev), 1);
    msg_drop(&ev.msg);
    mem_fail_at(1);
    feed(e, head, sizeof(head), sizeof(head));
    CHECK_EQ(mem_failed(), 1);
    mem_fail_at(0);
    CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
    CHECK_EQ(room, PEER_OWN_BODY_MIN);
    end_free(e);
    pool_release(pool);
}
#endif

/* Fills the room for a read with empty messages and takes them; how much room there was. */
static size_t fill(struct end *e)
{
    uint8_t *buf;
    size_t room;
    struct peer_event ev;
    CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
    memset(buf, 0, room);
    peer_recv_done(&e->p, room, e->now);
    while (peer_next(&e->p, &ev) == 1)
        msg_drop(&ev.msg);
    return room;
}

TEST(few_peers_read_much_at_a_time_and_many_less)
{
    enum { MANY = 6 };
    struct end *e[MANY];
    setup();
    for (int i = 0; i < MANY; i++) {
        e[i] = end_of(FMQ_PUSH);
        feed(e[i], BYTES(GREETING_31 READY_PULL), 1000);
    }
    for (int few = 1; few <= 2; few++) {
        for (int round = 0; round < 3; round++)
            for (int i = 0; i < few; i++)
                fill(e[i]);
        CHECK_EQ(fill(e[0]), CHUNK_LARGE);
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < MANY; i++)
            fill(e[i]);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(fill(e[i]), CHUNK_MEDIUM);
    /* Those that are gone count no more, nor those that have little to say. */
    for (int i = 3; i < MANY; i++)
        end_free(e[i]);
    for (int i = 0; i < 200; i++)
        feed(e[2], BYTES("\0\0"), 2);
    fill(e[0]);
    CHECK_EQ(fill(e[0]), CHUNK_LARGE);
    for (int i = 0; i < 3; i++)
        end_free(e[i]);
    pool_release(pool);
}

TEST(large_body_is_read_into_a_blob_of_its_size)
{
    static uint8_t in[9 + 3000000];
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    memset(in, 'x', sizeof(in));
    in[0] = 2;
    put_be64(in + 1, sizeof(in) - 9);
    struct peer_event ev;
    int rc = 0;
    for (size_t at = 0; at < sizeof(in);) {
        uint8_t *buf;
        size_t room;
        CHECK_EQ(rc, 0);
        CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
        if (room > sizeof(in) - at)
            room = sizeof(in) - at;
        memcpy(buf, in + at, room);
        peer_recv_done(&e->p, room, e->now);
        at += room;
        rc = peer_next(&e->p, &ev);
    }
    CHECK_EQ(rc, 1);
    CHECK_EQ(ev.msg.kind, MSG_BLOB);
    CHECK_EQ(msg_size(&ev.msg), 3000000);
    CHECK_MEM(msg_data(&ev.msg), in + 9, 3000000);
    msg_drop(&ev.msg);
    feed(e, BYTES("\0\2ok"), 1);
    CHECK_STR(e->log, "READY F:ok ");
    end_free(e);
    pool_release(pool);
}

TEST(large_commands_are_events_too)
{
    static uint8_t in[3 * 200100];
    size_t len = 0;
    setup();
    for (uint8_t flags = 4; flags < 7; flags++) {
        /* The one with MORE is ignored. */
        in[len++] = flags | 2;
        put_be64(in + len, 10 + 200000);
        memcpy(in + len + 8, "\11SUBSCRIBE", 10);
        memset(in + len + 18, 'a' + flags, 200000);
        len += 18 + 200000;
    }
    struct end *e = end_of(FMQ_PUB);
    feed(e, BYTES(GREETING_31 READY_SUB), 1000);
    feed(e, in, len, 5000);
    feed(e, BYTES("\0\1x"), 1);
    CHECK_STR(e->log, "READY SUB:eeeeeeeeeeeeeeeeeeee~200000 SUB:gggggggggggggggggggg~200000 F:x ");
    end_free(e);
    pool_release(pool);
}

TEST(events_may_be_taken_while_a_read_is_under_way)
{
    static uint8_t in[9 + 70000 + 3];
    setup();
    struct end *e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    memset(in, 'x', sizeof(in));
    in[0] = 2;
    put_be64(in + 1, 70000);
    memcpy(in + 9 + 70000, "\0\1y", 3);
    uint8_t *buf;
    size_t room;
    for (size_t at = 0; at < sizeof(in);) {
        /* The first read ends after the flags: the rest is found while the second is under way. */
        CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
        drain(e);
        size_t n = at == 0 ? 20 : room < sizeof(in) - at ? room : sizeof(in) - at;
        memcpy(buf, in + at, n);
        peer_recv_done(&e->p, n, e->now);
        at += n;
    }
    drain(e);
    CHECK_STR(e->log, "READY F:xxxxxxxxxxxxxxxxxxxx~70000 F:y ");
    end_free(e);
    pool_release(pool);
}

TEST(raw_bytes_come_in_pieces_of_bounded_size)
{
    setup();
    struct peer_config c = config(FMQ_STREAM);
    c.raw = true;
    c.raw_max = 8;
    struct end *e = end_new(&c);
    struct peer_event ev;
    CHECK_EQ(peer_next(&e->p, &ev), 1);
    CHECK_EQ(ev.kind, PEER_EV_READY);
    feed(e, BYTES("GET / HTTP/1.1\r\n\r\n"), 1000);
    CHECK_STR(e->log, "F:GET / HT F:TP/1.1.. F:.. ");
    struct msg m;
    msg_init_borrowed(&m, "hello", 5, NULL);
    CHECK_EQ(outq_put_raw(&e->q, &m), 0);
    expect_out(e, BYTES("hello"));
    end_free(e);
    pool_release(pool);
}

static struct end *heartbeat_pair(uint32_t ivl, uint32_t ttl, int32_t timeout)
{
    struct peer_config c = config(FMQ_PUSH);
    c.heartbeat_ivl_ms = ivl;
    c.heartbeat_ttl_ms = ttl;
    c.heartbeat_timeout_ms = timeout;
    c.handshake_ms = 300;
    struct end *e = end_new(&c);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), e->now + 300 * MS);
    feed(e, BYTES(GREETING_31 READY_PULL), 1000);
    pump(e);
    e->out_len = 0;
    return e;
}

TEST(ping_is_sent_each_interval_and_its_answer_gives_the_round_trip)
{
    setup();
    struct end *e = heartbeat_pair(100, 70000, 50);
    uint64_t t0 = e->now;
    CHECK_EQ(peer_tick(&e->p, &e->q, t0), t0 + 100 * MS);
    e->now = t0 + 100 * MS;
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), t0 + 150 * MS);
    /* 70 s are 700 tenths: no overflow. */
    expect_out(e, BYTES("\4\x0f\4PING\2\xbc\0\0\0\0\0\0\0\1"));
    e->now += 7 * MS;
    feed(e, BYTES("\4\x0d\4PONG\0\0\0\0\0\0\0\1"), 3);
    CHECK_EQ(e->p.heartbeat.rtt_ns, 7 * MS);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), t0 + 200 * MS);
    e->now = t0 + 200 * MS;
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), t0 + 250 * MS);
    CHECK_EQ(peer_tick(&e->p, &e->q, t0 + 250 * MS - 1), t0 + 250 * MS);
    CHECK_EQ(peer_tick(&e->p, &e->q, t0 + 250 * MS), UINT64_MAX);
    CHECK_EQ(e->p.failure, PEER_FAIL_TIMEOUT);
    CHECK_EQ(e->p.failure_code, ETIMEDOUT);
    end_free(e);
    pool_release(pool);
}

TEST(pings_do_not_pile_up_for_a_peer_that_does_not_read)
{
    setup();
    struct end *e = heartbeat_pair(100, 0, 0);
    for (int i = 1; i < 100; i++)
        peer_tick(&e->p, &e->q, e->now + (uint64_t)i * 100 * MS);
    CHECK(e->q.bytes < 64);
    CHECK_EQ(e->p.state, PEER_TRAFFIC);
    end_free(e);
    pool_release(pool);
}

TEST(signs_of_life_do_not_pile_up_for_a_peer_that_does_not_read)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    feed(e, BYTES("\4\7\4PING\0\0"), 3);
    for (int i = 1; i < 100; i++) {
        peer_reassure(&e->p);
        peer_tick(&e->p, &e->q, e->now + (uint64_t)i * MS);
    }
    CHECK(e->q.bytes < 32);
    CHECK(peer_wants_write(&e->p, &e->q));
    end_free(e);
    pool_release(pool);
}

TEST(received_ttl_ends_a_silent_connection_and_a_byte_puts_it_off)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    feed(e, BYTES("\4\7\4PING\2\xbc"), 3);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), e->now + 70000 * MS);
    feed(e, BYTES("\0"), 1);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), UINT64_MAX);
    feed(e,
         BYTES("\0"
               "\4\7\4PING\0\1"),
         100);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now + 100 * MS), UINT64_MAX);
    CHECK_EQ(e->p.failure, PEER_FAIL_TIMEOUT);
    end_free(e);
    pool_release(pool);
}

TEST(a_peer_whose_pings_cease_after_other_traffic_is_missed_a_ttl_after_the_next_was_due)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    feed(e, BYTES("\4\7\4PING\0\2"), 3);
    e->now += 300 * MS;
    feed(e, BYTES("\4\7\4PING\0\2"), 3);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), e->now + 200 * MS);
    e->now += 50 * MS;
    feed(e, BYTES("\0\0"), 2);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), e->now + (300 + 200) * MS);
    /* One that takes its word back may be silent for ever. */
    feed(e, BYTES("\4\7\4PING\0\0\0\0"), 4);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now), UINT64_MAX);
    end_free(e);
    pool_release(pool);
}

TEST(bytes_that_wait_for_us_keep_the_peer_alive)
{
    setup();
    struct end *e = heartbeat_pair(100, 0, 100);
    e->now += 100 * MS;
    peer_tick(&e->p, &e->q, e->now);
    uint8_t *buf;
    size_t room;
    CHECK_EQ(peer_recv_buf(&e->p, &buf, &room), 0);
    memcpy(buf, "\0\0", 2);
    peer_recv_done(&e->p, 2, e->now);
    for (int i = 0; i < 5; i++) {
        e->now += 100 * MS;
        CHECK(peer_tick(&e->p, &e->q, e->now) != UINT64_MAX);
    }
    drain(e);
    e->now += 1000 * MS;
    peer_tick(&e->p, &e->q, e->now);
    CHECK_EQ(e->p.state, PEER_DEAD);
    end_free(e);
    pool_release(pool);
}

TEST(ping_is_answered_with_its_context_of_16_bytes_at_most)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    feed(e,
         BYTES("\4\x19\4PING\0\0"
               "0123456789abcdefgh"),
         100);
    CHECK(peer_wants_write(&e->p, &e->q));
    expect_out(e, BYTES("\4\x15\4PONG0123456789abcdef"));
    end_free(e);
    pool_release(pool);
}

TEST(each_of_several_pings_of_one_read_is_answered)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    feed(e, BYTES("\4\x8\4PING\0\0x\4\7\4PING\0\0\4\x9\4PING\0\0yz"), 100);
    expect_out(e, BYTES("\4\6\4PONGx\4\5\4PONG\4\7\4PONGyz"));
    end_free(e);
    pool_release(pool);
}

TEST(a_flood_of_pings_is_answered_by_a_few_pongs_and_the_last_of_them)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    for (int i = 0; i < 1000; i++)
        feed(e, BYTES("\4\x8\4PING\0\0x"), 100);
    feed(e, BYTES("\4\x8\4PING\0\0y"), 100);
    peer_tick(&e->p, &e->q, e->now);
    expect_out(e, BYTES("\4\6\4PONGx\4\6\4PONGx\4\6\4PONGx\4\6\4PONGy"));
    end_free(e);
    pool_release(pool);
}

/* The system takes so many bytes at the most. */
static size_t send_some(struct end *e, size_t most)
{
    struct iovec iov[8];
    int n = peer_send_iov(&e->p, &e->q, iov, 8);
    size_t all = 0;
    CHECK(n >= 0);
    for (int i = 0; i < n; i++)
        all += iov[i].iov_len;
    size_t taken = all < most ? all : most;
    peer_sent(&e->p, &e->q, taken);
    return taken;
}

TEST(pongs_do_not_pile_up_for_a_peer_that_hardly_reads)
{
    for (size_t most = 0; most < 3; most++) {
        setup();
        struct end *e = heartbeat_pair(0, 0, -1);
        CHECK_EQ(outq_put_copy(&e->q, "first", 5), 0);
        for (int i = 0; i < 1000; i++) {
            feed(e, BYTES("\4\x17\4PING\0\0sixteen octets x"), 100);
            send_some(e, most);
        }
        CHECK(e->q.bytes < 200);
        feed(e, BYTES("\4\x9\4PING\0\0ab"), 100);
        while (peer_wants_write(&e->p, &e->q))
            CHECK(send_some(e, 50) > 0);
        CHECK_EQ(e->p.heartbeat.pongs_due, 0);
        feed(e, BYTES("\4\x8\4PING\0\0y"), 100);
        expect_out(e, BYTES("\4\6\4PONGy"));
        end_free(e);
        pool_release(pool);
    }
}

TEST(pongs_that_were_dropped_keep_no_others_back)
{
    setup();
    struct end *e = heartbeat_pair(0, 0, -1);
    feed(e, BYTES("\4\x8\4PING\0\0x"), 100);
    send_some(e, 0);
    outq_drop_pending(&e->q, 0);
    CHECK_EQ(e->q.bytes, 0);
    feed(e, BYTES("\4\x8\4PING\0\0y"), 100);
    expect_out(e, BYTES("\4\6\4PONGy"));
    end_free(e);
    pool_release(pool);
}

TEST(silent_handshake_times_out)
{
    setup();
    struct peer_config c = config(FMQ_PUSH);
    c.handshake_ms = 300;
    struct end *e = end_new(&c);
    feed(e, BYTES(GREETING_31), 100);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now + 299 * MS), e->now + 300 * MS);
    CHECK_EQ(peer_tick(&e->p, &e->q, e->now + 300 * MS), UINT64_MAX);
    CHECK_EQ(e->p.failure, PEER_FAIL_NO_DETAIL);
    CHECK_EQ(e->p.failure_code, ETIMEDOUT);
    end_free(e);
    pool_release(pool);
}

TEST(error_is_the_last_word_of_a_failed_handshake_only)
{
    setup();
    struct end *e = end_of(FMQ_PUSH);
    peer_put_error(&e->p, "400");
    expect_out(e, BYTES(SIGNATURE));
    feed(e, BYTES(GREETING_31 "\4\1x"), 100);
    CHECK_EQ(e->p.state, PEER_DEAD);
    pump(e);
    e->out_len = 0;
    peer_put_error(&e->p, "400");
    expect_out(e, BYTES("\4\x0a\5ERROR\003400"));
    end_free(e);
    e = end_of(FMQ_PUSH);
    feed(e, BYTES(GREETING_31 READY_PULL), 100);
    pump(e);
    e->out_len = 0;
    peer_put_error(&e->p, "400");
    expect_out(e, BYTES(""));
    end_free(e);
    pool_release(pool);
}

#ifdef FMQ_DEBUG
/* One conversation in which the nth allocation fails; whoever fails is asked again. True: none
 * failed. */
static bool survives(long nth)
{
    static uint8_t body[100000];
    struct outq q;
    struct peer p;
    struct peer_config c = config(FMQ_DEALER);
    struct peer_event ev;
    int frames = 0, failures = 0;
    static uint8_t in[400000];
    size_t len = 0, at = 0;
    static const char begin[] =
        GREETING_31 "\4\x33\5READY\13SOCKET-type\0\0\0\3REP\10identitY\0\0\0\3you\3X-B\0\0\0\2vw";
    memcpy(in, begin, sizeof(begin) - 1);
    len = sizeof(begin) - 1;
    static const size_t sizes[] = {3, 5000, 100000, 60000, 70000, 10};
    for (size_t i = 0; i < 6; i++) {
        in[len++] = 2;
        put_be64(in + len, sizes[i]);
        len += 8;
        memset(in + len, 'm', sizes[i]);
        len += sizes[i];
    }
    c.identity = (const uint8_t *)"me";
    c.identity_len = 2;
    outq_init(&q, pool);
    mem_fail_at(nth);
    int rc = peer_init(&p, &c, 0);
    if (rc) {
        CHECK_EQ(rc, -ENOMEM);
        failures++;
        CHECK_EQ(peer_init(&p, &c, 0), 0);
    }
    while (at < len || peer_buffered(&p)) {
        uint8_t *buf;
        size_t room;
        struct iovec iov[8];
        rc = at < len ? peer_recv_buf(&p, &buf, &room) : 0;
        if (rc) {
            failures++;
            continue;
        }
        if (at < len) {
            if (room > len - at)
                room = len - at;
            memcpy(buf, in + at, room);
            peer_recv_done(&p, room, 0);
            at += room;
        }
        while ((rc = peer_next(&p, &ev))) {
            CHECK(rc != -EPROTO);
            if (rc == -ENOMEM) {
                failures++;
            } else if (ev.kind == PEER_EV_FRAME) {
                frames++;
                msg_drop(&ev.msg);
                if (outq_put_copy(&q, body, 50))
                    failures++;
            }
        }
        int n = peer_send_iov(&p, &q, iov, 8);
        if (n < 0) {
            failures++;
            continue;
        }
        size_t all = 0;
        for (int i = 0; i < n; i++)
            all += iov[i].iov_len;
        peer_sent(&p, &q, all);
    }
    mem_fail_at(0);
    CHECK_EQ(frames, 6);
    peer_fini(&p);
    outq_fini(&q);
    return failures == 0;
}

TEST(any_allocation_may_fail_and_nothing_is_lost)
{
    long nth = 1;
    do {
        setup();
        bool done = survives(nth);
        pool_release(pool);
        if (done)
            break;
        nth++;
    } while (nth < 200);
    CHECK(nth > 8 && nth < 200);
}
#endif
