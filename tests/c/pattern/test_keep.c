/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
/* PUB_KEEP_LAST: what is kept, and what subscribers that come late are given. */
#include "fakelink.h"

#include "pattern/keep.c"
#include "pattern/route.c"
#include "pattern/topics.c"
#include "pattern/xpub.c"
#include "pattern/xpub_late.c"
#include "pattern/xpub_notes.c"
#include "pattern/xpub_subscriptions.c"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"

static struct pipe_set *keeper_of(const struct pattern_ops *ops, unsigned topics)
{
    struct pipe_set *s = fake_socket(ops);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, topics), 0);
    return s;
}

static struct pipe_set *keeper(unsigned topics)
{
    return keeper_of(&pattern_pub, topics);
}

static void subscribes(struct fake *f, const char *topic)
{
    peer_commands(f, PEER_EV_SUBSCRIBE, topic);
}

static void cancels(struct fake *f, const char *topic)
{
    peer_commands(f, PEER_EV_CANCEL, topic);
}

static struct fmq_socket_stats stats_of(struct pipe_set *s)
{
    struct fmq_socket_stats stats = {0};
    s->ops->stats(s, &stats);
    return stats;
}

TEST(a_late_subscriber_is_given_the_last_message_of_each_topic_in_order_of_publication)
{
    struct pipe_set *s = keeper(10);
    CHECK_EQ(user_sends(s, "b|1"), 0);
    CHECK_EQ(user_sends(s, "a|1"), 0);
    CHECK_EQ(user_sends(s, "c|1"), 0);
    CHECK_EQ(user_sends(s, "b|2||x"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    CHECK_EQ(user_sends(s, "a|2"), 0);
    CHECK_STR(peer_hears(f), "a|1");
    CHECK_STR(peer_hears(f), "c|1");
    CHECK_STR(peer_hears(f), "b|2||x");
    CHECK_STR(peer_hears(f), "a|2");
    CHECK_STR(peer_hears(f), "(none)");
    struct fmq_socket_stats stats = stats_of(s);
    CHECK_EQ(stats.kept, 3);
    CHECK_EQ(stats.kept_bytes, 2 + 2 + 3);
    CHECK_EQ(stats.kept_given, 3);
    CHECK_EQ(s->drops, 0);
    fake_end(s);
}

TEST(a_subscription_brings_the_topics_that_it_is_a_prefix_of_and_no_others)
{
    struct pipe_set *s = keeper(10);
    const char *all[] = {"", "a", "ab", "abc", "abd", "ac", "b"};
    for (unsigned i = 0; i < 7; i++)
        CHECK_EQ(user_sends(s, all[i]), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "ab");
    CHECK_STR(peer_hears(f), "ab");
    CHECK_STR(peer_hears(f), "abc");
    CHECK_STR(peer_hears(f), "abd");
    CHECK_STR(peer_hears(f), "(none)");
    subscribes(f, "abx");
    subscribes(f, "abcdef");
    subscribes(f, "x");
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

TEST(a_topic_is_given_once_unless_the_peer_has_unsubscribed_from_it)
{
    struct pipe_set *s = keeper(10);
    CHECK_EQ(user_sends(s, "ab|1"), 0);
    CHECK_EQ(user_sends(s, "ac|1"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "ab");
    CHECK_STR(peer_hears(f), "ab|1");
    subscribes(f, "ab"); /* the same again */
    CHECK_STR(peer_hears(f), "(none)");
    subscribes(f, "a"); /* adds ac alone */
    CHECK_STR(peer_hears(f), "ac|1");
    CHECK_STR(peer_hears(f), "(none)");
    subscribes(f, "ac"); /* has it */
    CHECK_STR(peer_hears(f), "(none)");
    cancels(f, "a"); /* ab and ac stay */
    subscribes(f, "a");
    CHECK_STR(peer_hears(f), "(none)");
    cancels(f, "a");
    cancels(f, "ab");
    subscribes(f, "a");
    CHECK_STR(peer_hears(f), "ab|1");
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

TEST(a_slow_subscriber_is_given_all_as_it_has_room_and_the_newest_of_each)
{
    struct pipe_set *s = keeper(100);
    s->opt.sndhwm = 2;
    for (int i = 0; i < 10; i++) {
        char text[24];
        snprintf(text, sizeof(text), "t%d|old", i);
        CHECK_EQ(user_sends(s, text), 0);
    }
    struct fake *f = fake_peer(s), *g = fake_peer(s);
    subscribes(g, "t7");
    CHECK_STR(peer_hears(g), "t7|old");
    subscribes(f, "t");
    CHECK_EQ(f->pipe->out.msgs, 2);
    CHECK_EQ(user_sends(s, "t7|new"), 0); /* not given yet: takes the place of the old one */
    CHECK_STR(peer_hears(g), "t7|new");
    CHECK_EQ(user_sends(s, "t0|new"), 0); /* given: to the end of the line */
    CHECK_EQ(user_sends(s, "u|no"), 0);
    CHECK_STR(peer_hears(f), "t0|old");
    for (int i = 1; i < 10; i++) {
        char text[24];
        snprintf(text, sizeof(text), "t%d|%s", i, i == 7 ? "new" : "old");
        CHECK_STR(peer_hears(f), text);
        CHECK(f->pipe->out.msgs <= 2);
    }
    CHECK_STR(peer_hears(f), "t0|new");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_EQ(user_sends(s, "t1|live"), 0);
    CHECK_STR(peer_hears(f), "t1|live");
    CHECK_EQ(s->drops, 1); /* t7|old */
    CHECK_EQ(stats_of(s).kept_given, 1 + 10 + 1);
    struct xpub_pipe *xp = f->pipe->state;
    CHECK(!xp->line.places && !xp->line.turns);
    fake_end(s);
}

TEST(a_line_does_not_grow_with_topics_that_are_gone)
{
    struct pipe_set *s = keeper(10);
    s->opt.sndhwm = 1;
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    char text[24];
    for (int i = 0; i < 10000; i++) {
        snprintf(text, sizeof(text), "%d|new", i);
        CHECK_EQ(user_sends(s, text), 0);
    }
    const struct xpub_pipe *xp = f->pipe->state;
    CHECK(xp->line.cap <= 64);
    CHECK_STR(peer_hears(f), "0|new");
    for (int i = 9990; i < 10000; i++) {
        snprintf(text, sizeof(text), "%d|new", i);
        CHECK_STR(peer_hears(f), text);
    }
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

TEST(what_a_peer_has_unsubscribed_from_is_left_out_of_its_line)
{
    struct pipe_set *s = keeper(100);
    s->opt.sndhwm = 1;
    CHECK_EQ(user_sends(s, "a|1"), 0);
    CHECK_EQ(user_sends(s, "b|1"), 0);
    CHECK_EQ(user_sends(s, "c|1"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    subscribes(f, "c");
    cancels(f, "");
    CHECK_STR(peer_hears(f), "a|1");
    CHECK_STR(peer_hears(f), "c|1");
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

TEST(the_topic_with_the_oldest_message_goes_first)
{
    struct pipe_set *s = keeper(2);
    CHECK_EQ(user_sends(s, "a|1"), 0);
    CHECK_EQ(user_sends(s, "b|1"), 0);
    CHECK_EQ(user_sends(s, "a|2"), 0);
    CHECK_EQ(user_sends(s, "c|1"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    CHECK_STR(peer_hears(f), "a|2");
    CHECK_STR(peer_hears(f), "c|1");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_EQ(stats_of(s).kept_dropped, 1);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, 1), 0);
    CHECK_EQ(stats_of(s).kept, 1);
    CHECK_EQ(stats_of(s).kept_dropped, 2);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, 0), 0);
    CHECK_EQ(stats_of(s).kept, 0);
    CHECK_EQ(stats_of(s).kept_bytes, 0);
    struct fake *g = fake_peer(s);
    subscribes(g, "");
    CHECK_STR(peer_hears(g), "(none)");
    fake_end(s);
}

TEST(bytes_are_limited_too_and_what_exceeds_the_limit_alone_leaves_nothing_of_its_topic)
{
    struct pipe_set *s = keeper(100);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST_BYTES, 10), 0);
    CHECK_EQ(user_sends(s, "a|1234"), 0);
    CHECK_EQ(user_sends(s, "b|1234"), 0);
    CHECK_EQ(stats_of(s).kept_bytes, 10);
    CHECK_EQ(user_sends(s, "c|1"), 0);
    CHECK_EQ(stats_of(s).kept_bytes, 7);
    CHECK_EQ(user_sends(s, "b|12345678901"), 0);
    CHECK_EQ(stats_of(s).kept_bytes, 2);
    CHECK_EQ(stats_of(s).kept, 1);
    CHECK_EQ(stats_of(s).kept_dropped, 2);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    CHECK_STR(peer_hears(f), "c|1");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_EQ(user_sends(s, "b|12345678901"), 0);
    CHECK_STR(peer_hears(f), "b|12345678901");
    fake_end(s);
}

TEST(a_topic_does_not_come_at_the_place_of_one_whose_slot_it_has)
{
    struct pipe_set *s = keeper(2);
    s->opt.sndhwm = 1;
    CHECK_EQ(user_sends(s, "x|1"), 0);
    CHECK_EQ(user_sends(s, "a|1"), 0);
    struct fake *f = fake_peer(s), *g = fake_peer(s);
    subscribes(f, "");
    subscribes(g, "a");
    subscribes(g, "x");
    CHECK_STR(peer_hears(g), "a|1");
    CHECK_STR(peer_hears(g), "x|1");
    CHECK_EQ(user_sends(s, "x|2"), 0);
    CHECK_EQ(user_sends(s, "b|1"), 0); /* instead of a */
    CHECK_EQ(user_sends(s, "c|1"), 0); /* instead of x, at the slot of a */
    CHECK_STR(peer_hears(f), "x|1");
    CHECK_STR(peer_hears(f), "b|1");
    CHECK_STR(peer_hears(f), "c|1");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_STR(peer_hears(g), "x|2");
    CHECK_STR(peer_hears(g), "(none)");
    fake_end(s);
}

TEST(lines_outlive_what_is_kept)
{
    struct pipe_set *s = keeper(200);
    s->opt.sndhwm = 1;
    for (int i = 0; i < 100; i++) {
        char text[24];
        snprintf(text, sizeof(text), "t%d", i);
        CHECK_EQ(user_sends(s, text), 0);
    }
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, 0), 0);
    CHECK_EQ(user_sets(s, OPT_PUB_KEEP_LAST, 5), 0);
    CHECK_EQ(user_sends(s, "new"), 0);
    CHECK_STR(peer_hears(f), "t0");
    CHECK_STR(peer_hears(f), "new");
    CHECK_STR(peer_hears(f), "(none)");
    fake_gone(f);
    f = fake_peer(s);
    subscribes(f, "");
    CHECK_STR(peer_hears(f), "new");
    fake_end(s);
}

TEST(a_publisher_that_connects_gives_again_after_a_reconnection)
{
    struct pipe_set *s = keeper(10);
    CHECK_EQ(user_sends(s, "a|1"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "a");
    CHECK_STR(peer_hears(f), "a|1");
    fake_lose(f);
    CHECK_EQ(fake_connect(f), 0);
    subscribes(f, "a");
    CHECK_STR(peer_hears(f), "a|1");
    subscribes(f, "a");
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

TEST(xpub_manual_gives_when_the_program_accepts)
{
    struct pipe_set *s = keeper_of(&pattern_xpub, 10);
    CHECK_EQ(user_sets(s, OPT_XPUB_MANUAL, 1), 0);
    CHECK_EQ(user_sends(s, "a|1"), 0);
    CHECK_EQ(user_sends(s, "b|1"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "a");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_STR(user_gets(s), "^a");
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "b"), 0);
    CHECK_STR(peer_hears(f), "b|1");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "b"), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "b"), 0);
    CHECK_STR(peer_hears(f), "b|1");
    fake_end(s);
}

TEST(what_is_sent_to_one_subscriber_alone_is_not_kept)
{
    struct pipe_set *s = keeper_of(&pattern_xpub, 10);
    CHECK_EQ(user_sets(s, OPT_XPUB_MANUAL_LAST_VALUE, 1), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "a");
    CHECK_STR(user_gets(s), "^a");
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "a"), 0);
    CHECK_EQ(user_sends(s, "a|for you"), 0);
    CHECK_STR(peer_hears(f), "a|for you");
    CHECK_EQ(stats_of(s).kept, 0);
    CHECK_EQ(user_sends(s, "a|for all"), 0);
    CHECK_STR(peer_hears(f), "a|for all");
    CHECK_EQ(stats_of(s).kept, 1);
    fake_end(s);
}

