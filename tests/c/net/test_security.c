/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/* What an endpoint keeps of the socket's options on security, and what is refused. */
#include "check.h"

#include "base/error.h"
#include "net/security.h"
#include "pipe/option_values.h"
#include "wire/crypto.h"
#include "wire/peer.h"

static int check(const struct option_values *o, bool raw)
{
    detail_clear();
    return security_check(o, raw);
}

TEST(a_mechanism_that_lacks_a_key_is_refused_with_the_name_of_the_option)
{
    struct option_values o = {.mechanism = PEER_MECH_NULL};
    CHECK_EQ(check(&o, false), 0);
    o.mechanism = PEER_MECH_PLAIN;
    CHECK_EQ(check(&o, false), 0);
    o.mechanism = PEER_MECH_CURVE;
    CHECK_EQ(check(&o, false), -EINVAL);
    CHECK(strstr(detail_text(), "CURVE_SECRETKEY"));
    o.has_curve_secret = true;
    CHECK_EQ(check(&o, false), -EINVAL);
    CHECK(strstr(detail_text(), "CURVE_SERVERKEY"));
    o.has_curve_server = true;
    CHECK_EQ(check(&o, false), 0);
    o.has_curve_server = false;
    o.as_server = true;
    CHECK_EQ(check(&o, false), 0);
}

TEST(security_is_refused_where_no_zmtp_is_spoken)
{
    struct option_values o = {.mechanism = PEER_MECH_NULL};
    CHECK_EQ(check(&o, true), 0);
    o.zap_domain_len = 1;
    CHECK_EQ(check(&o, true), -EINVAL);
    CHECK(strstr(detail_text(), "ZAP_DOMAIN"));
    o.zap_domain_len = 0;
    o.mechanism = PEER_MECH_PLAIN;
    CHECK_EQ(check(&o, true), -EINVAL);
    CHECK(strstr(detail_text(), "PLAIN"));
}

TEST(what_an_endpoint_keeps_is_a_copy_that_later_options_do_not_change)
{
    struct option_values o = {.mechanism = PEER_MECH_PLAIN, .as_server = true, .max_parts = 7};
    uint32_t uids[2] = {5, 6};
    memcpy(o.plain_username, "anna", 4);
    o.plain_username_len = 4;
    o.ipc_uids = uids;
    o.ipc_uid_count = 2;
    struct security *sec = security_new(&o);
    CHECK(sec != NULL);
    memcpy(o.plain_username, "otto", 4);
    o.mechanism = PEER_MECH_NULL;
    o.max_parts = 1;
    uids[0] = 99;
    struct peer_security p;
    CHECK(security_ref(sec) == sec);
    security_of_peer(sec, &p);
    CHECK_EQ(p.mechanism, PEER_MECH_PLAIN);
    CHECK(p.server);
    CHECK(p.asks);
    CHECK_EQ(p.username_len, 4);
    CHECK_MEM(p.username, "anna", 4);
    CHECK_EQ(sec->max_parts, 7);
    CHECK_EQ(sec->ipc_uid_count, 2);
    CHECK_EQ(sec->ipc_uids[0], 5);
    security_unref(sec);
    security_of_peer(sec, &p); /* the other reference keeps it */
    CHECK_MEM(p.username, "anna", 4);
    security_unref(sec);
}

TEST(an_authenticator_is_asked_where_a_server_or_a_domain_says_so)
{
    struct {
        int mechanism;
        bool server;
        uint8_t domain_len;
        bool enforce, asks;
    } cases[] = {
        {PEER_MECH_NULL, false, 0, false, false}, {PEER_MECH_NULL, false, 4, false, true},
        {PEER_MECH_PLAIN, true, 0, true, true},   {PEER_MECH_PLAIN, false, 4, true, false},
        {PEER_MECH_CURVE, true, 0, false, true},  {PEER_MECH_CURVE, true, 0, true, false},
        {PEER_MECH_CURVE, true, 4, true, true},   {PEER_MECH_CURVE, false, 4, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct option_values o = {.mechanism = cases[i].mechanism,
                                  .as_server = cases[i].server,
                                  .zap_domain_len = cases[i].domain_len,
                                  .zap_enforce_domain = cases[i].enforce};
        struct peer_security p;
        struct security *sec = security_new(&o);
        CHECK(sec != NULL);
        security_of_peer(sec, &p);
        if (p.asks != cases[i].asks)
            fprintf(stderr, "case %zu\n", i);
        CHECK_EQ(p.asks, cases[i].asks);
        security_unref(sec);
    }
}

TEST(a_raw_connection_is_had_only_where_neither_endpoint_nor_socket_asks_for_security)
{
    struct option_values plain = {.mechanism = PEER_MECH_PLAIN}, none = {.mechanism = 0};
    none.mechanism = PEER_MECH_NULL;
    struct security *open = security_new(&none), *secured = security_new(&plain);
    CHECK(open && secured);
    CHECK(security_is_kept(open, &none, true));
    CHECK(!security_is_kept(open, &plain, true)); /* set since */
    CHECK(!security_is_kept(secured, &none, true));
    CHECK(security_is_kept(secured, &plain, false));
    security_unref(open);
    security_unref(secured);
    security_unref(NULL);
}
