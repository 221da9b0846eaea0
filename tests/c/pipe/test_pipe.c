/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
/*
 * A pipe alone: its limits in messages and in bytes, the context's budget, what it counts, and how
 * it ends. The pattern above it is one that only notes what it is told.
 */
#include "fakelink.h"

#include "pipe/budget.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

/* What the pattern was told, since `forget`. */
static struct {
    unsigned readable, writable, lost, hangup;
} told;

static void forget(void)
{
    memset(&told, 0, sizeof(told));
}

static int note_init(struct pipe_set *s)
{
    (void)s;
    forget();
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

static void note_detach(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
}

static void note_readable(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
    told.readable++;
}

static void note_writable(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
    told.writable++;
}

static void note_lost(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
    told.lost++;
}

static void note_hangup(struct pipe_set *s, struct pipe *p)
{
    (void)s, (void)p;
    told.hangup++;
}

static const struct pattern_ops notes = {
    .type = FMQ_PAIR,
    .name = "NOTES",
    .sends = true,
    .receives = true,
    .says_hello = true,
    .hears_disconnect = true,
    .hears_hiccup = true,
    .init = note_init,
    .fini = note_fini,
    .attach = note_attach,
    .detach = note_detach,
    .readable = note_readable,
    .writable = note_writable,
    .lost = note_lost,
    .hangup = note_hangup,
};

/* As fake_socket, with a budget of the context of `cap` bytes. */
static struct pipe_set *socket_in(struct budget *b, int64_t cap)
{
    struct pipe_set *s = fake_socket(&notes);
    budget_init(b);
    b->on = true;
    budget_set_cap(b, cap);
    s->budget = b;
    return s;
}

static void end_in(struct budget *b, struct pipe_set *s)
{
    s->budget = NULL;
    budget_leave(b, s);
    fake_end(s);
    CHECK_EQ(atomic_load(&b->used), 0);
    budget_fini(b);
}

static int64_t used(struct budget *b)
{
    return atomic_load(&b->used);
}

/* A message of the peer, counted as a connection counts it. */
static void arrives(struct fake *f, const char *text)
{
    struct pipe *p = f->pipe;
    uint32_t before = p->in.msgs;
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, text, strlen(text)), 0);
    CHECK_EQ(msgring_push(&p->in, &m), 0);
    if (p->counted) {
        p->in_bytes += strlen(text);
        pipe_account(p);
    }
    pipe_arrived(p, before);
}

static int writes(struct fake *f, const char *text)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, text, strlen(text)), 0);
    int rc = pipe_write(f->pipe, &m, 1);
    if (rc)
        msg_drop(&m);
    return rc;
}

static void reads(struct fake *f, const char *text)
{
    struct parts m;
    parts_init(&m);
    CHECK(pipe_can_read(f->pipe));
    CHECK_EQ(pipe_read(f->pipe, &m), 0);
    CHECK_EQ(m.len, 1);
    CHECK_EQ(msg_size(&m.v[0]), strlen(text));
    CHECK_MEM(msg_data(&m.v[0]), text, strlen(text));
    parts_fini(&m);
}

/* ---- the context's budget ---- */

TEST(what_arrives_counts_in_the_budget_until_it_is_received_or_skipped)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 100);
    struct fake *f = fake_peer(s);
    arrives(f, "four");
    arrives(f, "sixsix");
    CHECK_EQ(used(&b), 10);
    CHECK_EQ(pipe_in_bytes(f->pipe), 10);
    reads(f, "four");
    CHECK_EQ(used(&b), 6);
    pipe_skip(f->pipe);
    CHECK_EQ(used(&b), 0);
    CHECK_EQ(f->pipe->in_bytes, 0);
    end_in(&b, s);
}

TEST(what_a_pattern_holds_for_the_program_counts_on)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 8);
    struct fake *f = fake_peer(s);
    CHECK(pipe_may_hold(f->pipe));
    pipe_hold(f->pipe, 7);
    CHECK_EQ(used(&b), 7);
    CHECK_EQ(pipe_in_bytes(f->pipe), 7);
    CHECK(pipe_may_hold(f->pipe));
    pipe_hold(f->pipe, 1);
    CHECK(!pipe_may_hold(f->pipe));
    pipe_hold(f->pipe, -8);
    CHECK_EQ(used(&b), 0);
    end_in(&b, s);
}

