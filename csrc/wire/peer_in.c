/* SPDX-License-Identifier: MIT */
#include "wire/peer_in.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "wire/command.h"
#include "wire/heartbeat.h"
#include "wire/mechanism.h"

/* Reads in a row that leave most of the buffer empty before it shrinks. */
#define LEAN_READS 64

/* ---- life ---- */

void peer_in_drop_held(struct peer *p)
{
    msg_drop(&p->rx.held);
    msg_init(&p->rx.held);
}

static void drop_big(struct peer *p)
{
    struct peer_rx *rx = &p->rx;
    struct msg m;
    if (!rx->big.blob)
        return;
    msg_init_own_blob(&m, rx->big.blob, rx->big.have);
    msg_drop(&m);
    rx->big.blob = NULL;
}

static void release_chunk(struct peer *p)
{
    struct peer_rx *rx = &p->rx;
    if (rx->chunk)
        chunk_unref(rx->chunk, 1 + rx->refs);
    rx->chunk = NULL;
    rx->refs = 0;
    rx->begin = rx->end = 0;
}

/* The size of chunk that the traffic asks for. */
static void set_class(struct peer *p, unsigned class)
{
    if ((class > 0) != (p->rx.size_class > 0))
        pool_reads_much(p->cfg.pool, class > 0);
    p->rx.size_class = class;
}

void peer_in_init(struct peer *p)
{
    struct peer_rx *rx = &p->rx;
    rx->fast_max = -1;
    rx->drained = true;
    rx->big.eager = PEER_OWN_BODY_MIN;
    rx->max_parts = p->cfg.max_parts ? p->cfg.max_parts : PEER_DEFAULT_MAX_PARTS;
    msg_init(&rx->held);
}

void peer_in_fini(struct peer *p)
{
    set_class(p, 0);
    peer_in_drop_held(p);
    drop_big(p);
    release_chunk(p);
}

void peer_in_trim(struct peer *p)
{
    peer_in_drop_held(p);
    if (peer_avail(p) == 0)
        release_chunk(p);
}

/* ---- bytes in ---- */

static bool chunk_is_ours(struct peer *p)
{
    return atomic_load_explicit(&p->rx.chunk->refs, memory_order_acquire) == 1 + p->rx.refs;
}

void peer_drop_input(struct peer *p)
{
    p->rx.begin = p->rx.end;
    p->rx.frame_need = 0;
}

bool peer_buffered(const struct peer *p)
{
    return peer_avail(p) || p->due_ready || p->due_subscribe ||
           (p->rx.big.blob && p->rx.big.have == p->rx.big.size);
}

/*
 * Bytes of the body that are in the chunk all the same: their read had begun before the header of
 * the frame was looked at.
 */
static int big_absorb(struct peer *p)
{
    struct peer_rx *rx = &p->rx;
    size_t n = rx->big.size - rx->big.have;
    if (n > peer_avail(p))
        n = peer_avail(p);
    if (n == 0)
        return 0;
    if (rx->big.cap - rx->big.have < n) {
        struct blob *grown = blob_resize(rx->big.blob, rx->big.have + n);
        if (!grown)
            return -ENOMEM;
        rx->big.blob = grown;
        rx->big.cap = rx->big.have + n;
    }
    memcpy((uint8_t *)rx->big.blob->data + rx->big.have, peer_at(p), n);
    rx->big.have += n;
    peer_consume(p, n);
    return 0;
}

static int big_recv_buf(struct peer *p, uint8_t **buf, size_t *len)
{
    struct peer_rx *rx = &p->rx;
    if (rx->big.have == rx->big.cap) {
        size_t cap = rx->big.cap > rx->big.size / 2 ? rx->big.size : rx->big.cap * 2;
        struct blob *grown = blob_resize(rx->big.blob, cap);
        if (!grown)
            return -ENOMEM;
        rx->big.blob = grown;
        rx->big.cap = cap;
        rx->big.fresh = true;
    }
    *buf = (uint8_t *)rx->big.blob->data + rx->big.have;
    *len = rx->big.cap - rx->big.have;
    rx->into_big = true;
    return 0;
}

static bool has_room(const struct peer *p, size_t need)
{
    const struct peer_rx *rx = &p->rx;
    return rx->chunk->cap - rx->end >= rx->chunk->cap / 4 && rx->chunk->cap - rx->begin >= need;
}

