/* SPDX-License-Identifier: MIT */
/*
 * A publisher and some receivers of PGM, connected in memory by a network that loses, doubles and
 * delays what a seed says. Time is virtual.
 */
#ifndef PGM_WORLD_H
#define PGM_WORLD_H

#include <errno.h>

#include "msg/pool.h"
#include "wire/outq.h"
#include "wire/pgm_recv.h"
#include "wire/pgm_send.h"
#include "wire/pgm_stream.h"

#define MS UINT64_C(1000000)
#define RECEIVERS 8
#define WIRE 4096
#define TSDU 400

struct flying {
    uint64_t at;
    int to; /* a receiver, or -1: the publisher */
    struct pgm_nla from;
    uint16_t len;
    uint8_t bytes[TSDU + 64];
};

struct receiver {
    struct pgm_recv recv;
    struct pgm_nla addr;
    uint32_t next; /* the message that is expected */
    bool began;    /* has had a message */
    uint32_t lost; /* packets, by its events */
    uint32_t gaps; /* messages that never came */
    uint32_t msgs;
    uint32_t refused; /* packets for which a bound left no room */
    uint64_t done_at; /* when the last message came */
};

static struct world {
    uint64_t now;
    unsigned loss, doubling, jitter; /* per cent, per cent, ms */
    struct pool *pool;
    struct outq q;
    struct pgm_packer packer;
    struct pgm_send send;
    struct pgm_nla addr;
    struct receiver r[RECEIVERS];
    int n;
    struct flying wire[WIRE];
    int flying;
    uint32_t sent; /* messages */
    uint64_t data, repairs, ncfs, spms, naks;
} w;

static struct pgm_nla address(uint8_t last)
{
    return (struct pgm_nla){4, {10, 0, 0, last}};
}

static const struct pgm_tsi world_tsi = {{1, 2, 3, 4, 5, 6}, 7500};

static void free_unpacker(struct pgm_source *s)
{
    struct pgm_unpacker *u = s->state;
    if (u) {
        pgm_unpacker_fini(u);
        mem_free(u);
    }
}

static struct pgm_recv_config recv_config(uint32_t window)
{
    return (struct pgm_recv_config){
        .port = 5560, .group = address(200), .window = window, .seed = check_rand()};
}

static struct pgm_send_config send_config(uint64_t rate, uint32_t window)
{
    return (struct pgm_send_config){.tsi = world_tsi,
                                    .port = 5560,
                                    .nla = address(1),
                                    .group = address(200),
                                    .first = (uint32_t)check_rand(),
                                    .rate = rate,
                                    .window = window,
                                    .tsdu = TSDU,
                                    .overhead = 28};
}

static void world_begin(int receivers, uint64_t rate, uint32_t window)
{
    memset(&w, 0, sizeof w);
    w.now = 1000 * MS;
    w.n = receivers;
    CHECK_EQ(pool_create(&w.pool), 0);
    outq_init(&w.q, w.pool);
    pgm_packer_init(&w.packer);
    w.addr = address(1);
    struct pgm_send_config config = send_config(rate, window);
    CHECK_EQ(pgm_send_init(&w.send, &config, w.now), 0);
    for (int i = 0; i < w.n; i++) {
        struct pgm_recv_config rc = recv_config(window);
        pgm_recv_init(&w.r[i].recv, &rc);
        w.r[i].recv.release = free_unpacker;
        w.r[i].addr = address((uint8_t)(i + 2));
    }
}

static void world_end(void)
{
    for (int i = 0; i < w.n; i++)
        pgm_recv_fini(&w.r[i].recv);
    pgm_send_fini(&w.send);
    pgm_packer_fini(&w.packer);
    outq_fini(&w.q);
    pool_release(w.pool);
}

static void fly_one(int to, const struct pgm_nla *from, const uint8_t *bytes, size_t len)
{
    CHECK(w.flying < WIRE);
    struct flying *f = &w.wire[w.flying++];
    f->at = w.now + MS + (w.jitter ? check_below(w.jitter * MS) : 0);
    f->to = to;
    f->from = *from;
    f->len = (uint16_t)len;
    memcpy(f->bytes, bytes, len);
}

static void fly(int to, const struct pgm_nla *from, const uint8_t *bytes, size_t len)
{
    if (w.loss && check_below(100) < w.loss)
        return;
    fly_one(to, from, bytes, len);
    if (w.doubling && check_below(100) < w.doubling)
        fly_one(to, from, bytes, len);
}

/* The message of that number: its number, then bytes that follow from it; in one to three parts. */
static uint32_t parts_of(uint32_t number)
{
    return number % 7 == 0 ? 3 : number % 5 == 0 ? 2 : 1;
}

static size_t part_size(uint32_t number, uint32_t part)
{
    uint32_t x = (number * 2654435761u) ^ (part * 40503u);
    x ^= x >> 13;
    size_t size = x % 97 == 0 ? x % 5000 : x % 11 == 0 ? 0 : x % 300;
    return part == 0 ? size + 4 : size;
}

static uint8_t byte_of(uint32_t number, uint32_t part, size_t at)
{
    return (uint8_t)(number * 31 + part * 7 + at);
}

