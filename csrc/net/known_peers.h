/* SPDX-License-Identifier: MIT */
/*
 * The addresses at which a context has met peers that speak ZMTP 3. A connection to one of them
 * sends its whole greeting at once (wire/greeting.c). Where that has failed, it is never done
 * again: the address may lead to peers of several kinds.
 *
 * A table of hashes of fixed size: of two addresses that fall on the same place the later one is
 * known, and a hash that two addresses share costs one attempt to connect. Any thread; no lock.
 */
#ifndef NET_KNOWN_PEERS_H
#define NET_KNOWN_PEERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define KNOWN_PEERS 128

struct net_addr;

struct known_peers {
    _Atomic uint64_t at[KNOWN_PEERS]; /* 0: none */
};

bool known_peers_has(struct known_peers *k, const struct net_addr *a);
/* A handshake of ZMTP 3 was completed there. */
void known_peers_add(struct known_peers *k, const struct net_addr *a);
/* A connection ended in the handshake although the peer was known. */
void known_peers_doubt(struct known_peers *k, const struct net_addr *a);

#endif
