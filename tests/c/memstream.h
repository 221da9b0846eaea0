/* SPDX-License-Identifier: MIT */
/*
 * A stream in memory, the second implementation of stream_ops: two ends, each with a pipe of
 * limited size towards it. It moves fewer bytes than asked for, answers -EAGAIN without need, shows
 * readiness late and in any order, keeps bytes that its descriptor does not show, and wants to be
 * waited for in ways that have nothing to do with what the connection waits for. What it may not
 * do: lose, double or swap bytes, or be silent for ever.
 */
#ifndef MEMSTREAM_H
#define MEMSTREAM_H

#include "check.h"

#include <errno.h>

#include "net/stream_ops.h"
#include "os/poller.h"
#include "os/wakeup.h"

#define MEM_CAP 3000

/* Rates are out of 1000. */
struct mem_faults {
    unsigned cut;    /* a read or write that moves less than it could */
    unsigned again;  /* -EAGAIN without need */
    unsigned late;   /* readiness that is held back for a while */
    bool reads_more; /* takes over more than was asked for: `pending` */
};

struct mem_stream {
    struct stream stream; /* first */
    struct mem_stream *peer;
    const struct mem_faults *faults;
    struct wakeup wake;          /* its descriptor is what the poller sees */
    uint8_t bytes[MEM_CAP];      /* towards this end */
    size_t len;                  /* of them */
    size_t held;                 /* of `len`: taken over, the descriptor does not show them */
    bool end;                    /* the peer writes no more */
    bool broken;                 /* the peer is gone */
    bool wants_room;             /* a write was cut */
    bool can_write;              /* a write that was cut can go on: the descriptor shows it */
    bool shown;                  /* the descriptor is readable */
    bool due;                    /* it is to become so */
    unsigned long reads, writes; /* calls */
};

static inline bool mem_happens(unsigned rate)
{
    return check_rand() % 1000 < rate;
}

static inline struct mem_stream *mem_of(const struct stream *st)
{
    return (struct mem_stream *)st;
}

static inline void mem_show_now(struct mem_stream *m)
{
    m->due = false;
    if (!m->shown) {
        m->shown = true;
        wakeup_signal(&m->wake);
    }
}

/* Something has changed for this end. */
static inline void mem_show(struct mem_stream *m)
{
    if (mem_happens(m->faults->late))
        m->due = true; /* by mem_pass_time */
    else
        mem_show_now(m);
}

/* What was held back comes, in any order. */
static inline void mem_pass_time(struct mem_stream *a, struct mem_stream *b)
{
    bool first = check_rand() % 2;
    struct mem_stream *order[2] = {first ? a : b, first ? b : a};
    for (int i = 0; i < 2; i++)
        if (order[i]->due)
            mem_show_now(order[i]);
}

static inline size_t mem_some(const struct mem_stream *m, size_t most)
{
    return most > 1 && mem_happens(m->faults->cut) ? 1 + check_rand() % (most - 1) : most;
}

static ssize_t mem_read(struct stream *st, void *buf, size_t len)
{
    struct mem_stream *m = mem_of(st);
    m->reads++;
    if (m->shown && !m->can_write) { /* shown again below while something is left */
        m->shown = false;
        wakeup_drain(&m->wake);
    }
    bool more = m->len || m->end || m->broken;
    if (more && mem_happens(m->faults->again)) {
        mem_show(m);
        return -EAGAIN;
    }
    if (!m->len)
        return m->broken ? -ECONNRESET : m->end ? 0 : -EAGAIN;
    size_t n = mem_some(m, m->len < len ? m->len : len);
    memcpy(buf, m->bytes, n);
    memmove(m->bytes, m->bytes + n, m->len -= n);
    m->held = m->faults->reads_more ? m->len : 0;
    if (m->len ? !m->held : m->end || m->broken)
        mem_show(m);
    if (m->peer && m->peer->wants_room) {
        m->peer->wants_room = false;
        m->peer->can_write = true;
        mem_show(m->peer);
    }
    return (ssize_t)n;
}

static ssize_t mem_write(struct stream *st, const struct iovec *iov, int count)
{
    struct mem_stream *m = mem_of(st), *to = m->peer;
    m->writes++;
    m->can_write = false;
    if (m->shown) { /* one descriptor for both ways: what is to be read is pending from now on */
        m->shown = false;
        wakeup_drain(&m->wake);
        m->held = m->len;
        if (!m->len && (m->end || m->broken))
            mem_show(m);
    }
    if (!to)
        return -EPIPE;
    if (mem_happens(m->faults->again)) {
        m->can_write = true;
        mem_show(m);
        return -EAGAIN;
    }
    size_t total = 0, before = to->len;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    size_t room = MEM_CAP - to->len;
    size_t n = mem_some(m, total < room ? total : room), left = n;
    for (int i = 0; left; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        memcpy(to->bytes + to->len, iov[i].iov_base, part);
        to->len += part;
        left -= part;
    }
    if (n < total) {
        m->wants_room = true;
        if (room > n) { /* it was cut for no reason: it can go on */
            m->wants_room = false;
            m->can_write = true;
            mem_show(m);
        }
    }
    if (to->len > before)
        mem_show(to);
    return n ? (ssize_t)n : -EAGAIN;
}

static int mem_peek(struct stream *st)
{
    struct mem_stream *m = mem_of(st);
    return m->len ? 1 : m->broken ? -ECONNRESET : m->end ? 0 : -EAGAIN;
}

static bool mem_pending(const struct stream *st)
{
    const struct mem_stream *m = mem_of(st);
    return m->held > 0;
}

static uint32_t mem_interest(const struct stream *st, uint32_t wanted)
{
    (void)st;
    (void)wanted;
    return POLLER_IN; /* the descriptor is a wake-up: readable is all that it can be */
}

static void mem_end_writing(struct stream *st)
{
    struct mem_stream *m = mem_of(st);
    if (m->peer) {
        m->peer->end = true;
        mem_show(m->peer);
    }
}

static void mem_close(struct stream *st)
{
    struct mem_stream *m = mem_of(st);
    if (m->peer) {
        m->peer->end = true;
        m->peer->broken = m->len > 0; /* it was not read to its end */
        m->peer->peer = NULL;
        mem_show_now(m->peer);
    }
    /* The read side of the wake-up is the connection's descriptor, which it closes. */
    if (m->wake.wfd != m->wake.rfd)
        net_close(m->wake.wfd);
    mem_free(m);
}

static const struct stream_ops mem_stream_ops = {
    .read = mem_read,
    .write = mem_write,
    .peek = mem_peek,
    .pending = mem_pending,
    .interest = mem_interest,
    .end_writing = mem_end_writing,
    .close = mem_close,
};

static inline void mem_pair(struct mem_stream *ends[2], const struct mem_faults *faults)
{
    for (int i = 0; i < 2; i++) {
        ends[i] = mem_zalloc(sizeof(*ends[i]));
        CHECK_EQ(wakeup_init(&ends[i]->wake), 0);
        ends[i]->stream.ops = &mem_stream_ops;
        ends[i]->stream.fd = ends[i]->wake.rfd;
        ends[i]->faults = faults;
    }
    ends[0]->peer = ends[1];
    ends[1]->peer = ends[0];
}

#endif
