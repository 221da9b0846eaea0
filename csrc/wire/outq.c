/* SPDX-License-Identifier: MIT */
#include "wire/outq.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/frame.h"

/* Queued bytes from which on the next block is a medium, or a large one. */
#define GROW_MEDIUM ((size_t)2 << 10)
#define GROW_LARGE ((size_t)128 << 10)

void outq_init(struct outq *q, struct pool *pool)
{
    memset(q, 0, sizeof(*q));
    q->pool = pool;
}

/* ---- blocks ---- */

static void block_init(struct outblk *b, struct chunk *c, size_t cap)
{
    b->next = NULL;
    b->data = (uint8_t *)(b + 1);
    b->chunk = c;
    b->begin = b->end = 0;
    b->limit = b->cap = (uint32_t)cap;
    b->ref_sent = 0;
    b->has_ref = false;
    b->counted = false;
    b->shared = false;
}

void outblk_free(struct outblk *b)
{
    if (b->has_ref)
        msg_drop(&b->ref);
    bool apart = b->shared || !b->chunk;
    if (b->chunk)
        chunk_unref(b->chunk, 1); /* and with it a block that lies in it */
    if (apart)
        mem_free(b);
}

static void block_append(struct outq *q, struct outblk *b)
{
    if (q->tail)
        q->tail->next = b;
    else
        q->head = b;
    q->tail = b;
}

/* Appends a block with room for `need` bytes. */
static struct outblk *block_add(struct outq *q, size_t need)
{
    size_t want = CHUNK_SMALL;
    if (q->bytes >= GROW_LARGE)
        want = CHUNK_LARGE;
    else if (q->bytes >= GROW_MEDIUM)
        want = CHUNK_MEDIUM;
    if (want < need + sizeof(struct outblk))
        want = need + sizeof(struct outblk);
    struct chunk *c = chunk_get(q->pool, want);
    if (!c)
        return NULL;
    struct outblk *b = (struct outblk *)c->data;
    block_init(b, c, c->cap - sizeof(*b));
    block_append(q, b);
    return b;
}

/* Appends a block of exactly `need` bytes. */
static struct outblk *block_add_exact(struct outq *q, size_t need)
{
    struct outblk *b = mem_alloc(sizeof(*b) + need);
    if (!b)
        return NULL;
    block_init(b, NULL, need);
    block_append(q, b);
    return b;
}

/* The tail if it has room for `need` more bytes, a new block otherwise. */
static struct outblk *block_for(struct outq *q, size_t need)
{
    struct outblk *b = q->tail;
    if (b && b->limit >= b->end && b->limit - b->end >= need)
        return b;
    /* A kept empty block that is too small would only be in the way. */
    if (b && q->bytes == 0) {
        q->head = q->tail = NULL;
        outblk_free(b);
    }
    return block_add(q, need);
}

void outq_reset_counts(struct outq *q)
{
    q->bytes = 0;
    q->msgs = 0;
    q->body = q->through = 0;
    q->mid_frame = false;
    q->mid_msg = false;
    q->cur_left = 0;
    q->large = false;
}

void outq_fini(struct outq *q)
{
    while (q->head) {
        struct outblk *b = q->head;
        q->head = b->next;
        outblk_free(b);
    }
    q->tail = NULL;
    outq_reset_counts(q);
}

void outq_trim(struct outq *q)
{
    if (q->bytes)
        return;
    while (q->head) {
        struct outblk *b = q->head;
        q->head = b->next;
        outblk_free(b);
    }
    q->tail = NULL;
}

bool outq_set_aside(struct outq *q, struct outq *later)
{
    if (q->unframed || q->mid_frame || q->mid_msg || outq_empty(q))
        return false;
    *later = *q;
    outq_init(q, later->pool);
    return true;
}

void outq_append(struct outq *q, struct outq *later)
{
    if (outq_empty(q)) {
        outq_fini(q);
        *q = *later;
        return;
    }
    q->tail->next = later->head;
    q->tail = later->tail;
    q->bytes += later->bytes;
    q->body += later->body;
    q->msgs += later->msgs;
    q->large |= later->large;
}

/* ---- appending ---- */

/* Where the queue ended, to take back what was appended since. */
struct mark {
    struct outblk *tail;
    uint32_t end;
    size_t bytes;
};

static struct mark mark_now(const struct outq *q)
{
    struct mark k = {q->tail, q->tail ? q->tail->end : 0, q->bytes};
    return k;
}

