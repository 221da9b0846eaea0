/* SPDX-License-Identifier: MIT */
// needs: engine
/* One socket, one context, many threads: meant for the thread sanitizer. */
#include "check.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "engine.h"

/* ---- many receivers of the parts of one message ---- */

enum { PARTS = 400, TAKERS = 4 };

struct takers {
    fmq_socket *in;
    atomic_int ready, taken;
    atomic_bool seen[PARTS];
};

static void take_parts(void *arg)
{
    struct takers *t = arg;
    atomic_fetch_add(&t->ready, 1);
    uint64_t until = eng_until(ENG_WAIT_MS);
    while (atomic_load(&t->taken) < PARTS && eng_left(until)) {
        struct msg m;
        int n;
        int rc = fmq_recv_part(t->in, &m, NULL, 20);
        if (rc == -EAGAIN || rc == -EINTR)
            continue;
        eng_must(rc, "a part");
        CHECK_EQ(msg_size(&m), sizeof(n));
        memcpy(&n, msg_data(&m), sizeof(n));
        CHECK(n >= 0 && n < PARTS && !atomic_exchange(&t->seen[n], true));
        CHECK_EQ(!(m.flags & PART_MORE), n == PARTS - 1);
        msg_drop(&m);
        atomic_fetch_add(&t->taken, 1);
    }
}

