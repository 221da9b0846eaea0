/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor
/*
 * A reactor alone, in one thread: timers, mail, entering and leaving, what is freed when, the
 * lease, the only connection, and what watchers see.
 */
#include <poll.h>

#include "reactor/notify.h"
#include "reactor/poll.h"
#include "stand.h"

static bool is_readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1;
}

/* ---- timers ---- */

struct alarm {
    struct timer timer;
    struct alarm *cancels;
    struct reactor *reactor;
    int number;
};

static int fired[16];
static int fired_count;

static void fire(struct timer *t, uint64_t now)
{
    (void)now;
    struct alarm *a = LIST_ENTRY(t, struct alarm, timer);
    fired[fired_count++] = a->number;
    if (a->cancels)
        timer_cancel(a->reactor, &a->cancels->timer);
}

static void make(struct alarm *a, struct stand *s, int number)
{
    *a = (struct alarm){.reactor = &s->r, .number = number};
    timer_init(&a->timer, fire);
    fired_count = 0;
}

TEST(timers_fire_in_the_order_of_their_deadlines_and_not_before)
{
    struct stand s;
    struct alarm a[3];
    stand_begin(&s);
    for (int i = 0; i < 3; i++)
        make(&a[i], &s, i);
    timer_set(&s.r, &a[0].timer, 300);
    timer_set(&s.r, &a[1].timer, 100);
    timer_set(&s.r, &a[2].timer, 200);
    CHECK_EQ(timers_next(&s.r), 100);
    timers_run(&s.r, 250);
    CHECK_EQ(fired_count, 2);
    CHECK_EQ(fired[0], 1);
    CHECK_EQ(fired[1], 2);
    CHECK_EQ(timers_next(&s.r), 300);
    timers_run(&s.r, 300);
    CHECK_EQ(fired_count, 3);
    CHECK(timers_next(&s.r) == CLOCK_NEVER);
    stand_end(&s);
}

TEST(a_timer_fires_once_at_the_time_it_was_set_to_last)
{
    struct stand s;
    struct alarm a;
    stand_begin(&s);
    make(&a, &s, 7);
    timer_set(&s.r, &a.timer, 100);
    timer_set(&s.r, &a.timer, 200);
    timers_run(&s.r, 150);
    CHECK_EQ(fired_count, 0);
    timers_run(&s.r, 200);
    timers_run(&s.r, 1000);
    CHECK_EQ(fired_count, 1);
    timer_set(&s.r, &a.timer, 300);
    timer_set(&s.r, &a.timer, CLOCK_NEVER);
    CHECK(timers_next(&s.r) == CLOCK_NEVER);
    timers_run(&s.r, UINT64_MAX - 1);
    CHECK_EQ(fired_count, 1);
    stand_end(&s);
}

TEST(a_timer_that_another_one_cancels_when_both_are_due_does_not_fire)
{
    struct stand s;
    struct alarm a[2];
    stand_begin(&s);
    for (int i = 0; i < 2; i++)
        make(&a[i], &s, i);
    a[0].cancels = &a[1];
    timer_set(&s.r, &a[0].timer, 100);
    timer_set(&s.r, &a[1].timer, 101);
    timers_run(&s.r, 500);
    CHECK_EQ(fired_count, 1);
    CHECK_EQ(fired[0], 0);
    stand_end(&s);
}

TEST(a_wait_runs_the_timers_that_come_due_in_it)
{
    struct stand s;
    struct alarm a;
    stand_begin(&s);
    make(&a, &s, 1);
    mutex_lock(&s.r.lock);
    uint64_t due = clock_now() + 2 * NS_PER_MS;
    timer_set(&s.r, &a.timer, due);
    while (!fired_count)
        CHECK_EQ(reactor_wait(&s.r, CLOCK_NEVER), 0);
    CHECK(clock_now() >= due);
    reactor_leave(&s.r);
    stand_end(&s);
}

