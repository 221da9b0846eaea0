/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
/* REQ with REQ_RESEND_IVL: where a request goes, and whose reply counts. */
#include "fakelink.h"

#include "pattern/req.c"
#include "pattern/route.c"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"

/* Its first request has the id "AAAA", the next one "BAAA" where bytes are in little-endian order.
 */
static struct pipe_set *resender(void)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct req *me = s->state;
    uint32_t first;
    memcpy(&first, "AAAA", 4);
    me->id = first - 1;
    CHECK_EQ(user_sets(s, OPT_REQ_RESEND_IVL, 100), 0);
    return s;
}

static bool alarm_is_set(struct pipe_set *s)
{
    return heap_min(&s->reactor.timers) != NULL;
}

/* The interval is over. */
static void time_passes(struct pipe_set *s)
{
    CHECK(alarm_is_set(s));
    timers_run(&s->reactor, heap_min(&s->reactor.timers)->key);
}

static uint64_t resent(struct pipe_set *s)
{
    struct fmq_socket_stats stats = {0};
    s->ops->stats(s, &stats);
    return stats.resent;
}

/* A peer that the socket connects to, and that is not there yet. */
static struct fake *fake_absent(struct pipe_set *s)
{
    struct fake *f = fake_new(s);
    f->pipe->link = NULL;
    CHECK_EQ(fake_attach(f), 0);
    return f;
}

TEST(a_request_goes_to_the_next_peer_when_the_interval_is_over)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q|r"), 0);
    CHECK_STR(peer_hears(a), "AAAA||q|r");
    CHECK_STR(peer_hears(b), "(none)");
    time_passes(s);
    CHECK_STR(peer_hears(b), "AAAA||q|r");
    CHECK_STR(peer_hears(a), "(none)");
    time_passes(s);
    CHECK_STR(peer_hears(a), "AAAA||q|r");
    CHECK_EQ(resent(s), 2);
    peer_says(b, "AAAA||yes|more");
    CHECK_EQ(ready(s), IN);
    CHECK(!alarm_is_set(s));
    CHECK_STR(user_gets(s), "yes|more");
    CHECK(heard_from == b->pipe);
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(the_first_reply_wins_and_later_ones_are_dropped_and_counted)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    time_passes(s);
    peer_hears(b);
    peer_says(a, "AAAA||from a");
    peer_says(b, "AAAA||from b");
    CHECK_EQ(s->drops, 1);
    CHECK_EQ(b->pipe->drops, 1);
    CHECK(!pipe_can_read(b->pipe));
    CHECK_STR(user_gets(s), "from a");
    peer_says(b, "AAAA||once more"); /* nobody asks any more */
    CHECK_EQ(s->drops, 2);
    CHECK_EQ(ready(s), OUT);
    CHECK_STR(user_gets(s), "(efsm)");
    fake_end(s);
}

TEST(a_late_reply_is_not_taken_for_the_next_one)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "1"), 0);
    peer_hears(a);
    time_passes(s);
    CHECK_STR(peer_hears(a), "AAAA||1");
    peer_says(a, "AAAA||one");
    CHECK_STR(user_gets(s), "one");
    CHECK_EQ(user_sends(s, "2"), 0);
    CHECK_STR(peer_hears(a), "BAAA||2");
    peer_says(a, "AAAA||one again");
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(s->drops, 1);
    CHECK(!a->pipe->close_wanted);
    peer_says(a, "BAAA||two");
    CHECK_STR(user_gets(s), "two");
    fake_end(s);
}

TEST(a_reply_counts_only_from_a_peer_that_was_given_the_request)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    peer_says(b, "AAAA||guessed");
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(b->pipe->drops, 1);
    time_passes(s);
    peer_hears(b);
    peer_says(b, "AAAA||asked");
    CHECK_STR(user_gets(s), "asked");
    fake_end(s);
}

TEST(a_request_goes_to_the_next_peer_at_once_when_its_own_leaves)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    fake_gone(a);
    CHECK_STR(peer_hears(b), "AAAA||q");
    CHECK_EQ(resent(s), 1);
    /* The reply of the one that left may come through another connection of it. */
    struct fake *c = fake_peer(s);
    peer_says(c, "AAAA||by another way");
    CHECK_STR(user_gets(s), "by another way");
    fake_end(s);
}

TEST(a_peer_that_is_lost_and_was_not_asked_last_changes_nothing)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    fake_lose(b);
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_EQ(resent(s), 0);
    fake_end(s);
}

