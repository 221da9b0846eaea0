/* SPDX-License-Identifier: MIT */
// needs: base os
/* Every claim is checked with every backend that this system has. */
#include "check.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "os/clock.h"
#include "os/net.h"
#include "os/poller.h"
#include "os/poller_ops.h"
#include "os/thread.h"
#include "os/wakeup.h"

#define FOREVER ((int64_t)-1)
#define MS ((int64_t)NS_PER_MS)

static const struct poller_ops *const backends[] = {
#ifdef POLLER_HAVE_EPOLL
    &poller_epoll,
#endif
#ifdef POLLER_HAVE_KQUEUE
    &poller_kqueue,
#endif
    &poller_poll,
};
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

static const struct poller_ops *backend;

static struct poller *new_poller(void)
{
    struct poller *p = NULL;
    CHECK_EQ(backend->create(&p), 0);
    CHECK(p->ops == backend);
    return p;
}

static void new_pair(int fds[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

static void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void put_byte(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}

static void take_byte(int fd)
{
    char c;
    CHECK_EQ(read(fd, &c, 1), 1);
}

/* The claim, for `backend`. */
#define EACH_BACKEND(test_name)                                                                    \
    static void each_##test_name(void);                                                            \
    TEST(test_name)                                                                                \
    {                                                                                              \
        for (size_t i = 0; i < BACKENDS; i++) {                                                    \
            backend = backends[i];                                                                 \
            each_##test_name();                                                                    \
        }                                                                                          \
    }                                                                                              \
    static void each_##test_name(void)

/* Looks without waiting; the events of the only thing ready, 0 if there is none. */
static uint32_t look(struct poller *p, void **data)
{
    struct poller_event ev[4];
    int n = poller_wait(p, ev, 4, 0);
    CHECK(n >= 0 && n <= 1);
    if (data)
        *data = n ? ev[0].data : NULL;
    return n ? ev[0].events : 0;
}

EACH_BACKEND(readable_is_reported_until_read)
{
    struct poller *p = new_poller();
    int fds[2], tag;
    void *data;
    new_pair(fds);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, &tag), 0);
    CHECK_EQ(look(p, NULL), 0);
    put_byte(fds[1]);
    CHECK_EQ(look(p, &data), POLLER_IN);
    CHECK(data == &tag);
    CHECK_EQ(look(p, NULL), POLLER_IN);
    take_byte(fds[0]);
    CHECK_EQ(look(p, NULL), 0);
    CHECK_EQ(poller_del(p, fds[0]), 0);
    put_byte(fds[1]);
    CHECK_EQ(look(p, NULL), 0);
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(mod_changes_interest_and_data)
{
    struct poller *p = new_poller();
    int fds[2], a, b;
    void *data;
    new_pair(fds);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, &a), 0);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_IN | POLLER_OUT, &b), 0);
    CHECK_EQ(look(p, &data), POLLER_OUT);
    CHECK(data == &b);
    put_byte(fds[1]);
    CHECK_EQ(look(p, NULL), POLLER_IN | POLLER_OUT);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_IN, &a), 0);
    CHECK_EQ(look(p, &data), POLLER_IN);
    CHECK(data == &a);
    CHECK_EQ(poller_mod(p, fds[0], 0, &a), 0);
    CHECK_EQ(look(p, NULL), 0);
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(misuse_is_an_error)
{
    struct poller *p = new_poller();
    struct poller *child = new_poller();
    int fds[2];
    new_pair(fds);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_IN, NULL), -ENOENT);
    CHECK_EQ(poller_del(p, fds[0]), -ENOENT);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, NULL), 0);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, NULL), -EEXIST);
    CHECK_EQ(poller_add(p, -1, POLLER_IN, NULL), -EBADF);
    CHECK_EQ(poller_mod_child(p, child, POLLER_IN, NULL), -ENOENT);
    CHECK_EQ(poller_del_child(p, child), -ENOENT);
    CHECK_EQ(poller_add_child(p, child, POLLER_IN, NULL), 0);
    CHECK_EQ(poller_add_child(p, child, POLLER_IN, NULL), -EEXIST);
    if (strcmp(backend->name, "kqueue") != 0) /* which does not look */
        CHECK_EQ(poller_add_child(child, p, POLLER_IN, NULL), -ELOOP);
    poller_destroy(child);
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(a_regular_file_is_refused)
{
    struct poller *p = new_poller();
    FILE *file = tmpfile();
    CHECK(file);
    CHECK_EQ(poller_add(p, fileno(file), POLLER_IN, NULL), -EPERM);
    fclose(file);
    poller_destroy(p);
}