/* Threads that wait already are told of the parts that one of them did not take. */
TEST(parts_go_to_whichever_thread_asks)
{
    for (int round = 0; round < ENG_TRANSPORTS; round++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(pull, eng_transports[round]);
        eng_connect(push, &name);
        struct takers t = {.in = pull};
        struct thread threads[TAKERS];
        for (int i = 0; i < TAKERS; i++)
            eng_must(thread_start(&threads[i], take_parts, &t, "taker"), "thread");
        ENG_UNTIL(atomic_load(&t.ready) == TAKERS);
        struct msg m[PARTS];
        for (int i = 0; i < PARTS; i++)
            eng_must(msg_init_copy(&m[i], &i, sizeof(i)), "copy");
        int rc;
        while ((rc = fmq_send(push, m, PARTS, false, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "send");
        for (int i = 0; i < TAKERS; i++)
            thread_join(&threads[i]);
        CHECK_EQ(atomic_load(&t.taken), PARTS);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

/* ---- many senders, many receivers, one socket each ---- */

enum { SENDERS = 3, RECEIVERS = 3, EACH = 700 };

struct crowd {
    fmq_socket *out, *in;
    atomic_int received;
    atomic_int senders;
    int first;
};

struct number {
    int sender, seq;
};

static void crowd_send(void *arg)
{
    struct crowd *c = arg;
    struct number n = {atomic_fetch_add(&c->senders, 1), 0};
    for (; n.seq < EACH; n.seq++) {
        char tail[80];
        memset(tail, n.seq & 127, sizeof(tail));
        if (n.seq % 3 == 0) { /* part by part, so that two threads' parts could mix */
            eng_must(eng_send_bytes(c->out, &n, sizeof(n), true, ENG_WAIT_MS), "first part");
            eng_must(eng_send_bytes(c->out, tail, sizeof(tail), false, ENG_WAIT_MS), "last part");
        } else {
            struct msg m[2];
            eng_must(msg_init_copy(&m[0], &n, sizeof(n)), "copy");
            eng_must(msg_init_copy(&m[1], tail, sizeof(tail)), "copy");
            int rc;
            while ((rc = fmq_send(c->out, m, 2, false, ENG_WAIT_MS)) == -EINTR)
                ;
            eng_must(rc, "whole message");
        }
    }
}

static void crowd_recv(void *arg)
{
    struct crowd *c = arg;
    int last[SENDERS];
    for (int i = 0; i < SENDERS; i++)
        last[i] = -1;
    struct parts p;
    parts_init(&p);
    uint64_t until = eng_until(ENG_WAIT_MS);
    while (atomic_load(&c->received) < SENDERS * EACH) {
        int rc = eng_recv(c->in, &p, 20);
        if (rc == -EAGAIN) {
            if (!eng_left(until)) {
                fprintf(stderr, "waited for %d messages, got %d\n", SENDERS * EACH,
                        atomic_load(&c->received));
                check_failed();
            }
            continue;
        }
        eng_must(rc, "a message");
        CHECK_EQ(p.len, 2);
        CHECK_EQ(msg_size(&p.v[0]), sizeof(struct number));
        struct number n;
        memcpy(&n, msg_data(&p.v[0]), sizeof(n));
        CHECK(n.sender >= 0 && n.sender < SENDERS && n.seq > last[n.sender]);
        last[n.sender] = n.seq;
        CHECK_EQ(msg_size(&p.v[1]), 80);
        CHECK_EQ(msg_data(&p.v[1])[79], n.seq & 127);
        parts_clear(&p);
        atomic_fetch_add(&c->received, 1);
    }
    parts_fini(&p);
}

static void crowds(int type_out, int type_in, int directions)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *a = eng_socket(ctx, type_out), *b = eng_socket(ctx, type_in);
        eng_set(a, ENG_SNDHWM, 50);
        eng_set(b, ENG_RCVHWM, 50);
        struct eng_name name = eng_bind(b, eng_transports[t]);
        eng_connect(a, &name);
        struct crowd c[2] = {{.out = a, .in = b}, {.out = b, .in = a}};
        struct thread threads[2 * (SENDERS + RECEIVERS)];
        int n = 0;
        if (directions == 2)
            eng_wait(b, FMQ_POLLOUT);
        for (int d = 0; d < directions; d++) {
            for (int i = 0; i < SENDERS; i++)
                eng_must(thread_start(&threads[n++], crowd_send, &c[d], "send"), "thread");
            for (int i = 0; i < RECEIVERS; i++)
                eng_must(thread_start(&threads[n++], crowd_recv, &c[d], "recv"), "thread");
        }
        while (n)
            thread_join(&threads[--n]);
        for (int d = 0; d < directions; d++)
            CHECK_EQ(atomic_load(&c[d].received), SENDERS * EACH);
        eng_expect_none(b, 0);
        eng_close(a);
        eng_close(b);
        eng_end(ctx);
    }
}

TEST(many_threads_share_a_push_and_a_pull)
{
    crowds(FMQ_PUSH, FMQ_PULL, 1);
}

TEST(many_threads_share_two_dealers_in_both_directions)
{
    crowds(FMQ_DEALER, FMQ_DEALER, 2);
}

/* ---- blocked calls end ---- */

struct blocked {
    fmq_socket *s;
    bool sends;
    atomic_int started;
    atomic_int ended;
    atomic_int received;
    int expected;
};

static void block(void *arg)
{
    struct blocked *b = arg;
    struct parts p;
    int rc;
    parts_init(&p);
    atomic_fetch_add(&b->started, 1);
    do {
        if (b->sends) {
            struct msg m;
            eng_must(msg_init_copy(&m, "full", 4), "copy");
            rc = fmq_send(b->s, &m, 1, false, -1);
        } else {
            rc = fmq_recv(b->s, &p, NULL, -1);
            atomic_fetch_add(&b->received, rc == 0);
            parts_clear(&p);
        }
    } while (rc == -EINTR || (rc == 0 && !b->sends));
    CHECK_EQ(rc, b->expected);
    parts_fini(&p);
    atomic_fetch_add(&b->ended, 1);
}

static void end_blocked(const char *transport, bool sends, bool by_close)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, sends ? FMQ_PUSH : FMQ_PULL);
    eng_bind(s, transport);
    struct blocked b = {.s = s, .sends = sends, .expected = by_close ? -ENOTSOCK : -FMQ_ETERM};
    struct thread threads[4];
    for (int i = 0; i < 4; i++)
        eng_must(thread_start(&threads[i], block, &b, "blocked"), "thread");
    ENG_UNTIL(atomic_load(&b.started) == 4);
    usleep(2000); /* most of them wait by now; the rest is to be told all the same */
    if (by_close)
        eng_must(fmq_close(s), "close");
    else
        fmq_ctx_shutdown(ctx);
    ENG_UNTIL(atomic_load(&b.ended) == 4);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    fmq_socket_free(s);
    eng_end(ctx);
}

