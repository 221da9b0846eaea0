/* SPDX-License-Identifier: MIT */
// needs: base
#include "check.h"

#include <errno.h>

#include "base/trie.h"

/* ---- the model: a plain array of keys ------------------------------------------------------- */

enum { MODEL_MAX = 400 };

struct model {
    size_t len;
    struct model_key {
        uint8_t *bytes;
        size_t len;
        void *value;
    } keys[MODEL_MAX];
};

static size_t model_find(const struct model *m, const uint8_t *key, size_t len)
{
    size_t i = 0;
    while (i < m->len && !(m->keys[i].len == len && memcmp(m->keys[i].bytes, key, len) == 0))
        i++;
    return i;
}

static int by_bytes(const void *a, const void *b)
{
    const struct model_key *x = a, *y = b;
    size_t min = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->bytes, y->bytes, min);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int by_len(const void *a, const void *b)
{
    const struct model_key *x = a, *y = b;
    return (x->len > y->len) - (x->len < y->len);
}

struct visits {
    const struct model_key *expected;
    size_t expected_len, seen;
};

static int check_each(void *arg, const void *key, size_t len, void *value)
{
    struct visits *v = arg;
    CHECK(v->seen < v->expected_len);
    const struct model_key *e = &v->expected[v->seen++];
    CHECK_EQ(len, e->len);
    CHECK_MEM(key, e->bytes, len);
    CHECK(value == e->value);
    return 0;
}

static bool check_match(void *arg, void *value)
{
    struct visits *v = arg;
    CHECK(v->seen < v->expected_len);
    CHECK(value == v->expected[v->seen++].value);
    return true;
}

static void check_agrees(const struct trie *t, const struct model *m)
{
    struct model sorted = *m;
    qsort(sorted.keys, sorted.len, sizeof(sorted.keys[0]), by_bytes);
    CHECK_EQ(t->len, m->len);
    struct visits v = {sorted.keys, sorted.len, 0};
    CHECK_EQ(trie_each(t, check_each, &v), 0);
    CHECK_EQ(v.seen, m->len);
    for (size_t i = 0; i < m->len; i++) {
        void **slot = trie_get(t, m->keys[i].bytes, m->keys[i].len);
        CHECK(slot && *slot == m->keys[i].value);
    }
}

static void check_prefixes(const struct trie *t, const struct model *m, const uint8_t *data,
                           size_t len)
{
    struct model found = {0};
    for (size_t i = 0; i < m->len; i++) {
        if (m->keys[i].len <= len && memcmp(m->keys[i].bytes, data, m->keys[i].len) == 0)
            found.keys[found.len++] = m->keys[i];
    }
    qsort(found.keys, found.len, sizeof(found.keys[0]), by_len);
    CHECK_EQ(trie_matches(t, data, len), found.len > 0);
    struct visits v = {found.keys, found.len, 0};
    trie_match(t, data, len, check_match, &v);
    CHECK_EQ(v.seen, found.len);
}

static void model_free(struct model *m)
{
    for (size_t i = 0; i < m->len; i++)
        mem_free(m->keys[i].bytes);
}

/* In a block of its exact size, so that reading past its end is seen. */
static uint8_t *random_key(size_t max_len, int letters, size_t *len)
{
    *len = check_below(max_len + 1);
    uint8_t *key = mem_alloc(*len);
    CHECK(key);
    for (size_t i = 0; i < *len; i++)
        key[i] = (uint8_t)(255 - check_below((size_t)letters));
    /* Long keys share long beginnings, or edges would seldom be split far from their start. */
    if (max_len > 100) {
        for (size_t i = 0; i + 3 < *len; i++)
            key[i] = 'a';
    }
    return key;
}

static int tokens[1000000];

