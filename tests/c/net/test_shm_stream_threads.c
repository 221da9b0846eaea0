/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/*
 * Both ends of a connection that moves into shared memory, as a thread that reads and one that
 * writes each, in one process: what is sent either way arrives whole and in order, across the
 * switch of each direction, and nobody sleeps on. Both ends use one mapping, so that the thread
 * sanitizer sees what the two do to the same bytes.
 */
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "net/shm_stream.h"
#include "os/shm.h"
#include "os/thread.h"

#ifdef __linux__

#define SIZE ((size_t)4096)
#define BYTES ((uint64_t)1 << 20)
#define BEFORE 5000 /* bytes that go through the descriptor */

struct end {
    int fd;
    struct stream *st;
    struct mutex lock; /* the reactor's */
    struct cond room;
    unsigned signs; /* of the descriptor, under the lock */
    size_t piece;
    uint64_t got;
};

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8));
}

static void write_some(struct end *e, const uint8_t *data, size_t len)
{
    while (len) {
        struct iovec iov = {(void *)(uintptr_t)data, len};
        mutex_lock(&e->lock);
        unsigned signs = e->signs;
        mutex_unlock(&e->lock);
        ssize_t n = e->st->ops->write(e->st, &iov, 1);
        CHECK(n > 0 || n == -EAGAIN);
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        mutex_lock(&e->lock);
        if (len && shm_stream_is_out(e->st) && !e->st->ops->has_room(e->st)) {
            while (e->signs == signs) /* never in vain: the other side rings */
                cond_wait(&e->room, &e->lock, -1);
        }
        bool wait = len && !shm_stream_is_out(e->st);
        mutex_unlock(&e->lock);
        if (wait) {
            struct pollfd p = {.fd = e->fd, .events = POLLOUT};
            poll(&p, 1, -1);
        }
    }
}

static void write_side(void *arg)
{
    struct end *e = arg;
    uint8_t buf[3 * SIZE];
    for (uint64_t at = 0; at < BYTES;) {
        size_t len = 1 + (size_t)(at * 2654435761u % e->piece);
        if (at < BEFORE && len > BEFORE - at)
            len = (size_t)(BEFORE - at);
        if (len > BYTES - at)
            len = (size_t)(BYTES - at);
        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at(at + i);
        write_some(e, buf, len);
        at += len;
        if (at == BEFORE) {
            mutex_lock(&e->lock);
            shm_stream_switch_out(e->st);
            mutex_unlock(&e->lock);
        }
    }
}

static void take_signs(struct end *e)
{
    mutex_lock(&e->lock);
    e->st->ops->ready(e->st);
    e->signs++;
    cond_signal(&e->room);
    mutex_unlock(&e->lock);
}

/* Reads all, then goes on hearing bells until `done` says that this end has written all, too. */
static void read_side(struct end *e, atomic_bool *done)
{
    uint8_t buf[3 * SIZE];
    while (e->got < BYTES || !atomic_load(done)) {
        size_t len = 1 + (size_t)(e->got % e->piece);
        if (e->got < BEFORE && len > BEFORE - e->got)
            len = (size_t)(BEFORE - e->got);
        ssize_t n = e->st->ops->read(e->st, buf, len);
        CHECK(n > 0 || n == -EAGAIN);
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(buf[i], byte_at(e->got + (uint64_t)i));
        e->got += n > 0 ? (uint64_t)n : 0;
        if (n > 0 && e->got == BEFORE) {
            mutex_lock(&e->lock);
            shm_stream_switch_in(e->st);
            mutex_unlock(&e->lock);
        }
        if (n > 0)
            continue;
        mutex_lock(&e->lock);
        bool sleeps = !e->st->ops->silent(e->st) || e->st->ops->arm(e->st);
        mutex_unlock(&e->lock);
        struct pollfd p = {.fd = e->fd, .events = POLLIN};
        /* Only at the end is there nothing to be woken by. */
        if (sleeps && poll(&p, 1, e->got < BYTES ? -1 : 1) > 0)
            take_signs(e);
    }
}

struct reader {
    struct end *end;
    atomic_bool *done;
};

static void run_reader(void *arg)
{
    struct reader *r = arg;
    read_side(r->end, r->done);
}

static void run(size_t piece_a, size_t piece_b)
{
    struct end ends[2];
    struct thread writers[2], readers[2];
    struct reader arguments[2];
    struct shm_region region, same;
    atomic_bool done[2];
    int fds[2], memory;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(shm_region_new(&region, SIZE, &memory), 0);
    net_close(memory);
    for (int i = 0; i < 2; i++) {
        fds[i] = net_fd_adopt(fds[i]);
        CHECK(fds[i] >= 0);
        ends[i] = (struct end){.fd = fds[i], .piece = i ? piece_b : piece_a};
        same = region;
        ends[i].st = shm_stream_new(fds[i], &same, i == 0);
        mutex_init(&ends[i].lock);
        cond_init(&ends[i].room);
        atomic_init(&done[i], false);
        arguments[i] = (struct reader){&ends[i], &done[i]};
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(thread_start(&readers[i], run_reader, &arguments[i], "reader"), 0);
        CHECK_EQ(thread_start(&writers[i], write_side, &ends[i], "writer"), 0);
    }
    for (int i = 0; i < 2; i++) {
        thread_join(&writers[i]);
        atomic_store(&done[i], true);
    }
    for (int i = 0; i < 2; i++)
        thread_join(&readers[i]);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ends[i].got, BYTES);
        ends[i].st->ops->close(ends[i].st);
        cond_fini(&ends[i].room);
        mutex_fini(&ends[i].lock);
        net_close(fds[i]);
    }
}

TEST(both_directions_move_and_arrive_in_small_pieces)
{
    run(64, 100);
}

TEST(both_directions_move_and_arrive_in_large_pieces)
{
    run(SIZE, 2 * SIZE);
}

TEST(a_slow_direction_does_not_hold_up_the_other)
{
    run(1000, 3 * SIZE);
}

#endif
