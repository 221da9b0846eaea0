/* SPDX-License-Identifier: MIT */
#include "net/ring.h"

#include <errno.h>
#include <string.h>

/* So much is shown to the reader at a time, which copies it out while the writer goes on. */
#define SHOW_MAX ((size_t)32 << 10)
/* The simulator has others, by which bytes become visible late. */
#ifndef RING_COPY_IN
#define RING_COPY_IN memcpy
#define RING_COPY_OUT memcpy
#endif

_Static_assert(sizeof(struct ring_shared) == 4 * RING_LINE, "a cache line each");

void ring_reader_init(struct ring_reader *r, struct ring_shared *shared, const void *data,
                      size_t size)
{
    *r = (struct ring_reader){.shared = shared, .data = data, .size = size};
}

void ring_writer_init(struct ring_writer *w, struct ring_shared *shared, void *data, size_t size)
{
    *w = (struct ring_writer){.shared = shared, .data = data, .size = size};
}

void ring_reader_may_grow(struct ring_reader *r, const void *more, size_t size)
{
    r->more = more;
    r->more_size = size;
}

void ring_writer_may_grow(struct ring_writer *w, void *more, size_t size, unsigned fulls)
{
    w->more = more;
    w->more_size = size;
    w->fulls_left = fulls;
    w->full_at = UINT64_MAX;
}

/* Takes the notice down. True when it stood: whoever takes it down rings. */
static bool take_notice(_Atomic uint32_t *sleeps)
{
    return atomic_load(sleeps) && atomic_exchange(sleeps, 0);
}

/* ---- the reader ---- */

/* Looks how far the writer is. 0, or -EPROTO. */
static int look_at_writer(struct ring_reader *r)
{
    uint64_t written = atomic_load(&r->shared->written);
    if (r->more && !r->turns) {
        /* Set before the first byte that lies there was shown. */
        uint64_t turn = atomic_load(&r->shared->grown_at);
        if (turn - r->read > r->size && turn)
            return -EPROTO;
        r->turn = turn;
        r->turns = turn != 0;
    }
    if (written - r->read > (r->turns ? r->more_size : r->size))
        return -EPROTO;
    r->written = written;
    return 0;
}

void ring_reader_disarm(struct ring_reader *r)
{
    if (r->armed)
        atomic_store_explicit(&r->shared->reader_sleeps, 0, memory_order_relaxed);
    r->armed = false;
}

/* How many of `n` bytes lie in the memory that is in use. Where that ends, the other begins. */
static size_t turn(struct ring_reader *r, size_t n)
{
    size_t left = (size_t)(r->turn - r->read);
    if (left)
        return n < left ? n : left;
    r->data = r->more;
    r->size = r->more_size;
    r->more = NULL;
    r->turns = false;
    return n;
}

ssize_t ring_read(struct ring_reader *r, void *buf, size_t len, bool *bell)
{
    *bell = false;
    if (r->written == r->read) {
        /* The spinning reader's only look: the rest is done once something is there. */
        if (atomic_load_explicit(&r->shared->written, memory_order_relaxed) == r->read)
            return -EAGAIN;
        int rc = look_at_writer(r);
        if (rc)
            return rc;
        if (r->written == r->read)
            return -EAGAIN;
    }
    ring_reader_disarm(r);
    size_t n = (size_t)(r->written - r->read);
    if (n > len)
        n = len;
    if (__builtin_expect(r->turns, false))
        n = turn(r, n);
    size_t at = r->read & (r->size - 1), straight = r->size - at;
    if (__builtin_expect(n > straight, false)) {
        RING_COPY_OUT(buf, r->data + at, straight);
        RING_COPY_OUT((uint8_t *)buf + straight, r->data, n - straight);
    } else {
        RING_COPY_OUT(buf, r->data + at, n);
    }
    r->read += n;
    atomic_store(&r->shared->read, r->read);
    /* Not for every few bytes: the longer it sleeps, the more it can write at once. */
    if (r->written - r->read <= r->size / 2)
        *bell = take_notice(&r->shared->writer_sleeps);
    return (ssize_t)n;
}

