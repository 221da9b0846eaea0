/* SPDX-License-Identifier: MIT */
/*
 * A ring of bytes from one process to another: one writer, one reader, memory that both have mapped
 * (os/shm.h). The other process is not trusted: a value that it writes into the shared part is read
 * once, checked and then used, and each side uses its own copy of its own position. The other side
 * can only write wrong bytes, or none.
 *
 * No system call is made while both sides are busy. A side that is about to sleep sets a flag in
 * the shared part and checks once more; the other side sees the flag and sends a wake-up
 * (`ring_wants_bell`). All steps are sequentially consistent, so one of the two sees the other.
 *
 * One thread may read while another writes; nothing here takes a lock.
 */
#ifndef NET_RING_H
#define NET_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define RING_LINE 64 /* bytes: what two processors do not write to at the same time */

/* In shared memory. Places are counts of bytes since the beginning. Zeroed memory is an empty ring.
 */
struct ring_shared {
    _Alignas(RING_LINE) _Atomic uint64_t written; /* by the writer */
    _Atomic uint64_t grown_at;                    /* by the writer; 0: it has not grown */
    _Alignas(RING_LINE) _Atomic uint64_t read;    /* by the reader */
    _Alignas(RING_LINE) _Atomic uint32_t reader_sleeps;
    _Atomic uint32_t reader_left; /* it will read no more */
    _Alignas(RING_LINE) _Atomic uint32_t writer_sleeps;
};

/* This process's end of a ring. */
struct ring_reader {
    struct ring_shared *shared;
    const uint8_t *data;
    size_t size;
    uint64_t read;       /* our own place */
    uint64_t written;    /* the writer's, at the last look */
    bool armed;          /* `reader_sleeps` is set: the writer rings */
    bool turns;          /* at `turn` the memory is exchanged */
    const uint8_t *more; /* the larger memory, until it is in use */
    size_t more_size;
    uint64_t turn;
};

struct ring_writer {
    struct ring_shared *shared;
    uint8_t *data;
    size_t size;
    uint64_t written;
    uint64_t read;
    uint8_t *more; /* the larger memory, until it is in use */
    size_t more_size;
    unsigned fulls_left; /* so many times it is yet to be full before it grows */
    uint64_t full_at;    /* where it was full the last time */
};

/* `size` is a power of two. The ring is new: nobody has used it. */
void ring_reader_init(struct ring_reader *r, struct ring_shared *shared, const void *data,
                      size_t size);
void ring_writer_init(struct ring_writer *w, struct ring_shared *shared, void *data, size_t size);
/* It may grow once: a writer that finds it full, and has found it full in `fulls` - 1 other places
 * before, goes on in `more`, which is larger, and the reader follows when it has read what is in
 * front of that. Both sides are told, or none. */
void ring_reader_may_grow(struct ring_reader *r, const void *more, size_t size);
void ring_writer_may_grow(struct ring_writer *w, void *more, size_t size, unsigned fulls);

/* ---- the reader ---- */

/* Takes up to `len` bytes. How many, -EAGAIN when there are none, or -EPROTO: the writer's place is
 * impossible. *bell: the writer waits for room and is to be woken. */
ssize_t ring_read(struct ring_reader *r, void *buf, size_t len, bool *bell);
/* 1: ring_read would give something or fail. 0: not now. */
int ring_readable(const struct ring_reader *r);
/* The writer is to ring for what it writes from now on. False: there is something to read, and the
 * bell stays off. */
bool ring_reader_arm(struct ring_reader *r);
/* The bell was heard: it is off until the reader is armed again. */
void ring_reader_disarm(struct ring_reader *r);
/* The reader reads no more: ring_write answers -EPIPE from now on. */
void ring_reader_leave(struct ring_reader *r);

/* ---- the writer ---- */

/* Puts as much as there is room for. How many bytes, -EAGAIN for none, -EPIPE when the reader has
 * left, or -EPROTO: its place is impossible. After fewer than all the reader rings once half of the
 * ring is free. *bell: the reader sleeps and is to be woken. */
ssize_t ring_write(struct ring_writer *w, const struct iovec *iov, int count, bool *bell);
/* Whether ring_write would not answer -EAGAIN. */
bool ring_writable(struct ring_writer *w);

#endif