TEST(closing_ends_every_blocked_call)
{
    for (int i = 0; i < 10; i++)
        for (int t = 0; t < ENG_TRANSPORTS; t++)
            end_blocked(eng_transports[t], i % 2, true);
}

TEST(the_end_of_the_context_ends_every_blocked_call)
{
    for (int i = 0; i < 10; i++)
        for (int t = 0; t < ENG_TRANSPORTS; t++)
            end_blocked(eng_transports[t], i % 2, false);
}

TEST(threads_that_wait_together_rest)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(s, "tcp");
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    eng_connect(push, &name);
    struct blocked b = {.s = s, .expected = -ENOTSOCK};
    struct thread threads[3];
    for (int i = 0; i < 3; i++)
        eng_must(thread_start(&threads[i], block, &b, "blocked"), "thread");
    ENG_UNTIL(atomic_load(&b.started) == 3);
    for (int i = 0; i < 300; i++) { /* many short waits: spinning looks worth its while */
        eng_send(push, "quick");
        while (atomic_load(&b.received) < i)
            ;
    }
    ENG_UNTIL(atomic_load(&b.received) == 300);
    uint64_t cpu = eng_cpu();
    usleep(300000);
    CHECK(eng_cpu() - cpu < 150 * NS_PER_MS);
    eng_must(fmq_close(s), "close");
    for (int i = 0; i < 3; i++)
        thread_join(&threads[i]);
    fmq_socket_free(s);
    eng_close(push);
    eng_end(ctx);
}

/* ---- at the high-water mark ---- */

static void send_hundred(void *arg)
{
    for (int i = 0; i < 100; i++)
        eng_send(arg, "pushed back");
}

TEST(two_threads_blocked_at_the_mark_go_on_as_a_third_drains)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
        eng_set(push, ENG_SNDHWM, 1);
        eng_set(pull, ENG_RCVHWM, 1);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        struct thread threads[2];
        for (int i = 0; i < 2; i++)
            eng_must(thread_start(&threads[i], send_hundred, push, "sender"), "thread");
        for (int i = 0; i < 200; i++)
            eng_expect(pull, "pushed back");
        for (int i = 0; i < 2; i++)
            thread_join(&threads[i]);
        eng_expect_none(pull, 0);
        eng_close(push);
        eng_close(pull);
        eng_end(ctx);
    }
}

/* ---- limits in bytes ---- */

enum { CAP = 1000, CAPPED_PAIRS = 3, CAPPED_EACH = 300 };

struct capped {
    fmq_socket *push, *pull;
    unsigned seed;
};

static size_t capped_size(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    unsigned draw = *seed >> 16;
    return draw % 20 == 0 ? CAP + 500 : draw % 300;
}

static void capped_send(void *arg)
{
    struct capped *c = arg;
    unsigned seed = c->seed;
    char body[CAP + 500];
    for (int i = 0; i < CAPPED_EACH; i++) {
        size_t size = capped_size(&seed);
        memset(body, i & 127, size);
        eng_must(eng_send_bytes(c->push, body, size, false, ENG_WAIT_MS), "a capped send");
    }
}

static void capped_recv(void *arg)
{
    struct capped *c = arg;
    unsigned seed = c->seed;
    for (int i = 0; i < CAPPED_EACH; i++) {
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(c->pull, &p, ENG_WAIT_MS), "a capped message");
        CHECK_EQ(p.len, 1);
        CHECK_EQ(msg_size(&p.v[0]), capped_size(&seed));
        CHECK(msg_size(&p.v[0]) == 0 || msg_data(&p.v[0])[0] == (i & 127));
        parts_fini(&p);
    }
}

static int64_t queued(fmq_ctx *ctx)
{
    struct fmq_context_stats stats;
    eng_must(fmq_ctx_stats(ctx, &stats), "stats");
    return stats.queued_bytes;
}

