/* SPDX-License-Identifier: MIT */
/*
 * Chained buckets, picked by the top bits of the hash, and every chain sorted by hash: read from
 * the first bucket to the last, the entries are in the order of their hashes whatever the number
 * of buckets. So a walk only needs to remember the next entry and survives a resize.
 */
#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

#define CAP_MIN 8

struct map_entry {
    struct map_entry *next;
    uint64_t hash;
    void *value;
    size_t key_len;
    uint8_t key[];
};

static uint64_t hash_key[2] = {0x736565642d6d6521, 0x6e6f742d79657400};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

void map_seed(uint64_t seed)
{
    hash_key[0] = mix(seed + 0x9e3779b97f4a7c15);
    hash_key[1] = mix(seed + 2 * 0x9e3779b97f4a7c15);
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3, except that words are read in the machine's byte order: hashes never leave it. */
static uint64_t hash_of(const uint8_t *p, size_t len)
{
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575, hash_key[1] ^ 0x646f72616e646f6d,
                     hash_key[0] ^ 0x6c7967656e657261, hash_key[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)len << 56;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(const void *key, size_t len)
{
    return hash_of(key, len);
}

static inline size_t bucket_of(uint64_t hash, size_t cap)
{
    return (size_t)(hash >> (64 - __builtin_ctzll(cap)));
}

/* A failure only costs speed: buckets of any number hold any number of entries. */
static void resize(struct map *m, size_t cap)
{
    if (cap > SIZE_MAX / sizeof(struct map_entry *))
        return;
    struct map_entry **slots = mem_zalloc(cap * sizeof(struct map_entry *));
    if (!slots)
        return;
    struct map_entry **tail = NULL;
    size_t tail_bucket = 0;
    for (size_t i = 0; i < m->cap; i++) {
        for (struct map_entry *e = m->slots[i], *next; e; e = next) {
            next = e->next;
            size_t bucket = bucket_of(e->hash, cap);
            if (!tail || bucket != tail_bucket)
                tail = &slots[bucket];
            tail_bucket = bucket;
            *tail = e;
            e->next = NULL;
            tail = &e->next;
        }
    }
    mem_free(m->slots);
    m->slots = slots;
    m->cap = cap;
}

/*
 * The link to the entry of the key, or (*found false) the link where it belongs: before the
 * first larger hash. The map must have buckets.
 */
static struct map_entry **locate(const struct map *m, uint64_t hash, const void *key,
                                 size_t key_len, bool *found)
{
    struct map_entry **link = &m->slots[bucket_of(hash, m->cap)];
    for (; *link && (*link)->hash <= hash; link = &(*link)->next) {
        const struct map_entry *e = *link;
        if (e->hash == hash && e->key_len == key_len &&
            (key_len == 0 || memcmp(e->key, key, key_len) == 0)) {
            *found = true;
            return link;
        }
    }
    *found = false;
    return link;
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        for (struct map_entry *e = m->slots[i], *next; e; e = next) {
            next = e->next;
            mem_free(e);
        }
    }
    mem_free(m->slots);
    map_init(m);
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    if (m->len == 0)
        return NULL;
    bool found;
    struct map_entry **link = locate(m, hash_of(key, key_len), key, key_len, &found);
    return found ? (*link)->value : NULL;
}

int map_put(struct map *m, const void *key, size_t key_len, void *value)
{
    assert(value);
    uint64_t hash = hash_of(key, key_len);
    bool found = false;
    if (m->len > 0)
        locate(m, hash, key, key_len, &found);
    if (found)
        return -EEXIST;
    if (key_len > SIZE_MAX - sizeof(struct map_entry))
        return -ENOMEM;
    struct map_entry *e = mem_alloc(sizeof(*e) + key_len);
    if (!e)
        return -ENOMEM;
    if (m->len >= m->cap)
        resize(m, m->cap ? m->cap * 2 : CAP_MIN);
    if (m->cap == 0) {
        mem_free(e);
        return -ENOMEM;
    }
    e->hash = hash;
    e->value = value;
    e->key_len = key_len;
    if (key_len)
        memcpy(e->key, key, key_len);
    struct map_entry **link = locate(m, hash, key, key_len, &found);
    e->next = *link;
    *link = e;
    m->len++;
    return 0;
}

void *map_del(struct map *m, const void *key, size_t key_len)
{
    if (m->len == 0)
        return NULL;
    bool found;
    struct map_entry **link = locate(m, hash_of(key, key_len), key, key_len, &found);
    if (!found)
        return NULL;
    struct map_entry *e = *link;
    void *value = e->value;
    *link = e->next;
    mem_free(e);
    m->len--;
    /* At a quarter, so that a map whose size swings around a power of two is left alone. */
    if (m->cap > CAP_MIN && m->len < m->cap / 4)
        resize(m, m->cap / 2);
    return value;
}

static struct map_entry *first_from(const struct map *m, size_t bucket)
{
    for (; bucket < m->cap; bucket++) {
        if (m->slots[bucket])
            return m->slots[bucket];
    }
    return NULL;
}

/* *pos is the address of the entry to return next; no entry lies at address 1, the end's mark. */
void *map_next(const struct map *m, size_t *pos, const void **key, size_t *key_len)
{
    _Static_assert(sizeof(size_t) >= sizeof(void *), "a position holds a pointer");
    if (*pos == 1)
        return NULL;
    struct map_entry *e = *pos ? (struct map_entry *)(uintptr_t)*pos : first_from(m, 0);
    if (!e) {
        *pos = 1;
        return NULL;
    }
    struct map_entry *next = e->next ? e->next : first_from(m, bucket_of(e->hash, m->cap) + 1);
    *pos = next ? (size_t)(uintptr_t)next : 1;
    if (key)
        *key = e->key;
    if (key_len)
        *key_len = e->key_len;
    return e->value;
}
