/* SPDX-License-Identifier: MIT */
// needs: engine
/* Peers, statistics and subscribers, asked for by some threads while others work. */
#include "check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine.h"

static struct fmq_socket_stats stats_of(fmq_socket *s)
{
    struct fmq_socket_stats stats;
    eng_must(fmq_stats(s, &stats), "stats");
    return stats;
}

static int wait_subscribers(fmq_socket *s, const char *topic, uint32_t n, int ms)
{
    uint64_t until = eng_until(ms);
    int rc;
    while ((rc = fmq_wait_subscribers(s, topic, strlen(topic), n, eng_left(until))) == -EINTR)
        ;
    return rc;
}

/* ---- counting ---- */

TEST(counters_of_both_sides_agree_over_every_transport)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *pull = eng_socket(ctx, FMQ_PULL), *push = eng_socket(ctx, FMQ_PUSH);
        struct eng_name name = eng_bind(pull, eng_transports[t]);
        eng_connect(push, &name);
        for (int i = 0; i < 10; i++)
            eng_send(push, "12345");
        ENG_UNTIL(stats_of(pull).count.msgs_recvd == 10);
        eng_expect(pull, "12345");
        CHECK_EQ(stats_of(pull).count.queued_to_recv, 9);
        ENG_UNTIL(stats_of(push).count.msgs_sent >= 1);
        struct fmq_peer rows[2];
        CHECK_EQ(fmq_peers(push, rows, 2), 1);
        CHECK_EQ(rows[0].link, FMQ_LINK_READY);
        CHECK_EQ(rows[0].type, FMQ_PULL);
        CHECK(!rows[0].accepted);
        CHECK_STR(rows[0].endpoint, name.text);
        CHECK_EQ(fmq_peers(pull, NULL, 0), 1);
        for (int i = 0; i < 9; i++)
            eng_expect(pull, "12345");
        ENG_UNTIL(stats_of(push).count.msgs_sent == 10);
        CHECK_EQ(stats_of(push).count.bytes_sent, stats_of(pull).count.bytes_recvd);
        struct fmq_context_stats all;
        eng_must(fmq_ctx_stats(ctx, &all), "ctx stats");
        CHECK_EQ(all.sockets, 2);
        CHECK_EQ(all.descriptors, fmq_open_fds() - eng_fds);
        uint32_t unwatched = stats_of(pull).descriptors;
        int fd;
        eng_must(fmq_watch(pull, FMQ_POLLIN, &fd), "watch");
        CHECK(stats_of(pull).descriptors > unwatched);
        eng_must(fmq_ctx_stats(ctx, &all), "ctx stats");
        CHECK_EQ(all.descriptors, fmq_open_fds() - eng_fds);
        eng_must(fmq_watch(pull, 0, &fd), "watch no more");
        CHECK(all.pool_spare <= all.pool_bytes);
        uint64_t bytes = stats_of(push).count.bytes_sent + stats_of(pull).count.bytes_sent;
        eng_close(push);
        eng_close(pull);
        eng_must(fmq_ctx_stats(ctx, &all), "ctx stats");
        CHECK_EQ(all.count.msgs_sent, 10);
        CHECK_EQ(all.count.msgs_recvd, 10);
        CHECK_EQ(all.count.bytes_sent, bytes);
        /* A closed socket may wait for a moment until the peer's kernel has all. */
        ENG_UNTIL(fmq_ctx_stats(ctx, &all) == 0 && all.sockets == 0);
        eng_end(ctx);
    }
}

/* ---- asking while others work ---- */

enum { ROUNDS = 300 };

struct traffic {
    fmq_ctx *ctx;
    fmq_socket *push, *pull;
    atomic_bool over;
    atomic_int looks;
};

static void traffic_send(void *arg)
{
    struct traffic *t = arg;
    for (int i = 0; i < ROUNDS; i++)
        eng_send(t->push, "message");
}

static void traffic_look(void *arg)
{
    struct traffic *t = arg;
    uint64_t last = 0, last_all = 0;
    while (!atomic_load(&t->over)) {
        struct fmq_peer rows[4];
        struct fmq_context_stats all;
        uint64_t now = stats_of(t->pull).count.msgs_recvd;
        CHECK(now >= last);
        last = now;
        CHECK_EQ(fmq_peers(t->push, rows, 4), 1);
        eng_must(fmq_ctx_stats(t->ctx, &all), "ctx stats");
        CHECK(all.count.msgs_recvd >= last_all);
        last_all = all.count.msgs_recvd;
        atomic_fetch_add(&t->looks, 1);
    }
}