static void world_put(void)
{
    struct msg parts[3];
    uint32_t number = w.sent++, n = parts_of(number);
    for (uint32_t p = 0; p < n; p++) {
        uint8_t *data;
        size_t size = part_size(number, p);
        CHECK_EQ(msg_init_blob(&parts[p], size, &data), 0);
        for (size_t i = 0; i < size; i++)
            data[i] = byte_of(number, p, i);
        if (p == 0)
            memcpy(data, &number, 4);
    }
    CHECK_EQ(outq_put(&w.q, parts, n), 0);
}

static void check_message(struct receiver *r, const struct parts *m)
{
    uint32_t number;
    CHECK(msg_size(&m->v[0]) >= 4);
    memcpy(&number, msg_data(&m->v[0]), 4);
    CHECK(number < w.sent);
    if (r->began) {
        CHECK(number >= r->next); /* never twice, never out of order */
        r->gaps += number - r->next;
    }
    r->began = true;
    r->next = number + 1;
    r->msgs++;
    r->done_at = w.now;
    CHECK_EQ(m->len, parts_of(number));
    for (uint32_t p = 0; p < m->len; p++) {
        const uint8_t *data = msg_data(&m->v[p]);
        CHECK_EQ(msg_size(&m->v[p]), part_size(number, p));
        CHECK_EQ((m->v[p].flags & PART_MORE) != 0, p + 1 < m->len);
        for (size_t i = p == 0 ? 4 : 0; i < msg_size(&m->v[p]); i++)
            CHECK_EQ(data[i], byte_of(number, p, i));
    }
}

static void world_take(struct receiver *r)
{
    struct pgm_event event;
    while (pgm_recv_next(&r->recv, &event)) {
        struct pgm_unpacker *u = event.source->state;
        if (!u) {
            u = mem_alloc(sizeof *u);
            CHECK(u != NULL);
            pgm_unpacker_init(u, -1, 1000);
            event.source->state = u;
        }
        if (event.data) {
            pgm_unpacker_put(u, event.data, event.len, !event.fragment || event.first);
            int rc;
            while ((rc = pgm_unpack(u)) == 1)
                check_message(r, &u->parts);
            CHECK_EQ(rc, 0);
            CHECK_EQ(u->violations, 0);
        } else {
            CHECK(event.lost > 0);
            r->lost += event.lost;
            pgm_unpacker_lost(u);
        }
        pgm_recv_done(&r->recv, &event);
    }
}

static void publisher_step(void)
{
    for (;;) {
        if (pgm_send_wants(&w.send, w.now)) {
            uint8_t *to = pgm_send_room(&w.send);
            CHECK(to != NULL);
            int n = pgm_pack(&w.packer, &w.q, to, TSDU);
            CHECK(n >= 0);
            if (n)
                pgm_send_put(&w.send, (uint16_t)n);
        }
        struct pgm_out out = pgm_send_next(&w.send, w.now);
        if (out.class == PGM_OUT_NONE)
            break;
        w.data += out.class == PGM_OUT_DATA;
        w.repairs += out.class == PGM_OUT_REPAIR;
        w.ncfs += out.class == PGM_OUT_CONTROL && out.packet[4] == PGM_NCF;
        w.spms += out.class == PGM_OUT_CONTROL && out.packet[4] == PGM_SPM;
        for (int i = 0; i < w.n; i++)
            fly(i, &w.addr, out.packet, out.len);
        pgm_send_done(&w.send, &out, w.now);
    }
}

static void receiver_step(int i)
{
    struct pgm_control out;
    while (pgm_recv_out(&w.r[i].recv, &out, w.now)) {
        w.naks += out.packet[4] == PGM_NAK;
        fly(-1, &w.r[i].addr, out.packet, out.len);
        for (int k = 0; out.to.len == 0 && k < w.n; k++)
            if (k != i)
                fly(k, &w.r[i].addr, out.packet, out.len);
    }
    world_take(&w.r[i]);
}

static void land_all(void)
{
    /* In the order of landing. */
    for (;;) {
        int first = -1;
        for (int i = 0; i < w.flying; i++) {
            if (w.wire[i].at <= w.now && (first < 0 || w.wire[i].at < w.wire[first].at))
                first = i;
        }
        if (first < 0)
            return;
        struct flying f = w.wire[first];
        memmove(&w.wire[first], &w.wire[first + 1],
                (size_t)(w.flying - first - 1) * sizeof w.wire[0]);
        w.flying--;
        /* In memory of its own length, where the sanitizer sees what is read behind it. */
        uint8_t *bytes = malloc(f.len ? f.len : 1);
        CHECK(bytes != NULL);
        memcpy(bytes, f.bytes, f.len);
        if (f.to < 0) {
            struct pgm_packet p;
            CHECK_EQ(pgm_read(bytes, f.len, &p), 0);
            pgm_send_recv(&w.send, &p, w.now);
        } else {
            struct receiver *r = &w.r[f.to];
            int rc = pgm_recv_packet(&r->recv, &f.from, bytes, f.len, w.now);
            CHECK(rc == 0 || rc == -ENOBUFS);
            r->refused += rc != 0;
            if (check_below(4) == 0)
                CHECK_EQ(pgm_recv_keep(&r->recv), 0);
            world_take(r);
            CHECK_EQ(pgm_recv_keep(&r->recv), 0);
        }
        free(bytes);
    }
}

static void world_step(void)
{
    w.now += MS;
    land_all();
    publisher_step();
    for (int i = 0; i < w.n; i++)
        receiver_step(i);
}

static void world_run(unsigned ms)
{
    for (unsigned i = 0; i < ms; i++)
        world_step();
}

#endif
