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
#include "reactor/service.h"

/* Rings of other sizes are refused. */
#define RING_MIN ((uint64_t)4 << 10)
#define RING_MAX ((uint64_t)64 << 20)
/* Visitors that have not said yet what they want: so many may stay, and so long. */
#define VISITORS_MAX 32
#define VISIT_NS (1 * NS_PER_S)
#define ACCEPT_ROUNDS 32

struct meeting {
    struct service service; /* first */
    struct meeting_slot *slot;
    struct list guests;
};

static struct meeting *meeting_of(struct service *s)
{
    return (struct meeting *)s;
}

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

/* True: the visitor's socket was taken over. */
static bool seat_visitor(struct visitor *v, const uint8_t *text, size_t len, const int *fds,
                         int count)
{
    struct meeting_message said;
    struct meeting_seat *seat = NULL;
    if (decode(&said, text, len) && count == (said.kind == MEETING_BLOCKS ? 2 : 1))
        seat = take_seat(meeting_of(v->service)->slot, &said);
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

static void visitor_ready(struct visitor *v)
{
    uint8_t text[SHM_MESSAGE_MAX];
    int fds[SHM_FDS_MAX], count;
    ssize_t n = shm_receive_all(v->io.fd, text, sizeof(text), fds, SHM_FDS_MAX, &count);
    if (n == -EAGAIN)
        return;
    bool taken = n > 0 && seat_visitor(v, text, (size_t)n, fds, count);
    for (int i = 0; i < count; i++)
        net_close(fds[i]);
    if (taken) { /* only the place in the poller goes */
        io_watch(&v->service->reactor, &v->io, 0);
        v->io.fd = -1;
    }
    service_send_away(v);
}

static struct visitor *new_visitor(struct service *s)
{
    (void)s;
    return mem_zalloc(sizeof(struct visitor));
}

static void free_visitor(struct visitor *v)
{
    mem_free(v);
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
    send_off(&g->meeting->service.reactor, g);
}

/* ---- the meeting point ---- */

static void end_guests(struct service *s)
{
    struct meeting *m = meeting_of(s);
    while (!list_empty(&m->guests)) {
        struct guest *g = LIST_ENTRY(m->guests.next, struct guest, node);
        g->over(g);
        send_off(&s->reactor, g);
    }
}

static void released(struct service *s)
{
    mem_free(meeting_of(s));
}

static int accept_one(struct service *s, int listener)
{
    (void)s;
    return shm_accept(listener);
}

static const struct service_ops ops = {
    .visitors_max = VISITORS_MAX,
    .visit_ns = VISIT_NS,
    .accept_rounds = ACCEPT_ROUNDS,
    .reads_at_once = true, /* most have said it by now */
    .accept = accept_one,
    .visit = new_visitor,
    .ready = visitor_ready,
    .free = free_visitor,
    .ending = end_guests,
    .released = released,
};

/* The slot's lock is held. */
static int open_meeting(struct meeting_slot *slot, struct io_thread *io)
{
    struct meeting *m = mem_zalloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    service_init(&m->service, &ops);
    m->slot = slot;
    list_init(&m->guests);
    int fd = shm_listen(slot->name);
    int rc = fd < 0 ? fd : service_start(&m->service, fd, io);
    if (rc) {
        if (fd >= 0)
            net_close(fd);
        service_abandon(&m->service);
        return rc;
    }
    slot->meeting = m;
    return 0;
}

static void join(struct reactor *r, struct cmd *cmd)
{
    struct guest *g = LIST_ENTRY(cmd, struct guest, join);
    struct meeting *m = meeting_of((struct service *)r);
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
    struct reactor *r = rc ? NULL : &slot->meeting->service.reactor;
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
    if (m && atomic_load(&m->service.reactor.has_poller))
        count += poller_fds(m->service.reactor.poller);
    if (m && atomic_load(&m->service.reactor.has_wake))
        count += wakeup_fds(&m->service.reactor.wake);
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
    if (m)
        service_stop(&m->service); /* guests that are about to join have joined then */
}