TEST(senders_on_several_sockets_wait_for_the_room_of_one_context)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        eng_must(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, CAP), "MAX_QUEUED_BYTES");
        struct capped c[CAPPED_PAIRS];
        struct thread threads[2 * CAPPED_PAIRS];
        for (unsigned i = 0; i < CAPPED_PAIRS; i++) {
            c[i] = (struct capped){eng_socket(ctx, FMQ_PUSH), eng_socket(ctx, FMQ_PULL), i};
            struct eng_name name = eng_bind(c[i].pull, eng_transports[t]);
            eng_connect(c[i].push, &name);
        }
        for (int i = 0; i < CAPPED_PAIRS; i++) {
            eng_must(thread_start(&threads[2 * i], capped_send, &c[i], "sender"), "thread");
            eng_must(thread_start(&threads[2 * i + 1], capped_recv, &c[i], "receiver"), "thread");
        }
        for (int i = 0; i < 2 * CAPPED_PAIRS; i++)
            thread_join(&threads[i]);
        ENG_UNTIL(queued(ctx) == 0);
        for (int i = 0; i < CAPPED_PAIRS; i++) {
            eng_close(c[i].push);
            eng_close(c[i].pull);
        }
        eng_end(ctx);
    }
}

TEST(sockets_end_while_others_wait_for_the_room_of_their_context)
{
    fmq_ctx *ctx = eng_ctx();
    eng_must(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, CAP), "MAX_QUEUED_BYTES");
    static char body[CAP];
    for (int round = 0; round < 30; round++) {
        struct capped c = {eng_socket(ctx, FMQ_PUSH), eng_socket(ctx, FMQ_PULL), 0};
        struct eng_name name = eng_bind(c.pull, "inproc");
        eng_connect(c.push, &name);
        eng_must(eng_send_bytes(c.push, body, CAP, false, ENG_WAIT_MS), "a full context");
        struct capped waits = {eng_socket(ctx, FMQ_PUSH), eng_socket(ctx, FMQ_PULL), 1};
        struct eng_name other = eng_bind(waits.pull, "inproc");
        eng_connect(waits.push, &other);
        struct thread threads[2];
        eng_must(thread_start(&threads[0], capped_send, &waits, "sender"), "thread");
        eng_must(thread_start(&threads[1], capped_recv, &waits, "receiver"), "thread");
        fmq_socket *refused = eng_socket(ctx, FMQ_PUSH); /* goes while it is on the list */
        eng_connect(refused, &name);
        eng_must(eng_send_bytes(refused, "x", 1, false, 0), "what an empty queue takes");
        CHECK_EQ(eng_send_bytes(refused, "x", 1, false, 0), -EAGAIN);
        eng_close(refused);
        eng_close(c.push);
        eng_close(c.pull); /* the room comes back because what was queued is thrown away */
        thread_join(&threads[0]);
        thread_join(&threads[1]);
        eng_close(waits.push);
        eng_close(waits.pull);
        ENG_UNTIL(queued(ctx) == 0);
    }
    eng_end(ctx);
}

/* ---- storms ---- */

struct storm {
    fmq_ctx *ctx;
    fmq_socket *a, *b;
    struct eng_name name;
    const char *transport;
    atomic_bool stop;
    atomic_int sent;
    atomic_int turn;
    fmq_pollset *set;
};

static void storm_connect(void *arg)
{
    struct storm *s = arg;
    for (int i = 0; i < 60; i++) {
        eng_must(fmq_connect(s->a, s->name.text), "connect");
        eng_send(s->a, "storm");
        atomic_fetch_add(&s->sent, 1);
        eng_must(fmq_disconnect(s->a, s->name.text), "disconnect");
    }
}

static void storm_bind(void *arg)
{
    struct storm *s = arg;
    for (int i = 0; i < 60; i++) {
        struct eng_name name;
        if (strcmp(s->transport, "ipc") == 0)
            snprintf(name.text, sizeof(name.text), "ipc:///tmp/fmq-storm-%d-%d", (int)getpid(), i);
        else if (strcmp(s->transport, "inproc") == 0)
            snprintf(name.text, sizeof(name.text), "inproc://storm-%d", i);
        else {
            fmq_socket *finder = eng_socket(s->ctx, FMQ_PULL);
            name = eng_bind(finder, "tcp");
            eng_close(finder);
        }
        int rc = fmq_bind(s->b, name.text);
        if (rc == -EADDRINUSE)
            continue;
        eng_must(rc, "bind");
        eng_must(fmq_unbind(s->b, name.text), "unbind");
    }
}

