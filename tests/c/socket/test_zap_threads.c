/* SPDX-License-Identifier: MIT */
// needs: engine
/* Questions to a ZAP handler while everything comes and goes: for the thread sanitizer. */
#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine.h"
#include "fake_crypto.h"

enum { CLIENTS = 3, ROUNDS = 25 };

struct world {
    fmq_ctx *ctx;
    struct eng_name plain, curve;
    uint8_t public_key[32], secret_key[32];
    atomic_bool stop;
    atomic_uint answered, passed;
    atomic_int slowness; /* of answers, ms */
};

/* Answers in its own way: mostly yes, sometimes no, nonsense or nothing, and now and then it goes
 * and comes again, after 0.8 s at the latest. */
static void handle(void *arg)
{
    struct world *w = arg;
    while (!atomic_load(&w->stop)) {
        fmq_socket *rep = eng_socket(w->ctx, FMQ_ROUTER);
        eng_set(rep, ENG_LINGER, 0);
        eng_must(fmq_bind(rep, "inproc://zeromq.zap.01"), "bind the handler");
        for (unsigned n = 1; n < 40 && !atomic_load(&w->stop); n++) {
            struct parts p;
            parts_init(&p);
            if (eng_recv(rep, &p, 20)) {
                parts_fini(&p);
                continue;
            }
            CHECK(p.len >= 8);
            struct msg out[8];
            static const char *const text[] = {"", "1.0", "1", "200", "OK", "me", ""};
            CHECK_EQ(msg_init_copy(&out[0], msg_data(&p.v[0]), msg_size(&p.v[0])), 0);
            for (int i = 0; i < 7; i++)
                CHECK_EQ(msg_init_copy(&out[i + 1], text[i], strlen(text[i])), 0);
            uint32_t len = 8;
            if (n % 7 == 0) {
                msg_drop(&out[4]);
                CHECK_EQ(msg_init_copy(&out[4], "300", 3), 0);
            } else if (n % 11 == 0) {
                len = 5;
                for (int i = 5; i < 8; i++)
                    msg_drop(&out[i]);
            }
            parts_fini(&p);
            if (n % 13 && fmq_send(rep, out, len, false, 0) == 0)
                atomic_fetch_add(&w->answered, 1);
            else
                for (uint32_t i = 0; i < len; i++)
                    msg_drop(&out[i]);
        }
        eng_close(rep);
    }
}

static void visit(void *arg)
{
    struct world *w = arg;
    for (int round = 0; round < ROUNDS; round++) {
        fmq_socket *s = eng_socket(w->ctx, FMQ_DEALER);
        eng_set(s, ENG_LINGER, 0);
        eng_set(s, ENG_RECONNECT_IVL, 1);
        if (round % 2) {
            eng_must(fmq_set_bytes(s, ENG_PLAIN_USERNAME, "n", 1), "name");
            eng_must(fmq_set_bytes(s, ENG_PLAIN_PASSWORD, "p", 1), "password");
            eng_connect(s, &w->plain);
        } else {
            uint8_t public_key[32], secret_key[32];
            memset(secret_key, round + 1, sizeof(secret_key));
            fake_public(public_key, secret_key);
            eng_must(fmq_set_bytes(s, ENG_CURVE_PUBLICKEY, public_key, 32), "public key");
            eng_must(fmq_set_bytes(s, ENG_CURVE_SECRETKEY, secret_key, 32), "secret key");
            eng_must(fmq_set_bytes(s, ENG_CURVE_SERVERKEY, w->public_key, 32), "server key");
            eng_connect(s, &w->curve);
        }
        (void)eng_send_bytes(s, "hello", 5, false, 0);
        /* Some leave in the middle of it. All others get in, at a later try if the answer was no,
         * nonsense or a handler that went: the handler never keeps anybody out for good. */
        if (round % 5) {
            eng_expect(s, "hello");
            atomic_fetch_add(&w->passed, 1);
        }
        eng_close(s);
    }
}

