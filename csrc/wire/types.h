/* SPDX-License-Identifier: MIT */
/*
 * What the protocol knows of the socket types: one row a type, in types.c. A type is its number in
 * fastmq.h (FMQ_PAIR ...), which is also its number in the greetings of ZMTP 1 and 2. Every
 * function takes any number; one that belongs to no type has no name, no peers and no properties.
 */
#ifndef WIRE_TYPES_H
#define WIRE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "REQ", as the Socket-Type property has it; NULL: no such type. */
const char *type_name(int type);
/* -1: unknown. */
int type_from_name(const uint8_t *name, size_t len);

/* True when a socket of `type` may talk to a peer of remote_type, as the RFCs of the patterns have
 * it. -1 (the peer did not say) is accepted. */
bool type_accepts(int type, int remote_type);

/* The type names its routing id to its peers in the Identity property (ZMTP 3.x). */
bool type_sends_identity(int type);

/* The type publishes: what its peers send are subscriptions. */
bool type_is_publisher(int type);

/* A ZMTP 1 peer of this type's socket counts as subscribed to everything: subscribers of that age
 * filter for themselves and send no subscriptions. */
bool type_v1_gets_all(int type);

#endif
