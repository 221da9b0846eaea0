/* SPDX-License-Identifier: MIT */
/*
 * A naive model of an outq, for the test and the fuzz target. CHECK, CHECK_EQ and CHECK_MEM come
 * from whoever includes this.
 */
#ifndef OUTQ_MODEL_H
#define OUTQ_MODEL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/frame.h"
#include "wire/outq.h"
#include "wire/outq_drain.h"

/* The naive model: every frame with its bytes, and how many of the first one's are gone. */
struct model_frame {
    uint8_t *bytes;
    size_t len;
    size_t body;
    uint8_t flags;
};

static struct model {
    struct model_frame f[4096];
    size_t n;
    size_t gone; /* of f[0] */
    bool mid_msg;
    size_t through; /* bodies of the message at the front that are gone */
} model;

static void model_clear(void)
{
    for (size_t i = 0; i < model.n; i++)
        free(model.f[i].bytes);
    memset(&model, 0, sizeof(model));
}

static void model_add(uint8_t flags, const uint8_t *body, size_t len)
{
    struct model_frame *f = &model.f[model.n++];
    CHECK(model.n < 4096);
    f->bytes = malloc(len + FRAME_HEAD_MAX);
    f->flags = flags;
    f->body = len;
    f->len = 0;
    f->bytes[f->len++] = (uint8_t)(len > 255 ? flags | 2 : flags);
    if (len > 255) {
        put_be64(f->bytes + 1, len);
        f->len += 8;
    } else {
        f->bytes[f->len++] = (uint8_t)len;
    }
    if (len)
        memcpy(f->bytes + f->len, body, len);
    f->len += len;
}

static void model_remove(size_t at)
{
    free(model.f[at].bytes);
    memmove(model.f + at, model.f + at + 1, (model.n - at - 1) * sizeof(model.f[0]));
    model.n--;
}

static void model_pop(void)
{
    if (!(model.f[0].flags & FRAME_COMMAND)) {
        model.mid_msg = model.f[0].flags & FRAME_MORE;
        model.through = model.mid_msg ? model.through + model.f[0].body : 0;
    }
    model.gone = 0;
    model_remove(0);
}

static void model_sent(size_t n)
{
    while (n) {
        size_t left = model.f[0].len - model.gone;
        if (n < left) {
            model.gone += n;
            return;
        }
        n -= left;
        model_pop();
    }
}

static void model_rewind(void)
{
    if (model.gone)
        model_pop();
    while (model.mid_msg && model.n)
        model_pop();
    model.mid_msg = false;
    for (size_t i = 0; i < model.n;) {
        if (model.f[i].flags & FRAME_COMMAND)
            model_remove(i);
        else
            i++;
    }
}

static void model_drop_pending(size_t inflight)
{
    size_t pos = 0;
    bool in_msg = model.mid_msg, keep_msg = true;
    for (size_t i = 0; i < model.n;) {
        size_t len = model.f[i].len - (i == 0 ? model.gone : 0);
        bool begun = pos < inflight || (i == 0 && model.gone);
        bool keep = begun;
        uint8_t flags = model.f[i].flags;
        if (!(flags & FRAME_COMMAND)) {
            if (!in_msg)
                keep_msg = begun;
            keep = keep_msg;
            in_msg = flags & FRAME_MORE;
        }
        pos += len;
        if (keep) {
            i++;
        } else {
            /* Nothing before the first frame is partial, so its bytes can go. */
            model_remove(i);
        }
    }
}

static void model_compare(struct outq *q)
{
    struct iovec iov[1024];
    int n = outq_iov(q, iov, 1024);
    CHECK(n < 1024);
    size_t bytes = 0, msgs = 0, body = model.through;
    for (size_t i = 0; i < model.n; i++) {
        bytes += model.f[i].len;
        msgs += !(model.f[i].flags & (FRAME_MORE | FRAME_COMMAND));
        body += model.f[i].flags & FRAME_COMMAND ? 0 : model.f[i].body;
    }
    bytes -= model.gone;
    CHECK_EQ(q->bytes, bytes);
    CHECK_EQ(q->msgs, msgs);
    CHECK_EQ(q->body, body);
    CHECK_EQ(q->mid_frame, model.gone != 0);
    CHECK_EQ(outq_empty(q), bytes == 0);
    size_t f = 0, at = model.gone;
    for (int i = 0; i < n; i++) {
        const uint8_t *p = iov[i].iov_base;
        size_t len = iov[i].iov_len;
        CHECK(len > 0);
        while (len) {
            CHECK(f < model.n);
            size_t k = model.f[f].len - at;
            if (k > len)
                k = len;
            CHECK_MEM(p, model.f[f].bytes + at, k);
            p += k;
            len -= k;
            at += k;
            if (at == model.f[f].len) {
                f++;
                at = 0;
            }
        }
    }
    CHECK_EQ(f, model.n);
}

#endif
