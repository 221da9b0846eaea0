/* SPDX-License-Identifier: MIT */
#include "wire/heartbeat.h"

#include <errno.h>
#include <string.h>

/* PINGs that may wait in the queue when the peer does not read. */
#define PINGS_QUEUED_MAX 2
/* Bytes that wait to be written, from which on PINGs that come before READY are not answered. */
#define EARLY_PONGS 512

void heartbeat_init(struct peer *p)
{
    struct peer_heartbeat *hb = &p->heartbeat;
    hb->ping_next = hb->timeout_deadline = hb->ttl_deadline = PEER_NEVER;
    p->handshake.deadline =
        p->cfg.handshake_ms ? p->now + p->cfg.handshake_ms * PEER_NS_PER_MS : PEER_NEVER;
}

/* ---- what came ---- */

/* What a flood of PINGs costs is bounded: of more than can wait, the last one is answered. */
static void put_pong(struct peer *p, const uint8_t *context, size_t len)
{
    struct peer_heartbeat *hb = &p->heartbeat;
    if (hb->pongs_due < PONGS_MAX)
        hb->pongs_due++;
    struct pong *pong = &hb->pongs[hb->pongs_due - 1];
    pong->len = (uint8_t)(len < sizeof(pong->context) ? len : sizeof(pong->context));
    if (pong->len)
        memcpy(pong->context, context, pong->len);
}

void heartbeat_got_ping(struct peer *p, const uint8_t *args, size_t len)
{
    struct peer_heartbeat *hb = &p->heartbeat;
    if (len < 2)
        return;
    hb->ttl_ns = get_be16(args) * 100 * PEER_NS_PER_MS;
    hb->ttl_deadline = hb->ttl_ns ? p->now + hb->ttl_ns : PEER_NEVER;
    put_pong(p, args + 2, len - 2);
    if (hb->ping_seen && p->now > hb->ping_seen)
        hb->ping_gap = p->now - hb->ping_seen;
    hb->ping_seen = p->now;
}

void heartbeat_got_pong(struct peer *p, const uint8_t *args, size_t len)
{
    struct peer_heartbeat *hb = &p->heartbeat;
    hb->pings_queued = 0;
    if (len == 8 && hb->ping_id && get_be64(args) == hb->ping_id && p->now > hb->ping_sent)
        hb->rtt_ns = p->now - hb->ping_sent;
}

void peer_reassure(struct peer *p)
{
    if (!p->heartbeat.pongs_due)
        put_pong(p, NULL, 0);
}

bool heartbeat_is(const uint8_t *body, size_t len)
{
    return len >= 5 && (memcmp(body, "\4PING", 5) == 0 || memcmp(body, "\4PONG", 5) == 0);
}

bool heartbeat_before_ready(struct peer *p, const struct frame_head *h)
{
    const uint8_t *body = peer_at(p) + h->head;
    if (!p->cfg.ws || !(h->flags & FRAME_COMMAND) || !heartbeat_is(body, h->size))
        return false;
    /* Best effort, and no more of them than a moment of not writing makes. */
    if (body[2] == 'I' && h->size >= 7 && p->tx.buf.bytes < EARLY_PONGS) {
        uint8_t pong[5 + 16] = "\4PONG";
        size_t len = h->size - 7 < 16 ? h->size - 7 : 16;
        memcpy(pong + 5, body + 7, len);
        (void)peer_put_command(p, pong, 5 + len);
    }
    peer_consume(p, h->head + h->size);
    return true;
}

/* ---- what is due ---- */

/* A peer that does not read gets no pile of them: as many bytes as the last ones have must have
 * left before others are queued. */
int heartbeat_put_pongs(struct peer *p, struct outq *q)
{
    struct peer_heartbeat *hb = &p->heartbeat;
    static const char name[] = "\4PONG";
    unsigned done = 0;
    int rc = 0;
    if (outq_empty(q) && outq_empty(&p->tx.buf))
        hb->pong_bytes = 0; /* they may have been dropped unsent */
    if (hb->pong_bytes)
        return 0;
    size_t before = q->bytes;
    while (done < hb->pongs_due) {
        const struct pong *pong = &hb->pongs[done];
        rc = outq_put_command(q, name, sizeof(name) - 1, pong->context, pong->len);
        if (rc)
            break;
        done++;
    }
    if (done) {
        hb->pong_bytes = q->bytes - before;
        hb->pongs_due -= done;
        memmove(hb->pongs, hb->pongs + done, hb->pongs_due * sizeof(hb->pongs[0]));
    }
    return rc;
}

static uint64_t heartbeat_timeout_ns(const struct peer *p)
{
    if (p->cfg.heartbeat_timeout_ms < 0)
        return p->cfg.heartbeat_ivl_ms * PEER_NS_PER_MS;
    return (uint64_t)p->cfg.heartbeat_timeout_ms * PEER_NS_PER_MS;
}

static void put_ping(struct peer *p, struct outq *q, uint64_t now)
{
    struct peer_heartbeat *hb = &p->heartbeat;
    static const char name[] = "\4PING";
    uint8_t body[10];
    uint32_t ttl = p->cfg.heartbeat_ttl_ms / 100;
    /* A peer that does not read gets no pile of them; the timeout runs all the same. */
    if (hb->pings_queued >= PINGS_QUEUED_MAX)
        return;
    put_be16(body, (uint16_t)(ttl < UINT16_MAX ? ttl : UINT16_MAX));
    put_be64(body + 2, hb->ping_id + 1);
    if (outq_put_command(q, name, sizeof(name) - 1, body, sizeof(body)))
        return;
    hb->ping_id++;
    hb->ping_sent = now;
    hb->pings_queued++;
}

/*
 * True when the time is up. While received bytes wait to be taken by us, it is not the peer that is
 * slow: the limit starts anew.
 */
static bool expired(const struct peer *p, uint64_t *deadline, uint64_t limit, uint64_t now)
{
    if (now < *deadline)
        return false;
    if (p->rx.drained)
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
    struct peer_heartbeat *hb = &p->heartbeat;
    if (p->state == PEER_DEAD || p->cfg.raw)
        return PEER_NEVER;
    p->now = now;
    if (!p->ready) {
        if (now < p->handshake.deadline)
            return p->handshake.deadline;
        peer_fail(p, PEER_FAIL_NO_DETAIL, ETIMEDOUT);
        return PEER_NEVER;
    }
    if (expired(p, &hb->timeout_deadline, heartbeat_timeout_ns(p), now) ||
        expired(p, &hb->ttl_deadline, hb->ttl_ns, now)) {
        peer_fail(p, PEER_FAIL_TIMEOUT, ETIMEDOUT);
        return PEER_NEVER;
    }
    if (now >= hb->ping_next) {
        put_ping(p, q, now);
        hb->ping_next = now + p->cfg.heartbeat_ivl_ms * PEER_NS_PER_MS;
        uint64_t limit = heartbeat_timeout_ns(p);
        if (limit && hb->timeout_deadline == PEER_NEVER)
            hb->timeout_deadline = now + limit;
    }
    return earlier(hb->ping_next, earlier(hb->timeout_deadline, hb->ttl_deadline));
}
