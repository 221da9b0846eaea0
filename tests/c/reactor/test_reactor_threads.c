/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor
/*
 * Several threads at one reactor: waking and being woken, who polls and who follows, mail from all
 * sides, the I/O thread, the resolver, and the queue of references to be dropped.
 */
#include "os/net.h"
#include "reactor/decref_queue.h"
#include "reactor/io_run.h"
#include "reactor/io_thread.h"
#include "reactor/poll.h"
#include "reactor/resolver.h"
#include "stand.h"

/* Until something is true that another thread makes true; the test's deadline is the limit. */
#define UNTIL(cond)                                                                                \
    while (!(cond))                                                                                \
    cpu_relax()

struct letter {
    struct cmd cmd;
    atomic_int ran;
    uintptr_t by; /* thread */
};

static void run(struct reactor *r, struct cmd *cmd)
{
    struct letter *l = LIST_ENTRY(cmd, struct letter, cmd);
    l->by = thread_self();
    atomic_fetch_add(&l->ran, 1);
    reactor_notify(r);
}

static void write_letter(struct letter *l)
{
    memset(l, 0, sizeof(*l));
    l->cmd.run = run;
}

/* ---- waiting and waking ---- */

struct waiter {
    struct thread thread;
    struct stand *stand;
    struct letter *for_mail;
    atomic_int returned; /* of reactor_wait */
    unsigned rounds;
    uintptr_t self;
};

static void wait_for_mail(void *arg)
{
    struct waiter *w = arg;
    struct reactor *r = &w->stand->r;
    w->self = thread_self();
    CHECK_EQ(reactor_enter(r), 0);
    while (!atomic_load(&w->for_mail->ran)) {
        int rc = reactor_wait(r, CLOCK_NEVER);
        CHECK(rc == 0 || rc == -EINTR); /* a follower looks up now and then */
        w->rounds++;
    }
    reactor_leave(r);
    atomic_store(&w->returned, 1);
}

TEST(a_thread_that_sleeps_in_the_poller_is_woken_by_mail)
{
    struct stand s;
    struct letter l;
    stand_begin(&s);
    write_letter(&l);
    struct waiter w = {.stand = &s, .for_mail = &l};
    CHECK_EQ(thread_start(&w.thread, wait_for_mail, &w, "waiter"), 0);
    UNTIL(atomic_load(&s.r.asleep));
    CHECK_EQ(atomic_load(&w.returned), 0);
    mailbox_post(&s.r, &l.cmd, false);
    thread_join(&w.thread);
    CHECK_EQ(atomic_load(&l.ran), 1);
    stand_end(&s);
}

TEST(of_several_waiters_one_polls_and_all_learn_of_a_change)
{
    struct stand s;
    struct letter l;
    stand_begin(&s);
    write_letter(&l);
    struct waiter w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (struct waiter){.stand = &s, .for_mail = &l};
        CHECK_EQ(thread_start(&w[i].thread, wait_for_mail, &w[i], "waiter"), 0);
    }
    for (bool all = false; !all;) {
        mutex_lock(&s.r.lock);
        all = s.r.polling && s.r.waiters == 3;
        mutex_unlock(&s.r.lock);
    }
    mailbox_post(&s.r, &l.cmd, false);
    for (int i = 0; i < 4; i++)
        thread_join(&w[i].thread);
    CHECK_EQ(atomic_load(&l.ran), 1);
    CHECK_EQ(s.r.waiters, 0);
    CHECK(!s.r.polling);
    stand_end(&s);
}

static void wait_for_the_end(void *arg)
{
    struct waiter *w = arg;
    struct reactor *r = &w->stand->r;
    CHECK_EQ(reactor_enter(r), 0);
    int rc;
    while ((rc = reactor_wait(r, CLOCK_NEVER)) == 0 || rc == -EINTR)
        ;
    reactor_leave(r);
    atomic_store(&w->returned, rc);
}

TEST(stopping_brings_out_the_one_that_polls_and_those_that_follow)
{
    struct stand s;
    stand_begin(&s);
    struct waiter w[3];
    for (int i = 0; i < 3; i++) {
        w[i] = (struct waiter){.stand = &s};
        CHECK_EQ(thread_start(&w[i].thread, wait_for_the_end, &w[i], "waiter"), 0);
    }
    for (bool all = false; !all;) {
        mutex_lock(&s.r.lock);
        all = s.r.polling && s.r.waiters == 2;
        mutex_unlock(&s.r.lock);
    }
    mutex_lock(&s.r.lock);
    reactor_stop(&s.r, FMQ_ETERM);
    reactor_leave(&s.r);
    for (int i = 0; i < 3; i++) {
        thread_join(&w[i].thread);
        CHECK_EQ(atomic_load(&w[i].returned), -FMQ_ETERM);
    }
    stand_end(&s);
}

