/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include <errno.h>

#include "base/secret.h"
#include "base/z85.h"

TEST(z85_writes_the_example_of_its_specification)
{
    static const uint8_t data[8] = {0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b};
    char text[10];
    uint8_t back[8];
    z85_encode(text, data, 8);
    CHECK_MEM(text, "HelloWorld", 10);
    CHECK_EQ(z85_decode(back, text, 10), 0);
    CHECK_MEM(back, data, 8);
}

TEST(z85_gives_back_whatever_it_was_given)
{
    for (int round = 0; round < 1000; round++) {
        uint8_t data[32], back[32];
        char text[40];
        for (int i = 0; i < 32; i++)
            data[i] = (uint8_t)(check_below(round % 2 ? 256 : 2) * (round % 3 ? 1 : 255));
        z85_encode(text, data, 32);
        CHECK_EQ(z85_decode(back, text, 40), 0);
        CHECK_MEM(back, data, 32);
    }
}

TEST(z85_refuses_characters_that_it_does_not_have_and_too_large_groups)
{
    uint8_t out[4];
    CHECK_EQ(z85_decode(out, "%nSc0", 5), 0); /* ffffffff */
    CHECK_EQ(out[0], 0xff);
    CHECK_EQ(z85_decode(out, "%nSc1", 5), -EINVAL);
    CHECK_EQ(z85_decode(out, "#####", 5), -EINVAL);
    static const char bad[] = " \"',;\\_`|~\x7f\x80\n";
    for (size_t i = 0; i < sizeof(bad); i++) { /* the NUL, too */
        char text[] = "00000";
        text[i % 5] = bad[i];
        CHECK_EQ(z85_decode(out, text, 5), -EINVAL);
    }
}

TEST(secrets_are_equal_only_in_every_bit)
{
    uint8_t a[32] = {0}, b[32] = {0};
    CHECK(secret_equal(a, b, 32));
    for (int bit = 0; bit < 256; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!secret_equal(a, b, 32));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memset(a, 7, sizeof(a));
    secret_wipe(a, sizeof(a));
    CHECK(secret_equal(a, b, 32));
}
