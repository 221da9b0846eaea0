/* SPDX-License-Identifier: MIT */
/*
 * What a pipe has yet to hand to the kernel: a queue of bytes, already framed as ZMTP 2/3 messages
 * (or unframed, for raw sockets). Small bodies are copied into blocks, large ones stay where they
 * are and are referenced. Encoding at once saves a queue of message structs on the way out, and
 * since the framing is the same for every ZMTP >= 2 peer, what is left after a lost connection goes
 * to the next one as it is.
 *
 * Blocks: a frame header and a copied body are never split between two blocks; a referenced body
 * follows the block whose last bytes are its header. So the queue can be walked frame by frame
 * without any index. A shared block is a window on a chunk that many queues share: what goes to
 * many peers is framed once, into an outlog, and each queue only remembers from where to where.
 *
 * This file appends; what leaves the queue is in wire/outq_drain.h.
 *
 * All calls are made under the socket's lock. outq_iov's result may be written to the kernel with
 * the lock released: appending never moves bytes already queued, and only outq_sent, outq_fini and
 * outq_drop_pending free them, which are not called meanwhile.
 */
#ifndef WIRE_OUTQ_H
#define WIRE_OUTQ_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "msg/msg.h"

#ifndef OUTQ_LARGE
#define OUTQ_LARGE MSG_LARGE /* bodies from this on: see outq_find_large */
#endif
#define OUTQ_COPY_MAX ((size_t)16 << 10) /* bodies up to this are copied, unless they are lent */

/* Lives at the start of a chunk's memory, with the bytes behind it; a shared one lives by itself.
 */
struct outblk {
    struct outblk *next;
    uint8_t *data;
    struct chunk *chunk; /* NULL: a block of its own, made for one frame */
    uint32_t begin, end;
    uint32_t limit; /* appending stops here: cap, or 0 once a referenced body follows */
    uint32_t cap;
    struct msg ref; /* the referenced body, when has_ref */
    size_t ref_sent;
    bool has_ref;
    bool counted; /* unframed queues: this block is one message */
    bool shared;  /* `data` is the chunk's, from its beginning: never written to */
};

/* Where messages for many queues are framed, one after the other. */
struct outlog {
    struct pool *pool;
    struct chunk *chunk; /* NULL: none yet */
    size_t end;
};

/* One message in an outlog's chunk; valid until the next outlog_put. */
struct outspan {
    struct chunk *chunk;
    uint32_t begin, end;
    uint32_t body; /* without framing */
};

struct outq {
    struct outblk *head;
    struct outblk *tail;
    struct pool *pool;
    size_t bytes;  /* queued and not yet accepted by the kernel */
    uint32_t msgs; /* whole messages not yet wholly accepted: what SNDHWM counts */
    uint64_t body; /* bytes of all their parts, without framing: what SNDHWM_BYTES counts */
    /* The first bytes of `head` continue a frame whose beginning was accepted already. */
    bool mid_frame;
    bool large; /* a body of OUTQ_LARGE or more was put since the queue was last empty */

    /* private */
    bool mid_msg;      /* parts of a message were accepted, and more of it follow */
    bool unframed;     /* the bytes are no frames: fixed by the first put */
    uint8_t cur_flags; /* mid_frame: the flags of that frame ... */
    size_t cur_body;   /* ... its bytes without the header */
    size_t cur_left;   /* ... and how much of it is left */
    uint64_t through;  /* parts of the message at the front that were accepted: still in `body` */
};

void outq_init(struct outq *q, struct pool *pool);
void outq_fini(struct outq *q);

/*
 * Appends one whole message. Consumes the parts: BORROWED bytes are copied (small) or owned
 * (large); all others are moved or dropped, lent ones moved. MORE is derived from the position. 0,
 * or -ENOMEM: nothing was appended and the parts stay the caller's.
 */
int outq_put(struct outq *q, struct msg *parts, uint32_t n);

