/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/* A set of connections: which keep their buffers, which writes are under way, and what is freed. */
#include "check.h"

#include "box.h"
#include "memstream.h"
#include "net/conn.h"
#include "net/conn_new.h"

#define CONNS 20
#define WARM 16 /* connections of one socket that keep buffers */

struct crowd {
    struct conn_set set[2];
    struct conn *c[CONNS];
};

static void begin(struct crowd *w)
{
    static const struct mem_faults none;
    const struct conn_ends names = {"mem://a", "mem://b", "mem://b", "b", NULL, NULL, false};
    for (int i = 0; i < 2; i++)
        set_up(&w->set[i]);
    for (int k = 0; k < CONNS; k++) {
        struct mem_stream *end[2];
        mem_pair(end, &none);
        for (int i = 0; i < 2; i++) {
            struct reactor *r = conn_set_reactor(&w->set[i]);
            mutex_lock(&r->lock);
            struct conn *c =
                conn_new(&w->set[i], NULL, end[i]->stream.fd, &end[i]->stream, NULL, &names);
            mutex_unlock(&r->lock);
            CHECK(c);
            if (i == 0)
                w->c[k] = c;
        }
    }
}

static void end(struct crowd *w)
{
    for (int i = 0; i < 2; i++)
        tear_down(&w->set[i]);
}

/* As what arrived does; a buffer to read into is held then. */
static void move(struct conn *c)
{
    uint8_t *buf;
    size_t len;
    CHECK_EQ(peer_recv_buf(&c->peer, &buf, &len), 0);
    CHECK(c->peer.rx.chunk);
    conn_keep_warm(c);
}

static bool is_warm(const struct conn *c)
{
    CHECK_EQ(c->peer.rx.chunk != NULL, list_linked(&c->warm));
    return list_linked(&c->warm);
}

TEST(sixteen_connections_keep_their_buffers_those_that_moved_last)
{
    struct crowd w;
    begin(&w);
    mutex_lock(&conn_set_reactor(&w.set[0])->lock);
    for (int k = 0; k < CONNS; k++) {
        move(w.c[k]);
        CHECK_EQ(w.set[0].warm_count, k < WARM ? k + 1 : WARM);
    }
    for (int k = 0; k < CONNS; k++)
        CHECK_EQ(is_warm(w.c[k]), k >= CONNS - WARM);
    /* One that moves again is not the next to give its buffers back. */
    move(w.c[4]);
    CHECK_EQ(w.set[0].warm_count, WARM);
    move(w.c[0]);
    CHECK(is_warm(w.c[4]));
    CHECK(!is_warm(w.c[5]));
    CHECK(is_warm(w.c[0]));
    /* Twice in a row: it is in its place already. */
    move(w.c[0]);
    CHECK_EQ(w.set[0].warm_count, WARM);
    mutex_unlock(&conn_set_reactor(&w.set[0])->lock);
    end(&w);
}

TEST(a_buffer_that_a_thread_reads_into_is_not_given_back)
{
    struct crowd w;
    begin(&w);
    mutex_lock(&conn_set_reactor(&w.set[0])->lock);
    move(w.c[0]);
    w.c[0]->reading = true;
    for (int k = 1; k <= WARM; k++)
        move(w.c[k]);
    CHECK(!list_linked(&w.c[0]->warm));
    CHECK(w.c[0]->peer.rx.chunk);
    w.c[0]->reading = false;
    mutex_unlock(&conn_set_reactor(&w.set[0])->lock);
    end(&w);
}

static struct pipe *new_pipe(struct conn_set *s)
{
    int rc = 0;
    struct pipe *p = pipe_new(&s->pipes, &rc);
    CHECK(p);
    CHECK_EQ(pipe_attach(p), 0);
    return p;
}

TEST(a_write_is_under_way_where_a_connection_or_another_link_writes)
{
    struct crowd w;
    begin(&w);
    struct conn_set *s = &w.set[0];
    mutex_lock(&conn_set_reactor(s)->lock);
    CHECK(!conn_set_writes(s));
    for (int k = 0; k < CONNS; k++) { /* wherever in the list it is */
        w.c[k]->link.writing = true;
        CHECK(conn_set_writes(s));
        w.c[k]->link.writing = false;
    }
    struct pipe *p = new_pipe(s);
    struct link other = {.writing = true};
    p->link = &other;
    CHECK(conn_set_writes(s));
    other.writing = false;
    CHECK(!conn_set_writes(s));
    p->link = NULL;
    mutex_unlock(&conn_set_reactor(s)->lock);
    end(&w);
}

TEST(a_pipe_that_its_pattern_closed_hangs_up_and_is_freed)
{
    struct conn_set s;
    set_up(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    struct pipe *p = new_pipe(&s), *other = new_pipe(&s);
    pipe_close(p);
    CHECK_EQ(box_of(&s)->hung_up, 0); /* not within the pattern's own call */
    conn_set_reap(&s);
    CHECK_EQ(box_of(&s)->hung_up, 1);
    CHECK(s.pipes.list.next == &other->in_set && s.pipes.list.prev == &other->in_set);
    CHECK(!other->hung_up);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    tear_down(&s);
}

TEST(a_pipe_that_hung_up_stays_until_what_it_received_is_read)
{
    struct conn_set s;
    set_up(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    struct pipe *p = new_pipe(&s);
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, "left", 4), 0);
    CHECK_EQ(msgring_push(&p->in, &m), 0);
    pipe_hangup(p);
    pipe_queue_reap(p);
    conn_set_reap(&s);
    CHECK(s.pipes.list.next == &p->in_set);
    struct parts out;
    parts_init(&out);
    CHECK_EQ(pipe_read(p, &out), 0);
    CHECK_EQ(out.len, 1);
    CHECK_MEM(msg_data(&out.v[0]), "left", 4);
    parts_fini(&out);
    conn_set_reap(&s);
    CHECK(list_empty(&s.pipes.list));
    mutex_unlock(&conn_set_reactor(&s)->lock);
    tear_down(&s);
}
