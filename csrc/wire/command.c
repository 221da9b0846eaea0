/* SPDX-License-Identifier: MIT */
#include "wire/command.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

void command_buf_init(struct command_buf *b)
{
    memset(b, 0, sizeof(*b));
}

void command_buf_fini(struct command_buf *b)
{
    mem_free(b->data);
    command_buf_init(b);
}

void command_add(struct command_buf *b, const void *data, size_t len)
{
    if (b->failed || len == 0)
        return;
    if (len > b->cap - b->len) {
        size_t cap = (b->len + len) * 2 + 64;
        uint8_t *grown = mem_realloc(b->data, cap);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->cap = cap;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void command_add_name(struct command_buf *b, const char *name)
{
    uint8_t len = (uint8_t)strlen(name);
    command_add(b, &len, 1);
    command_add(b, name, len);
}

void command_add_property(struct command_buf *b, const char *name, const void *value, size_t len)
{
    uint8_t size[4];
    command_add_name(b, name);
    put_be32(size, (uint32_t)len);
    command_add(b, size, sizeof(size));
    command_add(b, value, len);
}

bool command_is(const uint8_t *body, size_t len, const char *name, const uint8_t **args,
                size_t *args_len)
{
    size_t name_len = strlen(name);
    if (len < 1 + name_len || body[0] != name_len || memcmp(body + 1, name, name_len) != 0)
        return false;
    *args = body + 1 + name_len;
    *args_len = len - 1 - name_len;
    return true;
}
