/* SPDX-License-Identifier: MIT */
#include "net/shm_stream.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "os/poller.h"
#include "os/shm.h"

struct shm_stream {
    struct stream stream; /* first */
    struct shm_region region;
    struct ring_reader in;
    struct ring_writer out;
    size_t in_ring; /* which of the region's */
    atomic_bool is_in, is_out;
    bool in_grown, out_grown;
    atomic_llong *count, counted; /* `counted` is -1 when it is taken back */
    atomic_bool bell_due;         /* to be rung when our side has switched */
    atomic_int end; /* 0; 1: the other side is gone; or the negative errno that says so */
};

/* ---- the memory ---- */

size_t shm_region_bytes(size_t size)
{
    return shm_page() + 2 * (1 + SHM_GROWTH) * size;
}

static int map(struct shm_region *m, size_t size, int fd)
{
    void *at = NULL;
    int rc = shm_map(fd, 0, shm_region_bytes(size), &at);
    if (rc)
        return rc;
    *m = (struct shm_region){.shared = at, .size = size};
    for (size_t i = 0; i < 2; i++) {
        m->ring[i] = (uint8_t *)at + shm_page() + i * size;
        m->more[i] = (uint8_t *)at + shm_page() + (2 + i * SHM_GROWTH) * size;
    }
    return 0;
}

int shm_region_new(struct shm_region *m, size_t size, int *fd)
{
    *fd = shm_create(shm_region_bytes(size));
    if (*fd < 0)
        return *fd;
    int rc = map(m, size, *fd);
    if (rc)
        net_close(*fd);
    return rc;
}

int shm_region_open(struct shm_region *m, size_t size, int fd)
{
    int rc = shm_check(fd, shm_region_bytes(size));
    return rc ? rc : map(m, size, fd);
}

void shm_region_close(struct shm_region *m)
{
    shm_unmap(m->shared, shm_region_bytes(m->size));
    *m = (struct shm_region){0};
}

/* ---- the stream ---- */

static struct shm_stream *of(struct stream *st)
{
    return (struct shm_stream *)st;
}

static const struct shm_stream *of_const(const struct stream *st)
{
    return (const struct shm_stream *)st;
}

static bool is_in(const struct shm_stream *m)
{
    return atomic_load_explicit(&m->is_in, memory_order_relaxed);
}

static bool is_out(const struct shm_stream *m)
{
    return atomic_load_explicit(&m->is_out, memory_order_relaxed);
}

/* Before our side has switched, a byte on the descriptor is none of a bell: it comes after that.
 * The thread that reads and the one that switches see each other's step. */
static void ring_bell(struct shm_stream *m)
{
    if (!atomic_load(&m->is_out)) {
        atomic_store(&m->bell_due, true);
        if (!atomic_load(&m->is_out) || !atomic_exchange(&m->bell_due, false))
            return;
    }
    shm_ring_bell(m->stream.fd);
}

/* A ring has grown. */
__attribute__((noinline)) static void has_grown(struct shm_stream *m, bool *grown)
{
    long long before = atomic_load(&m->counted),
              more = (SHM_GROWTH - 1) * (long long)m->region.size;
    *grown = true;
    while (before > 0 && !atomic_compare_exchange_weak(&m->counted, &before, before + more)) {
    }
    if (before > 0)
        atomic_fetch_add(m->count, more);
}

static ssize_t shm_read(struct stream *st, void *buf, size_t len)
{
    struct shm_stream *m = of(st);
    bool bell;
    if (!is_in(m))
        return net_recv(st->fd, buf, len);
    ssize_t n = ring_read(&m->in, buf, len, &bell);
    if (n == -EAGAIN) {
        int end = atomic_load_explicit(&m->end, memory_order_acquire);
        if (end == 0)
            return n;
        /* What it wrote before it went. */
        n = ring_read(&m->in, buf, len, &bell);
        if (n == -EAGAIN)
            return end < 0 ? end : 0;
    }
    if (bell)
        ring_bell(m);
    if (__builtin_expect(!m->in.more && !m->in_grown, false)) {
        has_grown(m, &m->in_grown);
        shm_discard(m->region.ring[m->in_ring], m->region.size);
    }
    return n;
}

static ssize_t shm_write(struct stream *st, const struct iovec *iov, int count)
{
    struct shm_stream *m = of(st);
    bool bell;
    if (!is_out(m))
        return stream_write(NULL, st->fd, iov, count);
    if (atomic_load_explicit(&m->end, memory_order_relaxed))
        return -EPIPE;
    ssize_t n = ring_write(&m->out, iov, count, &bell);
    if (bell)
        ring_bell(m);
    if (__builtin_expect(!m->out.more && !m->out_grown, false))
        has_grown(m, &m->out_grown);
    return n;
}

