/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/*
 * The ring: a stream of bytes through it arrives whole and in order, whatever the sizes; who sleeps
 * is woken; and whatever the other side writes into the shared part, this one stays within its
 * memory.
 */
#include "check.h"

#include <errno.h>
#include <sched.h>
#include <sys/wait.h>

#include "ringmem.h"

#define SIZE ((size_t)4096)

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void fill(uint8_t *buf, size_t len, uint64_t from)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = pattern(from + i);
}

static void expect(const uint8_t *buf, size_t len, uint64_t from)
{
    for (size_t i = 0; i < len; i++)
        CHECK_EQ(buf[i], pattern(from + i));
}

static ssize_t put(struct ring_writer *w, const void *data, size_t len, bool *bell)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    return ring_write(w, &iov, 1, bell);
}

struct both {
    struct ring_mem m;
    struct ring_reader r;
    struct ring_writer w;
};

static bool both_new(struct both *b)
{
    if (!ring_mem_new(&b->m, SIZE))
        return false;
    ring_reader_init(&b->r, b->m.shared, b->m.data, SIZE);
    ring_writer_init(&b->w, b->m.shared, b->m.data, SIZE);
    return true;
}

TEST(an_empty_ring_has_nothing_and_a_full_one_no_room)
{
    struct both b;
    uint8_t in[SIZE + 1], out[SIZE + 1];
    bool bell;
    if (!both_new(&b))
        return;
    CHECK_EQ(ring_read(&b.r, out, 1, &bell), -EAGAIN);
    CHECK_EQ(ring_readable(&b.r), 0);
    fill(in, sizeof(in), 0);
    CHECK_EQ(put(&b.w, in, sizeof(in), &bell), SIZE);
    CHECK(!bell);
    CHECK_EQ(put(&b.w, in, 1, &bell), -EAGAIN);
    CHECK_EQ(ring_readable(&b.r), 1);
    CHECK_EQ(ring_read(&b.r, out, sizeof(out), &bell), SIZE);
    CHECK(bell); /* the writer was left without room */
    expect(out, SIZE, 0);
    CHECK_EQ(ring_read(&b.r, out, 1, &bell), -EAGAIN);
    CHECK(!bell);
    ring_mem_free(&b.m);
}

TEST(a_byte_at_a_time_goes_round_many_times)
{
    struct both b;
    uint8_t byte;
    bool bell;
    if (!both_new(&b))
        return;
    for (uint64_t i = 0; i < 5 * SIZE + 17; i++) {
        byte = pattern(i);
        CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
        byte = 0;
        CHECK_EQ(ring_read(&b.r, &byte, 1, &bell), 1);
        CHECK_EQ(byte, pattern(i));
    }
    ring_mem_free(&b.m);
}

TEST(pieces_of_any_size_arrive_in_order)
{
    struct both b;
    uint8_t in[3 * SIZE], out[2 * SIZE];
    uint64_t put_at = 0, got_at = 0;
    bool bell;
    if (!both_new(&b))
        return;
    for (int step = 0; step < 20000; step++) {
        struct iovec iov[5];
        size_t total = 0, n = 1 + check_below(5);
        for (size_t i = 0; i < n; i++) {
            size_t len = check_below(check_below(8) ? 40 : SIZE / 2);
            fill(in + total, len, put_at + total);
            iov[i] = (struct iovec){in + total, len};
            total += len;
        }
        ssize_t sent = ring_write(&b.w, iov, (int)n, &bell);
        CHECK(sent == -EAGAIN || (sent >= 0 && (size_t)sent <= total) || total == 0);
        if (sent > 0)
            put_at += (uint64_t)sent;
        ssize_t got = ring_read(&b.r, out, 1 + check_below(check_below(4) ? 100 : SIZE), &bell);
        CHECK(got > 0 || got == -EAGAIN);
        if (got > 0) {
            expect(out, (size_t)got, got_at);
            got_at += (uint64_t)got;
        }
        CHECK(put_at - got_at <= SIZE);
    }
    CHECK(got_at > 100 * SIZE);
    ring_mem_free(&b.m);
}

