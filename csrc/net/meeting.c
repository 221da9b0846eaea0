/* SPDX-License-Identifier: MIT */
#include "net/meeting.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "net/borrow.h"
#include "os/clock.h"
#include "os/net.h"
#include "os/random.h"
#include "reactor/io_thread.h"
#include "reactor/reactor.h"

/* Rings of other sizes are refused. */
#define RING_MIN ((uint64_t)4 << 10)
#define RING_MAX ((uint64_t)64 << 20)
/* Visitors that have not said yet what they want: so many may stay, and so long. */
#define VISITORS_MAX 32
#define VISIT_NS (1 * NS_PER_S)
/* So many are let in in one go, and then others have their turn. */
#define ACCEPT_ROUNDS 32
/* How long nobody is let in for want of descriptors. */
#define REST_NS (100 * NS_PER_MS)

struct meeting {
    struct reactor reactor; /* first */
    struct meeting_slot *slot;
    struct io listener;
    struct timer rest;
    struct list visitors; /* the longest there first */
    unsigned visitor_count;
    struct list guests;
};

struct visitor {
    struct io io;
    struct list node;
    struct timer patience;
    struct meeting *meeting;
};

/* ---- places ---- */

void meeting_init(struct meeting_slot *slot)
{
    mutex_init(&slot->lock);
    list_init(&slot->seats);
}

void meeting_fini(struct meeting_slot *slot)
{
    mutex_fini(&slot->lock);
}

bool meeting_count(struct meeting_slot *slot)
{
    int taken = atomic_load(&slot->taken);
    while (taken < atomic_load(&slot->most))
        if (atomic_compare_exchange_weak(&slot->taken, &taken, taken + 1))
            return true;
    return false;
}

void meeting_uncount(struct meeting_slot *slot)
{
    atomic_fetch_sub(&slot->taken, 1);
}

void meeting_seat_free(struct meeting_seat *seat)
{
    mem_free(seat);
}

void meeting_withdraw(struct meeting_slot *slot, struct meeting_seat *seat)
{
    mutex_lock(&slot->lock);
    bool waits = list_linked(&seat->node);
    list_remove(&seat->node);
    seat->conn = NULL; /* else `came` is on its way and frees it */
    mutex_unlock(&slot->lock);
    if (waits)
        meeting_seat_free(seat);
}

void meeting_encode(const struct meeting_message *m, uint8_t out[MEETING_MESSAGE])
{
    out[0] = m->kind;
    memcpy(out + 1, m->token, MEETING_TOKEN);
    put_be64(out + 1 + MEETING_TOKEN, m->size);
}

static bool decode(struct meeting_message *m, const uint8_t *in, size_t len)
{
    if (len != MEETING_MESSAGE)
        return false;
    m->kind = in[0];
    memcpy(m->token, in + 1, MEETING_TOKEN);
    m->size = get_be64(in + 1 + MEETING_TOKEN);
    if (m->size % shm_page())
        return false;
    if (m->kind == MEETING_BLOCKS)
        return m->size > 0 && m->size <= SIZE_MAX / 2;
    return m->kind == MEETING_RINGS && m->size >= RING_MIN && m->size <= RING_MAX &&
           (m->size & (m->size - 1)) == 0;
}

/* Takes the seat that the token stands for. Its reactor is referenced then. */
static struct meeting_seat *take_seat(struct meeting_slot *slot, const struct meeting_message *m)
{
    struct meeting_seat *found = NULL;
    mutex_lock(&slot->lock);
    LIST_FOR(n, &slot->seats)
    {
        struct meeting_seat *seat = LIST_ENTRY(n, struct meeting_seat, node);
        if (seat->kind == m->kind && memcmp(seat->token, m->token, MEETING_TOKEN) == 0) {
            found = seat;
            list_remove(&seat->node);
            reactor_ref(seat->reactor); /* alive, as its connection is */
            break;
        }
    }
    mutex_unlock(&slot->lock);
    return found;
}

/* ---- visitors ---- */

static void free_visitor(struct io *io)
{
    net_close(io->fd);
    mem_free(LIST_ENTRY(io, struct visitor, io));
}

static void send_away(struct visitor *v)
{
    struct meeting *m = v->meeting;
    timer_cancel(&m->reactor, &v->patience);
    list_remove(&v->node);
    m->visitor_count--;
    io_free_later(&m->reactor, &v->io);
}

