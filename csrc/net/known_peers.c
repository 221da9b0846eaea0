/* SPDX-License-Identifier: MIT */
#include "net/known_peers.h"

#include "base/map.h"
#include "os/net.h"

/* Of an entry: whether it is known, or was once too often. */
#define DOUBTED 1u

static uint64_t entry_of(const struct net_addr *a)
{
    return map_hash(&a->ss, a->len) & ~(uint64_t)DOUBTED;
}

static _Atomic uint64_t *place_of(struct known_peers *k, uint64_t entry)
{
    return &k->at[(entry >> 1) % KNOWN_PEERS];
}

bool known_peers_has(struct known_peers *k, const struct net_addr *a)
{
    uint64_t entry = entry_of(a);
    return entry && atomic_load_explicit(place_of(k, entry), memory_order_relaxed) == entry;
}

void known_peers_add(struct known_peers *k, const struct net_addr *a)
{
    uint64_t entry = entry_of(a);
    _Atomic uint64_t *at = place_of(k, entry);
    uint64_t now = atomic_load_explicit(at, memory_order_relaxed);
    if (now != entry && now != (entry | DOUBTED))
        atomic_store_explicit(at, entry, memory_order_relaxed);
}

void known_peers_doubt(struct known_peers *k, const struct net_addr *a)
{
    uint64_t entry = entry_of(a);
    atomic_store_explicit(place_of(k, entry), entry | DOUBTED, memory_order_relaxed);
}
