/* SPDX-License-Identifier: MIT */
#include "msg/meta.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/map.h"

struct meta *meta_new(void)
{
    struct meta *m = mem_zalloc(sizeof(*m));
    if (m)
        atomic_init(&m->refs, 1);
    return m;
}

void meta_ref(struct meta *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void meta_unref(struct meta *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_free(m->buf);
    mem_free(m);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool same_name(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

/* The offset of the entry of that name and its length in all; m->len when there is none. */
static size_t find(const struct meta *m, const char *name, size_t name_len, size_t *entry_len)
{
    size_t at = 0;
    while (at < m->len) {
        size_t nlen = m->buf[at];
        size_t total = 1 + nlen + 4 + get_be32(m->buf + at + 1 + nlen);
        if (nlen == name_len && same_name(m->buf + at + 1, (const uint8_t *)name, nlen)) {
            *entry_len = total;
            return at;
        }
        at += total;
    }
    *entry_len = 0;
    return m->len;
}

int meta_set(struct meta *m, const char *name, size_t name_len, const void *value, size_t value_len)
{
    if (name_len == 0 || name_len > 255 || value_len > UINT32_MAX)
        return -EINVAL;
    size_t need = 1 + name_len + 4 + value_len;
    if (m->len + need > m->cap) {
        size_t cap = m->cap ? m->cap : 64;
        while (cap < m->len + need)
            cap *= 2;
        uint8_t *grown = mem_realloc(m->buf, cap);
        if (!grown)
            return -ENOMEM;
        m->buf = grown;
        m->cap = cap;
    }
    size_t old_len;
    size_t old = find(m, name, name_len, &old_len);
    if (old_len) {
        memmove(m->buf + old, m->buf + old + old_len, m->len - old - old_len);
        m->len -= old_len;
    }
    uint8_t *at = m->buf + m->len;
    *at++ = (uint8_t)name_len;
    memcpy(at, name, name_len);
    at += name_len;
    put_be32(at, (uint32_t)value_len);
    if (value_len)
        memcpy(at + 4, value, value_len);
    m->len += need;
    return 0;
}

/* ---- a list of somebody else's ---- */

/* Few entries, which is what everybody has, are compared with each other; for more there is a table
 * of names. */
#define FEW 16
#define NAME_MAX_LEN 255

struct entry {
    const uint8_t *name, *value;
    size_t name_len, value_len;
};

/* The next entry. 1, 0: the end, -EPROTO. */
static int next_entry(struct cursor *c, struct entry *e)
{
    uint8_t name_len;
    uint32_t value_len;
    if (!c->left)
        return 0;
    if (!cursor_u8(c, &name_len) || !cursor_take(c, name_len, &e->name) ||
        !cursor_be32(c, &value_len) || !cursor_take(c, value_len, &e->value))
        return -EPROTO;
    e->name_len = name_len;
    e->value_len = value_len;
    return 1;
}

static const uint8_t *fold(uint8_t to[NAME_MAX_LEN], const struct entry *e)
{
    for (size_t i = 0; i < e->name_len; i++)
        to[i] = lower(e->name[i]);
    return to;
}

/* The next entry that is not left out; for which an empty name is no name. */
static int next_wanted(struct cursor *c, struct entry *e, meta_filter *leave_out)
{
    int rc;
    while ((rc = next_entry(c, e)) > 0)
        if (!leave_out || !leave_out(e->name, e->name_len, e->value, e->value_len))
            return e->name_len ? 1 : -EPROTO;
    return rc;
}

/* Checks the list. Of many entries the table gets to know which is the last of each name. */
static int survey(const uint8_t *data, size_t len, uint32_t max, meta_filter *leave_out,
                  struct map *last)
{
    uint8_t name[NAME_MAX_LEN];
    struct cursor c = {data, len};
    struct entry e;
    uint32_t count = 0;
    int rc;
    while ((rc = next_entry(&c, &e)) > 0)
        if (++count > max)
            return -EPROTO;
    c = (struct cursor){data, len};
    while (rc == 0 && (rc = next_wanted(&c, &e, leave_out)) > 0) {
        rc = 0;
        if (count <= FEW)
            continue;
        fold(name, &e);
        map_del(last, name, e.name_len);
        rc = map_put(last, name, e.name_len, (void *)(uintptr_t)e.name);
    }
    return rc;
}

/* Whether the entry is the last of its name; `rest` is what follows it. */
static bool is_last(const struct entry *e, struct cursor rest, meta_filter *leave_out,
                    const struct map *last)
{
    uint8_t name[NAME_MAX_LEN];
    struct entry other;
    if (last->len)
        return map_get(last, fold(name, e), e->name_len) == e->name;
    while (next_wanted(&rest, &other, leave_out) > 0)
        if (other.name_len == e->name_len && same_name(other.name, e->name, e->name_len))
            return false;
    return true;
}

int meta_read(struct meta *m, const uint8_t *data, size_t len, uint32_t max, meta_filter *leave_out)
{
    struct map last;
    map_init(&last);
    int rc = survey(data, len, max, leave_out, &last);
    if (rc == 0 && len && !(m->buf = mem_alloc(len)))
        rc = -ENOMEM;
    if (rc == 0) {
        struct cursor c = {data, len};
        struct entry e;
        m->cap = len;
        while (next_wanted(&c, &e, leave_out) > 0) {
            if (!is_last(&e, c, leave_out, &last))
                continue;
            size_t size = 1 + e.name_len + 4 + e.value_len;
            memcpy(m->buf + m->len, e.name - 1, size);
            m->len += size;
        }
    }
    map_fini(&last);
    return rc;
}

int meta_get(const struct meta *m, const char *name, const uint8_t **value, size_t *value_len)
{
    size_t name_len = strlen(name);
    size_t entry_len;
    size_t at = find(m, name, name_len, &entry_len);
    if (!entry_len)
        return -ENOENT;
    *value = m->buf + at + 1 + name_len + 4;
    *value_len = get_be32(m->buf + at + 1 + name_len);
    return 0;
}
