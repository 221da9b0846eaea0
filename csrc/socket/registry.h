/* SPDX-License-Identifier: MIT */
/* Every pattern and every transport, by type and by scheme. */
#ifndef SOCKET_REGISTRY_H
#define SOCKET_REGISTRY_H

#include <stdbool.h>

struct pattern_ops;
struct transport_ops;

/* NULL: no such type. */
const struct pattern_ops *pattern_find(int type);
/* Splits "scheme://rest" and looks the scheme up. -EINVAL with a detail, -EPROTONOSUPPORT. */
int transport_of(const char *endpoint, const struct transport_ops **transport, const char **rest);
/* Whether there is such a transport. */
bool transport_exists(const char *scheme);

#endif