TEST(what_a_pattern_holds_counts_against_the_limit_in_bytes)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.rcvhwm_bytes = 8;
    struct fake *f = fake_peer(s);
    pipe_hold(f->pipe, 7);
    CHECK(pipe_may_hold(f->pipe));
    arrives(f, "");
    CHECK(!pipe_in_full(f->pipe));
    pipe_hold(f->pipe, 1);
    CHECK(!pipe_may_hold(f->pipe));
    CHECK(pipe_in_full(f->pipe));
    pipe_hold(f->pipe, -8);
    fake_end(s);
}

TEST(an_empty_queue_takes_a_message_whatever_the_budget_holds_and_no_second)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 4);
    struct fake *f = fake_peer(s), *g = fake_peer(s);
    CHECK_EQ(writes(f, "more than four"), 0);
    CHECK_EQ(used(&b), 14);
    CHECK_EQ(writes(f, "x"), -EAGAIN);
    CHECK_EQ(writes(g, "y"), 0);
    CHECK_EQ(writes(g, "y"), -EAGAIN);
    CHECK_EQ(used(&b), 15);
    CHECK_EQ(f->pipe->msgs_out, 1);
    end_in(&b, s);
}

TEST(room_that_comes_back_is_told_to_the_pipes_that_were_refused)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 10);
    struct fake *f = fake_peer(s), *g = fake_peer(s), *h = fake_peer(s);
    CHECK_EQ(writes(f, "12345678"), 0);
    CHECK_EQ(writes(g, "1"), 0);
    CHECK_EQ(writes(h, "1"), 0);
    CHECK_EQ(writes(g, "23"), -EAGAIN);
    forget();
    CHECK_STR(peer_hears(f), "12345678");
    pipe_account(f->pipe);
    CHECK_EQ(used(&b), 2);
    CHECK(atomic_load(&s->reactor.mailbox));
    mailbox_run(&s->reactor);
    CHECK_EQ(told.writable, 1); /* g: nobody else was refused */
    CHECK_EQ(writes(g, "23"), 0);
    end_in(&b, s);
}

TEST(a_cap_that_is_raised_is_told_and_none_is_no_limit)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 4);
    struct fake *f = fake_peer(s);
    CHECK_EQ(writes(f, "1234"), 0);
    CHECK_EQ(writes(f, "5"), -EAGAIN);
    forget();
    budget_set_cap(&b, 5);
    mailbox_run(&s->reactor);
    CHECK_EQ(told.writable, 1);
    CHECK_EQ(writes(f, "5"), 0);
    CHECK_EQ(writes(f, "6"), -EAGAIN);
    budget_set_cap(&b, 0);
    CHECK_EQ(writes(f, "6"), 0);
    end_in(&b, s);
}

TEST(a_budget_takes_exactly_what_there_is)
{
    struct budget b;
    budget_init(&b);
    budget_set_cap(&b, 10);
    CHECK(budget_take(&b, 11)); /* larger than the cap, when nothing else is queued */
    CHECK(!budget_take(&b, 1));
    budget_give(&b, 11);
    CHECK(budget_take(&b, 6));
    CHECK(budget_fits(&b, 4));
    CHECK(!budget_fits(&b, 5));
    CHECK(!budget_take(&b, 5));
    CHECK(budget_take(&b, 4));
    CHECK(!budget_fits(&b, 0));
    CHECK(!budget_take(&b, 0));
    budget_give(&b, 10);
    budget_fini(&b);
}

TEST(half_of_the_cap_has_to_be_free_before_a_reader_is_told)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 10);
    struct fake *f = fake_peer(s);
    arrives(f, "12345");
    arrives(f, "12345");
    CHECK(pipe_in_full(f->pipe));
    CHECK(s->shortage.urgent); /* no caller may look after a connection */
    budget_add(&b, 5);         /* another socket's */
    reads(f, "12345");
    CHECK(!atomic_load(&s->reactor.mailbox));
    budget_give(&b, 4);
    CHECK(!atomic_load(&s->reactor.mailbox));
    budget_give(&b, 1);
    CHECK(atomic_load(&s->reactor.mailbox));
    pipe_pause(f->pipe, true);
    mailbox_run(&s->reactor);
    CHECK_EQ(f->resumed, 1);
    end_in(&b, s);
}

