/* SPDX-License-Identifier: MIT */
/*
 * A link has two ends. Each end has a queue of messages towards it, filled by the other end's
 * socket under the link's lock, and taken whole by its own socket when that has read all it had:
 * the lock is taken once a batch on the reading side.
 *
 * A socket never touches the other one: it leaves a note (EV_ bits) at the other end and posts
 * that end's command. All posting is done under the link's lock, where end.set is known to be
 * alive.
 */
#include "transport/inproc.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "fastmq.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "pipe/budget.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"
#include "wire/peer.h"
#include "wire/types.h"

#define EV_ATTACH 1u    /* a connection for the bound socket */
#define EV_CONNECTED 2u /* the bound socket came */
#define EV_READABLE 4u
#define EV_WRITABLE 8u
#define EV_CLOSED 16u

#define NAME_MAX_LEN 256
#define SCHEME "inproc://"

struct inproc_link;

struct link_end {
    struct inproc_link *link;
    struct conn_set *set; /* referenced; NULL before it came and after it left */
    struct pipe *pipe;    /* guarded by socket's lock */
    struct msgring queue; /* towards this end */
    uint32_t put;         /* messages ever queued; written by the other end's socket */
    uint64_t bytes;       /* of them */
    uint64_t replaced;    /* bytes that CONFLATE threw away */
    atomic_uint taken;    /* messages ever received from here */
    atomic_uint hwm;      /* of `queue` and what was taken from it unread; 0: none */
    /* Bytes ever received. Changed before `taken` and read after it, which orders the two. */
    _Atomic(uint64_t) taken_bytes;
    _Atomic(uint64_t) max_bytes; /* as hwm */
    atomic_bool writer_blocked;
    bool idle;   /* its reader found nothing, or conflates: the next message must be announced */
    bool closed; /* its socket has left */
    uint32_t sndhwm, rcvhwm;
    uint64_t sndhwm_bytes, rcvhwm_bytes;
    atomic_bool conflate;
    unsigned events;
    bool posted;
    struct cmd cmd;
    uint8_t identity[255];
    uint8_t identity_len;
};

struct inproc_link {
    struct link link; /* both pipes' */
    struct mutex lock;
    atomic_uint refs;
    struct link_end end[2]; /* 0: connected, 1: bound */
    int type;               /* of the connecting socket */
    bool mismatched;        /* a pairing that other transports refuse; known once both are there */
    struct budget *budget;  /* both pipes' */
    struct list waiting;    /* inproc_wait.links, under names->lock */
    char *uri;              /* inproc://... */
    const char *name;       /* in it */
};

/* A bound name with what its socket was when it was bound, so that connecting needs no lock of it.
 */
struct bound_name {
    struct conn_set *set;
    uint32_t sndhwm, rcvhwm;
    uint64_t sndhwm_bytes, rcvhwm_bytes;
    bool conflate;
    uint8_t identity[255];
    uint8_t identity_len;
};

struct inproc_wait {
    struct list links;
};

static void link_run(struct reactor *r, struct cmd *cmd);
static const struct link_ops direct_link;

static struct conn_set *set_of(const struct pipe *p)
{
    return conn_set_of(&p->set->reactor);
}

static struct inproc_link *link_of(const struct pipe *p)
{
    return LIST_ENTRY(p->link, struct inproc_link, link);
}

/* Queued towards that end, in the link or taken over by its reader, and not received. */
static uint64_t queued_bytes(const struct link_end *e)
{
    return e->bytes - e->replaced - atomic_load_explicit(&e->taken_bytes, memory_order_relaxed);
}

static inline void give_back(struct inproc_link *l, uint64_t bytes)
{
    if (l->budget)
        budget_give(l->budget, bytes);
}

static void link_unref(struct inproc_link *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    for (int i = 0; i < 2; i++) {
        give_back(l, queued_bytes(&l->end[i]));
        msgring_fini(&l->end[i].queue);
    }
    mutex_fini(&l->lock);
    mem_free(l->uri);
    mem_free(l);
}

