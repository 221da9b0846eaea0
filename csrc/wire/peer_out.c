/* SPDX-License-Identifier: MIT */
#include "wire/peer_out.h"

#include <errno.h>

#include "wire/heartbeat.h"
#include "wire/mechanism.h"
#include "wire/outq_drain.h"

/* ZMTP 1.0: this much is encoded ahead of the kernel; what is, cannot be taken back after a loss.
 */
#define V1_AHEAD ((size_t)16 << 10)
/* The same for encrypted traffic: enough for a system call worth making. */
#define ENCRYPT_AHEAD ((size_t)64 << 10)

bool peer_wants_write(const struct peer *p, const struct outq *q)
{
    if (p->tx.buf.bytes)
        return true;
    return p->ready && (q->bytes || p->heartbeat.pongs_due || p->tx.has_v1_msg);
}

/* Moves frames from q into the private queue in ZMTP 1.0's framing, whole messages at a time. */
static int encode_v1(struct peer *p, struct outq *q)
{
    while (p->tx.buf.bytes < V1_AHEAD || p->tx.v1_mid_msg) {
        struct msg *m = &p->tx.v1_msg;
        if (!p->tx.has_v1_msg) {
            int rc = outq_take(q, m);
            if (rc <= 0)
                return rc;
            /* Left over from a newer peer that the connection had before. */
            if (m->flags & PART_COMMAND) {
                msg_drop(m);
                continue;
            }
            p->tx.has_v1_msg = true;
        }
        bool more = m->flags & PART_MORE;
        uint8_t head[FRAME_HEAD_MAX];
        size_t head_len = frame_build_v1(head, m->flags, msg_size(m));
        int rc = outq_put_bytes_msg(&p->tx.buf, head, head_len, m);
        if (rc)
            return rc;
        p->tx.has_v1_msg = false;
        p->tx.v1_mid_msg = more;
    }
    return 0;
}

static int encrypt_small(struct peer *p, uint8_t flags, const uint8_t *data, size_t size)
{
    size_t body = size + p->crypto_overhead;
    uint8_t *at = outq_room(&p->tx.buf, FRAME_HEAD_MAX + body);
    if (!at)
        return -ENOMEM;
    size_t head = frame_build_v2(at, 0, body);
    p->mech->ops->encrypt(p->mech, at + head, flags, data, size);
    outq_extend(&p->tx.buf, head + body);
    return 0;
}

static int encrypt_large(struct peer *p, uint8_t flags, const uint8_t *data, size_t size)
{
    size_t body = size + p->crypto_overhead;
    struct blob *b = blob_pooled(p->cfg.pool, body);
    if (!b)
        return -ENOMEM;
    p->mech->ops->encrypt(p->mech, b->data, flags, data, size);
    uint8_t head[FRAME_HEAD_MAX];
    struct msg m;
    msg_init_own_blob(&m, b, body);
    int rc = outq_put_bytes_msg(&p->tx.buf, head, frame_build_v2(head, 0, body), &m);
    if (rc)
        msg_drop(&m);
    return rc;
}

/* Moves frames from q into the private queue, encrypted. */
static int encrypt_frames(struct peer *p, struct outq *q)
{
    uint8_t flags;
    const uint8_t *data;
    size_t size;
    while (p->tx.buf.bytes < ENCRYPT_AHEAD && outq_front(q, &flags, &data, &size)) {
        int rc = p->cfg.ws && (flags & FRAME_COMMAND) && heartbeat_is(data, size)
                     ? peer_put_command(p, data, size) /* a frame of the WebSocket's own */
                 : size + p->crypto_overhead <= OUTQ_COPY_MAX ? encrypt_small(p, flags, data, size)
                                                              : encrypt_large(p, flags, data, size);
        if (rc)
            return rc;
        outq_pop(q);
    }
    return 0;
}

/* True when frames go out as they lie in the pipe's queue. */
static bool passes(const struct peer *p)
{
    return p->cfg.raw || (p->framing == FRAMING_V2 && !p->crypto_overhead);
}

int peer_send_iov(struct peer *p, struct outq *q, struct iovec *iov, int max)
{
    int rc = 0;
    if (p->ready) {
        rc = p->heartbeat.pongs_due ? heartbeat_put_pongs(p, q) : 0;
        if (!passes(p)) {
            int encoded = p->crypto_overhead ? encrypt_frames(p, q) : encode_v1(p, q);
            rc = rc ? rc : encoded;
        }
    }
    int n = outq_iov(&p->tx.buf, iov, max);
    p->tx.offered = p->tx.buf.bytes;
    if (p->ready && passes(p) && n < max)
        n += outq_iov(q, iov + n, max - n);
    return n ? n : rc;
}

void peer_sent(struct peer *p, struct outq *q, size_t n)
{
    size_t own = n < p->tx.offered ? n : p->tx.offered;
    if (p->heartbeat.pong_bytes)
        p->heartbeat.pong_bytes -= n < p->heartbeat.pong_bytes ? n : p->heartbeat.pong_bytes;
    if (own) {
        p->tx.offered -= own;
        outq_sent(&p->tx.buf, own);
        /* After the greeting nothing of ours comes for long. */
        if (passes(p))
            outq_trim(&p->tx.buf);
    }
    if (n > own)
        outq_sent(q, n - own);
    if (q->bytes == 0)
        p->heartbeat.pings_queued = 0;
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

int peer_put_group(struct peer *p, struct outq *q, const void *group, size_t len, bool join)
{
    static const char join_name[] = "\4JOIN";
    static const char leave_name[] = "\5LEAVE";
    if (p->version_major < 3)
        return 0;
    if (join)
        return outq_put_command(q, join_name, sizeof(join_name) - 1, group, len);
    return outq_put_command(q, leave_name, sizeof(leave_name) - 1, group, len);
}

void peer_out_fini(struct peer *p)
{
    if (p->tx.has_v1_msg)
        msg_drop(&p->tx.v1_msg);
    p->tx.has_v1_msg = false;
    outq_fini(&p->tx.buf);
}
