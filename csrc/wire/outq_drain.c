/* SPDX-License-Identifier: MIT */
#include "wire/outq_drain.h"

#include <assert.h>
#include <string.h>

#include "wire/frame.h"

/* ---- blocks ---- */

/* Whether the block may stay for what comes next when all of it is sent. */
static bool block_keeps(const struct outblk *b)
{
    return b->chunk && !b->shared && !b->counted && !b->has_ref;
}

static bool block_done(const struct outblk *b)
{
    return b->begin == b->end && !b->has_ref;
}

static void block_reset(struct outblk *b)
{
    b->begin = b->end = 0;
    b->limit = b->cap;
}

/* Takes finished blocks off the front. The last one is kept for what comes next. */
static void drop_done_blocks(struct outq *q)
{
    while (q->head && block_done(q->head)) {
        struct outblk *b = q->head;
        if (!b->next) {
            if (block_keeps(b)) {
                block_reset(b);
                return;
            }
            q->tail = NULL;
        }
        q->head = b->next;
        outblk_free(b);
    }
}

/* ---- to the kernel ---- */

int outq_iov(struct outq *q, struct iovec *iov, int max)
{
    int n = 0;
    for (struct outblk *b = q->head; b && n < max; b = b->next) {
        if (b->begin < b->end) {
            iov[n].iov_base = b->data + b->begin;
            iov[n++].iov_len = b->end - b->begin;
        }
        if (b->has_ref && n < max) {
            iov[n].iov_base = (void *)(uintptr_t)(msg_data(&b->ref) + b->ref_sent);
            iov[n++].iov_len = msg_size(&b->ref) - b->ref_sent;
        }
    }
    return n;
}

/* Takes n bytes off the front block or, where it ends, of what follows; nothing is counted. */
static void advance(struct outq *q, size_t n)
{
    q->bytes -= n;
    while (n) {
        struct outblk *b = q->head;
        size_t in_block = b->end - b->begin;
        if (in_block > n)
            in_block = n;
        b->begin += (uint32_t)in_block;
        n -= in_block;
        if (n && b->has_ref) {
            size_t left = msg_size(&b->ref) - b->ref_sent;
            size_t in_ref = left < n ? left : n;
            b->ref_sent += in_ref;
            n -= in_ref;
            if (in_ref == left) {
                b->has_ref = false;
                msg_drop(&b->ref);
            }
        }
        if (b->counted && block_done(b)) {
            q->msgs--;
            q->body -= b->end + b->ref_sent; /* it is one or the other */
        }
        drop_done_blocks(q);
    }
}

/* The header of the frame that the front block begins with. */
static struct frame_head front_head(struct outq *q)
{
    struct outblk *b = q->head;
    struct frame_head h = {0, 0, 0};
    int rc = frame_parse_v2(b->data + b->begin, b->end - b->begin, &h);
    assert(rc == 1);
    (void)rc;
    return h;
}

/* A frame with these flags and so many bytes behind its header is through: keeps the counts. */
static void frame_through(struct outq *q, uint8_t flags, size_t size)
{
    if (flags & FRAME_COMMAND)
        return;
    q->through += size;
    q->mid_msg = flags & FRAME_MORE;
    if (!q->mid_msg) {
        q->msgs--;
        q->body -= q->through;
        q->through = 0;
    }
}

static void sent_all(struct outq *q)
{
    struct outblk *b = q->head;
    if (b && !b->next && block_keeps(b)) {
        block_reset(b);
    } else {
        /* Of several blocks the last is the one whose size suits the traffic. */
        while ((b = q->head)) {
            q->head = b->next;
            if (b == q->tail && block_keeps(b)) {
                block_reset(b);
                q->head = b;
                break;
            }
            if (b == q->tail)
                q->tail = NULL;
            outblk_free(b);
        }
    }
    outq_reset_counts(q);
}

/* Counts short frames that are wholly through, up to n bytes within the front block; returns their
 * bytes. */