TEST(a_socket_that_ends_waits_for_no_room)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 1);
    struct fake *f = fake_peer(s);
    CHECK_EQ(writes(f, "1"), 0);
    CHECK_EQ(writes(f, "2"), -EAGAIN);
    CHECK(!list_empty(&b.waiters));
    budget_leave(&b, s);
    CHECK(list_empty(&b.waiters));
    end_in(&b, s);
}

TEST(a_message_to_all_is_reserved_for_those_whose_queues_are_not_empty)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 20);
    struct fake *f = fake_peer(s), *g = fake_peer(s), *h = fake_peer(s);
    struct pipe *pipes[] = {f->pipe, g->pipe, h->pipe};
    CHECK_EQ(writes(f, "1"), 0);
    CHECK_EQ(writes(g, "1"), 0);
    CHECK(pipe_reserve(pipes, 3, 4));
    CHECK_EQ(s->advance, 8);
    CHECK_EQ(used(&b), 10);
    CHECK_EQ(writes(f, "1234"), 0);
    CHECK_EQ(s->advance, 4);
    CHECK_EQ(writes(h, "1234"), 0); /* needs none of it */
    CHECK_EQ(s->advance, 4);
    pipe_reserve_end(s);
    CHECK_EQ(s->advance, 0);
    CHECK_EQ(used(&b), 10);
    CHECK(!pipe_reserve(pipes, 3, 4)); /* 12 bytes, and there is room for 10 */
    CHECK_EQ(s->advance, 0);
    CHECK(f->pipe->full && g->pipe->full && h->pipe->full);
    CHECK_EQ(f->pipe->want, 12);
    CHECK(pipe_reserve(pipes, 3, 3));
    pipe_reserve_end(s);
    CHECK(pipe_reserve(pipes, 3, 0));
    CHECK_EQ(s->advance, 0);
    end_in(&b, s);
}

TEST(what_goes_whatever_the_limits_counts_all_the_same)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 4);
    struct fake *f = fake_peer(s);
    CHECK_EQ(writes(f, "1234"), 0);
    CHECK_EQ(pipe_write_control(f->pipe, "56", 2), 0);
    CHECK_EQ(used(&b), 6);
    CHECK_EQ(f->pipe->msgs_out, 2);
    CHECK_EQ(pipe_out_msgs(f->pipe), 2);
    CHECK_EQ(pipe_out_bytes(f->pipe), 6);
    end_in(&b, s);
}

/* ---- limits of the pipe ---- */

TEST(a_message_that_fits_exactly_goes_and_one_byte_more_does_not)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s);
    fake_bound(f, 10);
    CHECK_EQ(writes(f, "123456"), 0);
    CHECK_EQ(writes(f, "12345"), -EAGAIN);
    CHECK(!pipe_can_write(f->pipe, PIPE_ANY)); /* for the one that was refused */
    CHECK_EQ(writes(f, "1234"), 0);
    CHECK_EQ(writes(f, ""), -EAGAIN); /* at the limit nothing goes */
    CHECK_STR(peer_hears(f), "123456");
    CHECK_STR(peer_hears(f), "1234");
    CHECK_EQ(writes(f, "more than ten bytes"), 0);
    CHECK_EQ(writes(f, "1"), -EAGAIN);
    fake_end(s);
}

TEST(the_limit_of_a_socket_is_that_of_its_pipes)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.sndhwm_bytes = 4;
    struct fake *f = fake_peer(s);
    CHECK_EQ(writes(f, "1234"), 0);
    CHECK_EQ(writes(f, "5"), -EAGAIN);
    fake_end(s);
}

TEST(half_a_message_is_nothing_to_read)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s);
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, "half", 4), 0);
    m.flags = PART_MORE;
    CHECK_EQ(msgring_push(&f->pipe->in, &m), 0);
    forget();
    pipe_arrived(f->pipe, 0);
    CHECK_EQ(told.readable, 0);
    CHECK_EQ(f->pipe->msgs_in, 0);
    fake_end(s);
}

