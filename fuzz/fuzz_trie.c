/* SPDX-License-Identifier: MIT */
/* A trie against an array of keys. Input: operation, key length, key, again and again. */
#include "base/alloc.h"
#include "base/trie.h"
#include "fuzz.h"

enum { KEYS_MAX = 256 };

static struct {
    const uint8_t *key;
    size_t len;
    void *value;
} keys[KEYS_MAX];
static size_t count;

static size_t lookup(const uint8_t *key, size_t len)
{
    size_t i = 0;
    while (i < count && (keys[i].len != len || memcmp(keys[i].key, key, len) != 0))
        i++;
    return i;
}

static bool is_prefix(size_t i, const uint8_t *data, size_t len)
{
    return keys[i].len <= len && memcmp(keys[i].key, data, keys[i].len) == 0;
}

struct visits {
    const uint8_t *data;
    size_t len;
    size_t seen;
    size_t last_len;
};

static bool on_match(void *arg, void *value)
{
    struct visits *v = arg;
    size_t i = (size_t)((uintptr_t)value - 1);
    CHECK(i < count && is_prefix(i, v->data, v->len));
    CHECK(v->seen == 0 || keys[i].len > v->last_len);
    v->last_len = keys[i].len;
    v->seen++;
    return true;
}

static int on_each(void *arg, const void *key, size_t len, void *value)
{
    struct visits *v = arg;
    size_t i = lookup(key, len);
    CHECK(i < count && keys[i].value == value);
    if (v->seen++) {
        size_t least = v->len < len ? v->len : len;
        int order = least ? memcmp(v->data, key, least) : 0;
        CHECK(order < 0 || (order == 0 && v->len < len));
    }
    i = lookup(key, len);
    v->data = keys[i].key;
    v->len = len;
    return 0;
}

static void check_all(const struct trie *t)
{
    struct visits v = {NULL, 0, 0, 0};
    CHECK_EQ(t->len, count);
    CHECK_EQ(trie_each(t, on_each, &v), 0);
    CHECK_EQ(v.seen, count);
}

/* Values are 1 + the place in the array, so a key that moves there is told its new place. */
static void number(struct trie *t, size_t i)
{
    void **slot = trie_get(t, keys[i].key, keys[i].len);
    CHECK(slot);
    keys[i].value = (void *)(uintptr_t)(i + 1);
    *slot = keys[i].value;
}

static void add(struct trie *t, const uint8_t *key, size_t len, long failing)
{
    bool added = false;
    size_t i = lookup(key, len);
    if (i == KEYS_MAX)
        return;
    mem_fail_at(failing);
    void **slot = trie_add(t, key, len, &added);
    mem_fail_at(0);
    if (!slot) {
        CHECK(failing && i == count);
        return;
    }
    CHECK_EQ(added, i == count);
    if (added) {
        CHECK(*slot == NULL);
        keys[count].key = key;
        keys[count].len = len;
        number(t, count++);
    } else {
        CHECK(*slot == keys[i].value);
    }
}

static void del(struct trie *t, const uint8_t *key, size_t len)
{
    size_t i = lookup(key, len);
    void *value = trie_del(t, key, len);
    CHECK(value == (i < count ? keys[i].value : NULL));
    if (i == count)
        return;
    keys[i] = keys[--count];
    if (i < count)
        number(t, i);
}

static void match(struct trie *t, const uint8_t *data, size_t len)
{
    struct visits v = {data, len, 0, 0};
    size_t expected = 0;
    for (size_t i = 0; i < count; i++)
        expected += is_prefix(i, data, len);
    trie_match(t, data, len, on_match, &v);
    CHECK_EQ(v.seen, expected);
    CHECK_EQ(trie_matches(t, data, len), expected > 0);
    size_t i = lookup(data, len);
    void **slot = trie_get(t, data, len);
    CHECK((slot != NULL) == (i < count));
    CHECK(!slot || *slot == keys[i].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct trie t;
    long live = mem_live();
    trie_init(&t);
    count = 0;
    for (int steps = 0; in.left && steps < 2000; steps++) {
        uint8_t op = input_u8(&in);
        size_t len = input_u8(&in);
        if (len > in.left)
            len = in.left;
        const uint8_t *key = in.at;
        in.at += len;
        in.left -= len;
        if ((op & 3) < 2)
            add(&t, key, len, op & 0x80 ? op >> 4 & 7 : 0);
        else if ((op & 3) == 2)
            del(&t, key, len);
        match(&t, key, len);
        if (op & 4)
            check_all(&t);
    }
    check_all(&t);
    trie_fini(&t, NULL, NULL);
    CHECK_EQ(mem_live(), live);
    return 0;
}
