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

static struct member *find_in(const struct topic *topic, const struct subscriber *s)
{
    /* Usually one of the two is short: many subscribers of few topics, or few of many. */
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

struct member *topics_find(const struct topics *t, const struct subscriber *s, const void *name,
                           size_t len)
{
    void **slot = trie_get(&t->trie, name, len);
    return slot ? find_in(*slot, s) : NULL;
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
    struct member *m = find_in(topic, s);
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
    m->subscriber->count--;
    topic->count--;
    if (m == &topic->one)
        m->topic = NULL;
    else
        mem_free(m);
    topic_drop_empty(t, topic);
}