TEST(a_refused_pipe_is_writable_again_only_for_what_was_refused)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s);
    fake_bound(f, 10);
    CHECK_EQ(writes(f, "1"), 0);
    CHECK_EQ(writes(f, "2345"), 0);
    CHECK_EQ(writes(f, "123456789"), -EAGAIN);
    CHECK_EQ(f->pipe->want, 9);
    CHECK_EQ(writes(f, "1234567"), -EAGAIN);
    CHECK_EQ(f->pipe->want, 7); /* the smallest */
    CHECK_EQ(writes(f, "12345678"), -EAGAIN);
    CHECK_EQ(f->pipe->want, 7);
    forget();
    CHECK_STR(peer_hears(f), "1");
    CHECK_EQ(told.writable, 0); /* 6 bytes of room */
    CHECK_STR(peer_hears(f), "2345");
    CHECK_EQ(told.writable, 1);
    CHECK(!f->pipe->full);
    fake_end(s);
}

TEST(reading_stops_at_the_limit_in_bytes_and_goes_on_at_half_of_it)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.rcvhwm_bytes = 8;
    struct fake *f = fake_peer(s);
    CHECK(!pipe_in_full(f->pipe));
    arrives(f, "123");
    arrives(f, "1");
    arrives(f, "123");
    CHECK(!pipe_in_full(f->pipe));
    arrives(f, "1");
    CHECK(pipe_in_full(f->pipe));
    pipe_pause(f->pipe, true);
    reads(f, "123");
    CHECK_EQ(f->resumed, 0); /* 5 are left */
    pipe_skip(f->pipe);
    CHECK_EQ(f->resumed, 1); /* 4 */
    fake_end(s);
}

TEST(reading_goes_on_at_half_of_the_limit_in_messages)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.rcvhwm = 4;
    struct fake *f = fake_peer(s);
    for (int i = 0; i < 4; i++)
        arrives(f, "x");
    pipe_pause(f->pipe, true);
    reads(f, "x");
    CHECK_EQ(f->resumed, 0);
    reads(f, "x");
    CHECK_EQ(f->resumed, 1);
    fake_end(s);
}

TEST(an_empty_pipe_is_read_whatever_it_holds)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.rcvhwm_bytes = 2;
    struct fake *f = fake_peer(s);
    pipe_hold(f->pipe, 5);
    CHECK(!pipe_in_full(f->pipe));
    arrives(f, "x");
    CHECK(pipe_in_full(f->pipe));
    pipe_pause(f->pipe, true);
    reads(f, "x");
    CHECK_EQ(f->resumed, 1);
    pipe_hold(f->pipe, -5);
    fake_end(s);
}

TEST(a_pipe_that_is_not_paused_is_not_resumed)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.rcvhwm_bytes = 8;
    struct fake *f = fake_peer(s);
    arrives(f, "x");
    reads(f, "x");
    CHECK_EQ(f->resumed, 0);
    pipe_rx_pause(f->pipe, true);
    pipe_rx_pause(f->pipe, false);
    CHECK_EQ(f->resumed, 0);
    pipe_pause(f->pipe, true);
    pipe_rx_pause(f->pipe, true);
    pipe_rx_pause(f->pipe, false);
    CHECK_EQ(f->resumed, 1);
    fake_end(s);
}

TEST(limits_that_come_later_count_what_is_there)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s);
    arrives(f, "1234");
    CHECK_EQ(f->pipe->in_bytes, 0);
    s->opt.rcvhwm_bytes = 4;
    pipe_set_limits(f->pipe);
    CHECK_EQ(f->pipe->in_bytes, 4);
    CHECK(pipe_in_full(f->pipe));
    reads(f, "1234");
    CHECK_EQ(f->pipe->in_bytes, 0);
    fake_end(s);
}

TEST(conflating_keeps_the_newest_and_counts_the_others_as_dropped)
{
    struct pipe_set *s = fake_socket(&notes);
    s->opt.conflate = true;
    struct fake *f = fake_peer(s);
    f->pipe->out_hwm = 1;
    CHECK_EQ(writes(f, "1"), 0);
    CHECK_EQ(writes(f, "2"), 0);
    CHECK_EQ(writes(f, "3"), 0);
    CHECK_EQ(f->pipe->msgs_out, 1);
    CHECK_EQ(f->pipe->drops, 2);
    CHECK_EQ(s->drops, 2);
    CHECK_STR(peer_hears(f), "3");
    CHECK_STR(peer_hears(f), "(none)");
    fake_end(s);
}