/* Gives back what comes. */
static void echo(void *arg)
{
    struct world *w = arg;
    fmq_socket *servers[2];
    for (int i = 0; i < 2; i++) {
        servers[i] = eng_socket(w->ctx, FMQ_ROUTER);
        eng_set(servers[i], ENG_LINGER, 0);
        if (i == 0) {
            eng_set(servers[i], ENG_PLAIN_SERVER, 1);
            w->plain = eng_bind(servers[i], "tcp");
        } else {
            eng_set(servers[i], ENG_CURVE_SERVER, 1);
            eng_must(fmq_set_bytes(servers[i], ENG_CURVE_SECRETKEY, w->secret_key, 32),
                     "secret key");
            w->curve = eng_bind(servers[i], "ipc");
        }
    }
    atomic_fetch_add(&w->passed, 1); /* the addresses are there */
    while (!atomic_load(&w->stop)) {
        for (int i = 0; i < 2; i++) {
            struct parts p;
            parts_init(&p);
            if (eng_recv(servers[i], &p, 2) == 0 && fmq_send(servers[i], p.v, p.len, false, 0) == 0)
                p.len = 0;
            parts_fini(&p);
        }
    }
    for (int i = 0; i < 2; i++)
        eng_close(servers[i]);
}

TEST(questions_are_answered_withdrawn_and_lost_in_any_order)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    fake_crypto_set();
    memset(w.secret_key, 9, sizeof(w.secret_key));
    fake_public(w.public_key, w.secret_key);
    w.ctx = eng_ctx();
    struct thread handler, server, clients[CLIENTS];
    CHECK_EQ(thread_start(&server, echo, &w, "echo"), 0);
    ENG_UNTIL(atomic_load(&w.passed) == 1);
    CHECK_EQ(thread_start(&handler, handle, &w, "handler"), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(thread_start(&clients[i], visit, &w, "client"), 0);
    for (int i = 0; i < CLIENTS; i++)
        thread_join(&clients[i]);
    atomic_store(&w.stop, true);
    thread_join(&server);
    thread_join(&handler);
    CHECK(atomic_load(&w.answered) > 0);
    CHECK_EQ(atomic_load(&w.passed), 1 + CLIENTS * (ROUNDS - ROUNDS / 5));
    eng_end(w.ctx);
}

/* ---- a rush ---- */

static atomic_bool slow_drains;

/* What the engine drains its wake-ups with. In the rush it takes its time, so that more questions
 * come just before and just after. */
ssize_t read(int fd, void *buf, size_t n)
{
    struct iovec v = {buf, n};
    bool slow = atomic_load(&slow_drains);
    if (slow)
        usleep(200);
    ssize_t got = readv(fd, &v, 1);
    int error = errno;
    if (slow)
        usleep(200);
    errno = error;
    return got;
}

enum { SERVERS = 8, CROWD = 24, RUSHES = 30 };

static void say_yes(void *arg)
{
    struct world *w = arg;
    fmq_socket *rep = eng_socket(w->ctx, FMQ_REP);
    eng_must(fmq_bind(rep, "inproc://zeromq.zap.01"), "bind the handler");
    atomic_fetch_add(&w->passed, 1);
    while (!atomic_load(&w->stop)) {
        struct parts p;
        parts_init(&p);
        if (eng_recv(rep, &p, 20) == 0) {
            static const char *const text[] = {"1.0", "1", "200", "", "", ""};
            struct msg out[6];
            for (int i = 0; i < 6; i++)
                CHECK_EQ(msg_init_copy(&out[i], text[i], strlen(text[i])), 0);
            usleep((useconds_t)atomic_load(&w->slowness) * 1000);
            eng_must(fmq_send(rep, out, 6, false, ENG_WAIT_MS), "answer");
        }
        parts_fini(&p);
    }
    eng_close(rep);
}

/* A world whose handler says yes. */
static void begin_open(struct world *w, struct thread *handler)
{
    memset(w, 0, sizeof(*w));
    w->ctx = eng_ctx();
    CHECK_EQ(thread_start(handler, say_yes, w, "handler"), 0);
    ENG_UNTIL(atomic_load(&w->passed) == 1);
}

