/* SPDX-License-Identifier: MIT */
/*
 * REQ and REP: one request, one reply, in lockstep.
 *
 *   request on the wire   [id, 4 bytes: only with REQ_CORRELATE] [empty] body...
 *   what a REP sees       [any frames of routers in between] [that same envelope] body...
 *
 * Both look for their next message in events() too, as readiness must mean a message for the
 * program and not one that is then thrown away; what is found there waits for the next recv.
 */
#ifndef PATTERN_FOUND_H
#define PATTERN_FOUND_H

#include <string.h>

#include "msg/msg.h"
#include "pattern/route.h"
#include "pipe/pipe.h"
#include "pipe/pipe_set.h"

/* A message that events() found. */
struct found {
    struct parts parts; /* empty: none */
    struct pipe *from;  /* NULL: it is gone by now */
};

static inline void found_forget_pipe(struct found *f, struct pipe *p)
{
    if (f->from == p)
        f->from = NULL;
}

/* The program wants nothing more of a pipe that it disconnected. */
static inline void found_drop_unwanted(struct found *f, struct pipe_set *s, struct pipe *p)
{
    if (!p->unwanted || f->from != p)
        return;
    route_drop(s, p, &f->parts, DROP_GONE);
    f->from = NULL;
}

/* Hands it over; 0 or -ENOMEM. */
static inline int found_take(struct found *f, struct parts *out, struct pipe **from)
{
    if (out->cap - out->len < f->parts.len) {
        int rc = parts_grow(out, f->parts.len);
        if (rc)
            return rc;
    }
    memcpy(out->v + out->len, f->parts.v, f->parts.len * sizeof(*out->v));
    out->len += f->parts.len;
    *from = f->from;
    f->parts.len = 0;
    f->from = NULL;
    return 0;
}

#endif
