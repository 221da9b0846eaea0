/* SPDX-License-Identifier: MIT */
#include "transport/pgm_place.h"

#include <string.h>

#include "os/datagram.h"

#define IPV4_HEADER 20

void pgm_nla_of(const struct net_addr *a, struct pgm_nla *out)
{
    memset(out, 0, sizeof(*out));
    out->len = (uint8_t)net_addr_bytes(a, out->at);
}

bool pgm_strip(const struct pgm_place *place, const uint8_t **data, size_t *len)
{
    if (!place->raw || place->group_nla.len != 4)
        return true;
    size_t header = *len ? (size_t)(**data & 15) * 4 : 0;
    if (header < IPV4_HEADER || header > *len)
        return false;
    *data += header;
    *len -= header;
    return true;
}

uint32_t pgm_window(const struct option_values *o)
{
    uint64_t bytes = (uint64_t)o->rate / 8 * (uint64_t)o->recovery_ivl;
    uint64_t packets = bytes / (uint64_t)o->multicast_maxtpdu;
    return packets == 0 ? 1 : packets > INT32_MAX / 4 ? INT32_MAX / 4 : (uint32_t)packets;
}