TEST(a_reader_that_is_armed_is_rung_for_once)
{
    struct both b;
    uint8_t byte = 1;
    bool bell;
    if (!both_new(&b))
        return;
    CHECK(ring_reader_arm(&b.r));
    CHECK(ring_reader_arm(&b.r));
    CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
    CHECK(bell);
    CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
    CHECK(!bell);
    CHECK(!ring_reader_arm(&b.r)); /* there is something */
    CHECK_EQ(ring_read(&b.r, &byte, 1, &bell), 1);
    CHECK(!ring_reader_arm(&b.r));
    CHECK_EQ(ring_read(&b.r, &byte, 1, &bell), 1);
    CHECK(ring_reader_arm(&b.r));
    CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
    CHECK(bell);
    ring_mem_free(&b.m);
}

TEST(a_reader_that_found_something_by_itself_is_not_rung_for)
{
    struct both b;
    uint8_t byte = 1;
    bool bell;
    if (!both_new(&b))
        return;
    CHECK(ring_reader_arm(&b.r));
    CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
    CHECK(bell);
    CHECK(!ring_reader_arm(&b.r));
    CHECK_EQ(ring_read(&b.r, &byte, 1, &bell), 1);
    CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
    CHECK(!bell);
    ring_mem_free(&b.m);
}

TEST(a_writer_without_room_is_rung_for_when_half_is_free)
{
    struct both b;
    uint8_t buf[SIZE] = {0};
    bool bell;
    if (!both_new(&b))
        return;
    CHECK_EQ(put(&b.w, buf, SIZE, &bell), SIZE);
    CHECK_EQ(put(&b.w, buf, 1, &bell), -EAGAIN);
    for (size_t got = 0; got < SIZE / 2 - 8; got += 8) {
        CHECK_EQ(ring_read(&b.r, buf, 8, &bell), 8);
        CHECK(!bell);
    }
    CHECK_EQ(ring_read(&b.r, buf, 8, &bell), 8);
    CHECK(bell);
    CHECK_EQ(ring_read(&b.r, buf, 8, &bell), 8);
    CHECK(!bell);
    CHECK_EQ(put(&b.w, buf, 8, &bell), 8);
    ring_mem_free(&b.m);
}

/* ---- the other side lies ---- */

TEST(a_place_that_cannot_be_is_an_error_and_nothing_is_touched)
{
    static const uint64_t lies[] = {SIZE + 1,          SIZE * 2,          UINT64_MAX,
                                    UINT64_MAX - SIZE, UINT64_C(1) << 63, UINT32_MAX};
    struct both b;
    uint8_t buf[2 * SIZE];
    bool bell;
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        if (!both_new(&b))
            return;
        atomic_store(&b.m.shared->written, lies[i]);
        CHECK_EQ(ring_readable(&b.r), 1);
        CHECK_EQ(ring_read(&b.r, buf, sizeof(buf), &bell), -EPROTO);
        CHECK_EQ(ring_read(&b.r, buf, sizeof(buf), &bell), -EPROTO);
        ring_mem_free(&b.m);

        CHECK(both_new(&b));
        CHECK_EQ(put(&b.w, buf, SIZE, &bell), SIZE);
        atomic_store(&b.m.shared->read, lies[i]);
        CHECK_EQ(put(&b.w, buf, 10, &bell), -EPROTO);
        ring_mem_free(&b.m);
    }
}

TEST(nothing_is_written_for_a_reader_that_has_left)
{
    struct both b;
    uint8_t byte = 1;
    bool bell;
    if (!both_new(&b))
        return;
    CHECK_EQ(put(&b.w, &byte, 1, &bell), 1);
    ring_reader_leave(&b.r);
    CHECK_EQ(put(&b.w, &byte, 1, &bell), -EPIPE);
    ring_mem_free(&b.m);
}

