/* SPDX-License-Identifier: MIT */
/*
 * The last message of each topic, for subscribers that come late (PUB_KEEP_LAST). A topic is the
 * whole first part of a message. At most so many topics and so many bytes are kept; the one whose
 * message is the oldest goes first.
 *
 * Each topic has a number, its slot, below the most topics there were at once. The number of one
 * that went may be another's later, with another turn.
 */
#ifndef PATTERN_KEEP_H
#define PATTERN_KEEP_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/trie.h"
#include "msg/msg.h"

struct kept {
    struct list node; /* keep.order */
    uint64_t seq;     /* of its publication: larger is later */
    uint32_t slot;
    uint32_t turn; /* of the topic at that slot: another one for each topic that gets a slot */
    uint32_t len;
    uint64_t bytes; /* of all parts */
    struct msg v[]; /* the parts; none is borrowed */
};

struct keep {
    uint32_t max;        /* PUB_KEEP_LAST: topics; 0: nothing is kept */
    uint64_t max_bytes;  /* PUB_KEEP_LAST_BYTES; 0: no limit */
    struct trie topics;  /* of struct kept, by topic */
    struct list order;   /* the oldest message first */
    struct kept **slots; /* NULL: not in use */
    uint32_t *spare;     /* the slots that are not in use */
    uint32_t slot_count, spare_count, cap;
    uint32_t turns; /* given out */
    uint64_t bytes;
    uint64_t seq;
    uint64_t dropped; /* topics that were pushed out by a limit */
};

#define KEEP_NO_SLOT UINT32_MAX

void keep_init(struct keep *k);
void keep_fini(struct keep *k);

/*
 * Makes what is to be kept of a message, and room for it, so that keep_commit cannot fail. The
 * message stays the caller's; its large parts become owned and are shared, the others, and lent
 * ones, whose owner waits for them, are copied. Ends in keep_commit or keep_abort. NULL: no memory.
 */
struct kept *keep_prepare(struct keep *k, struct parts *m);
/* It takes the place of the last message of its topic, and others may have to go. Returns its slot;
 * KEEP_NO_SLOT: it exceeds the limit of bytes by itself, so nothing is kept of its topic. */
uint32_t keep_commit(struct keep *k, struct kept *new);
void keep_abort(struct keep *k, struct kept *new);

/* A limit was changed. */
void keep_trim(struct keep *k);

/* What is kept at that slot; NULL: nothing any more. */
static inline struct kept *keep_at(const struct keep *k, uint32_t slot)
{
    return slot < k->slot_count ? k->slots[slot] : NULL;
}

static inline size_t keep_count(const struct keep *k)
{
    return k->topics.len;
}

#endif
