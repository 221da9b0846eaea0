/* SPDX-License-Identifier: MIT */
/*
 * A ring whose other side lies. Input: operations, a byte each, with their arguments behind: bytes
 * written and read as they should be, and anything at all written into the shared part and over
 * the bytes. Until the first lie bytes come out as they went in; whatever happens, no access leaves
 * the memory.
 */
#include <errno.h>

#include "fuzz.h"
#include "net/ring.h"

#define SIZE ((size_t)64)
#define GROWN (4 * SIZE)

static struct ring_shared shared;
static struct ring_reader reader;
static struct ring_writer writer;
static uint8_t *data, *more; /* of the exact size: what is beyond is found */
static uint64_t put, got;
static int lied;

static uint8_t value(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8));
}

static void write_some(struct input *in)
{
    uint8_t bytes[3][100];
    struct iovec iov[3];
    size_t total = 0;
    bool bell;
    for (int i = 0; i < 3; i++) {
        size_t len = input_u8(in) % sizeof(bytes[0]);
        for (size_t k = 0; k < len; k++)
            bytes[i][k] = value(put + total + k);
        iov[i] = (struct iovec){bytes[i], len};
        total += len;
    }
    uint64_t from = writer.written;
    ssize_t n = ring_write(&writer, iov, 3, &bell);
    uint64_t wrote = writer.written - from;
    CHECK(wrote <= total);
    CHECK(n == (ssize_t)wrote || n == -EAGAIN || n == -EPROTO || total == 0 ||
          (n == -EPIPE && lied));
    CHECK(lied || n != -EPROTO);
    put += wrote;
    if (!lied)
        CHECK(put - got <= GROWN);
}

static void read_some(struct input *in)
{
    uint8_t *out = malloc(200);
    size_t len = 1 + input_u8(in) % 199;
    bool bell;
    CHECK(out);
    ssize_t n = ring_read(&reader, out, len, &bell);
    CHECK((n > 0 && (size_t)n <= len && (size_t)n <= GROWN) || n == -EAGAIN || n == -EPROTO);
    if (!lied) {
        CHECK(n == -EAGAIN ? put == got : n > 0 && (uint64_t)n <= put - got);
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(out[i], value(got + (uint64_t)i));
    }
    if (n > 0)
        got += (uint64_t)n;
    free(out);
}

static uint64_t lie(struct input *in)
{
    uint64_t near = input_u8(in) % 2 ? writer.written : reader.read;
    switch (input_u8(in) % 4) {
    case 0:
        return near + input_u16(in);
    case 1:
        return near - input_u16(in);
    case 2:
        return (uint64_t)0 - input_u16(in);
    default:
        return (uint64_t)input_u16(in) << (input_u8(in) % 64);
    }
}

/* Anything over anything that both sides can write to: the page, and the bytes. */
static void scribble(struct input *in)
{
    lied = 1;
    for (size_t n = 1 + input_u8(in) % 32; n; n--) {
        size_t at = input_u16(in) % (sizeof(shared) + SIZE + GROWN);
        uint8_t byte = input_u8(in);
        if (at < sizeof(shared))
            ((volatile uint8_t *)&shared)[at] = byte;
        else if (at < sizeof(shared) + SIZE)
            data[at - sizeof(shared)] = byte;
        else
            more[at - sizeof(shared) - SIZE] = byte;
    }
}

static void step(struct input *in)
{
    bool armed;
    uint8_t operation = input_u8(in);
    if (operation >= 248) {
        scribble(in);
        return;
    }
    switch (operation % 8) {
    case 0:
    case 1:
        write_some(in);
        break;
    case 2:
    case 3:
        read_some(in);
        break;
    case 4:
        armed = ring_reader_arm(&reader);
        CHECK(lied || armed == (put == got));
        break;
    case 5:
        lied = 1;
        atomic_store(&shared.written, lie(in));
        break;
    case 6:
        lied = 1;
        atomic_store(&shared.read, lie(in));
        break;
    case 7: /* at any time the other side may say that it sleeps, or that we do not */
        atomic_store(&shared.writer_sleeps, input_u8(in));
        atomic_store(&shared.reader_sleeps, input_u8(in));
        if (input_u8(in) % 4 == 0) {
            lied = 1;
            atomic_store(&shared.grown_at, lie(in));
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct input in = {input, size};
    data = malloc(SIZE);
    more = malloc(GROWN);
    CHECK(data && more);
    memset(data, 0, SIZE);
    memset(more, 0, GROWN);
    memset(&shared, 0, sizeof(shared));
    ring_reader_init(&reader, &shared, data, SIZE);
    ring_writer_init(&writer, &shared, data, SIZE);
    ring_reader_may_grow(&reader, more, GROWN);
    ring_writer_may_grow(&writer, more, GROWN, 2);
    put = got = 0;
    lied = 0;
    for (int steps = 0; in.left && steps < 1000; steps++)
        step(&in);
    free(data);
    free(more);
    return 0;
}
