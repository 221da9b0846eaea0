/* SPDX-License-Identifier: MIT */
/*
 * Every node is one block of memory: a small head, the first bytes of its children (sorted), the
 * bytes of the edge that leads to it, then the pointers to the children:
 *
 *     value | fanout edge_len stored | firsts[fanout] edge[edge_len] (pad) kids[fanout]
 *
 * A leaf with an edge of 12 bytes thus takes 24 bytes, and a step down reads two cache lines. The
 * price is that a node moves when it gains or loses a child; that is why slots are valid only
 * until the next change.
 *
 * Edges are at most EDGE_MAX long and longer keys chains of nodes, so that no call moves more than
 * a few hundred bytes besides those of the key that it was given: otherwise a peer could make one
 * large subscription and then have it split and merged by tiny ones.
 *
 * Keys come from peers, who choose how deep the tree gets: nothing here recurses.
 */
#include "base/trie.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

#define EDGE_MAX UINT8_MAX

struct trie_node {
    void *value;
    uint16_t fanout;
    uint8_t edge_len; /* 0 for the root only */
    bool stored;      /* a key ends here */
    uint8_t bytes[];
};

static inline size_t kids_offset(size_t fanout, size_t edge_len)
{
    size_t end = offsetof(struct trie_node, bytes) + fanout + edge_len;
    return (end + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
}

static inline size_t node_size(size_t fanout, size_t edge_len)
{
    size_t size = kids_offset(fanout, edge_len) + fanout * sizeof(void *);
    return size < sizeof(struct trie_node) ? sizeof(struct trie_node) : size;
}

static inline uint8_t *edge_of(const struct trie_node *n)
{
    return (uint8_t *)n->bytes + n->fanout;
}

static inline struct trie_node **kids_of(const struct trie_node *n)
{
    return (struct trie_node **)(void *)((char *)n + kids_offset(n->fanout, n->edge_len));
}

/* The block is not filled in but for the head; `value` and `stored` start empty. */
static struct trie_node *node_new(size_t fanout, size_t edge_len)
{
    struct trie_node *n = mem_alloc(node_size(fanout, edge_len));
    if (!n)
        return NULL;
    n->value = NULL;
    n->fanout = (uint16_t)fanout;
    n->edge_len = (uint8_t)edge_len;
    n->stored = false;
    return n;
}

/* Gives back what the node no longer needs; when that fails it just stays larger. */
static struct trie_node *node_trim(struct trie_node *n)
{
    struct trie_node *smaller = mem_realloc(n, node_size(n->fanout, n->edge_len));
    return smaller ? smaller : n;
}

/* The link to the child whose edge begins with the byte, or NULL. */
static inline struct trie_node **child_link(const struct trie_node *n, uint8_t byte)
{
    size_t fanout = n->fanout;
    const uint8_t *firsts = n->bytes;
    if (fanout <= 4) {
        for (size_t i = 0; i < fanout; i++) {
            if (firsts[i] == byte)
                return &kids_of(n)[i];
        }
        return NULL;
    }
    if (fanout == 256)
        return &kids_of(n)[byte];
    /* Often the children are neighbours, digits say: then this is the place. */
    size_t guess = (uint8_t)(byte - firsts[0]);
    if (guess < fanout && firsts[guess] == byte)
        return &kids_of(n)[guess];
    const uint8_t *at = memchr(firsts, byte, fanout);
    return at ? &kids_of(n)[at - firsts] : NULL;
}

/* ---- changing one node ---------------------------------------------------------------------- */

/* A copy of the node with one more child in its place; the old block is freed. NULL: unchanged. */
static struct trie_node *node_grow(struct trie_node *n, struct trie_node *kid)
{
    size_t fanout = n->fanout;
    uint8_t byte = edge_of(kid)[0];
    size_t at = 0;
    while (at < fanout && n->bytes[at] < byte)
        at++;
    struct trie_node *grown = node_new(fanout + 1, n->edge_len);
    if (!grown)
        return NULL;
    grown->value = n->value;
    grown->stored = n->stored;
    memcpy(grown->bytes, n->bytes, at);
    grown->bytes[at] = byte;
    memcpy(grown->bytes + at + 1, n->bytes + at, fanout - at);
    memcpy(edge_of(grown), edge_of(n), n->edge_len);
    struct trie_node **from = kids_of(n), **to = kids_of(grown);
    memcpy(to, from, at * sizeof(*to));
    to[at] = kid;
    memcpy(to + at + 1, from + at, (fanout - at) * sizeof(*to));
    mem_free(n);
    return grown;
}

/* Takes the child out of the node, in place: deleting must not need memory. May move the node. */
static struct trie_node *node_drop_kid(struct trie_node *n, size_t at)
{
    struct trie_node **old_kids = kids_of(n);
    size_t fanout = n->fanout;
    size_t tail = fanout - at - 1;
    memmove(old_kids + at, old_kids + at + 1, tail * sizeof(*old_kids));
    memmove(n->bytes + at, n->bytes + at + 1, tail + n->edge_len);
    n->fanout--;
    memmove(kids_of(n), old_kids, (fanout - 1) * sizeof(*old_kids));
    return node_trim(n);
}

/* Takes the first bytes off the node's edge, in place. May move the node. */
static struct trie_node *node_shorten(struct trie_node *n, size_t cut)
{
    struct trie_node **old_kids = kids_of(n);
    uint8_t *edge = edge_of(n);
    memmove(edge, edge + cut, n->edge_len - cut);
    n->edge_len = (uint8_t)(n->edge_len - cut);
    memmove(kids_of(n), old_kids, n->fanout * sizeof(*old_kids));
    return node_trim(n);
}

/*
 * Joins a node that holds no key with its only child, when there is memory for it and the edge
 * does not get too long; otherwise the tree is as correct, just larger.
 */
static void merge_with_kid(struct trie_node **link)
{
    struct trie_node *n = *link;
    if (n->stored || n->fanout != 1 || n->edge_len == 0)
        return;
    struct trie_node *kid = kids_of(n)[0];
    size_t edge_len = (size_t)n->edge_len + kid->edge_len;
    if (edge_len > EDGE_MAX)
        return;
    struct trie_node *one = node_new(kid->fanout, edge_len);
    if (!one)
        return;
    one->value = kid->value;
    one->stored = kid->stored;
    memcpy(one->bytes, kid->bytes, kid->fanout);
    memcpy(edge_of(one), edge_of(n), n->edge_len);
    memcpy(edge_of(one) + n->edge_len, edge_of(kid), kid->edge_len);
    memcpy(kids_of(one), kids_of(kid), kid->fanout * sizeof(kid));
    mem_free(n);
    mem_free(kid);
    *link = one;
}

/* Frees a chain of nodes with at most one child each, down to the leaf. */
static void chain_free(struct trie_node *n)
{
    while (n) {
        struct trie_node *kid = n->fanout ? kids_of(n)[0] : NULL;
        mem_free(n);
        n = kid;
    }
}

/* Nodes that spell the key (not empty), without a value yet. *leaf is the last of them. */
static struct trie_node *chain_new(const uint8_t *key, size_t len, struct trie_node **leaf)
{
    struct trie_node *top = NULL;
    while (len > 0) { /* from the end of the key */
        size_t edge_len = len % EDGE_MAX ? len % EDGE_MAX : EDGE_MAX;
        len -= edge_len;
        struct trie_node *n = node_new(top ? 1 : 0, edge_len);
        if (!n) {
            chain_free(top);
            return NULL;
        }
        memcpy(edge_of(n), key + len, edge_len);
        if (top) {
            n->bytes[0] = edge_of(top)[0];
            kids_of(n)[0] = top;
        } else {
            *leaf = n;
        }
        top = n;
    }
    return top;
}

/* ---- the tree ------------------------------------------------------------------------------- */

void trie_init(struct trie *t)
{
    *t = (struct trie){0};
}

/* Drops the node's value and puts the node on a list that runs through the places of the values. */
static struct trie_node *condemn(struct trie_node *n, struct trie_node *list,
                                 void (*drop)(void *arg, void *value), void *arg)
{
    if (n->stored && drop)
        drop(arg, n->value);
    n->value = list;
    return n;
}

void trie_fini(struct trie *t, void (*drop)(void *arg, void *value), void *arg)
{
    struct trie_node *list = t->root ? condemn(t->root, NULL, drop, arg) : NULL;
    while (list) {
        struct trie_node *n = list;
        list = n->value;
        for (size_t i = 0; i < n->fanout; i++)
            list = condemn(kids_of(n)[i], list, drop, arg);
        mem_free(n);
    }
    trie_init(t);
}

/* Whether a child found by its first byte is on the way to the data. */
static inline bool edge_fits(const struct trie_node *n, const uint8_t *data, size_t len)
{
    size_t edge_len = n->edge_len;
    return edge_len <= len &&
           (edge_len == 1 || memcmp(edge_of(n) + 1, data + 1, edge_len - 1) == 0);
}

/* One step down: the child whose edge the data begins with, NULL when there is none. */
static inline const struct trie_node *step(const struct trie_node *n, const uint8_t **data,
                                           size_t *len)
{
    if (*len == 0)
        return NULL;
    struct trie_node **link = child_link(n, **data);
    if (!link || !edge_fits(*link, *data, *len))
        return NULL;
    *data += (*link)->edge_len;
    *len -= (*link)->edge_len;
    return *link;
}

void **trie_get(const struct trie *t, const void *key, size_t key_len)
{
    const uint8_t *at = key;
    const struct trie_node *n = t->root;
    while (n && key_len > 0)
        n = step(n, &at, &key_len);
    return n && n->stored ? (void **)&n->value : NULL;
}

bool trie_matches(const struct trie *t, const void *data, size_t len)
{
    const uint8_t *at = data;
    for (const struct trie_node *n = t->root; n; n = step(n, &at, &len)) {
        if (n->stored)
            return true;
    }
    return false;
}

void trie_match(const struct trie *t, const void *data, size_t len,
                bool (*visit)(void *arg, void *value), void *arg)
{
    const uint8_t *at = data;
    for (const struct trie_node *n = t->root; n; n = step(n, &at, &len)) {
        if (n->stored && !visit(arg, n->value))
            return;
    }
}

/*
 * Cuts the edge of the node at `link` in two and hangs what is left of the key (nothing, when the
 * key ends at the cut) beside the lower part. Returns the node of the key, NULL: unchanged.
 */
static struct trie_node *split(struct trie_node **link, size_t cut, const uint8_t *rest,
                               size_t rest_len)
{
    struct trie_node *upper = node_new(rest_len ? 2 : 1, cut);
    if (!upper)
        return NULL;
    struct trie_node *end = upper, *chain = NULL;
    if (rest_len) {
        chain = chain_new(rest, rest_len, &end);
        if (!chain) {
            mem_free(upper);
            return NULL;
        }
    }
    memcpy(edge_of(upper), edge_of(*link), cut);
    struct trie_node *lower = node_shorten(*link, cut);
    size_t lower_at = chain && edge_of(chain)[0] < edge_of(lower)[0] ? 1 : 0;
    upper->bytes[lower_at] = edge_of(lower)[0];
    kids_of(upper)[lower_at] = lower;
    if (chain) {
        upper->bytes[1 - lower_at] = edge_of(chain)[0];
        kids_of(upper)[1 - lower_at] = chain;
    }
    *link = upper;
    return end;
}

/* Hangs the key under the node at `link`, which has no child that begins like it. As split. */
static struct trie_node *sprout(struct trie_node **link, const uint8_t *key, size_t key_len)
{
    struct trie_node *end = NULL;
    struct trie_node *chain = chain_new(key, key_len, &end);
    if (!chain)
        return NULL;
    struct trie_node *grown = node_grow(*link, chain);
    if (!grown) {
        chain_free(chain);
        return NULL;
    }
    *link = grown;
    return end;
}

static size_t common_prefix(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    size_t max = a_len < b_len ? a_len : b_len, n = 0;
    while (n < max && a[n] == b[n])
        n++;
    return n;
}

/* The node that ends the key, made when missing; NULL when out of memory. There is a root. */
static struct trie_node *node_at(struct trie *t, const uint8_t *key, size_t key_len)
{
    struct trie_node **link = &t->root;
    while (key_len > 0) {
        struct trie_node **kid = child_link(*link, *key);
        if (!kid)
            return sprout(link, key, key_len);
        size_t common = common_prefix(edge_of(*kid), (*kid)->edge_len, key, key_len);
        key += common;
        key_len -= common;
        if (common < (*kid)->edge_len)
            return split(kid, common, key, key_len);
        link = kid;
    }
    return *link;
}

void **trie_add(struct trie *t, const void *key, size_t key_len, bool *added)
{
    *added = false;
    if (!t->root && !(t->root = node_new(0, 0)))
        return NULL;
    struct trie_node *n = node_at(t, key, key_len);
    if (!n) {
        if (t->len == 0) {
            mem_free(t->root);
            t->root = NULL;
        }
        return NULL;
    }
    if (!n->stored) {
        n->stored = true;
        n->value = NULL;
        t->len++;
        *added = true;
    }
    return &n->value;
}

void *trie_del(struct trie *t, const void *key, size_t key_len)
{
    if (!t->root)
        return NULL;
    /* The last node on the way that must stay should the key's own node go, and the child of it
     * that leads on. What lies between serves this key alone. */
    struct trie_node **link = &t->root, **stays = link;
    size_t stays_kid = 0;
    for (const uint8_t *at = key; key_len > 0;) {
        struct trie_node *n = *link;
        struct trie_node **kid = child_link(n, *at);
        if (!kid || !edge_fits(*kid, at, key_len))
            return NULL;
        if (n->stored || n->fanout > 1 || n->edge_len == 0) {
            stays = link;
            stays_kid = (size_t)(kid - kids_of(n));
        }
        at += (*kid)->edge_len;
        key_len -= (*kid)->edge_len;
        link = kid;
    }

    struct trie_node *n = *link;
    if (!n->stored)
        return NULL;
    void *value = n->value;
    n->value = NULL;
    n->stored = false;
    t->len--;
    if (t->len == 0) {
        chain_free(t->root);
        t->root = NULL;
    } else if (n->fanout == 0) {
        struct trie_node *gone = kids_of(*stays)[stays_kid];
        *stays = node_drop_kid(*stays, stays_kid);
        chain_free(gone);
        merge_with_kid(stays);
    } else {
        merge_with_kid(link);
    }
    return value;
}

/* ---- walking all keys ----------------------------------------------------------------------- */

struct level {
    const struct trie_node *node;
    size_t next_kid;
};

struct walk {
    struct level *levels;
    size_t depth, depth_cap;
    uint8_t *key; /* the edges from the root to the deepest level */
    size_t key_len, key_cap;
};

/* Room for at least `need` items of the size, in a block that doubles. 0 or -ENOMEM. */
static int reserve(void **block, size_t *cap, size_t need, size_t item_size)
{
    if (need <= *cap)
        return 0;
    size_t wanted = *cap * 2 > need ? *cap * 2 : need;
    if (wanted < 64)
        wanted = 64;
    if (wanted > SIZE_MAX / item_size)
        return -ENOMEM;
    void *larger = mem_realloc(*block, wanted * item_size);
    if (!larger)
        return -ENOMEM;
    *block = larger;
    *cap = wanted;
    return 0;
}

static int walk_down(struct walk *w, const struct trie_node *n)
{
    void *levels = w->levels, *key = w->key;
    int rc = reserve(&levels, &w->depth_cap, w->depth + 1, sizeof(*w->levels));
    w->levels = levels;
    if (rc)
        return rc;
    /* One byte more than needed: the empty key, too, is given out as a valid pointer. */
    rc = reserve(&key, &w->key_cap, w->key_len + n->edge_len + 1, 1);
    w->key = key;
    if (rc)
        return rc;
    memcpy(w->key + w->key_len, edge_of(n), n->edge_len);
    w->key_len += n->edge_len;
    w->levels[w->depth++] = (struct level){.node = n};
    return 0;
}

int trie_each(const struct trie *t,
              int (*visit)(void *arg, const void *key, size_t key_len, void *value), void *arg)
{
    return trie_each_under(t, NULL, 0, visit, arg);
}

/* The topmost node whose key begins with the prefix, which may end within its edge; *above is how
 * much of the prefix lies before that edge. NULL: none. */
static const struct trie_node *node_under(const struct trie *t, const uint8_t *prefix, size_t len,
                                          size_t *above)
{
    struct trie_node *n = t->root;
    size_t at = 0;
    while (n && at < len) {
        struct trie_node **kid = child_link(n, prefix[at]);
        if (!kid)
            return NULL;
        n = *kid;
        size_t common = common_prefix(edge_of(n), n->edge_len, prefix + at, len - at);
        if (common == len - at)
            break;
        if (common < n->edge_len)
            return NULL;
        at += common;
    }
    *above = at;
    return n;
}

int trie_each_under(const struct trie *t, const void *prefix, size_t len,
                    int (*visit)(void *arg, const void *key, size_t key_len, void *value),
                    void *arg)
{
    struct walk w = {0};
    size_t above = 0;
    const struct trie_node *n = node_under(t, prefix, len, &above);
    if (!n)
        return 0;
    if (above) {
        void *key = NULL;
        if (reserve(&key, &w.key_cap, above, 1))
            return -ENOMEM;
        w.key = memcpy(key, prefix, above);
        w.key_len = above;
    }
    int rc = 0;
    do {
        if (n) {
            rc = walk_down(&w, n);
            if (rc == 0 && n->stored)
                rc = visit(arg, w.key, w.key_len, n->value);
            if (rc)
                break;
        }
        struct level *deepest = &w.levels[w.depth - 1];
        if (deepest->next_kid < deepest->node->fanout) {
            n = kids_of(deepest->node)[deepest->next_kid++];
        } else {
            w.key_len -= deepest->node->edge_len;
            w.depth--;
            n = NULL;
        }
    } while (w.depth > 0);
    mem_free(w.levels);
    mem_free(w.key);
    return rc;
}