static size_t count_short(struct outq *q, size_t n)
{
    struct outblk *b = q->head;
    const uint8_t *d = b->data + b->begin;
    size_t limit = b->end - b->begin;
    size_t at = 0;
    if (limit > n)
        limit = n;
    while (limit - at >= 2 && !(d[at] & (FRAME_LONG | FRAME_COMMAND))) {
        size_t total = 2 + (size_t)d[at + 1];
        if (total > limit - at)
            break;
        frame_through(q, d[at], total - 2);
        at += total;
    }
    return at;
}

void outq_sent(struct outq *q, size_t n)
{
    assert(n <= q->bytes);
    if (n == 0)
        return;
    if (n == q->bytes) {
        sent_all(q);
        return;
    }
    if (q->unframed) {
        advance(q, n);
        return;
    }
    while (n) {
        if (q->cur_left == 0) {
            size_t short_bytes = count_short(q, n);
            if (short_bytes) {
                advance(q, short_bytes);
                n -= short_bytes;
                continue;
            }
            struct frame_head h = front_head(q);
            q->cur_left = h.head + h.size;
            q->cur_body = h.size;
            q->cur_flags = h.flags;
        }
        size_t step = q->cur_left < n ? q->cur_left : n;
        advance(q, step);
        n -= step;
        q->cur_left -= step;
        if (q->cur_left == 0)
            frame_through(q, q->cur_flags, q->cur_body);
    }
    q->mid_frame = q->cur_left != 0;
}

/* ---- elsewhere ---- */

/*
 * Drops frames that begin at `keep` bytes from the front or later: messages, commands, or both. A
 * message that begins before is kept whole. Bytes before `keep` do not move.
 */
static void filter(struct outq *q, size_t keep, bool drop_msgs, bool drop_commands)
{
    size_t pos = 0;
    size_t lead = q->cur_left; /* of the frame whose beginning is gone already */
    bool in_msg = q->mid_frame && !(q->cur_flags & FRAME_COMMAND) ? (q->cur_flags & FRAME_MORE) != 0
                                                                  : q->mid_msg;
    bool keep_msg = true;
    struct outblk *prev = NULL;
    for (struct outblk *b = q->head, *next; b; b = next) {
        next = b->next;
        uint8_t *data = b->data;
        uint32_t r = b->begin;
        if (lead) {
            size_t in_block = b->end - b->begin;
            if (in_block > lead)
                in_block = lead;
            r += (uint32_t)in_block;
            pos += lead;
            lead = 0;
        }
        uint32_t w = r;
        while (r < b->end) {
            struct frame_head h = {0, 0, 0};
            int rc = frame_parse_v2(data + r, b->end - r, &h);
            assert(rc == 1);
            (void)rc;
            size_t total = h.head + h.size;
            size_t here = b->end - r;
            bool with_ref = total > here;
            if (!with_ref)
                here = total;
            bool kept;
            if (h.flags & FRAME_COMMAND) {
                kept = pos < keep || !drop_commands;
            } else {
                if (!in_msg)
                    keep_msg = pos < keep || !drop_msgs;
                kept = keep_msg;
                in_msg = h.flags & FRAME_MORE;
            }
            pos += total;
            if (kept) {
                if (w != r)
                    memmove(data + w, data + r, here);
                w += (uint32_t)here;
            } else {
                assert(!b->shared); /* holds no commands, and goes to no queue that conflates */
                q->bytes -= total;
                if (!(h.flags & FRAME_COMMAND))
                    q->body -= h.size;
                if (!(h.flags & (FRAME_COMMAND | FRAME_MORE)))
                    q->msgs--;
                if (with_ref) {
                    b->has_ref = false;
                    b->limit = b->cap;
                    msg_drop(&b->ref);
                }
            }
            r += (uint32_t)here;
        }
        b->end = w;
        if (block_done(b) && (prev || next)) {
            if (prev)
                prev->next = next;
            else
                q->head = next;
            if (!next)
                q->tail = prev;
            outblk_free(b);
        } else {
            prev = b;
        }
    }
    drop_done_blocks(q);
}