TEST(with_inverted_matching_a_peer_is_given_what_it_has_not_subscribed_to)
{
    struct pipe_set *s = keeper(10);
    s->opt.invert_matching = 1;
    s->opt.sndhwm = 1;
    CHECK_EQ(user_sends(s, "a|1"), 0);
    CHECK_EQ(user_sends(s, "ab|1"), 0);
    CHECK_EQ(user_sends(s, "b|1"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "ab");
    CHECK_STR(peer_hears(f), "a|1");
    CHECK_STR(peer_hears(f), "b|1");
    CHECK_STR(peer_hears(f), "(none)");
    cancels(f, "ab");
    CHECK_STR(peer_hears(f), "ab|1");
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

TEST(with_nodrop_a_sender_waits_for_those_that_are_behind)
{
    struct pipe_set *s = keeper_of(&pattern_xpub, 10);
    CHECK_EQ(user_sets(s, OPT_XPUB_NODROP, 1), 0);
    s->opt.sndhwm = 2;
    for (const char *t = "abcd"; *t; t++)
        CHECK_EQ(user_sends(s, (char[]){*t, 0}), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    CHECK_STR(user_gets(s), "^");
    CHECK_EQ(user_sends(s, "e"), -EAGAIN);
    CHECK_EQ(user_checks(s, "e"), -EAGAIN);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(stats_of(s).kept, 4);
    CHECK_STR(peer_hears(f), "a");
    CHECK_STR(peer_hears(f), "b");
    CHECK_EQ(user_sends(s, "e"), -EAGAIN);
    CHECK_STR(peer_hears(f), "c");
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "e"), 0);
    CHECK_STR(peer_hears(f), "d");
    CHECK_STR(peer_hears(f), "e");
    fake_end(s);
}

TEST(with_conflate_the_newest_alone_is_given)
{
    struct pipe_set *s = keeper(10);
    s->opt.conflate = 1;
    CHECK_EQ(user_sends(s, "b"), 0);
    CHECK_EQ(user_sends(s, "a"), 0);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    CHECK_STR(peer_hears(f), "a");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_EQ(s->drops, 0);
    fake_end(s);
}

TEST(large_parts_share_memory_and_lent_ones_are_copied)
{
    struct pipe_set *s = keeper(10);
    struct fake *f = fake_peer(s);
    subscribes(f, "");
    struct parts m;
    parts_init(&m);
    uint8_t *data;
    struct msg topic, body, own;
    CHECK_EQ(msg_init_copy(&topic, "t", 1), 0);
    CHECK_EQ(msg_init_blob(&body, 100000, &data), 0);
    memset(data, 'x', 100000);
    CHECK_EQ(msg_dup(&own, &body), 0);
    struct blob *blob = own.u.x.owner;
    CHECK_EQ(parts_push(&m, &topic), 0);
    CHECK_EQ(parts_push(&m, &body), 0);
    m.v[0].flags = PART_MORE;
    CHECK_EQ(s->ops->send(s, &m), 0);
    CHECK_EQ(atomic_load(&blob->refs), 3); /* here, in the queue, kept */
    struct fake *g = fake_peer(s);
    subscribes(g, "t");
    CHECK_EQ(atomic_load(&blob->refs), 4);
    outq_drop_pending(&f->pipe->out, 0);
    outq_drop_pending(&g->pipe->out, 0);
    CHECK_EQ(msg_init_copy(&topic, "t", 1), 0);
    CHECK_EQ(msg_dup(&body, &own), 0);
    body.lent = 1;
    topic.flags = PART_MORE;
    CHECK_EQ(parts_push(&m, &topic), 0);
    CHECK_EQ(parts_push(&m, &body), 0);
    CHECK_EQ(s->ops->send(s, &m), 0);
    outq_drop_pending(&f->pipe->out, 0);
    outq_drop_pending(&g->pipe->out, 0);
    CHECK_EQ(atomic_load(&blob->refs), 1);
    struct fake *h = fake_peer(s);
    subscribes(h, "t");
    CHECK_EQ(h->pipe->out.body, 100001);
    msg_drop(&own);
    parts_fini(&m);
    fake_end(s);
}

#ifdef FMQ_DEBUG
TEST(without_memory_nothing_is_kept_by_halves)
{
    for (long n = 1; n < 30; n++) {
        struct pipe_set *s = keeper(10);
        struct fake *f = fake_peer(s);
        char topic[64];
        memset(topic, 'x', 60);
        topic[60] = 0;
        CHECK_EQ(user_sends(s, "x|1"), 0);
        CHECK_EQ(user_sends(s, "y|1"), 0);
        struct parts m;
        parts_init(&m);
        text_to_parts(&m, topic);
        mem_fail_at(n);
        int rc = s->ops->send(s, &m);
        mem_fail_at(0);
        CHECK_EQ(m.len, rc ? 1 : 0);
        parts_fini(&m);
        CHECK(rc == 0 || rc == -ENOMEM);
        CHECK_EQ(stats_of(s).kept, rc ? 2 : 3);
        mem_fail_at(n);
        subscribes(f, "x");
        mem_fail_at(0);
        if (!f->pipe->lose_wanted) {
            while (heap_min(&s->reactor.timers))
                timers_run(&s->reactor, heap_min(&s->reactor.timers)->key);
            CHECK_STR(peer_hears(f), "x|1");
            CHECK_STR(peer_hears(f), rc ? "(none)" : topic);
        }
        CHECK_EQ(user_sends(s, topic), 0);
        CHECK_EQ(stats_of(s).kept, 3);
        fake_end(s);
    }
}
#endif

TEST(a_full_subscriber_falls_behind_and_misses_no_last_message)
{
    struct pipe_set *s = keeper(10);
    s->opt.sndhwm = 2;
    struct fake *f = fake_peer(s), *g = fake_peer(s);
    subscribes(f, "");
    subscribes(g, "b");
    const char *all[] = {"a|1", "a|2", "a|3", "b|1", "a|4", "c|1"};
    for (unsigned i = 0; i < 6; i++)
        CHECK_EQ(user_sends(s, all[i]), 0);
    CHECK_STR(peer_hears(g), "b|1");
    CHECK_STR(peer_hears(f), "a|1");
    CHECK_STR(peer_hears(f), "a|2");
    CHECK_STR(peer_hears(f), "a|4");
    CHECK_STR(peer_hears(f), "b|1");
    CHECK_STR(peer_hears(f), "c|1");
    CHECK_STR(peer_hears(f), "(none)");
    CHECK_EQ(s->drops, 1);
    CHECK_EQ(f->pipe->drops, 1);
    fake_end(s);
}

/* A topic is two digits; a subscription is one or both of them. */
#define NAMES 40
#define PEERS 3

struct model {
    struct fake *peer;
    bool whole[NAMES], tens[NAMES / 10];
    unsigned heard[NAMES];
};

static bool has(const struct model *m, unsigned name)
{
    return m->whole[name] || m->tens[name / 10];
}

static void hear(struct model *m)
{
    unsigned name, number;
    const char *got = peer_hears(m->peer);
    if (sscanf(got, "%2u|%u", &name, &number) != 2)
        return;
    CHECK(number >= m->heard[name]);
    m->heard[name] = number;
}

static void toggle(struct model *m, unsigned which)
{
    char text[16];
    bool *on = which < NAMES ? &m->whole[which] : &m->tens[which - NAMES];
    if (which < NAMES)
        snprintf(text, sizeof(text), "%02u", which);
    else
        snprintf(text, sizeof(text), "%u", which - NAMES);
    *on = !*on;
    (*on ? subscribes : cancels)(m->peer, text);
}

TEST(every_subscriber_ends_with_the_last_message_of_each_of_its_topics)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        srand(seed);
        struct pipe_set *s = keeper(NAMES);
        s->opt.sndhwm = 1 + rand() % 4;
        struct model peers[PEERS];
        memset(peers, 0, sizeof(peers));
        unsigned last[NAMES] = {0}, count = 0;
        for (unsigned i = 0; i < PEERS; i++)
            peers[i].peer = fake_peer(s);
        for (unsigned step = 0; step < 3000; step++) {
            struct model *m = &peers[rand() % PEERS];
            unsigned what = (unsigned)rand() % 20;
            if (what < 8) {
                hear(m);
            } else if (what < 18) {
                char text[24];
                unsigned name = (unsigned)rand() % NAMES;
                last[name] = ++count;
                snprintf(text, sizeof(text), "%02u|%u", name, count);
                CHECK_EQ(user_sends(s, text), 0);
            } else if (what == 18) {
                toggle(m, (unsigned)rand() % (NAMES + NAMES / 10));
            } else if (rand() % 30 == 0) {
                fake_gone(m->peer);
                memset(m, 0, sizeof(*m));
                m->peer = fake_peer(s);
            }
        }
        for (unsigned i = 0; i < PEERS; i++) {
            struct model *m = &peers[i];
            while (m->peer->pipe->out.msgs)
                hear(m);
            CHECK(!xpub_is_late(m->peer->pipe->state));
            for (unsigned name = 0; name < NAMES; name++)
                CHECK(!has(m, name) || m->heard[name] == last[name]);
        }
        fake_end(s);
    }
}
