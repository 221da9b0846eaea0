/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "os/clock.h"
#include "os/net.h"
#include "os/poller.h"
#include "os/thread.h"
#include "os/wakeup.h"

struct shared {
    struct mutex lock;
    struct cond cond;
    long counter;
    int turn;
    sigset_t mask;
    uintptr_t id;
};

static void shared_init(struct shared *s)
{
    memset(s, 0, sizeof(*s));
    mutex_init(&s->lock);
    cond_init(&s->cond);
}

static void shared_fini(struct shared *s)
{
    cond_fini(&s->cond);
    mutex_fini(&s->lock);
}

static void count(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 10000; i++) {
        mutex_lock(&s->lock);
        s->counter++;
        mutex_unlock(&s->lock);
    }
}

TEST(a_mutex_keeps_threads_apart)
{
    struct shared s;
    struct thread t[4];
    shared_init(&s);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(thread_start(&t[i], count, &s, "count"), 0);
    for (int i = 0; i < 4; i++)
        thread_join(&t[i]);
    CHECK_EQ(s.counter, 40000);
    shared_fini(&s);
}

static void try_it(void *arg)
{
    struct shared *s = arg;
    s->turn = mutex_try(&s->lock);
}

TEST(a_held_mutex_cannot_be_tried)
{
    struct shared s;
    struct thread t;
    shared_init(&s);
    mutex_lock(&s.lock);
    CHECK_EQ(thread_start(&t, try_it, &s, NULL), 0);
    thread_join(&t);
    CHECK_EQ(s.turn, 0);
    mutex_unlock(&s.lock);
    CHECK(mutex_try(&s.lock));
    mutex_unlock(&s.lock);
    shared_fini(&s);
}

static void answer(void *arg)
{
    struct shared *s = arg;
    for (int i = 1; i < 2000; i += 2) {
        mutex_lock(&s->lock);
        while (s->turn != i)
            cond_wait(&s->cond, &s->lock, -1);
        s->turn++;
        cond_signal(&s->cond);
        mutex_unlock(&s->lock);
    }
}

TEST(a_cond_passes_turns)
{
    struct shared s;
    struct thread t;
    shared_init(&s);
    CHECK_EQ(thread_start(&t, answer, &s, "answer"), 0);
    for (int i = 0; i < 2000; i += 2) {
        mutex_lock(&s.lock);
        while (s.turn != i)
            CHECK(cond_wait(&s.cond, &s.lock, 20 * (int64_t)NS_PER_S));
        s.turn++;
        cond_signal(&s.cond);
        mutex_unlock(&s.lock);
    }
    thread_join(&t);
    CHECK_EQ(s.turn, 2000);
    shared_fini(&s);
}