/* The identity that the other end sees: the length of what is written to `to`. */
static uint8_t own_identity(const struct conn_set *s, uint8_t *to)
{
    const struct option_values *o = &s->pipes.opt;
    if (peer_identity_is_reserved(o->routing_id, o->routing_id_len))
        return 0;
    memcpy(to, o->routing_id, o->routing_id_len);
    return o->routing_id_len;
}

/* Leaves a note for the socket at that end. l->lock held. */
static void note(struct inproc_link *l, int side, unsigned events, bool urgent)
{
    struct link_end *e = &l->end[side];
    if (!e->set || e->closed)
        return;
    e->events |= events;
    if (e->posted) { /* its run will see the new bits, too */
        if (urgent)
            reactor_signal(&e->set->pipes.reactor);
        return;
    }
    e->posted = true;
    atomic_fetch_add(&l->refs, 1);
    mailbox_post(conn_set_reactor(e->set), &e->cmd, urgent);
}

static void describe(struct link_end *e, struct conn_set *s)
{
    e->sndhwm = (uint32_t)s->pipes.opt.sndhwm;
    e->rcvhwm = (uint32_t)s->pipes.opt.rcvhwm;
    e->sndhwm_bytes = (uint64_t)s->pipes.opt.sndhwm_bytes;
    e->rcvhwm_bytes = (uint64_t)s->pipes.opt.rcvhwm_bytes;
    atomic_store(&e->conflate, s->pipes.opt.conflate);
    e->identity_len = own_identity(s, e->identity);
}

/* The marks of both directions, now that both ends are described (or one: then its own alone
 * counts). */
static void set_hwm(struct inproc_link *l, bool both)
{
    for (int i = 0; i < 2; i++) {
        struct link_end *to = &l->end[i], *from = &l->end[!i];
        uint32_t hwm = !both                        ? from->sndhwm
                       : from->sndhwm && to->rcvhwm ? from->sndhwm + to->rcvhwm
                                                    : 0;
        atomic_store(&to->hwm, hwm);
        /* In bytes there is no limit unless one is set, so that of one side holds alone. */
        atomic_store(&to->max_bytes, from->sndhwm_bytes + (both ? to->rcvhwm_bytes : 0));
    }
}

static struct inproc_link *link_new(struct conn_set *s, const char *name)
{
    struct inproc_link *l = mem_zalloc(sizeof(*l));
    if (!l)
        return NULL;
    size_t len = strlen(name);
    l->uri = mem_alloc(sizeof(SCHEME) + len);
    if (!l->uri) {
        mem_free(l);
        return NULL;
    }
    memcpy(l->uri, SCHEME, sizeof(SCHEME) - 1);
    l->name = memcpy(l->uri + sizeof(SCHEME) - 1, name, len + 1);
    l->link.ops = &direct_link;
    mutex_init(&l->lock);
    atomic_init(&l->refs, 1);
    list_init(&l->waiting);
    for (int i = 0; i < 2; i++) {
        msgring_init(&l->end[i].queue);
        l->end[i].cmd.run = link_run;
        l->end[i].idle = true;
    }
    reactor_ref(conn_set_reactor(s));
    l->end[0].set = s;
    l->type = s->pipes.type;
    l->budget = s->pipes.budget;
    describe(&l->end[0], s);
    return l;
}

/* ---- what a pipe asks ---- */

static bool has_room(const struct link_end *to, uint64_t size)
{
    uint32_t hwm = atomic_load_explicit(&to->hwm, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&to->max_bytes, memory_order_relaxed);
    uint32_t waiting = to->put - atomic_load(&to->taken);
    if (hwm && waiting >= hwm)
        return false;
    uint64_t queued = queued_bytes(to);
    return !max || queued == 0 || (queued < max && size <= max - queued);
}

static void await(struct pipe *p)
{
    atomic_store(&link_of(p)->end[!p->side].writer_blocked, true);
}

static bool can_write(struct pipe *p, uint64_t size)
{
    struct link_end *to = &link_of(p)->end[!p->side];
    if (to->conflate || has_room(to, size))
        return true;
    atomic_store(&to->writer_blocked, true);
    return has_room(to, size);
}

