/* SPDX-License-Identifier: MIT */
// needs: engine
/* Types and transports by number and by name. */
#include "check.h"

#include <errno.h>

#include "base/error.h"
#include "net/transport_ops.h"
#include "pipe/pattern_ops.h"
#include "socket/registry.h"
#include "wire/types.h"

TEST(a_type_has_the_pattern_of_its_number_and_name_or_none)
{
    int count = 0;
    for (int type = -1; type <= FMQ_TYPE_COUNT; type++) {
        const struct pattern_ops *ops = pattern_find(type);
        if (!ops)
            continue;
        CHECK_EQ(ops->type, type);
        CHECK_STR(ops->name, type_name(type));
        CHECK(ops->attach && ops->detach && ops->readable && ops->writable && ops->events);
        CHECK(!ops->sends || ops->send);
        CHECK(!ops->receives || ops->recv);
        count++;
    }
    CHECK(count >= 12);
    CHECK(!pattern_find(-1) && !pattern_find(FMQ_TYPE_COUNT));
}

TEST(an_endpoint_is_a_transport_and_an_address)
{
    static const char *const good[] = {"tcp://a", "ipc:///tmp/x", "inproc://n"};
    static const char *const rests[] = {"a", "/tmp/x", "n"};
    static const char *const schemes[] = {"tcp", "ipc", "inproc"};
    const struct transport_ops *tr;
    const char *rest;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(transport_of(good[i], &tr, &rest), 0);
        CHECK_STR(tr->scheme, schemes[i]);
        CHECK_STR(rest, rests[i]);
        CHECK(transport_exists(schemes[i]));
    }
    CHECK_EQ(transport_of("tcp://a://b", &tr, &rest), 0);
    CHECK_STR(rest, "a://b");
}

TEST(what_is_no_endpoint_says_why)
{
    static const char *const bad[] = {"", "tcp", "tcp:", "tcp:/a", "://a", "tcp://", "a b"};
    static const char *const unknown[] = {"tc://a", "tcpx://a", "TCP://a", "in://a"};
    const struct transport_ops *tr;
    const char *rest;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(transport_of(bad[i], &tr, &rest), -EINVAL);
        CHECK(strstr(detail_text(), "not of the form transport://address"));
    }
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        CHECK_EQ(transport_of(unknown[i], &tr, &rest), -EPROTONOSUPPORT);
        const char *text = detail_text();
        CHECK(strstr(text, "is not known here: use tcp, ipc") && strstr(text, " or "));
    }
    CHECK(!transport_exists("tc") && !transport_exists("tcpx") && !transport_exists(""));
}