TEST(a_wait_ends_at_its_deadline_and_not_before)
{
    struct stand s;
    stand_begin(&s);
    mutex_lock(&s.r.lock);
    uint64_t deadline = clock_now() + 3 * NS_PER_MS;
    int rc;
    while ((rc = reactor_wait(&s.r, deadline)) == 0)
        ;
    CHECK_EQ(rc, -EAGAIN);
    CHECK(clock_now() >= deadline);
    CHECK(!s.r.polling);
    mutex_unlock(&s.r.lock);
    stand_end(&s);
}

/* ---- mail ---- */

struct letter {
    struct cmd cmd;
    int number;
    struct letter *posts; /* when it is run */
};

static int ran[16];
static int ran_count;

static void run(struct reactor *r, struct cmd *cmd)
{
    struct letter *l = LIST_ENTRY(cmd, struct letter, cmd);
    ran[ran_count++] = l->number;
    if (l->posts)
        mailbox_post(r, &l->posts->cmd, false);
}

static void write_letter(struct letter *l, int number)
{
    memset(l, 0, sizeof(*l));
    l->cmd.run = run;
    l->number = number;
    ran_count = 0;
}

TEST(commands_run_once_in_the_order_of_posting_when_the_reactor_is_entered)
{
    struct stand s;
    struct letter l[3];
    stand_begin(&s);
    for (int i = 0; i < 3; i++)
        write_letter(&l[i], i);
    for (int i = 0; i < 3; i++)
        mailbox_post(&s.r, &l[i].cmd, false);
    mailbox_post(&s.r, &l[0].cmd, false); /* it waits already */
    CHECK_EQ(ran_count, 0);
    CHECK_EQ(reactor_enter(&s.r), 0);
    CHECK_EQ(ran_count, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(ran[i], i);
    reactor_leave(&s.r);
    mailbox_post(&s.r, &l[0].cmd, false); /* and may be posted again once it has run */
    CHECK_EQ(reactor_try_enter(&s.r), 0);
    CHECK_EQ(ran_count, 4);
    reactor_leave(&s.r);
    stand_end(&s);
}

TEST(a_command_may_post_another_and_itself)
{
    struct stand s;
    struct letter l[2];
    stand_begin(&s);
    write_letter(&l[0], 0);
    write_letter(&l[1], 1);
    l[0].posts = &l[1];
    l[1].posts = &l[1];
    mailbox_post(&s.r, &l[0].cmd, false);
    mutex_lock(&s.r.lock);
    mailbox_run(&s.r);
    CHECK_EQ(ran_count, 1);
    mailbox_run(&s.r);
    CHECK_EQ(ran_count, 2);
    l[1].posts = NULL;
    mailbox_run(&s.r);
    CHECK_EQ(ran_count, 3);
    mailbox_run(&s.r);
    CHECK_EQ(ran_count, 3);
    mutex_unlock(&s.r.lock);
    stand_end(&s);
}

TEST(mail_that_came_before_the_last_reference_went_is_run_all_the_same)
{
    struct stand s;
    struct letter l;
    stand_begin(&s);
    write_letter(&l, 5);
    mailbox_post(&s.r, &l.cmd, true);
    stand_end(&s);
    CHECK_EQ(ran_count, 1);
}

TEST(urgent_mail_shows_in_the_poller_though_nobody_sleeps_in_it)
{
    struct stand s;
    struct letter l[2];
    stand_begin(&s);
    write_letter(&l[0], 0);
    write_letter(&l[1], 1);
    mailbox_post(&s.r, &l[0].cmd, false);
    CHECK(!is_readable(s.r.wake.rfd));
    mailbox_post(&s.r, &l[1].cmd, true);
    CHECK(is_readable(s.r.wake.rfd));
    mutex_lock(&s.r.lock);
    CHECK_EQ(reactor_wait(&s.r, CLOCK_NEVER), 0);
    CHECK_EQ(ran_count, 2);
    reactor_poll_once(&s.r, false);
    CHECK(!is_readable(s.r.wake.rfd));
    reactor_leave(&s.r);
    stand_end(&s);
}

/* ---- entering and leaving ---- */

TEST(a_stopped_reactor_answers_its_code_and_keeps_no_lock)
{
    struct stand s;
    stand_begin(&s);
    CHECK_EQ(reactor_enter(&s.r), 0);
    reactor_stop(&s.r, ENOTSOCK);
    CHECK_EQ(reactor_wait(&s.r, CLOCK_NEVER), -ENOTSOCK);
    reactor_leave(&s.r);
    CHECK_EQ(reactor_enter(&s.r), -ENOTSOCK);
    CHECK(mutex_try(&s.r.lock));
    mutex_unlock(&s.r.lock);
    stand_end(&s);
}

TEST(entering_without_waiting_is_refused_while_another_has_the_lock)
{
    struct stand s;
    stand_begin(&s);
    CHECK_EQ(reactor_enter(&s.r), 0);
    CHECK_EQ(reactor_try_enter(&s.r), -EBUSY);
    reactor_leave(&s.r);
    CHECK_EQ(reactor_try_enter(&s.r), 0);
    reactor_leave(&s.r);
    stand_end(&s);
}

TEST(leaving_asks_for_the_work_that_is_due_and_no_other)
{
    struct stand s;
    stand_begin(&s);
    mutex_lock(&s.r.lock);
    reactor_leave(&s.r);
    CHECK_EQ(s.flushes + s.reaps + s.finishes, 0);
    mutex_lock(&s.r.lock);
    s.r.work |= WORK_FLUSH;
    reactor_leave(&s.r);
    CHECK_EQ(s.flushes, 1);
    CHECK_EQ(s.flushes_of_all, 0);
    CHECK_EQ(s.reaps, 0);
    mutex_lock(&s.r.lock);
    s.r.work |= WORK_FLUSH | WORK_REAP;
    reactor_leave_slow(&s.r, true);
    CHECK_EQ(s.flushes_of_all, 1);
    CHECK_EQ(s.reaps, 1);
    CHECK_EQ(s.r.work, 0);
    stand_end(&s);
}

TEST(a_closed_reactor_is_finished_when_it_may_be_and_then_released)
{
    struct stand s;
    stand_begin(&s);
    mutex_lock(&s.r.lock);
    s.r.closed = true;
    s.r.work |= WORK_CLOSE;
    reactor_leave(&s.r);
    CHECK(s.finishes > 0);
    CHECK_EQ(s.released, 0);
    reactor_ref(&s.r); /* as a peer in inproc has one */
    s.may_finish = true;
    mutex_lock(&s.r.lock);
    s.r.work |= WORK_CLOSE;
    reactor_leave(&s.r);
    CHECK_EQ(s.released, 0);
    CHECK(s.r.poller != NULL);
    reactor_unref(&s.r);
    CHECK_EQ(s.released, 1);
    CHECK(s.r.poller == NULL);
    reactor_fini(&s.r);
}

TEST(a_reactor_whose_descriptors_are_gone_answers_that_it_is_broken)
{
    struct stand s;
    stand_begin(&s);
    reactor_break(&s.r);
    reactor_break(&s.r);
    CHECK_EQ(reactor_enter(&s.r), -FMQ_EBROKEN);
    stand_end(&s);
}

/* ---- descriptors ---- */

struct thing {
    struct io io;
    struct stand *stand;
    struct thing *kills;
    int ready, freed;
};

static void thing_ready(struct io *io, uint32_t events)
{
    struct thing *t = LIST_ENTRY(io, struct thing, io);
    t->ready++;
    CHECK(events & POLLER_IN);
    if (t->kills)
        io_free_later(&t->stand->r, &t->kills->io);
}

static void thing_free(struct io *io)
{
    LIST_ENTRY(io, struct thing, io)->freed++;
}

static void begin_thing(struct thing *t, struct stand *s, int fd)
{
    *t = (struct thing){.stand = s, .io = {.ready = thing_ready, .free = thing_free, .fd = fd}};
    list_init(&t->io.deferred);
    CHECK_EQ(io_watch(&s->r, &t->io, POLLER_IN), 0);
}

TEST(what_ends_is_freed_when_no_thread_polls_and_not_before)
{
    struct stand s;
    struct thing t;
    int fd[2];
    stand_begin(&s);
    CHECK_EQ(pipe(fd), 0);
    mutex_lock(&s.r.lock);
    begin_thing(&t, &s, fd[0]);
    s.r.polling = true;
    io_free_later(&s.r, &t.io);
    reactor_leave(&s.r);
    CHECK(s.reaps > 0);
    CHECK_EQ(t.freed, 0);
    CHECK_EQ(t.io.interest, 0);
    mutex_lock(&s.r.lock);
    s.r.polling = false;
    s.r.work |= WORK_REAP;
    reactor_leave(&s.r);
    CHECK_EQ(t.freed, 1);
    close(fd[0]);
    close(fd[1]);
    stand_end(&s);
}

TEST(an_event_that_was_fetched_for_what_has_ended_since_reaches_nobody)
{
    struct stand s;
    struct thing t[2];
    int fd[2][2];
    stand_begin(&s);
    mutex_lock(&s.r.lock);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pipe(fd[i]), 0);
        CHECK_EQ(write(fd[i][1], "x", 1), 1);
        begin_thing(&t[i], &s, fd[i][0]);
        t[i].kills = &t[!i]; /* whichever comes first */
    }
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t[0].ready + t[1].ready, 1);
    reactor_leave(&s.r);
    CHECK_EQ(t[0].freed + t[1].freed, 1);
    CHECK_EQ(t[0].freed, t[1].ready);
    for (int i = 0; i < 2; i++) {
        if (!t[i].freed)
            CHECK_EQ(io_watch(&s.r, &t[i].io, 0), 0);
        close(fd[i][0]);
        close(fd[i][1]);
    }
    stand_end(&s);
}

