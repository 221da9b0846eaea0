/* SPDX-License-Identifier: MIT */
#include "pipe/misfits.h"

#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"

/* Drops the frames [from, to) of `in`, and returns their bytes. */
static uint64_t drop_frames(struct msgring *r, uint32_t from, uint32_t to)
{
    uint64_t bytes = 0;
    for (uint32_t i = from; i < to; i++) {
        struct msg *m = &r->v[(r->head + i) & (r->cap - 1)];
        bytes += msg_size(m);
        msg_drop(m);
    }
    return bytes;
}

uint32_t pipe_take_out_misfits(struct pipe *p, uint32_t before, uint64_t *bytes)
{
    struct msgring *r = &p->in;
    uint32_t frames = p->set->ops->frames;
    uint32_t kept = before * frames; /* these fit */
    uint32_t begin = kept, len = r->len, dropped = 0;
    for (uint32_t i = begin; i < len; i++) {
        bool more = r->v[(r->head + i) & (r->cap - 1)].flags & PART_MORE;
        uint32_t n = i + 1 - begin;
        if (more && i + 1 < len)
            continue;
        if (!p->rx_skip && (more ? n < frames : n == frames)) {
            for (uint32_t k = begin; kept != begin && k <= i; k++)
                r->v[(r->head + kept + k - begin) & (r->cap - 1)] =
                    r->v[(r->head + k) & (r->cap - 1)];
            kept += n;
        } else {
            *bytes += drop_frames(r, begin, i + 1);
            r->msgs -= !more;
            dropped += !p->rx_skip; /* counted when its beginning was dropped */
            p->rx_skip = more;
        }
        begin = i + 1;
    }
    r->len = kept;
    return dropped;
}