EACH_BACKEND(oneshot_reports_once_for_each_mod)
{
    struct poller *p = new_poller();
    int fds[2];
    new_pair(fds);
    put_byte(fds[1]);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN | POLLER_OUT | POLLER_ONESHOT, NULL), 0);
    CHECK_EQ(look(p, NULL), POLLER_IN | POLLER_OUT);
    CHECK_EQ(look(p, NULL), 0);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_IN | POLLER_ONESHOT, NULL), 0);
    CHECK_EQ(look(p, NULL), POLLER_IN);
    put_byte(fds[1]);
    CHECK_EQ(look(p, NULL), 0);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_IN, NULL), 0);
    CHECK_EQ(look(p, NULL), POLLER_IN);
    CHECK_EQ(look(p, NULL), POLLER_IN);
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(hang_up_is_an_error_that_can_be_read)
{
    struct poller *p = new_poller();
    int fds[2];
    new_pair(fds);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN | POLLER_OUT, NULL), 0);
    close(fds[1]);
    CHECK_EQ(look(p, NULL) & (POLLER_IN | POLLER_ERR), POLLER_IN | POLLER_ERR);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_OUT, NULL), 0);
    CHECK_EQ(look(p, NULL) & (POLLER_IN | POLLER_ERR), POLLER_IN | POLLER_ERR);
    poller_destroy(p);
    close(fds[0]);
}

EACH_BACKEND(a_descriptor_set_aside_does_not_keep_the_poller_awake)
{
    struct poller *p = new_poller();
    int fds[2];
    new_pair(fds);
    CHECK_EQ(poller_add(p, fds[0], 0, NULL), 0);
    put_byte(fds[1]);
    CHECK_EQ(look(p, NULL), 0);
    close(fds[1]);
    (void)look(p, NULL);
    CHECK_EQ(look(p, NULL), 0);
    CHECK_EQ(look(p, NULL), 0);
    poller_destroy(p);
    close(fds[0]);
}

EACH_BACKEND(urgent_data_is_reported_as_pri)
{
    struct net_addr addr;
    struct poller *p = new_poller();
    CHECK_EQ(net_resolve("127.0.0.1", 0, false, true, &addr, 1), 1);
    int listener = net_socket(AF_INET, SOCK_STREAM);
    CHECK_EQ(net_listen(listener, &addr, 1, true, false), 0);
    CHECK_EQ(net_local_addr(listener, &addr), 0);
    int a = net_socket(AF_INET, SOCK_STREAM);
    CHECK(net_connect(a, &addr) >= 0);
    CHECK_EQ(poller_add(p, listener, POLLER_IN, NULL), 0);
    struct poller_event ev;
    CHECK_EQ(poller_wait(p, &ev, 1, FOREVER), 1);
    int b = net_accept(listener, NULL);
    CHECK(b >= 0);
    CHECK_EQ(poller_del(p, listener), 0);
    CHECK_EQ(poller_add(p, b, POLLER_PRI, NULL), 0);
    CHECK_EQ(look(p, NULL), 0);
    CHECK_EQ(send(a, "!", 1, MSG_OOB), 1);
    CHECK_EQ(poller_wait(p, &ev, 1, FOREVER), 1);
    CHECK_EQ(ev.events, POLLER_PRI);
    CHECK_EQ(poller_del(p, b), 0);
    net_close(a);
    net_close(b);
    net_close(listener);
    poller_destroy(p);
}

