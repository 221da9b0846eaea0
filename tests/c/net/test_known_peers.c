/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/* Where a context has met peers that speak ZMTP 3. */
#include "check.h"

#include "net/known_peers.h"
#include "os/net.h"

static struct known_peers known;

static struct net_addr at(uint16_t port)
{
    struct net_addr a;
    CHECK_EQ(net_resolve("127.0.0.1", port, false, true, &a, 1), 1);
    return a;
}

TEST(a_peer_is_known_by_its_whole_address)
{
    memset(&known, 0, sizeof(known));
    struct net_addr a = at(5000), b = at(5001);
    CHECK(!known_peers_has(&known, &a));
    known_peers_add(&known, &a);
    CHECK(known_peers_has(&known, &a));
    CHECK(!known_peers_has(&known, &b));
}

TEST(one_that_was_doubted_is_not_known_again)
{
    memset(&known, 0, sizeof(known));
    struct net_addr a = at(5000);
    known_peers_add(&known, &a);
    known_peers_doubt(&known, &a);
    CHECK(!known_peers_has(&known, &a));
    known_peers_add(&known, &a);
    CHECK(!known_peers_has(&known, &a));
}

TEST(any_number_of_addresses_may_come_and_the_latest_is_known)
{
    memset(&known, 0, sizeof(known));
    for (uint16_t port = 1; port < 10000; port++) {
        struct net_addr a = at(port);
        known_peers_add(&known, &a);
        CHECK(known_peers_has(&known, &a));
    }
}
