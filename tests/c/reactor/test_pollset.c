/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor
/* Sets of sockets and descriptors to wait on: what is reported, by which data, and what a set
 * holds. */
#include "stand.h"

#include "reactor/notify.h"

static void set_ready(struct stand *s, int events)
{
    mutex_lock(&s->r.lock);
    atomic_store(&s->ready, events);
    reactor_notify(&s->r);
    reactor_leave(&s->r);
}

TEST(a_descriptor_is_reported_with_its_data_and_what_it_is_ready_for)
{
    fmq_pollset *p;
    struct fmq_pollevent out[4];
    int fd[2], mine;
    CHECK_EQ(fmq_pollset_new(&p), 0);
    CHECK_EQ(pipe(fd), 0);
    CHECK_EQ(fmq_pollset_add_fd(p, fd[0], FMQ_POLLIN, &mine), 0);
    CHECK_EQ(fmq_pollset_add_fd(p, fd[0], FMQ_POLLIN, &mine), -EINVAL);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, -1), 1);
    CHECK(out[0].data == &mine);
    CHECK_EQ(out[0].events, FMQ_POLLIN);
    CHECK_EQ(fmq_pollset_modify_fd(p, fd[0], 0), 0);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
    CHECK_EQ(fmq_pollset_modify_fd(p, fd[0], FMQ_POLLIN), 0);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 1);
    CHECK_EQ(fmq_pollset_remove_fd(p, fd[0]), 0);
    CHECK_EQ(fmq_pollset_remove_fd(p, fd[0]), -EINVAL);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
    fmq_pollset_free(p);
    close(fd[0]);
    close(fd[1]);
}

TEST(a_socket_is_reported_as_long_as_it_is_ready_for_what_is_wanted)
{
    struct stand s;
    fmq_pollset *p;
    struct fmq_pollevent out[4];
    stand_begin(&s);
    CHECK_EQ(fmq_pollset_new(&p), 0);
    CHECK_EQ(fmq_pollset_add(p, stand_handle(&s), FMQ_POLLIN, &s), 0);
    CHECK_EQ(fmq_pollset_add(p, stand_handle(&s), FMQ_POLLIN, &s), -EINVAL);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
    set_ready(&s, FMQ_POLLOUT);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
    set_ready(&s, FMQ_POLLOUT | FMQ_POLLIN);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(fmq_pollset_wait(p, out, 4, -1), 1);
        CHECK(out[0].data == &s);
        CHECK_EQ(out[0].events, FMQ_POLLIN);
    }
    CHECK_EQ(fmq_pollset_modify(p, stand_handle(&s), FMQ_POLLOUT), 0);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, -1), 1);
    CHECK_EQ(out[0].events, FMQ_POLLOUT);
    set_ready(&s, 0);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
    CHECK_EQ(fmq_pollset_remove(p, stand_handle(&s)), 0);
    CHECK_EQ(atomic_load(&s.r.refs), 1);
    fmq_pollset_free(p);
    stand_end(&s);
}

static bool is_watched(struct stand *s)
{
    mutex_lock(&s->r.lock);
    bool watched = notify_is_watched(&s->r);
    mutex_unlock(&s->r.lock);
    return watched;
}

/* The next wait looks at it. Input of which no descriptor tells is then armed by nobody. */
TEST(a_socket_has_to_show_what_comes_only_when_a_wait_may_have_slept)
{
    struct stand s;
    fmq_pollset *p;
    struct fmq_pollevent out[4];
    stand_begin(&s);
    s.r.spin_us = 1000;
    CHECK_EQ(fmq_pollset_new(&p), 0);
    CHECK_EQ(fmq_pollset_add(p, stand_handle(&s), FMQ_POLLIN, &s), 0);
    CHECK(!is_watched(&s));
    set_ready(&s, FMQ_POLLIN);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, -1), 1);
    CHECK(!is_watched(&s));
    set_ready(&s, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(fmq_pollset_wait(p, out, 4, 0), 0);
        CHECK(!is_watched(&s));
    }
    CHECK_EQ(fmq_pollset_wait(p, out, 4, 20), 0); /* longer than it spins */
    CHECK(is_watched(&s));
    set_ready(&s, FMQ_POLLIN);
    CHECK_EQ(fmq_pollset_wait(p, out, 4, -1), 1);
    CHECK(!is_watched(&s));
    CHECK_EQ(fmq_pollset_remove(p, stand_handle(&s)), 0);
    CHECK_EQ(s.r.notify.direct, 0);
    fmq_pollset_free(p);
    stand_end(&s);
}

