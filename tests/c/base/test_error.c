/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include "base/error.h"

#include <errno.h>

TEST(the_codes_have_the_values_every_binding_knows)
{
    CHECK_EQ(FMQ_EFSM, 156384763);
    CHECK_EQ(FMQ_ENOCOMPATPROTO, 156384764);
    CHECK_EQ(FMQ_ETERM, 156384765);
    CHECK_EQ(FMQ_EMTHREAD, 156384766);
}

TEST(own_codes_have_own_texts)
{
    CHECK_STR(error_text(FMQ_EFSM), "Operation cannot be accomplished in current state");
    CHECK_STR(error_text(FMQ_ENOCOMPATPROTO),
              "The protocol is not compatible with the socket type");
    CHECK_STR(error_text(FMQ_ETERM), "Context was terminated");
    CHECK_STR(error_text(FMQ_EMTHREAD), "No thread available");
    CHECK_STR(error_text(EHOSTUNREACH), "Host unreachable");
    CHECK(strlen(error_text(FMQ_EFORKED)) > 0);
    CHECK(strncmp(error_text(FMQ_EFORKED), "Unknown", 7) != 0);
}

TEST(other_codes_have_the_texts_of_the_system)
{
    for (int err = 0; err < 140; err++) {
        if (err == EHOSTUNREACH)
            continue;
        char expected[256];
        snprintf(expected, sizeof(expected), "%s", strerror(err));
        CHECK_STR(error_text(err), expected);
    }
}

TEST(any_number_has_a_text)
{
    const int odd[] = {-1, INT32_MIN, INT32_MAX, FMQ_HAUSNUMERO, FMQ_EFORKED + 1};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        CHECK(strlen(error_text(odd[i])) > 0);
}

TEST(a_detail_stays_until_it_is_cleared)
{
    detail_clear();
    CHECK_STR(detail_text(), "");
    detail_set("%d parts are %s", 3, "too many");
    CHECK_STR(detail_text(), "3 parts are too many");
    detail_clear();
    CHECK_STR(detail_text(), "");
}

TEST(a_long_detail_is_cut)
{
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    detail_set("%s", text);
    CHECK_EQ(strlen(detail_text()), 511);
    detail_clear();
}