TEST(a_reader_that_goes_back_is_an_error)
{
    struct both b;
    uint8_t buf[SIZE] = {0};
    bool bell;
    if (!both_new(&b))
        return;
    CHECK_EQ(put(&b.w, buf, SIZE, &bell), SIZE);
    CHECK_EQ(ring_read(&b.r, buf, 100, &bell), 100);
    CHECK_EQ(put(&b.w, buf, SIZE, &bell), 100);
    atomic_store(&b.m.shared->read, 50);
    CHECK_EQ(put(&b.w, buf, 1, &bell), -EPROTO);
    ring_mem_free(&b.m);
}

TEST(what_the_other_side_writes_over_our_own_place_is_not_read)
{
    struct both b;
    uint8_t in[64], out[64];
    bool bell;
    if (!both_new(&b))
        return;
    fill(in, sizeof(in), 0);
    CHECK_EQ(put(&b.w, in, sizeof(in), &bell), sizeof(in));
    atomic_store(&b.m.shared->read, UINT64_C(77777777));
    CHECK_EQ(ring_read(&b.r, out, 32, &bell), 32);
    expect(out, 32, 0);
    atomic_store(&b.m.shared->written, 64);
    CHECK_EQ(ring_read(&b.r, out, 64, &bell), 32);
    expect(out, 32, 32);
    ring_mem_free(&b.m);
}

TEST(a_full_ring_goes_on_in_larger_memory_once_and_in_order)
{
    struct both b;
    static uint8_t more[4 * SIZE], in[8 * SIZE], out[8 * SIZE];
    bool bell;
    if (!both_new(&b))
        return;
    ring_reader_may_grow(&b.r, more, sizeof(more));
    ring_writer_may_grow(&b.w, more, sizeof(more), 1);
    fill(in, sizeof(in), 0);
    CHECK_EQ(put(&b.w, in, SIZE - 100, &bell), SIZE - 100);
    CHECK_EQ(atomic_load(&b.m.shared->grown_at), 0);
    CHECK_EQ(ring_read(&b.r, out, 1000, &bell), 1000);
    /* The reader's place is not known yet: there is room for 1100 more, and then it grows. */
    CHECK_EQ(put(&b.w, in + SIZE - 100, sizeof(in), &bell), 3 * SIZE + 1100);
    CHECK_EQ(atomic_load(&b.m.shared->grown_at), SIZE + 1000);
    CHECK_EQ(put(&b.w, in, 1, &bell), -EAGAIN);
    CHECK_EQ(ring_read(&b.r, out + 1000, 10, &bell), 10);
    CHECK_EQ(ring_read(&b.r, out + 1010, SIZE, &bell), SIZE - 1110); /* as far as it knew */
    CHECK_EQ(ring_read(&b.r, out + SIZE - 100, sizeof(in), &bell), 1100);
    CHECK_EQ(ring_read(&b.r, out + SIZE + 1000, sizeof(in), &bell), 3 * SIZE);
    CHECK_EQ(ring_read(&b.r, out, 1, &bell), -EAGAIN);
    expect(out, 4 * SIZE + 1000, 0);
    ring_mem_free(&b.m);
}

TEST(a_ring_grows_when_it_was_full_in_so_many_places)
{
    struct both b;
    static uint8_t more[4 * SIZE], buf[8 * SIZE];
    bool bell;
    if (!both_new(&b))
        return;
    ring_reader_may_grow(&b.r, more, sizeof(more));
    ring_writer_may_grow(&b.w, more, sizeof(more), 3);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(put(&b.w, buf, sizeof(buf), &bell), SIZE);
        for (int again = 0; again < 5; again++) /* the same place */
            CHECK_EQ(put(&b.w, buf, sizeof(buf), &bell), -EAGAIN);
        CHECK_EQ(ring_read(&b.r, buf, sizeof(buf), &bell), SIZE);
        CHECK(bell);
    }
    CHECK_EQ(atomic_load(&b.m.shared->grown_at), 0);
    CHECK_EQ(put(&b.w, buf, sizeof(buf), &bell), 4 * SIZE);
    CHECK_EQ(atomic_load(&b.m.shared->grown_at), 3 * SIZE);
    ring_mem_free(&b.m);
}

