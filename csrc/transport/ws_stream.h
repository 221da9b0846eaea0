/* SPDX-License-Identifier: MIT */
/*
 * The stream of a WebSocket (stream_ops.h) on a plain descriptor: the opening handshake, then
 * frames of WebSocket on the descriptor and frames of ZMTP towards the peer.
 */
#ifndef TRANSPORT_WS_STREAM_H
#define TRANSPORT_WS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "net/stream_ops.h"

struct ws_terms {
    const char *host; /* of a connecting side: what Host says */
    const char *path;
    unsigned offers;       /* enum ws_protocol */
    uint64_t max_gathered; /* bytes of a message in fragments */
    uint64_t max_before;   /* the same, before the peer is admitted */
};

/* A connecting side (`connects`) writes its request at once. 0; -ENOMEM, or why the request could
 * not be written. The descriptor stays the caller's. */
int ws_stream_new(struct stream **out, int fd, bool connects, const struct ws_terms *terms);

#endif
