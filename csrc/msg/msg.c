/* SPDX-License-Identifier: MIT */
#include "msg/msg.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"

static void (*object_ref)(void *object);
static void (*object_release)(void *object);

void msg_set_object_hooks(void (*ref)(void *object), void (*release)(void *object))
{
    object_ref = ref;
    object_release = release;
}

static void release_object(void *data, void *hint)
{
    (void)data;
    object_release(hint);
}

/* ---- blobs ---- */

struct blob *blob_resize(struct blob *b, size_t size)
{
    if (size > SIZE_MAX - sizeof(*b))
        return NULL;
    struct blob *n = mem_realloc(b, sizeof(*b) + size);
    if (!n)
        return NULL;
    atomic_init(&n->refs, 1);
    n->release = NULL; /* the bytes go with the struct */
    n->data = n + 1;
    n->hint = NULL;
    if (!b)
        n->pool = NULL;
    n->cap = size;
    n->exposed = NULL;
    atomic_init(&n->twin, NULL);
    return n;
}

struct blob *blob_pooled(struct pool *pool, size_t size)
{
    struct blob *b = pool_take_blob(pool, size);
    if (b) {
        atomic_init(&b->refs, 1);
        return b;
    }
    b = blob_resize(NULL, size);
    if (b) {
        b->pool = pool;
        pool_ref(pool);
    }
    return b;
}

static void blob_unref(struct blob *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct blob *twin = atomic_exchange_explicit(&b->twin, NULL, memory_order_relaxed);
    if (twin)
        blob_unref(twin);
    if (b->release)
        b->release(b->data, b->hint);
    if (b->pool)
        pool_keep_blob(b->pool, b);
    else
        mem_free(b);
}

static struct blob *blob_foreign(void *data, void (*release)(void *data, void *hint), void *hint)
{
    struct blob *b = mem_alloc(sizeof(*b));
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->release = release;
    b->data = data;
    b->hint = hint;
    b->pool = NULL;
    b->cap = 0;
    b->exposed = NULL;
    atomic_init(&b->twin, NULL);
    return b;
}

void msg_init_own_blob(struct msg *m, struct blob *b, size_t size)
{
    msg_init_borrowed(m, b->data, size, b);
    m->kind = MSG_BLOB;
}

/* ---- messages ---- */

int msg_init_copy(struct msg *m, const void *data, size_t size)
{
    if (size <= MSG_INLINE_MAX) {
        msg_init(m);
        if (size)
            memcpy(m->u.inl, data, size);
        m->inl_len = (uint8_t)size;
        return 0;
    }
    uint8_t *bytes;
    int rc = msg_init_blob(m, size, &bytes);
    if (rc)
        return rc;
    memcpy(bytes, data, size);
    return 0;
}

int msg_init_blob(struct msg *m, size_t size, uint8_t **data)
{
    struct blob *b = blob_resize(NULL, size);
    if (!b)
        return -ENOMEM;
    msg_init_own_blob(m, b, size);
    *data = b->data;
    return 0;
}

int msg_init_foreign(struct msg *m, void *data, size_t size,
                     void (*release)(void *data, void *hint), void *hint)
{
    struct blob *b = blob_foreign(data, release, hint);
    if (!b)
        return -ENOMEM;
    msg_init_own_blob(m, b, size);
    m->lent = size > 0 ? MSG_LENT : 0;
    return 0;
}

void msg_let_write(struct msg *m, bool *exposed)
{
    struct blob *b = m->u.x.owner;
    b->exposed = exposed;
}

/* The blob of a message that is all of it. */
static struct blob *whole_blob(const struct msg *m)
{
    struct blob *b = m->kind == MSG_BLOB ? m->u.x.owner : NULL;
    return b && m->u.x.data == b->data ? b : NULL;
}