int outq_put_copy_slow(struct outq *q, const void *data, size_t size);

/* Appends a single-part message by copy. The hot path of send(bytes). 0 or -ENOMEM. */
static inline int outq_put_copy(struct outq *q, const void *data, size_t size)
{
    struct outblk *b = q->tail;
    if (size > 255 || !b || b->end + size + 2 > b->limit)
        return outq_put_copy_slow(q, data, size);
    uint8_t *at = b->data + b->end;
    at[0] = 0;
    at[1] = (uint8_t)size;
    if (size)
        memcpy(at + 2, data, size);
    b->end += (uint32_t)size + 2;
    q->bytes += size + 2;
    q->body += size;
    q->msgs++;
    return 0;
}

void outlog_init(struct outlog *log, struct pool *pool);
void outlog_fini(struct outlog *log);
/* Frames one message of n parts; they stay the caller's. 0, or -ENOMEM. For messages of up to
 * OUTQ_COPY_MAX bytes: longer ones are better referenced than copied. */
int outlog_put(struct outlog *log, const struct msg *parts, uint32_t n, struct outspan *span);
/* Counts a message of `span` that was appended. */
static inline void outq_count_span(struct outq *q, const struct outspan *span)
{
    q->bytes += span->end - span->begin;
    q->body += span->body;
    q->msgs++;
}
/* Appends the message of `span`. 0 or -ENOMEM. */
int outq_put_span(struct outq *q, const struct outspan *span);
/* As outq_put_span where the queue ends with the message before it in the same outlog; else false,
 * and nothing is done. No other block than a shared one is in an outlog's chunk. */
static inline bool outq_extend_span(struct outq *q, const struct outspan *span)
{
    struct outblk *b = q->tail;
    if (!b || b->chunk != span->chunk || b->end != span->begin)
        return false;
    assert(b->shared);
    b->end = span->end;
    outq_count_span(q, span);
    return true;
}

/* As outq_put of one part whose body is `head` followed by `body`. 0 or -ENOMEM. */
int outq_put_pair(struct outq *q, const void *head, size_t head_len, const void *body,
                  size_t body_len);

/* Appends bytes without a frame (STREAM, ROUTER_RAW). Counts as one message. Consumes m on success.
 */
int outq_put_raw(struct outq *q, struct msg *m);

/* Appends a command frame (flag 04) whose body is `head` followed by `body`; not counted. 0 or
 * -ENOMEM. */
int outq_put_command(struct outq *q, const void *head, size_t head_len, const void *body,
                     size_t body_len);

/* Appends bytes that are no message of their own (unframed queues). 0, or -ENOMEM: nothing
 * appended. */
int outq_put_bytes(struct outq *q, const void *data, size_t size);
/* As outq_put_bytes, with a body that is referenced when it is large. Consumes m on success. */
int outq_put_bytes_msg(struct outq *q, const void *head, size_t head_len, struct msg *m);

/* Takes all that is queued out of q, so that something can be queued in front of it; outq_append
 * puts it back behind that. False, and nothing is done: q is empty, holds no frames, or a message
 * has been sent in part. */
bool outq_set_aside(struct outq *q, struct outq *later);
void outq_append(struct outq *q, struct outq *later);

/* Gives the memory kept for the next message back, if the queue is empty. For connections that went
 * idle. */
void outq_trim(struct outq *q);

/* Room for n bytes in one piece at the end, which outq_extend then makes part of the queue
 * (unframed). NULL: no memory. */
uint8_t *outq_room(struct outq *q, size_t n);
void outq_extend(struct outq *q, size_t n);

static inline bool outq_empty(const struct outq *q)
{
    return q->bytes == 0;
}

/* ---- for outq_drain.c ---- */

void outblk_free(struct outblk *b);
/* Nothing is queued any more. */
void outq_reset_counts(struct outq *q);

#endif