TEST(a_wait_looks_at_no_socket_that_had_nothing_of_late)
{
    enum { COUNT = 40 };
    struct stand s[COUNT];
    fmq_pollset *p;
    struct fmq_pollevent out[COUNT];
    CHECK_EQ(fmq_pollset_new(&p), 0);
    for (int i = 0; i < COUNT; i++) {
        stand_begin(&s[i]);
        s[i].r.spin_us = 1000;
        CHECK_EQ(fmq_pollset_add(p, stand_handle(&s[i]), FMQ_POLLIN, &s[i]), 0);
    }
    set_ready(&s[7], FMQ_POLLIN);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(fmq_pollset_wait(p, out, COUNT, -1), 1);
        for (int i = 0; i < COUNT; i++)
            CHECK_EQ(is_watched(&s[i]), i != 7);
    }
    /* Those that had something are looked at again, as far as there are places. */
    for (int i = 0; i < COUNT; i++)
        set_ready(&s[i], FMQ_POLLIN);
    CHECK_EQ(fmq_pollset_wait(p, out, COUNT, -1), COUNT);
    for (int i = 0; i < COUNT; i++)
        set_ready(&s[i], i == 7 ? FMQ_POLLIN : 0);
    CHECK_EQ(fmq_pollset_wait(p, out, COUNT, -1), 1);
    int unwatched = 0;
    for (int i = 0; i < COUNT; i++)
        unwatched += !is_watched(&s[i]);
    CHECK(unwatched > 1);
    CHECK(unwatched <= 9);
    fmq_pollset_free(p);
    for (int i = 0; i < COUNT; i++)
        stand_end(&s[i]);
}

TEST(no_more_than_there_is_place_for_is_reported_and_all_others_come_later)
{
    struct stand s[5];
    fmq_pollset *p;
    struct fmq_pollevent out[2];
    unsigned seen[5] = {0};
    CHECK_EQ(fmq_pollset_new(&p), 0);
    for (int i = 0; i < 5; i++) {
        stand_begin(&s[i]);
        set_ready(&s[i], FMQ_POLLIN);
        CHECK_EQ(fmq_pollset_add(p, stand_handle(&s[i]), FMQ_POLLIN, &seen[i]), 0);
    }
    for (int round = 0; round < 20; round++) {
        int n = fmq_pollset_wait(p, out, 2, 0);
        CHECK_EQ(n, 2);
        for (int i = 0; i < n; i++)
            ++*(unsigned *)out[i].data;
    }
    for (int i = 0; i < 5; i++)
        CHECK(seen[i] > 0);
    fmq_pollset_free(p);
    for (int i = 0; i < 5; i++)
        stand_end(&s[i]);
}

TEST(a_closed_socket_is_refused_and_one_that_closes_in_a_set_is_said_to_be_none)
{
    struct stand s;
    fmq_pollset *p;
    struct fmq_pollevent out[1];
    stand_begin(&s);
    CHECK_EQ(fmq_pollset_new(&p), 0);
    CHECK_EQ(fmq_pollset_add(p, stand_handle(&s), FMQ_POLLIN, NULL), 0);
    mutex_lock(&s.r.lock);
    s.r.closed = true;
    reactor_stop(&s.r, ENOTSOCK);
    reactor_leave(&s.r);
    CHECK_EQ(fmq_pollset_wait(p, out, 1, -1), -ENOTSOCK);
    CHECK_EQ(atomic_load(&s.r.refs), 1); /* the set holds it no more */
    fmq_pollset *late;
    CHECK_EQ(fmq_pollset_new(&late), 0);
    CHECK_EQ(fmq_pollset_add(late, stand_handle(&s), FMQ_POLLIN, NULL), -ENOTSOCK);
    fmq_pollset_free(late);
    fmq_pollset_free(p);
    stand_end(&s);
}

TEST(beyond_sixty_four_sets_a_socket_is_in_a_poller_only_while_a_thread_waits)
{
    enum { SETS = 70 };
    struct stand s;
    fmq_pollset *p[SETS];
    struct fmq_pollevent out[1];
    stand_begin(&s);
    for (int i = 0; i < SETS; i++) {
        CHECK_EQ(fmq_pollset_new(&p[i]), 0);
        CHECK_EQ(fmq_pollset_add(p[i], stand_handle(&s), FMQ_POLLIN, &s), 0);
    }
    CHECK_EQ(s.r.notify.nested, 64);
    for (int i = 0; i < SETS; i++)
        CHECK_EQ(fmq_pollset_wait(p[i], out, 1, 1), 0);
    CHECK_EQ(s.r.notify.nested, 64);
    set_ready(&s, FMQ_POLLIN);
    for (int i = 0; i < SETS; i++)
        CHECK_EQ(fmq_pollset_wait(p[i], out, 1, -1), 1);
    for (int i = 0; i < SETS; i++)
        fmq_pollset_free(p[i]);
    CHECK_EQ(s.r.notify.nested, 0);
    CHECK_EQ(atomic_load(&s.r.watchers), 0);
    stand_end(&s);
}