EACH_BACKEND(max_bounds_a_wait_and_starves_nobody)
{
    enum { N = 40 };
    struct poller *p = new_poller();
    int fds[N][2];
    bool seen[N] = {false};
    for (int i = 0; i < N; i++) {
        new_pair(fds[i]);
        put_byte(fds[i][1]);
        CHECK_EQ(poller_add(p, fds[i][0], POLLER_IN, &seen[i]), 0);
    }
    /* Nothing is read: all stay ready. */
    int left = N;
    for (int round = 0; left && round < N; round++) {
        struct poller_event ev[7];
        int n = poller_wait(p, ev, 7, 0);
        CHECK(n > 0 && n <= 7);
        for (int i = 0; i < n; i++) {
            bool *s = ev[i].data;
            left -= !*s;
            *s = true;
        }
    }
    CHECK_EQ(left, 0);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(poller_del(p, fds[i][0]), 0);
        close_pair(fds[i]);
    }
    CHECK_EQ(look(p, NULL), 0);
    poller_destroy(p);
}

EACH_BACKEND(oneshot_events_beyond_max_are_kept)
{
    enum { N = 9 };
    struct poller *p = new_poller();
    int fds[N][2], hits[N] = {0};
    for (int i = 0; i < N; i++) {
        new_pair(fds[i]);
        put_byte(fds[i][1]);
        CHECK_EQ(poller_add(p, fds[i][0], POLLER_IN | POLLER_OUT | POLLER_ONESHOT, &hits[i]), 0);
    }
    struct poller_event ev[2];
    int n;
    while ((n = poller_wait(p, ev, 2, 0)) > 0) {
        for (int i = 0; i < n; i++)
            ++*(int *)ev[i].data;
    }
    CHECK_EQ(n, 0);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(hits[i], 1);
        close_pair(fds[i]);
    }
    poller_destroy(p);
}

