/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define FIRST_CAP ((size_t)4 << 10)

void json_init(struct json *j, size_t limit)
{
    memset(j, 0, sizeof(*j));
    j->limit = limit;
    j->first = true;
}

void json_fini(struct json *j)
{
    mem_free(j->text);
    j->text = NULL;
}

void json_cut(struct json *j, size_t len, bool first)
{
    j->len = len;
    j->first = first;
    j->failed = false;
}

/* Room for so many bytes more; NULL: there is none, now or since earlier. */
static char *room(struct json *j, size_t more)
{
    /* The limit may be lower than it was when the text grew. */
    if (j->failed || j->len > j->limit || j->limit - j->len < more) {
        j->failed = true;
        return NULL;
    }
    if (j->cap - j->len < more) {
        size_t cap = j->cap ? j->cap : FIRST_CAP;
        while (cap - j->len < more && cap < j->limit)
            cap *= 2;
        if (cap > j->limit)
            cap = j->limit;
        char *text = cap - j->len < more ? NULL : mem_realloc(j->text, cap);
        if (!text) {
            j->failed = true;
            return NULL;
        }
        j->text = text;
        j->cap = cap;
    }
    return j->text + j->len;
}

static void put(struct json *j, const char *text, size_t len)
{
    char *at = room(j, len);
    if (!at)
        return;
    memcpy(at, text, len);
    j->len += len;
}

static void put_char(struct json *j, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    char out[6] = {(char)c};
    size_t len = 1;
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        len = 2;
    } else if (c < 0x20 || c >= 0x7f) {
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        len = 6;
    }
    put(j, out, len);
}

static void put_string(struct json *j, const void *value, size_t len)
{
    put(j, "\"", 1);
    for (size_t i = 0; i < len; i++)
        put_char(j, ((const uint8_t *)value)[i]);
    put(j, "\"", 1);
}

static void begin(struct json *j, const char *key)
{
    if (!j->first)
        put(j, ",", 1);
    j->first = false;
    if (key) {
        put_string(j, key, strlen(key));
        put(j, ":", 1);
    }
}

void json_object(struct json *j, const char *key)
{
    begin(j, key);
    put(j, "{", 1);
    j->first = true;
}

void json_array(struct json *j, const char *key)
{
    begin(j, key);
    put(j, "[", 1);
    j->first = true;
}

void json_end_object(struct json *j)
{
    put(j, "}", 1);
    j->first = false;
}

void json_end_array(struct json *j)
{
    put(j, "]", 1);
    j->first = false;
}

void json_bytes(struct json *j, const char *key, const void *value, size_t len)
{
    begin(j, key);
    put_string(j, value, len);
}

void json_null(struct json *j, const char *key)
{
    begin(j, key);
    put(j, "null", 4);
}

void json_text(struct json *j, const char *key, const char *value)
{
    if (value)
        json_bytes(j, key, value, strlen(value));
    else
        json_null(j, key);
}

void json_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    put(j, value ? "true" : "false", value ? 4 : 5);
}

void json_int(struct json *j, const char *key, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRId64, value);
    begin(j, key);
    put(j, text, (size_t)n);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRIu64, value);
    begin(j, key);
    put(j, text, (size_t)n);
}

void json_seconds(struct json *j, const char *key, int64_t ns)
{
    char text[32];
    uint64_t us = (uint64_t)(ns < 0 ? 0 : ns) / 1000;
    int n = snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
    begin(j, key);
    put(j, text, (size_t)n);
}
