/* SPDX-License-Identifier: MIT */
/* What a link of PGM is made of, be it a source's or a sink's. */
#ifndef TRANSPORT_PGM_PLACE_H
#define TRANSPORT_PGM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "os/net.h"
#include "pipe/option_values.h"
#include "wire/pgm_packet.h"

struct pgm_place {
    bool raw;              /* pgm: an IP protocol; false: epgm, in UDP */
    struct net_addr group; /* with the UDP port */
    struct pgm_nla group_nla;
    struct net_addr own; /* the address of the interface */
    struct pgm_nla own_nla;
    unsigned index;    /* of the interface; 0: the system's choice */
    uint16_t port;     /* data-destination port */
    uint16_t overhead; /* bytes of a packet in front of PGM's */
};

void pgm_nla_of(const struct net_addr *a, struct pgm_nla *out);
/* Where PGM begins in a packet that was received; false: it is none. */
bool pgm_strip(const struct pgm_place *place, const uint8_t **data, size_t *len);
/* How many packets the options allow for: RATE for RECOVERY_IVL. */
uint32_t pgm_window(const struct option_values *o);

#endif