static void random_rounds(size_t max_len, int letters, int rounds)
{
    struct trie t;
    struct model m = {0};
    trie_init(&t);
    size_t want = MODEL_MAX / 2;
    for (int round = 0; round < rounds; round++) {
        if (round % 1000 == 0)
            want = check_below(MODEL_MAX);
        size_t len;
        uint8_t *key = random_key(max_len, letters, &len);
        size_t at = model_find(&m, key, len);
        if (m.len < want) {
            bool added;
            void **slot = trie_add(&t, key, len, &added);
            CHECK(slot);
            CHECK_EQ(added, at == m.len);
            if (added) {
                CHECK(*slot == NULL);
                *slot = &tokens[round];
                m.keys[m.len++] = (struct model_key){key, len, *slot};
                key = NULL;
            } else {
                CHECK(*slot == m.keys[at].value);
            }
        } else {
            if (at == m.len && check_below(2)) { /* make sure that some are found */
                mem_free(key);
                at = check_below(m.len ? m.len : 1);
                key = mem_alloc(m.len ? m.keys[at].len : 0);
                len = m.len ? m.keys[at].len : 0;
                if (m.len)
                    memcpy(key, m.keys[at].bytes, len);
            }
            void *value = trie_del(&t, key, len);
            CHECK(value == (at < m.len ? m.keys[at].value : NULL));
            CHECK(trie_get(&t, key, len) == NULL);
            if (at < m.len) {
                mem_free(m.keys[at].bytes);
                m.keys[at] = m.keys[--m.len];
            }
        }
        mem_free(key);
        uint8_t *data = random_key(max_len + 4, letters, &len);
        check_prefixes(&t, &m, data, len);
        CHECK_EQ(trie_get(&t, data, len) != NULL, model_find(&m, data, len) < m.len);
        mem_free(data);
        if (round % 50 == 0)
            check_agrees(&t, &m);
    }
    check_agrees(&t, &m);
    trie_fini(&t, NULL, NULL);
    model_free(&m);
}

TEST(random_short_keys_agree_with_the_model)
{
    random_rounds(5, 3, 15000);
}

TEST(random_keys_of_all_bytes_agree_with_the_model)
{
    random_rounds(2, 256, 15000);
}

TEST(random_long_keys_agree_with_the_model)
{
    random_rounds(900, 3, 8000);
}

/* ---- cases ---------------------------------------------------------------------------------- */

static void add(struct trie *t, const char *key, void *value)
{
    bool added;
    void **slot = trie_add(t, key, strlen(key), &added);
    CHECK(slot && added);
    *slot = value;
}

TEST(an_empty_trie_matches_nothing)
{
    struct trie t;
    trie_init(&t);
    CHECK(!trie_matches(&t, "", 0));
    CHECK(!trie_matches(&t, NULL, 0));
    CHECK(!trie_matches(&t, "abc", 3));
    CHECK(trie_get(&t, "", 0) == NULL);
    CHECK(trie_del(&t, "", 0) == NULL);
    CHECK_EQ(trie_each(&t, check_each, NULL), 0);
    trie_fini(&t, NULL, NULL);
}

TEST(the_empty_key_is_a_prefix_of_everything)
{
    struct trie t;
    trie_init(&t);
    add(&t, "", &tokens[0]);
    CHECK(trie_matches(&t, "", 0));
    CHECK(trie_matches(&t, NULL, 0));
    CHECK(trie_matches(&t, "abc", 3));
    add(&t, "b", &tokens[1]);
    CHECK(trie_del(&t, NULL, 0) == &tokens[0]);
    CHECK(!trie_matches(&t, "abc", 3));
    CHECK(trie_matches(&t, "bc", 2));
    trie_fini(&t, NULL, NULL);
}

static bool stop_at_once(void *arg, void *value)
{
    (void)value;
    ++*(int *)arg;
    return false;
}

static int stop_with_7(void *arg, const void *key, size_t len, void *value)
{
    (void)key, (void)len, (void)value;
    ++*(int *)arg;
    return 7;
}

TEST(a_visitor_can_stop_the_visit)
{
    struct trie t;
    trie_init(&t);
    add(&t, "a", &tokens[0]);
    add(&t, "ab", &tokens[1]);
    int calls = 0;
    trie_match(&t, "abc", 3, stop_at_once, &calls);
    CHECK_EQ(calls, 1);
    CHECK_EQ(trie_each(&t, stop_with_7, &calls), 7);
    CHECK_EQ(calls, 2);
    trie_fini(&t, NULL, NULL);
}