TEST(a_poller_is_made_with_the_second_descriptor_and_a_wake_up_with_the_first_sleep)
{
    struct stand s;
    struct thing t[2];
    int one[2], two[2];
    stand_begin_bare(&s);
    CHECK_EQ(pipe(one), 0);
    CHECK_EQ(pipe(two), 0);
    mutex_lock(&s.r.lock);
    reactor_poll_once(&s.r, false);
    CHECK(!s.r.poller && s.r.wake.rfd < 0);
    begin_thing(&t[0], &s, one[0]);
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t[0].ready, 0);
    CHECK_EQ(write(one[1], "x", 1), 1);
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t[0].ready, 1);
    CHECK(!s.r.poller && s.r.wake.rfd < 0);
    s.r.lone = true; /* as a connection is */
    CHECK_EQ(reactor_wait(&s.r, clock_now() + NS_PER_S), 0);
    CHECK_EQ(t[0].ready, 2);
    CHECK(!s.r.poller && s.r.wake.rfd >= 0);
    s.r.lone = false;
    begin_thing(&t[1], &s, two[0]);
    CHECK(s.r.poller != NULL);
    CHECK_EQ(write(two[1], "x", 1), 1);
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t[0].ready, 3);
    CHECK_EQ(t[1].ready, 1);
    CHECK_EQ(io_watch(&s.r, &t[0].io, 0), 0);
    CHECK_EQ(io_watch(&s.r, &t[1].io, 0), 0);
    reactor_leave(&s.r);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
    stand_end(&s);
}

