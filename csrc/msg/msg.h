/* SPDX-License-Identifier: MIT */
/*
 * One frame of a message: 32 bytes, moved by plain copy. Where its bytes are is its kind:
 *
 *   INLINE    in the struct itself, up to MSG_INLINE_MAX bytes
 *   SLICE     in a receive chunk, holding one reference on it
 *   BLOB      in memory of its own or of a foreign owner, refcounted, with a release callback
 *   OBJECT    in an object of the host language; the msg owns one reference, dropped through
 *             the hook set with msg_set_object_hooks
 *   BORROWED  in the caller's memory, valid for the current call only: msg_own before storing
 *   GROUPED   in another message, which has a group beside it (RADIO, DISH); see msg_join_group
 *
 * A struct msg that was moved from must be treated as uninitialised (or msg_init again).
 */
#ifndef MSG_MSG_H
#define MSG_MSG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "msg/pool.h"

#define MSG_INLINE_MAX 24

/* The first two hold nothing that has to be released. */
enum msg_kind { MSG_INLINE, MSG_BORROWED, MSG_SLICE, MSG_BLOB, MSG_OBJECT, MSG_GROUPED };

#define PART_MORE 1u    /* further parts of the same message follow */
#define PART_COMMAND 4u /* same bit as on the wire; never on messages that patterns see */
#define PART_NOREF 8u   /* BORROWED: the object hook must not be used (no host lock is held) */

struct msg {
    union {
        uint8_t inl[MSG_INLINE_MAX];
        struct {
            const uint8_t *data;
            size_t size;
            void *owner; /* SLICE: struct chunk, BLOB: struct blob, OBJECT/BORROWED: the object,
                          * GROUPED: struct grouped */
        } x;
    } u;
    uint32_t routing_id; /* SERVER, PEER: the peer it came from or goes to; 0 otherwise */
    uint8_t kind;
    uint8_t flags;
    uint8_t inl_len;
    uint8_t lent; /* MSG_LENT, MSG_WATCHED; 0: neither */
};

/* Somebody waits for the bytes to be given back: they are not copied instead. */
#define MSG_LENT 1u
/* ... and is to learn of it at once. */
#define MSG_WATCHED 2u

/*
 * `ref` takes another reference on a host object (only ever called in a call whose BORROWED message
 * lacks PART_NOREF, thus with the host's lock held); `release` drops one and may run on any thread.
 */
void msg_set_object_hooks(void (*ref)(void *object), void (*release)(void *object));

static inline void msg_init(struct msg *m)
{
    m->routing_id = 0;
    m->kind = MSG_INLINE;
    m->flags = 0;
    m->inl_len = 0;
    m->lent = 0;
}

static inline const uint8_t *msg_data(const struct msg *m)
{
    return m->kind == MSG_INLINE ? m->u.inl : m->u.x.data;
}

static inline size_t msg_size(const struct msg *m)
{
    return m->kind == MSG_INLINE ? m->inl_len : m->u.x.size;
}

/* Whether a buffer of it that the program gets may be written to: the bytes belong to this message
 * alone, so that changing them changes nothing else. Only for a message whose bytes are not in a
 * chunk. */
static inline bool msg_expose(struct msg *m)
{
    if (m->kind == MSG_INLINE)
        return true;
    if (m->kind != MSG_BLOB)
        return false;
    struct blob *b = m->u.x.owner;
    if (atomic_load_explicit(&b->refs, memory_order_acquire) != 1)
        return false;
    if (!b->release)
        return true;
    if (!b->exposed)
        return false;
    *b->exposed = true;
    return true;
}

/* Whether its bytes are those of the text. */
static inline bool msg_is_text(const struct msg *m, const char *text)
{
    size_t len = strlen(text);
    return msg_size(m) == len && memcmp(msg_data(m), text, len) == 0;
}

static inline void msg_init_borrowed(struct msg *m, const void *data, size_t size, void *object)
{
    m->u.x.data = data;
    m->u.x.size = size;
    m->u.x.owner = object;
    m->routing_id = 0;
    m->kind = MSG_BORROWED;
    m->flags = 0;
    m->inl_len = 0;
    m->lent = 0;
}

/* Takes over one chunk reference of the caller. */
static inline void msg_init_slice(struct msg *m, struct chunk *c, const uint8_t *data, size_t size)
{
    m->u.x.data = data;
    m->u.x.size = size;
    m->u.x.owner = c;
    m->routing_id = 0;
    m->kind = MSG_SLICE;
    m->flags = 0;
    m->inl_len = 0;
    m->lent = 0;
}

/* Takes over one reference of the object. */
static inline void msg_init_object(struct msg *m, const void *data, size_t size, void *object)
{
    msg_init_borrowed(m, data, size, object);
    m->kind = MSG_OBJECT;
}

/* Copies the bytes: inline when they fit, a blob otherwise. 0 or -ENOMEM. */
int msg_init_copy(struct msg *m, const void *data, size_t size);
/* A blob of `size` writable bytes (through *data). 0 or -ENOMEM. */
int msg_init_blob(struct msg *m, size_t size, uint8_t **data);
/* Foreign memory; release(data, hint) runs when the last reference goes. 0, or -ENOMEM (then
 * release is not called and the memory stays the caller's). */
