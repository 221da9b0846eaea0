/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/*
 * The stream over a descriptor and two rings: each way is switched by itself, and nothing that one
 * side waits for gets lost around the switch.
 */
#include "check.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/shm_stream.h"
#include "os/net.h"
#include "os/shm.h"

#define SIZE ((size_t)64 << 10)
#define GROWN (SHM_GROWTH * SIZE)

struct ends {
    struct stream *st[2]; /* the maker's first */
    int fd[2];
};

/* False: this system has no such memory. */
static bool ends_new(struct ends *e)
{
    struct shm_region region[2];
    int fds[2], memory;
    int rc = shm_region_new(&region[0], SIZE, &memory);
    if (rc == -ENOTSUP)
        return false;
    CHECK_EQ(rc, 0);
    CHECK_EQ(shm_region_open(&region[1], SIZE, memory), 0);
    net_close(memory);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        e->fd[i] = net_fd_adopt(fds[i]);
        CHECK(e->fd[i] >= 0);
        e->st[i] = shm_stream_new(e->fd[i], &region[i], i == 0);
        CHECK(e->st[i]);
    }
    return true;
}

static void ends_free(struct ends *e)
{
    for (int i = 0; i < 2; i++)
        stream_close(e->st[i], e->fd[i]);
}

static ssize_t put(struct ends *e, int side, const void *data, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    return stream_write(e->st[side], e->fd[side], &iov, 1);
}

static ssize_t take(struct ends *e, int side, void *buf, size_t len)
{
    return stream_read(e->st[side], e->fd[side], buf, len);
}

TEST(each_way_is_switched_by_itself_and_keeps_its_order)
{
    struct ends e;
    char buf[16];
    if (!ends_new(&e))
        return;
    CHECK_EQ(put(&e, 0, "one", 3), 3);
    shm_stream_switch_out(e.st[0]);
    CHECK_EQ(put(&e, 0, "two", 3), 3);
    CHECK_EQ(take(&e, 1, buf, 16), 3);
    CHECK_MEM(buf, "one", 3);
    CHECK_EQ(take(&e, 1, buf, 16), -EAGAIN);
    shm_stream_switch_in(e.st[1]);
    CHECK_EQ(take(&e, 1, buf, 16), 3);
    CHECK_MEM(buf, "two", 3);
    CHECK_EQ(put(&e, 1, "back", 4), 4);
    CHECK_EQ(take(&e, 0, buf, 16), 4);
    CHECK_MEM(buf, "back", 4);
    ends_free(&e);
}

/* The ring is full for the last time before it grows, and empty again. */
static void fill_often(struct ends *e, int writer)
{
    static uint8_t bytes[SIZE + 1];
    for (int i = 1; i < SHM_FULLS; i++) {
        CHECK_EQ(put(e, writer, bytes, sizeof(bytes)), SIZE);
        CHECK_EQ(take(e, 1 - writer, bytes, sizeof(bytes)), SIZE);
    }
}

/* The writer waits for room while the way back is still the descriptor's: a byte there would be
 * taken for one of the protocol. */
TEST(a_writer_hears_of_room_that_was_made_before_the_other_way_was_switched)
{
    struct ends e;
    static uint8_t bytes[GROWN];
    char buf[16];
    int end;
    if (!ends_new(&e))
        return;
    shm_stream_switch_out(e.st[0]);
    shm_stream_switch_in(e.st[1]);
    fill_often(&e, 0);
    CHECK_EQ(put(&e, 0, bytes, GROWN), GROWN);
    CHECK_EQ(put(&e, 0, bytes, 1), -EAGAIN);
    CHECK_EQ(take(&e, 1, bytes, GROWN), SIZE); /* what lies in front of the larger memory */
    CHECK_EQ(take(&e, 1, bytes, GROWN), GROWN - SIZE);
    CHECK_EQ(net_pending(e.fd[0]), -EAGAIN);
    CHECK_EQ(put(&e, 1, "last", 4), 4);
    shm_stream_switch_out(e.st[1]);
    CHECK_EQ(take(&e, 0, buf, 4), 4);
    CHECK_MEM(buf, "last", 4);
    shm_stream_switch_in(e.st[0]);
    CHECK_EQ(net_pending(e.fd[0]), 1); /* the bell */
    CHECK(shm_hush_bell(e.fd[0], &end));
    CHECK_EQ(end, 0);
    CHECK_EQ(put(&e, 0, bytes, 1), 1);
    ends_free(&e);
}