static int shm_peek(struct stream *st)
{
    struct shm_stream *m = of(st);
    if (!is_in(m))
        return net_pending(st->fd);
    int end = atomic_load_explicit(&m->end, memory_order_acquire);
    return ring_readable(&m->in) ? 1 : end == 0 ? -EAGAIN : end < 0 ? end : 0;
}

/* What is not armed is looked at without being asked for: see `silent`. */
static bool shm_pending(const struct stream *st)
{
    (void)st;
    return false;
}

static uint32_t shm_interest(const struct stream *st, uint32_t wanted)
{
    const struct shm_stream *m = of_const(st);
    if (!is_out(m))
        return wanted;
    /* Room is told by a bell. While the descriptor has bytes of the protocol in front of that,
     * which are not wanted, the bell cannot be heard: the connection looks from time to time. */
    return is_in(m) || (wanted & POLLER_IN) ? POLLER_IN : 0;
}

static void shm_ready(struct stream *st)
{
    struct shm_stream *m = of(st);
    int end;
    if (!is_in(m))
        return;
    if (shm_hush_bell(st->fd, &end))
        ring_reader_disarm(&m->in);
    if (end)
        atomic_store_explicit(&m->end, end, memory_order_release);
}

static bool shm_has_room(struct stream *st)
{
    struct shm_stream *m = of(st);
    return is_out(m) && ring_writable(&m->out);
}

static bool shm_silent(const struct stream *st)
{
    const struct shm_stream *m = of_const(st);
    return is_in(m) && !m->in.armed;
}

static bool shm_arm(struct stream *st)
{
    struct shm_stream *m = of(st);
    if (!is_in(m))
        return true;
    return atomic_load_explicit(&m->end, memory_order_relaxed) == 0 && ring_reader_arm(&m->in);
}

static void shm_end_writing(struct stream *st)
{
    net_shutdown(st->fd, NET_SHUT_SEND);
}

static void shm_close(struct stream *st)
{
    struct shm_stream *m = of(st);
    shm_region_close(&m->region);
    mem_free(m);
}

static const struct stream_ops shm_stream_ops = {
    .read = shm_read,
    .write = shm_write,
    .peek = shm_peek,
    .pending = shm_pending,
    .interest = shm_interest,
    .ready = shm_ready,
    .has_room = shm_has_room,
    .silent = shm_silent,
    .arm = shm_arm,
    .end_writing = shm_end_writing,
    .close = shm_close,
};

struct stream *shm_stream_new(int fd, struct shm_region *region, bool maker)
{
    struct shm_stream *m = mem_zalloc(sizeof(*m));
    if (!m)
        return NULL;
    size_t out = maker ? 0 : 1, in = 1 - out;
    m->stream.ops = &shm_stream_ops;
    m->stream.fd = fd;
    m->region = *region;
    ring_writer_init(&m->out, &region->shared[out], region->ring[out], region->size);
    ring_writer_may_grow(&m->out, region->more[out], SHM_GROWTH * region->size, SHM_FULLS);
    ring_reader_init(&m->in, &region->shared[in], region->ring[in], region->size);
    ring_reader_may_grow(&m->in, region->more[in], SHM_GROWTH * region->size);
    m->in_ring = in;
    return &m->stream;
}

void shm_stream_switch_out(struct stream *st)
{
    struct shm_stream *m = of(st);
    atomic_store(&m->is_out, true);
    if (atomic_exchange(&m->bell_due, false))
        shm_ring_bell(st->fd);
}

void shm_stream_switch_in(struct stream *st)
{
    atomic_store_explicit(&of(st)->is_in, true, memory_order_relaxed);
}

void shm_stream_count(struct stream *st, atomic_llong *bytes)
{
    struct shm_stream *m = of(st);
    long long now = (long long)(shm_page() + 2 * m->region.size);
    m->count = bytes;
    atomic_store(&m->counted, now);
    atomic_fetch_add(bytes, now);
}

/* A thread that reads or writes may be about to count more. */
void shm_stream_uncount(struct stream *st)
{
    struct shm_stream *m = of(st);
    long long counted = atomic_exchange(&m->counted, -1);
    if (counted > 0)
        atomic_fetch_sub(m->count, counted);
}

void shm_stream_release(struct stream *st)
{
    shm_region_close(&of(st)->region);
}

void shm_stream_leave(struct stream *st)
{
    ring_reader_leave(&of(st)->in);
}

bool shm_stream_is_out(const struct stream *st)
{
    return is_out(of_const(st));
}

bool shm_stream_is_in(const struct stream *st)
{
    return is_in(of_const(st));
}

bool shm_stream_is_met(const struct stream *st)
{
    const struct shm_stream *m = of_const(st);
    return is_out(m) && m->out.written && atomic_load(&m->out.shared->read);
}
