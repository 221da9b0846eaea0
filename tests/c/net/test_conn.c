/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/*
 * Connections, with what carries their bytes in memory: whatever the stream does to timing and
 * sizes, all messages arrive, whole, once and in order.
 */
#include "check.h"

#include <sys/socket.h>
#include <unistd.h>

#include "box.h"
#include "memstream.h"
#include "net/conn.h"
#include "net/conn_new.h"
#include "net/conn_read.h"
#include "net/endpoint.h"
#include "os/net.h"

/* ---- two ends ---- */

struct world {
    struct conn_set set[2];
    struct mem_stream *end[2];
};

static void begin(struct world *w, const struct mem_faults *faults)
{
    mem_pair(w->end, faults);
    const struct conn_ends names = {"mem://a", "mem://b", "mem://b", "b", NULL, NULL, false};
    for (int i = 0; i < 2; i++) {
        set_up(&w->set[i]);
        mutex_lock(&conn_set_reactor(&w->set[i])->lock);
        CHECK(conn_new(&w->set[i], NULL, w->end[i]->stream.fd, &w->end[i]->stream, NULL, &names));
        mutex_unlock(&conn_set_reactor(&w->set[i])->lock);
    }
}

static void step(struct world *w)
{
    int first = (int)(check_rand() % 2);
    turn(&w->set[first]);
    if (check_rand() % 3 == 0 && w->end[0] && w->end[1])
        mem_pass_time(w->end[0], w->end[1]);
    turn(&w->set[!first]);
}

static void shake_hands(struct world *w)
{
    for (int i = 0; i < 10000; i++) {
        struct box *a = box_of(&w->set[0]), *b = box_of(&w->set[1]);
        if (a->pipe && b->pipe && a->pipe->ready && b->pipe->ready)
            return;
        step(w);
    }
    CHECK_STR("the handshake", "ended");
}

static uint8_t byte_of(uint32_t number, size_t at)
{
    return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

static bool send_one(struct conn_set *s, uint32_t number, size_t size)
{
    struct reactor *r = conn_set_reactor(s);
    uint8_t *data = mem_alloc(size + 8);
    memcpy(data, &number, 4);
    for (size_t i = 4; i < size; i++)
        data[i] = byte_of(number, i);
    mutex_lock(&r->lock);
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, data, size), 0);
    int rc = pipe_write(box_of(s)->pipe, &m, 1);
    if (rc)
        msg_drop(&m);
    reactor_leave(r);
    mem_free(data);
    CHECK(rc == 0 || rc == -EAGAIN);
    return rc == 0;
}

/* Receives what is there; the numbers must go on where they were. */
static uint32_t receive_all(struct conn_set *s, uint32_t next, unsigned most)
{
    struct reactor *r = conn_set_reactor(s);
    mutex_lock(&r->lock);
    struct box *b = box_of(s);
    while (most-- && b->pipe && pipe_can_read(b->pipe)) {
        struct parts m;
        parts_init(&m);
        CHECK_EQ(pipe_read(b->pipe, &m), 0);
        CHECK_EQ(m.len, 1);
        const uint8_t *data = msg_data(&m.v[0]);
        CHECK_MEM(data, &next, 4);
        for (size_t i = 4; i < msg_size(&m.v[0]); i++)
            if (data[i] != byte_of(next, i))
                CHECK_EQ(data[i], byte_of(next, i));
        next++;
        parts_clear(&m);
        parts_fini(&m);
    }
    reactor_leave(r);
    return next;
}

static const struct mem_faults kinds[] = {
    {0},
    {.cut = 900},
    {.again = 300},
    {.late = 800},
    {.reads_more = true},
    {.cut = 700, .again = 200, .late = 500, .reads_more = true},
};

static size_t size_of(uint32_t number)
{
    static const size_t sizes[] = {4, 64, 64, 300, 64, 1500, 64, 64, 9000, 70000};
    return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

TEST(all_arrives_in_order_whatever_the_stream_does)
{
    enum { MESSAGES = 300 };
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct world w;
        begin(&w, &kinds[k]);
        shake_hands(&w);
        uint32_t sent[2] = {0, 0}, got[2] = {0, 0};
        long idle = 0;
        while (got[0] < MESSAGES || got[1] < MESSAGES) {
            uint32_t before = got[0] + got[1];
            for (int i = 0; i < 2; i++)
                for (int n = (int)(check_rand() % 8); n && sent[i] < MESSAGES; n--)
                    sent[i] += send_one(&w.set[i], sent[i], size_of(sent[i]));
            step(&w);
            for (int i = 0; i < 2; i++)
                got[i] = receive_all(&w.set[i], got[i], 100);
            idle = got[0] + got[1] == before ? idle + 1 : 0;
            CHECK(idle < 100000);
        }
        CHECK_EQ(box_of(&w.set[0])->hung_up + box_of(&w.set[1])->hung_up, 0);
        for (int i = 0; i < 2; i++)
            tear_down(&w.set[i]);
    }
}

