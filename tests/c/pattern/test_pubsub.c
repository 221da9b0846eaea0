/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
#include "fakelink.h"

#include "pattern/keep.c"
#include "pattern/route.c"
#include "pattern/topics.c"
#include "pattern/xpub.c"
#include "pattern/xpub_late.c"
#include "pattern/xpub_notes.c"
#include "pattern/xpub_subscriptions.c"
#include "pattern/xsub.c"
#include "pipe/pipe_in.h"

static int64_t topics_count(struct pipe_set *s)
{
    int64_t n = -1;
    CHECK_EQ(s->ops->getopt(s, OPT_TOPICS_COUNT, &n), 0);
    return n;
}

/* ---- topics ---- */

TEST(topics_find_every_member_where_many_subscribers_share_many_topics)
{
    enum { SUBSCRIBERS = 70, TOPICS = 150 };
    static bool model[SUBSCRIBERS][TOPICS];
    static struct subscriber sub[SUBSCRIBERS];
    struct topics t;
    char name[8];
    topics_init(&t);
    memset(model, 0, sizeof(model));
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        subscriber_init(&sub[i]);
    for (int step = 0; step < 60000; step++) {
        size_t who = check_below(SUBSCRIBERS), what = check_below(TOPICS);
        size_t len = (size_t)snprintf(name, sizeof(name), "%zu", what);
        /* Without memory for the index it goes on with the lists. */
        if (check_below(4) == 0)
            mem_fail_at(1);
        struct member *m = topics_find(&t, &sub[who], name, len);
        mem_fail_at(0);
        CHECK_EQ(m != NULL, model[who][what]);
        CHECK(!m || (m->subscriber == &sub[who] && m->topic->len == len));
        if (check_below(3) && m) {
            topics_drop(&t, m);
            model[who][what] = false;
        } else {
            CHECK_EQ(topics_add(&t, &sub[who], name, len, NULL) > TOPICS_SAME, m == NULL);
            model[who][what] = true;
        }
    }
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        for (struct list *n; (n = list_first(&sub[i].members));)
            topics_drop(&t, LIST_ENTRY(n, struct member, of_subscriber));
        CHECK_EQ(sub[i].count, 0);
        CHECK(!sub[i].index);
    }
    CHECK_EQ(t.trie.len, 0);
    topics_fini(&t);
}

/* ---- PUB: who gets what ---- */

TEST(pub_sends_to_those_whose_topic_is_a_prefix)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s), *b = fake_peer(s), *c = fake_peer(s);
    peer_says(a, "^ab");
    peer_commands(b, PEER_EV_SUBSCRIBE, "abc");
    peer_says(c, "^");
    CHECK_EQ(topics_count(s), 3);
    CHECK_EQ(user_sends(s, "abcd|body"), 0);
    CHECK_EQ(user_sends(s, "abx"), 0);
    CHECK_EQ(user_sends(s, "zzz"), 0);
    CHECK_STR(peer_hears(a), "abcd|body");
    CHECK_STR(peer_hears(a), "abx");
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_STR(peer_hears(b), "abcd|body");
    CHECK_STR(peer_hears(b), "(none)");
    CHECK_EQ(c->pipe->out.msgs, 3);
    peer_commands(b, PEER_EV_CANCEL, "abc");
    peer_says(a, "~ab");
    CHECK_EQ(topics_count(s), 1);
    CHECK_EQ(user_sends(s, "abcd"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_STR(peer_hears(b), "(none)");
    fake_end(s);
}

TEST(pub_sends_once_to_a_peer_that_matches_through_several_topics)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^");
    peer_says(a, "^a");
    peer_says(a, "^ab");
    peer_says(b, "^ab");
    CHECK_EQ(user_sends(s, "abc"), 0);
    CHECK_EQ(a->pipe->out.msgs, 1);
    CHECK_EQ(b->pipe->out.msgs, 1);
    fake_end(s);
}

