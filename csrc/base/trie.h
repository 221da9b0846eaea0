/* SPDX-License-Identifier: MIT */
/*
 * A compact prefix tree (edges carry byte strings) that maps byte strings to a pointer-sized value.
 * Subscriptions are prefixes: trie_match visits every stored key that is a prefix of the given
 * data, shortest first. The empty key is a prefix of everything.
 */
#ifndef BASE_TRIE_H
#define BASE_TRIE_H

#include <stdbool.h>
#include <stddef.h>

struct trie_node;

struct trie {
    struct trie_node *root;
    size_t len; /* keys stored */
};

void trie_init(struct trie *t);
/* Frees all nodes; calls `drop` (may be NULL) with each value. Never recurses per key byte. */
void trie_fini(struct trie *t, void (*drop)(void *arg, void *value), void *arg);

/* The value slot of a stored key, NULL when the key is not stored. Valid until the next add/del. */
void **trie_get(const struct trie *t, const void *key, size_t key_len);
/* The slot of the key, made with value NULL when new (*added tells); NULL when out of memory. */
void **trie_add(struct trie *t, const void *key, size_t key_len, bool *added);
/* Removes the key and returns its value; NULL when it was not stored (or stored NULL). */
void *trie_del(struct trie *t, const void *key, size_t key_len);

/* True when at least one stored key is a prefix of data. The hot path of a SUB's filter. */
bool trie_matches(const struct trie *t, const void *data, size_t len);
/* Calls visit for the value of every stored key that is a prefix of data; stops when it returns
 * false. */
void trie_match(const struct trie *t, const void *data, size_t len,
                bool (*visit)(void *arg, void *value), void *arg);

/* Calls visit for every key, in byte order; stops when it returns non-zero and returns that. The
 * trie must not change meanwhile. -ENOMEM when there is no memory for the walk itself. */
int trie_each(const struct trie *t,
              int (*visit)(void *arg, const void *key, size_t key_len, void *value), void *arg);
/* The same for the keys that begin with the prefix, without a look at any other. */
int trie_each_under(const struct trie *t, const void *prefix, size_t len,
                    int (*visit)(void *arg, const void *key, size_t key_len, void *value),
                    void *arg);

#endif