/* Makes room in a chunk for the frame that was begun, and for a read worth its system call. */
static int prepare_chunk(struct peer *p)
{
    struct peer_rx *rx = &p->rx;
    static const size_t caps[] = {CHUNK_SMALL, CHUNK_MEDIUM, CHUNK_LARGE};
    size_t avail = peer_avail(p);
    size_t need = rx->frame_need > avail ? rx->frame_need : avail + 1;
    bool crowded = rx->size_class == 2 && pool_is_crowded(p->cfg.pool);
    size_t want = caps[rx->size_class - crowded];
    if (rx->chunk && avail == 0) {
        if (rx->chunk->cap != want)
            release_chunk(p);
        else if (chunk_is_ours(p))
            rx->begin = rx->end = 0;
    }
    if (rx->chunk && has_room(p, need))
        return 0;
    /* The rest of a frame that fills its chunk is read to where it belongs: in another chunk it
     * would find no more room, and be moved again for every few bytes that come. */
    if (rx->chunk && rx->begin == 0 && avail < rx->frame_need && rx->frame_need <= rx->chunk->cap &&
        want <= rx->chunk->cap)
        return 0;
    if (rx->chunk && rx->chunk->cap >= want && need <= rx->chunk->cap - rx->chunk->cap / 4 &&
        chunk_is_ours(p)) {
        memmove(rx->chunk->data, peer_at(p), avail);
        rx->begin = 0;
        rx->end = avail;
        return 0;
    }
    if (want < need)
        want = need;
    if (want < avail + CHUNK_SMALL / 2)
        want = avail + CHUNK_SMALL / 2;
    struct chunk *c = chunk_get(p->cfg.pool, want);
    if (!c)
        return -ENOMEM;
    if (avail)
        memcpy(c->data, peer_at(p), avail);
    release_chunk(p);
    rx->chunk = c;
    rx->end = avail;
    return 0;
}

int peer_recv_buf(struct peer *p, uint8_t **buf, size_t *len)
{
    struct peer_rx *rx = &p->rx;
    peer_in_drop_held(p);
    int rc = rx->big.blob ? big_absorb(p) : 0;
    if (rc)
        return rc;
    if (rx->big.blob && rx->big.have < rx->big.size)
        return big_recv_buf(p, buf, len);
    rc = prepare_chunk(p);
    if (rc)
        return rc;
    *buf = rx->chunk->data + rx->end;
    *len = rx->chunk->cap - rx->end;
    rx->offered = *len;
    rx->into_big = false;
    return 0;
}

/* One that says how long it may be silent will be heard of again when its next PING is due. */
static inline void lives(struct peer *p, uint64_t now)
{
    p->heartbeat.timeout_deadline = PEER_NEVER;
    p->heartbeat.ttl_deadline = p->heartbeat.ttl_ns && p->heartbeat.ping_gap
                                    ? now + p->heartbeat.ping_gap + p->heartbeat.ttl_ns
                                    : PEER_NEVER;
}

void peer_lives(struct peer *p, uint64_t now)
{
    p->now = now;
    lives(p, now);
}

void peer_recv_done(struct peer *p, size_t n, uint64_t now)
{
    struct peer_rx *rx = &p->rx;
    p->now = now;
    if (n == 0)
        return;
    lives(p, now); /* whatever came */
    rx->drained = false;
    if (rx->into_big) {
        rx->big.have += n;
        return;
    }
    rx->end += n;
    if (n == rx->offered) {
        set_class(p, rx->size_class + (rx->size_class < 2));
        rx->lean_reads = 0;
    } else if (n >= rx->offered / 8) {
        rx->lean_reads = 0;
    } else if (++rx->lean_reads == LEAN_READS) {
        set_class(p, rx->size_class - (rx->size_class > 0));
        rx->lean_reads = 0;
    }
}

/* ---- frames ---- */

static bool too_big(const struct peer *p, size_t size)
{
    return p->cfg.max_msg_size >= 0 && (uint64_t)size > (uint64_t)p->cfg.max_msg_size;
}