TEST(threads_may_look_inside_while_messages_flow)
{
    for (int i = 0; i < ENG_TRANSPORTS; i++) {
        fmq_ctx *ctx = eng_ctx();
        struct traffic t = {.ctx = ctx};
        t.push = eng_socket(ctx, FMQ_PUSH);
        t.pull = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(t.pull, eng_transports[i]);
        eng_connect(t.push, &name);
        struct thread sender, looker[2];
        for (int k = 0; k < 2; k++)
            eng_must(thread_start(&looker[k], traffic_look, &t, "look"), "thread");
        ENG_UNTIL(atomic_load(&t.looks) > 2);
        eng_must(thread_start(&sender, traffic_send, &t, "send"), "thread");
        for (int k = 0; k < ROUNDS; k++)
            eng_expect(t.pull, "message");
        thread_join(&sender);
        atomic_store(&t.over, true);
        for (int k = 0; k < 2; k++)
            thread_join(&looker[k]);
        CHECK_EQ(stats_of(t.pull).count.msgs_recvd, ROUNDS);
        ENG_UNTIL(stats_of(t.push).count.msgs_sent == ROUNDS);
        eng_close(t.push);
        eng_close(t.pull);
        eng_end(ctx);
    }
}

/* ---- snapshots while everything comes and goes ---- */

struct coming {
    fmq_ctx *ctx; /* of all threads but one */
    const char *transport;
    atomic_bool over;
    atomic_int snapshots;
    atomic_int left; /* threads that have not done their rounds */
};

/* Sockets that are bound, connected, used and closed, with more peers than one slice describes. */
static void come_and_go(void *arg)
{
    enum { PEERS = 20 };
    struct coming *c = arg;
    for (int round = 0; round < 8; round++) {
        fmq_socket *pub = eng_socket(c->ctx, FMQ_PUB), *sub[PEERS];
        struct eng_name name = eng_bind(pub, c->transport);
        for (int i = 0; i < PEERS; i++) {
            sub[i] = eng_socket(c->ctx, FMQ_SUB);
            eng_connect(sub[i], &name);
            eng_must(fmq_set_bytes(sub[i], ENG_SUBSCRIBE, "t", 1), "subscribe");
        }
        int all = wait_subscribers(pub, "topic", PEERS, ENG_WAIT_MS);
        CHECK_EQ(all, PEERS);
        eng_send(pub, "topic");
        for (int i = 0; i < PEERS; i += 2)
            eng_close(sub[i]);
        eng_must(fmq_unbind(pub, name.text), "unbind");
        eng_close(pub);
        for (int i = 1; i < PEERS; i += 2)
            eng_close(sub[i]);
    }
    atomic_fetch_sub(&c->left, 1);
}

/* Contexts that are made and ended, with the socket that asks an authenticator. */
static void contexts_come_and_go(void *arg)
{
    enum { REPS = 50 };
    struct coming *c = arg;
    for (int round = 0; round < 20; round++) {
        fmq_ctx *ctx;
        eng_must(fmq_ctx_new(&ctx), "ctx_new");
        fmq_socket *rep[REPS];
        for (int i = 0; i < REPS; i++)
            rep[i] = eng_socket(ctx, FMQ_REP);
        eng_set(rep[0], ENG_PLAIN_SERVER, 1); /* makes the socket that asks */
        eng_bind(rep[0], c->transport);
        for (int i = 0; i < REPS; i++)
            eng_close(rep[i]);
        uint64_t until = eng_until(ENG_WAIT_MS);
        int rc;
        while ((rc = fmq_ctx_term(ctx, eng_left(until))) == -EINTR)
            ;
        CHECK_EQ(rc, 0);
        fmq_ctx_free(ctx);
    }
    atomic_fetch_sub(&c->left, 1);
}

static void take_snapshots(void *arg)
{
    struct coming *c = arg;
    while (!atomic_load(&c->over)) {
        char *text;
        size_t len;
        eng_must(fmq_snapshot("snapshot topic=746f706963 peers=16", &text, &len), "snapshot");
        CHECK(len > 2 && text[0] == '{' && text[len - 1] == '}');
        fmq_snapshot_free(text);
        atomic_fetch_add(&c->snapshots, 1);
    }
}

TEST(snapshots_go_on_while_sockets_peers_and_contexts_come_and_go)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        struct thread lookers[2], busy[3];
        fmq_ctx *ctx = eng_ctx();
        struct coming c = {.ctx = ctx, .transport = eng_transports[t]};
        atomic_init(&c.left, 3);
        for (int i = 0; i < 2; i++)
            eng_must(thread_start(&lookers[i], take_snapshots, &c, "look"), "thread");
        ENG_UNTIL(atomic_load(&c.snapshots) > 0);
        eng_must(thread_start(&busy[0], come_and_go, &c, "come"), "thread");
        eng_must(thread_start(&busy[1], come_and_go, &c, "come"), "thread");
        eng_must(thread_start(&busy[2], contexts_come_and_go, &c, "come"), "thread");
        for (int i = 0; i < 3; i++)
            thread_join(&busy[i]);
        CHECK_EQ(atomic_load(&c.left), 0);
        atomic_store(&c.over, true);
        for (int i = 0; i < 2; i++)
            thread_join(&lookers[i]);
        eng_end(ctx);
    }
}

