/* SPDX-License-Identifier: MIT */
/* Commands of ZMTP 3.x: a body begins with the length of the command's name and the name. */
#ifndef WIRE_COMMAND_H
#define WIRE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A body being put together. Errors stick: look at `failed` once, at the end. */
struct command_buf {
    uint8_t *data;
    size_t len, cap;
    bool failed; /* out of memory */
};

void command_buf_init(struct command_buf *b);
void command_buf_fini(struct command_buf *b);
void command_add(struct command_buf *b, const void *data, size_t len);
void command_add_name(struct command_buf *b, const char *name);
void command_add_property(struct command_buf *b, const char *name, const void *value, size_t len);

/* True when the body is the command `name`; *args is what follows the name. */
bool command_is(const uint8_t *body, size_t len, const char *name, const uint8_t **args,
                size_t *args_len);

#endif