static void set_fast(struct peer *p)
{
    int max = 255;
    p->rx.fast_max = -1;
    if (!p->ready || p->due_subscribe || p->rx.big.blob || p->framing != FRAMING_V2 || p->cfg.raw)
        return;
    if (p->crypto_overhead)
        return;
    if (p->cfg.max_msg_size >= 0 && p->cfg.max_msg_size < max)
        max = (int)p->cfg.max_msg_size;
    p->rx.fast_max = max;
}

/* A message of buffered bytes; they are not consumed yet. */
static void buffered_msg(struct peer *p, struct msg *m, const uint8_t *data, size_t size)
{
    struct peer_rx *rx = &p->rx;
    if (size <= MSG_INLINE_MAX) {
        (void)msg_init_copy(m, data, size);
        return;
    }
    if (rx->refs == 0) {
        chunk_ref(rx->chunk, PEER_REFS_AHEAD);
        rx->refs = PEER_REFS_AHEAD;
    }
    rx->refs--;
    msg_init_slice(m, rx->chunk, data, size);
}

/* 1: an event; PEER_AGAIN: none. What is unknown or malformed is ignored. */
static int command_event(struct peer *p, const uint8_t *body, size_t len, struct peer_event *ev)
{
    static const struct {
        const char *name;
        enum peer_event_kind kind;
    } events[] = {
        {"SUBSCRIBE", PEER_EV_SUBSCRIBE}, {"CANCEL", PEER_EV_CANCEL}, {"JOIN", PEER_EV_JOIN},
        {"LEAVE", PEER_EV_LEAVE},         {"SWITCH", PEER_EV_SWITCH}, {"BLOCK", PEER_EV_BLOCK},
    };
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        if (command_is(body, len, events[i].name, &ev->data, &ev->len)) {
            ev->kind = events[i].kind;
            return 1;
        }
    }
    const uint8_t *args;
    size_t args_len;
    if (command_is(body, len, "PING", &args, &args_len))
        heartbeat_got_ping(p, args, args_len);
    else if (command_is(body, len, "PONG", &args, &args_len))
        heartbeat_got_pong(p, args, args_len);
    return PEER_AGAIN;
}

static int frame_event(struct peer *p, uint8_t flags, struct peer_event *ev)
{
    ev->kind = PEER_EV_FRAME;
    ev->msg.flags = flags & FRAME_MORE;
    p->rx.parts = flags & FRAME_MORE ? p->rx.parts + 1 : 0;
    return 1;
}

static bool is_command(const struct peer *p, uint8_t flags)
{
    return p->version_major >= 3 && (flags & FRAME_COMMAND);
}

static int big_begin(struct peer *p, const struct frame_head *h)
{
    struct peer_rx *rx = &p->rx;
    size_t have = peer_avail(p) - h->head;
    size_t eager = rx->big.eager + p->crypto_overhead;
    size_t cap = h->size < eager ? h->size : eager;
    if (cap < have)
        cap = have;
    struct blob *b = blob_pooled(p->cfg.pool, cap);
    /* There may be room for less; if it then does not grow either, the reader gives up in time. */
    if (!b && cap > PEER_OWN_BODY_MIN && cap > have) {
        cap = have > PEER_OWN_BODY_MIN ? have : PEER_OWN_BODY_MIN;
        b = blob_pooled(p->cfg.pool, cap);
    }
    if (!b)
        return -ENOMEM;
    rx->big.blob = b;
    rx->big.fresh = true;
    rx->big.cap = b->cap < h->size ? b->cap : h->size;
    rx->big.size = h->size;
    rx->big.flags = h->flags;
    rx->big.have = have;
    /* Another may follow, and what a chunk holds of it is copied: the next one is a small one. */
    set_class(p, 0);
    memcpy(b->data, peer_at(p) + h->head, have);
    peer_consume(p, peer_avail(p));
    rx->fast_max = -1;
    return 0;
}

static int too_many_parts(struct peer *p, uint8_t flags)
{
    if (p->rx.parts + 1 + (flags & FRAME_MORE) <= p->rx.max_parts)
        return 0;
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
}

/* PING and PONG of a WebSocket, which has frames of its own for them, are not encrypted. */
static bool is_clear(const struct peer *p, const struct frame_head *h, const uint8_t *body)
{
    return p->cfg.ws && (h->flags & FRAME_COMMAND) && heartbeat_is(body, h->size);
}

