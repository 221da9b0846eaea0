/* SPDX-License-Identifier: MIT */
/* The peer's life, and its way in: bytes become frames, frames become events. */
#include "wire/peer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "include/fastmq.h"
#include "wire/peer_impl.h"

#define RAW_MAX_DEFAULT 8192
/* Reads in a row that leave most of the buffer empty before it shrinks. */
#define LEAN_READS 64

/* ---- socket types ---- */

static const char *const type_names[FMQ_TYPE_COUNT] = {
    [FMQ_PAIR] = "PAIR", [FMQ_PUB] = "PUB",       [FMQ_SUB] = "SUB",       [FMQ_REQ] = "REQ",
    [FMQ_REP] = "REP",   [FMQ_DEALER] = "DEALER", [FMQ_ROUTER] = "ROUTER", [FMQ_PULL] = "PULL",
    [FMQ_PUSH] = "PUSH", [FMQ_XPUB] = "XPUB",     [FMQ_XSUB] = "XSUB",     [FMQ_STREAM] = "STREAM",
};

#define BIT(type) (1u << (type))

static const uint32_t type_peers[FMQ_TYPE_COUNT] = {
    [FMQ_PAIR] = BIT(FMQ_PAIR),
    [FMQ_PUB] = BIT(FMQ_SUB) | BIT(FMQ_XSUB),
    [FMQ_SUB] = BIT(FMQ_PUB) | BIT(FMQ_XPUB),
    [FMQ_REQ] = BIT(FMQ_REP) | BIT(FMQ_ROUTER),
    [FMQ_REP] = BIT(FMQ_REQ) | BIT(FMQ_DEALER),
    [FMQ_DEALER] = BIT(FMQ_REP) | BIT(FMQ_DEALER) | BIT(FMQ_ROUTER),
    [FMQ_ROUTER] = BIT(FMQ_REQ) | BIT(FMQ_DEALER) | BIT(FMQ_ROUTER),
    [FMQ_PULL] = BIT(FMQ_PUSH),
    [FMQ_PUSH] = BIT(FMQ_PULL),
    [FMQ_XPUB] = BIT(FMQ_SUB) | BIT(FMQ_XSUB),
    [FMQ_XSUB] = BIT(FMQ_PUB) | BIT(FMQ_XPUB),
};

const char *peer_type_name(int type)
{
    return type >= 0 && type < FMQ_TYPE_COUNT ? type_names[type] : NULL;
}

int peer_type_from_name(const uint8_t *name, size_t len)
{
    for (int t = 0; t < FMQ_TYPE_COUNT; t++) {
        const char *known = type_names[t]; /* NULL: a number that no type here has */
        if (known && strlen(known) == len && memcmp(known, name, len) == 0)
            return t;
    }
    return -1;
}

bool peer_types_match(int type, int remote_type)
{
    if (remote_type == -1)
        return true;
    if (!peer_type_name(type) || !peer_type_name(remote_type))
        return false;
    return type_peers[type] & BIT(remote_type);
}

/* ---- life ---- */

static int copy_config(struct peer *p, const struct peer_config *cfg)
{
    p->cfg = *cfg;
    p->cfg.identity = NULL;
    p->cfg.extra_props = NULL;
    memset(&p->cfg.security, 0, sizeof(p->cfg.security)); /* the mechanism keeps what it needs */
    size_t size = cfg->identity_len + cfg->extra_props_len;
    if (size == 0)
        return 0;
    uint8_t *mem = mem_alloc(size);
    if (!mem)
        return -ENOMEM;
    if (cfg->identity_len)
        memcpy(mem, cfg->identity, cfg->identity_len);
    if (cfg->extra_props_len)
        memcpy(mem + cfg->identity_len, cfg->extra_props, cfg->extra_props_len);
    p->cfg_mem = mem;
    p->cfg.identity = mem;
    p->cfg.extra_props = mem + cfg->identity_len;
    return 0;
}