bool msg_twin(const struct msg *m, struct msg *out)
{
    struct blob *b = whole_blob(m);
    struct blob *twin = b ? atomic_load_explicit(&b->twin, memory_order_acquire) : NULL;
    if (!twin || twin->cap != m->u.x.size)
        return false;
    atomic_fetch_add_explicit(&twin->refs, 1, memory_order_relaxed);
    msg_init_own_blob(out, twin, twin->cap);
    return true;
}

void msg_set_twin(const struct msg *m, const struct msg *copy)
{
    struct blob *b = whole_blob(m), *twin = copy->u.x.owner, *none = NULL;
    if (!b || atomic_load_explicit(&b->refs, memory_order_relaxed) == 1)
        return;
    twin->cap = copy->u.x.size;
    atomic_fetch_add_explicit(&twin->refs, 1, memory_order_relaxed);
    if (!atomic_compare_exchange_strong(&b->twin, &none, twin))
        atomic_fetch_sub_explicit(&twin->refs, 1, memory_order_relaxed); /* `copy` has the other */
}

/* Apart from the others, which it would make slower. */
__attribute__((noinline)) static void drop_grouped(struct msg *m)
{
    msg_leave_group(m);
    msg_drop(m);
}

void msg_drop_slow(struct msg *m)
{
    assert(m->kind > MSG_SLICE);
    /* One after the other costs less than a switch, which becomes a table of jumps. */
    if (m->kind == MSG_BLOB)
        blob_unref(m->u.x.owner);
    else if (m->kind == MSG_OBJECT)
        object_release(m->u.x.owner);
    else
        drop_grouped(m);
}

/* Makes m a copy of what it points to, keeping what is said about it; what it held stays held. */
static int replace_by_copy(struct msg *m)
{
    struct msg copy;
    int rc = msg_init_copy(&copy, m->u.x.data, m->u.x.size);
    if (rc)
        return rc;
    copy.flags = m->flags;
    copy.routing_id = m->routing_id;
    *m = copy;
    return 0;
}

int msg_own(struct msg *m)
{
    if (m->kind != MSG_BORROWED)
        return 0;
    if (m->u.x.owner && !(m->flags & PART_NOREF)) {
        object_ref(m->u.x.owner);
        m->kind = MSG_OBJECT;
        return 0;
    }
    int rc = replace_by_copy(m);
    if (rc)
        return rc;
    m->flags &= (uint8_t)~PART_NOREF;
    return 0;
}

/* ---- groups ---- */

struct grouped {
    struct msg body;
    uint8_t len;
    uint8_t name[GROUP_MAX]; /* only `len` of it are there */
};

static const struct grouped *grouped_of(const struct msg *m)
{
    return m->u.x.owner;
}

int msg_join_group(struct msg *m, const void *name, size_t len)
{
    assert(len <= GROUP_MAX);
    int rc = msg_own(m);
    if (rc)
        return rc;
    struct grouped *g = mem_alloc(offsetof(struct grouped, name) + len);
    if (!g)
        return -ENOMEM;
    g->len = (uint8_t)len;
    if (len)
        memcpy(g->name, name, len); /* before the old group goes: it may be that one's */
    msg_leave_group(m);
    g->body = *m;
    m->u.x.data = msg_data(&g->body);
    m->u.x.size = msg_size(&g->body);
    m->u.x.owner = g;
    m->kind = MSG_GROUPED;
    m->inl_len = 0;
    return 0;
}

const uint8_t *msg_group(const struct msg *m, size_t *len)
{
    *len = 0;
    if (m->kind != MSG_GROUPED)
        return NULL;
    const struct grouped *g = grouped_of(m);
    *len = g->len;
    return g->name;
}

void msg_leave_group(struct msg *m)
{
    if (m->kind != MSG_GROUPED)
        return;
    struct grouped *g = m->u.x.owner;
    g->body.flags = m->flags;
    g->body.routing_id = m->routing_id;
    *m = g->body;
    mem_free(g);
}

