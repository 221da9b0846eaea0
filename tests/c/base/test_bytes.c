/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include "base/bytes.h"

TEST(stores_are_big_endian)
{
    uint8_t b[8];
    put_be16(b, 0x0102);
    CHECK_MEM(b, "\x01\x02", 2);
    put_be32(b, 0xfffefdfc);
    CHECK_MEM(b, "\xff\xfe\xfd\xfc", 4);
    put_be64(b, 0x8081828384858687);
    CHECK_MEM(b, "\x80\x81\x82\x83\x84\x85\x86\x87", 8);
}

TEST(loads_undo_stores_at_any_alignment)
{
    uint8_t b[16];
    for (int round = 0; round < 1000; round++) {
        uint8_t *at = b + check_below(8);
        uint64_t v = check_rand();
        put_be64(at, v);
        CHECK(get_be64(at) == v);
        put_be32(at, (uint32_t)v);
        CHECK(get_be32(at) == (uint32_t)v);
        put_be16(at, (uint16_t)v);
        CHECK(get_be16(at) == (uint16_t)v);
    }
}

TEST(a_cursor_gives_out_every_byte_once)
{
    const uint8_t data[] = {7, 0, 0, 1, 2, 'a', 'b', 'c'};
    struct cursor c = {data, sizeof(data)};
    uint8_t byte;
    uint32_t word;
    const uint8_t *rest;
    CHECK(cursor_u8(&c, &byte));
    CHECK_EQ(byte, 7);
    CHECK(cursor_be32(&c, &word));
    CHECK_EQ(word, 258);
    CHECK(cursor_take(&c, 3, &rest));
    CHECK_MEM(rest, "abc", 3);
    CHECK_EQ(c.left, 0);
    CHECK(cursor_take(&c, 0, &rest));
}

TEST(a_cursor_that_has_too_little_stays_where_it_is)
{
    /* On the heap and without a spare byte, so that reading too far is seen. */
    uint8_t *data = mem_zalloc(3);
    CHECK(data);
    struct cursor c = {data, 3};
    uint8_t byte;
    uint32_t word;
    const uint8_t *out;
    CHECK(!cursor_be32(&c, &word));
    CHECK(!cursor_take(&c, 4, &out));
    CHECK(!cursor_take(&c, SIZE_MAX, &out));
    CHECK(c.at == data);
    CHECK_EQ(c.left, 3);
    CHECK(cursor_take(&c, 3, &out));
    CHECK(!cursor_u8(&c, &byte));
    CHECK_EQ(c.left, 0);
    mem_free(data);
}
