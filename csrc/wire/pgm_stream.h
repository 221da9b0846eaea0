/* SPDX-License-Identifier: MIT */
/*
 * ZMTP over PGM. What a publisher sends is one stream of frames in the form of ZMTP 1.0, cut into
 * pieces of a packet's size. Each piece begins with two bytes (big endian): where in what follows
 * the first message begins, 0xffff if none does. So a receiver that comes late, or has lost
 * something, knows where to begin.
 */
#ifndef WIRE_PGM_STREAM_H
#define WIRE_PGM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg/msg.h"
#include "wire/outq.h"

#define PGM_STREAM_HEAD 2

struct pgm_packer {
    struct msg body; /* of the frame that is cut in two, valid while `cut` */
    uint8_t head[10];
    size_t head_len;
    size_t done; /* of head and body */
    bool cut;
    bool more; /* further parts of a message follow */
};

void pgm_packer_init(struct pgm_packer *k);
void pgm_packer_fini(struct pgm_packer *k);
/* The beginning of a message has gone out, and more of it has to. */
bool pgm_packer_busy(const struct pgm_packer *k);
/* Fills `to` (max bytes, 32 at least) with the next piece of what is in q; returns its length, 0:
 * nothing to send, or -ENOMEM. */
int pgm_pack(struct pgm_packer *k, struct outq *q, uint8_t *to, size_t max);

struct pgm_unpacker {
    int64_t max_size; /* of a part, as MAXMSGSIZE; -1: no limit */
    uint32_t max_parts;
    bool joined;      /* knows where messages begin */
    uint8_t head[10]; /* of the frame that has begun: length and flags */
    uint8_t head_len;
    bool more;
    bool in_body;
    size_t size, have; /* of the part that has begun */
    size_t room;       /* of `body` */
    struct blob *body; /* NULL: it has just begun */
    struct parts parts;
    uint64_t violations; /* pieces that could not be understood */

    const uint8_t *piece, *at, *end;
    const uint8_t *start; /* where a message begins in it; NULL: not told, or behind already */
};

void pgm_unpacker_init(struct pgm_unpacker *u, int64_t max_size, uint32_t max_parts);
void pgm_unpacker_fini(struct pgm_unpacker *u);
/* A piece; `first`: it begins with the two bytes. It must stay until pgm_unpack gave 0. */
void pgm_unpacker_put(struct pgm_unpacker *u, const uint8_t *piece, size_t len, bool first);
/* The piece lies elsewhere now. */
void pgm_unpacker_move(struct pgm_unpacker *u, const uint8_t *piece);
/* What came before the next piece is lost, and what has begun of a message with it. */
void pgm_unpacker_lost(struct pgm_unpacker *u);
/* 1: `parts` is a whole message, for the caller to take; 0: nothing more in this piece; -ENOMEM: to
 * be tried again. */
int pgm_unpack(struct pgm_unpacker *u);

#endif