static int create_mechanism(struct peer *p, const struct peer_security *sec)
{
    static int (*const create[])(struct mechanism **, const struct peer_security *) = {
        [PEER_MECH_NULL] = null_create,
        [PEER_MECH_PLAIN] = plain_create,
        [PEER_MECH_CURVE] = curve_create,
    };
    int rc = create[sec->mechanism](&p->mech, sec);
    if (rc)
        return rc;
    p->overhead = p->mech->ops->overhead;
    if (sec->mechanism != PEER_MECH_NULL || sec->asks)
        p->cfg.v3_only = true;
    return 0;
}

int peer_init(struct peer *p, const struct peer_config *cfg, uint64_t now)
{
    assert(cfg->identity_len <= 255);
    memset(p, 0, sizeof(*p));
    p->now = now;
    p->framing = FRAMING_V2;
    p->remote_type = -1;
    p->fast_max = -1;
    p->starved = true;
    p->big_eager = PEER_OWN_BODY_MIN;
    p->max_parts = cfg->max_parts ? cfg->max_parts : PEER_DEFAULT_MAX_PARTS;
    p->ping_next = p->timeout_deadline = p->ttl_deadline = PEER_NEVER;
    p->handshake_deadline =
        cfg->handshake_ms ? now + cfg->handshake_ms * PEER_NS_PER_MS : PEER_NEVER;
    msg_init(&p->held);
    outq_init(&p->own, cfg->pool);
    int rc = copy_config(p, cfg);
    if (rc == 0 && cfg->raw) {
        if (p->cfg.raw_max == 0)
            p->cfg.raw_max = RAW_MAX_DEFAULT;
        p->meta = meta_new();
        rc = p->meta ? 0 : -ENOMEM;
        p->state = PEER_TRAFFIC;
        p->due_ready = true;
    } else if (rc == 0) {
        rc = create_mechanism(p, &cfg->security);
        if (rc == 0)
            rc = greeting_start(p);
    }
    if (rc)
        peer_fini(p);
    return rc;
}

static void drop_held(struct peer *p)
{
    msg_drop(&p->held);
    msg_init(&p->held);
}

static void drop_big(struct peer *p)
{
    struct msg m;
    if (!p->big)
        return;
    msg_init_own_blob(&m, p->big, p->big_have);
    msg_drop(&m);
    p->big = NULL;
}

static void release_chunk(struct peer *p)
{
    if (p->in)
        chunk_unref(p->in, 1 + p->in_refs);
    p->in = NULL;
    p->in_refs = 0;
    p->in_begin = p->in_end = 0;
}

/* The size of chunk that the traffic asks for. */
static void set_class(struct peer *p, unsigned class)
{
    if ((class > 0) != (p->in_class > 0))
        pool_reads_much(p->cfg.pool, class > 0);
    p->in_class = class;
}

void peer_fini(struct peer *p)
{
    set_class(p, 0);
    drop_held(p);
    drop_big(p);
    release_chunk(p);
    if (p->mech)
        p->mech->ops->destroy(p->mech);
    p->mech = NULL;
    if (p->has_v1_taken)
        msg_drop(&p->v1_taken);
    p->has_v1_taken = false;
    outq_fini(&p->own);
    meta_unref(p->meta);
    p->meta = NULL;
    meta_unref(p->granted);
    p->granted = NULL;
    mem_free(p->cfg_mem);
    p->cfg_mem = NULL;
    mem_free(p->command);
    p->command = NULL;
}

int peer_fail(struct peer *p, enum peer_failure failure, uint32_t code)
{
    if (p->state != PEER_DEAD) {
        p->state = PEER_DEAD;
        p->ready = false;
        p->fast_max = -1;
        p->failure = failure;
        p->failure_code = code;
    }
    return -EPROTO;
}

int peer_fail_for_good(struct peer *p, enum peer_failure failure, uint32_t code)
{
    if (p->state != PEER_DEAD)
        p->failure_final = true;
    return peer_fail(p, failure, code);
}

void peer_become_ready(struct peer *p)
{
    p->state = PEER_TRAFFIC;
    p->may_error = false;
    p->handshake_deadline = PEER_NEVER;
    p->due_ready = true;
    /* SUBs of that age filter for themselves and do not forward what they want. */
    p->due_subscribe =
        p->version_major == 1 && (p->cfg.socket_type == FMQ_PUB || p->cfg.socket_type == FMQ_XPUB);
    if (p->version_major >= 3 && p->cfg.heartbeat_ivl_ms)
        p->ping_next = p->now + p->cfg.heartbeat_ivl_ms * PEER_NS_PER_MS;
}

