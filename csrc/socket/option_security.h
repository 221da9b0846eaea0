/* SPDX-License-Identifier: MIT */
/* The options of security mechanisms: each that is set chooses its mechanism. */
#ifndef SOCKET_OPTION_SECURITY_H
#define SOCKET_OPTION_SECURITY_H

#include <stddef.h>
#include <stdint.h>

struct option_values;

#define OPTION_KEY_TEXT 40 /* a key in Z85, without NUL */

/* Numbers come as `num`, others as value/len. 0, -EINVAL, -ENOTSUP without libsodium. */
int option_set_security(struct option_values *o, int id, int64_t num, const void *value,
                        size_t len);
/* What bytes an option has; keys are written to `text` as Z85. NULL: not one of these. */
const void *option_get_security(const struct option_values *o, int id, char text[OPTION_KEY_TEXT],
                                size_t *len);

#endif
