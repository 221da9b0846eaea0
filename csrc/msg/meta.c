/* SPDX-License-Identifier: MIT */
#include "msg/meta.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

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
