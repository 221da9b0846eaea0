/* SPDX-License-Identifier: MIT */
/* Whole messages of all sources of a group, each source's in order. */
#include "transport/pgm_sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "net/events.h"
#include "os/datagram.h"
#include "os/random.h"
#include "pipe/pipe_in.h"
#include "wire/peer_state.h"
#include "wire/pgm_recv.h"
#include "wire/pgm_stream.h"

#define IN_BATCH 32
#define OUT_BATCH 16
/* None is longer. The distance of two is no multiple of a power of two that would put the
 * beginnings of all of them into the same lines of the cache. */
#define SLOT_SIZE ((size_t)64 << 10)
#define SLOT_STRIDE (SLOT_SIZE + 192)
/* A source may be faster than RATE here says: so many packets at least are waited for. */
#define WINDOW_MIN 4096
#define MEMORY_REST (10 * NS_PER_MS)
/* What has arrived meanwhile is read before anybody is asked for it. */
#define AFTER_PAUSE (20 * NS_PER_MS)

/* What comes from one source. */
struct stream {
    struct pgm_unpacker unpacker;
    bool put;            /* the piece at hand was given to the unpacker */
    bool whole;          /* unpacker.parts waits to be queued */
    uint64_t violations; /* reported so far */
};

struct sink {
    struct packets packets;
    struct pgm_place place;
    struct timer timer;
    struct pgm_recv recv;
    uint8_t *slots; /* IN_BATCH of them; only the pages that packets fill are touched */
    bool no_memory; /* something waits for it */
    bool resumed;   /* the pipe was full until now */

    struct net_datagram v[OUT_BATCH];
    struct net_addr to[OUT_BATCH];
    uint8_t control[OUT_BATCH][PGM_CONTROL_MAX];
};

static struct sink *sink_of(const struct packets *k)
{
    return LIST_ENTRY(k, struct sink, packets);
}

static void stream_free(struct pgm_source *source)
{
    struct stream *st = source->state;
    if (!st)
        return;
    pgm_unpacker_fini(&st->unpacker);
    mem_free(st);
}

static struct stream *stream_of(struct sink *s, struct pgm_source *source)
{
    struct stream *st = source->state;
    if (st)
        return st;
    st = mem_zalloc(sizeof(*st));
    if (!st)
        return NULL;
    const struct option_values *o = &s->packets.set->opt;
    pgm_unpacker_init(&st->unpacker, o->maxmsgsize, (uint32_t)o->max_parts);
    source->state = st;
    return st;
}

/* ---- what is delivered ---- */

static void report(struct sink *s, const struct pgm_source *source, uint64_t code)
{
    struct packets *k = &s->packets;
    struct net_addr from;
    char text[96], name[112];
    net_addr_of_bytes(source->from.at, source->from.len, source->tsi.port, 0, &from);
    net_addr_text(&from, text, sizeof(text));
    snprintf(name, sizeof(name), "%s://%s", s->place.raw ? "pgm" : "epgm", text);
    conn_set_event(conn_set_of(&k->set->reactor), k->bound, EVENT_PROTOCOL_VIOLATION, code, k->name,
                   name);
}

/* Moves a message to the pipe, all of it or (-ENOMEM) nothing. */
static int queue_message(struct sink *s, struct parts *m)
{
    struct packets *k = &s->packets;
    struct pipe *p = k->pipe;
    uint64_t bytes = parts_size(m->v, m->len);
    if (!packets_wanted(k, msg_data(&m->v[0]), msg_size(&m->v[0]))) {
        parts_clear(m);
        return 0;
    }
    while (p->in.cap - p->in.len < m->len) {
        int rc = msgring_grow(&p->in);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < m->len; i++)
        msgring_put(&p->in, &m->v[i]);
    m->len = 0;
    if (p->counted)
        p->in_bytes += bytes;
    return 0;
}

