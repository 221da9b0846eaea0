/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include "base/alloc.h"
#include "base/json.h"

static void check_text(struct json *j, const char *expected)
{
    CHECK(!j->failed);
    CHECK_EQ(j->len, strlen(expected));
    CHECK_MEM(j->text, expected, j->len);
    json_fini(j);
}

TEST(values_stand_in_objects_and_arrays_with_commas_between)
{
    struct json j;
    json_init(&j, 1000);
    json_object(&j, NULL);
    json_int(&j, "a", -5);
    json_array(&j, "b");
    json_end_array(&j);
    json_array(&j, "c");
    json_uint(&j, NULL, UINT64_MAX);
    json_bool(&j, NULL, true);
    json_null(&j, NULL);
    json_end_array(&j);
    json_object(&j, "d");
    json_text(&j, "e", NULL);
    json_end_object(&j);
    json_seconds(&j, "f", 1500000000);
    json_end_object(&j);
    check_text(&j, "{\"a\":-5,\"b\":[],\"c\":[18446744073709551615,true,null],\"d\":{\"e\":null},"
                   "\"f\":1.500000}");
}

TEST(bytes_become_characters_of_their_numbers)
{
    struct json j;
    json_init(&j, 1000);
    json_bytes(&j, NULL, "\"\\\n\0\x7f\xff ~", 8);
    check_text(&j, "\"\\\"\\\\\\u000a\\u0000\\u007f\\u00ff ~\"");
}

TEST(what_goes_beyond_the_limit_fails_and_can_be_cut_off)
{
    struct json j;
    json_init(&j, 40);
    json_array(&j, NULL);
    json_text(&j, NULL, "fits");
    size_t len = j.len;
    bool first = j.first;
    json_text(&j, NULL, "this is longer than the room that is left");
    CHECK(j.failed);
    CHECK(j.cap <= 40);
    json_cut(&j, len, first);
    json_int(&j, NULL, 1);
    json_end_array(&j);
    check_text(&j, "[\"fits\",1]");
}

TEST(a_limit_that_is_lowered_below_what_was_allocated_holds)
{
    struct json j;
    json_init(&j, 8192);
    json_array(&j, NULL);
    while (j.len < 7600)
        json_text(&j, NULL, "0123456789");
    size_t len = j.len;
    bool first = j.first;
    j.limit = 7168;
    json_text(&j, NULL, "no more");
    CHECK(j.failed);
    CHECK_EQ(j.len, len);
    json_cut(&j, len, first);
    j.limit = 8192;
    json_end_array(&j);
    CHECK(!j.failed);
    json_fini(&j);
}

#ifdef FMQ_DEBUG
TEST(without_memory_it_fails_and_leaves_nothing)
{
    struct json j;
    json_init(&j, 100000);
    mem_fail_at(1);
    json_text(&j, NULL, "x");
    mem_fail_at(0);
    CHECK(j.failed);
    json_text(&j, NULL, "y");
    CHECK_EQ(j.len, 0);
    json_fini(&j);
    CHECK_EQ(mem_live(), 0);
}
#endif