static uint32_t room(struct pipe *p)
{
    struct link_end *to = &link_of(p)->end[!p->side];
    uint32_t hwm = atomic_load_explicit(&to->hwm, memory_order_relaxed);
    if (!hwm || to->conflate)
        return UINT32_MAX;
    uint32_t waiting = to->put - atomic_load(&to->taken);
    if (waiting >= hwm) {
        atomic_store(&to->writer_blocked, true);
        waiting = to->put - atomic_load(&to->taken);
    }
    return waiting < hwm ? hwm - waiting : 0;
}

static bool is_bounded(const struct pipe *p)
{
    return atomic_load_explicit(&link_of(p)->end[!p->side].max_bytes, memory_order_relaxed) != 0;
}

static bool conflates(const struct pipe *p)
{
    return link_of(p)->end[!p->side].conflate;
}

static inline int write_n(struct pipe *p, struct msg *parts, uint32_t n)
{
    struct inproc_link *l = link_of(p);
    struct link_end *to = &l->end[!p->side];
    for (uint32_t i = 0; i < n; i++) {
        int rc = parts[i].kind == MSG_SLICE ? msg_detach(&parts[i]) : msg_own(&parts[i]);
        if (rc)
            return rc;
    }
    uint64_t gone = 0;
    mutex_lock(&l->lock);
    if (to->closed) {
        mutex_unlock(&l->lock);
        give_back(l, parts_size(parts, n));
        for (uint32_t i = 0; i < n; i++)
            msg_drop(&parts[i]);
        return 0;
    }
    if (to->conflate && to->queue.len) {
        p->msgs_out -= to->queue.msgs;
        pipe_count_drops(p, to->queue.msgs);
        to->put -= to->queue.msgs;
        gone = msgring_bytes(&to->queue);
        to->replaced += gone;
        msgring_fini(&to->queue);
        msgring_init(&to->queue);
    }
    uint32_t done = 0;
    for (; done < n; done++) {
        if (done + 1 < n)
            parts[done].flags |= PART_MORE;
        else
            parts[done].flags &= (uint8_t)~PART_MORE;
        if (to->queue.len == to->queue.cap && msgring_grow(&to->queue))
            break;
        to->bytes += msg_size(&parts[done]);
        msgring_push(&to->queue, &parts[done]);
    }
    if (done < n) { /* takes back the beginning: the parts stay the caller's */
        to->queue.len -= done;
        while (done--)
            to->bytes -= msg_size(&parts[done]);
        mutex_unlock(&l->lock);
        give_back(l, gone);
        return -ENOMEM;
    }
    to->put++;
    if (p->room && p->room != UINT32_MAX)
        p->room--;
    if (to->idle) {
        to->idle = false;
        note(l, !p->side, EV_READABLE, false);
    }
    mutex_unlock(&l->lock);
    if (gone)
        give_back(l, gone);
    return 0;
}

/* A single part is the common case, and cheaper where the compiler knows it. */
static int write_parts(struct pipe *p, struct msg *parts, uint32_t n)
{
    return n == 1 ? write_n(p, parts, 1) : write_n(p, parts, n);
}

static void refill(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    struct link_end *e = &l->end[p->side];
    mutex_lock(&l->lock);
    if (e->queue.len == 0) {
        e->idle = true;
    } else if (p->in.len == 0) {
        struct msgring empty = p->in;
        p->in = e->queue;
        e->queue = empty;
        if (e->conflate) {
            atomic_store(&e->taken, e->put - p->in.msgs);
            e->idle = true; /* what comes next takes the place of this */
        }
    }
    mutex_unlock(&l->lock);
}

/* Only our own socket changes it, so that plain arithmetic will do. */
static inline void count_taken(struct link_end *e, uint64_t bytes)
{
    uint64_t before = atomic_load_explicit(&e->taken_bytes, memory_order_relaxed);
    atomic_store_explicit(&e->taken_bytes, before + bytes, memory_order_relaxed);
}

