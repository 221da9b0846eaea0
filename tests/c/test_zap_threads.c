/* SPDX-License-Identifier: MIT */
// needs: base os msg wire core
/* Questions to a ZAP handler while everything comes and goes: for the thread sanitizer. */
#include "check.h"

#include <stdatomic.h>

#include "engine.h"
#include "fake_crypto.h"

#define PLAIN_SERVER 44
#define PLAIN_USERNAME 45
#define PLAIN_PASSWORD 46
#define CURVE_SERVER 47
#define CURVE_PUBLICKEY 48
#define CURVE_SECRETKEY 49
#define CURVE_SERVERKEY 50

enum { CLIENTS = 3, ROUNDS = 25 };

struct world {
    fmq_ctx *ctx;
    struct eng_name plain, curve;
    uint8_t public_key[32], secret_key[32];
    atomic_bool stop;
    atomic_uint answered, passed;
};

/* Answers in its own way: mostly yes, sometimes no, nonsense or nothing, and now and then it goes
 * and comes again, after 0.8 s at the latest. */
static void handle(void *arg)
{
    struct world *w = arg;
    for (unsigned life = 0; !atomic_load(&w->stop); life++) {
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
            eng_must(fmq_set_bytes(s, PLAIN_USERNAME, "n", 1), "name");
            eng_must(fmq_set_bytes(s, PLAIN_PASSWORD, "p", 1), "password");
            eng_connect(s, &w->plain);
        } else {
            uint8_t public_key[32], secret_key[32];
            memset(secret_key, round + 1, sizeof(secret_key));
            fake_public(public_key, secret_key);
            eng_must(fmq_set_bytes(s, CURVE_PUBLICKEY, public_key, 32), "public key");
            eng_must(fmq_set_bytes(s, CURVE_SECRETKEY, secret_key, 32), "secret key");
            eng_must(fmq_set_bytes(s, CURVE_SERVERKEY, w->public_key, 32), "server key");
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
            eng_set(servers[i], PLAIN_SERVER, 1);
            w->plain = eng_bind(servers[i], "tcp");
        } else {
            eng_set(servers[i], CURVE_SERVER, 1);
            eng_must(fmq_set_bytes(servers[i], CURVE_SECRETKEY, w->secret_key, 32), "secret key");
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

TEST(context_that_asked_counts_its_own_socket_for_nobody)
{
    fmq_ctx *ctx = eng_ctx();
    eng_must(fmq_ctx_set(ctx, 2, 2), "MAX_SOCKETS");
    fmq_socket *a = eng_socket(ctx, FMQ_REP);
    eng_set(a, PLAIN_SERVER, 1);
    fmq_socket *b = eng_socket(ctx, FMQ_REP), *c;
    CHECK_EQ(fmq_socket_new(ctx, FMQ_REP, &c), -EMFILE);
    struct fmq_pending rows[4];
    CHECK_EQ(fmq_ctx_pending(ctx, rows, 4), 2);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}