TEST(a_timer_that_another_thread_sets_earlier_shortens_the_sleep)
{
    struct stand s;
    struct letter l;
    stand_begin(&s);
    write_letter(&l);
    struct waiter w = {.stand = &s, .for_mail = &l};
    CHECK_EQ(thread_start(&w.thread, wait_for_mail, &w, "waiter"), 0);
    UNTIL(atomic_load(&s.r.asleep));
    struct timer t;
    mutex_lock(&s.r.lock);
    timer_init(&t, NULL);
    timer_set(&s.r, &t, clock_now() + 3600 * NS_PER_S);
    reactor_leave(&s.r);
    UNTIL(atomic_load(&s.r.asleep)); /* it went to sleep anew, up to then */
    mutex_lock(&s.r.lock);
    timer_cancel(&s.r, &t);
    mutex_unlock(&s.r.lock);
    mailbox_post(&s.r, &l.cmd, false);
    thread_join(&w.thread);
    CHECK(w.rounds >= 2);
    stand_end(&s);
}

/* ---- mail from all sides ---- */

enum { POSTERS = 4, LETTERS = 500 };

struct poster {
    struct thread thread;
    struct stand *stand;
    struct letter letters[LETTERS];
};

static void post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < LETTERS; i++)
        mailbox_post(&p->stand->r, &p->letters[i].cmd, i % 7 == 0);
}

TEST(what_many_threads_post_at_once_is_run_once_each)
{
    static struct poster p[POSTERS];
    struct stand s;
    stand_begin(&s);
    for (int i = 0; i < POSTERS; i++) {
        p[i].stand = &s;
        for (int k = 0; k < LETTERS; k++)
            write_letter(&p[i].letters[k]);
        CHECK_EQ(thread_start(&p[i].thread, post_all, &p[i], "poster"), 0);
    }
    for (int ran = 0; ran < POSTERS * LETTERS;) {
        CHECK_EQ(reactor_enter(&s.r), 0);
        if (!reactor_has_mail(&s.r))
            reactor_wait(&s.r, clock_now() + NS_PER_MS);
        reactor_leave(&s.r);
        ran = 0;
        for (int i = 0; i < POSTERS; i++)
            for (int k = 0; k < LETTERS; k++)
                ran += atomic_load(&p[i].letters[k].ran);
    }
    for (int i = 0; i < POSTERS; i++) {
        thread_join(&p[i].thread);
        for (int k = 0; k < LETTERS; k++)
            CHECK_EQ(atomic_load(&p[i].letters[k].ran), 1);
    }
    stand_end(&s);
}

/* ---- the I/O thread ---- */

static struct io_thread *begin_io(void)
{
    struct io_thread *d;
    struct thread_policy policy = {.sched_policy = -1, .priority = -1};
    CHECK_EQ(io_thread_create(&d, "fmq/test", &policy), 0);
    return d;
}

static void join_io(struct stand *s, struct io_thread *d)
{
    mutex_lock(&s->r.lock);
    s->r.io_thread = d;
    CHECK_EQ(io_thread_add(d, &s->r), 0);
    CHECK_EQ(atomic_load(&s->r.refs), 2);
    mutex_unlock(&s->r.lock);
}

/* Waits until the thread has let go of it. */
static void leave_io(struct stand *s, struct io_thread *d)
{
    mutex_lock(&s->r.lock);
    s->r.finished = true;
    io_thread_remove(d, &s->r);
    mutex_unlock(&s->r.lock);
    UNTIL(atomic_load(&s->r.refs) == 1);
}

struct alarm {
    struct timer timer;
    atomic_int fired;
};

static void fire(struct timer *t, uint64_t now)
{
    (void)now;
    atomic_fetch_add(&LIST_ENTRY(t, struct alarm, timer)->fired, 1);
}

TEST(the_io_thread_runs_the_mail_and_the_timers_of_a_reactor_that_nobody_polls)
{
    struct stand s;
    struct letter l;
    struct alarm a = {.fired = 0};
    struct io_thread *d = begin_io();
    stand_begin(&s);
    join_io(&s, d);
    write_letter(&l);
    mailbox_post(&s.r, &l.cmd, true);
    UNTIL(atomic_load(&l.ran));
    timer_init(&a.timer, fire);
    mutex_lock(&s.r.lock);
    uint64_t due = clock_now() + 2 * NS_PER_MS;
    timer_set(&s.r, &a.timer, due);
    reactor_leave(&s.r);
    UNTIL(atomic_load(&a.fired));
    CHECK(clock_now() >= due);
    leave_io(&s, d);
    io_thread_destroy(d);
    stand_end(&s);
}