static void taken(struct pipe *p, uint64_t bytes)
{
    struct inproc_link *l = link_of(p);
    struct link_end *e = &l->end[p->side];
    count_taken(e, bytes);
    atomic_fetch_add(&e->taken, 1);
    give_back(l, bytes);
    if (atomic_load(&e->writer_blocked)) {
        mutex_lock(&l->lock);
        atomic_store(&e->writer_blocked, false);
        note(l, !p->side, EV_WRITABLE, false);
        mutex_unlock(&l->lock);
    }
}

static void injected(struct pipe *p, uint64_t bytes)
{
    struct inproc_link *l = link_of(p);
    count_taken(&l->end[p->side], 0 - bytes);
    atomic_fetch_sub(&l->end[p->side].taken, 1);
    if (l->budget)
        budget_add(l->budget, bytes);
}

static uint32_t out_msgs(const struct pipe *p)
{
    struct link_end *to = &link_of(p)->end[!p->side];
    return to->put - atomic_load(&to->taken);
}

static uint64_t out_bytes(const struct pipe *p)
{
    return queued_bytes(&link_of(p)->end[!p->side]);
}

static uint64_t in_bytes(const struct pipe *p)
{
    mutex_lock(&link_of(p)->lock);
    uint64_t waiting = queued_bytes(&link_of(p)->end[p->side]);
    mutex_unlock(&link_of(p)->lock);
    return waiting;
}

static uint32_t in_msgs(const struct pipe *p)
{
    struct link_end *e = &link_of(p)->end[p->side];
    mutex_lock(&link_of(p)->lock);
    uint32_t waiting = e->queue.msgs + p->in.msgs;
    mutex_unlock(&link_of(p)->lock);
    return waiting;
}

static void add_bytes(const struct pipe *p, struct fmq_counters *count)
{
    struct inproc_link *l = link_of(p);
    mutex_lock(&l->lock);
    count->bytes_recvd += l->end[p->side].bytes;
    count->bytes_sent += l->end[!p->side].bytes;
    mutex_unlock(&l->lock);
}

static void names(const struct pipe *p, const char **local, const char **remote)
{
    *local = *remote = link_of(p)->uri;
}

static void describe_peer(const struct pipe *p, struct fmq_peer *out)
{
    struct inproc_link *l = link_of(p);
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", l->uri);
    out->accepted = p->side == 1;
    mutex_lock(&l->lock);
    const struct link_end *there = &l->end[!p->side];
    if (there->set)
        out->type = there->set->pipes.type;
    if (p->ready)
        snprintf(out->address, sizeof(out->address), "%.159s", l->uri);
    mutex_unlock(&l->lock);
}

static void limits_changed(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    mutex_lock(&l->lock);
    l->end[p->side].sndhwm = (uint32_t)p->set->opt.sndhwm;
    l->end[p->side].rcvhwm = (uint32_t)p->set->opt.rcvhwm;
    l->end[p->side].sndhwm_bytes = (uint64_t)p->set->opt.sndhwm_bytes;
    l->end[p->side].rcvhwm_bytes = (uint64_t)p->set->opt.rcvhwm_bytes;
    set_hwm(l, l->end[1].set != NULL);
    note(l, !p->side, EV_WRITABLE, false);
    mutex_unlock(&l->lock);
    pipe_set_limits(p);
    if (p->full && !p->hung_up)
        pipe_drained(p);
}