TEST(what_is_posted_to_a_sleeper_wakes_it_without_a_poller)
{
    struct stand s;
    struct letter l;
    stand_begin_bare(&s);
    write_letter(&l, 0);
    mutex_lock(&s.r.lock);
    CHECK_EQ(io_need_wake(&s.r), 0);
    mutex_unlock(&s.r.lock);
    atomic_store(&s.r.asleep, true);
    mailbox_post(&s.r, &l.cmd, false);
    CHECK(is_readable(s.r.wake.rfd));
    mutex_lock(&s.r.lock);
    reactor_poll_once(&s.r, false);
    CHECK(!is_readable(s.r.wake.rfd));
    reactor_leave(&s.r);
    stand_end(&s);
}

TEST(a_descriptor_is_watched_for_what_was_asked_last)
{
    struct stand s;
    struct thing t;
    int fd[2];
    stand_begin(&s);
    CHECK_EQ(pipe(fd), 0);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    mutex_lock(&s.r.lock);
    begin_thing(&t, &s, fd[0]);
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t.ready, 1);
    CHECK_EQ(io_watch(&s.r, &t.io, 0), 0);
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t.ready, 1);
    CHECK_EQ(io_watch(&s.r, &t.io, POLLER_IN), 0);
    reactor_poll_once(&s.r, false);
    CHECK_EQ(t.ready, 2);
    t.io.fd = -1; /* nothing changes where the poller refuses */
    CHECK(io_watch(&s.r, &t.io, POLLER_OUT) < 0);
    CHECK_EQ(t.io.interest, POLLER_IN);
    t.io.fd = fd[0];
    CHECK_EQ(io_watch(&s.r, &t.io, 0), 0);
    reactor_leave(&s.r);
    close(fd[0]);
    close(fd[1]);
    stand_end(&s);
}