static void count_drop(void *arg, void *value)
{
    CHECK(value);
    ++*(int *)arg;
}

TEST(the_end_drops_each_value_once)
{
    struct trie t;
    trie_init(&t);
    add(&t, "", &tokens[0]);
    add(&t, "abc", &tokens[1]);
    add(&t, "abd", &tokens[2]);
    add(&t, "ab", &tokens[3]);
    int drops = 0;
    trie_fini(&t, count_drop, &drops);
    CHECK_EQ(drops, 4);
    CHECK_EQ(t.len, 0);
    trie_fini(&t, count_drop, &drops);
    CHECK_EQ(drops, 4);
}

TEST(a_tree_with_a_node_for_every_byte_is_walked_and_freed)
{
    enum { DEPTH = 5000 };
    static const uint8_t key[DEPTH];
    struct trie t;
    trie_init(&t);
    bool added;
    for (size_t len = DEPTH; len > 0; len--) /* each but the first splits an edge */
        CHECK(trie_add(&t, key, len, &added) && added);
    CHECK(trie_matches(&t, key, 1));
    CHECK(!trie_matches(&t, key, 0));
    for (size_t len = 1; len <= DEPTH; len += 2) {
        CHECK(trie_get(&t, key, len));
        trie_del(&t, key, len);
        CHECK(!trie_get(&t, key, len));
    }
    CHECK_EQ(t.len, DEPTH / 2);
    trie_fini(&t, NULL, NULL);
}

/* Deep enough that one stack frame a level would not fit on the stack. */
TEST(a_key_of_40_megabytes_is_stored_walked_and_freed)
{
    const size_t len = 40000000;
    struct trie t;
    trie_init(&t);
    uint8_t *key = mem_zalloc(len);
    CHECK(key);
    for (int keep = 0; keep < 2; keep++) {
        bool added;
        CHECK(trie_add(&t, key, len, &added) && added);
        CHECK(trie_matches(&t, key, len));
        CHECK(!trie_matches(&t, key, len - 1));
        int calls = 0;
        CHECK_EQ(trie_each(&t, stop_with_7, &calls), 7);
        CHECK_EQ(calls, 1);
        if (!keep)
            trie_del(&t, key, len);
        CHECK_EQ(t.len, keep);
    }
    trie_fini(&t, NULL, NULL);
    mem_free(key);
}

TEST(ten_thousand_subscriptions_are_told_apart)
{
    enum { COUNT = 10000 };
    struct trie t;
    trie_init(&t);
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof(key), "market/%d/%d/", i % 97, i);
        add(&t, key, &tokens[i]);
    }
    for (int i = 0; i < 2 * COUNT; i++) {
        snprintf(key, sizeof(key), "market/%d/%d/price", i % 97, i);
        CHECK_EQ(trie_matches(&t, key, strlen(key)), i < COUNT);
    }
    for (int i = COUNT - 1; i >= 0; i--) {
        snprintf(key, sizeof(key), "market/%d/%d/", i % 97, i);
        CHECK(trie_del(&t, key, strlen(key)) == &tokens[i]);
        CHECK(trie_del(&t, key, strlen(key)) == NULL);
    }
    CHECK_EQ(t.len, 0);
    trie_fini(&t, NULL, NULL);
}

#ifdef FMQ_DEBUG
TEST(nodes_merge_back_when_keys_go)
{
    struct trie t;
    trie_init(&t);
    long before = mem_live();
    add(&t, "abcdef", &tokens[0]);
    long one = mem_live();
    add(&t, "abc", &tokens[1]);
    add(&t, "abcxyz", &tokens[2]);
    add(&t, "ab", &tokens[3]);
    CHECK(trie_del(&t, "abcxyz", 6) == &tokens[2]);
    CHECK(trie_del(&t, "abc", 3) == &tokens[1]);
    CHECK(trie_del(&t, "ab", 2) == &tokens[3]);
    CHECK_EQ(mem_live(), one);
    CHECK(trie_get(&t, "abcdef", 6));
    CHECK(trie_del(&t, "abcdef", 6) == &tokens[0]);
    CHECK_EQ(mem_live(), before);
    trie_fini(&t, NULL, NULL);
}