EACH_BACKEND(a_wait_lasts_its_timeout)
{
    static const int64_t timeouts[] = {100 * 1000, 700 * 1000, 3 * MS, 3 * MS + 300 * 1000};
    struct poller *p = new_poller();
    struct poller_event ev;
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        CHECK_EQ(poller_wait(p, &ev, 1, timeouts[i]), 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        CHECK((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= timeouts[i]);
    }
    poller_destroy(p);
}

EACH_BACKEND(a_parent_hears_of_its_children)
{
    struct poller *root = new_poller();
    struct poller *mid = new_poller();
    struct poller *leaf = new_poller();
    int fds[2], tag;
    void *data;
    new_pair(fds);
    CHECK_EQ(poller_add_child(root, mid, POLLER_IN, &tag), 0);
    CHECK_EQ(poller_add_child(mid, leaf, POLLER_IN, NULL), 0);
    CHECK_EQ(look(root, NULL), 0);
    CHECK_EQ(poller_add(leaf, fds[0], POLLER_IN | POLLER_ONESHOT, NULL), 0);
    CHECK_EQ(look(root, NULL), 0);
    put_byte(fds[1]);
    CHECK_EQ(look(root, &data), POLLER_IN);
    CHECK(data == &tag);
    CHECK_EQ(look(mid, NULL), POLLER_IN);
    CHECK_EQ(look(root, NULL), POLLER_IN);
    /* What the leaf reports once, nobody above hears of again. */
    CHECK_EQ(look(leaf, NULL), POLLER_IN);
    CHECK_EQ(look(root, NULL), 0);
    CHECK_EQ(look(mid, NULL), 0);
    CHECK_EQ(poller_mod(leaf, fds[0], POLLER_IN, NULL), 0);
    CHECK_EQ(look(root, NULL), POLLER_IN);
    CHECK_EQ(poller_del_child(root, mid), 0);
    CHECK_EQ(look(root, NULL), 0);
    CHECK_EQ(look(mid, NULL), POLLER_IN);
    poller_destroy(mid);
    poller_destroy(leaf);
    poller_destroy(root);
    close_pair(fds);
}

EACH_BACKEND(a_oneshot_child_is_reported_once_for_each_mod)
{
    struct poller *root = new_poller();
    struct poller *child = new_poller();
    int a[2], b[2];
    new_pair(a);
    new_pair(b);
    CHECK_EQ(poller_add_child(root, child, POLLER_IN | POLLER_ONESHOT, NULL), 0);
    CHECK_EQ(poller_add(child, a[0], POLLER_IN, NULL), 0);
    CHECK_EQ(poller_add(child, b[0], POLLER_IN, NULL), 0);
    put_byte(a[1]);
    put_byte(b[1]);
    CHECK_EQ(look(root, NULL), POLLER_IN); /* one event, though two are ready */
    CHECK_EQ(look(root, NULL), 0);
    CHECK_EQ(poller_mod_child(root, child, POLLER_IN | POLLER_ONESHOT, NULL), 0);
    CHECK_EQ(look(root, NULL), POLLER_IN);
    take_byte(a[0]);
    take_byte(b[0]);
    CHECK_EQ(poller_mod_child(root, child, POLLER_IN | POLLER_ONESHOT, NULL), 0);
    CHECK_EQ(look(root, NULL), 0);
    put_byte(b[1]);
    CHECK_EQ(look(root, NULL), POLLER_IN);
    poller_destroy(root);
    poller_destroy(child);
    close_pair(a);
    close_pair(b);
}

EACH_BACKEND(a_destroyed_child_leaves_its_parent)
{
    struct poller *root = new_poller();
    struct poller *child = new_poller();
    int fds[2];
    new_pair(fds);
    put_byte(fds[1]);
    CHECK_EQ(poller_add(child, fds[0], POLLER_IN, NULL), 0);
    CHECK_EQ(poller_add_child(root, child, POLLER_IN, NULL), 0);
    poller_destroy(child);
    CHECK_EQ(look(root, NULL), 0);
    poller_destroy(root);
    close_pair(fds);
}

EACH_BACKEND(its_descriptor_is_readable_when_a_wait_would_report)
{
    struct poller *outer = new_poller();
    struct poller *p = new_poller();
    int fds[2];
    int fd = poller_fd(p);
    CHECK_EQ(fd == -1, backend == &poller_poll);
    if (fd != -1) {
        new_pair(fds);
        CHECK_EQ(poller_add(outer, fd, POLLER_IN, NULL), 0);
        CHECK_EQ(poller_add(p, fds[0], POLLER_IN, NULL), 0);
        CHECK_EQ(look(outer, NULL), 0);
        put_byte(fds[1]);
        CHECK_EQ(look(outer, NULL), POLLER_IN);
        close_pair(fds);
    }
    poller_destroy(p);
    poller_destroy(outer);
}

/* A thread that waits for ever in `p` and tells what ended the wait. */
struct waiter {
    struct thread thread;
    struct poller *p;
    struct poller_event ev;
    int result;
    atomic_bool started;
};

static void waiter_run(void *arg)
{
    struct waiter *w = arg;
    atomic_store(&w->started, true);
    w->result = poller_wait(w->p, &w->ev, 1, FOREVER);
}

static void waiter_start(struct waiter *w, struct poller *p)
{
    w->p = p;
    atomic_store(&w->started, false);
    CHECK_EQ(thread_start(&w->thread, waiter_run, w, "waiter"), 0);
    while (!atomic_load(&w->started))
        cpu_relax();
    /* Likely, not certainly, asleep by then: the claims hold either way. */
    struct timespec nap = {.tv_nsec = 2000000};
    nanosleep(&nap, NULL);
}

EACH_BACKEND(add_takes_effect_on_a_running_wait)
{
    struct poller *p = new_poller();
    struct waiter w;
    int fds[2], tag;
    new_pair(fds);
    put_byte(fds[1]);
    waiter_start(&w, p);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, &tag), 0);
    thread_join(&w.thread);
    CHECK_EQ(w.result, 1);
    CHECK(w.ev.data == &tag);
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(mod_takes_effect_on_a_running_wait)
{
    struct poller *p = new_poller();
    struct waiter w;
    int fds[2];
    new_pair(fds);
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, NULL), 0);
    waiter_start(&w, p);
    CHECK_EQ(poller_mod(p, fds[0], POLLER_OUT, NULL), 0);
    thread_join(&w.thread);
    CHECK_EQ(w.result, 1);
    CHECK_EQ(w.ev.events, POLLER_OUT);
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(a_change_in_a_child_takes_effect_on_its_grandparents_wait)
{
    struct poller *root = new_poller();
    struct poller *mid = new_poller();
    struct poller *leaf = new_poller();
    struct waiter w;
    int fds[2], tag;
    new_pair(fds);
    put_byte(fds[1]);
    CHECK_EQ(poller_add_child(root, mid, POLLER_IN | POLLER_ONESHOT, &tag), 0);
    CHECK_EQ(poller_add_child(mid, leaf, POLLER_IN, NULL), 0);
    waiter_start(&w, root);
    CHECK_EQ(poller_add(leaf, fds[0], POLLER_IN, NULL), 0);
    thread_join(&w.thread);
    CHECK_EQ(w.result, 1);
    CHECK(w.ev.data == &tag);
    poller_destroy(root);
    poller_destroy(mid);
    poller_destroy(leaf);
    close_pair(fds);
}

