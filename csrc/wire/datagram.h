/* SPDX-License-Identifier: MIT */
/*
 * What is in a datagram of RADIO and DISH: one byte with the length of the group, the group, the
 * body. A datagram of DGRAM is its body alone.
 */
#ifndef WIRE_DATAGRAM_H
#define WIRE_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATAGRAM_GROUP_MAX 255u

/* The most that UDP carries: 16 bits of length, less the headers that count in it. */
#define DATAGRAM_MAX_IPV4 65507u
#define DATAGRAM_MAX_IPV6 65527u

struct datagram {
    const uint8_t *group;
    size_t group_len;
    const uint8_t *body;
    size_t body_len;
};

/* Splits the bytes of one datagram; false: they are none of a RADIO's. Points into `data`. */
bool datagram_parse(const uint8_t *data, size_t len, struct datagram *out);

/* Bytes of the datagram, which may be more than one can carry. */
static inline size_t datagram_size(size_t group_len, size_t body_len)
{
    return 1 + group_len + body_len;
}

#endif