/* Referenced bodies are not dropped: they go back to being the caller's. */
static void undo(struct outq *q, const struct mark *k)
{
    /* An empty queue's kept block may have been replaced, so k->tail says nothing then. */
    bool was_empty = k->bytes == 0;
    struct outblk *b = was_empty ? q->head : k->tail->next;
    while (b) {
        struct outblk *next = b->next;
        b->has_ref = false;
        outblk_free(b);
        b = next;
    }
    q->bytes = k->bytes;
    if (was_empty) {
        q->head = q->tail = NULL;
        return;
    }
    q->tail = k->tail;
    k->tail->next = NULL;
    if (k->tail->end != k->end) {
        /* Something was appended to it, so it had no referenced body before. */
        k->tail->end = k->end;
        k->tail->has_ref = false;
        k->tail->limit = k->tail->cap;
    }
}

static void set_ref(struct outblk *b, const struct msg *m)
{
    b->ref = *m;
    b->ref_sent = 0;
    b->has_ref = true;
    b->limit = 0;
}

/* A block that ends in `head` and is followed by a referenced body. */
static int append_ref(struct outq *q, const uint8_t *head, size_t head_len, const struct msg *m)
{
    struct outblk *b = q->tail;
    if (!b || b->limit < b->end || b->limit - b->end < head_len) {
        b = block_add_exact(q, head_len);
        if (!b)
            return -ENOMEM;
    }
    memcpy(b->data + b->end, head, head_len);
    b->end += (uint32_t)head_len;
    set_ref(b, m);
    q->bytes += head_len + msg_size(m);
    q->large |= msg_size(m) >= OUTQ_LARGE;
    return 0;
}

static inline int append_copy(struct outq *q, uint8_t flags, const void *head, size_t head_len,
                              const void *body, size_t body_len)
{
    struct outblk *b = block_for(q, FRAME_HEAD_MAX + head_len + body_len);
    if (!b)
        return -ENOMEM;
    uint8_t *at = b->data + b->end;
    size_t n = frame_build_v2(at, flags, head_len + body_len);
    if (head_len)
        memcpy(at + n, head, head_len);
    if (body_len)
        memcpy(at + n + head_len, body, body_len);
    n += head_len + body_len;
    b->end += (uint32_t)n;
    q->bytes += n;
    return 0;
}

int outq_put_copy_slow(struct outq *q, const void *data, size_t size)
{
    if (size > OUTQ_COPY_MAX) {
        struct msg m;
        msg_init_borrowed(&m, data, size, NULL);
        return outq_put(q, &m, 1);
    }
    int rc = append_copy(q, 0, NULL, 0, data, size);
    if (rc == 0) {
        q->body += size;
        q->msgs++;
    }
    return rc;
}

/* Whether a body is copied. One that is lent is not, however small. */
static inline bool copies(const struct msg *m, size_t size)
{
    return size <= OUTQ_COPY_MAX && !m->lent;
}

int outq_put(struct outq *q, struct msg *parts, uint32_t n)
{
    if (n == 0)
        return 0;
    struct mark k = mark_now(q);
    uint64_t body = 0;
    uint32_t kept = 0;
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        uint8_t flags = i + 1 < n ? FRAME_MORE : 0;
        size_t size = msg_size(&parts[i]);
        body += size;
        if (copies(&parts[i], size)) {
            rc = append_copy(q, flags, NULL, 0, msg_data(&parts[i]), size);
        } else {
            uint8_t head[FRAME_HEAD_MAX];
            size_t head_len = frame_build_v2(head, flags, size);
            rc = msg_own(&parts[i]);
            if (rc == 0)
                rc = append_ref(q, head, head_len, &parts[i]);
            kept++;
        }
    }
    if (rc) {
        undo(q, &k);
        return rc;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || copies(&parts[i], msg_size(&parts[i])))
            msg_drop(&parts[i]);
    }
    q->body += body;
    q->msgs++;
    return 0;
}

/* ---- for many queues ---- */

void outlog_init(struct outlog *log, struct pool *pool)
{
    *log = (struct outlog){.pool = pool};
}

void outlog_fini(struct outlog *log)
{
    if (log->chunk)
        chunk_unref(log->chunk, 1);
    log->chunk = NULL;
}

int outlog_put(struct outlog *log, const struct msg *parts, uint32_t n, struct outspan *span)
{
    size_t need = 0;
    for (uint32_t i = 0; i < n; i++)
        need += FRAME_HEAD_MAX + msg_size(&parts[i]);
    if (!log->chunk || log->chunk->cap - log->end < need) {
        struct chunk *c = chunk_get(log->pool, need > CHUNK_MEDIUM ? need : CHUNK_MEDIUM);
        if (!c)
            return -ENOMEM;
        outlog_fini(log);
        log->chunk = c;
        log->end = 0;
    }
    span->chunk = log->chunk;
    span->begin = (uint32_t)log->end;
    span->body = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = log->chunk->data + log->end;
        size_t size = msg_size(&parts[i]);
        size_t head = frame_build_v2(at, i + 1 < n ? FRAME_MORE : 0, size);
        if (size)
            memcpy(at + head, msg_data(&parts[i]), size);
        log->end += head + size;
        span->body += (uint32_t)size;
    }
    span->end = (uint32_t)log->end;
    return 0;
}