TEST(a_place_of_growth_that_cannot_be_is_an_error)
{
    static const uint64_t turns[] = {SIZE + 51, 49, UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        struct both b;
        static uint8_t more[4 * SIZE], buf[100];
        bool bell;
        if (!both_new(&b))
            return;
        ring_reader_may_grow(&b.r, more, sizeof(more));
        CHECK_EQ(put(&b.w, buf, 50, &bell), 50);
        CHECK_EQ(ring_read(&b.r, buf, 50, &bell), 50);
        CHECK_EQ(put(&b.w, buf, 50, &bell), 50);
        atomic_store(&b.m.shared->grown_at, turns[i]);
        CHECK_EQ(ring_read(&b.r, buf, 50, &bell), -EPROTO);
        ring_mem_free(&b.m);
    }
}

/* A ring that cannot grow does not look for it. */
TEST(a_place_of_growth_means_nothing_once_the_ring_has_grown)
{
    struct both b;
    static uint8_t more[4 * SIZE], in[2 * SIZE], out[2 * SIZE];
    bool bell;
    if (!both_new(&b))
        return;
    ring_reader_may_grow(&b.r, more, sizeof(more));
    ring_writer_may_grow(&b.w, more, sizeof(more), 1);
    fill(in, sizeof(in), 0);
    CHECK_EQ(put(&b.w, in, 2 * SIZE, &bell), 2 * SIZE);
    CHECK_EQ(ring_read(&b.r, out, 2 * SIZE, &bell), SIZE);
    CHECK_EQ(ring_read(&b.r, out + SIZE, 10, &bell), 10);
    atomic_store(&b.m.shared->grown_at, UINT64_MAX);
    CHECK_EQ(ring_read(&b.r, out + SIZE + 10, SIZE, &bell), SIZE - 10);
    CHECK_EQ(put(&b.w, in, 10, &bell), 10);
    CHECK_EQ(ring_read(&b.r, out, 10, &bell), 10);
    expect(out + SIZE, SIZE, SIZE);
    ring_mem_free(&b.m);
}

/* ---- two processes ---- */

#define PROCESS_BYTES ((uint64_t)8 << 20)

static void write_all(struct ring_mem *m)
{
    struct ring_writer w;
    uint8_t buf[1500];
    bool bell;
    ring_writer_init(&w, m->shared, m->data, m->size);
    for (uint64_t at = 0; at < PROCESS_BYTES;) {
        size_t len = 1 + (size_t)(at * 7 % sizeof(buf));
        if (len > PROCESS_BYTES - at)
            len = (size_t)(PROCESS_BYTES - at);
        fill(buf, len, at);
        for (size_t done = 0; done < len;) {
            ssize_t n = put(&w, buf + done, len - done, &bell);
            CHECK(n > 0 || n == -EAGAIN);
            if (n < 0)
                sched_yield();
            else
                done += (size_t)n;
        }
        at += len;
    }
}

TEST(another_process_reads_what_this_one_writes)
{
    struct ring_mem m;
    if (!ring_mem_new(&m, SIZE))
        return;
    pid_t pid = fork();
    if (pid == 0) { /* the mapping stays behind, the descriptor comes along */
        ring_mem_map(&m);
        write_all(&m);
        _exit(0);
    }
    struct ring_reader r;
    static uint8_t buf[5000];
    bool bell;
    ring_reader_init(&r, m.shared, m.data, m.size);
    for (uint64_t at = 0; at < PROCESS_BYTES;) {
        ssize_t n = ring_read(&r, buf, sizeof(buf), &bell);
        CHECK(n > 0 || n == -EAGAIN);
        if (n < 0) {
            sched_yield();
            continue;
        }
        expect(buf, (size_t)n, at);
        at += (uint64_t)n;
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    ring_mem_free(&m);
}