/* What is in the piece at hand. 1: all of it is queued, 0: the pipe is full, -ENOMEM. */
static int take_piece(struct sink *s, struct stream *st, const struct pgm_event *event)
{
    struct pgm_unpacker *u = &st->unpacker;
    if (!st->put)
        pgm_unpacker_put(u, event->data, event->len, event->first);
    else if (u->piece != event->data)
        pgm_unpacker_move(u, event->data);
    st->put = true;
    for (;;) {
        int rc = 1;
        if (packets_full(&s->packets))
            return 0;
        if (!st->whole)
            rc = pgm_unpack(u);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        st->whole = true;
        rc = queue_message(s, &u->parts);
        if (rc)
            return rc;
        st->whole = false;
    }
    st->put = false;
    if (u->violations != st->violations) {
        st->violations = u->violations;
        packets_drop(&s->packets, 1, DROP_RULES);
        report(s, event->source, PROTO_ZMTP_MALFORMED_MESSAGE);
    }
    return 1;
}

static void take_loss(struct sink *s, struct stream *st, const struct pgm_event *event)
{
    pgm_unpacker_lost(&st->unpacker);
    s->packets.pipe->packets_lost += event->lost;
    report(s, event->source, PROTO_PACKETS_LOST);
}

/* Queues all that is in order, as far as the pipe has room. */
static void deliver(struct sink *s)
{
    struct pgm_event event;
    s->no_memory = false;
    while (!packets_full(&s->packets) && pgm_recv_next(&s->recv, &event)) {
        struct stream *st = stream_of(s, event.source);
        int rc = 1;
        if (!st)
            rc = -ENOMEM;
        else if (event.data)
            rc = take_piece(s, st, &event);
        else
            take_loss(s, st, &event);
        if (rc <= 0) {
            s->no_memory = rc < 0;
            return;
        }
        pgm_recv_done(&s->recv, &event);
    }
}

/* ---- in ---- */

static void take_packet(struct sink *s, const struct pgm_nla *from, const uint8_t *data, size_t len,
                        uint64_t now)
{
    if (!pgm_strip(&s->place, &data, &len) || pgm_recv_packet(&s->recv, from, data, len, now) != 0)
        return;
    deliver(s);
    (void)pgm_recv_keep(&s->recv); /* without memory it is asked for again */
}

/* One packet, or several that came as one. */
static void take_datagram(struct sink *s, const struct net_datagram *d, uint64_t now)
{
    struct pgm_nla from;
    const uint8_t *data = d->iov[0].iov_base;
    size_t step = d->segment ? d->segment : d->size;
    pgm_nla_of(&d->from, &from);
    if (d->truncated)
        return;
    for (size_t at = 0; at < d->size; at += step)
        take_packet(s, &from, data + at, d->size - at < step ? d->size - at : step, now);
}

static void arm(struct sink *s)
{
    struct packets *k = &s->packets;
    uint64_t at = pgm_recv_deadline(&s->recv);
    if (k->over || k->pipe->paused)
        return;
    if (s->no_memory)
        at = clock_now() + MEMORY_REST;
    timer_set(&k->set->reactor, &s->timer, at);
}

static void sink_read(struct packets *k)
{
    struct sink *s = sink_of(k);
    struct net_datagram v[IN_BATCH];
    uint32_t lost = 0; /* what the kernel had no room for is missed as what the network lost */
    for (int i = 0; i < IN_BATCH; i++) {
        v[i].iov[0] = (struct iovec){s->slots + (size_t)i * SLOT_STRIDE, SLOT_SIZE};
        v[i].iov_count = 1;
    }
    packets_read_begin(k);
    int n = net_recv_datagrams(k->io.fd, v, IN_BATCH, &lost);
    if (!packets_read_end(k) || k->pipe->hung_up)
        return;
    uint32_t before = k->pipe->in.msgs;
    uint64_t now = clock_now();
    for (int i = 0; i < n; i++) {
        k->bytes_in += v[i].size;
        take_datagram(s, &v[i], now);
    }
    packets_arrived(k, before);
    arm(s);
}

/* ---- out ---- */