static void storm_drain(void *arg)
{
    struct storm *s = arg;
    struct parts p;
    parts_init(&p);
    while (!atomic_load(&s->stop)) {
        if (eng_recv(s->b, &p, 5) == 0)
            atomic_fetch_sub(&s->sent, 1);
        parts_clear(&p);
    }
    parts_fini(&p);
}

TEST(connecting_and_binding_go_on_under_traffic)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        struct storm s = {.ctx = eng_ctx(), .transport = eng_transports[t]};
        s.a = eng_socket(s.ctx, FMQ_PUSH);
        s.b = eng_socket(s.ctx, FMQ_PULL);
        s.name = eng_bind(s.b, eng_transports[t]);
        eng_connect(s.a, &s.name); /* stays, so that a send always finds somebody */
        struct thread threads[4];
        eng_must(thread_start(&threads[0], storm_connect, &s, "connect"), "thread");
        eng_must(thread_start(&threads[1], storm_bind, &s, "bind"), "thread");
        eng_must(thread_start(&threads[2], storm_drain, &s, "drain"), "thread");
        eng_must(thread_start(&threads[3], storm_drain, &s, "drain"), "thread");
        thread_join(&threads[0]);
        thread_join(&threads[1]);
        ENG_UNTIL(atomic_load(&s.sent) == 0);
        atomic_store(&s.stop, true);
        thread_join(&threads[2]);
        thread_join(&threads[3]);
        eng_close(s.a);
        eng_close(s.b);
        eng_end(s.ctx);
    }
}

/* Sockets that come, say something to whoever is there, and go. */
static void storm_sockets(void *arg)
{
    struct storm *s = arg;
    unsigned state = 12345u * (unsigned)(atomic_fetch_add(&s->turn, 1) + 1);
    for (int i = 0; i < 120; i++) {
        char name[32];
        fmq_socket *me = eng_socket(s->ctx, FMQ_DEALER);
        eng_set(me, ENG_LINGER, (int)(state >> 28) % 3);
        eng_set(me, ENG_SNDHWM, 3);
        eng_set(me, ENG_RCVHWM, 3);
        for (int k = 0; k < 3; k++) {
            state = state * 1664525u + 1013904223u;
            snprintf(name, sizeof(name), "inproc://crowd-%u", (state >> 16) % 4);
            int rc = state >> 31 ? fmq_bind(me, name) : fmq_connect(me, name);
            CHECK(rc == 0 || rc == -EADDRINUSE);
        }
        for (int k = 0; k < 6; k++) {
            struct parts p;
            parts_init(&p);
            (void)eng_try_send(me, "a message that is too long to be held inline, on purpose");
            (void)eng_recv(me, &p, 0);
            parts_fini(&p);
        }
        if (state >> 20 & 1)
            (void)fmq_unbind(me, name);
        else if (state >> 21 & 1)
            (void)fmq_disconnect(me, name);
        eng_close(me);
    }
}

TEST(inproc_sockets_come_and_go_in_many_threads)
{
    struct storm s = {.ctx = eng_ctx()};
    struct thread threads[4];
    for (int i = 0; i < 4; i++)
        eng_must(thread_start(&threads[i], storm_sockets, &s, "sockets"), "thread");
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    eng_end(s.ctx);
}

static void hit_and_run(void *arg)
{
    struct storm *s = arg;
    for (int i = 0; i < 400; i++) {
        fmq_socket *a = eng_socket(s->ctx, FMQ_PUSH);
        eng_connect(a, &s->name);
        eng_send(a, "1");
        eng_send(a, "2");
        eng_close(a);
        atomic_fetch_add(&s->sent, 2);
    }
}

TEST(what_inproc_peers_sent_before_they_left_arrives)
{
    struct storm s = {.ctx = eng_ctx()};
    s.b = eng_socket(s.ctx, FMQ_PULL);
    s.name = eng_bind(s.b, "inproc");
    struct thread threads[3];
    eng_must(thread_start(&threads[0], hit_and_run, &s, "run"), "thread");
    eng_must(thread_start(&threads[1], hit_and_run, &s, "run"), "thread");
    eng_must(thread_start(&threads[2], storm_drain, &s, "drain"), "thread");
    thread_join(&threads[0]);
    thread_join(&threads[1]);
    ENG_UNTIL(atomic_load(&s.sent) == 0);
    atomic_store(&s.stop, true);
    thread_join(&threads[2]);
    eng_close(s.b);
    eng_end(s.ctx);
}

