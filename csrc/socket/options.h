/* SPDX-License-Identifier: MIT */
/* Setting and getting options: the table of pipe/options.def at work. */
#ifndef SOCKET_OPTIONS_H
#define SOCKET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipe/option_values.h"

void options_init(struct option_values *o);
void options_fini(struct option_values *o);
#endif