static void serve_and_stop(void *arg)
{
    struct coming *c = arg;
    char path[104];
    while (!atomic_load(&c->over)) {
        eng_must(fmq_inspect_serve(), "serve");
        fmq_inspect_path(path);
        CHECK(path[0] == '/' || !path[0]); /* another thread may have stopped it */
        fmq_inspect_stop();
        atomic_fetch_add(&c->snapshots, 1);
    }
}

TEST(a_window_may_be_opened_and_closed_by_several_threads_while_the_process_forks)
{
    enum { FORKS = 10 };
    struct coming c = {.ctx = NULL};
    struct thread threads[2];
    char folder[] = "/tmp/fmqXXXXXX", path[104];
    CHECK(mkdtemp(folder) != NULL);
    CHECK_EQ(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
    for (int i = 0; i < 2; i++)
        eng_must(thread_start(&threads[i], serve_and_stop, &c, "serve"), "thread");
    for (int i = 0; i < FORKS; i++) {
        int before = atomic_load(&c.snapshots);
        ENG_UNTIL(atomic_load(&c.snapshots) > before);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) { /* it has the locks as they should be, and no window */
            alarm(20);
            fmq_inspect_path(path);
            _exit(path[0] ? 1 : 0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    atomic_store(&c.over, true);
    for (int i = 0; i < 2; i++)
        thread_join(&threads[i]);
    snprintf(path, sizeof(path), "%s/fastmq", folder);
    CHECK_EQ(rmdir(path), 0); /* nothing was left in it */
    CHECK_EQ(rmdir(folder), 0);
}

/* ---- waiting for subscribers ---- */

struct waiter {
    fmq_socket *pub;
    const char *topic;
    uint32_t n;
    atomic_int started;
    int rc;
};

static void waits(void *arg)
{
    struct waiter *w = arg;
    atomic_fetch_add(&w->started, 1);
    w->rc = wait_subscribers(w->pub, w->topic, w->n, ENG_WAIT_MS);
}

TEST(several_threads_wait_for_different_subscribers)
{
    for (int t = 0; t < ENG_TRANSPORTS; t++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *pub = eng_socket(ctx, FMQ_PUB);
        struct eng_name name = eng_bind(pub, eng_transports[t]);
        struct waiter w[] = {{.pub = pub, .topic = "aa", .n = 1},
                             {.pub = pub, .topic = "b", .n = 2},
                             {.pub = pub, .topic = "", .n = 3}};
        struct thread threads[3];
        for (int i = 0; i < 3; i++)
            eng_must(thread_start(&threads[i], waits, &w[i], "wait"), "thread");
        for (int i = 0; i < 3; i++)
            ENG_UNTIL(atomic_load(&w[i].started));
        fmq_socket *sub[3];
        static const char *const topics[] = {"b", "", "a"};
        for (int i = 0; i < 3; i++) {
            sub[i] = eng_socket(ctx, FMQ_SUB);
            eng_connect(sub[i], &name);
            eng_must(fmq_set_bytes(sub[i], ENG_SUBSCRIBE, topics[i], strlen(topics[i])), "sub");
        }
        for (int i = 0; i < 3; i++) {
            thread_join(&threads[i]);
            CHECK(w[i].rc >= (int)w[i].n);
        }
        CHECK_EQ(wait_subscribers(pub, "", 3, 0), 3);
        CHECK_EQ(wait_subscribers(pub, "ab", 0, 0), 2);
        CHECK_EQ(wait_subscribers(pub, "ab", 3, 1), -EAGAIN);
        for (int i = 0; i < 3; i++)
            eng_close(sub[i]);
        ENG_UNTIL(wait_subscribers(pub, "", 0, 0) == 0);
        eng_close(pub);
        eng_end(ctx);
    }
}

TEST(a_wait_for_subscribers_ends_with_the_socket_and_the_context)
{
    for (int by_close = 0; by_close < 2; by_close++) {
        fmq_ctx *ctx = eng_ctx();
        fmq_socket *pub = eng_socket(ctx, FMQ_XPUB);
        struct waiter w = {.pub = pub, .topic = "", .n = 1};
        struct thread thread;
        eng_must(thread_start(&thread, waits, &w, "wait"), "thread");
        ENG_UNTIL(atomic_load(&w.started));
        if (by_close)
            eng_must(fmq_close(pub), "close");
        else
            fmq_ctx_shutdown(ctx);
        thread_join(&thread);
        CHECK_EQ(w.rc, by_close ? -ENOTSOCK : -FMQ_ETERM);
        fmq_socket_free(pub);
        eng_end(ctx);
    }
}

TEST(types_without_subscribers_say_so)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *sub = eng_socket(ctx, FMQ_SUB);
    CHECK_EQ(wait_subscribers(sub, "", 1, 0), -ENOTSUP);
    eng_close(sub);
    eng_end(ctx);
}