TEST(pub_counts_a_peers_duplicate_subscriptions_once)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s);
    peer_says(a, "^t");
    peer_says(a, "^t");
    peer_says(a, "~t");
    peer_says(a, "~t");
    CHECK_EQ(topics_count(s), 0);
    CHECK_EQ(user_sends(s, "t"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    fake_end(s);
}

TEST(pub_never_blocks_and_drops_for_the_peer_that_is_full)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "to nobody"), 0);
    peer_says(a, "^");
    peer_says(b, "^");
    a->pipe->out_hwm = 1;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(user_sends(s, "x|y"), 0);
    CHECK_EQ(a->pipe->out.msgs, 1);
    CHECK_EQ(b->pipe->out.msgs, 3);
    CHECK_EQ(a->pipe->drops, 2);
    CHECK_EQ(s->drops, 2);
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(pub_discards_what_is_no_subscription)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s);
    peer_says(a, "user message");
    peer_says(a, "");
    peer_says(a, "x|^t");
    CHECK_EQ(topics_count(s), 1); /* every part is looked at */
    CHECK(!pipe_can_read(a->pipe));
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sets(s, OPT_ONLY_FIRST_SUBSCRIBE, 1), 0);
    peer_says(a, "x|^u");
    CHECK_EQ(topics_count(s), 1);
    peer_says(a, "^u|^v");
    CHECK_EQ(topics_count(s), 3);
    fake_end(s);
}

TEST(pub_forgets_a_peer_that_is_gone)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^x");
    peer_says(b, "^x");
    fake_gone(a);
    CHECK_EQ(user_sends(s, "x"), 0);
    CHECK_STR(peer_hears(b), "x");
    fake_hangup(b);
    CHECK_EQ(topics_count(s), 0);
    CHECK_EQ(user_sends(s, "x"), 0);
    fake_end(s);
}

TEST(pub_inverted_sends_to_those_who_do_not_match)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    s->opt.invert_matching = 1;
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^x");
    CHECK_EQ(user_sends(s, "xy"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_STR(peer_hears(b), "xy");
    CHECK_EQ(user_sends(s, "y"), 0);
    CHECK_STR(peer_hears(a), "y");
    CHECK_STR(peer_hears(b), "y");
    fake_end(s);
}

TEST(pub_serves_many_subscribers_at_random_as_a_plain_model_does)
{
    enum { PEERS = 12, TOPICS = 8 };
    static const char *const names[TOPICS] = {"", "a", "ab", "abc", "b", "ba", "c", "abcd"};
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *peers[PEERS];
    bool model[PEERS][TOPICS] = {{false}};
    for (int i = 0; i < PEERS; i++)
        peers[i] = fake_peer(s);
    for (int step = 0; step < 4000; step++) {
        size_t i = check_below(PEERS), t = check_below(TOPICS);
        size_t what = check_below(40);
        if (what == 0) {
            fake_gone(peers[i]);
            peers[i] = fake_peer(s);
            memset(model[i], 0, sizeof(model[i]));
        } else if (what < 28) {
            bool add = what < 14;
            peer_commands(peers[i], add ? PEER_EV_SUBSCRIBE : PEER_EV_CANCEL, names[t]);
            model[i][t] = add;
        } else {
            CHECK_EQ(user_sends(s, names[t]), 0);
            for (size_t k = 0; k < PEERS; k++) {
                bool want = false;
                for (size_t n = 0; n < TOPICS; n++)
                    want |= model[k][n] && strncmp(names[n], names[t], strlen(names[n])) == 0;
                CHECK_STR(peer_hears(peers[k]), want ? names[t] : "(none)");
            }
        }
    }
    fake_end(s);
}

TEST(pub_loses_a_peer_whose_subscription_finds_no_memory)
{
    for (long nth = 1; nth < 4; nth++) {
        struct pipe_set *s = fake_socket(&pattern_pub);
        struct fake *a = fake_peer(s);
        mem_fail_at(nth);
        peer_commands(a, PEER_EV_SUBSCRIBE, "topic");
        mem_fail_at(0);
        CHECK_EQ(topics_count(s), !a->pipe->lose_wanted);
        CHECK(!a->pipe->close_wanted);
        fake_end(s);
    }
}

/* Over inproc nobody would make the connection anew. */
TEST(xpub_works_through_a_subscription_message_once_there_is_memory)
{
    for (long nth = 1; nth < 5; nth++) {
        struct pipe_set *s = fake_socket(&pattern_xpub);
        struct fake *a = fake_peer(s);
        struct msg m;
        CHECK_EQ(msg_init_copy(&m, "\001topic", 6), 0);
        CHECK_EQ(msgring_push(&a->pipe->in, &m), 0);
        mem_fail_at(nth);
        s->ops->readable(s, a->pipe);
        mem_fail_at(0);
        CHECK(!a->pipe->close_wanted && !a->pipe->lose_wanted);
        CHECK(s->ops->events(s) & FMQ_POLLIN);
        CHECK_EQ(topics_count(s), 1);
        fake_end(s);
    }
}

/* ---- XPUB: what the program is told ---- */

TEST(xpub_tells_the_first_subscription_and_the_last_cancellation)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(ready(s), OUT);
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "^t");
    CHECK_EQ(ready(s), IN | OUT);
    peer_commands(b, PEER_EV_SUBSCRIBE, "t");
    CHECK_STR(user_gets(s), "^t");
    CHECK(heard_from == a->pipe);
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "~t");
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "~t"); /* not its own */
    peer_commands(b, PEER_EV_CANCEL, "t");
    CHECK_STR(user_gets(s), "~t");
    CHECK_STR(user_gets(s), "(again)");
    fake_end(s);
}