EACH_BACKEND(parent_and_child_can_be_waited_on_at_once)
{
    struct poller *root = new_poller();
    struct poller *child = new_poller();
    struct waiter above, below;
    int fds[2];
    new_pair(fds);
    CHECK_EQ(poller_add_child(root, child, POLLER_IN, NULL), 0);
    waiter_start(&above, root);
    waiter_start(&below, child);
    CHECK_EQ(poller_add(child, fds[0], POLLER_IN, NULL), 0);
    put_byte(fds[1]);
    thread_join(&above.thread);
    thread_join(&below.thread);
    CHECK_EQ(above.result, 1);
    CHECK_EQ(below.result, 1);
    poller_destroy(root);
    poller_destroy(child);
    close_pair(fds);
}

/* Changes interests of one poller as fast as it can, while the test's thread waits in it. */
struct churn {
    struct thread thread;
    struct poller *p;
    int fds[8][2];
    atomic_bool stop;
};

static void churn_run(void *arg)
{
    struct churn *c = arg;
    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        int fd = c->fds[i % 8][0];
        CHECK_EQ(poller_add(c->p, fd, POLLER_IN, NULL), 0);
        CHECK_EQ(poller_mod(c->p, fd, POLLER_IN | POLLER_ONESHOT, NULL), 0);
        CHECK_EQ(poller_del(c->p, fd), 0);
    }
}

EACH_BACKEND(events_arrive_while_other_interests_change)
{
    struct poller *root = new_poller();
    struct poller *child = new_poller();
    struct churn c = {.p = child};
    int fds[2], tag;
    new_pair(fds);
    for (int i = 0; i < 8; i++)
        new_pair(c.fds[i]);
    CHECK_EQ(poller_add(root, fds[0], POLLER_IN, &tag), 0);
    CHECK_EQ(poller_add_child(root, child, POLLER_IN, NULL), 0);
    CHECK_EQ(thread_start(&c.thread, churn_run, &c, "churn"), 0);
    for (int i = 0; i < 2000; i++) {
        struct poller_event ev;
        put_byte(fds[1]);
        CHECK_EQ(poller_wait(root, &ev, 1, FOREVER), 1);
        CHECK(ev.data == &tag);
        take_byte(fds[0]);
    }
    atomic_store(&c.stop, true);
    thread_join(&c.thread);
    poller_destroy(child);
    poller_destroy(root);
    close_pair(fds);
    for (int i = 0; i < 8; i++)
        close_pair(c.fds[i]);
}

static void on_signal(int signum)
{
    (void)signum;
}

struct nagger {
    struct thread thread;
    pthread_t target;
    atomic_bool stop;
};