/* ---- what it counts, and how it ends ---- */

TEST(those_who_wait_look_again_when_a_peer_comes_sends_and_goes)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_new(s);
    CHECK_EQ(fake_attach(f), 0);
    unsigned changes = atomic_load(&s->reactor.changes);
    CHECK_EQ(fake_connect(f), 0);
    CHECK_EQ(atomic_load(&s->reactor.changes), changes + 1);
    arrives(f, "x");
    CHECK_EQ(atomic_load(&s->reactor.changes), changes + 2);
    fake_hangup(f);
    CHECK_EQ(atomic_load(&s->reactor.changes), changes + 3);
    fake_end(s);
}

TEST(a_message_put_in_here_is_read_and_not_counted_as_the_peers)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 100);
    struct fake *f = fake_peer(s);
    forget();
    CHECK_EQ(pipe_inject(f->pipe, "bye", 3), 0);
    CHECK_EQ(told.readable, 1);
    CHECK_EQ(f->pipe->msgs_in, 0);
    CHECK_EQ(used(&b), 3);
    arrives(f, "x");
    CHECK_EQ(told.readable, 1); /* it was readable */
    CHECK_EQ(f->pipe->msgs_in, 1);
    reads(f, "bye");
    CHECK_EQ(used(&b), 1);
    end_in(&b, s);
}

TEST(messages_of_the_connection_come_with_its_beginning_loss_and_end)
{
    struct pipe_set *s = fake_socket(&notes);
    uint8_t hello[] = "hi", hiccup[] = "hic", bye[] = "bye";
    s->opt.hello_msg.data = hello, s->opt.hello_msg.len = 2;
    s->opt.hiccup_msg.data = hiccup, s->opt.hiccup_msg.len = 3;
    s->opt.disconnect_msg.data = bye, s->opt.disconnect_msg.len = 3;
    struct fake *f = fake_peer(s);
    CHECK_STR(peer_hears(f), "hi");
    CHECK_EQ(f->pipe->connections, 1);
    fake_lose(f);
    CHECK_EQ(told.lost, 1);
    reads(f, "hic");
    CHECK_EQ(fake_connect(f), 0);
    CHECK_EQ(f->pipe->connections, 2);
    CHECK_STR(peer_hears(f), "hi");
    fake_hangup(f);
    CHECK_EQ(told.hangup, 1);
    reads(f, "bye");
    CHECK(!pipe_can_read(f->pipe));
    fake_free(f);
    CHECK_EQ(s->closed_totals.reconnects, 1);
    fake_end(s);
}

TEST(no_message_tells_of_an_end_that_the_program_made_or_of_a_peer_never_there)
{
    struct pipe_set *s = fake_socket(&notes);
    uint8_t bye[] = "bye";
    s->opt.disconnect_msg.data = bye, s->opt.disconnect_msg.len = 3;
    struct fake *f = fake_peer(s), *g = fake_new(s);
    pipe_disown(f->pipe, false);
    fake_hangup(f);
    CHECK(!pipe_can_read(f->pipe));
    CHECK_EQ(fake_attach(g), 0);
    fake_hangup(g);
    CHECK(!pipe_can_read(g->pipe));
    fake_end(s);
}

TEST(a_pipe_that_is_hung_up_takes_nothing_and_is_reaped_once_it_is_read)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s);
    arrives(f, "x");
    fake_hangup(f);
    CHECK_EQ(writes(f, "y"), -EAGAIN);
    CHECK_EQ(pipe_write_control(f->pipe, "y", 1), -EAGAIN);
    CHECK_EQ(pipe_put_subscription(f->pipe, "t", 1, true), 0);
    CHECK_STR(f->subs, "");
    list_remove(&f->pipe->dead_node);
    s->reactor.work = 0;
    reads(f, "x");
    CHECK(list_linked(&f->pipe->dead_node));
    CHECK(s->reactor.work & WORK_REAP);
    fake_end(s);
}