TEST(a_receiver_at_its_mark_reads_on_when_it_has_received)
{
    enum { MESSAGES = 400, HWM = 5 };
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct world w;
        begin(&w, &kinds[k]);
        w.set[1].pipes.opt.rcvhwm = HWM;
        shake_hands(&w);
        uint32_t sent = 0, got = 0;
        for (long i = 0; got < MESSAGES; i++) {
            CHECK(i < 1000000);
            while (sent < MESSAGES && sent < got + 200)
                sent += send_one(&w.set[0], sent, 64);
            step(&w);
            CHECK(box_of(&w.set[1])->pipe->in.msgs <= HWM);
            if (check_rand() % 4 == 0)
                got = receive_all(&w.set[1], got, 1 + (unsigned)(check_rand() % HWM));
        }
        for (int i = 0; i < 2; i++)
            tear_down(&w.set[i]);
    }
}

TEST(what_was_sent_before_the_end_is_received_before_it)
{
    enum { MESSAGES = 20 };
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct world w;
        begin(&w, &kinds[k]);
        shake_hands(&w);
        for (uint32_t i = 0; i < MESSAGES; i++)
            CHECK(send_one(&w.set[0], i, 40));
        while (!outq_empty(&box_of(&w.set[0])->pipe->out))
            step(&w);
        tear_down(&w.set[0]);
        w.end[0] = NULL;
        uint32_t got = 0;
        for (int i = 0; i < 10000 && box_of(&w.set[1])->hung_up == 0; i++) {
            turn(&w.set[1]);
            if (!list_empty(&w.set[1].conns) && w.end[1]->due)
                mem_show_now(w.end[1]);
            got = receive_all(&w.set[1], got, 3);
        }
        got = receive_all(&w.set[1], got, MESSAGES);
        CHECK_EQ(got, MESSAGES);
        CHECK_EQ(box_of(&w.set[1])->hung_up, 1);
        tear_down(&w.set[1]);
    }
}

TEST(a_quiet_stream_is_left_alone)
{
    static const struct mem_faults none = {0};
    struct world w;
    begin(&w, &none);
    shake_hands(&w);
    for (int i = 0; i < 20; i++)
        step(&w);
    unsigned long reads = w.end[0]->reads, writes = w.end[0]->writes;
    for (int i = 0; i < 1000; i++)
        step(&w);
    CHECK_EQ(w.end[0]->reads, reads);
    CHECK_EQ(w.end[0]->writes, writes);
    for (int i = 0; i < 2; i++)
        tear_down(&w.set[i]);
}

TEST(a_stream_that_takes_no_more_is_left_alone_until_it_does)
{
    static const struct mem_faults none = {0};
    struct world w;
    begin(&w, &none);
    w.set[1].pipes.opt.rcvhwm = 1;
    shake_hands(&w);
    uint32_t sent = 0;
    for (int i = 0; i < 200; i++) { /* nobody receives: the mark, the stream and the queue fill */
        sent += send_one(&w.set[0], sent, 300);
        step(&w);
    }
    CHECK(!outq_empty(&box_of(&w.set[0])->pipe->out));
    unsigned long writes = w.end[0]->writes, reads = w.end[1]->reads;
    for (int i = 0; i < 1000; i++)
        step(&w);
    CHECK_EQ(w.end[0]->writes, writes);
    CHECK_EQ(w.end[1]->reads, reads);
    uint32_t got = 0;
    for (long i = 0; got < sent; i++) {
        CHECK(i < 100000);
        step(&w);
        got = receive_all(&w.set[1], got, 100);
    }
    for (int i = 0; i < 2; i++)
        tear_down(&w.set[i]);
}

/* ---- readiness that is the descriptor's ---- */

static unsigned long plain_writes;

static ssize_t plain_read(struct stream *st, void *buf, size_t len)
{
    return net_recv(st->fd, buf, len);
}

static ssize_t plain_write(struct stream *st, const struct iovec *iov, int count)
{
    plain_writes++;
    return net_sendv(st->fd, iov, count);
}

static int plain_peek(struct stream *st)
{
    return net_pending(st->fd);
}

static bool plain_pending(const struct stream *st)
{
    (void)st;
    return false;
}

static uint32_t plain_interest(const struct stream *st, uint32_t wanted)
{
    (void)st;
    return wanted;
}

static void plain_nothing(struct stream *st)
{
    (void)st;
}

