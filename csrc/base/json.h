/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON into memory that grows up to a limit. Nothing has to be checked on the way: what no
 * longer fits, or finds no memory, makes the text `failed`, and the rest is ignored.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    char *text; /* of `len` bytes, without an end; the owner's to free (mem_free) */
    size_t len, cap, limit;
    bool failed;
    bool first; /* nothing stands before in the present object or array */
};

void json_init(struct json *j, size_t limit);
void json_fini(struct json *j);
/* Back to an earlier length, at which it had not failed: what was begun since then must not stand
 * half written. `failed` is over. */
void json_cut(struct json *j, size_t len, bool first);

/* Each value has a key in an object, and NULL in an array. */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end_object(struct json *j);
void json_end_array(struct json *j);
void json_text(struct json *j, const char *key, const char *value); /* NULL: null */
/* Any bytes, each as the character of that number (U+0000 to U+00FF). */
void json_bytes(struct json *j, const char *key, const void *value, size_t len);
void json_bool(struct json *j, const char *key, bool value);
void json_int(struct json *j, const char *key, int64_t value);
void json_uint(struct json *j, const char *key, uint64_t value);
void json_null(struct json *j, const char *key);
/* A time or a duration in ns as seconds, with six digits behind the point. */
void json_seconds(struct json *j, const char *key, int64_t ns);

#endif