int ring_readable(const struct ring_reader *r)
{
    return r->written != r->read || atomic_load(&r->shared->written) != r->read;
}

bool ring_reader_arm(struct ring_reader *r)
{
    if (ring_readable(r))
        return false;
    if (r->armed && atomic_load(&r->shared->reader_sleeps))
        return true;
    atomic_store(&r->shared->reader_sleeps, 1);
    if (ring_readable(r)) {
        atomic_store_explicit(&r->shared->reader_sleeps, 0, memory_order_relaxed);
        r->armed = false;
        return false;
    }
    r->armed = true;
    return true;
}

void ring_reader_leave(struct ring_reader *r)
{
    atomic_store(&r->shared->reader_left, 1);
}

/* ---- the writer ---- */

/* Looks how far the reader is. The room there is, or -EPROTO. */
static ssize_t look_at_reader(struct ring_writer *w)
{
    uint64_t read = atomic_load(&w->shared->read);
    /* Behind our place, and by no more than the ring holds; and it does not go back. */
    if (w->written - read > w->size || read - w->read > w->size)
        return -EPROTO;
    w->read = read;
    return (ssize_t)(w->size - (size_t)(w->written - read));
}

/* The ring is full: whether it grows. A writer that tries again and again in the same place has
 * found it full once. */
static bool is_to_grow(struct ring_writer *w)
{
    if (!w->more)
        return false;
    if (w->full_at != w->written) {
        w->full_at = w->written;
        w->fulls_left--;
    }
    return w->fulls_left == 0;
}

/* Goes on in the larger memory. The room there is. */
static ssize_t grow(struct ring_writer *w)
{
    atomic_store(&w->shared->grown_at, w->written);
    w->data = w->more;
    w->size = w->more_size;
    w->more = NULL;
    return (ssize_t)(w->size - (size_t)(w->written - w->read));
}

/* The room, after a look at the reader if there seems to be none. When there is none, the reader
 * rings for it. */
static ssize_t find_room(struct ring_writer *w)
{
    size_t known = w->size - (size_t)(w->written - w->read);
    if (known)
        return (ssize_t)known;
    ssize_t room = look_at_reader(w);
    if (room)
        return room;
    if (is_to_grow(w))
        return grow(w);
    atomic_store(&w->shared->writer_sleeps, 1);
    room = look_at_reader(w);
    if (room)
        atomic_store_explicit(&w->shared->writer_sleeps, 0, memory_order_relaxed);
    return room;
}

/* Shows the reader what was written. True: it is to be woken. */
static bool show(struct ring_writer *w)
{
    atomic_store(&w->shared->written, w->written);
    return take_notice(&w->shared->reader_sleeps);
}

ssize_t ring_write(struct ring_writer *w, const struct iovec *iov, int count, bool *bell)
{
    size_t done = 0, hidden = 0;
    ssize_t room = 1;
    *bell = false;
    if (atomic_load_explicit(&w->shared->reader_left, memory_order_relaxed))
        return -EPIPE;
    for (int i = 0; i < count && room > 0; i++) {
        const uint8_t *from = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        while (left && (room = find_room(w)) > 0) {
            size_t n = left < (size_t)room ? left : (size_t)room;
            if (n > SHOW_MAX - hidden)
                n = SHOW_MAX - hidden;
            size_t at = w->written & (w->size - 1);
            if (n > w->size - at)
                n = w->size - at;
            RING_COPY_IN(w->data + at, from, n);
            w->written += n;
            from += n;
            left -= n;
            done += n;
            hidden += n;
            if (hidden == SHOW_MAX) {
                *bell |= show(w);
                hidden = 0;
            }
        }
    }
    if (hidden)
        *bell |= show(w);
    if (room < 0)
        return room;
    return done ? (ssize_t)done : -EAGAIN;
}

bool ring_writable(struct ring_writer *w)
{
    return look_at_reader(w) != 0;
}
