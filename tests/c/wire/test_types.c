/* SPDX-License-Identifier: MIT */
// needs: base wire
#include "check.h"

#include "include/fastmq.h"
#include "wire/types.h"

TEST(types_match_as_the_table_says)
{
    static const char *const pairs[] = {
        "PAIR PAIR",     "PUB SUB",        "PUB XSUB",      "XPUB SUB",      "XPUB XSUB",
        "REQ REP",       "REQ ROUTER",     "REP DEALER",    "DEALER DEALER", "DEALER ROUTER",
        "ROUTER ROUTER", "PUSH PULL",      "CLIENT SERVER", "RADIO DISH",    "SCATTER GATHER",
        "PEER PEER",     "CHANNEL CHANNEL"};
    int matches = 0;
    for (int a = 0; a < FMQ_TYPE_COUNT; a++) {
        CHECK(type_accepts(a, -1));
        CHECK(!type_accepts(a, 99));
        for (int b = 0; b < FMQ_TYPE_COUNT; b++) {
            char both[40], back[40];
            sprintf(both, "%s %s", type_name(a), type_name(b));
            sprintf(back, "%s %s", type_name(b), type_name(a));
            bool legal = false;
            for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
                legal |= strcmp(pairs[i], both) == 0 || strcmp(pairs[i], back) == 0;
            CHECK_EQ(type_accepts(a, b), legal);
            matches += legal;
        }
    }
    CHECK_EQ(matches, 29); /* a pair of two types counts both ways */
    CHECK(!type_name(-1) && !type_name(FMQ_TYPE_COUNT));
}

TEST(every_type_is_found_by_its_name_and_nothing_else_is)
{
    for (int t = 0; t < FMQ_TYPE_COUNT; t++)
        CHECK_EQ(type_from_name((const uint8_t *)type_name(t), strlen(type_name(t))), t);
    static const char *const wrong[] = {"", "RE", "REQUEST", "req", "XPUBS", "NULL"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        CHECK_EQ(type_from_name((const uint8_t *)wrong[i], strlen(wrong[i])), -1);
}

/* The names of the types for which `holds` is true, in the order of their numbers. */
static const char *those(bool (*holds)(int type))
{
    static char names[200];
    names[0] = 0;
    for (int t = -1; t <= FMQ_TYPE_COUNT; t++)
        if (holds(t))
            strcat(strcat(names, type_name(t)), " ");
    return names;
}

TEST(what_is_peculiar_to_a_type_is_known)
{
    CHECK_EQ(strcmp(those(type_sends_identity), "REQ DEALER ROUTER "), 0);
    CHECK_EQ(strcmp(those(type_is_publisher), "PUB XPUB "), 0);
    CHECK_EQ(strcmp(those(type_v1_gets_all), "PUB XPUB "), 0);
}