TEST(with_one_peer_a_request_is_sent_to_that_again_also_after_reconnection)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    CHECK_STR(peer_hears(a), "AAAA||q");
    time_passes(s);
    CHECK_STR(peer_hears(a), "AAAA||q");
    fake_lose(a);
    CHECK(!alarm_is_set(s)); /* nothing to be done until there is a connection */
    CHECK_EQ(resent(s), 1);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(peer_hears(a), "AAAA||q");
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_EQ(resent(s), 2);
    CHECK(alarm_is_set(s));
    peer_says(a, "AAAA||yes");
    CHECK_STR(user_gets(s), "yes");
    fake_end(s);
}

TEST(a_request_that_was_not_written_when_its_connection_was_lost_goes_once)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    for (int i = 0; i < 5; i++) {
        fake_lose(a);
        CHECK_EQ(a->pipe->out.msgs, 1);
        CHECK_EQ(fake_connect(a), 0);
    }
    CHECK_STR(peer_hears(a), "AAAA||q");
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_EQ(s->drops, 0);
    CHECK_EQ(a->pipe->msgs_out, 1);
    fake_end(s);
}

TEST(a_peer_that_reads_nothing_gathers_no_copies)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    for (int i = 0; i < 5; i++)
        time_passes(s);
    CHECK_EQ(a->pipe->out.msgs, 1);
    CHECK_EQ(resent(s), 0);
    struct fake *b = fake_peer(s);
    time_passes(s);
    CHECK_STR(peer_hears(b), "AAAA||q");
    CHECK_STR(peer_hears(a), "AAAA||q");
    time_passes(s);
    CHECK_STR(peer_hears(a), "AAAA||q");
    fake_end(s);
}

TEST(a_connected_peer_is_asked_before_one_that_is_not_there)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_absent(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    CHECK_STR(peer_hears(b), "AAAA||q");
    CHECK_EQ(a->pipe->out.msgs, 0);
    fake_end(s);
}

TEST(a_request_waits_in_a_queue_and_is_taken_back_when_another_peer_comes_first)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_absent(s), *b = fake_absent(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    CHECK(!alarm_is_set(s));
    CHECK_EQ(a->pipe->out.msgs, 1); /* LINGER sees it */
    CHECK_EQ(fake_connect(b), 0);
    CHECK_EQ(a->pipe->out.msgs, 0);
    CHECK_EQ(a->pipe->msgs_out, 0);
    CHECK_STR(peer_hears(b), "AAAA||q");
    CHECK_EQ(resent(s), 0);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_EQ(s->drops, 0);
    fake_end(s);
}

TEST(a_request_without_a_peer_waits_in_the_socket)
{
    struct pipe_set *s = resender();
    CHECK_EQ(user_sends(s, "q"), -EAGAIN);
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    fake_gone(a);
    CHECK(!alarm_is_set(s));
    CHECK_EQ(ready(s), 0);
    struct fake *b = fake_peer(s);
    CHECK_STR(peer_hears(b), "AAAA||q");
    CHECK(alarm_is_set(s));
    peer_says(b, "AAAA||yes");
    CHECK_STR(user_gets(s), "yes");
    fake_end(s);
}

TEST(a_probe_in_the_queue_does_not_keep_a_request_back)
{
    struct pipe_set *s = resender();
    CHECK_EQ(user_sets(s, OPT_PROBE_ROUTER, 1), 0);
    struct fake *a = fake_peer(s);
    CHECK_STR(peer_hears(a), "");
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    fake_gone(a);
    struct fake *b = fake_peer(s);
    CHECK_STR(peer_hears(b), "");
    CHECK_STR(peer_hears(b), "AAAA||q");
    fake_end(s);
}

TEST(a_full_peer_is_passed_over)
{
    struct pipe_set *s = resender();
    s->opt.sndhwm = 1;
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(pipe_write_control(b->pipe, "x", 1), 0);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    time_passes(s);
    CHECK_STR(peer_hears(a), "AAAA||q");
    CHECK_STR(peer_hears(b), "x");
    time_passes(s);
    CHECK_STR(peer_hears(b), "AAAA||q");
    fake_end(s);
}

TEST(a_reply_that_disconnect_drops_has_the_request_sent_again)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_hears(a);
    peer_says(a, "AAAA||from a");
    CHECK_EQ(ready(s), IN);
    pipe_disown(a->pipe, true);
    fake_hangup(a);
    CHECK_EQ(ready(s), 0);
    CHECK_STR(peer_hears(b), "AAAA||q");
    peer_says(b, "AAAA||from b");
    CHECK_STR(user_gets(s), "from b");
    fake_end(s);
}

