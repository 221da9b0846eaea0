/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
/*
 * What a peer decides the number of (parts, subscriptions, properties, commands, frames) costs in
 * proportion to that number. Counted are the branches that are executed, and what the C library
 * moves, for a number and for eight times as many; nothing is timed.
 */
#include "fakelink.h"
#include "steps.h"

#include "base/bytes.h"
#include "wire/frame.h"

#include "pattern/ids.c"
#include "pattern/keep.c"
#include "pattern/route.c"
#include "pattern/router.c"
#include "pattern/topics.c"
#include "pattern/xpub.c"
#include "pattern/xpub_late.c"
#include "pattern/xpub_notes.c"
#include "pattern/xpub_subscriptions.c"
#include "pattern/xsub.c"
#include "pipe/pipe_in.h"

TEST(branches_and_bytes_are_counted)
{
    static uint8_t bytes[1600];
    volatile size_t len = sizeof(bytes);
    uint64_t before = steps;
    memset(bytes, 1, len);
    CHECK(steps - before >= len / BYTES_A_STEP);
    CHECK_EQ(bytes[len - 1], 1);
    before = steps;
    meta_unref(NULL);
    CHECK(steps - before >= 1);
}

/* ---- parts ---- */

/* A message of n parts; every `kept`-th one is no subscription (0: none). */
static void make_parts(struct parts *m, uint32_t n, uint32_t kept)
{
    parts_init(m);
    for (uint32_t i = 0; i < n; i++) {
        struct msg part;
        char text[16] = {kept && i % kept == 0 ? 'u' : BYTE_SUBSCRIBE};
        int len = snprintf(text + 1, sizeof(text) - 1, "%u", i % 100);
        CHECK_EQ(msg_init_copy(&part, text, (size_t)len + 1), 0);
        part.flags = i + 1 < n ? PART_MORE : 0;
        CHECK_EQ(parts_push(m, &part), 0);
    }
}

static void arrive(struct fake *f, struct parts *m)
{
    for (uint32_t i = 0; i < m->len; i++)
        CHECK_EQ(msgring_push(&f->pipe->in, &m->v[i]), 0);
    m->len = 0;
    parts_fini(m);
}

static uint64_t parts_of_a_subscriber(const struct pattern_ops *ops, uint32_t n, uint32_t kept)
{
    struct pipe_set *s = fake_socket(ops);
    struct fake *f = fake_peer(s);
    struct parts m;
    make_parts(&m, n, kept);
    arrive(f, &m);
    uint64_t before = steps;
    s->ops->readable(s, f->pipe);
    uint64_t took = steps - before;
    CHECK(!pipe_can_read(f->pipe));
    fake_end(s);
    return took;
}

static uint64_t subscriptions_in_parts(uint32_t n)
{
    return parts_of_a_subscriber(&pattern_pub, n, 0);
}

static uint64_t subscriptions_among_parts(uint32_t n)
{
    return parts_of_a_subscriber(&pattern_xpub, n, 3);
}

TEST(parts_that_are_subscriptions_cost_a_publisher_the_same_each)
{
    check_linear(subscriptions_in_parts, 4000);
    check_linear(subscriptions_among_parts, 4000);
}

static uint64_t parts_through_an_xsub(uint32_t n)
{
    struct pipe_set *s = fake_socket(&pattern_xsub);
    struct parts m;
    make_parts(&m, n, 3);
    uint64_t before = steps;
    CHECK_EQ(s->ops->send(s, &m), 0);
    uint64_t took = steps - before;
    parts_fini(&m);
    fake_end(s);
    return took;
}

TEST(parts_that_are_subscriptions_cost_an_xsub_the_same_each)
{
    check_linear(parts_through_an_xsub, 4000);
}

/* ---- subscriptions ---- */

static void command(struct fake *f, enum peer_event_kind kind, uint32_t topic)
{
    char name[16];
    snprintf(name, sizeof(name), "%u", topic);
    peer_commands(f, kind, name);
}

/* n topics come and go, as commands, of a peer that shares all of them with others. */
static uint64_t come_and_go(uint32_t n, uint32_t others, bool hangup)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    for (uint32_t i = 0; i < others; i++) {
        struct fake *other = fake_peer(s);
        for (uint32_t k = 0; k < n; k++)
            command(other, PEER_EV_SUBSCRIBE, k);
    }
    struct fake *f = fake_peer(s);
    uint64_t before = steps;
    for (uint32_t k = 0; k < n; k++)
        command(f, PEER_EV_SUBSCRIBE, k);
    for (uint32_t k = 0; k < n && !hangup; k++)
        command(f, PEER_EV_CANCEL, k);
    if (hangup)
        fake_hangup(f);
    uint64_t took = steps - before;
    fake_end(s);
    return took;
}

static uint64_t topics_alone(uint32_t n)
{
    return come_and_go(n, 0, false);
}