TEST(a_key_takes_no_more_than_two_nodes)
{
    struct trie t;
    trie_init(&t);
    long before = mem_live();
    for (int i = 0; i < 5000; i++) {
        char key[40];
        snprintf(key, sizeof(key), "%llx", (unsigned long long)check_rand());
        bool added;
        CHECK(trie_add(&t, key, strlen(key), &added));
    }
    CHECK(mem_live() - before <= 2 * 5000 + 1);
    trie_fini(&t, NULL, NULL);
}

/* Every kind of change: sprout, split with and without a rest, chains, merges, an emptied tree. */
TEST(an_add_without_memory_leaves_the_trie_as_it_was)
{
    static char longest[700];
    memset(longest, 'x', sizeof(longest) - 1);
    static char forked[600];
    memset(forked, 'x', sizeof(forked) - 1);
    forked[590] = 'y';
    const char *const keys[] = {"abcdef", "abq", "abcd", "", "zz", longest, forked, "xxx", "z"};
    enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
    int failures = 0;
    for (long nth = 1; nth < 60; nth++) {
        struct trie t;
        struct model m = {0};
        trie_init(&t);
        uint8_t *copies[COUNT];
        for (int i = 0; i < COUNT; i++) {
            copies[i] = (uint8_t *)mem_strdup(keys[i]);
            CHECK(copies[i]);
        }
        mem_fail_at(nth);
        for (int i = 0; i < COUNT; i++) {
            size_t len = strlen(keys[i]);
            uint8_t *copy = copies[i];
            bool added;
            long live = mem_live();
            void **slot = trie_add(&t, copy, len, &added);
            if (!slot) {
                CHECK(!added);
                CHECK_EQ(mem_live(), live);
                check_agrees(&t, &m);
                failures++;
                slot = trie_add(&t, copy, len, &added);
            }
            CHECK(slot && added);
            *slot = &tokens[i];
            m.keys[m.len++] = (struct model_key){copy, len, *slot};
        }
        mem_fail_at(0);
        check_agrees(&t, &m);
        trie_fini(&t, NULL, NULL);
        model_free(&m);
    }
    CHECK(failures > 12);
    /* Deleting works without memory, in any order. */
    for (int round = 0; round < 300; round++) {
        struct trie t;
        struct model m = {0};
        trie_init(&t);
        for (int i = 0; i < COUNT; i++) {
            add(&t, keys[i], &tokens[i]);
            char *copy = mem_strdup(keys[i]);
            CHECK(copy);
            m.keys[m.len++] = (struct model_key){(uint8_t *)copy, strlen(keys[i]), &tokens[i]};
        }
        while (m.len > 0) {
            size_t at = check_below(m.len);
            mem_fail_at(1 + (long)check_below(2));
            CHECK(trie_del(&t, m.keys[at].bytes, m.keys[at].len) == m.keys[at].value);
            mem_fail_at(0);
            mem_free(m.keys[at].bytes);
            m.keys[at] = m.keys[--m.len];
            check_agrees(&t, &m);
            check_prefixes(&t, &m, (const uint8_t *)longest, strlen(longest));
            check_prefixes(&t, &m, (const uint8_t *)"abcdefg", 7);
        }
        CHECK(t.root == NULL);
        trie_fini(&t, NULL, NULL);
    }
}

TEST(a_walk_without_memory_says_so)
{
    struct trie t;
    trie_init(&t);
    add(&t, "abc", &tokens[0]);
    for (long nth = 1; nth <= 2; nth++) {
        int calls = 0;
        mem_fail_at(nth);
        CHECK_EQ(trie_each(&t, stop_with_7, &calls), -ENOMEM);
        CHECK_EQ(calls, 0);
    }
    trie_fini(&t, NULL, NULL);
}
#endif
