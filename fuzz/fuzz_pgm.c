/* SPDX-License-Identifier: MIT */
/*
 * PGM: packets of anyone to a source, a receiver and the stream above it. Input: operations, a byte
 * each, with their arguments behind. Packets are mostly made well enough (sum, TSI) to get beyond
 * the first look.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "fuzz.h"
#include "msg/pool.h"
#include "wire/outq.h"
#include "wire/pgm_recv.h"
#include "wire/pgm_send.h"
#include "wire/pgm_stream.h"

#define MS UINT64_C(1000000)
#define WINDOW 32u
#define TSDU 96

static const struct pgm_tsi tsi = {{1, 2, 3, 4, 5, 6}, 7};
static const struct pgm_nla source_addr = {4, {10, 0, 0, 1}}, group = {4, {239, 0, 0, 1}};

struct state {
    struct input in;
    uint64_t now;
    struct pool *pool;
    struct outq q;
    struct pgm_packer packer;
    struct pgm_send send;
    struct pgm_recv recv;
};

static void release(struct pgm_source *s)
{
    if (s->state) {
        pgm_unpacker_fini(s->state);
        mem_free(s->state);
    }
}

static void take(struct state *f)
{
    struct pgm_event event;
    while (pgm_recv_next(&f->recv, &event)) {
        struct pgm_unpacker *u = event.source->state;
        if (!u) {
            u = mem_alloc(sizeof *u);
            CHECK(u);
            pgm_unpacker_init(u, 1000, 1000);
            event.source->state = u;
        }
        if (event.data) {
            pgm_unpacker_put(u, event.data, event.len, !event.fragment || event.first);
            int rc;
            while ((rc = pgm_unpack(u)) == 1) {
                CHECK(u->parts.len > 0);
                for (uint32_t i = 0; i < u->parts.len; i++) {
                    CHECK(msg_size(&u->parts.v[i]) <= 1000);
                    CHECK(!(u->parts.v[i].flags & PART_MORE) == (i + 1 == u->parts.len));
                }
            }
            CHECK_EQ(rc, 0);
        } else {
            CHECK(event.lost);
            pgm_unpacker_lost(u);
        }
        CHECK(event.source->end - event.source->next <= 2 * WINDOW);
        pgm_recv_done(&f->recv, &event);
    }
}

static void give(struct state *f, const struct pgm_nla *from, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    struct pgm_packet p;
    if (!copy)
        return;
    memcpy(copy, bytes, len);
    pgm_recv_packet(&f->recv, from, copy, len, f->now);
    take(f);
    pgm_recv_keep(&f->recv);
    if (pgm_read(copy, len, &p) == 0) {
        CHECK(p.data == NULL || (p.data >= copy && p.data + p.len == copy + len));
        CHECK(p.more_len < PGM_SEQUENCES_MAX);
        pgm_send_recv(&f->send, &p, f->now);
    }
    free(copy);
}

static void packet(struct state *f)
{
    uint8_t bytes[255];
    size_t len = input_u8(&f->in);
    if (len > f->in.left)
        len = f->in.left;
    memcpy(bytes, f->in.at, len);
    f->in.at += len;
    f->in.left -= len;
    uint8_t how = input_u8(&f->in);
    if (len >= PGM_HEADER) {
        if (how & 1)
            memcpy(bytes + 8, tsi.gsi, 6);
        if (how & 2) {
            bool up = bytes[4] == PGM_NAK || bytes[4] == PGM_SPMR;
            put_be16(bytes + (up ? 2 : 0), tsi.port);
            put_be16(bytes + (up ? 0 : 2), 5560);
        }
        /* A number near those that count, where there is one. */
        if ((how & 4) && len >= 20)
            put_be32(bytes + 16, f->send.unsent - 16 + bytes[19]);
        if ((how & 8) && len >= 24)
            put_be32(bytes + 20, f->send.trail + bytes[23] - 16);
        if (how & 16) {
            put_be16(bytes + 6, 0);
            uint16_t sum = (uint16_t)~pgm_sum(bytes, len);
            put_be16(bytes + 6, sum ? sum : 0xffff);
        }
    }
    struct pgm_nla from = source_addr;
    from.at[3] = how & 32 ? 1 : 2;
    give(f, &from, bytes, len);
}

static void send_some(struct state *f, uint8_t fate)
{
    for (int i = 0; i < 20; i++) {
        if (pgm_send_wants(&f->send, f->now)) {
            uint8_t *to = pgm_send_room(&f->send);
            CHECK(to);
            int n = pgm_pack(&f->packer, &f->q, to, TSDU);
            CHECK(n >= 0 && n <= TSDU);
            if (n)
                pgm_send_put(&f->send, (uint16_t)n);
        }
        struct pgm_out out = pgm_send_next(&f->send, f->now);
        if (out.class == PGM_OUT_NONE)
            break;
        if (fate & 1)
            give(f, &source_addr, out.packet, out.len);
        pgm_send_done(&f->send, &out, f->now);
    }
    CHECK(f->send.end - f->send.trail <= WINDOW);
    CHECK(f->send.repair_len <= f->send.cap);
}

static void receiver_sends(struct state *f)
{
    struct pgm_control out;
    for (int i = 0; i < 20 && pgm_recv_out(&f->recv, &out, f->now); i++) {
        struct pgm_packet p;
        CHECK_EQ(pgm_read(out.packet, out.len, &p), 0);
        pgm_send_recv(&f->send, &p, f->now);
    }
    take(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state f = {.in = {data, size}, .now = MS};
    long live = mem_live();
    CHECK(pool_create(&f.pool) == 0);
    outq_init(&f.q, f.pool);
    pgm_packer_init(&f.packer);
    struct pgm_send_config send = {.tsi = tsi,
                                   .port = 5560,
                                   .nla = source_addr,
                                   .group = group,
                                   .first = UINT32_MAX - 8,
                                   .rate = 1000000,
                                   .window = WINDOW,
                                   .tsdu = TSDU,
                                   .overhead = 28,
                                   .keep = 60000 * MS};
    struct pgm_recv_config recv = {.port = 5560, .group = group, .window = WINDOW, .seed = 1};
    CHECK(pgm_send_init(&f.send, &send, f.now) == 0);
    pgm_recv_init(&f.recv, &recv);
    f.recv.release = release;
    for (int steps = 0; f.in.left && steps < 200; steps++) {
        uint8_t op = input_u8(&f.in);
        switch (op % 6) {
        case 0:
            packet(&f);
            break;
        case 1: {
            uint8_t body[255] = {0};
            CHECK(outq_put_copy(&f.q, body, input_u8(&f.in)) == 0);
            break;
        }
        case 2:
            send_some(&f, op >> 4);
            break;
        case 3:
            receiver_sends(&f);
            break;
        case 4:
            f.now += (uint64_t)input_u8(&f.in) * MS * (op & 64 ? 100 : 1);
            break;
        case 5:
            mem_fail_at(1);
            pgm_recv_keep(&f.recv);
            mem_fail_at(0);
            break;
        }
    }
    pgm_recv_fini(&f.recv);
    pgm_send_fini(&f.send);
    pgm_packer_fini(&f.packer);
    outq_fini(&f.q);
    pool_release(f.pool);
    CHECK_EQ(mem_live(), live);
    return 0;
}