TEST(xpub_tells_long_topics_whole)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s);
    char topic[301], message[302];
    memset(topic, 'x', 300);
    topic[300] = 0;
    snprintf(message, sizeof(message), "^%s", topic);
    peer_commands(a, PEER_EV_SUBSCRIBE, topic);
    CHECK_STR(user_gets(s), message);
    CHECK_EQ(user_sends(s, topic), 0);
    CHECK_STR(peer_hears(a), topic);
    fake_end(s);
}

TEST(xpub_verbose_tells_every_subscription)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    CHECK_EQ(user_sets(s, OPT_XPUB_VERBOSE, 1), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^t");
    peer_says(a, "^t");
    peer_says(b, "^t");
    for (int i = 0; i < 3; i++)
        CHECK_STR(user_gets(s), "^t");
    peer_says(a, "~t");
    CHECK_STR(user_gets(s), "(again)");
    peer_says(b, "~t");
    CHECK_STR(user_gets(s), "~t");
    fake_end(s);
}

TEST(xpub_verboser_tells_every_cancellation_too)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    CHECK_EQ(user_sets(s, OPT_XPUB_VERBOSER, 1), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^t");
    peer_says(b, "^t");
    peer_says(a, "~t");
    fake_gone(b);
    CHECK_STR(user_gets(s), "^t");
    CHECK_STR(user_gets(s), "^t");
    CHECK_STR(user_gets(s), "~t");
    CHECK_STR(user_gets(s), "~t");
    CHECK_STR(user_gets(s), "(again)");
    fake_end(s);
}

TEST(xpub_tells_what_a_lost_peer_was_the_last_to_want)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^mine");
    peer_says(a, "^ours");
    peer_says(b, "^ours");
    CHECK_STR(user_gets(s), "^mine");
    CHECK_STR(user_gets(s), "^ours");
    fake_gone(a);
    CHECK_STR(user_gets(s), "~mine");
    CHECK(heard_from == NULL);
    CHECK_STR(user_gets(s), "(again)");
    fake_end(s);
}

TEST(xpub_delivers_user_messages_in_order_with_subscriptions)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s);
    peer_says(a, "hello|^in the middle|world");
    peer_says(a, "^t");
    peer_says(a, "");
    CHECK_STR(user_gets(s), "^in the middle");
    CHECK_STR(user_gets(s), "hello|world");
    CHECK(heard_from == a->pipe);
    CHECK_STR(user_gets(s), "^t");
    CHECK_STR(user_gets(s), "");
    CHECK_EQ(user_sets(s, OPT_ONLY_FIRST_SUBSCRIBE, 1), 0);
    peer_says(a, "hello|^not examined");
    CHECK_STR(user_gets(s), "hello|^not examined");
    fake_end(s);
}

TEST(xpub_reads_user_messages_ahead_only_up_to_the_high_water_mark)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s);
    a->pipe->in_hwm = 2;
    for (int i = 0; i < 5; i++)
        peer_says(a, "m");
    peer_says(a, "^t");
    CHECK_EQ(a->pipe->in.msgs, 4);
    CHECK_EQ(topics_count(s), 0);
    for (int i = 0; i < 5; i++)
        CHECK_STR(user_gets(s), "m");
    CHECK_STR(user_gets(s), "^t");
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(topics_count(s), 1);
    fake_end(s);
}

TEST(xpub_keeps_messages_of_a_peer_that_is_gone)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s);
    a->pipe->in_hwm = 1;
    peer_says(a, "1");
    peer_says(a, "^t");
    peer_says(a, "2");
    fake_hangup(a);
    CHECK_STR(user_gets(s), "1");
    CHECK_STR(user_gets(s), "2"); /* the subscription is nobody's any more */
    CHECK_EQ(topics_count(s), 0);
    peer_says(a, "3");
    fake_free(a);
    CHECK_STR(user_gets(s), "3");
    CHECK(heard_from == NULL);
    fake_end(s);
}