static int gather(struct sink *s)
{
    int n = 0;
    struct pgm_control out;
    uint64_t now = clock_now();
    while (n < OUT_BATCH && pgm_recv_out(&s->recv, &out, now)) {
        memcpy(s->control[n], out.packet, out.len);
        s->to[n] = s->place.group;
        if (out.to.len)
            net_addr_of_bytes(out.to.at, out.to.len, s->place.raw ? 0 : s->place.port,
                              s->place.index, &s->to[n]);
        s->v[n].iov[0] = (struct iovec){s->control[n], out.len};
        s->v[n].iov_count = 1;
        s->v[n].to = &s->to[n];
        n++;
    }
    return n;
}

/* What is to be asked for. What the kernel refuses is asked again when no answer comes. */
static void sink_write(struct packets *k)
{
    struct sink *s = sink_of(k);
    struct reactor *r = &k->set->reactor;
    for (int n; !k->over && !k->end_wanted && !k->pipe->hung_up && (n = gather(s)) > 0;) {
        k->link.writing = true;
        mutex_unlock(&r->lock);
        for (int at = 0, sent; at < n; at += sent > 0 ? sent : 1)
            sent = net_send_datagrams(k->io.fd, s->v + at, n - at);
        mutex_lock(&r->lock);
        k->link.writing = false;
        for (int i = 0; i < n; i++)
            k->bytes_out += s->v[i].iov[0].iov_len;
    }
}

static void timer_fired(struct timer *t, uint64_t now)
{
    struct sink *s = LIST_ENTRY(t, struct sink, timer);
    struct packets *k = &s->packets;
    (void)now;
    if (k->pipe->hung_up || k->pipe->paused || k->reading || k->link.writing) {
        if (k->reading || k->link.writing) /* another thread, which is soon done */
            timer_set(&k->set->reactor, &s->timer, now + NS_PER_MS);
        return;
    }
    uint32_t before = k->pipe->in.msgs;
    deliver(s);
    packets_arrived(k, before);
    if (k->pipe->paused)
        return;
    if (s->resumed) {
        s->resumed = false;
        timer_set(&k->set->reactor, &s->timer, now + AFTER_PAUSE);
        return;
    }
    packets_write(k);
    if (k->over)
        return;
    /* What is given up lets go on with what is behind it. */
    before = k->pipe->in.msgs;
    deliver(s);
    packets_arrived(k, before);
    arm(s);
}

static void sink_resumed(struct packets *k)
{
    struct sink *s = sink_of(k);
    s->resumed = true;
    timer_set(&k->set->reactor, &s->timer, clock_now());
}

/* ---- life ---- */

static void sink_end(struct packets *k)
{
    timer_cancel(&k->set->reactor, &sink_of(k)->timer);
}

static void sink_free(struct packets *k)
{
    struct sink *s = sink_of(k);
    pgm_recv_fini(&s->recv);
    mem_free(s->slots);
    mem_free(s);
}

static const struct packets_ops sink_packets = {
    .read = sink_read,
    .write = sink_write,
    .end = sink_end,
    .free = sink_free,
    .resumed = sink_resumed,
};

int pgm_sink_open(struct endpoint *ep, const struct pgm_place *place, int fd,
                  const struct packets_names *names)
{
    uint32_t window = pgm_window(&ep->set->pipes.opt);
    struct pgm_recv_config config = {
        .port = place->port,
        .group = place->group_nla,
        .window = window > WINDOW_MIN ? window : WINDOW_MIN,
    };
    random_bytes(&config.seed, sizeof(config.seed));
    struct sink *s = mem_zalloc(sizeof(*s));
    uint8_t *slots = mem_alloc(IN_BATCH * SLOT_STRIDE);
    int rc = -ENOMEM;
    if (s && slots) {
        s->place = *place;
        s->slots = slots;
        timer_init(&s->timer, timer_fired);
        pgm_recv_init(&s->recv, &config);
        s->recv.release = stream_free;
        rc = packets_open(&s->packets, &sink_packets, ep->pipe, fd, ep->bound, names);
    }
    if (rc) {
        mem_free(slots);
        mem_free(s);
    }
    return rc;
}
