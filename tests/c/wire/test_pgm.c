/* SPDX-License-Identifier: MIT */
// needs: base msg wire
#include "check.h"

#include <errno.h>

#include "base/bytes.h"
#include "wire/pgm_world.h"

/* ---- packets ---- */

static size_t from_hex(const char *hex, uint8_t *to)
{
    size_t n = 0;
    for (; *hex; hex += 2) {
        while (*hex == ' ')
            hex++;
        unsigned v;
        CHECK_EQ(sscanf(hex, "%2x", &v), 1);
        to[n++] = (uint8_t)v;
    }
    return n;
}

/* What an OpenPGM of libzmq 4.3.4 put on the wire. */
static const char spm_hex[] = "69cd15b80000e961b7c6d1bc038a0000"
                              "00000000"
                              "00000000"
                              "ffffffff"
                              "00010000"
                              "0a090001";
static const char odata_hex[] = "69cd15b804007e33b7c6d1bc038a0008"
                                "00000000"
                                "00000000"
                                "0000"
                                "03016d30"
                                "0100";

TEST(the_spm_of_openpgm_is_read_and_written_alike)
{
    uint8_t in[64], out[PGM_CONTROL_MAX];
    size_t n = from_hex(spm_hex, in);
    struct pgm_packet p;
    CHECK_EQ(pgm_read(in, n, &p), 0);
    CHECK_EQ(p.type, PGM_SPM);
    CHECK_EQ(p.tsi.port, 0x69cd);
    CHECK_EQ(p.port, 5560);
    CHECK_EQ(p.trail, 0);
    CHECK_EQ(p.lead, UINT32_MAX);
    CHECK_EQ(p.nla.len, 4);
    CHECK_MEM(p.nla.at, ((uint8_t[]){10, 9, 0, 1}), 4);
    CHECK_EQ(pgm_write(&p, out), n);
    CHECK_MEM(in, out, n);
}

TEST(the_odata_of_openpgm_is_read_and_written_alike)
{
    uint8_t in[64], out[64];
    size_t n = from_hex(odata_hex, in);
    struct pgm_packet p;
    CHECK_EQ(pgm_read(in, n, &p), 0);
    CHECK_EQ(p.type, PGM_ODATA);
    CHECK_EQ(p.len, 8);
    CHECK(p.data == in + PGM_DATA_HEADER);
    memcpy(out + PGM_DATA_HEADER, p.data, p.len);
    pgm_write_data(out, &p.tsi, p.port, p.sqn, p.trail, p.len);
    CHECK_MEM(in, out, n);

    struct pgm_unpacker u;
    pgm_unpacker_init(&u, -1, 1000);
    pgm_unpacker_put(&u, p.data, p.len, true);
    CHECK_EQ(pgm_unpack(&u), 1);
    CHECK_EQ(u.parts.len, 2);
    CHECK(msg_is_text(&u.parts.v[0], "m0"));
    CHECK(msg_is_text(&u.parts.v[1], ""));
    CHECK_EQ(pgm_unpack(&u), 0);
    pgm_unpacker_fini(&u);
}

TEST(a_nak_lists_all_that_is_missing)
{
    for (unsigned more = 0; more < PGM_SEQUENCES_MAX; more++) {
        for (int v6 = 0; v6 < 2; v6++) {
            uint8_t bytes[PGM_CONTROL_MAX];
            struct pgm_packet p = {.type = PGM_NAK,
                                   .tsi = world_tsi,
                                   .port = 5560,
                                   .sqn = 9,
                                   .nla = address(1),
                                   .group = address(2),
                                   .more_len = more};
            if (v6)
                p.nla.len = p.group.len = 16;
            for (unsigned i = 0; i < more; i++)
                p.more[i] = i * 77;
            size_t n = pgm_write(&p, bytes);
            CHECK(n <= PGM_CONTROL_MAX);
            struct pgm_packet q;
            CHECK_EQ(pgm_read(bytes, n, &q), 0);
            CHECK_EQ(q.sqn, 9);
            CHECK_EQ(q.more_len, more);
            CHECK(pgm_tsi_is(&p.tsi, &q.tsi));
            CHECK_EQ(q.port, 5560);
            CHECK(pgm_nla_is(&p.nla, &q.nla) && pgm_nla_is(&p.group, &q.group));
            for (unsigned i = 0; i < more; i++)
                CHECK_EQ(q.more[i], i * 77);
        }
    }
}

