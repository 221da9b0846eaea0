/* SPDX-License-Identifier: MIT */
/* The numbers of the socket options by name: OPT_SUBSCRIBE ... Table: options.def. */
#ifndef PIPE_OPTION_IDS_H
#define PIPE_OPTION_IDS_H

enum option_id {
#define OPT(id, name, kind, access, min, max, def, home, field) OPT_##name = id,
#include "pipe/options.def"
#undef OPT
};

#endif
