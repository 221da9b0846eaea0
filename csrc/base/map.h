/* SPDX-License-Identifier: MIT */
/*
 * A hash map from byte strings to pointers. Keys are copied in. The hash is seeded at random per
 * process, so a peer cannot choose identities that collide.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_entry;

struct map {
    struct map_entry **slots;
    size_t cap; /* power of two, 0 before the first insert */
    size_t len;
};

/* Set once at start-up, before any map is used; hashes stay valid for the process. */
void map_seed(uint64_t seed);

/* The hash of such a key: the same as long as the process lives. */
uint64_t map_hash(const void *key, size_t len);

void map_init(struct map *m);
void map_fini(struct map *m); /* frees keys and slots, not the values */
void *map_get(const struct map *m, const void *key, size_t key_len); /* NULL when absent */
/* 0, -EEXIST (unchanged) or -ENOMEM (unchanged). value must not be NULL. */
int map_put(struct map *m, const void *key, size_t key_len, void *value);
/* Removes and returns the value, NULL when absent. */
void *map_del(struct map *m, const void *key, size_t key_len);

/*
 * Walks all entries: start with *pos = 0; returns the value or NULL at the end. Keys stay owned by
 * the map. Deleting the entry just returned is allowed, inserting during a walk is not.
 */
void *map_next(const struct map *m, size_t *pos, const void **key, size_t *key_len);

#endif