static void end_open(struct world *w, struct thread *handler, fmq_socket *server)
{
    atomic_store(&w->stop, true);
    thread_join(handler);
    eng_close(server);
    eng_end(w->ctx);
}

static bool is_in(fmq_socket *s)
{
    struct fmq_peer row;
    return fmq_peers(s, &row, 1) == 1 && row.link == FMQ_LINK_READY;
}

/* Sockets of several I/O threads ask at once, and nothing but their questions wakes the one
 * that asks for them: whose wake-up is lost waits for ever. */
TEST(in_a_rush_no_question_is_forgotten)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    w.ctx = eng_ctx();
    eng_must(fmq_ctx_set(w.ctx, 1, 4), "IO_THREADS");
    fmq_ctx *outside;
    eng_must(fmq_ctx_new(&outside), "ctx_new");
    struct thread handler;
    CHECK_EQ(thread_start(&handler, say_yes, &w, "handler"), 0);
    ENG_UNTIL(atomic_load(&w.passed) == 1);
    fmq_socket *servers[SERVERS], *clients[CROWD];
    struct eng_name names[SERVERS];
    for (int i = 0; i < SERVERS; i++) {
        servers[i] = eng_socket(w.ctx, FMQ_PULL);
        eng_set(servers[i], ENG_PLAIN_SERVER, 1);
        names[i] = eng_bind(servers[i], "tcp");
    }
    atomic_store(&slow_drains, true);
    for (int round = 0; round < RUSHES; round++) {
        for (int i = 0; i < CROWD; i++) {
            clients[i] = eng_socket(outside, FMQ_PUSH);
            eng_set(clients[i], ENG_LINGER, 0);
            eng_must(fmq_set_bytes(clients[i], ENG_PLAIN_USERNAME, "n", 1), "name");
            eng_must(fmq_set_bytes(clients[i], ENG_PLAIN_PASSWORD, "p", 1), "password");
            eng_connect(clients[i], &names[i % SERVERS]);
        }
        for (int i = 0; i < CROWD; i++)
            ENG_UNTIL(is_in(clients[i]));
        for (int i = 0; i < CROWD; i++)
            eng_close(clients[i]);
    }
    atomic_store(&slow_drains, false);
    atomic_store(&w.stop, true);
    thread_join(&handler);
    for (int i = 0; i < SERVERS; i++)
        eng_close(servers[i]);
    eng_must(fmq_ctx_term(outside, ENG_WAIT_MS), "ctx_term");
    fmq_ctx_free(outside);
    eng_end(w.ctx);
}

enum { VISITS = 20 };

static atomic_bool watched, found_nothing;

/* What the engine reads connections with: one that found nothing lets the program come in. */
ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    ssize_t got = recvfrom(fd, buf, n, flags, NULL, NULL);
    int error = errno;
    if (got < 0 && atomic_load(&watched)) {
        atomic_store(&found_nothing, true);
        for (int i = 0; i < 1000 && atomic_load(&found_nothing); i++)
            usleep(20);
    }
    errno = error;
    return got;
}

/* A client that says its greeting and this. */
static int visit_by_hand(const struct eng_name *where, const char *mechanism, const void *first,
                         size_t len)
{
    uint16_t port = (uint16_t)atoi(strrchr(where->text, ':') + 1);
    uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3};
    memcpy(greeting + 12, mechanism, strlen(mechanism));
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    struct iovec v[] = {{greeting, sizeof(greeting)}, {(void *)first, len}};
    CHECK_EQ(writev(fd, v, 2), sizeof(greeting) + len);
    return fd;
}

/* The I/O thread takes the answer and reads on at once, finds nothing yet, and meanwhile the
 * program is in the socket, too: one of them has to say WELCOME. */
