/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net transport
/* inproc: names, meeting in both orders, what both sides' limits come to, and leaving. */
#include "box.h"
#include "check.h"

#include "base/error.h"
#include "net/events.h"
#include "transport/inproc.h"

struct room {
    struct inproc_names names;
    struct conn_set set[2];
};

static void begin(struct room *w)
{
    inproc_names_init(&w->names);
    for (int i = 0; i < 2; i++) {
        set_up(&w->set[i]);
        w->set[i].inproc_names = &w->names;
    }
    box_seen_count = 0;
    detail_clear();
}

/* Does what was posted to it. */
static void run(struct conn_set *s)
{
    struct reactor *r = conn_set_reactor(s);
    mutex_lock(&r->lock);
    mailbox_run(r);
    reactor_leave(r);
}

static void end(struct room *w)
{
    for (int i = 0; i < 2; i++) {
        struct reactor *r = conn_set_reactor(&w->set[i]);
        mutex_lock(&r->lock);
        inproc_unbind_all(&w->set[i]);
        r->closed = r->finished = true;
        conn_set_end(&w->set[i]);
        conn_set_reap(&w->set[i]);
        mutex_unlock(&r->lock);
    }
    for (int i = 0; i < 2; i++) {
        struct reactor *r = conn_set_reactor(&w->set[i]);
        mutex_lock(&r->lock);
        mailbox_run(r);
        mutex_unlock(&r->lock);
    }
    inproc_names_fini(&w->names);
    for (int i = 0; i < 2; i++) {
        struct reactor *r = conn_set_reactor(&w->set[i]);
        CHECK_EQ(atomic_load(&r->refs), 1); /* no link holds it any more */
        reactor_unref(r);
        reactor_fini(r);
        pool_release(w->set[i].pipes.pool);
        mem_free(w->set[i].pipes.state);
    }
}

static int bind_name(struct conn_set *s, const char *name)
{
    mutex_lock(&conn_set_reactor(s)->lock);
    int rc = transport_inproc.bind(s, name);
    reactor_leave(conn_set_reactor(s));
    return rc;
}

static int unbind_name(struct conn_set *s, const char *name)
{
    mutex_lock(&conn_set_reactor(s)->lock);
    int rc = transport_inproc.unbind(s, name);
    reactor_leave(conn_set_reactor(s));
    return rc;
}

static int connect_name(struct conn_set *s, const char *name, bool only_bound)
{
    int rc = 0;
    mutex_lock(&conn_set_reactor(s)->lock);
    struct pipe *p = pipe_new(&s->pipes, &rc);
    CHECK(p);
    CHECK_EQ(pipe_attach(p), 0);
    rc = inproc_connect(s, p, name, only_bound);
    if (rc < 0) {
        pipe_hangup(p);
        conn_set_reap(s);
    }
    reactor_leave(conn_set_reactor(s));
    return rc;
}

/* The two meet; `bind_first` says in which order they come. */
static void meet(struct room *w, bool bind_first)
{
    if (bind_first)
        CHECK_EQ(bind_name(&w->set[1], "name"), 0);
    CHECK_EQ(connect_name(&w->set[0], "name", false), 0);
    if (!bind_first)
        CHECK_EQ(bind_name(&w->set[1], "name"), 0);
    run(&w->set[1]);
    run(&w->set[0]);
}

/* 0 or -EAGAIN. */
static int send_number(struct conn_set *s, uint32_t number)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, &number, sizeof(number)), 0);
    mutex_lock(&conn_set_reactor(s)->lock);
    int rc = pipe_write(box_of(s)->pipe, &m, 1);
    reactor_leave(conn_set_reactor(s));
    if (rc)
        msg_drop(&m);
    return rc;
}

/* How many it can send before there is no room. */
static uint32_t fill(struct conn_set *s, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && send_number(s, n) == 0)
        n++;
    return n;
}

/* Receives one; -1: there is none. */
static int64_t receive(struct conn_set *s)
{
    run(s);
    struct pipe *p = box_of(s)->pipe;
    if (!p || !pipe_can_read(p))
        return -1;
    struct parts m;
    parts_init(&m);
    mutex_lock(&conn_set_reactor(s)->lock);
    CHECK_EQ(pipe_read(p, &m), 0);
    reactor_leave(conn_set_reactor(s));
    CHECK_EQ(m.len, 1);
    uint32_t number;
    CHECK_EQ(msg_size(&m.v[0]), sizeof(number));
    memcpy(&number, msg_data(&m.v[0]), sizeof(number));
    parts_fini(&m);
    return number;
}

