/* SPDX-License-Identifier: MIT */
/* The peer's way out, and its timers. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/peer_impl.h"

/* ZMTP 1.0: this much is encoded ahead of the kernel; what is, cannot be taken back after a loss.
 */
#define V1_AHEAD ((size_t)16 << 10)
/* The same for sealed traffic: enough for a system call worth making. */
#define SEAL_AHEAD ((size_t)64 << 10)
/* PINGs that may wait in the queue when the peer does not read. */
#define PINGS_QUEUED_MAX 2

int peer_put_own_command(struct peer *p, const void *body, size_t len)
{
    uint8_t head[FRAME_HEAD_MAX];
    struct msg m;
    msg_init_borrowed(&m, body, len, NULL);
    return outq_put_bytes_msg(&p->own, head, frame_build_v2(head, FRAME_COMMAND, len), &m);
}

void peer_put_error(struct peer *p, const char *reason)
{
    struct command_buf b;
    size_t len = strlen(reason);
    if (!p->may_error)
        return;
    p->may_error = false;
    if (len > 255)
        len = 255;
    uint8_t len8 = (uint8_t)len;
    command_buf_init(&b);
    command_add_name(&b, "ERROR");
    command_add(&b, &len8, 1);
    command_add(&b, reason, len);
    /* Best effort: without memory the peer just sees the connection end. */
    if (!b.failed)
        (void)peer_put_own_command(p, b.data, b.len);
    command_buf_fini(&b);
}

bool peer_wants_write(const struct peer *p, const struct outq *q)
{
    if (p->own.bytes)
        return true;
    return p->ready && (q->bytes || p->pongs_due || p->has_v1_taken);
}

static int flush_pong(struct peer *p, struct outq *q)
{
    static const char name[] = "\4PONG";
    unsigned done = 0;
    int rc = 0;
    while (done < p->pongs_due) {
        const struct pong *pong = &p->pongs[done];
        rc = outq_put_command(q, name, sizeof(name) - 1, pong->context, pong->len);
        if (rc)
            break;
        done++;
    }
    if (done) {
        p->pongs_due -= done;
        memmove(p->pongs, p->pongs + done, p->pongs_due * sizeof(p->pongs[0]));
    }
    return rc;
}

/* Moves frames from q into the private queue in ZMTP 1.0's framing, whole messages at a time. */
static int encode_v1(struct peer *p, struct outq *q)
{
    while (p->own.bytes < V1_AHEAD || p->v1_mid_msg) {
        struct msg *m = &p->v1_taken;
        if (!p->has_v1_taken) {
            int rc = outq_take(q, m);
            if (rc <= 0)
                return rc;
            /* Left over from a newer peer that the connection had before. */
            if (m->flags & PART_COMMAND) {
                msg_drop(m);
                continue;
            }
            p->has_v1_taken = true;
        }
        bool more = m->flags & PART_MORE;
        uint8_t head[FRAME_HEAD_MAX];
        size_t head_len = frame_build_v1(head, m->flags, msg_size(m));
        int rc = outq_put_bytes_msg(&p->own, head, head_len, m);
        if (rc)
            return rc;
        p->has_v1_taken = false;
        p->v1_mid_msg = more;
    }
    return 0;
}

static int seal_small(struct peer *p, uint8_t flags, const uint8_t *data, size_t size)
{
    size_t body = size + p->overhead;
    uint8_t *at = outq_room(&p->own, FRAME_HEAD_MAX + body);
    if (!at)
        return -ENOMEM;
    size_t head = frame_build_v2(at, 0, body);
    p->mech->ops->seal(p->mech, at + head, flags, data, size);
    outq_extend(&p->own, head + body);
    return 0;
}

static int seal_large(struct peer *p, uint8_t flags, const uint8_t *data, size_t size)
{
    size_t body = size + p->overhead;
    struct blob *b = blob_pooled(p->cfg.pool, body);
    if (!b)
        return -ENOMEM;
    p->mech->ops->seal(p->mech, b->data, flags, data, size);
    uint8_t head[FRAME_HEAD_MAX];
    struct msg m;
    msg_init_own_blob(&m, b, body);
    int rc = outq_put_bytes_msg(&p->own, head, frame_build_v2(head, 0, body), &m);
    if (rc)
        msg_drop(&m);
    return rc;
}

/* Moves frames from q into the private queue, sealed. */
static int encode_sealed(struct peer *p, struct outq *q)
{
    uint8_t flags;
    const uint8_t *data;
    size_t size;
    while (p->own.bytes < SEAL_AHEAD && outq_front(q, &flags, &data, &size)) {
        int rc = size + p->overhead <= OUTQ_COPY_MAX ? seal_small(p, flags, data, size)
                                                     : seal_large(p, flags, data, size);
        if (rc)
            return rc;
        outq_pop(q);
    }
    return 0;
}