TEST(nobody_rings_for_a_side_that_is_awake)
{
    struct ends e;
    uint8_t bytes[100] = {0};
    if (!ends_new(&e))
        return;
    for (int i = 0; i < 2; i++) {
        shm_stream_switch_out(e.st[i]);
        shm_stream_switch_in(e.st[i]);
    }
    CHECK_EQ(put(&e, 0, bytes, sizeof(bytes)), sizeof(bytes));
    CHECK_EQ(take(&e, 1, bytes, sizeof(bytes)), sizeof(bytes));
    CHECK_EQ(net_pending(e.fd[0]), -EAGAIN);
    CHECK_EQ(net_pending(e.fd[1]), -EAGAIN);
    CHECK(stream_arm(e.st[1]));
    CHECK_EQ(put(&e, 0, bytes, 1), 1);
    CHECK_EQ(net_pending(e.fd[1]), 1);
    ends_free(&e);
}

TEST(what_was_written_before_the_end_is_read_before_it)
{
    struct ends e;
    char buf[16];
    if (!ends_new(&e))
        return;
    for (int i = 0; i < 2; i++) {
        shm_stream_switch_out(e.st[i]);
        shm_stream_switch_in(e.st[i]);
    }
    CHECK_EQ(put(&e, 0, "last", 4), 4);
    stream_close(e.st[0], e.fd[0]);
    stream_ready(e.st[1]);
    CHECK_EQ(stream_peek(e.st[1], e.fd[1]), 1);
    CHECK_EQ(put(&e, 1, "x", 1), -EPIPE);
    CHECK_EQ(take(&e, 1, buf, 16), 4);
    CHECK_MEM(buf, "last", 4);
    CHECK_EQ(take(&e, 1, buf, 16), 0);
    stream_close(e.st[1], e.fd[1]);
}

TEST(a_ring_that_is_full_grows_and_counts_what_it_takes)
{
    struct ends e;
    static uint8_t in[2 * GROWN], out[2 * GROWN];
    atomic_llong count = 0;
    if (!ends_new(&e))
        return;
    for (int i = 0; i < 2; i++) {
        shm_stream_switch_out(e.st[i]);
        shm_stream_switch_in(e.st[i]);
    }
    shm_stream_count(e.st[1], &count);
    CHECK_EQ(count, shm_page() + 2 * SIZE);
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 31 + (i >> 8));
    fill_often(&e, 0);
    CHECK_EQ(count, shm_page() + 2 * SIZE);
    size_t sent = 0, got = 0;
    while (got < sizeof(in)) {
        ssize_t n = put(&e, 0, in + sent, sizeof(in) - sent);
        CHECK(n > 0 || n == -EAGAIN || sent == sizeof(in));
        sent += n > 0 ? (size_t)n : 0;
        n = take(&e, 1, out + got, 1 + got % 7000);
        CHECK(n > 0);
        got += (size_t)n;
    }
    CHECK_MEM(in, out, sizeof(in));
    CHECK_EQ(count, shm_page() + SIZE + GROWN);
    fill_often(&e, 1);
    CHECK_EQ(put(&e, 1, in, GROWN), GROWN);
    CHECK_EQ(count, shm_page() + 2 * GROWN);
    shm_stream_uncount(e.st[1]);
    CHECK_EQ(count, 0);
    ends_free(&e);
}