static void nagger_run(void *arg)
{
    struct nagger *n = arg;
    struct timespec nap = {.tv_nsec = 1000000};
    while (!atomic_load(&n->stop)) {
        pthread_kill(n->target, SIGUSR1);
        nanosleep(&nap, NULL);
    }
}

EACH_BACKEND(a_signal_ends_a_wait)
{
    struct poller *p = new_poller();
    struct nagger n = {.target = pthread_self()};
    struct sigaction act = {.sa_handler = on_signal}, old;
    sigaction(SIGUSR1, &act, &old);
    CHECK_EQ(thread_start(&n.thread, nagger_run, &n, "nagger"), 0);
    struct poller_event ev;
    CHECK_EQ(poller_wait(p, &ev, 1, FOREVER), -EINTR);
    CHECK_EQ(poller_wait(p, &ev, 1, 20 * (int64_t)NS_PER_S + 1), -EINTR);
    atomic_store(&n.stop, true);
    thread_join(&n.thread);
    sigaction(SIGUSR1, &old, NULL);
    poller_destroy(p);
}

EACH_BACKEND(without_memory_nothing_changes)
{
    struct poller *p = NULL;
    mem_fail_at(1);
    int result = backend->create(&p);
    mem_fail_at(0);
    if (result == 0) /* a build without the hook */
        poller_destroy(p);
    else
        CHECK_EQ(result, -ENOMEM);
    p = new_poller();
    int fds[2];
    new_pair(fds);
    for (long nth = 1; nth < 4; nth++) {
        mem_fail_at(nth);
        result = poller_add(p, fds[0], POLLER_IN, NULL);
        mem_fail_at(0);
        if (result == 0)
            CHECK_EQ(poller_del(p, fds[0]), 0);
        else
            CHECK_EQ(result, -ENOMEM);
        CHECK_EQ(poller_del(p, fds[0]), -ENOENT);
    }
    poller_destroy(p);
    close_pair(fds);
}

EACH_BACKEND(without_descriptors_creating_fails)
{
    long before = net_fd_count();
    struct rlimit old, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct poller *p = NULL;
    int result = backend->create(&p);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(result, -EMFILE);
    CHECK_EQ(net_fd_count(), before);
}

EACH_BACKEND(its_descriptors_are_counted)
{
    long before = net_fd_count();
    struct poller *p = new_poller();
    CHECK(net_fd_count() > before);
    poller_destroy(p);
    CHECK_EQ(net_fd_count(), before);
}

EACH_BACKEND(its_descriptor_tells_whether_it_has_something)
{
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK(!poller_shows(fds[0]));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK(poller_shows(fds[0]));
    struct poller *p = new_poller();
    CHECK_EQ(poller_add(p, fds[0], POLLER_IN, p), 0);
    if (poller_fd(p) >= 0) {
        CHECK(poller_shows(poller_fd(p)));
        char c;
        CHECK_EQ(read(fds[0], &c, 1), 1);
        CHECK(!poller_shows(poller_fd(p)));
    }
    CHECK_EQ(poller_del(p, fds[0]), 0);
    poller_destroy(p);
    close(fds[0]);
    close(fds[1]);
    CHECK(poller_shows(fds[0])); /* it cannot be told */
}

/* The choice is made once a process: look at it in processes of its own. */
static bool chosen_is(const char *wish, const char *name)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (wish)
            setenv("FASTMQ_POLLER", wish, 1);
        else
            unsetenv("FASTMQ_POLLER");
        struct poller *p = NULL;
        bool ok = strcmp(poller_name(), name) == 0 && poller_create(&p) == 0 &&
                  strcmp(p->ops->name, name) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status == 0;
}

TEST(the_environment_chooses_the_backend)
{
    CHECK(chosen_is(NULL, backends[0]->name));
    CHECK(chosen_is("nonsense", backends[0]->name));
    for (size_t i = 0; i < BACKENDS; i++)
        CHECK(chosen_is(backends[i]->name, backends[i]->name));
}