static uint64_t topics_shared(uint32_t n)
{
    return come_and_go(n, 40, false);
}

static uint64_t topics_of_one_who_leaves(uint32_t n)
{
    return come_and_go(n, 0, true);
}

TEST(subscriptions_cost_the_same_each)
{
    check_linear(topics_alone, 500);
    check_linear(topics_shared, 200);
    check_linear(topics_of_one_who_leaves, 500);
}

static uint64_t subscribers_of_one_topic(uint32_t n)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    uint64_t took = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct fake *f = fake_peer(s);
        uint64_t before = steps;
        command(f, PEER_EV_SUBSCRIBE, 1);
        took += steps - before;
    }
    fake_end(s);
    return took;
}

TEST(subscribers_of_one_topic_cost_the_same_each)
{
    check_linear(subscribers_of_one_topic, 200);
}

/* A publisher keeps `all` topics; a subscriber with n/2 subscriptions comes to those of n of them
 * and is given them as it takes them, while some are published anew. */
static uint64_t late_subscriber(uint32_t n, uint32_t all)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, all), 0);
    s->opt.sndhwm = 10;
    char text[24];
    for (uint32_t i = 0; i < all; i++) {
        snprintf(text, sizeof(text), "%c%u", i < n ? 'a' : 'b', i);
        CHECK_EQ(user_sends(s, text), 0);
    }
    struct fake *f = fake_peer(s);
    uint64_t before = steps;
    for (uint32_t i = 0; i < n / 2; i++) {
        snprintf(text, sizeof(text), "a%u", 2 * i);
        peer_commands(f, PEER_EV_SUBSCRIBE, text);
    }
    peer_commands(f, PEER_EV_SUBSCRIBE, "a");
    for (uint32_t i = 0; i < n; i++) {
        if (i % 4 == 0) {
            snprintf(text, sizeof(text), "a%u", i);
            CHECK_EQ(user_sends(s, text), 0);
        }
        CHECK(strcmp(peer_hears(f), "(none)") != 0);
    }
    uint64_t took = steps - before;
    fake_end(s);
    return took;
}

static uint64_t all_are_given(uint32_t n)
{
    return late_subscriber(n, n);
}

TEST(kept_topics_cost_a_late_subscriber_the_same_each_and_others_nothing)
{
    check_linear(all_are_given, 300);
    uint64_t few = late_subscriber(50, 500), many = late_subscriber(50, 20000);
    printf("     %s: %llu steps among 500, %llu among 20000\n", check_running,
           (unsigned long long)few, (unsigned long long)many);
    CHECK(many < 2 * few);
}

static uint64_t publications(uint32_t n)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, n / 2), 0);
    char text[24];
    uint64_t before = steps;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "%u", i % 2 ? i : i / 2);
        CHECK_EQ(user_sends(s, text), 0);
    }
    uint64_t took = steps - before;
    fake_end(s);
    return took;
}

TEST(publications_that_are_kept_cost_the_same_each)
{
    check_linear(publications, 500);
}

/* One subscriber of a program that hears of every request asks on and on and is stopped time and
 * again, among n others. */
static uint64_t notices_among_many(uint32_t n)
{
    enum { HWM = 10 };
    struct pipe_set *s = fake_socket(&pattern_xpub);
    s->opt.rcvhwm = HWM;
    CHECK_EQ(user_sets(s, OPT_XPUB_VERBOSER, 1), 0);
    for (uint32_t i = 0; i < n; i++)
        fake_peer(s);
    struct fake *f = fake_peer(s);
    f->pipe->in_hwm = HWM;
    uint64_t took = 0;
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = 0; !f->pipe->rx_paused; i++)
            command(f, PEER_EV_SUBSCRIBE, 1);
        uint64_t before = steps;
        CHECK_STR(user_gets(s), "^1");
        took += steps - before;
        CHECK(!f->pipe->rx_paused);
    }
    fake_end(s);
    return took;
}

TEST(notices_cost_the_same_each_however_many_peers_there_are)
{
    check_linear(notices_among_many, 200);
}

/* ---- messages of a wrong number of parts ---- */

static int note_init(struct pipe_set *s)
{
    (void)s;
    return 0;
}

static void note_fini(struct pipe_set *s)
{
    (void)s;
}

static int note_attach(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
    return 0;
}

static void note_pipe(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
}

static const struct pattern_ops single = {
    .type = FMQ_GATHER,
    .name = "SINGLE",
    .receives = true,
    .frames = 1,
    .init = note_init,
    .fini = note_fini,
    .attach = note_attach,
    .detach = note_pipe,
    .readable = note_pipe,
    .writable = note_pipe,
};

/* n that are dropped, each with one behind it that is kept, and the program does not receive. */
static uint64_t wrong_parts(uint32_t n)
{
    struct pipe_set *s = fake_socket(&single);
    struct fake *f = fake_peer(s);
    uint64_t before = steps;
    for (uint32_t i = 0; i < n; i++) {
        peer_says(f, "a|b");
        peer_says(f, "c");
    }
    uint64_t took = steps - before;
    CHECK_EQ(f->pipe->in.msgs, n);
    CHECK_EQ(f->pipe->drops, n);
    fake_end(s);
    return took;
}