int outq_put_span(struct outq *q, const struct outspan *span)
{
    if (outq_extend_span(q, span))
        return 0;
    outq_trim(q);
    struct outblk *b = mem_alloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    block_init(b, span->chunk, 0);
    b->shared = true;
    b->data = span->chunk->data;
    b->begin = span->begin;
    b->end = span->end;
    chunk_ref(span->chunk, 1);
    block_append(q, b);
    outq_count_span(q, span);
    return 0;
}

static int put_pair(struct outq *q, uint8_t flags, const void *head, size_t head_len,
                    const void *body, size_t body_len)
{
    if (head_len + body_len <= OUTQ_COPY_MAX)
        return append_copy(q, flags, head, head_len, body, body_len);
    struct msg m;
    uint8_t *bytes;
    int rc = msg_init_blob(&m, head_len + body_len, &bytes);
    if (rc)
        return rc;
    memcpy(bytes, head, head_len);
    memcpy(bytes + head_len, body, body_len);
    uint8_t frame[FRAME_HEAD_MAX];
    rc = append_ref(q, frame, frame_build_v2(frame, flags, head_len + body_len), &m);
    if (rc)
        msg_drop(&m);
    return rc;
}

int outq_put_pair(struct outq *q, const void *head, size_t head_len, const void *body,
                  size_t body_len)
{
    int rc = put_pair(q, 0, head, head_len, body, body_len);
    if (rc == 0) {
        q->body += head_len + body_len;
        q->msgs++;
    }
    return rc;
}

int outq_put_command(struct outq *q, const void *head, size_t head_len, const void *body,
                     size_t body_len)
{
    return put_pair(q, FRAME_COMMAND, head, head_len, body, body_len);
}

/* ---- unframed queues ---- */

int outq_put_raw(struct outq *q, struct msg *m)
{
    q->unframed = true;
    size_t size = msg_size(m);
    if (size == 0) {
        msg_drop(m);
        return 0;
    }
    /* A kept empty block could not carry the count of one message. */
    outq_trim(q);
    bool copy = copies(m, size);
    int rc = copy ? 0 : msg_own(m);
    if (rc)
        return rc;
    struct outblk *b = block_add_exact(q, copy ? size : 0);
    if (!b)
        return -ENOMEM;
    b->counted = true;
    b->limit = 0;
    if (copy) {
        memcpy(b->data, msg_data(m), size);
        b->end = (uint32_t)size;
        msg_drop(m);
    } else {
        set_ref(b, m);
    }
    q->bytes += size;
    q->body += size;
    q->msgs++;
    return 0;
}

int outq_put_bytes(struct outq *q, const void *data, size_t size)
{
    q->unframed = true;
    const uint8_t *from = data;
    struct mark k = mark_now(q);
    while (size) {
        struct outblk *b = block_for(q, 1);
        if (!b) {
            undo(q, &k);
            return -ENOMEM;
        }
        size_t n = b->limit - b->end;
        if (n > size)
            n = size;
        memcpy(b->data + b->end, from, n);
        b->end += (uint32_t)n;
        q->bytes += n;
        from += n;
        size -= n;
    }
    return 0;
}

int outq_put_bytes_msg(struct outq *q, const void *head, size_t head_len, struct msg *m)
{
    q->unframed = true;
    size_t size = msg_size(m);
    if (size > OUTQ_COPY_MAX) {
        int rc = msg_own(m);
        return rc ? rc : append_ref(q, head, head_len, m);
    }
    struct outblk *b = block_for(q, head_len + size);
    if (!b)
        return -ENOMEM;
    memcpy(b->data + b->end, head, head_len);
    if (size)
        memcpy(b->data + b->end + head_len, msg_data(m), size);
    b->end += (uint32_t)(head_len + size);
    q->bytes += head_len + size;
    msg_drop(m);
    return 0;
}

uint8_t *outq_room(struct outq *q, size_t n)
{
    q->unframed = true;
    struct outblk *b = block_for(q, n);
    return b ? b->data + b->end : NULL;
}

void outq_extend(struct outq *q, size_t n)
{
    q->tail->end += (uint32_t)n;
    q->bytes += n;
}