/* ---- closing against other calls ---- */

static void bind_names(void *arg)
{
    struct storm *s = arg;
    for (int i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof(name), "inproc://race-%d", i % 8);
        atomic_store(&s->turn, i);
        int rc = fmq_bind(s->a, name);
        if (rc == -ENOTSOCK)
            return;
        CHECK(rc == 0 || rc == -EADDRINUSE);
        fmq_unbind(s->a, name);
    }
}

TEST(a_name_bound_while_its_socket_closes_is_not_left_behind)
{
    for (int i = 0; i < 100; i++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_PULL);
        struct thread thread;
        eng_must(thread_start(&thread, bind_names, &s, "bind"), "thread");
        while (atomic_load(&s.turn) < i)
            ;
        eng_must(fmq_close(s.a), "close");
        thread_join(&thread);
        fmq_socket_free(s.a);
        fmq_socket *next = eng_socket(s.ctx, FMQ_PULL);
        for (int k = 0; k < 8; k++) {
            char name[32];
            snprintf(name, sizeof(name), "inproc://race-%d", k);
            eng_must(fmq_bind(next, name), "bind");
        }
        eng_close(next);
        eng_end(s.ctx);
    }
}

static void toggle_in_set(void *arg)
{
    struct storm *s = arg;
    while (!atomic_load(&s->stop)) {
        int rc = fmq_pollset_add(s->set, s->a, FMQ_POLLIN | FMQ_POLLOUT, s->a);
        if (rc == -ENOTSOCK)
            break;
        eng_must(rc, "add");
        fmq_pollset_modify(s->set, s->a, FMQ_POLLIN);
        eng_must(fmq_pollset_remove(s->set, s->a), "remove");
    }
}

static void wait_in_set(void *arg)
{
    struct storm *s = arg;
    struct fmq_pollevent ev[4];
    while (!atomic_load(&s->stop))
        (void)fmq_pollset_wait(s->set, ev, 4, 2);
}

static void trickle(void *arg)
{
    struct storm *s = arg;
    for (int i = 0; i < 40; i++) {
        if (eng_send_bytes(s->b, "x", 1, false, 0) == 0)
            usleep(50);
    }
}

TEST(a_poll_set_is_waited_on_while_others_change_it_and_close)
{
    for (int i = 0; i < 30; i++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_PULL);
        s.b = eng_socket(s.ctx, FMQ_PUSH);
        eng_set(s.b, ENG_LINGER, 0);
        s.name = eng_bind(s.a, eng_transports[i % ENG_TRANSPORTS]);
        eng_connect(s.b, &s.name);
        eng_must(fmq_pollset_new(&s.set), "pollset_new");
        struct thread threads[4];
        eng_must(thread_start(&threads[0], toggle_in_set, &s, "toggle"), "thread");
        eng_must(thread_start(&threads[1], wait_in_set, &s, "wait"), "thread");
        eng_must(thread_start(&threads[2], wait_in_set, &s, "wait"), "thread");
        eng_must(thread_start(&threads[3], trickle, &s, "trickle"), "thread");
        thread_join(&threads[3]);
        eng_must(fmq_close(s.a), "close");
        thread_join(&threads[0]);
        atomic_store(&s.stop, true);
        thread_join(&threads[1]);
        thread_join(&threads[2]);
        fmq_pollset_free(s.set);
        fmq_socket_free(s.a);
        eng_close(s.b);
        eng_end(s.ctx);
    }
}

static void wait_for_end(void *arg)
{
    struct storm *s = arg;
    struct fmq_pollevent ev[1];
    int rc;
    atomic_store(&s->turn, 1);
    do
        rc = fmq_pollset_wait(s->set, ev, 1, ENG_WAIT_MS);
    while (rc == -EINTR);
    CHECK_EQ(rc, -ENOTSOCK);
}