/* The flags of an encrypted frame are inside. */
static int decrypt_frame(struct peer *p, uint8_t *body, size_t size, uint8_t *flags)
{
    int rc = p->mech->ops->decrypt(p->mech, p, body, size, flags);
    if (rc || is_command(p, *flags))
        return rc;
    rc = too_many_parts(p, *flags);
    p->failure_final = rc; /* only the owner of the key can have made it */
    return rc;
}

static int big_done(struct peer *p, struct peer_event *ev)
{
    struct peer_rx *rx = &p->rx;
    struct msg m;
    int rc =
        p->crypto_overhead ? decrypt_frame(p, rx->big.blob->data, rx->big.size, &rx->big.flags) : 0;
    if (rc)
        return rc;
    msg_init_own_blob(&m, rx->big.blob, rx->big.size);
    m.u.x.data += p->crypto_overhead;
    m.u.x.size -= p->crypto_overhead;
    rx->big.blob = NULL;
    if (rx->big.eager < rx->big.size)
        rx->big.eager = rx->big.size < PEER_EAGER_MAX ? rx->big.size : PEER_EAGER_MAX;
    set_fast(p);
    if (!is_command(p, rx->big.flags)) {
        ev->msg = m;
        return frame_event(p, rx->big.flags, ev);
    }
    rx->held = m;
    if (rx->big.flags & FRAME_MORE)
        return PEER_AGAIN;
    return command_event(p, msg_data(&m), msg_size(&m), ev);
}

static int frame_step(struct peer *p, struct peer_event *ev)
{
    struct peer_rx *rx = &p->rx;
    if (rx->big.blob) {
        int rc = big_absorb(p);
        if (rc)
            return rc;
        return rx->big.have < rx->big.size ? 0 : big_done(p, ev);
    }
    struct frame_head h;
    int rc = peer_parse_frame(p, &h);
    if (rc == 0)
        return 0;
    /* The limit is on what the program gets, not on its wrapping. */
    if (rc < 0 || (h.size > p->crypto_overhead && too_big(p, h.size - p->crypto_overhead)))
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    bool command = is_command(p, h.flags);
    if (!command && !p->crypto_overhead && too_many_parts(p, h.flags))
        return -EPROTO;
    size_t total = h.head + h.size;
    if (peer_avail(p) < total) {
        if (h.size > PEER_OWN_BODY_MIN)
            return big_begin(p, &h);
        rx->frame_need = total;
        return 0;
    }
    uint8_t *body = rx->chunk->data + rx->begin + h.head;
    if (p->crypto_overhead && !is_clear(p, &h, body)) {
        rc = decrypt_frame(p, body, h.size, &h.flags);
        if (rc)
            return rc;
        body += p->crypto_overhead;
        h.size -= p->crypto_overhead;
        command = is_command(p, h.flags);
    }
    if (command) {
        peer_consume(p, total);
        return h.flags & FRAME_MORE ? PEER_AGAIN : command_event(p, body, h.size, ev);
    }
    buffered_msg(p, &ev->msg, body, h.size);
    peer_consume(p, total);
    return frame_event(p, h.flags, ev);
}

int peer_count_part(struct peer *p, size_t size, bool more)
{
    uint8_t flags = more ? FRAME_MORE : 0;
    if (too_big(p, size))
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    if (too_many_parts(p, flags))
        return -EPROTO;
    p->rx.parts = more ? p->rx.parts + 1 : 0;
    return 0;
}

static int raw_step(struct peer *p, struct peer_event *ev)
{
    size_t n = peer_avail(p);
    if (n == 0)
        return 0;
    if (n > p->cfg.raw_max)
        n = p->cfg.raw_max;
    buffered_msg(p, &ev->msg, peer_at(p), n);
    peer_consume(p, n);
    return frame_event(p, 0, ev);
}

int peer_in_step(struct peer *p, struct peer_event *ev)
{
    if (p->due_ready) {
        p->due_ready = false;
        p->ready = true;
        set_fast(p);
        ev->kind = PEER_EV_READY;
        return 1;
    }
    if (p->due_subscribe) {
        p->due_subscribe = false;
        set_fast(p);
        ev->kind = PEER_EV_SUBSCRIBE;
        ev->data = (const uint8_t *)"";
        ev->len = 0;
        return 1;
    }
    return p->cfg.raw ? raw_step(p, ev) : frame_step(p, ev);
}