/* ---- the lease, and the only connection ---- */

/* A look of a caller that came the last time so long ago. */
static void look_after(struct stand *s, uint64_t pause)
{
    mutex_lock(&s->r.lock);
    s->r.last_use = clock_now() - pause;
    CHECK_EQ(reactor_wait(&s->r, 0), -EAGAIN);
    reactor_leave(&s->r);
}

TEST(the_lease_of_a_caller_that_goes_away_halves_down_to_the_least)
{
    struct stand s;
    stand_begin(&s);
    s.r.lease = 16 * NS_PER_MS;
    for (uint64_t want = 8; want >= 2; want /= 2) {
        look_after(&s, NS_PER_S);
        CHECK_EQ(s.r.lease, want * NS_PER_MS);
    }
    look_after(&s, NS_PER_S);
    CHECK_EQ(s.r.lease, 2 * NS_PER_MS);
    CHECK(clock_now() - s.r.last_use < NS_PER_S);
    stand_end(&s);
}

TEST(the_lease_follows_the_pace_of_a_caller_that_comes_back)
{
    struct stand s;
    stand_begin(&s);
    for (;;) {
        uint64_t before = clock_now();
        look_after(&s, 2 * NS_PER_MS);
        if (clock_now() - before > NS_PER_MS) /* was not let run */
            continue;
        CHECK(s.r.lease >= 8 * NS_PER_MS && s.r.lease <= 12 * NS_PER_MS);
        break;
    }
    stand_end(&s);
}

TEST(after_eight_looks_at_the_only_connection_the_poller_is_asked)
{
    struct stand s;
    struct thing t;
    int fd[2];
    stand_begin(&s);
    CHECK_EQ(pipe(fd), 0);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    mutex_lock(&s.r.lock);
    begin_thing(&t, &s, fd[0]);
    s.r.conn_count = 1;
    s.r.lone = true;
    s.r.lone_readable = s.lone_has = true;
    for (unsigned i = 1; i <= 8; i++) {
        s.r.last_poll = clock_now();
        reactor_wait(&s.r, 0);
        CHECK_EQ(s.lone_reads, i);
        CHECK_EQ(t.ready, 0);
    }
    s.r.last_poll = clock_now();
    reactor_wait(&s.r, 0);
    CHECK_EQ(s.lone_reads, 8);
    CHECK_EQ(t.ready, 1);
    CHECK_EQ(s.r.lone_looks, 0);
    /* What is known to be due is not kept waiting for that. */
    struct alarm a;
    make(&a, &s, 1);
    timer_set(&s.r, &a.timer, 1);
    reactor_wait(&s.r, 0);
    CHECK_EQ(fired_count, 1);
    CHECK_EQ(s.lone_reads, 8);
    CHECK_EQ(io_watch(&s.r, &t.io, 0), 0);
    reactor_leave(&s.r);
    close(fd[0]);
    close(fd[1]);
    stand_end(&s);
}

/* ---- watchers ---- */

static void set_ready(struct stand *s, int events)
{
    mutex_lock(&s->r.lock);
    atomic_store(&s->ready, events);
    reactor_notify(&s->r);
    reactor_leave(&s->r);
}

TEST(the_exported_descriptor_shows_what_can_be_received_while_it_lasts)
{
    struct stand s;
    int fd;
    stand_begin(&s);
    mutex_lock(&s.r.lock);
    CHECK_EQ(notify_export_fd(&s.r, &fd), 0);
    notify_reported(&s.r, FMQ_POLLOUT);
    reactor_leave(&s.r);
    CHECK(!is_readable(fd));
    set_ready(&s, FMQ_POLLIN);
    CHECK(is_readable(fd));
    CHECK(is_readable(fd));
    set_ready(&s, 0);
    CHECK(!is_readable(fd));
    stand_end(&s);
}