TEST(xpub_recv_and_subscriptions_without_memory_stay_consistent)
{
    for (long nth = 1; nth < 8; nth++) {
        struct pipe_set *s = fake_socket(&pattern_xpub);
        struct fake *a = fake_peer(s);
        struct parts m;
        parts_init(&m);
        text_to_parts(&m, "1|2|3|4|5|6|7");
        for (uint32_t i = 0; i < m.len; i++)
            CHECK_EQ(msgring_push(&a->pipe->in, &m.v[i]), 0);
        m.len = 0;
        parts_fini(&m);
        mem_fail_at(nth);
        s->ops->readable(s, a->pipe);
        peer_commands(a, PEER_EV_SUBSCRIBE, "a long topic that wants memory of its own");
        mem_fail_at(0);
        CHECK(a->pipe->lose_wanted || topics_count(s) == 1);
        while (strcmp(user_gets(s), "(again)") != 0)
            ;
        fake_end(s);
    }
}

/* ---- XPUB: options ---- */

TEST(xpub_manual_lets_the_program_decide)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "x"), -EINVAL);
    CHECK_EQ(user_sets(s, OPT_XPUB_MANUAL, 1), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "x"), 0); /* for nobody yet */
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^A");
    peer_says(b, "^B");
    CHECK_STR(user_gets(s), "^A");
    CHECK_EQ(user_sends(s, "A"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "XA"), 0);
    CHECK_STR(user_gets(s), "^B");
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "XB"), 0);
    CHECK_EQ(user_sends(s, "XA"), 0);
    CHECK_EQ(user_sends(s, "XB"), 0);
    CHECK_STR(peer_hears(a), "XA");
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_STR(peer_hears(b), "XB");
    peer_says(a, "~A");
    CHECK_STR(user_gets(s), "~A");
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "XA"), 0);
    CHECK_EQ(user_sends(s, "XA"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    fake_gone(b);
    CHECK_STR(user_gets(s), "~B"); /* as it had asked, not as was decided */
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "XB"), 0);
    CHECK_EQ(topics_count(s), 0);
    fake_end(s);
}

TEST(xpub_manual_last_value_sends_the_next_message_to_the_new_subscriber_only)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    CHECK_EQ(user_sets(s, OPT_XPUB_MANUAL_LAST_VALUE, 1), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "^t");
    CHECK_STR(user_gets(s), "^t");
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "t"), 0);
    peer_says(b, "^t");
    CHECK_STR(user_gets(s), "^t");
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "t"), 0);
    CHECK_EQ(user_sends(s, "t last value"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_STR(peer_hears(b), "t last value");
    CHECK_EQ(user_sends(s, "t for all"), 0);
    CHECK_STR(peer_hears(a), "t for all");
    CHECK_STR(peer_hears(b), "t for all");
    peer_says(a, "^u");
    CHECK_STR(user_gets(s), "^u");
    fake_gone(a); /* whom the program received from last */
    CHECK_EQ(user_sends(s, "t"), 0);
    CHECK_STR(peer_hears(b), "t");
    fake_end(s);
}

TEST(xpub_nodrop_refuses_rather_than_drop)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    CHECK_EQ(user_sets(s, OPT_XPUB_NODROP, 1), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "nobody"), 0);
    peer_says(a, "^a");
    peer_says(b, "^");
    a->pipe->out_hwm = 1;
    CHECK(ready(s) & OUT);
    CHECK_EQ(user_sends(s, "a1"), 0);
    CHECK(!(ready(s) & OUT));
    CHECK_EQ(user_sends(s, "a2"), -EAGAIN);
    CHECK_EQ(user_checks(s, "a2"), -EAGAIN);
    CHECK_EQ(b->pipe->out.msgs, 1);
    CHECK_EQ(user_sends(s, "z"), 0); /* does not concern the full one */
    CHECK_STR(peer_hears(a), "a1");
    CHECK(ready(s) & OUT);
    CHECK_EQ(user_sends(s, "a2"), 0);
    CHECK_STR(peer_hears(a), "a2");
    CHECK_EQ(s->drops, 0);
    fake_end(s);
}

