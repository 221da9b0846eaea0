/* SPDX-License-Identifier: MIT */
#include "pattern/topics.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

void topics_init(struct topics *t)
{
    trie_init(&t->trie);
}

static void free_topic(void *arg, void *value)
{
    (void)arg;
    mem_free(value);
}

void topics_fini(struct topics *t)
{
    trie_fini(&t->trie, free_topic, NULL);
}

/*
 * ---- memberships by topic ----
 *
 * Usually a topic has few subscribers, or a subscriber few topics, and the shorter of the two lists
 * is looked through. Where both are long, the subscriber gets an index: its members in slots that
 * the topic's address chooses, each in the first one free from there. Without memory for it there
 * is still the list.
 */

#define WALK_MAX 32u

static uint32_t slot_of(const struct topic *topic, uint32_t cap)
{
    uint64_t h = (uint64_t)(uintptr_t)topic * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & (cap - 1);
}

static void index_put(struct subscriber *s, struct member *m)
{
    uint32_t i = slot_of(m->topic, s->index_cap);
    while (s->index[i])
        i = (i + 1) & (s->index_cap - 1);
    s->index[i] = m;
}

static void index_drop(struct subscriber *s)
{
    mem_free(s->index);
    s->index = NULL;
    s->index_cap = 0;
}

/* False: no memory, and there is no index any more. */
static bool index_build(struct subscriber *s)
{
    uint32_t cap = 4 * WALK_MAX;
    while (cap / 4 < s->count) /* room to grow: it is made anew when half full */
        cap *= 2;
    index_drop(s);
    s->index = mem_zalloc(cap * sizeof(struct member *));
    if (!s->index)
        return false;
    s->index_cap = cap;
    LIST_FOR(it, &s->members)
    index_put(s, LIST_ENTRY(it, struct member, of_subscriber));
    return true;
}

static struct member *index_find(const struct subscriber *s, const struct topic *topic)
{
    uint32_t i = slot_of(topic, s->index_cap);
    while (s->index[i] && s->index[i]->topic != topic)
        i = (i + 1) & (s->index_cap - 1);
    return s->index[i];
}

/* Takes it out; members behind it, for want of a nearer slot, move up. */
static void index_del(struct subscriber *s, const struct member *m)
{
    uint32_t mask = s->index_cap - 1, gap = slot_of(m->topic, s->index_cap);
    while (s->index[gap] != m)
        gap = (gap + 1) & mask;
    for (uint32_t i = (gap + 1) & mask; s->index[i]; i = (i + 1) & mask) {
        uint32_t home = slot_of(s->index[i]->topic, s->index_cap);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            s->index[gap] = s->index[i];
            gap = i;
        }
    }
    s->index[gap] = NULL;
}

struct member *topic_member(const struct topic *topic, struct subscriber *s)
{
    if (topic->count > WALK_MAX && s->count > WALK_MAX && (s->index || index_build(s)))
        return index_find(s, topic);
    if (topic->count <= s->count) {
        LIST_FOR(it, &topic->members)
        {
            struct member *m = LIST_ENTRY(it, struct member, of_topic);
            if (m->subscriber == s)
                return m;
        }
    } else {
        LIST_FOR(it, &s->members)
        {
            struct member *m = LIST_ENTRY(it, struct member, of_subscriber);
            if (m->topic == topic)
                return m;
        }
    }
    return NULL;
}

struct member *topics_find(const struct topics *t, struct subscriber *s, const void *name,
                           size_t len)
{
    void **slot = trie_get(&t->trie, name, len);
    return slot ? topic_member(*slot, s) : NULL;
}

static struct topic *topic_of(struct topics *t, const void *name, size_t len)
{
    bool added;
    void **slot = trie_add(&t->trie, name, len, &added);
    if (!slot)
        return NULL;
    if (!added)
        return *slot;
    struct topic *topic = mem_alloc(sizeof(*topic) + len);
    if (!topic) {
        trie_del(&t->trie, name, len);
        return NULL;
    }
    list_init(&topic->members);
    topic->count = 0;
    topic->note = NULL;
    topic->one.topic = NULL;
    topic->len = len;
    if (len)
        memcpy(topic->name, name, len);
    *slot = topic;
    return topic;
}

static void topic_drop_empty(struct topics *t, struct topic *topic)
{
    if (topic->count)
        return;
    trie_del(&t->trie, topic->name, topic->len);
    mem_free(topic);
}

int topics_add(struct topics *t, struct subscriber *s, const void *name, size_t len,
               struct member **out)
{
    struct topic *topic = topic_of(t, name, len);
    if (!topic)
        return -ENOMEM;
    struct member *m = topic_member(topic, s);
    enum topics_change change = TOPICS_SAME;
    if (!m) {
        m = topic->one.topic ? mem_alloc(sizeof(*m)) : &topic->one;
        if (!m) {
            topic_drop_empty(t, topic);
            return -ENOMEM;
        }
        m->topic = topic;
        m->subscriber = s;
        m->round = 0;
        list_push_back(&topic->members, &m->of_topic);
        list_push_back(&s->members, &m->of_subscriber);
        s->count++;
        if (s->index && s->count > s->index_cap / 2)
            (void)index_build(s); /* with the new one */
        else if (s->index)
            index_put(s, m);
        change = topic->count++ == 0 ? TOPICS_EDGE : TOPICS_OTHER;
    }
    if (out)
        *out = m;
    return (int)change;
}

void topics_drop(struct topics *t, struct member *m)
{
    struct topic *topic = m->topic;
    list_remove(&m->of_topic);
    list_remove(&m->of_subscriber);
    if (m->subscriber->index)
        index_del(m->subscriber, m);
    if (--m->subscriber->count == 0)
        index_drop(m->subscriber);
    topic->count--;
    if (m == &topic->one)
        m->topic = NULL;
    else
        mem_free(m);
    topic_drop_empty(t, topic);
}

void subscriber_topics(const struct subscriber *s,
                       int (*visit)(void *arg, const void *topic, size_t len), void *arg)
{
    LIST_FOR(it, &s->members)
    {
        const struct topic *topic = LIST_ENTRY(it, struct member, of_subscriber)->topic;
        if (visit(arg, topic->name, topic->len))
            return;
    }
}