TEST(room_to_send_is_shown_to_those_alone_who_were_told_there_was_none)
{
    struct stand s;
    int fd;
    stand_begin(&s);
    mutex_lock(&s.r.lock);
    CHECK_EQ(notify_export_fd(&s.r, &fd), 0);
    notify_reported(&s.r, FMQ_POLLOUT);
    reactor_leave(&s.r);
    set_ready(&s, FMQ_POLLOUT);
    CHECK(!is_readable(fd));
    mutex_lock(&s.r.lock);
    notify_refused(&s.r, true);
    reactor_leave(&s.r);
    CHECK(is_readable(fd));
    mutex_lock(&s.r.lock);
    notify_refused(&s.r, false); /* it saw that */
    reactor_leave(&s.r);
    CHECK(!is_readable(fd));
    stand_end(&s);
}

TEST(a_watched_socket_shows_the_events_that_are_wanted_and_is_held_meanwhile)
{
    struct stand s;
    int fd = -1;
    stand_begin(&s);
    fmq_socket *h = stand_handle(&s);
    CHECK_EQ(fmq_watch(h, FMQ_POLLIN, &fd), 0);
    CHECK_EQ(atomic_load(&s.r.refs), 2);
    set_ready(&s, FMQ_POLLOUT);
    CHECK(!is_readable(fd));
    set_ready(&s, FMQ_POLLOUT | FMQ_POLLIN);
    CHECK(is_readable(fd));
    CHECK_EQ(fmq_watch(h, FMQ_POLLOUT, &fd), 0);
    set_ready(&s, FMQ_POLLIN);
    CHECK(!is_readable(fd));
    set_ready(&s, FMQ_POLLOUT);
    CHECK(is_readable(fd));
    CHECK_EQ(fmq_watch(h, 0, &fd), 0);
    CHECK_EQ(atomic_load(&s.r.refs), 1);
    CHECK_EQ(atomic_load(&s.r.watchers), 0);
    stand_end(&s);
}

TEST(one_adapter_reports_each_socket_that_has_mail_or_is_ready)
{
    struct stand s[3];
    struct letter l;
    fmq_loop *h;
    CHECK_EQ(fmq_loop_new(&h), 0);
    for (int i = 0; i < 3; i++) {
        stand_begin(&s[i]);
        CHECK_EQ(fmq_loop_watch(h, stand_handle(&s[i]), FMQ_POLLIN, &s[i]), 0);
    }
    void *ready[8];
    CHECK_EQ(fmq_loop_wait(h, ready, 8), 0);
    CHECK(!is_readable(fmq_loop_fd(h)));
    write_letter(&l, 1);
    mailbox_post(&s[2].r, &l.cmd, false);
    CHECK(is_readable(fmq_loop_fd(h)));
    CHECK_EQ(fmq_loop_wait(h, ready, 8), 1);
    CHECK(ready[0] == &s[2]);
    CHECK_EQ(fmq_watch_came(stand_handle(&s[2])), 0);
    CHECK_EQ(fmq_loop_wait(h, ready, 8), 0);
    set_ready(&s[0], FMQ_POLLIN);
    set_ready(&s[1], FMQ_POLLOUT); /* not waited for */
    CHECK_EQ(fmq_loop_wait(h, ready, 8), 1);
    CHECK(ready[0] == &s[0]);
    fmq_loop *other;
    CHECK_EQ(fmq_loop_new(&other), 0);
    CHECK_EQ(fmq_loop_watch(other, stand_handle(&s[0]), FMQ_POLLIN, NULL), -EBUSY);
    fmq_loop_free(other);
    CHECK_EQ(atomic_load(&s[0].r.refs), 2);
    fmq_loop_free(h);       /* all leave */
    CHECK_EQ(ran_count, 1); /* the letter, at the latest as its socket left */
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(atomic_load(&s[i].r.refs), 1);
        stand_end(&s[i]);
    }
}
