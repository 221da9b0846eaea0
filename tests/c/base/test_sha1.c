/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include "base/sha1.h"

static void check_digest(const char *text, size_t len, const char *hex)
{
    uint8_t digest[SHA1_LEN];
    char shown[2 * SHA1_LEN + 1];
    sha1(digest, text, len);
    for (size_t i = 0; i < SHA1_LEN; i++)
        snprintf(shown + 2 * i, 3, "%02x", digest[i]);
    CHECK_STR(shown, hex);
}

/* Of FIPS 180. */
TEST(digests_are_those_of_the_standard)
{
    check_digest("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

/* The length has to fit behind the rest, or goes into a block of its own. */
TEST(every_length_about_a_block_has_its_digest)
{
    static char text[200];
    memset(text, 'a', sizeof(text));
    check_digest(text, 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    check_digest(text, 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    check_digest(text, 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    check_digest(text, 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56");
    check_digest(text, 128, "ad5b3fdbcb526778c2839d2f151ea753995e26a0");
}