static void detach(struct pipe *p)
{
    struct inproc_link *l = link_of(p);
    struct link_end *e = &l->end[p->side];
    struct inproc_names *names = set_of(p)->inproc_names;
    bool waited = false;
    mutex_lock(&names->lock);
    if (list_linked(&l->waiting) && l->end[1].queue.len == 0) {
        waited = true; /* nothing to be left for a later bind */
        list_remove(&l->waiting);
    }
    mutex_unlock(&names->lock);
    if (waited)
        link_unref(l);
    mutex_lock(&l->lock);
    struct conn_set *s = e->set;
    e->closed = true;
    e->set = NULL;
    e->pipe = NULL;
    p->bytes_in += e->bytes;
    p->bytes_out += l->end[!p->side].bytes;
    /* What was taken over can still be received and is the pipe's from now on. */
    uint64_t kept = msgring_bytes(&p->in), left = queued_bytes(e);
    p->in_bytes = kept;
    p->charged += kept;
    count_taken(e, left);
    msgring_fini(&e->queue);
    msgring_init(&e->queue);
    note(l, !p->side, EV_CLOSED, true);
    mutex_unlock(&l->lock);
    give_back(l, left - kept);
    p->link = NULL;
    p->direct = false;
    pipe_set_limits(p);
    link_unref(l);
    if (s)
        atomic_fetch_sub(&s->pipes.reactor.refs,
                         1); /* never the last: the caller is inside the socket */
}

static const struct link_ops direct_link = {
    .direct = true,
    .add_bytes = add_bytes,
    .names = names,
    .describe = describe_peer,
    .room = room,
    .can_write = can_write,
    .bounded = is_bounded,
    .conflates = conflates,
    .await = await,
    .write = write_parts,
    .refill = refill,
    .taken = taken,
    .injected = injected,
    .detach = detach,
    .limits_changed = limits_changed,
    .out_msgs = out_msgs,
    .out_bytes = out_bytes,
    .in_msgs = in_msgs,
    .in_bytes = in_bytes,
};

/* ---- what the other end had to say ---- */

/* There was no memory for what is to be done at that end: once more, when its mailbox is next
 * looked at. */
static void again(struct inproc_link *l, int side, unsigned events)
{
    mutex_lock(&l->lock);
    note(l, side, events, true);
    mutex_unlock(&l->lock);
}

/* One of the two ends of a link between types that other transports keep apart. Messages pass. */
static void report_mismatch(struct conn_set *s, int side, const struct inproc_link *l)
{
    conn_set_event(s, side == 1, EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZMTP_INVALID_METADATA,
                   l->uri, l->uri);
}

/* The bound socket's end. Lock of s held. False: no memory, and nothing was done. */
static bool attach_bound(struct conn_set *s, struct inproc_link *l)
{
    int err = 0;
    bool over = s->pipes.reactor.closed || s->pipes.reactor.finished;
    struct pipe *p = over ? NULL : pipe_new(&s->pipes, &err);
    if (!p && !over)
        return false;
    if (!p) {
        mutex_lock(&l->lock);
        struct conn_set *held = l->end[1].set;
        l->end[1].closed = true;
        l->end[1].set = NULL;
        note(l, 0, EV_CLOSED, true);
        mutex_unlock(&l->lock);
        if (held)
            reactor_unref(conn_set_reactor(held));
        link_unref(l); /* the reference that the pipe would have had */
        return true;
    }
    p->link = &l->link;
    p->direct = true;
    p->side = 1;
    p->budget = l->budget;
    mutex_lock(&l->lock);
    l->end[1].pipe = p;
    describe(&l->end[1], s);
    set_hwm(l, true);
    note(l, 0, EV_WRITABLE, false); /* it looks at its limits again */
    memcpy(p->identity, l->end[0].identity, l->end[0].identity_len);
    p->identity_len = l->end[0].identity_len;
    mutex_unlock(&l->lock);
    pipe_set_limits(p);
    p->peer_type = l->type;
    int rc = pipe_attach(p);
    if (rc == -ENOMEM) {
        mutex_lock(&l->lock);
        l->end[1].pipe = NULL;
        mutex_unlock(&l->lock);
        p->link = NULL;
        p->direct = false;
        pipe_free(p);
        return false;
    }
    if (rc == 0 && (rc = pipe_connected(p)) == -ENOMEM) {
        again(l, 1, EV_CONNECTED);
        rc = 0;
    }
    if (rc)
        pipe_free(p);
    else if (l->mismatched)
        report_mismatch(s, 1, l);
    return true;
}