TEST(xpub_welcomes_every_new_connection)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *early = fake_peer(s);
    CHECK_EQ(user_sets_text(s, OPT_XPUB_WELCOME_MSG, "old"), 0);
    CHECK_EQ(user_sets_text(s, OPT_XPUB_WELCOME_MSG, "welcome to a place longer than a message"),
             0);
    struct fake *a = fake_peer(s);
    CHECK_STR(peer_hears(early), "(none)");
    CHECK_STR(peer_hears(a), "welcome to a place longer than a message");
    CHECK_EQ(user_sets_text(s, OPT_XPUB_WELCOME_MSG, ""), 0);
    struct fake *b = fake_peer(s);
    CHECK_STR(peer_hears(b), "(none)");
    fake_end(s);
}

TEST(xpub_queues_for_a_lost_peer_and_forgets_what_it_does_not_ask_again)
{
    struct pipe_set *s = fake_socket(&pattern_xpub);
    struct fake *a = fake_peer(s);
    peer_says(a, "^keep");
    peer_says(a, "^leave");
    CHECK_STR(user_gets(s), "^keep");
    CHECK_STR(user_gets(s), "^leave");
    fake_lose(a);
    CHECK_EQ(user_sends(s, "keep 1"), 0);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_EQ(user_sends(s, "keep 2"), 0);
    peer_says(a, "^keep");
    CHECK_STR(peer_hears(a), "keep 1");
    CHECK_STR(peer_hears(a), "keep 2");
    CHECK_EQ(topics_count(s), 2);
    CHECK_STR(user_gets(s), "(again)");
    fake_lose(a);
    CHECK_STR(user_gets(s), "~leave");
    CHECK_EQ(topics_count(s), 1);
    fake_end(s);
}

/* ---- SUB and XSUB ---- */

TEST(sub_sends_each_subscription_and_the_last_cancellation)
{
    struct pipe_set *s = fake_socket(&pattern_sub);
    CHECK_EQ(s->opt.linger, 0);
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "t"), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "t"), 0);
    CHECK_EQ(topics_count(s), 1);
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "t"), 0);
    CHECK_STR(a->subs, "+t +t");
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "t"), 0);
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "t"), 0);
    CHECK_STR(a->subs, "+t +t -t");
    CHECK_EQ(topics_count(s), 0);
    CHECK_EQ(user_sets(s, OPT_XSUB_VERBOSE_UNSUBSCRIBE, 1), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "u"), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "u"), 0);
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "u"), 0);
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "u"), 0);
    CHECK_STR(a->subs, "+t +t -t +u +u -u -u");
    fake_end(s);
}

TEST(sub_tells_each_new_connection_all_its_subscriptions)
{
    struct pipe_set *s = fake_socket(&pattern_sub);
    struct fake *a = fake_new(s);
    CHECK_EQ(fake_attach(a), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "b"), 0); /* while not connected */
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "a"), 0);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "a"), 0);
    CHECK_STR(a->subs, "");
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(a->subs, "+a +b");
    fake_lose(a);
    CHECK_EQ(user_sets_text(s, OPT_UNSUBSCRIBE, "b"), 0);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(a->subs, "+a +b +a");
    fake_end(s);
}

TEST(sub_filters_what_arrives)
{
    struct pipe_set *s = fake_socket(&pattern_sub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sets_text(s, OPT_SUBSCRIBE, "t"), 0);
    peer_says(a, "other|t");
    CHECK_EQ(ready(s), 0);
    CHECK(!pipe_can_read(a->pipe));
    peer_says(a, "other");
    peer_says(a, "t1|x");
    peer_says(b, "other");
    peer_says(b, "t2");
    CHECK_EQ(ready(s), IN);
    CHECK_STR(user_gets(s), "t1|x");
    CHECK(heard_from == a->pipe);
    CHECK_STR(user_gets(s), "t2");
    CHECK_STR(user_gets(s), "(again)");
    s->opt.invert_matching = 1;
    peer_says(a, "t3");
    peer_says(a, "other");
    CHECK_STR(user_gets(s), "other");
    CHECK_STR(user_gets(s), "(again)");
    fake_end(s);
}

TEST(sub_subscription_without_memory_changes_nothing)
{
    for (long nth = 1; nth < 4; nth++) {
        struct pipe_set *s = fake_socket(&pattern_sub);
        fake_peer(s);
        mem_fail_at(nth);
        int rc = user_sets_text(s, OPT_SUBSCRIBE, "topic");
        mem_fail_at(0);
        CHECK(rc == 0 || rc == -ENOMEM);
        CHECK_EQ(topics_count(s), rc == 0);
        fake_end(s);
    }
}