TEST(with_relaxed_a_new_request_takes_the_place_of_the_old_one)
{
    struct pipe_set *s = resender();
    CHECK_EQ(user_sets(s, OPT_REQ_RELAXED, 1), 0);
    struct fake *a = fake_absent(s);
    CHECK_EQ(user_sends(s, "1"), 0);
    CHECK_EQ(user_sends(s, "2"), 0);
    CHECK_EQ(a->pipe->out.msgs, 1);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(peer_hears(a), "BAAA||2");
    CHECK_STR(peer_hears(a), "(none)");
    time_passes(s);
    CHECK_STR(peer_hears(a), "BAAA||2");
    peer_says(a, "AAAA||one");
    CHECK_EQ(ready(s), OUT);
    peer_says(a, "BAAA||two");
    CHECK_STR(user_gets(s), "two");
    fake_end(s);
}

TEST(the_option_holds_from_the_next_request_on)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s);
    int64_t value = 0;
    CHECK_EQ(user_sends(s, "1"), 0);
    CHECK_EQ(user_sets(s, OPT_REQ_RESEND_IVL, 0), 0);
    CHECK_EQ(s->ops->getopt(s, OPT_REQ_RESEND_IVL, &value), 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(s->ops->getopt(s, OPT_REQ_CORRELATE, &value), -EINVAL);
    CHECK_STR(peer_hears(a), "AAAA||1");
    time_passes(s);
    CHECK_STR(peer_hears(a), "AAAA||1");
    peer_says(a, "AAAA||one");
    CHECK_STR(user_gets(s), "one");
    CHECK_EQ(user_sends(s, "2"), 0);
    CHECK_STR(peer_hears(a), "|2");
    CHECK(!alarm_is_set(s));
    fake_lose(a);
    CHECK_EQ(a->pipe->out.msgs, 0);
    fake_end(s);
}

TEST(nothing_is_sent_again_once_the_socket_is_closed)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    s->reactor.closed = true;
    time_passes(s);
    fake_lose(a);
    CHECK_EQ(a->pipe->out.msgs, 1); /* what was queued lingers */
    fake_hangup(a);
    CHECK_STR(peer_hears(b), "(none)");
    fake_end(s);
}

TEST(copies_of_a_large_request_share_its_memory)
{
    struct pipe_set *s = resender();
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    struct parts m;
    parts_init(&m);
    struct msg body;
    uint8_t *data;
    CHECK_EQ(msg_init_blob(&body, 1 << 20, &data), 0);
    memset(data, 'x', 1 << 20);
    struct blob *blob = body.u.x.owner;
    struct msg own;
    CHECK_EQ(msg_dup(&own, &body), 0);
    CHECK_EQ(parts_push(&m, &body), 0);
    CHECK_EQ(s->ops->send(s, &m), 0);
    CHECK_EQ(m.len, 0);
    CHECK_EQ(atomic_load(&blob->refs), 3); /* the queue, the socket and the test */
    time_passes(s);
    CHECK_EQ(b->pipe->out.msgs, 1);
    CHECK_EQ(atomic_load(&blob->refs), 4);
    peer_says(a, "AAAA||yes");
    CHECK_EQ(a->pipe->out.msgs + b->pipe->out.msgs, 0); /* nobody waits for it any more */
    CHECK_EQ(atomic_load(&blob->refs), 2);
    CHECK_STR(user_gets(s), "yes");
    CHECK_EQ(atomic_load(&blob->refs), 1);
    CHECK_EQ(a->pipe->msgs_out + b->pipe->msgs_out, 0);
    msg_drop(&own);
    parts_fini(&m);
    fake_end(s);
}

#ifdef FMQ_DEBUG
TEST(without_memory_a_request_stays_and_is_tried_again)
{
    for (long n = 1; n < 40; n++) {
        struct pipe_set *s = resender();
        CHECK_EQ(user_sets(s, OPT_REQ_RELAXED, 1), 0);
        struct fake *a = fake_peer(s), *b = fake_peer(s);
        const char *text = "a body that is too long to lie in the struct|1|2|3|4|5|6|7|8";
        CHECK_EQ(user_sends(s, "first"), 0);
        peer_hears(a);
        struct parts m;
        parts_init(&m);
        text_to_parts(&m, text);
        uint32_t parts = m.len;
        mem_fail_at(n);
        int rc = s->ops->send(s, &m);
        mem_fail_at(0);
        CHECK(rc == 0 || rc == -ENOMEM);
        CHECK_EQ(m.len, rc ? parts : 0);
        parts_fini(&m);
        struct req *me = s->state;
        const char *id = rc ? "AAAA" : "BAAA";
        CHECK(memcmp(&me->id, id, 4) == 0);
        while (b->pipe->out.msgs)
            peer_hears(b);
        mem_fail_at(n);
        time_passes(s);
        mem_fail_at(0);
        CHECK(alarm_is_set(s));
        if (!a->pipe->out.msgs && !b->pipe->out.msgs)
            time_passes(s);
        CHECK(a->pipe->out.msgs || b->pipe->out.msgs);
        fake_end(s);
    }
}
#endif