/* ---- names ---- */

TEST(a_name_is_bound_once_and_free_again_when_its_own_socket_unbinds_it)
{
    struct room w;
    begin(&w);
    CHECK(!inproc_is_bound(&w.names, "a"));
    CHECK_EQ(bind_name(&w.set[0], "a"), 0);
    CHECK(inproc_is_bound(&w.names, "a"));
    CHECK_EQ(bind_name(&w.set[0], "a"), -EADDRINUSE);
    CHECK_EQ(bind_name(&w.set[1], "a"), -EADDRINUSE);
    CHECK_EQ(bind_name(&w.set[1], "A"), 0); /* another name */
    CHECK_EQ(unbind_name(&w.set[1], "a"), -ENOENT);
    CHECK(inproc_is_bound(&w.names, "a"));
    CHECK_EQ(unbind_name(&w.set[0], "a"), 0);
    CHECK_EQ(unbind_name(&w.set[0], "a"), -ENOENT);
    CHECK(!inproc_is_bound(&w.names, "a"));
    CHECK_EQ(bind_name(&w.set[1], "a"), 0);
    end(&w);
}

TEST(a_socket_that_closes_gives_back_its_names_and_no_others)
{
    struct room w;
    begin(&w);
    CHECK_EQ(bind_name(&w.set[0], "a"), 0);
    CHECK_EQ(bind_name(&w.set[0], "b"), 0);
    CHECK_EQ(bind_name(&w.set[1], "c"), 0);
    inproc_unbind_all(&w.set[0]);
    CHECK(!inproc_is_bound(&w.names, "a"));
    CHECK(!inproc_is_bound(&w.names, "b"));
    CHECK(inproc_is_bound(&w.names, "c"));
    end(&w);
}

TEST(a_name_has_1_to_256_bytes)
{
    char name[300];
    memset(name, 'n', sizeof(name));
    name[256] = 0;
    struct room w;
    begin(&w);
    CHECK_EQ(bind_name(&w.set[1], name), 0);
    CHECK_EQ(connect_name(&w.set[0], name, true), 0);
    name[256] = 'n';
    name[257] = 0;
    CHECK_EQ(bind_name(&w.set[1], name), -EINVAL);
    CHECK(strstr(detail_text(), "1 to 256 bytes, this one has 257"));
    CHECK_EQ(connect_name(&w.set[0], name, false), -EINVAL);
    CHECK_EQ(bind_name(&w.set[1], ""), -EINVAL);
    CHECK(strstr(detail_text(), "this one has 0"));
    end(&w);
}

TEST(who_wants_a_bound_name_does_not_wait_for_one)
{
    struct room w;
    begin(&w);
    CHECK_EQ(connect_name(&w.set[0], "name", true), -ENOENT);
    CHECK_EQ(bind_name(&w.set[1], "name"), 0);
    run(&w.set[1]);
    CHECK(box_of(&w.set[1])->pipe == NULL);
    CHECK_EQ(connect_name(&w.set[0], "name", true), 0);
    run(&w.set[1]);
    CHECK(box_of(&w.set[1])->pipe && box_of(&w.set[1])->pipe->ready);
    end(&w);
}

/* ---- meeting ---- */

TEST(all_arrives_in_order_both_ways_whoever_comes_first)
{
    for (int order = 0; order < 2; order++) {
        struct room w;
        begin(&w);
        meet(&w, order == 0);
        for (int i = 0; i < 2; i++)
            CHECK(box_of(&w.set[i])->pipe && box_of(&w.set[i])->pipe->ready);
        for (int from = 0; from < 2; from++) {
            CHECK_EQ(fill(&w.set[from], 100), 100);
            for (int n = 0; n < 100; n++)
                CHECK_EQ(receive(&w.set[!from]), n);
            CHECK_EQ(receive(&w.set[!from]), -1);
        }
        end(&w);
    }
}

TEST(what_was_sent_before_the_name_was_bound_arrives)
{
    struct room w;
    begin(&w);
    CHECK_EQ(connect_name(&w.set[0], "name", false), 0);
    CHECK_EQ(fill(&w.set[0], 3), 3);
    CHECK(!box_of(&w.set[0])->pipe->ready);
    CHECK_EQ(bind_name(&w.set[1], "name"), 0);
    run(&w.set[0]);
    CHECK(box_of(&w.set[0])->pipe->ready);
    for (int n = 0; n < 3; n++)
        CHECK_EQ(receive(&w.set[1]), n);
    end(&w);
}