/* Takes over all that is queued; false: there was no memory for the rest. */
static bool drain_all(struct inproc_link *l, struct pipe *p)
{
    uint32_t before = p->in.msgs;
    mutex_lock(&l->lock);
    struct msgring *q = &l->end[p->side].queue;
    while (q->len && msgring_reserve(&p->in) == 0) {
        struct msg m;
        msgring_pop(q, &m);
        msgring_put(&p->in, &m);
    }
    bool all = q->len == 0;
    mutex_unlock(&l->lock);
    pipe_arrived(p, before);
    return all;
}

/* The other end has closed: what it sent is still received, and then the pipe ends. */
static void peer_left(struct inproc_link *l, int side, struct pipe *p)
{
    if (!drain_all(l, p)) {
        again(l, side, EV_CLOSED);
        return;
    }
    if (p->endpoint)
        endpoint_discard(p->endpoint);
    pipe_hangup(p);
}

/* Whether the other end has written since its reader took over what there was. */
static bool has_newer(struct link_end *e)
{
    mutex_lock(&e->link->lock);
    bool newer = e->queue.len > 0;
    mutex_unlock(&e->link->lock);
    return newer;
}

static void link_run(struct reactor *r, struct cmd *cmd)
{
    struct conn_set *s = conn_set_of(r);
    struct link_end *e = LIST_ENTRY(cmd, struct link_end, cmd);
    /* Which end it is follows from which socket is asked, unless both are one socket's. */
    struct inproc_link *l = e->link;
    int side = e == &l->end[1];
    mutex_lock(&l->lock);
    unsigned events = e->events;
    e->events = 0;
    e->posted = false;
    struct pipe *p = e->pipe;
    mutex_unlock(&l->lock);

    if (events & EV_ATTACH) {
        if (!attach_bound(s, l)) {
            again(l, side, events);
            link_unref(l);
            return;
        }
        p = e->pipe;
    }
    if (p && p->direct && !s->pipes.reactor.finished) {
        pipe_set_limits(p); /* the link's may have changed */
        if (events & EV_CONNECTED && !p->ready && !p->hung_up) {
            mutex_lock(&l->lock);
            if (!p->identity_given) {
                memcpy(p->identity, l->end[!side].identity, l->end[!side].identity_len);
                p->identity_len = l->end[!side].identity_len;
            }
            if (side == 0 && l->end[1].set)
                p->peer_type = l->end[1].set->pipes.type;
            mutex_unlock(&l->lock);
            if (side == 0 && l->mismatched)
                report_mismatch(s, 0, l);
            int rc = pipe_connected(p);
            if (rc == -ENOMEM)
                again(l, side, EV_CONNECTED);
            else if (rc)
                pipe_close(p);
        }
        if (events & EV_READABLE && e->conflate && has_newer(e))
            for (uint32_t old = p->in.msgs; old; old--) {
                pipe_skip(p);
                pipe_count_drops(p, 1);
            }
        if (events & EV_READABLE && p->in.len == 0) {
            refill(p);
            pipe_arrived(p, 0);
        }
        if (events & EV_WRITABLE && p->full && !p->hung_up)
            pipe_drained(p);
        if (events & EV_CLOSED && !p->hung_up)
            peer_left(l, side, p);
    }
    link_unref(l);
}

/* ---- names ---- */

static int check_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN) {
        detail_set("an inproc name has 1 to %d bytes, this one has %zu", NAME_MAX_LEN, len);
        return -EINVAL;
    }
    return 0;
}

static int types_match(int a, int b)
{
    return type_accepts(a, b) && type_accepts(b, a);
}

static void snapshot(struct bound_name *entry, struct conn_set *s)
{
    entry->sndhwm = (uint32_t)s->pipes.opt.sndhwm;
    entry->rcvhwm = (uint32_t)s->pipes.opt.rcvhwm;
    entry->sndhwm_bytes = (uint64_t)s->pipes.opt.sndhwm_bytes;
    entry->rcvhwm_bytes = (uint64_t)s->pipes.opt.rcvhwm_bytes;
    entry->conflate = s->pipes.opt.conflate;
    entry->identity_len = own_identity(s, entry->identity);
}