int msg_init_foreign(struct msg *m, void *data, size_t size,
                     void (*release)(void *data, void *hint), void *hint);

/* The program may write to the foreign memory of this new message; *exposed is set when it gets a
 * buffer with which it could, and may be read by `release`. */
void msg_let_write(struct msg *m, bool *exposed);
/* Who has lent the memory of this new message is to learn at once when it is given back. */
static inline void msg_watch(struct msg *m)
{
    if (m->lent)
        m->lent = MSG_WATCHED;
}
static inline bool msg_is_watched(const struct msg *m)
{
    return m->lent == MSG_WATCHED;
}

#define MSG_LARGE ((size_t)256 << 10) /* bodies from this on may have a twin */

/*
 * A message that several queues hold may have a twin: a copy of its bytes elsewhere, of which there
 * is one however many need it. It lasts as long as the message's own memory. Any thread.
 */
/* `out` becomes a reference to the twin. False: there is none. */
bool msg_twin(const struct msg *m, struct msg *out);
/* `copy`, a BLOB with the same bytes, becomes its twin if several hold `m` and it has none. */
void msg_set_twin(const struct msg *m, const struct msg *copy);

/* Memory that becomes a message once it is full: a sole blob whose `size` bytes lie at ->data. NULL
 * makes a new one; NULL is returned when out of memory (b stays valid). */
struct blob *blob_resize(struct blob *b, size_t size);
/* The same for `size` bytes from the pool's spare ones, whose pages are warm already: large bodies
 * that come one after the other are otherwise paid for in page faults. */
struct blob *blob_pooled(struct pool *pool, size_t size);
/* Takes over the reference; `size` bytes are valid. */
void msg_init_own_blob(struct msg *m, struct blob *b, size_t size);

/* For the kinds after SLICE; only msg_drop calls it. */
void msg_drop_slow(struct msg *m);

/* Ends the message's hold on its memory. Harmless on INLINE and BORROWED. */
static inline void msg_drop(struct msg *m)
{
    if (m->kind == MSG_SLICE)
        chunk_unref(m->u.x.owner, 1);
    else if (m->kind > MSG_SLICE) /* the same comparison */
        msg_drop_slow(m);
}

/* Makes a message storable: BORROWED becomes OBJECT, INLINE or BLOB; others stay. 0 or -ENOMEM
 * (unchanged). */
int msg_own(struct msg *m);

/* `dst` becomes another reference to the same bytes. Turns OBJECT into BLOB first, hence non-const.
 * `src` must not be BORROWED. 0 or -ENOMEM (dst unset). */
int msg_dup(struct msg *dst, struct msg *src);
/* The same for a message that is sent while others keep the memory: it has no twin of an earlier
 * one (msg_set_twin), which may be older than the bytes. */
int msg_dup_apart(struct msg *dst, struct msg *src);

/* Copies a SLICE out of its chunk, so that it does not keep a large chunk alive. 0 or -ENOMEM
 * (unchanged). */
int msg_detach(struct msg *m);

/* ---- groups (RADIO, DISH) ---- */

/* A group's name has at most so many bytes; any bytes. */
#define GROUP_MAX 255

/* Puts the message into a group: it becomes GROUPED, and is otherwise as before; a group that it
 * had goes. 0 or -ENOMEM (unchanged, but for what msg_own does). */
int msg_join_group(struct msg *m, const void *name, size_t len);
/* The group's name and *len; NULL and 0: it has none. Valid as long as the message is GROUPED. */
const uint8_t *msg_group(const struct msg *m, size_t *len);
/* Takes the message out of its group again: `m` is what msg_join_group was given, the name is lost.
 * Harmless on messages without one. */
void msg_leave_group(struct msg *m);

/* ---- vectors of parts: a whole message, or several with MORE telling their ends ---- */

#define PARTS_INLINE 6

struct parts {
    struct msg *v;
    uint32_t len;
    uint32_t cap;
    struct msg few[PARTS_INLINE];
};

static inline void parts_init(struct parts *p)
{
    p->v = p->few;
    p->len = 0;
    p->cap = PARTS_INLINE;
}

/* The bytes of n parts. */
static inline uint64_t parts_size(const struct msg *v, uint32_t n)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += msg_size(&v[i]);
    return size;
}

int parts_grow(struct parts *p, uint32_t extra); /* room for `extra` more: 0 or -ENOMEM */
void parts_clear(struct parts *p);               /* drops the messages, keeps the memory */
void parts_fini(struct parts *p);                /* drops the messages and frees */
int parts_insert(struct parts *p, uint32_t at, const struct msg *m); /* moves m in */
void parts_remove_front(struct parts *p, uint32_t n);                /* drops the first n */

/* Moves m in; 0 or -ENOMEM (m stays the caller's). */
static inline int parts_push(struct parts *p, const struct msg *m)
{
    if (p->len == p->cap) {
        int rc = parts_grow(p, 1);
        if (rc)
            return rc;
    }
    p->v[p->len++] = *m;
    return 0;
}

#endif
