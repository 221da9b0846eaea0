/* SPDX-License-Identifier: MIT */
/* The end of PGM that PUB and XPUB have. */
#ifndef TRANSPORT_PGM_SOURCE_H
#define TRANSPORT_PGM_SOURCE_H

#include "net/endpoint.h"
#include "net/packets.h"
#include "transport/pgm_place.h"

/* Opens the link of the endpoint's pipe over fd, as transport_ops.open; the descriptor is its own
 * on success alone. */
int pgm_source_open(struct endpoint *ep, const struct pgm_place *place, int fd,
                    const struct packets_names *names);

#endif