TEST(a_damaged_packet_is_refused)
{
    static const char *const good[] = {spm_hex, odata_hex};
    for (int k = 0; k < 2; k++) {
        uint8_t bytes[64];
        size_t n = from_hex(good[k], bytes);
        for (size_t bit = 0; bit < n * 8; bit++) {
            struct pgm_packet p;
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK_EQ(pgm_read(bytes, n, &p), -EBADMSG);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

/* Of any length, with a sum that fits. */
static void put_right_sum(uint8_t *bytes, size_t n)
{
    if (n < PGM_HEADER)
        return;
    put_be16(bytes + 6, 0);
    uint16_t sum = (uint16_t)~pgm_sum(bytes, n);
    put_be16(bytes + 6, sum ? sum : 0xffff);
}

TEST(a_truncated_packet_is_refused_whatever_its_sum)
{
    struct pgm_packet nak = {
        .type = PGM_NAK, .tsi = world_tsi, .nla = address(1), .group = address(2), .more_len = 5};
    uint8_t spm[PGM_CONTROL_MAX], list[PGM_CONTROL_MAX], data[64];
    struct pgm_packet fin = {.type = PGM_SPM, .tsi = world_tsi, .nla = address(1), .fin = true};
    size_t len[3] = {pgm_write(&fin, spm), pgm_write(&nak, list), from_hex(odata_hex, data)};
    const uint8_t *all[3] = {spm, list, data};
    for (int k = 0; k < 3; k++) {
        for (size_t n = 0; n < len[k]; n++) {
            uint8_t *cut = malloc(n ? n : 1);
            CHECK(cut != NULL);
            memcpy(cut, all[k], n);
            put_right_sum(cut, n);
            struct pgm_packet p;
            CHECK_EQ(pgm_read(cut, n, &p), -EBADMSG);
            free(cut);
        }
    }
}

TEST(lengths_that_lie_are_refused)
{
    uint8_t bytes[PGM_CONTROL_MAX];
    struct pgm_packet p, nak = {.type = PGM_NAK,
                                .tsi = world_tsi,
                                .nla = address(1),
                                .group = address(2),
                                .more_len = 3};
    size_t n = pgm_write(&nak, bytes);
    size_t options = PGM_HEADER + 4 + 8 + 8;
    struct {
        size_t at;
        uint8_t value;
    } lies[] = {
        {options, 0x11},   {options + 1, 3}, {options + 2, 0xff},
        {options + 3, 3},  {options + 3, 0}, {options + 4, 0x02},
        {options + 5, 0},  {options + 5, 3}, {options + 5, 0xff},
        {options + 5, 15}, {15, 1},          {PGM_HEADER + 5, 9},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t copy[PGM_CONTROL_MAX];
        memcpy(copy, bytes, n);
        copy[lies[i].at] = lies[i].value;
        put_right_sum(copy, n);
        CHECK_EQ(pgm_read(copy, n, &p), -EBADMSG);
    }
    n = from_hex(odata_hex, bytes);
    for (int len = 0; len < 20; len++) {
        bytes[15] = (uint8_t)len;
        put_right_sum(bytes, n);
        CHECK_EQ(pgm_read(bytes, n, &p), len == 8 ? 0 : -EBADMSG);
    }
}

TEST(the_sum_is_that_of_a_loop)
{
    uint8_t bytes[300];
    for (size_t n = 0; n < sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = check_below(3) ? 0xff : (uint8_t)check_rand();
        uint32_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
            sum = (sum & 0xffff) + (sum >> 16);
        }
        CHECK_EQ(pgm_sum(bytes, n), sum);
    }
}

/* ---- the stream ---- */

TEST(a_message_is_whole_however_it_is_cut)
{
    for (size_t max = 32; max < 200; max += 1 + check_below(4)) {
        world_begin(0, 1, 1);
        struct pgm_unpacker u;
        pgm_unpacker_init(&u, -1, 1000);
        for (int i = 0; i < 60; i++)
            world_put();
        struct receiver r = {0};
        uint8_t piece[200];
        int n;
        while ((n = pgm_pack(&w.packer, &w.q, piece, max)) > 0) {
            uint8_t *copy = malloc((size_t)n);
            CHECK(copy != NULL);
            memcpy(copy, piece, (size_t)n);
            pgm_unpacker_put(&u, copy, (size_t)n, true);
            while (pgm_unpack(&u) == 1)
                check_message(&r, &u.parts);
            free(copy);
        }
        CHECK_EQ(n, 0);
        CHECK(!pgm_packer_busy(&w.packer));
        CHECK_EQ(r.msgs, 60);
        CHECK_EQ(r.gaps, 0);
        CHECK_EQ(u.violations, 0);
        pgm_unpacker_fini(&u);
        world_end();
    }
}

TEST(after_a_loss_the_stream_goes_on_with_the_next_whole_message)
{
    for (int round = 0; round < 200; round++) {
        world_begin(0, 1, 1);
        struct pgm_unpacker u;
        pgm_unpacker_init(&u, -1, 1000);
        for (int i = 0; i < 60; i++)
            world_put();
        struct receiver r = {0};
        uint8_t piece[90];
        int n;
        while ((n = pgm_pack(&w.packer, &w.q, piece, sizeof piece)) > 0) {
            if (check_below(6) == 0) {
                pgm_unpacker_lost(&u);
                continue;
            }
            pgm_unpacker_put(&u, piece, (size_t)n, true);
            while (pgm_unpack(&u) == 1)
                check_message(&r, &u.parts);
        }
        CHECK(r.msgs > 0 && r.gaps > 0);
        CHECK_EQ(u.violations, 0);
        pgm_unpacker_fini(&u);
        world_end();
    }
}

TEST(a_message_start_that_is_none_is_a_violation_and_tears_nothing)
{
    static const uint8_t torn[] = {0, 0, 200, 0, 'a', 'b'};
    static const uint8_t next[] = {0, 2, 'c', 'd', 3, 0, 'e', 'f'};
    struct pgm_unpacker u;
    pgm_unpacker_init(&u, -1, 1000);
    pgm_unpacker_put(&u, torn, sizeof torn, true);
    CHECK_EQ(pgm_unpack(&u), 0);
    pgm_unpacker_put(&u, next, sizeof next, true);
    CHECK_EQ(pgm_unpack(&u), 1);
    CHECK_EQ(u.parts.len, 1);
    CHECK(msg_is_text(&u.parts.v[0], "ef"));
    CHECK_EQ(u.violations, 1);
    pgm_unpacker_fini(&u);
}

TEST(pieces_that_are_none_are_violations)
{
    static const uint8_t bad[][12] = {
        {0},                                                    /* too short, see below */
        {0, 9, 1, 0},                                           /* the start lies behind the end */
        {0, 0, 0, 0},                                           /* a length of 0 */
        {0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0}, /* a length beyond all memory */
    };
    for (size_t i = 0; i < 4; i++) {
        struct pgm_unpacker u;
        pgm_unpacker_init(&u, -1, 1000);
        pgm_unpacker_put(&u, bad[i], i == 0 ? 1 : i == 3 ? 12 : 4, true);
        CHECK_EQ(pgm_unpack(&u), 0);
        CHECK_EQ(u.violations, 1);
        CHECK(!u.joined);
        pgm_unpacker_fini(&u);
    }
}

TEST(a_part_above_the_limit_is_a_violation)
{
    static const uint8_t piece[] = {0, 0, 6, 0, 1, 2, 3, 4, 5, 2, 0, 'x'};
    for (int limit = 4; limit <= 5; limit++) {
        struct pgm_unpacker u;
        pgm_unpacker_init(&u, limit, 1000);
        pgm_unpacker_put(&u, piece, sizeof piece, true);
        CHECK_EQ(pgm_unpack(&u), limit == 5);
        CHECK_EQ(u.violations, limit == 4);
        pgm_unpacker_fini(&u);
    }
}

TEST(a_message_of_too_many_parts_is_a_violation)
{
    static const uint8_t piece[] = {0, 0, 2, 1, 'a', 2, 1, 'b', 2, 0, 'c'};
    for (uint32_t limit = 2; limit <= 3; limit++) {
        struct pgm_unpacker u;
        pgm_unpacker_init(&u, -1, limit);
        pgm_unpacker_put(&u, piece, sizeof piece, true);
        CHECK_EQ(pgm_unpack(&u), limit == 3);
        CHECK_EQ(u.violations, limit == 2);
        pgm_unpacker_fini(&u);
    }
}

TEST(a_length_alone_costs_little_memory)
{
    static const uint8_t piece[] = {0, 0, 255, 0, 0, 0, 0, 64, 0, 0, 0, 0, 'x'};
    struct pgm_unpacker u;
    pgm_unpacker_init(&u, -1, 1000);
    pgm_unpacker_put(&u, piece, sizeof piece, true);
    CHECK_EQ(pgm_unpack(&u), 0);
    CHECK_EQ(u.size, (1u << 30) - 1);
    CHECK_EQ(u.room, 64u << 10);
    pgm_unpacker_fini(&u);
}

/* ---- both halves ---- */

static void join_all(void)
{
    world_run(50); /* the first SPM */
}

static void run_all(unsigned messages, unsigned deadline_ms)
{
    for (unsigned ms = 0; ms < deadline_ms; ms++) {
        while (w.sent < messages && w.q.msgs < 20)
            world_put();
        world_step();
        bool done = w.sent == messages;
        for (int i = 0; i < w.n; i++)
            done &= w.r[i].next == messages;
        if (done)
            return;
    }
    fprintf(stderr, "not all of %u messages came in %u ms; the first receiver has %u\n", messages,
            deadline_ms, w.r[0].next);
    CHECK(false);
}

TEST(without_faults_all_comes_and_nobody_asks)
{
    world_begin(3, 1000000, 500);
    join_all();
    run_all(2000, 10000);
    for (int i = 0; i < w.n; i++) {
        CHECK_EQ(w.r[i].msgs, 2000);
        CHECK_EQ(w.r[i].gaps, 0);
        CHECK_EQ(w.r[i].lost, 0);
        CHECK_EQ(w.r[i].refused, 0);
    }
    CHECK_EQ(w.naks, 0);
    CHECK_EQ(w.repairs, 0);
    world_end();
}

TEST(loss_doubling_and_reordering_within_the_window_cost_nothing)
{
    static const unsigned losses[] = {1, 5, 20};
    for (int round = 0; round < 12; round++) {
        world_begin(1 + round % RECEIVERS, 200000, 2000);
        join_all();
        w.loss = losses[round % 3];
        w.doubling = (unsigned)check_below(3) * 10;
        w.jitter = (unsigned)check_below(3) * 20;
        /* The last messages are repaired, too: SPMs tell of them. */
        run_all(1500, 60000);
        for (int i = 0; i < w.n; i++) {
            CHECK_EQ(w.r[i].lost, 0);
            CHECK_EQ(w.r[i].msgs, 1500);
        }
        CHECK(w.repairs > 0);
        world_end();
    }
}

TEST(a_repair_of_five_per_cent_costs_little_more_than_what_is_lost)
{
    world_begin(1, 1000000, 2000);
    join_all();
    w.loss = 5;
    run_all(4000, 60000);
    /* 5 % is lost once, 5 % of that again, and so are NAKs. */
    CHECK(w.repairs * 100 < w.data * 8);
    world_end();
}

TEST(what_is_beyond_the_window_is_told_and_never_torn)
{
    unsigned rounds_with_loss = 0;
    for (int round = 0; round < 10; round++) {
        world_begin(2, 500000, 8);
        join_all();
        w.loss = 20;
        w.jitter = 10;
        for (unsigned i = 0; i < 4000; i++) {
            while (w.sent < 3000 && w.q.msgs < 20)
                world_put();
            world_step();
        }
        w.loss = 0;
        world_put();
        world_run(20000);
        for (int i = 0; i < w.n; i++) {
            CHECK_EQ(w.r[i].next, w.sent); /* it goes on */
            CHECK_EQ(w.r[i].gaps > 0, w.r[i].lost > 0);
            rounds_with_loss += w.r[i].lost > 0;
        }
        world_end();
    }
    CHECK(rounds_with_loss > 0);
}

TEST(a_cut_longer_than_the_window_is_told_and_the_stream_goes_on)
{
    world_begin(1, 1000000, 16);
    join_all();
    run_all(100, 10000);
    w.loss = 100;
    for (int i = 0; i < 2000; i++) {
        if (w.q.msgs < 20)
            world_put();
        world_step();
    }
    w.loss = 0;
    uint32_t more = w.sent + 100;
    run_all(more, 10000);
    CHECK(w.r[0].lost > 16);
    CHECK(w.r[0].gaps > 0);
    world_end();
}

TEST(a_late_receiver_begins_with_a_whole_message)
{
    for (int round = 0; round < 20; round++) {
        world_begin(2, 500000, 100);
        w.n = 1;
        for (int i = 0; i < 200 + (int)check_below(50); i++) {
            while (w.q.msgs < 20)
                world_put();
            world_step();
        }
        w.n = 2;
        uint32_t from = w.sent;
        run_all(from + 200, 10000);
        CHECK_EQ(w.r[1].gaps, 0);
        CHECK_EQ(w.r[1].lost, 0);
        CHECK(w.r[1].msgs >= 200);
        w.n = 2;
        world_end();
    }
}

TEST(the_rate_is_kept)
{
    world_begin(1, 50000, 100); /* 50 bytes a ms */
    join_all();
    uint64_t before = w.now;
    for (int i = 0; i < 20000; i++) {
        while (w.q.msgs < 20)
            world_put();
        world_step();
    }
    double bytes = (double)w.data * (TSDU + PGM_DATA_HEADER + 28);
    double most = 50000.0 * (double)(w.now - before) / 1e9;
    CHECK(bytes < most * 1.02 + 2000);
    CHECK(bytes > most * 0.95);
    world_end();
}

TEST(spms_come_soon_after_data_and_then_rarely)
{
    world_begin(1, 1000000, 100);
    join_all();
    CHECK_EQ(w.spms, 1);
    world_put();
    world_run(2000);
    uint64_t soon = w.spms;
    CHECK(soon >= 5 && soon <= 7);
    world_run(60000);
    CHECK(w.spms - soon <= 6);
    world_run(60000);
    CHECK(w.spms - soon <= 8);
    world_end();
}

/* ---- what is hostile ---- */

static void put_nak(uint32_t first, unsigned n)
{
    struct pgm_packet p = {.type = PGM_NAK,
                           .tsi = world_tsi,
                           .port = 5560,
                           .sqn = first,
                           .nla = address(1),
                           .group = address(200),
                           .more_len = n - 1};
    for (unsigned i = 1; i < n; i++)
        p.more[i - 1] = first + i;
    pgm_send_recv(&w.send, &p, w.now);
}

TEST(a_flood_of_naks_causes_one_repair_an_interval)
{
    world_begin(1, 1000000, 500);
    join_all();
    run_all(300, 10000);
    world_run(1000);
    uint64_t repairs = w.repairs, ncfs = w.ncfs, began = w.now;
    for (int ms = 0; ms < 1000; ms++) {
        for (int i = 0; i < 100; i++)
            put_nak(w.send.unsent - 3, 3);
        world_step();
    }
    uint64_t intervals = (w.now - began) / PGM_REPAIR_IVL + 1;
    CHECK(w.repairs - repairs <= 3 * intervals);
    CHECK(w.repairs - repairs >= 3 * (intervals - 4));
    CHECK(w.ncfs - ncfs <= 3 * intervals);
    world_end();
}

TEST(a_flood_of_naks_for_all_leaves_half_the_rate_to_new_data)
{
    world_begin(1, 100000, 500);
    join_all();
    run_all(600, 20000);
    uint64_t data = w.data, repairs = w.repairs;
    for (int ms = 0; ms < 5000; ms++) {
        for (uint32_t sqn = w.send.trail; pgm_before(sqn, w.send.unsent); sqn += 63)
            put_nak(sqn, 63);
        while (w.q.msgs < 20)
            world_put();
        world_step();
    }
    CHECK(w.data - data >= (w.repairs - repairs) * 9 / 10);
    CHECK(w.send.repair_len <= w.send.cap);
    world_end();
}

TEST(a_flood_of_spmrs_causes_ten_spms_a_second)
{
    world_begin(1, 1000000, 500);
    join_all();
    uint64_t spms = w.spms;
    struct pgm_packet p = {.type = PGM_SPMR, .tsi = world_tsi, .port = 5560};
    for (int ms = 0; ms < 2000; ms++) {
        for (int i = 0; i < 100; i++)
            pgm_send_recv(&w.send, &p, w.now);
        world_step();
    }
    CHECK(w.spms - spms <= 21);
    CHECK(w.spms - spms >= 15);
    world_end();
}

TEST(a_second_source_with_the_same_tsi_is_left_out)
{
    world_begin(1, 1000000, 500);
    join_all();
    run_all(50, 10000);
    uint8_t fake[PGM_DATA_HEADER + 8] = {0};
    memcpy(fake + PGM_DATA_HEADER, (uint8_t[]){0, 0, 5, 0, 'e', 'v', 'i', 'l'}, 8);
    struct pgm_nla other = address(99);
    for (uint32_t i = 0; i < 20; i++) {
        pgm_write_data(fake, &world_tsi, 5560, w.send.unsent + i, w.send.trail, 8);
        CHECK_EQ(pgm_recv_packet(&w.r[0].recv, &other, fake, sizeof fake, w.now), -EPERM);
        world_take(&w.r[0]);
    }
    CHECK_EQ(w.r[0].recv.foreign, 20);
    run_all(100, 10000);
    CHECK_EQ(w.r[0].gaps, 0);
    CHECK_EQ(w.r[0].lost, 0);
    world_end();
}

TEST(sources_are_bounded_and_make_room_for_those_that_speak)
{
    world_begin(1, 1000000, 500);
    uint8_t fake[PGM_DATA_HEADER + 2] = {0};
    struct pgm_nla other = address(99);
    unsigned refused = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        struct pgm_tsi tsi = {{9, 9, (uint8_t)(i >> 8), (uint8_t)i, 0, 0}, 1};
        pgm_write_data(fake, &tsi, 5560, 5, 7, 2); /* a trail before which nothing is */
        refused += pgm_recv_packet(&w.r[0].recv, &other, fake, sizeof fake, w.now) == -ENOBUFS;
    }
    CHECK_EQ(w.r[0].recv.by_tsi.len, PGM_SOURCES_MAX);
    CHECK_EQ(refused, 1000 - PGM_SOURCES_MAX);
    world_run(6000);
    run_all(100, 10000);
    CHECK_EQ(w.r[0].lost, 0);
    CHECK_EQ(w.r[0].recv.by_tsi.len, PGM_SOURCES_MAX);
    world_end();
}

TEST(a_lying_source_costs_no_more_than_its_window)
{
    struct pgm_recv r;
    struct pgm_recv_config config = recv_config(64);
    pgm_recv_init(&r, &config);
    struct pgm_nla from = address(1);
    uint8_t packet[PGM_DATA_HEADER + 2] = {0};
    uint64_t now = MS;
    for (int i = 0; i < 20000; i++) {
        struct pgm_event event;
        uint32_t sqn = (uint32_t)check_rand();
        pgm_write_data(packet, &world_tsi, 5560, sqn, sqn - (uint32_t)check_below(100), 2);
        pgm_recv_packet(&r, &from, packet, sizeof packet, now);
        while (pgm_recv_next(&r, &event)) {
            CHECK(event.data || event.lost);
            pgm_recv_done(&r, &event);
        }
        struct pgm_source *s = LIST_ENTRY(r.sources.next, struct pgm_source, node);
        CHECK(s->cap <= 128);
        CHECK(s->end - s->next <= 64);
    }
    pgm_recv_fini(&r);
}

TEST(foreign_naks_and_ncfs_do_not_keep_a_receiver_from_asking)
{
    world_begin(1, 1000000, 500);
    join_all();
    run_all(20, 10000);
    w.loss = 100;
    world_put();
    world_run(20);
    w.loss = 0;
    uint64_t naks = w.naks;
    struct pgm_packet p = {
        .type = PGM_NAK, .tsi = world_tsi, .port = 5560, .nla = address(1), .group = address(200)};
    uint8_t bytes[PGM_CONTROL_MAX];
    struct pgm_nla other = address(77);
    for (int ms = 0; ms < 3000 && w.r[0].next < 21; ms++) {
        p.sqn = w.send.unsent - 1;
        size_t n = pgm_write(&p, bytes);
        pgm_recv_packet(&w.r[0].recv, &other, bytes, n, w.now);
        world_step();
    }
    CHECK_EQ(w.r[0].next, 21);
    CHECK(w.naks > naks);
    world_end();
}

TEST(what_cannot_be_had_is_given_up)
{
    world_begin(1, 1000000, 500);
    join_all();
    run_all(20, 10000);
    /* The publisher has sent more, says its SPM, and is gone. */
    struct pgm_packet spm = {.type = PGM_SPM,
                             .tsi = world_tsi,
                             .port = 5560,
                             .sqn = 1000,
                             .trail = w.send.trail,
                             .lead = w.send.unsent + 4,
                             .nla = address(1)};
    uint8_t bytes[PGM_CONTROL_MAX];
    size_t n = pgm_write(&spm, bytes);
    CHECK_EQ(pgm_recv_packet(&w.r[0].recv, &w.addr, bytes, n, w.now), 0);
    uint64_t naks = w.r[0].recv.naks;
    for (int ms = 0; ms < 60000 && w.r[0].lost < 5; ms++) {
        w.now += MS;
        receiver_step(0);
        w.flying = 0;
    }
    CHECK_EQ(w.r[0].lost, 5);
    CHECK_EQ(w.r[0].recv.naks - naks, 5 * PGM_TRIES);
    world_end();
}

TEST(a_session_that_ended_makes_room)
{
    world_begin(1, 1000000, 500);
    join_all();
    run_all(20, 10000);
    pgm_send_end(&w.send, w.now);
    world_run(20);
    w.now += 2000 * MS;
    CHECK_EQ(w.r[0].recv.by_tsi.len, 1);
    uint8_t fake[PGM_DATA_HEADER + 2] = {0};
    struct pgm_tsi tsi = {{9}, 1};
    pgm_write_data(fake, &tsi, 5560, 5, 5, 2);
    CHECK_EQ(pgm_recv_packet(&w.r[0].recv, &w.addr, fake, sizeof fake, w.now), 0);
    CHECK_EQ(w.r[0].recv.by_tsi.len, 1); /* in its place */
    world_end();
}

/* ---- memory ---- */

TEST(memory_that_is_short_is_a_loss_on_the_wire_and_no_more)
{
    for (int round = 0; round < 20; round++) {
        world_begin(2, 500000, 500);
        join_all();
        for (int ms = 0; ms < 1500; ms++) {
            while (w.sent < 500 && w.q.msgs < 20)
                world_put();
            w.now += MS;
            w.loss = 5;
            publisher_step();
            /* Only what the receivers allocate for packets may fail. */
            while (w.flying) {
                struct flying f = w.wire[--w.flying];
                if (f.to < 0) {
                    struct pgm_packet p;
                    CHECK_EQ(pgm_read(f.bytes, f.len, &p), 0);
                    pgm_send_recv(&w.send, &p, w.now);
                    continue;
                }
                struct receiver *r = &w.r[f.to];
                mem_fail_at((long)check_below(3));
                pgm_recv_packet(&r->recv, &f.from, f.bytes, f.len, w.now);
                mem_fail_at(0);
                if (check_below(2))
                    world_take(r);
                mem_fail_at((long)check_below(3));
                pgm_recv_keep(&r->recv);
                mem_fail_at(0);
                world_take(r);
            }
            for (int i = 0; i < w.n; i++)
                receiver_step(i);
        }
        w.loss = 0;
        run_all(600, 20000);
        for (int i = 0; i < w.n; i++)
            CHECK_EQ(w.r[i].lost, 0);
        world_end();
    }
}