TEST(who_is_let_in_during_a_read_is_told)
{
    static struct world w;
    struct thread handler;
    begin_open(&w, &handler);
    fmq_socket *server = eng_socket(w.ctx, FMQ_PULL);
    eng_set(server, ENG_PLAIN_SERVER, 1);
    struct eng_name name = eng_bind(server, "tcp");
    static const char hello[] = "\x04\x0a\x05HELLO\x01n\x01p";
    atomic_store(&watched, true);
    for (int round = 0; round < VISITS; round++) {
        int fd = visit_by_hand(&name, "PLAIN", hello, sizeof(hello) - 1);
        uint8_t all[64 + 10];
        size_t have = 0;
        for (uint64_t until = eng_until(ENG_WAIT_MS); have < sizeof(all);) {
            CHECK(eng_left(until) > 0);
            if (atomic_load(&found_nothing)) {
                CHECK(fmq_events(server) >= 0);
                atomic_store(&found_nothing, false);
            }
            ssize_t n = recvfrom(fd, all + have, sizeof(all) - have, MSG_DONTWAIT, NULL, NULL);
            CHECK(n > 0 || (n < 0 && errno == EAGAIN));
            have += n > 0 ? (size_t)n : 0;
            usleep(20);
        }
        CHECK(memcmp(all + 64, "\x04\x08\x07WELCOME", 10) == 0);
        close(fd);
    }
    atomic_store(&watched, false);
    end_open(&w, &handler, server);
}

/* True when the connection ended. Answers PINGs and says nothing of its own accord. */
static bool sent_away(int fd, int ms)
{
    static const char ping[] = "\x04\x0f\x04PING";
    uint8_t all[512], pong[15] = "\x04\x0d\x04PONG";
    size_t have = 0, at = 64; /* after its greeting */
    for (uint64_t until = eng_until(ms); eng_left(until) > 0; usleep(1000)) {
        ssize_t n = recvfrom(fd, all + have, sizeof(all) - have, MSG_DONTWAIT, NULL, NULL);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        have += n > 0 ? (size_t)n : 0;
        for (; have >= at + 2 && have >= at + 2 + all[at + 1]; at += 2u + all[at + 1]) {
            if (memcmp(all + at, ping, sizeof(ping) - 1) == 0) {
                memcpy(pong + 7, all + at + 9, 8);
                (void)send(fd, pong, sizeof(pong), 0);
            }
        }
    }
    return false;
}

enum { BEAT_MS = 300 };

/* Heartbeats count from when a peer is let in, however long that took. */
TEST(who_waited_to_be_let_in_is_not_taken_for_dead)
{
    static struct world w;
    struct thread handler;
    begin_open(&w, &handler);
    fmq_socket *server = eng_socket(w.ctx, FMQ_PULL);
    eng_must(fmq_set_bytes(server, ENG_ZAP_DOMAIN, "all", 3), "domain");
    eng_set(server, ENG_HEARTBEAT_IVL, BEAT_MS);
    struct eng_name name = eng_bind(server, "tcp");
    static const char ready[] = "\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH";
    for (int slowness = 0; slowness <= 2 * BEAT_MS; slowness += 2 * BEAT_MS) {
        atomic_store(&w.slowness, slowness);
        int fd = visit_by_hand(&name, "NULL", ready, sizeof(ready) - 1);
        CHECK(!sent_away(fd, slowness + 4 * BEAT_MS));
        close(fd);
    }
    end_open(&w, &handler, server);
}

TEST(context_that_asked_counts_its_own_socket_for_nobody)
{
    fmq_ctx *ctx = eng_ctx();
    eng_must(fmq_ctx_set(ctx, 2, 2), "MAX_SOCKETS");
    fmq_socket *a = eng_socket(ctx, FMQ_REP);
    eng_set(a, ENG_PLAIN_SERVER, 1);
    fmq_socket *b = eng_socket(ctx, FMQ_REP), *c;
    CHECK_EQ(fmq_socket_new(ctx, FMQ_REP, &c), -EMFILE);
    struct fmq_pending rows[4];
    CHECK_EQ(fmq_ctx_pending(ctx, rows, 4), 2);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}
