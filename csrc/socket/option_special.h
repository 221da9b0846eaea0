/* SPDX-License-Identifier: MIT */
/* Options whose values are checked, kept in memory of their own, or collected in a list. */
#ifndef SOCKET_OPTION_SPECIAL_H
#define SOCKET_OPTION_SPECIAL_H

#include <stddef.h>
#include <stdint.h>

struct option_values;

/* Numbers come as `num`, others as value/len, which fits the table's range. 0, -EINVAL, -ENOMEM. */
int option_set_special(struct option_values *o, int id, int64_t num, const void *value, size_t len);
/* What bytes an option has. NULL: not one of these. */
const void *option_get_special(const struct option_values *o, int id, size_t *len);

#endif