/* Why the program is warned. */
static void describe_mismatch(int connected, int bound, const char *uri)
{
    detail_set("a %s socket is connected to the %s socket bound at %.100s; over tcp these types "
               "refuse each other",
               type_name(connected), type_name(bound), uri);
}

/* The bound socket meets one that connected before. */
static void meet(struct conn_set *s, struct inproc_link *l)
{
    mutex_lock(&l->lock);
    l->mismatched = !types_match(s->pipes.type, l->type);
    reactor_ref(conn_set_reactor(s));
    l->end[1].set = s;
    describe(&l->end[1], s);
    bool gone = l->end[0].closed;
    note(l, 0, EV_CONNECTED, true);
    mutex_unlock(&l->lock);
    if (!attach_bound(s, l)) {
        again(l, 1, EV_ATTACH | EV_READABLE | (gone ? EV_CLOSED : 0));
        return;
    }
    struct pipe *p = l->end[1].pipe;
    if (!p)
        return;
    refill(p);
    pipe_arrived(p, 0);
    if (gone)
        peer_left(l, 1, p);
}

static int inproc_bind(struct conn_set *s, const char *name)
{
    int rc = check_name(name);
    if (rc)
        return rc;
    struct inproc_names *names = s->inproc_names;
    struct bound_name *entry = mem_alloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->set = s;
    mutex_lock(&names->lock);
    rc = map_put(&names->bound, name, strlen(name), entry);
    if (rc) {
        mutex_unlock(&names->lock);
        mem_free(entry);
        return rc == -EEXIST ? -EADDRINUSE : rc;
    }
    snapshot(entry, s);
    /* Sockets that connected before, one at a time: a leaving socket takes its link off the list.
     */
    for (;;) {
        struct inproc_wait *wait = map_get(&names->pending, name, strlen(name));
        struct list *n = wait ? list_pop_front(&wait->links) : NULL;
        if (!n) {
            map_del(&names->pending, name, strlen(name));
            mem_free(wait);
            break;
        }
        struct inproc_link *l = LIST_ENTRY(n, struct inproc_link, waiting);
        atomic_fetch_add(&l->refs, 1); /* the pipe's to be; the list's is ours now */
        mutex_unlock(&names->lock);
        meet(s, l);
        if (l->mismatched) {
            describe_mismatch(l->type, s->pipes.type, l->uri);
            rc = 1;
        }
        link_unref(l);
        mutex_lock(&names->lock);
    }
    mutex_unlock(&names->lock);
    return rc;
}

static int inproc_unbind(struct conn_set *s, const char *name)
{
    struct inproc_names *names = s->inproc_names;
    mutex_lock(&names->lock);
    struct bound_name *entry = map_get(&names->bound, name, strlen(name));
    int rc = -ENOENT;
    if (entry && entry->set == s) {
        map_del(&names->bound, name, strlen(name));
        mem_free(entry);
        rc = 0;
    }
    mutex_unlock(&names->lock);
    return rc;
}

void inproc_unbind_all(struct conn_set *s)
{
    struct inproc_names *names = s->inproc_names;
    mutex_lock(&names->lock);
    size_t pos = 0;
    const void *key;
    size_t len;
    struct bound_name *entry;
    while ((entry = map_next(&names->bound, &pos, &key, &len))) {
        if (entry->set == s) {
            map_del(&names->bound, key, len);
            mem_free(entry);
        }
    }
    mutex_unlock(&names->lock);
}

/* Puts the link on the list of those that wait for the name. names->lock held. */
static int wait_for_name(struct inproc_names *names, struct inproc_link *l)
{
    size_t len = strlen(l->name);
    struct inproc_wait *wait = map_get(&names->pending, l->name, len);
    if (!wait) {
        wait = mem_alloc(sizeof(*wait));
        if (!wait)
            return -ENOMEM;
        list_init(&wait->links);
        int rc = map_put(&names->pending, l->name, len, wait);
        if (rc) {
            mem_free(wait);
            return rc;
        }
    }
    list_push_back(&wait->links, &l->waiting);
    atomic_fetch_add(&l->refs, 1);
    return 0;
}