void outq_rewind(struct outq *q)
{
    if (q->unframed || q->bytes == 0)
        return;
    if (q->mid_frame) {
        size_t left = q->cur_left;
        q->cur_left = 0;
        q->mid_frame = false;
        frame_through(q, q->cur_flags, q->cur_body);
        advance(q, left);
    }
    while (q->mid_msg && q->bytes) {
        struct frame_head h = front_head(q);
        advance(q, h.head + h.size);
        frame_through(q, h.flags, h.size);
    }
    q->mid_msg = false;
    if (q->bytes)
        filter(q, 0, false, true);
}

void outq_drop_pending(struct outq *q, size_t inflight)
{
    if (q->unframed || q->bytes == 0)
        return;
    filter(q, inflight, true, true);
}

void outq_walk_begin(const struct outq *q, struct outq_walk *w)
{
    assert(!q->mid_frame && !q->unframed);
    w->block = q->bytes ? q->head : NULL;
    w->at = w->block ? w->block->begin : 0;
}

bool outq_walk_next(struct outq_walk *w, struct outq_frame *f)
{
    while (w->block && w->at == w->block->end) {
        w->block = w->block->next;
        w->at = w->block ? w->block->begin : 0;
    }
    const struct outblk *b = w->block;
    if (!b)
        return false;
    struct frame_head h = {0, 0, 0};
    int rc = frame_parse_v2(b->data + w->at, b->end - w->at, &h);
    assert(rc == 1);
    (void)rc;
    f->flags = h.flags & (FRAME_MORE | FRAME_COMMAND);
    f->size = h.size;
    f->total = h.head + h.size;
    if (f->total > b->end - w->at) { /* its body is the one referenced */
        f->data = msg_data(&b->ref);
        w->at = b->end;
    } else {
        f->data = b->data + w->at + h.head;
        w->at += (uint32_t)f->total;
    }
    return true;
}

/* So many blocks are looked at: more than one write takes. */
#define NEAR 64
#define LONG_HEAD 9 /* bytes of the header of a long frame */

size_t outq_find_large(const struct outq *q, const struct msg **body)
{
    size_t at = 0;
    int looked = 0;
    if (q->unframed)
        return SIZE_MAX;
    for (const struct outblk *b = q->head; b && looked < NEAR; b = b->next, looked++) {
        at += b->end - b->begin;
        if (!b->has_ref)
            continue;
        size_t size = msg_size(&b->ref);
        bool whole = b->ref_sent == 0 && b->end - b->begin >= LONG_HEAD;
        if (size >= OUTQ_LARGE && whole && !(b->data[b->end - LONG_HEAD] & FRAME_COMMAND)) {
            *body = &b->ref;
            return at - LONG_HEAD;
        }
        at += size - b->ref_sent;
    }
    return SIZE_MAX;
}

bool outq_front(struct outq *q, uint8_t *flags, const uint8_t **data, size_t *size)
{
    if (q->bytes == 0)
        return false;
    assert(!q->mid_frame && !q->unframed);
    struct frame_head h = front_head(q);
    struct outblk *b = q->head;
    bool referenced = h.head + h.size > b->end - b->begin;
    *flags = h.flags & (FRAME_MORE | FRAME_COMMAND);
    *data = referenced ? msg_data(&b->ref) : b->data + b->begin + h.head;
    *size = h.size;
    return true;
}

void outq_pop(struct outq *q)
{
    struct frame_head h = front_head(q);
    advance(q, h.head + h.size);
    frame_through(q, h.flags, h.size);
}

int outq_take(struct outq *q, struct msg *out)
{
    if (q->bytes == 0)
        return 0;
    assert(!q->mid_frame && !q->unframed);
    struct frame_head h = front_head(q);
    struct outblk *b = q->head;
    if (h.head + h.size > b->end - b->begin) {
        *out = b->ref;
        b->has_ref = false;
        b->begin = b->end;
        q->bytes -= h.head + h.size;
        drop_done_blocks(q);
    } else {
        int rc = msg_init_copy(out, b->data + b->begin + h.head, h.size);
        if (rc)
            return rc;
        advance(q, h.head + h.size);
    }
    out->flags = h.flags & (PART_MORE | PART_COMMAND);
    frame_through(q, h.flags, h.size);
    return 1;
}
