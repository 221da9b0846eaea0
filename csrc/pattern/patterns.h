/* SPDX-License-Identifier: MIT */
/* Every pattern's table, for the registry. */
#ifndef PATTERN_PATTERNS_H
#define PATTERN_PATTERNS_H

#include "pipe/pattern_ops.h"

extern const struct pattern_ops pattern_pair;
extern const struct pattern_ops pattern_pub;
extern const struct pattern_ops pattern_sub;
extern const struct pattern_ops pattern_req;
extern const struct pattern_ops pattern_rep;
extern const struct pattern_ops pattern_dealer;
extern const struct pattern_ops pattern_router;
extern const struct pattern_ops pattern_pull;
extern const struct pattern_ops pattern_push;
extern const struct pattern_ops pattern_xpub;
extern const struct pattern_ops pattern_xsub;
extern const struct pattern_ops pattern_stream;
extern const struct pattern_ops pattern_server;
extern const struct pattern_ops pattern_client;
extern const struct pattern_ops pattern_gather;
extern const struct pattern_ops pattern_scatter;
extern const struct pattern_ops pattern_peer;
extern const struct pattern_ops pattern_channel;
extern const struct pattern_ops pattern_radio;
extern const struct pattern_ops pattern_dish;
extern const struct pattern_ops pattern_dgram;

#endif