void inproc_names_init(struct inproc_names *names)
{
    mutex_init(&names->lock);
    map_init(&names->bound);
    map_init(&names->pending);
}

void inproc_names_fini(struct inproc_names *names)
{
    size_t pos = 0;
    const void *key;
    size_t len;
    struct inproc_wait *wait;
    while ((wait = map_next(&names->pending, &pos, &key, &len))) {
        for (struct list *n; (n = list_pop_front(&wait->links));)
            link_unref(LIST_ENTRY(n, struct inproc_link, waiting));
        mem_free(wait);
    }
    pos = 0;
    struct bound_name *entry;
    while ((entry = map_next(&names->bound, &pos, &key, &len)))
        mem_free(entry);
    map_fini(&names->bound);
    map_fini(&names->pending);
    mutex_fini(&names->lock);
}

bool inproc_is_bound(struct inproc_names *names, const char *name)
{
    mutex_lock(&names->lock);
    bool bound = map_get(&names->bound, name, strlen(name)) != NULL;
    mutex_unlock(&names->lock);
    return bound;
}

int inproc_connect(struct conn_set *s, struct pipe *p, const char *name, bool only_bound)
{
    int rc = check_name(name);
    if (rc)
        return rc;
    struct inproc_names *names = s->inproc_names;
    struct inproc_link *l = link_new(s, name);
    if (!l)
        return -ENOMEM;
    l->end[0].link = l->end[1].link = l;
    bool connected = false;
    /* Once it waits for the name, the link is told of the pairing by the one that binds. */
    bool mismatched = false;
    int bound_type = -1;
    mutex_lock(&names->lock);
    struct bound_name *entry = map_get(&names->bound, name, strlen(name));
    if (entry) {
        struct conn_set *bound = entry->set;
        bound_type = bound->pipes.type;
        l->mismatched = mismatched = !types_match(s->pipes.type, bound_type);
        if (mismatched && only_bound) {
            rc = -FMQ_ENOCOMPATPROTO;
        } else {
            connected = true;
            reactor_ref(conn_set_reactor(bound));
            struct link_end *e = &l->end[1];
            e->set = bound;
            e->sndhwm = entry->sndhwm;
            e->rcvhwm = entry->rcvhwm;
            e->sndhwm_bytes = entry->sndhwm_bytes;
            e->rcvhwm_bytes = entry->rcvhwm_bytes;
            atomic_store(&e->conflate, entry->conflate);
            set_hwm(l, true);
            if (!p->identity_given) {
                memcpy(p->identity, entry->identity, entry->identity_len);
                p->identity_len = entry->identity_len;
            }
            mutex_lock(&l->lock);
            l->end[0].pipe = p;
            atomic_fetch_add(&l->refs, 1); /* for its pipe */
            note(l, 1, EV_ATTACH, true);
            mutex_unlock(&l->lock);
        }
    } else if (only_bound) {
        rc = -ENOENT;
    } else {
        set_hwm(l, false);
        l->end[0].pipe = p;
        rc = wait_for_name(names, l);
    }
    mutex_unlock(&names->lock);
    if (rc) {
        atomic_fetch_sub(&s->pipes.reactor.refs, 1);
        l->end[0].set = NULL;
        link_unref(l);
        return rc;
    }
    p->link = &l->link;
    p->direct = true;
    p->side = 0;
    p->budget = l->budget;
    p->peer_type = bound_type;
    pipe_set_limits(p);
    rc = connected ? pipe_connected(p) : 0;
    if (rc == 0 && mismatched) {
        report_mismatch(s, 0, l);
        describe_mismatch(s->pipes.type, bound_type, l->uri);
        rc = 1;
    }
    return rc;
}

static int inproc_attach(struct conn_set *s, struct pipe *p, const char *rest)
{
    return inproc_connect(s, p, rest, false);
}

const struct transport_ops transport_inproc = {
    .scheme = "inproc",
    .bind = inproc_bind,
    .unbind = inproc_unbind,
    .attach = inproc_attach,
};