/* ---- bytes in ---- */

static bool chunk_is_ours(struct peer *p)
{
    return atomic_load_explicit(&p->in->refs, memory_order_acquire) == 1 + p->in_refs;
}

bool peer_buffered(const struct peer *p)
{
    return peer_avail(p) || p->due_ready || p->due_subscribe ||
           (p->big && p->big_have == p->big_size);
}

void peer_trim(struct peer *p)
{
    drop_held(p);
    if (peer_avail(p) == 0)
        release_chunk(p);
    outq_trim(&p->own);
}

/*
 * Bytes of the body that are in the chunk all the same: their read had begun before the header of
 * the frame was looked at.
 */
static int big_absorb(struct peer *p)
{
    size_t n = p->big_size - p->big_have;
    if (n > peer_avail(p))
        n = peer_avail(p);
    if (n == 0)
        return 0;
    if (p->big_cap - p->big_have < n) {
        struct blob *grown = blob_resize(p->big, p->big_have + n);
        if (!grown)
            return -ENOMEM;
        p->big = grown;
        p->big_cap = p->big_have + n;
    }
    memcpy((uint8_t *)p->big->data + p->big_have, peer_at(p), n);
    p->big_have += n;
    peer_consume(p, n);
    return 0;
}

static int big_recv_buf(struct peer *p, uint8_t **buf, size_t *len)
{
    if (p->big_have == p->big_cap) {
        size_t cap = p->big_cap > p->big_size / 2 ? p->big_size : p->big_cap * 2;
        struct blob *grown = blob_resize(p->big, cap);
        if (!grown)
            return -ENOMEM;
        p->big = grown;
        p->big_cap = cap;
    }
    *buf = (uint8_t *)p->big->data + p->big_have;
    *len = p->big_cap - p->big_have;
    p->recv_big = true;
    return 0;
}

static bool has_room(const struct peer *p, size_t need)
{
    return p->in->cap - p->in_end >= p->in->cap / 4 && p->in->cap - p->in_begin >= need;
}