TEST(what_a_socket_sent_and_then_left_behind_is_received_before_its_pipe_ends)
{
    for (int order = 0; order < 2; order++) {
        struct room w;
        begin(&w);
        if (order == 0)
            meet(&w, true);
        else
            CHECK_EQ(connect_name(&w.set[0], "name", false), 0);
        CHECK_EQ(fill(&w.set[0], 3), 3);
        mutex_lock(&conn_set_reactor(&w.set[0])->lock);
        pipe_hangup(box_of(&w.set[0])->pipe);
        reactor_leave(conn_set_reactor(&w.set[0]));
        if (order == 1) /* it left before anybody came */
            CHECK_EQ(bind_name(&w.set[1], "name"), 0);
        for (int n = 0; n < 3; n++)
            CHECK_EQ(receive(&w.set[1]), n);
        CHECK_EQ(box_of(&w.set[1])->hung_up, 1);
        CHECK_EQ(receive(&w.set[1]), -1);
        end(&w);
    }
}

TEST(types_that_other_transports_keep_apart_meet_with_a_warning_or_not_at_all)
{
    for (int order = 0; order < 2; order++) {
        struct room w;
        begin(&w);
        w.set[0].pipes.type = FMQ_REQ;
        w.set[1].pipes.type = FMQ_PUSH;
        if (order == 0) {
            CHECK_EQ(bind_name(&w.set[1], "name"), 0);
            CHECK_EQ(connect_name(&w.set[0], "name", true), -FMQ_ENOCOMPATPROTO);
            CHECK_EQ(connect_name(&w.set[0], "name", false), 1);
        } else {
            CHECK_EQ(connect_name(&w.set[0], "name", false), 0);
            CHECK_EQ(bind_name(&w.set[1], "name"), 1);
        }
        CHECK(strstr(detail_text(), "a REQ socket is connected to the PUSH socket bound at "
                                    "inproc://name"));
        run(&w.set[1]);
        run(&w.set[0]);
        unsigned told = 0;
        for (unsigned i = 0; i < box_seen_count; i++)
            told += box_seen[i].event == EVENT_HANDSHAKE_FAILED_PROTOCOL;
        CHECK_EQ(told, 2); /* each of them */
        end(&w);
    }
}

/* ---- limits ---- */

TEST(the_limits_of_both_sides_add_up_whoever_comes_first)
{
    for (int order = 0; order < 2; order++) {
        struct room w;
        begin(&w);
        w.set[0].pipes.opt.sndhwm = 2;
        w.set[0].pipes.opt.rcvhwm = 4;
        w.set[1].pipes.opt.sndhwm = 7;
        w.set[1].pipes.opt.rcvhwm = 3;
        meet(&w, order == 0);
        CHECK_EQ(fill(&w.set[0], 100), 5);
        CHECK_EQ(fill(&w.set[1], 100), 11);
        CHECK_EQ(receive(&w.set[1]), 0);
        run(&w.set[0]);
        uint32_t more = fill(&w.set[0], 100);
        CHECK(more <= 1); /* room may be told of later, but is no more than there is */
        for (int64_t n = 1; n < 5; n++)
            CHECK_EQ(receive(&w.set[1]), n);
        for (uint32_t n = 0; n < more; n++)
            CHECK_EQ(receive(&w.set[1]), n);
        run(&w.set[0]);
        CHECK_EQ(fill(&w.set[0], 100), 5);
        end(&w);
    }
}

TEST(a_side_without_a_limit_makes_the_way_to_it_or_from_it_unlimited)
{
    for (int side = 0; side < 2; side++) {
        struct room w;
        begin(&w);
        w.set[0].pipes.opt.sndhwm = side ? 2 : 0;
        w.set[1].pipes.opt.rcvhwm = side ? 0 : 2;
        meet(&w, true);
        CHECK_EQ(fill(&w.set[0], 5000), 5000);
        end(&w);
    }
}

TEST(until_somebody_binds_the_senders_own_limit_counts)
{
    struct room w;
    begin(&w);
    w.set[0].pipes.opt.sndhwm = 2;
    w.set[1].pipes.opt.rcvhwm = 3;
    CHECK_EQ(connect_name(&w.set[0], "name", false), 0);
    CHECK_EQ(fill(&w.set[0], 100), 2);
    CHECK_EQ(bind_name(&w.set[1], "name"), 0);
    run(&w.set[0]);
    CHECK_EQ(fill(&w.set[0], 100), 3);
    end(&w);
}
