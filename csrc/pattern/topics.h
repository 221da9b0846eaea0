/* SPDX-License-Identifier: MIT */
/*
 * The subscriptions, at the publisher: topic -> set of subscribers. Each membership is linked
 * from both sides, so that a match walks the topic's side and a disconnect the subscriber's.
 */
#ifndef PATTERN_TOPICS_H
#define PATTERN_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/trie.h"

struct subscriber {
    struct list members; /* member.of_subscriber */
    uint32_t count;
    uint32_t current;      /* free for the caller, 0 at first */
    struct member **index; /* of its members by topic; NULL: not needed so far, see topics.c */
    uint32_t index_cap;
};

struct member {
    struct list of_topic;
    struct list of_subscriber;
    struct topic *topic; /* NULL: a topic's `one` that is not in use */
    struct subscriber *subscriber;
    uint8_t round; /* free for the caller: when it was last confirmed */
};

struct topic {
    struct list members; /* member.of_topic */
    uint32_t count;
    void *note;        /* free for the caller, NULL at first */
    struct member one; /* many topics have a single subscriber: no memory to fetch beside these */
    size_t len;
    uint8_t name[];
};

struct topics {
    struct trie trie; /* of struct topic */
};

enum topics_change {
    TOPICS_SAME,  /* was there already, or was not there */
    TOPICS_OTHER, /* done; the topic has other subscribers too */
    TOPICS_EDGE,  /* done; it is the topic's first subscriber, or was its last */
};

void topics_init(struct topics *t);
void topics_fini(struct topics *t); /* after every subscriber was dropped */
static inline void subscriber_init(struct subscriber *s)
{
    list_init(&s->members);
    s->count = 0;
    s->current = 0;
    s->index = NULL;
    s->index_cap = 0;
}

/* The subscriber's membership in that topic; NULL: none. */
struct member *topic_member(const struct topic *topic, struct subscriber *s);
/* The same by the topic's name. */
struct member *topics_find(const struct topics *t, struct subscriber *s, const void *name,
                           size_t len);
/* An enum topics_change, or -ENOMEM. *out (may be NULL) is the membership, old or new. */
int topics_add(struct topics *t, struct subscriber *s, const void *name, size_t len,
               struct member **out);
/* Ends a membership and frees it, and the topic when it was the last. */
void topics_drop(struct topics *t, struct member *m);

/* Calls visit for each of its topics until that returns non-zero. */
void subscriber_topics(const struct subscriber *s,
                       int (*visit)(void *arg, const void *topic, size_t len), void *arg);

/* Whether this membership is the topic's only one. */
static inline bool member_alone(const struct member *m)
{
    return m->topic->count == 1;
}

#endif