TEST(closing_a_socket_ends_a_wait_on_its_poll_set)
{
    for (int i = 0; i < 30; i++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_PULL);
        eng_bind(s.a, eng_transports[i % ENG_TRANSPORTS]);
        eng_must(fmq_pollset_new(&s.set), "pollset_new");
        eng_must(fmq_pollset_add(s.set, s.a, FMQ_POLLIN, NULL), "add");
        struct thread thread;
        eng_must(thread_start(&thread, wait_for_end, &s, "wait"), "thread");
        ENG_UNTIL(atomic_load(&s.turn));
        if (i % 2)
            usleep(1000);
        eng_must(fmq_close(s.a), "close");
        thread_join(&thread);
        fmq_pollset_free(s.set);
        fmq_socket_free(s.a);
        eng_end(s.ctx);
    }
}

static void toggle_monitor(void *arg)
{
    struct storm *s = arg;
    for (int i = 0;; i++) {
        int rc = fmq_monitor(s->a, i % 4 == 3 ? NULL : "inproc://watch", 0xffff, 1, FMQ_PAIR);
        if (rc == -ENOTSOCK)
            return;
        CHECK(rc == 0 || rc == -EADDRINUSE);
    }
}

static void read_monitor(void *arg)
{
    struct storm *s = arg;
    while (!atomic_load(&s->stop)) {
        fmq_socket *mon = eng_socket(s->ctx, FMQ_PAIR);
        eng_must(fmq_connect(mon, "inproc://watch"), "connect");
        struct parts p;
        parts_init(&p);
        (void)eng_recv(mon, &p, 3);
        parts_fini(&p);
        eng_close(mon);
    }
}

TEST(a_monitor_is_changed_while_connections_come_and_the_socket_closes)
{
    for (int i = 0; i < 10; i++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_ROUTER);
        s.name = eng_bind(s.a, "tcp");
        struct thread threads[2];
        eng_must(thread_start(&threads[0], toggle_monitor, &s, "toggle"), "thread");
        eng_must(thread_start(&threads[1], read_monitor, &s, "read"), "thread");
        for (int k = 0; k < 15; k++) {
            fmq_socket *d = eng_socket(s.ctx, FMQ_DEALER);
            eng_set(d, ENG_LINGER, 0);
            eng_connect(d, &s.name);
            eng_send(d, "hello");
            if (k % 2)
                eng_expect_from(s.a, "hello", 1);
            eng_close(d);
        }
        eng_must(fmq_close(s.a), "close");
        thread_join(&threads[0]);
        atomic_store(&s.stop, true);
        thread_join(&threads[1]);
        fmq_socket_free(s.a);
        eng_end(s.ctx);
    }
}

/* Sockets over the network that come and go with messages on their way in both directions. */
static void come_and_go(void *arg)
{
    struct storm *s = arg;
    int me = atomic_fetch_add(&s->turn, 1);
    for (int i = 0; i < 40; i++) {
        static const int types[] = {FMQ_DEALER, FMQ_REQ, FMQ_ROUTER, FMQ_DEALER};
        fmq_socket *peer = eng_socket(s->ctx, types[(i + me) % 4]);
        eng_set(peer, ENG_LINGER, i % 3);
        eng_set(peer, ENG_RECONNECT_IVL, 1);
        eng_must(fmq_connect(peer, s->name.text), "connect");
        for (int k = 0; k < 3; k++)
            (void)eng_try_send(peer, "a message that is too long to be held inline, on purpose");
        struct parts p;
        parts_init(&p);
        (void)eng_recv(peer, &p, i % 4);
        parts_fini(&p);
        if (i % 5 == 0)
            (void)fmq_disconnect(peer, s->name.text);
        eng_close(peer);
    }
}

static void answer(void *arg)
{
    struct storm *s = arg;
    struct parts p;
    parts_init(&p);
    while (!atomic_load(&s->stop)) {
        if (eng_recv(s->a, &p, 2) == 0 && fmq_send(s->a, p.v, p.len, false, 0) == 0)
            p.len = 0;
        parts_clear(&p);
    }
    parts_fini(&p);
}