TEST(messages_of_several_parts_cost_a_type_of_single_parts_the_same_each)
{
    check_linear(wrong_parts, 200);
}

/* ---- identities ---- */

/* A server that says another name each time it is connected, and a program that does not receive.
 */
static uint64_t names_of_a_router(uint32_t n)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *f = fake_peer_named(s, "first");
    uint64_t took = 0;
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i);
        peer_says(f, "hello");
        fake_lose(f);
        fake_set_id(f, name);
        uint64_t before = steps;
        CHECK_EQ(fake_connect(f), 0);
        took += steps - before;
    }
    fake_end(s);
    return took;
}

TEST(former_names_of_a_peer_cost_the_same_each)
{
    check_linear(names_of_a_router, 300);
}

/* ---- properties ---- */

static size_t put_property(uint8_t *at, uint32_t number)
{
    int len = snprintf((char *)at + 1, 16, "P%u", number);
    at[0] = (uint8_t)len;
    memset(at + 1 + len, 0, 4);
    return 1 + (size_t)len + 4;
}

static uint64_t read_properties(uint32_t n, uint32_t names)
{
    uint8_t *data = malloc((size_t)n * 24);
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++)
        len += put_property(data + len, i % names);
    struct meta *m = meta_new();
    uint64_t before = steps;
    CHECK_EQ(meta_read(m, data, len, UINT32_MAX, NULL), 0);
    uint64_t took = steps - before;
    const uint8_t *value;
    CHECK_EQ(meta_get(m, "p0", &value, &len), 0);
    meta_unref(m);
    free(data);
    return took;
}

static uint64_t properties_of_many_names(uint32_t n)
{
    return read_properties(n, n);
}

static uint64_t properties_of_few_names(uint32_t n)
{
    return read_properties(n, 3);
}

TEST(properties_cost_the_same_each)
{
    check_linear(properties_of_many_names, 100);
    check_linear(properties_of_few_names, 100);
}

/* ---- frames and commands ---- */

#define GREETING                                                                                   \
    "\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"                             \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define READY "\4\x19\5READY\13Socket-Type\0\0\0\3SUB"

static void take_all(struct peer *p)
{
    struct peer_event ev;
    while (peer_next(p, &ev) == 1)
        if (ev.kind == PEER_EV_FRAME)
            msg_drop(&ev.msg);
    CHECK(p->state != PEER_DEAD);
}

/* Gives it the bytes, at most `step` at a time. */
static void say(struct peer *p, const void *data, size_t len, size_t step)
{
    const uint8_t *from = data;
    while (len) {
        uint8_t *buf;
        size_t room, n = len < step ? len : step;
        CHECK_EQ(peer_recv_buf(p, &buf, &room), 0);
        if (n > room)
            n = room;
        memcpy(buf, from, n);
        peer_recv_done(p, n, 0);
        from += n;
        len -= n;
        take_all(p);
    }
}

static uint64_t said(const void *data, size_t len, uint32_t times, size_t step)
{
    struct pool *pool;
    struct peer p;
    CHECK_EQ(pool_create(&pool), 0);
    struct peer_config cfg = {
        .pool = pool, .socket_type = FMQ_XPUB, .max_msg_size = -1, .heartbeat_timeout_ms = -1};
    CHECK_EQ(peer_init(&p, &cfg, 0), 0);
    say(&p, GREETING, 64, 64);
    say(&p, READY, sizeof(READY) - 1, 64);
    CHECK(p.ready);
    uint64_t before = steps;
    for (uint32_t i = 0; i < times; i++)
        say(&p, data, len, step);
    uint64_t took = steps - before;
    peer_fini(&p);
    pool_release(pool);
    return took;
}

static uint64_t pings(uint32_t n)
{
    static const char ping[] = "\4\7\4PING\0\1";
    return said(ping, sizeof(ping) - 1, n, 1);
}

static uint64_t parts_without_end(uint32_t n)
{
    return said("\1\1x", 3, n, 2);
}

/* One frame whose bytes come a few at a time. */
static uint64_t dripping(uint32_t n)
{
    size_t len = 9 + (size_t)n;
    uint8_t *frame = calloc(1, len);
    frame[0] = FRAME_LONG;
    put_be64(frame + 1, n);
    uint64_t took = said(frame, len, 1, 7);
    free(frame);
    return took;
}

TEST(frames_and_commands_cost_the_same_each)
{
    check_linear(pings, 500);
    check_linear(parts_without_end, 2000);
}

TEST(bytes_cost_the_same_each_however_they_come)
{
    check_linear(dripping, 7000);   /* in a chunk */
    check_linear(dripping, 200000); /* in memory of its own */
}
