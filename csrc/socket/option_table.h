/* SPDX-License-Identifier: MIT */
/* The table of pipe/options.def, and the values of those whose home is FIELD or IGNORED. */
#ifndef SOCKET_OPTION_TABLE_H
#define SOCKET_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastmq.h"

struct option_values;

enum option_home { HOME_FIELD, HOME_IGNORED, HOME_SOCKET, HOME_PATTERN, HOME_ABSENT };

struct option_row {
    struct fmq_option_info info;
    enum option_home home;
    int64_t fallback;
    size_t offset;
    size_t size;
};

/* NULL: there is no such option. */
const struct option_row *option_find(int id);
/* Whether the value lies in struct option_values; for those rows, option_store and option_load. */
bool option_is_stored(const struct option_row *r);
void option_store(struct option_values *o, const struct option_row *r, int64_t value);
int64_t option_load(const struct option_values *o, const struct option_row *r);

/* Sets the defaults. */
void options_init(struct option_values *o);
void options_fini(struct option_values *o);

#endif