/* The frames of a WebSocket as the peer gives and takes them. */
static const struct stream_ops plain_ops = {
    .websocket = true,
    .read = plain_read,
    .write = plain_write,
    .peek = plain_peek,
    .pending = plain_pending,
    .interest = plain_interest,
    .end_writing = plain_nothing,
    .close = plain_nothing,
};

TEST(what_comes_over_a_websocket_is_no_reason_to_write_while_there_is_no_room)
{
    static const char greeting[] = "\0\6ZWS2.0\0\0", ping[] = "\4\x8\4PING\0\0x";
    const struct conn_ends names = {"ws://a", "ws://b", "ws://b", "b", NULL, NULL, false};
    struct conn_set s;
    struct reactor *r = conn_set_reactor(&s);
    int fd[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    for (int i = 0; i < 2; i++) /* the connection closes the first */
        CHECK_EQ(net_fd_adopt(fd[i]), fd[i]);
    struct stream stream = {&plain_ops, fd[0]};
    set_up(&s);
    mutex_lock(&r->lock);
    struct conn *c = conn_new(&s, NULL, fd[0], &stream, NULL, &names);
    mutex_unlock(&r->lock);
    CHECK(c != NULL);
    CHECK_EQ(send(fd[1], greeting, sizeof(greeting) - 1, 0), sizeof(greeting) - 1);
    while (!box_of(&s)->pipe || !box_of(&s)->pipe->ready)
        turn(&s);
    uint32_t sent = 0;
    while (!c->link.blocked) {
        send_one(&s, sent++, 9000);
        turn(&s);
    }
    unsigned long before = plain_writes;
    uint64_t in = c->bytes_in;
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(send(fd[1], ping, sizeof(ping) - 1, 0), sizeof(ping) - 1);
        turn(&s);
    }
    CHECK_EQ(c->bytes_in - in, 500 * (sizeof(ping) - 1));
    CHECK_EQ(plain_writes, before);
    char taken[65536];
    while (c->link.blocked) { /* there is room */
        while (recv(fd[1], taken, sizeof(taken), 0) > 0)
            continue;
        turn(&s);
    }
    CHECK(plain_writes > before);
    CHECK(outq_empty(&box_of(&s)->pipe->out));
    net_close(fd[1]);
    while (box_of(&s)->pipe)
        turn(&s);
    tear_down(&s);
}

/* ---- the reason of an end ---- */

static struct conn_set *reading;

/* Another thread reads during the first write, and finds a mechanism that does not fit. */
static ssize_t write_while_another_reads(struct stream *st, const struct iovec *iov, int count)
{
    struct conn_set *s = reading;
    reading = NULL;
    if (s) {
        static const uint8_t greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE";
        struct conn *c = LIST_ENTRY(list_first(&s->conns), struct conn, in_set);
        mutex_lock(&conn_set_reactor(s)->lock);
        uint8_t *buf;
        size_t room;
        CHECK_EQ(peer_recv_buf(&c->peer, &buf, &room), 0);
        CHECK(room >= sizeof(greeting));
        memcpy(buf, greeting, sizeof(greeting));
        peer_recv_done(&c->peer, sizeof(greeting), clock_now());
        conn_process(c);
        CHECK(c->end_wanted == CONN_END_BROKEN);
        mutex_unlock(&conn_set_reactor(s)->lock);
    }
    return net_sendv(st->fd, iov, count);
}