/* True: the visitor's socket was taken over. */
static bool seat_visitor(struct visitor *v, const uint8_t *text, size_t len, const int *fds,
                         int count)
{
    struct meeting_message said;
    struct meeting_seat *seat = NULL;
    if (decode(&said, text, len) && count == (said.kind == MEETING_BLOCKS ? 2 : 1))
        seat = take_seat(v->meeting->slot, &said);
    if (!seat)
        return false;
    struct reactor *r = seat->reactor;
    bool taken = false;
    if (said.kind == MEETING_RINGS) {
        seat->result = shm_region_open(&seat->region, (size_t)said.size, fds[0]);
    } else {
        seat->result = borrower_new(&seat->borrower, fds[0], fds[1], (size_t)said.size, v->io.fd);
        taken = seat->result == 0;
    }
    mailbox_post(r, &seat->came, true);
    reactor_unref(r);
    return taken;
}

static void visitor_ready(struct io *io, uint32_t events)
{
    struct visitor *v = LIST_ENTRY(io, struct visitor, io);
    uint8_t text[SHM_MESSAGE_MAX];
    int fds[SHM_FDS_MAX], count;
    (void)events;
    ssize_t n = shm_receive_all(io->fd, text, sizeof(text), fds, SHM_FDS_MAX, &count);
    if (n == -EAGAIN)
        return;
    bool taken = n > 0 && seat_visitor(v, text, (size_t)n, fds, count);
    for (int i = 0; i < count; i++)
        net_close(fds[i]);
    if (taken) { /* only the place in the poller goes */
        io_watch(&v->meeting->reactor, io, 0);
        io->fd = -1;
    }
    send_away(v);
}

static void visitor_timer(struct timer *t, uint64_t now)
{
    (void)now;
    send_away(LIST_ENTRY(t, struct visitor, patience));
}

static void let_in(struct meeting *m, int fd)
{
    struct visitor *v = mem_zalloc(sizeof(*v));
    if (!v) {
        net_close(fd);
        return;
    }
    v->meeting = m;
    v->io.fd = fd;
    v->io.ready = visitor_ready;
    v->io.free = free_visitor;
    list_init(&v->io.deferred);
    list_init(&v->node);
    timer_init(&v->patience, visitor_timer);
    if (io_watch(&m->reactor, &v->io, POLLER_IN)) {
        free_visitor(&v->io);
        return;
    }
    list_push_back(&m->visitors, &v->node);
    timer_set(&m->reactor, &v->patience, clock_now() + VISIT_NS);
    if (++m->visitor_count > VISITORS_MAX)
        send_away(LIST_ENTRY(m->visitors.next, struct visitor, node));
    /* Most have said it by now. */
    visitor_ready(&v->io, POLLER_IN);
}

static void listener_ready(struct io *io, uint32_t events)
{
    struct meeting *m = LIST_ENTRY(io, struct meeting, listener);
    (void)events;
    for (int i = 0; i < ACCEPT_ROUNDS; i++) {
        int fd = shm_accept(io->fd);
        if (fd >= 0)
            let_in(m, fd);
        else if (fd == -EAGAIN)
            return;
        else if (fd != -EACCES) {
            io_watch(&m->reactor, io, 0);
            timer_set(&m->reactor, &m->rest, clock_now() + REST_NS);
            return;
        }
    }
}

static void rest_timer(struct timer *t, uint64_t now)
{
    struct meeting *m = LIST_ENTRY(t, struct meeting, rest);
    if (io_watch(&m->reactor, &m->listener, POLLER_IN))
        timer_set(&m->reactor, &m->rest, now + REST_NS);
}

/* ---- guests ---- */

static void join(struct reactor *r, struct cmd *cmd);

static void send_off(struct reactor *r, struct guest *g)
{
    list_remove(&g->node);
    io_free_later(r, &g->io);
}

void meeting_dismiss(struct guest *g)
{
    send_off(&g->meeting->reactor, g);
}

/* ---- the meeting point ---- */

static struct meeting *meeting_of(struct reactor *r)
{
    return (struct meeting *)r;
}

static void no_flush(struct reactor *r, bool all)
{
    (void)r;
    (void)all;
}

static bool never_read(struct reactor *r, uint64_t until)
{
    (void)r;
    (void)until;
    return false;
}

static int no_events(struct reactor *r)
{
    (void)r;
    return 0;
}

static bool finish(struct reactor *r)
{
    struct meeting *m = meeting_of(r);
    if (r->finished)
        return true;
    if (r->polling || r->waiters)
        return false;
    r->finished = true;
    timer_cancel(r, &m->rest);
    while (!list_empty(&m->visitors))
        send_away(LIST_ENTRY(m->visitors.next, struct visitor, node));
    while (!list_empty(&m->guests)) {
        struct guest *g = LIST_ENTRY(m->guests.next, struct guest, node);
        g->over(g);
        send_off(r, g);
    }
    io_free_deferred(r);
    io_watch(r, &m->listener, 0);
    net_close(m->listener.fd);
    io_thread_remove(r->io_thread, r);
    return true;
}