TEST(a_timed_wait_lasts_its_timeout)
{
    static const int64_t timeouts[] = {0, 300 * 1000, 3 * (int64_t)NS_PER_MS};
    struct shared s;
    shared_init(&s);
    mutex_lock(&s.lock);
    for (int i = 0; i < 3; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        while (cond_wait(&s.cond, &s.lock, timeouts[i]))
            clock_gettime(CLOCK_MONOTONIC, &a); /* spurious: starts anew */
        clock_gettime(CLOCK_MONOTONIC, &b);
        CHECK((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= timeouts[i]);
    }
    mutex_unlock(&s.lock);
    shared_fini(&s);
}

static void wait_for_broadcast(void *arg)
{
    struct shared *s = arg;
    mutex_lock(&s->lock);
    s->counter++;
    while (!s->turn)
        cond_wait(&s->cond, &s->lock, -1);
    mutex_unlock(&s->lock);
}

TEST(a_broadcast_wakes_all)
{
    struct shared s;
    struct thread t[3];
    shared_init(&s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_start(&t[i], wait_for_broadcast, &s, "wait"), 0);
    for (;;) {
        mutex_lock(&s.lock);
        bool all = s.counter == 3;
        s.turn = all;
        if (all)
            cond_broadcast(&s.cond);
        mutex_unlock(&s.lock);
        if (all)
            break;
        sched_yield();
    }
    for (int i = 0; i < 3; i++)
        thread_join(&t[i]);
    shared_fini(&s);
}

static void tell(void *arg)
{
    struct shared *s = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    s->id = thread_self();
}

TEST(a_thread_leaves_signals_to_the_program)
{
    struct shared s;
    struct thread t;
    shared_init(&s);
    CHECK_EQ(thread_start(&t, tell, &s, "a name longer than any system takes it"), 0);
    thread_join(&t);
    CHECK(sigismember(&s.mask, SIGINT));
    CHECK(sigismember(&s.mask, SIGTERM));
    CHECK(sigismember(&s.mask, SIGCHLD));
    CHECK(sigismember(&s.mask, SIGUSR1));
    CHECK(!sigismember(&s.mask, SIGSEGV));
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    CHECK(!sigismember(&mine, SIGINT));
    CHECK(s.id != 0);
    CHECK(s.id != thread_self());
    CHECK(thread_self() == thread_self());
    shared_fini(&s);
}

static void apply(void *arg)
{
    static const unsigned cpus[] = {0, 100000};
    struct thread_policy policy = {
        .sched_policy = SCHED_FIFO, .priority = 1, .cpus = cpus, .cpu_count = 2};
    (void)arg;
    thread_apply_policy(&policy);
    policy = (struct thread_policy){.sched_policy = -1, .priority = -1};
    thread_apply_policy(&policy);
}

TEST(a_policy_that_cannot_be_had_is_ignored)
{
    struct thread t;
    CHECK_EQ(thread_start(&t, apply, NULL, "policy"), 0);
    thread_join(&t);
}

TEST(without_memory_no_thread_starts)
{
    struct thread t;
    mem_fail_at(1);
    int result = thread_start(&t, apply, NULL, "none");
    mem_fail_at(0);
    if (result == 0)
        thread_join(&t); /* a build without the hook */
    else
        CHECK_EQ(result, -ENOMEM);
}

static void open_and_close(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        struct wakeup w;
        CHECK_EQ(wakeup_init(&w), 0);
        int fd = net_socket(AF_UNIX, SOCK_STREAM);
        CHECK(fd >= 0);
        wakeup_fini(&w);
        net_close(fd);
    }
}

TEST(the_registry_counts_right_under_concurrency)
{
    struct thread t[4];
    long before = net_fd_count();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(thread_start(&t[i], open_and_close, NULL, "open"), 0);
    for (int i = 0; i < 4; i++)
        thread_join(&t[i]);
    CHECK_EQ(net_fd_count(), before);
}

/* One poller, a thread that waits, others that make work: each byte is seen. */
struct relay {
    struct poller *root, *child;
    int fds[2];
    atomic_int left;
};

static void relay_wait(void *arg)
{
    struct relay *r = arg;
    while (atomic_load(&r->left)) {
        struct poller_event ev;
        int n = poller_wait(r->root, &ev, 1, 20 * (int64_t)NS_PER_S);
        CHECK_EQ(n, 1);
        char c[16];
        ssize_t got = net_recv(r->fds[0], c, sizeof(c));
        if (got > 0)
            atomic_fetch_sub(&r->left, (int)got);
        CHECK_EQ(poller_mod_child(r->root, r->child, POLLER_IN | POLLER_ONESHOT, r), 0);
    }
}

TEST(nested_pollers_lose_no_wake_up)
{
    struct relay r;
    struct thread t;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, r.fds), 0);
    CHECK_EQ(poller_create(&r.root), 0);
    CHECK_EQ(poller_create(&r.child), 0);
    CHECK_EQ(poller_add_child(r.root, r.child, POLLER_IN | POLLER_ONESHOT, &r), 0);
    CHECK_EQ(poller_add(r.child, r.fds[0], POLLER_IN, NULL), 0);
    atomic_store(&r.left, 3000);
    CHECK_EQ(thread_start(&t, relay_wait, &r, "relay"), 0);
    for (int i = 0; i < 3000; i++) {
        while (net_send(r.fds[1], "x", 1) != 1)
            sched_yield();
        if (i % 7 == 0) {
            CHECK_EQ(poller_mod(r.child, r.fds[0], 0, NULL), 0);
            CHECK_EQ(poller_mod(r.child, r.fds[0], POLLER_IN, NULL), 0);
        }
    }
    thread_join(&t);
    poller_destroy(r.child);
    poller_destroy(r.root);
    close(r.fds[0]);
    close(r.fds[1]);
}