TEST(an_end_that_comes_during_a_write_still_tells_its_mechanism)
{
    const struct conn_ends names = {"tcp://a", "tcp://b", "tcp://b", "b", NULL, NULL, false};
    struct stream_ops tried = plain_ops;
    tried.websocket = false;
    tried.write = write_while_another_reads;
    struct conn_set s;
    struct reactor *r = conn_set_reactor(&s);
    int fd[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    for (int i = 0; i < 2; i++) /* the connection closes the first */
        CHECK_EQ(net_fd_adopt(fd[i]), fd[i]);
    struct stream stream = {&tried, fd[0]};
    set_up(&s);
    reading = &s;
    mutex_lock(&r->lock);
    CHECK(conn_new(&s, NULL, fd[0], &stream, NULL, &names) != NULL);
    mutex_unlock(&r->lock);
    char told[128];
    size_t got = 0;
    for (ssize_t n; (n = recv(fd[1], told + got, sizeof(told) - got, 0)) != 0;) {
        got += n > 0 ? (size_t)n : 0;
        turn(&s);
    }
    CHECK_EQ(got, 64);
    CHECK_MEM(told + 12, "NULL", 5);
    net_close(fd[1]);
    tear_down(&s);
}

/* ---- one sign for both ways ---- */

static struct world *signs;

/* The descriptor's sign is taken here, as that of memory that processes share is. While this thread
 * has not yet come to it, another one finds no room, and room comes with its sign. */
static void take_sign(struct stream *st)
{
    struct mem_stream *m = mem_of(st);
    struct conn_set *s = &signs->set[0];
    struct link *l = box_of(s)->pipe->link;
    for (uint32_t sent = 0; !l->blocked; sent++)
        send_one(s, sent, 1000);
    while (!m->can_write)
        turn(&signs->set[1]);
    m->shown = false;
    wakeup_drain(&m->wake);
}

TEST(a_thread_that_spins_and_takes_the_sign_of_room_writes)
{
    static const struct mem_faults none = {0};
    struct stream_ops one_sign = mem_stream_ops;
    struct world w;
    begin(&w, &none);
    shake_hands(&w);
    struct conn_set *s = &w.set[0];
    struct conn *c = conn_of(box_of(s)->pipe->link);
    signs = &w;
    one_sign.ready = take_sign;
    w.end[0]->stream.ops = &one_sign;
    mutex_lock(&conn_set_reactor(s)->lock);
    conn_spin(c, 0);
    CHECK(!w.end[0]->can_write); /* it has been used */
    mutex_unlock(&conn_set_reactor(s)->lock);
    one_sign.ready = NULL;
    for (int i = 0; i < 2; i++)
        tear_down(&w.set[i]);
}

/* ---- a pattern that takes no peer ---- */

static int attach_nobody(struct pipe_set *s, struct pipe *p)
{
    (void)s;
    (void)p;
    return -EBUSY; /* -ENOMEM would be tried again */
}

TEST(a_connecter_keeps_no_pipe_that_its_pattern_did_not_take)
{
    static const struct mem_faults none = {0};
    struct pattern_ops refusing = box_ops;
    refusing.attach = attach_nobody;
    struct world w;
    mem_pair(w.end, &none);
    const struct conn_ends names = {"mem://a", "mem://b", "mem://b", "b", NULL, NULL, false};
    for (int i = 0; i < 2; i++) {
        struct conn_set *s = &w.set[i];
        set_up(s);
        mutex_lock(&conn_set_reactor(s)->lock);
        struct endpoint *ep = NULL;
        if (i == 0) {
            s->pipes.ops = &refusing;
            ep = endpoint_new(s, "mem://b", false, NULL, NULL);
            list_push_back(&s->endpoints, &ep->in_set);
        }
        CHECK(conn_new(s, ep, w.end[i]->stream.fd, &w.end[i]->stream, NULL, &names));
        mutex_unlock(&conn_set_reactor(s)->lock);
    }
    for (int i = 0; !list_empty(&w.set[0].endpoints); i++) { /* it may not try again */
        CHECK(i < 10000);
        turn(&w.set[0]); /* which may free its end */
        turn(&w.set[1]);
    }
    for (int i = 0; i < 2; i++)
        tear_down(&w.set[i]);
}

/* ---- the flush policy, and LINGER ---- */

TEST(a_quiet_socket_writes_at_once_and_a_busy_one_leaves_small_messages_to_the_tick)
{
    static const struct mem_faults none = {0};
    struct world w;
    begin(&w, &none);
    shake_hands(&w);
    struct conn_set *s = &w.set[0];
    struct reactor *r = conn_set_reactor(s);
    struct pipe *p = box_of(s)->pipe;
    s->write_cost = 0;
    r->last_write = 0;
    CHECK(send_one(s, 0, 10));
    CHECK(outq_empty(&p->out));
    s->write_cost = 3600 * NS_PER_S; /* busy for long */
    r->last_write = clock_now();
    CHECK(send_one(s, 1, 10));
    CHECK(!outq_empty(&p->out));
    CHECK(!list_empty(&r->flush_list));
    mutex_lock(&r->lock);
    CHECK(conn_set_lingers(s));
    s->linger_until = 0; /* LINGER is over */
    CHECK(!conn_set_lingers(s));
    s->linger_until = CLOCK_NEVER;
    atomic_store(&r->broken, true);
    CHECK(!conn_set_lingers(s));
    atomic_store(&r->broken, false);
    flush_run(r, true);
    CHECK(outq_empty(&p->out));
    CHECK(!conn_set_lingers(s));
    CHECK(list_empty(&r->flush_list));
    mutex_unlock(&r->lock);
    /* Much of it goes at once all the same. */
    uint32_t number = 2;
    s->write_cost = 3600 * NS_PER_S;
    r->last_write = clock_now();
    CHECK(send_one(s, number++, 1000));
    CHECK(!outq_empty(&p->out));
    unsigned long writes = w.end[0]->writes;
    while (number < 1000 && w.end[0]->writes == writes) {
        CHECK(send_one(s, number++, 1000));
        s->write_cost = 3600 * NS_PER_S;
    }
    CHECK(number > 3 && number < 1000);
    for (int i = 0; i < 2; i++)
        tear_down(&w.set[i]);
}
