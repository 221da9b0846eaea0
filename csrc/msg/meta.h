/* SPDX-License-Identifier: MIT */
/* Metadata of a connection: names and values, immutable once shared, refcounted. */
#ifndef MSG_META_H
#define MSG_META_H

#include <stdatomic.h>
#include <stdbool.h>
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
/*
 * Fills an empty one from a list in the same encoding, which somebody else wrote; of a name that is
 * there several times the last counts. `leave_out` (may be NULL) says which are passed over. Takes
 * time in proportion to `len`. 0; -EPROTO: it is no such list, has an empty
 * name that is not left out, or more than `max` entries; -ENOMEM. After an error it is still empty.
 */
typedef bool meta_filter(const uint8_t *name, size_t name_len, const uint8_t *value,
                         size_t value_len);
int meta_read(struct meta *m, const uint8_t *data, size_t len, uint32_t max,
              meta_filter *leave_out);
/* Names compare without regard to case (RFC 37). 0 or -ENOENT. */
int meta_get(const struct meta *m, const char *name, const uint8_t **value, size_t *value_len);

#endif
