/* SPDX-License-Identifier: MIT */
/* The numbers of the socket options by name: OPT_SUBSCRIBE ... Table: options.def. */
#ifndef CORE_OPTION_IDS_H
#define CORE_OPTION_IDS_H

enum option_id {
#define OPT(id, name, kind, access, min, max, def, home, field) OPT_##name = id,
#include "core/options.def"
#undef OPT
};

#endif
