/* SPDX-License-Identifier: MIT */
/* Metadata of a connection: names and values, immutable once shared, refcounted. */
#ifndef MSG_META_H
#define MSG_META_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct meta {
    atomic_uint refs;
    uint8_t *buf; /* repeated: name-length(1) name value-length(BE32) value */
    size_t len;
    size_t cap;
};

struct meta *meta_new(void); /* one reference; NULL: no memory */
void meta_ref(struct meta *m);
void meta_unref(struct meta *m); /* NULL is allowed */
/* Adds or replaces. Only while the caller holds the sole reference. 0, -EINVAL (name length 0 or
 * >255), -ENOMEM.
 */
int meta_set(struct meta *m, const char *name, size_t name_len, const void *value,
             size_t value_len);
/* Names compare without regard to case (RFC 37). 0 or -ENOENT. */
int meta_get(const struct meta *m, const char *name, const uint8_t **value, size_t *value_len);

#endif