/* Makes room in a chunk for the frame that was begun, and for a read worth its system call. */
static int prepare_chunk(struct peer *p)
{
    static const size_t caps[] = {CHUNK_SMALL, CHUNK_MEDIUM, CHUNK_LARGE};
    size_t avail = peer_avail(p);
    size_t need = p->frame_need > avail ? p->frame_need : avail + 1;
    bool crowded = p->in_class == 2 && pool_is_crowded(p->cfg.pool);
    size_t want = caps[p->in_class - crowded];
    if (p->in && avail == 0) {
        if (p->in->cap != want)
            release_chunk(p);
        else if (chunk_is_ours(p))
            p->in_begin = p->in_end = 0;
    }
    if (p->in && has_room(p, need))
        return 0;
    /* The rest of a frame that fills its chunk is read to where it belongs: in another chunk it
     * would find no more room, and be moved again for every few bytes that come. */
    if (p->in && p->in_begin == 0 && avail < p->frame_need && p->frame_need <= p->in->cap &&
        want <= p->in->cap)
        return 0;
    if (p->in && p->in->cap >= want && need <= p->in->cap - p->in->cap / 4 && chunk_is_ours(p)) {
        memmove(p->in->data, peer_at(p), avail);
        p->in_begin = 0;
        p->in_end = avail;
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
    p->in = c;
    p->in_end = avail;
    return 0;
}

int peer_recv_buf(struct peer *p, uint8_t **buf, size_t *len)
{
    drop_held(p);
    int rc = p->big ? big_absorb(p) : 0;
    if (rc)
        return rc;
    if (p->big && p->big_have < p->big_size)
        return big_recv_buf(p, buf, len);
    rc = prepare_chunk(p);
    if (rc)
        return rc;
    *buf = p->in->data + p->in_end;
    *len = p->in->cap - p->in_end;
    p->in_offered = *len;
    p->recv_big = false;
    return 0;
}

void peer_recv_done(struct peer *p, size_t n, uint64_t now)
{
    p->now = now;
    if (n == 0)
        return;
    /* Whatever came, the peer lives. One that says how long it may be silent will be heard of again
     * when its next PING is due. */
    p->timeout_deadline = PEER_NEVER;
    p->ttl_deadline = p->ttl_ns && p->ping_gap ? now + p->ping_gap + p->ttl_ns : PEER_NEVER;
    p->starved = false;
    if (p->recv_big) {
        p->big_have += n;
        return;
    }
    p->in_end += n;
    if (n == p->in_offered) {
        set_class(p, p->in_class + (p->in_class < 2));
        p->in_lean = 0;
    } else if (n >= p->in_offered / 8) {
        p->in_lean = 0;
    } else if (++p->in_lean == LEAN_READS) {
        set_class(p, p->in_class - (p->in_class > 0));
        p->in_lean = 0;
    }
}

/* ---- frames ---- */

int peer_parse_frame(const struct peer *p, struct frame_head *h)
{
    size_t avail = peer_avail(p);
    if (avail == 0)
        return 0;
    return p->framing == FRAMING_V2 ? frame_parse_v2(peer_at(p), avail, h)
                                    : frame_parse_v1(peer_at(p), avail, h);
}

static bool too_big(const struct peer *p, size_t size)
{
    return p->cfg.max_msg_size >= 0 && (uint64_t)size > (uint64_t)p->cfg.max_msg_size;
}

static void set_fast(struct peer *p)
{
    int max = 255;
    p->fast_max = -1;
    if (!p->ready || p->due_subscribe || p->big || p->framing != FRAMING_V2 || p->cfg.raw)
        return;
    if (p->overhead)
        return;
    if (p->cfg.max_msg_size >= 0 && p->cfg.max_msg_size < max)
        max = (int)p->cfg.max_msg_size;
    p->fast_max = max;
}

/* A message of buffered bytes; they are not consumed yet. */
static void buffered_msg(struct peer *p, struct msg *m, const uint8_t *data, size_t size)
{
    if (size <= MSG_INLINE_MAX) {
        (void)msg_init_copy(m, data, size);
        return;
    }
    if (p->in_refs == 0) {
        chunk_ref(p->in, PEER_REFS_AHEAD);
        p->in_refs = PEER_REFS_AHEAD;
    }
    p->in_refs--;
    msg_init_slice(m, p->in, data, size);
}

/* ---- handshake ---- */

/* Queues all commands that the mechanism has to send now. */
static int mechanism_pump(struct peer *p)
{
    for (;;) {
        if (!p->command) {
            struct command_buf b;
            command_buf_init(&b);
            int rc = p->mech->ops->next(p->mech, p, &b);
            if (rc <= 0) {
                command_buf_fini(&b);
                return rc;
            }
            p->command = b.data;
            p->command_len = b.len;
        }
        int rc = peer_put_own_command(p, p->command, p->command_len);
        if (rc)
            return rc;
        mem_free(p->command);
        p->command = NULL;
    }
}

bool peer_auth_pending(const struct peer *p)
{
    return p->state == PEER_HANDSHAKE && p->mech->ops->status(p->mech) == MECH_AUTH_PENDING;
}

void peer_credentials(const struct peer *p, struct peer_credentials *out)
{
    memset(out, 0, sizeof(*out));
    out->mechanism = p->mech->ops->name;
    if (p->mech->ops->credentials)
        p->mech->ops->credentials(p->mech, out);
}

void peer_auth(struct peer *p, struct meta *granted)
{
    if (!peer_auth_pending(p))
        return;
    if (granted)
        meta_ref(granted);
    p->granted = granted;
    p->mech->ops->admitted(p->mech);
    p->starved = false;
}

void peer_refuse(struct peer *p, uint32_t status)
{
    if (!peer_auth_pending(p))
        return;
    if (status >= 400)
        peer_put_error(p, status == 400 ? "400" : "500");
    peer_fail_for_good(p, PEER_FAIL_AUTH, status);
}

/* What the judge says of a peer counts more than what it says of itself. */
static int apply_granted(struct peer *p)
{
    struct cursor c = {p->granted ? p->granted->buf : NULL, p->granted ? p->granted->len : 0};
    uint8_t name_len;
    uint32_t value_len;
    const uint8_t *name, *value;
    while (cursor_u8(&c, &name_len) && cursor_take(&c, name_len, &name) &&
           cursor_be32(&c, &value_len) && cursor_take(&c, value_len, &value)) {
        int rc = meta_set(p->meta, (const char *)name, name_len, value, value_len);
        if (rc)
            return rc;
    }
    return 0;
}

static int handshake_step(struct peer *p, struct peer_event *ev)
{
    int rc = mechanism_pump(p);
    if (rc)
        return rc;
    switch (p->mech->ops->status(p->mech)) {
    case MECH_READY:
        rc = apply_granted(p);
        if (rc)
            return rc;
        peer_become_ready(p);
        return PEER_AGAIN;
    case MECH_AUTH_PENDING:
        if (p->auth_asked)
            return 0;
        p->auth_asked = true;
        ev->kind = PEER_EV_AUTH;
        return 1;
    default:
        break;
    }
    struct frame_head h;
    rc = peer_parse_frame(p, &h);
    if (rc == 0)
        return 0;
    if (rc < 0 || h.size > PEER_HANDSHAKE_MAX)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    if (peer_avail(p) < h.head + h.size) {
        p->frame_need = h.head + h.size;
        return 0;
    }
    rc = p->mech->ops->process(p->mech, p, peer_at(p) + h.head, h.size);
    if (rc)
        return rc;
    peer_consume(p, h.head + h.size);
    return PEER_AGAIN;
}

/* ---- traffic ---- */

/* What a flood of PINGs costs is bounded: of more than can wait, the last one is answered. */
static void put_pong(struct peer *p, const uint8_t *context, size_t len)
{
    if (p->pongs_due < PONGS_MAX)
        p->pongs_due++;
    struct pong *pong = &p->pongs[p->pongs_due - 1];
    pong->len = (uint8_t)(len < sizeof(pong->context) ? len : sizeof(pong->context));
    if (pong->len)
        memcpy(pong->context, context, pong->len);
}

static void got_ping(struct peer *p, const uint8_t *args, size_t len)
{
    if (len < 2)
        return;
    p->ttl_ns = get_be16(args) * 100 * PEER_NS_PER_MS;
    p->ttl_deadline = p->ttl_ns ? p->now + p->ttl_ns : PEER_NEVER;
    put_pong(p, args + 2, len - 2);
    if (p->ping_seen && p->now > p->ping_seen)
        p->ping_gap = p->now - p->ping_seen;
    p->ping_seen = p->now;
}

static void got_pong(struct peer *p, const uint8_t *args, size_t len)
{
    p->pings_queued = 0;
    if (len == 8 && p->ping_id && get_be64(args) == p->ping_id && p->now > p->ping_time)
        p->last_rtt_ns = p->now - p->ping_time;
}

/* 1: an event; PEER_AGAIN: none. What is unknown or malformed is ignored. */
static int command_event(struct peer *p, const uint8_t *body, size_t len, struct peer_event *ev)
{
    static const struct {
        const char *name;
        enum peer_event_kind kind;
    } events[] = {
        {"SUBSCRIBE", PEER_EV_SUBSCRIBE},
        {"CANCEL", PEER_EV_CANCEL},
        {"JOIN", PEER_EV_JOIN},
        {"LEAVE", PEER_EV_LEAVE},
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
        got_ping(p, args, args_len);
    else if (command_is(body, len, "PONG", &args, &args_len))
        got_pong(p, args, args_len);
    return PEER_AGAIN;
}

static int frame_event(struct peer *p, uint8_t flags, struct peer_event *ev)
{
    ev->kind = PEER_EV_FRAME;
    ev->msg.flags = flags & FRAME_MORE;
    p->part = flags & FRAME_MORE ? p->part + 1 : 0;
    return 1;
}

static bool is_command(const struct peer *p, uint8_t flags)
{
    return p->version_major >= 3 && (flags & FRAME_COMMAND);
}

static int big_begin(struct peer *p, const struct frame_head *h)
{
    size_t have = peer_avail(p) - h->head;
    size_t eager = p->big_eager + p->overhead;
    size_t cap = h->size < eager ? h->size : eager;
    if (cap < have)
        cap = have;
    struct blob *b = blob_pooled(p->cfg.pool, cap);
    if (!b)
        return -ENOMEM;
    p->big = b;
    p->big_cap = b->cap < h->size ? b->cap : h->size;
    p->big_size = h->size;
    p->big_flags = h->flags;
    p->big_have = have;
    /* Another may follow, and what a chunk holds of it is copied: the next one is a small one. */
    set_class(p, 0);
    memcpy(b->data, peer_at(p) + h->head, have);
    peer_consume(p, peer_avail(p));
    p->fast_max = -1;
    return 0;
}

static int too_many_parts(struct peer *p, uint8_t flags)
{
    if (p->part + 1 + (flags & FRAME_MORE) <= p->max_parts)
        return 0;
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
}

/* A sealed frame tells only inside what it is. */
static int open_frame(struct peer *p, uint8_t *body, size_t size, uint8_t *flags)
{
    int rc = p->mech->ops->open(p->mech, p, body, size, flags);
    if (rc || is_command(p, *flags))
        return rc;
    rc = too_many_parts(p, *flags);
    p->failure_final = rc; /* nobody but the owner of the key can have said it */
    return rc;
}

static int big_done(struct peer *p, struct peer_event *ev)
{
    struct msg m;
    int rc = p->overhead ? open_frame(p, p->big->data, p->big_size, &p->big_flags) : 0;
    if (rc)
        return rc;
    msg_init_own_blob(&m, p->big, p->big_size);
    m.u.x.data += p->overhead;
    m.u.x.size -= p->overhead;
    p->big = NULL;
    if (p->big_eager < p->big_size)
        p->big_eager = p->big_size < PEER_EAGER_MAX ? p->big_size : PEER_EAGER_MAX;
    set_fast(p);
    if (!is_command(p, p->big_flags)) {
        ev->msg = m;
        return frame_event(p, p->big_flags, ev);
    }
    p->held = m;
    if (p->big_flags & FRAME_MORE)
        return PEER_AGAIN;
    return command_event(p, msg_data(&m), msg_size(&m), ev);
}

static int frame_step(struct peer *p, struct peer_event *ev)
{
    if (p->big) {
        int rc = big_absorb(p);
        if (rc)
            return rc;
        return p->big_have < p->big_size ? 0 : big_done(p, ev);
    }
    struct frame_head h;
    int rc = peer_parse_frame(p, &h);
    if (rc == 0)
        return 0;
    /* The limit is on what the program gets, not on its wrapping. */
    if (rc < 0 || (h.size > p->overhead && too_big(p, h.size - p->overhead)))
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    bool command = is_command(p, h.flags);
    if (!command && !p->overhead && too_many_parts(p, h.flags))
        return -EPROTO;
    size_t total = h.head + h.size;
    if (peer_avail(p) < total) {
        if (h.size > PEER_OWN_BODY_MIN)
            return big_begin(p, &h);
        p->frame_need = total;
        return 0;
    }
    uint8_t *body = p->in->data + p->in_begin + h.head;
    if (p->overhead) {
        rc = open_frame(p, body, h.size, &h.flags);
        if (rc)
            return rc;
        body += p->overhead;
        h.size -= p->overhead;
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

static int traffic_step(struct peer *p, struct peer_event *ev)
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

int peer_next(struct peer *p, struct peer_event *ev)
{
    int rc;
    drop_held(p);
    do {
        switch (p->state) {
        case PEER_DEAD:
            rc = -EPROTO;
            break;
        case PEER_TRAFFIC:
            rc = traffic_step(p, ev);
            break;
        case PEER_HANDSHAKE:
            rc = handshake_step(p, ev);
            break;
        default:
            rc = greeting_step(p);
            break;
        }
    } while (rc == PEER_AGAIN);
    if (rc == 0)
        p->starved = true;
    return rc;
}

void peer_reassure(struct peer *p)
{
    if (!p->pongs_due)
        put_pong(p, NULL, 0);
}