static void released(struct reactor *r)
{
    reactor_fini(r);
    mem_free(meeting_of(r));
}

static const struct reactor_ops ops = {
    .flush = no_flush,
    .reap = io_free_deferred,
    .finish = finish,
    .read_lone = never_read,
    .events = no_events,
    .shared_events = no_events,
    .released = released,
};

/* The slot's lock is held. */
static int open_meeting(struct meeting_slot *slot, struct io_thread *io)
{
    struct meeting *m = mem_zalloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    struct reactor *r = &m->reactor;
    reactor_init(r, &ops);
    m->slot = slot;
    list_init(&m->visitors);
    list_init(&m->guests);
    timer_init(&m->rest, rest_timer);
    list_init(&m->listener.deferred);
    m->listener.ready = listener_ready;
    m->listener.fd = shm_listen(slot->name);
    int rc = m->listener.fd < 0 ? m->listener.fd : io_watch(r, &m->listener, POLLER_IN);
    r->io_thread = io;
    if (rc == 0)
        rc = io_thread_add(io, r);
    if (rc) {
        if (m->listener.fd >= 0) {
            io_watch(r, &m->listener, 0);
            net_close(m->listener.fd);
        }
        r->finished = true;
        reactor_unref(r);
        return rc;
    }
    slot->meeting = m;
    return 0;
}

static void join(struct reactor *r, struct cmd *cmd)
{
    struct guest *g = LIST_ENTRY(cmd, struct guest, join);
    struct meeting *m = meeting_of(r);
    g->meeting = m;
    list_push_back(&m->guests, &g->node);
    if (io_watch(r, &g->io, POLLER_IN) == 0) {
        atomic_store(&g->watched, true);
        return;
    }
    /* Nobody would tell what comes there. */
    g->over(g);
    send_off(r, g);
}

int meeting_host(struct meeting_slot *slot, struct io_thread *io, struct guest *g)
{
    list_init(&g->node);
    list_init(&g->io.deferred);
    g->join.run = join;
    mutex_lock(&slot->lock);
    int rc = slot->ended ? -ECANCELED : slot->meeting ? 0 : open_meeting(slot, io);
    struct reactor *r = rc ? NULL : &slot->meeting->reactor;
    if (r)
        reactor_ref(r);
    mutex_unlock(&slot->lock);
    if (!r)
        return rc;
    mailbox_post(r, &g->join, true);
    reactor_unref(r);
    return 0;
}

int meeting_offer(struct meeting_slot *slot, struct io_thread *io, struct reactor *r,
                  struct conn *conn, uint8_t kind, void (*came)(struct reactor *r, struct cmd *cmd),
                  struct meeting_seat **out)
{
    struct meeting_seat *seat = mem_zalloc(sizeof(*seat));
    if (!seat)
        return -ENOMEM;
    list_init(&seat->node);
    seat->kind = kind;
    seat->came.run = came;
    seat->reactor = r;
    seat->conn = conn;
    random_bytes(seat->token, sizeof(seat->token));
    mutex_lock(&slot->lock);
    int rc = slot->ended ? -ECANCELED : slot->meeting ? 0 : open_meeting(slot, io);
    if (rc == 0)
        list_push_back(&slot->seats, &seat->node);
    mutex_unlock(&slot->lock);
    if (rc) {
        meeting_seat_free(seat);
        return rc;
    }
    *out = seat;
    return 0;
}

uint32_t meeting_descriptors(struct meeting_slot *slot)
{
    mutex_lock(&slot->lock);
    struct meeting *m = slot->meeting;
    uint32_t count = m != NULL;
    /* The reactor makes them when it needs them, under its own lock. */
    if (m && atomic_load(&m->reactor.has_poller))
        count += poller_fds(m->reactor.poller);
    if (m && atomic_load(&m->reactor.has_wake))
        count += wakeup_fds(&m->reactor.wake);
    mutex_unlock(&slot->lock);
    return count;
}

void meeting_end(struct meeting_slot *slot)
{
    mutex_lock(&slot->lock);
    struct meeting *m = slot->meeting;
    slot->meeting = NULL;
    slot->ended = true;
    mutex_unlock(&slot->lock);
    if (!m)
        return;
    struct reactor *r = &m->reactor;
    mutex_lock(&r->lock);
    mailbox_run(r); /* guests that are about to join */
    r->closed = true;
    reactor_stop(r, ENOTSOCK);
    r->waiters++;
    while (r->polling)
        cond_wait(&r->cond, &r->lock, -1);
    r->waiters--;
    r->work |= WORK_CLOSE;
    reactor_leave(r);
}