static int dup_grouped(struct msg *dst, struct msg *src)
{
    struct grouped *g = src->u.x.owner;
    int rc = msg_dup(dst, &g->body);
    if (rc)
        return rc;
    dst->flags = src->flags;
    dst->routing_id = src->routing_id;
    rc = msg_join_group(dst, g->name, g->len);
    if (rc)
        msg_drop(dst);
    return rc;
}

int msg_dup(struct msg *dst, struct msg *src)
{
    assert(src->kind != MSG_BORROWED);
    if (src->kind == MSG_GROUPED)
        return dup_grouped(dst, src);
    if (src->kind == MSG_OBJECT) {
        /* The host's own count may need the host's lock; a blob's never does. */
        struct blob *b =
            blob_foreign((void *)(uintptr_t)src->u.x.data, release_object, src->u.x.owner);
        if (!b)
            return -ENOMEM;
        src->u.x.owner = b;
        src->kind = MSG_BLOB;
    }
    if (src->kind == MSG_SLICE)
        chunk_ref(src->u.x.owner, 1);
    else if (src->kind == MSG_BLOB)
        atomic_fetch_add_explicit(&((struct blob *)src->u.x.owner)->refs, 1, memory_order_relaxed);
    *dst = *src;
    return 0;
}

static void release_blob(void *data, void *hint)
{
    (void)data;
    blob_unref(hint);
}

int msg_dup_apart(struct msg *dst, struct msg *src)
{
    int rc = msg_dup(dst, src);
    if (rc || dst->kind != MSG_BLOB)
        return rc;
    struct blob *b = blob_foreign((void *)(uintptr_t)dst->u.x.data, release_blob, dst->u.x.owner);
    if (!b) {
        msg_drop(dst);
        return -ENOMEM;
    }
    dst->u.x.owner = b;
    return 0;
}

static int detach_grouped(struct msg *m)
{
    struct grouped *g = m->u.x.owner;
    int rc = msg_detach(&g->body);
    m->u.x.data = msg_data(&g->body);
    return rc;
}

int msg_detach(struct msg *m)
{
    if (m->kind == MSG_GROUPED)
        return detach_grouped(m);
    if (m->kind != MSG_SLICE)
        return 0;
    struct chunk *c = m->u.x.owner;
    int rc = replace_by_copy(m);
    if (rc)
        return rc;
    chunk_unref(c, 1);
    return 0;
}

/* ---- parts ---- */

int parts_grow(struct parts *p, uint32_t extra)
{
    uint64_t need = (uint64_t)p->len + extra;
    if (need <= p->cap)
        return 0;
    uint64_t cap = (uint64_t)p->cap * 2;
    if (cap < need)
        cap = need;
    if (cap > UINT32_MAX)
        return -ENOMEM;
    struct msg *v = mem_realloc(p->v == p->few ? NULL : p->v, (size_t)cap * sizeof(*v));
    if (!v)
        return -ENOMEM;
    if (p->v == p->few)
        memcpy(v, p->few, p->len * sizeof(*v));
    p->v = v;
    p->cap = (uint32_t)cap;
    return 0;
}

void parts_clear(struct parts *p)
{
    struct msg *m = p->v;
    for (uint32_t left = p->len; left; left--)
        msg_drop(m++);
    p->len = 0;
}

void parts_fini(struct parts *p)
{
    parts_clear(p);
    if (p->v != p->few)
        mem_free(p->v);
    parts_init(p);
}

int parts_insert(struct parts *p, uint32_t at, const struct msg *m)
{
    assert(at <= p->len);
    int rc = parts_grow(p, 1);
    if (rc)
        return rc;
    memmove(p->v + at + 1, p->v + at, (p->len - at) * sizeof(*p->v));
    p->v[at] = *m;
    p->len++;
    return 0;
}

void parts_remove_front(struct parts *p, uint32_t n)
{
    assert(n <= p->len);
    for (uint32_t i = 0; i < n; i++)
        msg_drop(&p->v[i]);
    p->len -= n;
    memmove(p->v, p->v + n, p->len * sizeof(*p->v));
}
