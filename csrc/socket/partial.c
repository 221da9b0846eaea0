/* SPDX-License-Identifier: MIT */
#include "socket/partial.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "os/thread.h"

/* Memory for so many parts is kept for the next message that is received part by part. */
#define SPARE_PARTS 64u

/* ---- receiving ---- */

void rx_init(struct rx_message *r)
{
    parts_init(&r->parts);
    r->next = 0;
    r->meta = NULL;
}

/* All its parts are elsewhere. */
static void rx_done(struct rx_message *r)
{
    r->parts.len = 0;
    r->next = 0;
    if (r->parts.cap > SPARE_PARTS) {
        parts_fini(&r->parts);
        parts_init(&r->parts);
    }
    meta_unref(r->meta);
    r->meta = NULL;
}

void rx_fini(struct rx_message *r)
{
    for (uint32_t i = r->next; i < r->parts.len; i++)
        msg_drop(&r->parts.v[i]);
    r->parts.len = 0;
    r->next = 0;
    parts_fini(&r->parts);
    parts_init(&r->parts);
    meta_unref(r->meta);
    r->meta = NULL;
}

bool rx_begin(struct rx_message *r, struct msg *out, struct meta *meta)
{
    *out = r->parts.v[0];
    if (r->parts.len == 1) {
        rx_done(r);
        return false;
    }
    r->next = 1;
    r->meta = meta;
    if (meta)
        meta_ref(meta);
    return true;
}

void rx_take(struct rx_message *r, struct msg *out, struct meta **meta)
{
    *out = r->parts.v[r->next++];
    if (meta) {
        *meta = r->meta;
        if (r->meta)
            meta_ref(r->meta);
    }
    if (r->next == r->parts.len)
        rx_done(r);
}

int rx_take_rest(struct rx_message *r, struct parts *out, struct meta **meta)
{
    uint32_t left = r->parts.len - r->next;
    if (out->cap - out->len < left) {
        int rc = parts_grow(out, left);
        if (rc)
            return rc;
    }
    memcpy(out->v + out->len, r->parts.v + r->next, left * sizeof(struct msg));
    out->len += left;
    if (meta) {
        *meta = r->meta;
        r->meta = NULL;
    }
    rx_done(r);
    return 0;
}

/* ---- sending ---- */

struct tx_message *tx_find(struct list *begun)
{
    if (list_empty(begun))
        return NULL;
    uintptr_t self = thread_self();
    LIST_FOR(n, begun)
    {
        struct tx_message *t = LIST_ENTRY(n, struct tx_message, node);
        if (t->thread == self)
            return t;
    }
    return NULL;
}

struct tx_message *tx_new(void)
{
    struct tx_message *t = mem_zalloc(sizeof(*t));
    if (!t)
        return NULL;
    t->thread = thread_self();
    parts_init(&t->parts);
    list_init(&t->node);
    return t;
}

void tx_free(struct tx_message *t)
{
    list_remove(&t->node);
    parts_fini(&t->parts);
    mem_free(t);
}

int tx_drop(struct list *begun, bool all, uint32_t *parts)
{
    int count = 0;
    if (parts)
        *parts = 0;
    LIST_FOR_SAFE(n, begun)
    {
        struct tx_message *t = LIST_ENTRY(n, struct tx_message, node);
        if (!all && t->thread != thread_self())
            continue;
        count++;
        if (parts)
            *parts += t->parts.len;
        tx_free(t);
    }
    return count;
}