TEST(the_io_thread_flushes_all_that_waits_for_its_tick)
{
    struct stand s[2];
    struct io_thread *d = begin_io();
    for (int i = 0; i < 2; i++) {
        stand_begin(&s[i]);
        join_io(&s[i], d);
        io_thread_flush(d, &s[i].r, i == 0);
    }
    for (int i = 0; i < 2; i++)
        for (unsigned n = 0; n == 0;) {
            mutex_lock(&s[i].r.lock);
            n = s[i].flushes_of_all;
            mutex_unlock(&s[i].r.lock);
        }
    for (int i = 0; i < 2; i++)
        leave_io(&s[i], d);
    io_thread_destroy(d);
    for (int i = 0; i < 2; i++)
        stand_end(&s[i]);
}

TEST(the_io_thread_leaves_what_comes_to_the_caller_that_polls)
{
    struct stand s;
    struct letter first, last;
    struct io_thread *d = begin_io();
    stand_begin(&s);
    join_io(&s, d);
    write_letter(&first);
    write_letter(&last);
    struct waiter w = {.stand = &s, .for_mail = &last};
    CHECK_EQ(thread_start(&w.thread, wait_for_mail, &w, "waiter"), 0);
    UNTIL(atomic_load(&s.r.asleep));
    mailbox_post(&s.r, &first.cmd, true); /* the poller fires for both */
    UNTIL(atomic_load(&first.ran));
    mailbox_post(&s.r, &last.cmd, false);
    thread_join(&w.thread);
    CHECK(first.by == w.self);
    CHECK(last.by == w.self);
    leave_io(&s, d);
    io_thread_destroy(d);
    stand_end(&s);
}

/* ---- the resolver ---- */

static atomic_int resolved_count;

static void resolved(struct reactor *r, struct cmd *cmd)
{
    (void)r;
    (void)cmd;
    atomic_fetch_add(&resolved_count, 1);
}

TEST(a_name_is_looked_up_by_a_thread_of_its_own_and_its_answer_posted)
{
    struct stand s;
    struct resolver_slot slot = {.resolver = NULL};
    struct resolve_job job[2];
    stand_begin(&s);
    resolver_init(&slot);
    atomic_store(&resolved_count, 0);
    for (int i = 0; i < 2; i++) {
        job[i] = (struct resolve_job){.reactor = &s.r, .port = 5555, .done = {.run = resolved}};
        strcpy(job[i].host, i ? "not a name" : "127.0.0.1");
        list_init(&job[i].node);
        CHECK_EQ(resolver_submit(&slot, &job[i]), 0);
    }
    while (atomic_load(&resolved_count) < 2) {
        CHECK_EQ(reactor_enter(&s.r), 0);
        reactor_leave(&s.r);
        cpu_relax();
    }
    char text[64];
    CHECK_EQ(job[0].result, 1);
    net_addr_text(&job[0].out[0], text, sizeof(text));
    CHECK_STR(text, "127.0.0.1:5555");
    CHECK(job[1].result < 0);
    resolver_stop(&slot);
    resolver_fini(&slot);
    CHECK_EQ(atomic_load(&s.r.refs), 1);
    stand_end(&s);
}

/* ---- references to be dropped ---- */

enum { PUSHERS = 4, OBJECTS = 2000 };

struct pusher {
    struct thread thread;
    char objects[OBJECTS];
};

static struct pusher pushers[PUSHERS];

static void push_all(void *arg)
{
    struct pusher *p = arg;
    for (int i = 0; i < OBJECTS; i++)
        decref_queue_push(&p->objects[i]);
}

TEST(every_reference_that_is_queued_is_taken_out_once)
{
    for (int i = 0; i < PUSHERS; i++) {
        memset(pushers[i].objects, 0, OBJECTS);
        CHECK_EQ(thread_start(&pushers[i].thread, push_all, &pushers[i], "pusher"), 0);
    }
    void *out[97];
    for (int taken = 0; taken < PUSHERS * OBJECTS;) {
        CHECK(decref_queue_wait(-1));
        size_t n = decref_queue_take(out, 97);
        CHECK(n <= 97);
        for (size_t i = 0; i < n; i++)
            ++*(char *)out[i];
        taken += (int)n;
    }
    for (int i = 0; i < PUSHERS; i++) {
        thread_join(&pushers[i].thread);
        for (int k = 0; k < OBJECTS; k++)
            CHECK_EQ(pushers[i].objects[k], 1);
    }
    CHECK_EQ(decref_queue_count(), 0);
    CHECK(!decref_queue_wait(0));
    CHECK(!decref_queue_wait(1));
    CHECK_EQ(decref_queue_take(out, 97), 0);
}

TEST(the_host_is_asked_for_help_when_the_queue_has_grown_long)
{
    char objects[64];
    bool asked = false;
    for (int i = 0; i < 63; i++)
        asked |= decref_queue_push(&objects[i]);
    CHECK(!asked);
    CHECK(decref_queue_push(&objects[63]));
    CHECK_EQ(decref_queue_count(), 64);
    void *out[64];
    CHECK_EQ(decref_queue_take(out, 64), 64);
}
