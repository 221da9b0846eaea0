/* SPDX-License-Identifier: MIT */
/* The one file that names every pattern and every transport. */
#include "socket/registry.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "net/transport_ops.h"
#include "pattern/patterns.h"
#include "pipe/pattern_ops.h"
#include "transport/inproc.h"
#include "transport/stream.h"

const struct pattern_ops *pattern_find(int type)
{
    static const struct pattern_ops *const patterns[] = {
        &pattern_pair,    &pattern_pub,    &pattern_sub,     &pattern_req,    &pattern_rep,
        &pattern_dealer,  &pattern_router, &pattern_pull,    &pattern_push,   &pattern_xpub,
        &pattern_xsub,    &pattern_stream, &pattern_server,  &pattern_client, &pattern_gather,
        &pattern_scatter, &pattern_peer,   &pattern_channel, &pattern_radio,  &pattern_dish,
        &pattern_dgram,
    };
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        if (patterns[i]->type == type)
            return patterns[i];
    }
    return NULL;
}

static const struct transport_ops *const transports[] = {
    &transport_tcp,  &transport_ipc, &transport_inproc, &transport_udp,
    &transport_epgm, &transport_pgm, &transport_ws};

#define TRANSPORT_COUNT (sizeof(transports) / sizeof(transports[0]))

static const struct transport_ops *find(const char *scheme, size_t len)
{
    for (size_t i = 0; i < TRANSPORT_COUNT; i++) {
        const char *name = transports[i]->scheme;
        if (strlen(name) == len && memcmp(name, scheme, len) == 0)
            return transports[i];
    }
    return NULL;
}

bool transport_exists(const char *scheme)
{
    return find(scheme, strlen(scheme)) != NULL;
}

/* "tcp, ipc or inproc" */
static void name_all(char *buf, size_t size)
{
    size_t at = 0;
    buf[0] = 0;
    for (size_t i = 0; i < TRANSPORT_COUNT && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s",
                               i == 0                     ? ""
                               : i == TRANSPORT_COUNT - 1 ? " or "
                                                          : ", ",
                               transports[i]->scheme);
}

int transport_of(const char *endpoint, const struct transport_ops **transport, const char **rest)
{
    const char *sep = strstr(endpoint, "://");
    if (!sep || sep == endpoint || !sep[3]) {
        detail_set("endpoint '%.100s' is not of the form transport://address, such as "
                   "tcp://127.0.0.1:5555 or ipc:///tmp/name",
                   endpoint);
        return -EINVAL;
    }
    size_t len = (size_t)(sep - endpoint);
    *rest = sep + 3;
    *transport = find(endpoint, len);
    if (!*transport) {
        char names[100];
        name_all(names, sizeof(names));
        detail_set("transport '%.*s' is not known here: use %s", (int)len, endpoint, names);
        return -EPROTONOSUPPORT;
    }
    return 0;
}