TEST(xsub_turns_its_messages_into_subscriptions)
{
    struct pipe_set *s = fake_socket(&pattern_xsub);
    CHECK_EQ(s->opt.linger, 0);
    CHECK_EQ(user_sets(s, OPT_SUBSCRIBE, 0), -EINVAL);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "^t"), 0);
    CHECK_EQ(user_sends(s, "^"), 0);
    CHECK_EQ(user_sends(s, "~t"), 0);
    CHECK_EQ(user_sends(s, "~unknown"), 0);
    CHECK_STR(a->subs, "+t + -t");
    CHECK_STR(b->subs, "+t + -t");
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_EQ(topics_count(s), 1);
    struct fake *c = fake_peer(s);
    CHECK_STR(c->subs, "+");
    fake_end(s);
}

TEST(xsub_sends_user_messages_to_all)
{
    struct pipe_set *s = fake_socket(&pattern_xsub);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "nobody"), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    b->pipe->out_hwm = 1;
    CHECK_EQ(user_sends(s, "hi|there"), 0);
    CHECK_EQ(user_sends(s, ""), 0);
    CHECK_STR(peer_hears(a), "hi|there");
    CHECK_STR(peer_hears(a), "");
    CHECK_STR(peer_hears(b), "hi|there");
    CHECK_STR(peer_hears(b), "(none)");
    CHECK_EQ(s->drops, 1);
    CHECK_EQ(user_sends(s, "x|^t"), 0);
    CHECK_STR(a->subs, "+t");
    CHECK_STR(peer_hears(a), "x");
    CHECK_EQ(user_sets(s, OPT_ONLY_FIRST_SUBSCRIBE, 1), 0);
    CHECK_EQ(user_sends(s, "x|^u"), 0);
    CHECK_STR(peer_hears(a), "x|^u");
    CHECK_EQ(user_sends(s, "^u|^v"), 0);
    CHECK_STR(a->subs, "+t +u +v");
    fake_end(s);
}

TEST(xsub_hands_out_all_that_arrives)
{
    struct pipe_set *s = fake_socket(&pattern_xsub);
    struct fake *a = fake_peer(s);
    peer_says(a, "unasked|x");
    CHECK_EQ(ready(s), IN | OUT);
    CHECK_STR(user_gets(s), "unasked|x");
    fake_gone(a);
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

/* ---- counting ---- */

static int reached(struct pipe_set *s, const char *topic)
{
    return s->ops->subscribers(s, topic, strlen(topic));
}

TEST(pub_counts_whom_a_topic_would_reach_each_peer_once)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    fake_peer(s);
    CHECK_EQ(reached(s, ""), 0);
    unsigned changes = atomic_load(&s->reactor.changes);
    peer_says(a, "^ab");
    CHECK_EQ(atomic_load(&s->reactor.changes) - changes, 2); /* it arrived, and it took effect */
    peer_says(a, "^a");
    peer_commands(b, PEER_EV_SUBSCRIBE, "abc");
    CHECK_EQ(reached(s, ""), 2);
    CHECK_EQ(reached(s, "a"), 1);
    CHECK_EQ(reached(s, "ab"), 1);
    CHECK_EQ(reached(s, "abcd"), 2);
    CHECK_EQ(reached(s, "b"), 0);
    s->opt.invert_matching = true;
    CHECK_EQ(reached(s, "ab"), 2); /* b, and who has no subscription at all */
    s->opt.invert_matching = false;
    fake_hangup(b);
    CHECK_EQ(reached(s, "abcd"), 1);
    peer_says(a, "~a");
    CHECK_EQ(reached(s, "a"), 0);
    changes = atomic_load(&s->reactor.changes);
    peer_says(a, "~zzz");
    CHECK_EQ(atomic_load(&s->reactor.changes) - changes, 1); /* it arrived */
    fake_end(s);
}

TEST(pub_counts_what_peers_say_to_nobody_as_dropped_and_subscriptions_not)
{
    struct pipe_set *s = fake_socket(&pattern_pub);
    struct fake *a = fake_peer(s);
    peer_says(a, "^ab");
    peer_says(a, "hello");
    CHECK_EQ(a->pipe->msgs_in, 1);
    CHECK_EQ(a->pipe->drops, 1);
    CHECK_EQ(s->drops, 1);
    fake_end(s);
}