/* True when frames go out as they lie in the pipe's queue. */
static bool passes(const struct peer *p)
{
    return p->cfg.raw || (p->framing == FRAMING_V2 && !p->overhead);
}

int peer_send_iov(struct peer *p, struct outq *q, struct iovec *iov, int max)
{
    int rc = 0;
    if (p->ready) {
        rc = flush_pong(p, q);
        if (!passes(p))
            rc = p->overhead ? encode_sealed(p, q) : encode_v1(p, q);
    }
    int n = outq_iov(&p->own, iov, max);
    p->own_offered = p->own.bytes;
    if (p->ready && passes(p) && n < max)
        n += outq_iov(q, iov + n, max - n);
    return n ? n : rc;
}

void peer_sent(struct peer *p, struct outq *q, size_t n)
{
    size_t own = n < p->own_offered ? n : p->own_offered;
    if (own) {
        p->own_offered -= own;
        outq_sent(&p->own, own);
        /* After the greeting nothing of ours comes for long. */
        if (passes(p))
            outq_trim(&p->own);
    }
    if (n > own)
        outq_sent(q, n - own);
    if (q->bytes == 0)
        p->pings_queued = 0;
}

int peer_put_subscription(struct peer *p, struct outq *q, const void *topic, size_t len, bool add)
{
    if (p->version_major >= 3 && p->version_minor >= 1) {
        static const char subscribe[] = "\11SUBSCRIBE";
        static const char cancel[] = "\6CANCEL";
        if (add)
            return outq_put_command(q, subscribe, sizeof(subscribe) - 1, topic, len);
        return outq_put_command(q, cancel, sizeof(cancel) - 1, topic, len);
    }
    uint8_t first = add;
    return outq_put_pair(q, &first, 1, topic, len);
}

/* ---- timers ---- */

static uint64_t heartbeat_timeout_ns(const struct peer *p)
{
    if (p->cfg.heartbeat_timeout_ms < 0)
        return p->cfg.heartbeat_ivl_ms * PEER_NS_PER_MS;
    return (uint64_t)p->cfg.heartbeat_timeout_ms * PEER_NS_PER_MS;
}

static void put_ping(struct peer *p, struct outq *q, uint64_t now)
{
    static const char name[] = "\4PING";
    uint8_t body[10];
    uint32_t ttl = p->cfg.heartbeat_ttl_ms / 100;
    /* A peer that does not read gets no pile of them; the timeout runs all the same. */
    if (p->pings_queued >= PINGS_QUEUED_MAX)
        return;
    put_be16(body, (uint16_t)(ttl < UINT16_MAX ? ttl : UINT16_MAX));
    put_be64(body + 2, p->ping_id + 1);
    if (outq_put_command(q, name, sizeof(name) - 1, body, sizeof(body)))
        return;
    p->ping_id++;
    p->ping_time = now;
    p->pings_queued++;
}

/*
 * True when the time is up. While received bytes wait to be taken by us, it is not the peer that is
 * slow: the limit starts anew.
 */
static bool expired(const struct peer *p, uint64_t *deadline, uint64_t limit, uint64_t now)
{
    if (now < *deadline)
        return false;
    if (p->starved)
        return true;
    *deadline = now + limit;
    return false;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t peer_tick(struct peer *p, struct outq *q, uint64_t now)
{
    if (p->state == PEER_DEAD || p->cfg.raw)
        return PEER_NEVER;
    p->now = now;
    if (!p->ready) {
        if (now < p->handshake_deadline)
            return p->handshake_deadline;
        peer_fail(p, PEER_FAIL_NO_DETAIL, ETIMEDOUT);
        return PEER_NEVER;
    }
    if (expired(p, &p->timeout_deadline, heartbeat_timeout_ns(p), now) ||
        expired(p, &p->ttl_deadline, p->ttl_ns, now)) {
        peer_fail(p, PEER_FAIL_TIMEOUT, ETIMEDOUT);
        return PEER_NEVER;
    }
    if (now >= p->ping_next) {
        put_ping(p, q, now);
        p->ping_next = now + p->cfg.heartbeat_ivl_ms * PEER_NS_PER_MS;
        uint64_t limit = heartbeat_timeout_ns(p);
        if (limit && p->timeout_deadline == PEER_NEVER)
            p->timeout_deadline = now + limit;
    }
    return earlier(p->ping_next, earlier(p->timeout_deadline, p->ttl_deadline));
}
