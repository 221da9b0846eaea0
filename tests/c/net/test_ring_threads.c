/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/* The two sides of a ring at the same time: nothing is lost, and nobody sleeps on. */
#include "check.h"

#include <errno.h>

#include "os/thread.h"
#include "ringmem.h"

#define SIZE ((size_t)4096)
#define BYTES ((uint64_t)3 << 20)

/* A bell is a semaphore: what the descriptors of a connection are otherwise. */
struct bell {
    struct mutex lock;
    struct cond rung;
    bool set;
    unsigned long count;
};

static void bell_ring(struct bell *b)
{
    mutex_lock(&b->lock);
    b->set = true;
    b->count++;
    cond_signal(&b->rung);
    mutex_unlock(&b->lock);
}

static void bell_wait(struct bell *b)
{
    mutex_lock(&b->lock);
    while (!b->set)
        cond_wait(&b->rung, &b->lock, -1);
    b->set = false;
    mutex_unlock(&b->lock);
}

struct scene {
    struct ring_mem m;
    struct bell for_reader, for_writer;
    uint8_t *more; /* what the ring may grow to; NULL: it does not */
    size_t piece;  /* the most that is written or read at once */
};

static void write_side(void *arg)
{
    struct scene *s = arg;
    struct ring_writer w;
    uint8_t buf[SIZE];
    bool bell;
    ring_writer_init(&w, s->m.shared, s->m.data, SIZE);
    if (s->more)
        ring_writer_may_grow(&w, s->more, 4 * SIZE, 3);
    for (uint64_t at = 0; at < BYTES;) {
        size_t len = 1 + (size_t)(at * 2654435761u % s->piece);
        if (len > BYTES - at)
            len = (size_t)(BYTES - at);
        for (size_t i = 0; i < len; i++)
            buf[i] = (uint8_t)((at + i) * 31);
        for (size_t done = 0; done < len;) {
            struct iovec iov = {buf + done, len - done};
            ssize_t n = ring_write(&w, &iov, 1, &bell);
            if (bell)
                bell_ring(&s->for_reader);
            CHECK(n > 0 || n == -EAGAIN);
            if (n > 0)
                done += (size_t)n;
            if (done < len)
                bell_wait(&s->for_writer); /* never in vain: it is rung for, or there is room */
        }
        at += len;
    }
}

static void read_side(struct scene *s)
{
    struct ring_reader r;
    uint8_t buf[SIZE];
    bool bell;
    ring_reader_init(&r, s->m.shared, s->m.data, SIZE);
    if (s->more)
        ring_reader_may_grow(&r, s->more, 4 * SIZE);
    for (uint64_t at = 0; at < BYTES;) {
        ssize_t n = ring_read(&r, buf, 1 + (size_t)(at % s->piece), &bell);
        if (bell)
            bell_ring(&s->for_writer);
        CHECK(n > 0 || n == -EAGAIN);
        if (n < 0) {
            if (ring_reader_arm(&r))
                bell_wait(&s->for_reader);
            continue;
        }
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(buf[i], (uint8_t)((at + (uint64_t)i) * 31));
        at += (uint64_t)n;
    }
}

static void run(size_t piece, uint8_t *more)
{
    struct scene s = {.piece = piece, .more = more};
    struct thread t;
    if (!ring_mem_new(&s.m, SIZE))
        return;
    mutex_init(&s.for_reader.lock);
    mutex_init(&s.for_writer.lock);
    cond_init(&s.for_reader.rung);
    cond_init(&s.for_writer.rung);
    CHECK_EQ(thread_start(&t, write_side, &s, "writer"), 0);
    read_side(&s);
    thread_join(&t);
    cond_fini(&s.for_reader.rung);
    cond_fini(&s.for_writer.rung);
    mutex_fini(&s.for_reader.lock);
    mutex_fini(&s.for_writer.lock);
    ring_mem_free(&s.m);
}

TEST(sides_that_sleep_are_woken_with_small_pieces)
{
    run(64, NULL);
}

TEST(sides_that_sleep_are_woken_with_large_pieces)
{
    run(SIZE, NULL);
}

TEST(a_ring_grows_while_both_sides_are_busy)
{
    static uint8_t more[4 * SIZE];
    for (int i = 0; i < 3; i++)
        run(SIZE, more);
}