TEST(what_is_unwanted_goes_with_its_pipe_and_counts_as_dropped)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s), *g = fake_peer(s);
    arrives(f, "1");
    arrives(f, "2");
    pipe_disown(f->pipe, true);
    CHECK_EQ(f->pipe->drops, 0);
    fake_hangup(f);
    CHECK(!pipe_can_read(f->pipe));
    CHECK_EQ(f->pipe->drops, 2);
    arrives(g, "3");
    fake_hangup(g);
    CHECK(pipe_can_read(g->pipe));
    pipe_disown(g->pipe, true);
    CHECK(!pipe_can_read(g->pipe));
    CHECK_EQ(s->drops, 3);
    fake_end(s);
}

TEST(what_is_discarded_was_never_sent)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 100);
    struct fake *f = fake_peer(s);
    CHECK_EQ(writes(f, "1"), 0);
    CHECK_EQ(writes(f, "2"), 0);
    CHECK_STR(peer_hears(f), "1");
    CHECK(pipe_unsent(f->pipe));
    pipe_discard(f->pipe);
    CHECK_EQ(f->pipe->msgs_out, 1);
    CHECK_EQ(f->pipe->drops, 1);
    CHECK_EQ(used(&b), 0);
    CHECK(!pipe_unsent(f->pipe));
    f->pending = true; /* in the link */
    CHECK(pipe_unsent(f->pipe));
    end_in(&b, s);
}

TEST(a_pipe_leaves_its_counts_and_its_room_behind)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 100);
    struct fake *f = fake_peer(s);
    CHECK_EQ(writes(f, "12"), 0);
    arrives(f, "345");
    arrives(f, "6");
    f->pipe->bytes_in = 7;
    f->pipe->bytes_out = 8;
    CHECK_EQ(used(&b), 6);
    fake_gone(f);
    CHECK_EQ(used(&b), 0);
    CHECK_EQ(s->closed_totals.msgs_in, 2);
    CHECK_EQ(s->closed_totals.msgs_out, 1);
    CHECK_EQ(s->closed_totals.bytes_in, 7);
    CHECK_EQ(s->closed_totals.bytes_out, 8);
    CHECK_EQ(s->closed_totals.reconnects, 0);
    end_in(&b, s);
}

TEST(a_lost_connection_takes_half_a_message_with_it)
{
    struct budget b;
    struct pipe_set *s = socket_in(&b, 100);
    struct fake *f = fake_peer(s);
    arrives(f, "whole");
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, "half", 4), 0);
    m.flags = PART_MORE;
    CHECK_EQ(msgring_push(&f->pipe->in, &m), 0);
    f->pipe->in_bytes += 4;
    pipe_account(f->pipe);
    CHECK_EQ(used(&b), 9);
    fake_lose(f);
    CHECK_EQ(used(&b), 5);
    CHECK_EQ(f->pipe->in_bytes, 5);
    CHECK(!f->pipe->ready);
    CHECK_EQ(f->pipe->since, 0);
    reads(f, "whole");
    CHECK(!pipe_can_read(f->pipe));
    end_in(&b, s);
}

TEST(a_pipe_is_written_out_early_once_enough_is_queued)
{
    struct pipe_set *s = fake_socket(&notes);
    struct fake *f = fake_peer(s);
    static const uint8_t block[8192];
    f->link.flush_pending = true;
    for (unsigned i = 0; i < FLUSH_BYTES_MAX / sizeof(block) - 1; i++)
        CHECK_EQ(pipe_write_bytes(f->pipe, block, sizeof(block), NULL), 0);
    CHECK(!(s->reactor.work & WORK_FLUSH));
    f->link.writing = true;
    CHECK_EQ(pipe_write_bytes(f->pipe, block, sizeof(block), NULL), 0);
    CHECK(!(s->reactor.work & WORK_FLUSH));
    f->link.writing = false;
    f->link.blocked = true;
    CHECK_EQ(pipe_write_bytes(f->pipe, block, sizeof(block), NULL), 0);
    CHECK(!(s->reactor.work & WORK_FLUSH));
    f->link.blocked = false;
    CHECK_EQ(pipe_write_bytes(f->pipe, block, sizeof(block), NULL), 0);
    CHECK(s->reactor.work & WORK_FLUSH);
    fake_end(s);
}

/* ---- messages with another number of frames than the pattern's ---- */