TEST(peers_come_and_go_while_a_router_answers_them)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_ROUTER);
        eng_set(s.a, ENG_LINGER, 0);
        eng_set(s.a, 97, 3); /* ROUTER_NOTIFY */
        s.name = eng_bind(s.a, eng_transports[t]);
        struct thread threads[5];
        for (int i = 0; i < 3; i++)
            eng_must(thread_start(&threads[i], come_and_go, &s, "peer"), "thread");
        for (int i = 3; i < 5; i++)
            eng_must(thread_start(&threads[i], answer, &s, "router"), "thread");
        for (int i = 0; i < 3; i++)
            thread_join(&threads[i]);
        atomic_store(&s.stop, true);
        for (int i = 3; i < 5; i++)
            thread_join(&threads[i]);
        eng_close(s.a);
        eng_end(s.ctx);
    }
}

static void subscribe(void *arg)
{
    struct storm *s = arg;
    for (int i = 0; i < 60; i++) {
        fmq_socket *sub = eng_socket(s->ctx, FMQ_SUB);
        eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "t", 1), "SUBSCRIBE");
        eng_must(fmq_connect(sub, s->name.text), "connect");
        eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "u", 1), "SUBSCRIBE");
        struct parts p;
        parts_init(&p);
        if (i % 2)
            (void)eng_recv(sub, &p, 20);
        parts_fini(&p);
        eng_must(fmq_set_bytes(sub, 7, "t", 1), "UNSUBSCRIBE");
        eng_close(sub);
    }
}

static void publish(void *arg)
{
    struct storm *s = arg;
    while (!atomic_load(&s->stop)) {
        eng_send(s->a, "topic");
        eng_send(s->a, "u: a message that is too long to be held inline, on purpose");
        usleep(100);
    }
}

TEST(subscribers_come_and_go_while_two_threads_publish)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_PUB);
        eng_set(s.a, ENG_LINGER, 0);
        s.name = eng_bind(s.a, eng_transports[t]);
        struct thread threads[4];
        for (int i = 0; i < 4; i++)
            eng_must(thread_start(&threads[i], i < 2 ? subscribe : publish, &s, "pubsub"),
                     "thread");
        thread_join(&threads[0]);
        thread_join(&threads[1]);
        atomic_store(&s.stop, true);
        thread_join(&threads[2]);
        thread_join(&threads[3]);
        eng_close(s.a);
        eng_end(s.ctx);
    }
}

/* ---- shutting down under traffic ---- */

static void talk_until_term(void *arg)
{
    struct storm *s = arg;
    int rc = 0;
    while (rc != -FMQ_ETERM) {
        rc = eng_send_bytes(s->a, "ping", 4, false, 20);
        CHECK(rc == 0 || rc == -EAGAIN || rc == -FMQ_ETERM);
    }
}

static void listen_until_term(void *arg)
{
    struct storm *s = arg;
    struct parts p;
    int rc = 0;
    parts_init(&p);
    while (rc != -FMQ_ETERM) {
        rc = eng_recv(s->b, &p, 20);
        CHECK(rc == 0 || rc == -EAGAIN || rc == -FMQ_ETERM);
        atomic_fetch_add(&s->sent, rc == 0);
        parts_clear(&p);
    }
    parts_fini(&p);
}

TEST(a_context_ends_under_traffic)
{
    for (int i = 0; i < 12; i++) {
        struct storm s = {.ctx = eng_ctx()};
        s.a = eng_socket(s.ctx, FMQ_PUSH);
        s.b = eng_socket(s.ctx, FMQ_PULL);
        eng_set(s.a, ENG_LINGER, 0);
        s.name = eng_bind(s.b, eng_transports[i % ENG_TRANSPORTS]);
        eng_connect(s.a, &s.name);
        struct thread threads[4];
        for (int k = 0; k < 4; k++)
            eng_must(
                thread_start(&threads[k], k % 2 ? talk_until_term : listen_until_term, &s, "talk"),
                "thread");
        ENG_UNTIL(atomic_load(&s.sent) > 100);
        fmq_ctx_shutdown(s.ctx);
        for (int k = 0; k < 4; k++)
            thread_join(&threads[k]);
        eng_close(s.a);
        eng_close(s.b);
        eng_end(s.ctx);
    }
}
