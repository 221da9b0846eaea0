/* SPDX-License-Identifier: MIT */
#include "net/trouble.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "net/conn_set.h"
#include "os/clock.h"

const char *trouble_name(enum trouble_kind kind)
{
    static const char *const names[TROUBLE_KINDS] = {
        [TROUBLE_CONNECT] = "connect",     [TROUBLE_ACCEPT] = "accept",
        [TROUBLE_HANDSHAKE] = "handshake", [TROUBLE_PROTOCOL] = "protocol",
        [TROUBLE_TYPE] = "type",           [TROUBLE_AUTH] = "authentication",
        [TROUBLE_VIOLATION] = "violation", [TROUBLE_REFUSED] = "refused",
        [TROUBLE_LOST] = "lost",
    };
    return names[kind];
}

/* Its place, or that of the one which is longest past. */
static struct trouble *place_of(struct trouble *rows, enum trouble_kind kind, uint32_t code,
                                bool bound, const char *endpoint)
{
    struct trouble *oldest = &rows[0];
    for (unsigned i = 0; i < TROUBLES_MAX; i++) {
        struct trouble *t = &rows[i];
        if (t->count && t->kind == kind && t->code == code && t->bound == bound &&
            strcmp(t->endpoint, endpoint) == 0)
            return t;
        if (t->count ? oldest->count && t->last < oldest->last : oldest->count > 0)
            oldest = t;
    }
    memset(oldest, 0, sizeof(*oldest));
    oldest->kind = kind;
    oldest->code = code;
    oldest->bound = bound;
    snprintf(oldest->endpoint, sizeof(oldest->endpoint), "%s", endpoint);
    return oldest;
}

void trouble_note(struct conn_set *s, enum trouble_kind kind, uint32_t code, bool bound,
                  const char *endpoint, const char *remote)
{
    char name[sizeof(((struct trouble *)0)->endpoint)];
    if (!s->troubles && !(s->troubles = mem_zalloc(TROUBLES_MAX * sizeof(struct trouble))))
        return;
    snprintf(name, sizeof(name), "%s", endpoint ? endpoint : "");
    struct trouble *t = place_of(s->troubles, kind, code, bound, name);
    t->last = clock_unix();
    if (t->count == 0 || t->over) {
        t->since = t->last;
        t->count = 0;
        t->over = 0;
    }
    t->count++;
    t->total++;
    snprintf(t->remote, sizeof(t->remote), "%s", remote ? remote : "");
}

void trouble_over(struct conn_set *s, const char *endpoint, bool made)
{
    for (unsigned i = 0; s->troubles && i < TROUBLES_MAX; i++) {
        struct trouble *t = &s->troubles[i];
        if (t->count && !t->bound && !t->over && (!made || t->kind == TROUBLE_CONNECT) &&
            strncmp(t->endpoint, endpoint, sizeof(t->endpoint) - 1) == 0)
            t->over = clock_unix();
    }
}