/* Frames as a connection puts them: "a" "b+" "c": b is the beginning of a message. */
static void frames_arrive(struct fake *f, const char *text)
{
    struct pipe *p = f->pipe;
    uint32_t before = p->in.msgs;
    for (const char *at = text; *at; at += at[1] == '+' ? 2 : 1) {
        struct msg m;
        CHECK_EQ(msg_init_copy(&m, at, 1), 0);
        m.flags = at[1] == '+' ? PART_MORE : 0;
        CHECK_EQ(msgring_push(&p->in, &m), 0);
        if (p->counted)
            p->in_bytes++;
    }
    pipe_account(p);
    pipe_arrived(p, before);
}

static const char *all_read(struct fake *f)
{
    static char text[256];
    text[0] = 0;
    while (pipe_can_read(f->pipe)) {
        struct parts m;
        parts_init(&m);
        CHECK_EQ(pipe_read(f->pipe, &m), 0);
        for (uint32_t i = 0; i < m.len; i++)
            part_to_text(text, sizeof(text), &m.v[i], i + 1 < m.len);
        strcat(text, " ");
        parts_fini(&m);
    }
    return text;
}

static struct pattern_ops with_frames(uint8_t n)
{
    struct pattern_ops ops = notes;
    ops.frames = n;
    return ops;
}

TEST(only_messages_of_the_pattern_s_number_of_frames_are_kept)
{
    static const struct {
        uint8_t frames;
        const char *pieces[5]; /* what arrives at a time */
        const char *kept;
        unsigned drops;
    } cases[] = {
        {1, {"abc"}, "a b c ", 0},
        {1, {"a+b"}, "", 1},
        {1, {"a", "b+c", "d"}, "a d ", 1},
        {1, {"xa+b+cyd+ez"}, "x y z ", 2},
        {1, {"a+", "b+", "c", "d"}, "d ", 1},    /* in pieces */
        {1, {"a+", "bc+", "d+", "ef"}, "f ", 2}, /* the end of one, the beginning of the next */
        {2, {"a+bc+d"}, "a|b c|d ", 0},
        {2, {"a+", "bc+", "d"}, "a|b c|d ", 0},
        {2, {"a", "b+c", "d"}, "b|c ", 2},
        {2, {"a+b+", "c", "d+e"}, "d|e ", 1},
        {2, {"a+b+c+d+", "e+f", "g+", "h+", "i"}, "", 2},
        {2, {"a+bc+d+ef+", "g"}, "a|b f|g ", 1},
        {0, {"a+b+c", "d"}, "a|b|c d ", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pattern_ops ops = with_frames(cases[i].frames);
        struct pipe_set *s = fake_socket(&ops);
        s->opt.rcvhwm_bytes = 1000;
        struct fake *f = fake_peer(s);
        for (unsigned k = 0; k < 5 && cases[i].pieces[k]; k++)
            frames_arrive(f, cases[i].pieces[k]);
        CHECK_EQ(f->pipe->misfit, cases[i].drops > 0);
        CHECK_EQ(f->pipe->drops, cases[i].drops);
        CHECK_EQ(s->drops, cases[i].drops);
        CHECK_STR(all_read(f), cases[i].kept);
        CHECK_EQ(f->pipe->in.len, 0);
        CHECK_EQ(f->pipe->in_bytes, 0);
        fake_end(s);
    }
}

TEST(a_pipe_that_was_paused_by_messages_that_are_dropped_is_read_again)
{
    struct pattern_ops ops = with_frames(1);
    struct pipe_set *s = fake_socket(&ops);
    struct fake *f = fake_peer(s);
    f->pipe->in_hwm = 2;
    pipe_pause(f->pipe, true); /* as a connection does at the mark */
    frames_arrive(f, "a+bc+d");
    CHECK_EQ(f->resumed, 1);
    CHECK(!pipe_can_read(f->pipe));
    fake_end(s);
}

TEST(the_rest_of_a_dropped_message_is_not_awaited_after_a_loss)
{
    struct pattern_ops ops = with_frames(1);
    struct pipe_set *s = fake_socket(&ops);
    struct fake *f = fake_peer(s);
    frames_arrive(f, "a+");
    fake_lose(f);
    CHECK_EQ(fake_connect(f), 0);
    frames_arrive(f, "b");
    CHECK_STR(all_read(f), "b ");
    CHECK_EQ(f->pipe->drops, 1);
    fake_end(s);
}
