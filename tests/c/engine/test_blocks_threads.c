/* SPDX-License-Identifier: MIT */
// needs: engine
/* Large bodies in blocks, among threads: sent by some, received by others, released by anybody. */
#include "check.h"

#include "base/alloc.h"
#include "engine.h"

enum { SUBS = 3, MESSAGES = 60, KEPT = 4, SIZE = 300 << 10 };

struct hands {
    struct mutex lock;
    struct msg kept[KEPT]; /* what anybody may release */
    bool full[KEPT];
    atomic_int receiving;
    fmq_ctx *ctx;
    fmq_socket *pub, *subs[SUBS];
    atomic_int next;
};

static void expect_body(const struct msg *m)
{
    const uint8_t *at = msg_data(m);
    CHECK_EQ(msg_size(m), SIZE);
    for (size_t i = 0; i < SIZE; i += 4093)
        CHECK_EQ(at[i], at[0]);
    CHECK_EQ(at[SIZE - 1], at[0]);
}

/* Puts a message in a place and releases the one that was there. */
static void swap(struct hands *h, unsigned place, struct msg *m)
{
    struct msg old;
    mutex_lock(&h->lock);
    bool had = h->full[place];
    if (had)
        old = h->kept[place];
    h->full[place] = m != NULL;
    if (m)
        h->kept[place] = *m;
    mutex_unlock(&h->lock);
    if (!had)
        return;
    expect_body(&old);
    msg_drop(&old);
}

static void receive(void *arg)
{
    struct hands *h = arg;
    fmq_socket *sub = h->subs[atomic_fetch_add(&h->next, 1)];
    for (;;) {
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(sub, &p, ENG_WAIT_MS), "a message");
        bool last = msg_size(&p.v[0]) != SIZE;
        if (!last) {
            expect_body(&p.v[0]);
            swap(h, msg_data(&p.v[0])[0] % KEPT, &p.v[0]);
            p.len = 0;
        }
        parts_fini(&p);
        if (last)
            break;
    }
    atomic_fetch_sub(&h->receiving, 1);
}

static void release(void *arg)
{
    struct hands *h = arg;
    struct fmq_context_stats stats;
    for (unsigned i = 0; atomic_load(&h->receiving); i++) {
        swap(h, i % KEPT, NULL);
        eng_must(fmq_ctx_stats(h->ctx, &stats), "stats");
        CHECK(stats.arena_lent <= SUBS * 256);
    }
}

static void free_block(void *data, void *hint)
{
    (void)data;
    fmq_block_free(hint);
    mem_free(hint);
}

/* Memory of the arena, or of the heap. */
static void make_body(fmq_ctx *ctx, bool arena, struct msg *m, uint8_t value)
{
    if (arena) {
        struct fmq_block *b = mem_alloc(sizeof(*b));
        CHECK(b != NULL);
        eng_must(fmq_ctx_alloc(ctx, SIZE, b), "alloc");
        memset(b->data, value, SIZE);
        eng_must(msg_init_foreign(m, b->data, SIZE, free_block, b), "foreign");
    } else {
        uint8_t *data;
        eng_must(msg_init_blob(m, SIZE, &data), "blob");
        memset(data, value, SIZE);
    }
}

static void run(const char *transport)
{
    struct hands h = {0};
    struct thread threads[SUBS + 1];
    h.ctx = eng_ctx();
    h.pub = eng_socket(h.ctx, FMQ_PUB);
    eng_set(h.pub, ENG_SHM, 1);
    struct eng_name name = eng_bind(h.pub, transport);
    mutex_init(&h.lock);
    for (int i = 0; i < SUBS; i++) {
        h.subs[i] = eng_socket(h.ctx, FMQ_SUB);
        eng_set(h.subs[i], ENG_SHM, 1);
        eng_must(fmq_set_bytes(h.subs[i], ENG_SUBSCRIBE, "", 0), "subscribe");
        eng_connect(h.subs[i], &name);
    }
    CHECK_EQ(fmq_wait_subscribers(h.pub, "", 0, SUBS, ENG_WAIT_MS), SUBS);
    atomic_store(&h.receiving, SUBS);
    for (int i = 0; i < SUBS; i++)
        eng_must(thread_start(&threads[i], receive, &h, "sub"), "thread");
    eng_must(thread_start(&threads[SUBS], release, &h, "release"), "thread");
    for (int i = 0; i < MESSAGES; i++) {
        struct msg m;
        int rc;
        make_body(h.ctx, i % 3 == 0, &m, (uint8_t)i);
        while ((rc = fmq_send(h.pub, &m, 1, false, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "send");
    }
    eng_send(h.pub, "end");
    for (int i = 0; i <= SUBS; i++)
        thread_join(&threads[i]);
    struct fmq_context_stats stats;
    eng_must(fmq_ctx_stats(h.ctx, &stats), "stats");
    for (int i = 0; i < SUBS; i++)
        eng_close(h.subs[i]);
    eng_close(h.pub);
    fmq_ctx *ctx = h.ctx;
    /* What is held is held on: its end closes the last descriptors. */
    int rc;
    while ((rc = fmq_ctx_term(ctx, ENG_WAIT_MS)) == -EINTR)
        ;
    eng_must(rc, "term");
    fmq_ctx_free(ctx);
    for (unsigned i = 0; i < KEPT; i++)
        swap(&h, i, NULL);
    CHECK_EQ(fmq_open_fds(), eng_fds);
    mutex_fini(&h.lock);
}

TEST(bodies_are_whole_whoever_releases_them_over_ipc)
{
    run("ipc");
}

TEST(bodies_are_whole_whoever_releases_them_over_tcp)
{
    run("tcp");
}

/* The sender ends while the peer holds and receives on. */
TEST(a_context_ends_while_its_blocks_are_out)
{
    for (int round = 0; round < 5; round++) {
        fmq_ctx *ctx = eng_ctx(), *other;
        eng_must(fmq_ctx_new(&other), "ctx_new");
        fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(other, FMQ_PULL);
        struct msg kept[20];
        int held = 0;
        eng_set(push, ENG_SHM, 1);
        eng_set(pull, ENG_SHM, 1);
        struct eng_name name = eng_bind(pull, "ipc");
        eng_connect(push, &name);
        for (int i = 0; i < 20; i++) {
            struct msg m;
            struct parts p;
            make_body(ctx, i % 2, &m, (uint8_t)i);
            eng_must(fmq_send(push, &m, 1, false, ENG_WAIT_MS), "send");
            if (i >= 15)
                continue;
            parts_init(&p);
            eng_must(eng_recv(pull, &p, ENG_WAIT_MS), "recv");
            kept[held++] = p.v[0];
            p.len = 0;
            parts_fini(&p);
        }
        eng_close(push);
        uint64_t until = eng_until(ENG_WAIT_MS);
        int rc;
        while ((rc = fmq_ctx_term(ctx, eng_left(until))) == -EINTR)
            ;
        eng_must(rc, "term");
        fmq_ctx_free(ctx);
        for (; held < 20; held++) {
            struct parts p;
            parts_init(&p);
            eng_must(eng_recv(pull, &p, ENG_WAIT_MS), "recv");
            kept[held] = p.v[0];
            p.len = 0;
            parts_fini(&p);
        }
        eng_close(pull);
        while ((rc = fmq_ctx_term(other, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "term");
        fmq_ctx_free(other);
        for (int i = 0; i < 20; i++) {
            expect_body(&kept[i]);
            CHECK_EQ(msg_data(&kept[i])[0], i);
            msg_drop(&kept[i]);
        }
        CHECK_EQ(fmq_open_fds(), eng_fds);
    }
}
