/* SPDX-License-Identifier: MIT */
/* The one file that names every pattern and every transport. */
#include <stddef.h>
#include <string.h>

#include "core/pattern_ops.h"
#include "core/transport_ops.h"
#include "pattern/patterns.h"
#include "transport/stream.h"

const struct pattern_ops *pattern_find(int type)
{
    static const struct pattern_ops *const patterns[] = {
        &pattern_pair, &pattern_pub,    &pattern_sub,    &pattern_req,
        &pattern_rep,  &pattern_dealer, &pattern_router, &pattern_pull,
        &pattern_push, &pattern_xpub,   &pattern_xsub,   &pattern_stream,
    };
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        if (patterns[i]->type == type)
            return patterns[i];
    }
    return NULL;
}

const struct transport_ops *transport_find(const char *scheme, size_t len)
{
    static const struct transport_ops *const transports[] = {&transport_tcp, &transport_ipc};
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        const char *name = transports[i]->scheme;
        if (strlen(name) == len && memcmp(name, scheme, len) == 0)
            return transports[i];
    }
    return NULL;
}
