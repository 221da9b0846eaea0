/* SPDX-License-Identifier: MIT */
#include "socket/partial.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "os/thread.h"

/* Memory for so many parts is kept for the next message that is received part by part. */
#define SPARE_PARTS 64u

/* ---- receiving ---- */

static void message_init(struct rx_message *m)
{
    list_init(&m->node);
    parts_init(&m->parts);
    m->next = 0;
    m->begun = false;
    m->number = RX_NEVER;
    m->meta = NULL;
}

static void message_fini(struct rx_message *m)
{
    for (uint32_t i = m->next; i < m->parts.len; i++)
        msg_drop(&m->parts.v[i]);
    m->parts.len = 0;
    parts_fini(&m->parts);
    meta_unref(m->meta);
}

/* Moves a message to memory of another; `from` is as new. */
static void message_move(struct rx_message *to, struct rx_message *from)
{
    to->next = from->next;
    to->begun = from->begun;
    to->number = from->number;
    to->meta = from->meta;
    to->parts = from->parts;
    if (from->parts.v == from->parts.few)
        to->parts.v = to->parts.few;
    message_init(from);
}

void rx_init(struct rx *r)
{
    message_init(&r->open);
    list_init(&r->waiting);
}

void rx_fini(struct rx *r)
{
    message_fini(&r->open);
    for (struct list *n; (n = list_pop_front(&r->waiting));) {
        struct rx_message *m = LIST_ENTRY(n, struct rx_message, node);
        message_fini(m);
        mem_free(m);
    }
    message_init(&r->open);
}

/* Empty again, with memory for the next message. */
static void spare_only(struct parts *p)
{
    p->len = 0;
    if (p->cap > SPARE_PARTS) {
        parts_fini(p);
        parts_init(p);
    }
}

/* All its parts are elsewhere: the next one that waits is open. */
static void rx_done(struct rx *r)
{
    struct rx_message *m = &r->open;
    struct list *n = list_pop_front(&r->waiting);
    m->next = 0;
    m->begun = false;
    m->number = RX_NEVER;
    meta_unref(m->meta);
    m->meta = NULL;
    spare_only(&m->parts);
    if (n) {
        struct rx_message *next = LIST_ENTRY(n, struct rx_message, node);
        parts_fini(&m->parts);
        message_move(m, next);
        mem_free(next);
    }
}

bool rx_begin(struct rx *r, struct msg *out, struct meta *meta)
{
    struct rx_message *m = &r->open;
    *out = m->parts.v[0];
    if (m->parts.len == 1) { /* it never was open, so nothing else of it was set, and none waits */
        spare_only(&m->parts);
        return false;
    }
    m->next = 1;
    m->begun = true;
    m->meta = meta;
    if (meta)
        meta_ref(meta);
    return true;
}

void rx_take(struct rx *r, struct msg *out, struct meta **meta)
{
    struct rx_message *m = &r->open;
    *out = m->parts.v[m->next++];
    m->begun = out->flags & PART_MORE;
    if (meta) {
        *meta = m->meta;
        if (m->meta)
            meta_ref(m->meta);
    }
    if (m->next == m->parts.len)
        rx_done(r);
}

/* How many parts of the message that is next lie in this piece; *more: it does not end there. */
static uint32_t piece_size(const struct rx_message *m, bool *more)
{
    uint32_t n = 0;
    do
        *more = m->parts.v[m->next + n++].flags & PART_MORE;
    while (*more && m->next + n < m->parts.len);
    return n;
}

/* How many parts of the message are left. One that came back part by part lies in several pieces,
 * of which those behind the first are begun. */
static uint32_t rest_size(const struct rx *r)
{
    bool more;
    uint32_t total = piece_size(&r->open, &more);
    LIST_FOR(n, &r->waiting)
    {
        const struct rx_message *m = LIST_ENTRY(n, struct rx_message, node);
        if (!more || !m->begun)
            break;
        total += piece_size(m, &more);
    }
    return total;
}

int rx_take_rest(struct rx *r, struct parts *out, struct meta **meta)
{
    uint32_t left = rest_size(r);
    if (out->cap - out->len < left) {
        int rc = parts_grow(out, left);
        if (rc)
            return rc;
    }
    if (meta) {
        *meta = r->open.meta;
        if (r->open.meta)
            meta_ref(r->open.meta);
    }
    while (left) {
        struct rx_message *m = &r->open;
        bool more;
        uint32_t n = piece_size(m, &more);
        memcpy(out->v + out->len, m->parts.v + m->next, n * sizeof(struct msg));
        out->len += n;
        left -= n;
        m->next += n;
        m->begun = false;
        if (m->next == m->parts.len)
            rx_done(r);
    }
    return 0;
}

void rx_receipt(const struct rx *r, struct fmq_receipt *receipt)
{
    receipt->begun = rx_in_message(r);
    receipt->number = RX_NEVER;
    if (rx_open(r) && r->open.number != RX_NEVER)
        receipt->number = r->open.number + r->open.next;
}

void rx_taken(struct rx *r, struct fmq_receipt *receipt, uint32_t count)
{
    if (receipt->number != RX_NEVER)
        return;
    receipt->number = r->taken + 1;
    r->taken += count;
}

/* Puts a message of the heap among those that wait. */
static void rx_insert(struct rx *r, struct rx_message *m)
{
    struct list *at = r->waiting.next;
    while (at != &r->waiting && LIST_ENTRY(at, struct rx_message, node)->number < m->number)
        at = at->next;
    list_insert_before(at, &m->node);
}

int rx_give_back(struct rx *r, struct fmq_receipt *receipt, struct parts *p)
{
    struct rx_message *m = mem_zalloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    message_init(m);
    struct rx_message *open = &r->open;
    bool first =
        !rx_open(r) || open->number == RX_NEVER || receipt->number < open->number + open->next;
    if (first && rx_open(r)) {
        /* The open one waits behind it. */
        if (open->number != RX_NEVER)
            open->number += open->next;
        uint32_t next = open->next;
        message_move(m, open);
        memmove(m->parts.v, m->parts.v + next, (m->parts.len - next) * sizeof(struct msg));
        m->parts.len -= next;
        m->next = 0;
        list_push_front(&r->waiting, &m->node);
        m = NULL;
    }
    struct rx_message *to = first ? open : m;
    parts_fini(&to->parts);
    to->parts = *p;
    if (p->v == p->few)
        to->parts.v = to->parts.few;
    parts_init(p);
    to->next = 0;
    to->begun = receipt->begun;
    to->number = receipt->number;
    to->meta = receipt->meta;
    receipt->meta = NULL;
    if (!first)
        rx_insert(r, m);
    else if (m)
        mem_free(m);
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
