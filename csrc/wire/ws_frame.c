/* SPDX-License-Identifier: MIT */
#include "wire/ws_frame.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wire/frame.h"

enum opcode {
    OP_CONTINUATION = 0,
    OP_TEXT = 1,
    OP_BINARY = 2,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
};

#define FIN 0x80u
#define RESERVED 0x70u
#define MASKED 0x80u
/* The flags of ZWS. */
#define ZWS_MORE 1u
#define ZWS_COMMAND 2u
/* The longest PING that this side sends: its name, a TTL, a context. */
#define PING_BODY_MAX 32
#define CONTEXT_MAX 16
#define GATHER_FIRST 512

static const char ping_name[] = "\4PING";
static const char pong_name[] = "\4PONG";
#define NAME_LEN 5

/* ---- masks ---- */

/* Returns the place in the mask for what follows. */
static uint8_t apply_mask(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[4],
                          uint8_t at)
{
    size_t i = 0;
    uint8_t turned[8];
    uint64_t wide;
    for (unsigned k = 0; k < sizeof(turned); k++)
        turned[k] = key[(at + k) & 3];
    memcpy(&wide, turned, sizeof(wide));
    for (; len - i >= sizeof(wide); i += sizeof(wide)) {
        uint64_t v;
        memcpy(&v, in + i, sizeof(v));
        v ^= wide;
        memcpy(out + i, &v, sizeof(v));
    }
    for (; i < len; i++)
        out[i] = in[i] ^ key[(at + i) & 3];
    return (uint8_t)((at + len) & 3);
}

/* ---- in ---- */

void ws_decoder_init(struct ws_decoder *d, bool server, uint64_t max_gathered)
{
    memset(d, 0, sizeof(*d));
    d->server = server;
    d->max_gathered = d->gather_now = max_gathered;
}

void ws_decoder_hold(struct ws_decoder *d, uint64_t max_gathered)
{
    if (max_gathered < d->max_gathered)
        d->gather_now = max_gathered;
}

void ws_decoder_admit(struct ws_decoder *d)
{
    d->gather_now = d->max_gathered;
}

void ws_decoder_fini(struct ws_decoder *d)
{
    mem_free(d->parts);
    d->parts = NULL;
}

/* A command frame in front of all that follows. */
static void make_command(struct ws_decoder *d, const void *a, size_t a_len, const void *b,
                         size_t b_len)
{
    uint8_t *at = d->made;
    d->made_at = 0;
    d->made_len = (uint8_t)(frame_build_v2(at, FRAME_COMMAND, a_len + b_len) + a_len + b_len);
    memcpy(at + 2, a, a_len);
    if (b_len)
        memcpy(at + 2 + a_len, b, b_len);
}

void ws_decoder_open(struct ws_decoder *d, const char *protocol)
{
    make_command(d, protocol, strlen(protocol), NULL, 0);
}

static int wrong(struct ws_decoder *d, uint16_t code)
{
    d->close_code = code;
    return -EPROTO;
}

/* How long the header is as far as is known by now. */
static size_t head_need(const struct ws_decoder *d)
{
    if (d->head_len < 2)
        return 2;
    unsigned size = d->head[1] & 127u;
    return 2u + (size == 126 ? 2u : size == 127 ? 8u : 0u) + (d->head[1] & MASKED ? 4u : 0u);
}

/* The first two bytes of a header. */
static int check_head(struct ws_decoder *d)
{
    uint8_t first = d->head[0], second = d->head[1];
    d->opcode = first & 15;
    d->fin = first & FIN;
    if ((first & RESERVED) || !(second & MASKED) == d->server)
        return wrong(d, WS_CLOSE_PROTOCOL);
    switch (d->opcode) {
    case OP_CONTINUATION:
        return d->gathering ? 0 : wrong(d, WS_CLOSE_PROTOCOL);
    case OP_BINARY:
        return d->gathering ? wrong(d, WS_CLOSE_PROTOCOL) : 0;
    case OP_TEXT:
        return wrong(d, WS_CLOSE_UNSUPPORTED);
    case OP_CLOSE:
    case OP_PING:
    case OP_PONG:
        return d->fin && (second & 127u) <= WS_CONTROL_MAX ? 0 : wrong(d, WS_CLOSE_PROTOCOL);
    default:
        return wrong(d, WS_CLOSE_PROTOCOL);
    }
}

/* The whole header is there. */
static int begin_payload(struct ws_decoder *d)
{
    unsigned size = d->head[1] & 127u;
    size_t at = 2;
    d->left = size;
    if (size == 126) {
        d->left = get_be16(d->head + 2);
        at += 2;
    } else if (size == 127) {
        d->left = get_be64(d->head + 2);
        at += 8;
    }
    /* A length in more bytes than it needs is none. */
    if ((size == 126 && d->left < 126) || (size == 127 && d->left <= UINT16_MAX))
        return wrong(d, WS_CLOSE_PROTOCOL);
    if (d->left > FRAME_SIZE_LIMIT)
        return wrong(d, WS_CLOSE_TOO_BIG);
    if (d->server)
        memcpy(d->mask, d->head + at, 4);
    d->mask_at = 0;
    d->head_len = 0;
    d->in_payload = true;
    d->control_len = 0;
    if (d->opcode == OP_BINARY && !d->fin) {
        d->gathering = true;
        d->parts_len = 0;
    }
    if (d->gathering && d->opcode < OP_CLOSE && d->left > d->max_gathered - d->parts_len)
        return wrong(d, WS_CLOSE_TOO_BIG);
    d->flags_due = d->opcode == OP_BINARY && d->fin;
    return d->flags_due && d->left == 0 ? wrong(d, WS_CLOSE_PROTOCOL) : 0;
}

/* Of ZWS to those of ZMTP; -1: there are no such. */
static int flags_of(uint8_t zws)
{
    switch (zws) {
    case 0:
        return 0;
    case ZWS_MORE:
        return FRAME_MORE;
    case ZWS_COMMAND:
        return FRAME_COMMAND;
    default:
        return -1;
    }
}

/* The header of a frame of ZMTP that follows. */
static int make_head(struct ws_decoder *d, uint8_t zws, size_t size)
{
    int flags = flags_of(zws);
    if (flags < 0)
        return wrong(d, WS_CLOSE_PROTOCOL);
    d->made_at = 0;
    d->made_len = (uint8_t)frame_build_v2(d->made, (uint8_t)flags, size);
    return 0;
}

static int end_control(struct ws_decoder *d)
{
    static const uint8_t no_ttl[2];
    uint8_t n = d->control_len;
    switch (d->opcode) {
    case OP_PING: {
        uint8_t body[2 + CONTEXT_MAX];
        size_t context = n < CONTEXT_MAX ? n : CONTEXT_MAX;
        memcpy(d->ping, d->control, n);
        d->ping_len = n;
        d->pings++;
        memcpy(body, no_ttl, 2);
        memcpy(body + 2, d->control, context);
        make_command(d, ping_name, NAME_LEN, body, 2 + context);
        return 0;
    }
    case OP_PONG:
        make_command(d, pong_name, NAME_LEN, d->control, n);
        return 0;
    default:
        d->closed = true;
        d->close_code = n >= 2 ? get_be16(d->control) : 0;
        return n == 1 ? wrong(d, WS_CLOSE_PROTOCOL) : 0;
    }
}

static int gather(struct ws_decoder *d, const uint8_t *in, size_t n)
{
    if (n > d->gather_now - d->parts_len)
        return wrong(d, WS_CLOSE_TOO_BIG);
    if (n > d->parts_cap - d->parts_len) {
        size_t cap = d->parts_cap ? d->parts_cap * 2 : GATHER_FIRST;
        if (cap < d->parts_len + n)
            cap = d->parts_len + n;
        uint8_t *grown = mem_realloc(d->parts, cap);
        if (!grown)
            return -ENOMEM;
        d->parts = grown;
        d->parts_cap = cap;
    }
    if (d->server)
        d->mask_at = apply_mask(d->parts + d->parts_len, in, n, d->mask, d->mask_at);
    else
        memcpy(d->parts + d->parts_len, in, n);
    d->parts_len += n;
    return 0;
}

/* The last fragment is there. */
static int end_gathering(struct ws_decoder *d)
{
    d->gathering = false;
    if (d->parts_len == 0)
        return wrong(d, WS_CLOSE_PROTOCOL);
    d->gathered = true;
    d->parts_at = 1;
    return make_head(d, d->parts[0], d->parts_len - 1);
}

static void drop_parts(struct ws_decoder *d)
{
    mem_free(d->parts);
    d->parts = NULL;
    d->parts_len = d->parts_cap = d->parts_at = 0;
    d->gathered = false;
}

/* What is to be given out before any more is read: how many bytes of the room that took. */
static size_t give(struct ws_decoder *d, uint8_t *out, size_t room)
{
    size_t n = d->made_len - d->made_at;
    if (n > room)
        n = room;
    memcpy(out, d->made + d->made_at, n);
    d->made_at = (uint8_t)(d->made_at + n);
    if (!d->gathered || d->made_at < d->made_len)
        return n;
    size_t more = d->parts_len - d->parts_at;
    if (more > room - n)
        more = room - n;
    memcpy(out + n, d->parts + d->parts_at, more);
    d->parts_at += more;
    if (d->parts_at == d->parts_len)
        drop_parts(d);
    return n + more;
}

bool ws_decode_pending(const struct ws_decoder *d)
{
    return d->made_at < d->made_len || d->gathered;
}

size_t ws_decode_direct(const struct ws_decoder *d)
{
    if (!d->in_payload || d->flags_due || d->opcode != OP_BINARY || d->gathering || d->closed ||
        ws_decode_pending(d))
        return 0;
    return (size_t)d->left;
}

static void end_payload(struct ws_decoder *d)
{
    if (d->left == 0)
        d->in_payload = false;
}

void ws_decode_body(struct ws_decoder *d, uint8_t *data, size_t len)
{
    if (d->server)
        d->mask_at = apply_mask(data, data, len, d->mask, d->mask_at);
    d->left -= len;
    end_payload(d);
}

/* Takes from the payload: 0 or a negative errno. */
static int take_payload(struct ws_decoder *d, const uint8_t *in, size_t len, size_t *used,
                        uint8_t *out, size_t room, size_t *made)
{
    size_t n = d->left < len ? (size_t)d->left : len;
    int rc;
    *used = *made = 0;
    if (d->flags_due) {
        uint8_t flags = d->server ? in[0] ^ d->mask[0] : in[0];
        d->mask_at = 1;
        d->flags_due = false;
        d->left--;
        *used = 1;
        rc = make_head(d, flags, (size_t)d->left);
        end_payload(d);
        return rc;
    }
    if (d->opcode >= OP_CLOSE) {
        if (d->server)
            d->mask_at = apply_mask(d->control + d->control_len, in, n, d->mask, d->mask_at);
        else if (n)
            memcpy(d->control + d->control_len, in, n);
        d->control_len = (uint8_t)(d->control_len + n);
        d->left -= n;
        *used = n;
        end_payload(d);
        return d->in_payload ? 0 : end_control(d);
    }
    if (d->gathering) {
        rc = n ? gather(d, in, n) : 0;
        if (rc)
            return rc;
        d->left -= n;
        *used = n;
        end_payload(d);
        return d->in_payload || !d->fin ? 0 : end_gathering(d);
    }
    if (n > room)
        n = room;
    memcpy(out, in, n);
    ws_decode_body(d, out, n);
    *used = *made = n;
    return 0;
}

int ws_decode(struct ws_decoder *d, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
              size_t room, size_t *made)
{
    size_t at = 0, out_at = 0;
    int rc = 0;
    for (;;) {
        if (ws_decode_pending(d)) {
            out_at += give(d, out + out_at, room - out_at);
            if (ws_decode_pending(d))
                break;
        }
        if (d->closed)
            break;
        /* An empty payload asks for no input. */
        bool empty = d->in_payload && d->left == 0;
        if (!empty && at == len)
            break;
        if (!d->in_payload) {
            d->head[d->head_len++] = in[at++];
            if (d->head_len == 2)
                rc = check_head(d);
            if (rc == 0 && d->head_len >= 2 && d->head_len == head_need(d))
                rc = begin_payload(d);
        } else {
            if (out_at == room && ws_decode_direct(d))
                break;
            size_t took, gave;
            rc = take_payload(d, in + at, len - at, &took, out + out_at, room - out_at, &gave);
            at += took;
            out_at += gave;
        }
        if (rc)
            break;
    }
    *used = at;
    *made = out_at;
    return rc;
}

/* ---- out ---- */

/* The header of a frame; the mask is drawn anew. Its length. */
static size_t build_head(struct ws_encoder *e, uint8_t *out, enum opcode op, uint64_t size)
{
    size_t n = 2;
    out[0] = (uint8_t)(FIN | op);
    if (size <= 125) {
        out[1] = (uint8_t)size;
    } else if (size <= UINT16_MAX) {
        out[1] = 126;
        put_be16(out + 2, (uint16_t)size);
        n = 4;
    } else {
        out[1] = 127;
        put_be64(out + 2, size);
        n = 10;
    }
    e->key_at = 0;
    if (e->mask) {
        e->mask(e->arg, e->key);
        out[1] |= MASKED;
        memcpy(out + n, e->key, 4);
        n += 4;
    }
    return n;
}

static void put(struct ws_encoder *e, uint8_t *out, const uint8_t *in, size_t len)
{
    if (e->mask)
        e->key_at = apply_mask(out, in, len, e->key, e->key_at);
    else if (len)
        memcpy(out, in, len);
}

static bool has_name(const uint8_t *body, size_t len, const char *name)
{
    return len >= NAME_LEN && memcmp(body, name, NAME_LEN) == 0;
}

/* A header, and all of the body where it may be a PING or a PONG, are in `small`. */
static size_t begin_frame(struct ws_encoder *e, const struct frame_head *h, uint8_t *out,
                          const uint8_t *pong, size_t pong_len, bool *pong_used)
{
    const uint8_t *body = e->small + h->head;
    size_t have = e->small_len - h->head;
    size_t n;
    e->small_len = 0;
    e->left = 0;
    if (have && has_name(body, have, ping_name) && have >= NAME_LEN + 2) {
        n = build_head(e, out, OP_PING, have - NAME_LEN - 2);
        put(e, out + n, body + NAME_LEN + 2, have - NAME_LEN - 2);
        return n + have - NAME_LEN - 2;
    }
    if (have && has_name(body, have, pong_name)) {
        size_t len = have - NAME_LEN, head = pong_len < CONTEXT_MAX ? pong_len : CONTEXT_MAX;
        body += NAME_LEN;
        if (pong && len == head && (len == 0 || memcmp(pong, body, len) == 0)) {
            body = pong;
            len = pong_len;
            *pong_used = true;
        }
        n = build_head(e, out, OP_PONG, len);
        put(e, out + n, body, len);
        return n + len;
    }
    uint8_t flags = (uint8_t)(h->flags & FRAME_COMMAND ? ZWS_COMMAND : h->flags & FRAME_MORE);
    n = build_head(e, out, OP_BINARY, (uint64_t)h->size + 1);
    put(e, out + n, &flags, 1);
    put(e, out + n + 1, body, have);
    e->left = h->size - have;
    return n + 1 + have;
}

void ws_encode(struct ws_encoder *e, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
               size_t room, size_t *made, const uint8_t *pong, size_t pong_len, bool *pong_used)
{
    size_t at = 0, out_at = 0;
    *pong_used = false;
    while (at < len) {
        if (e->left) {
            size_t n = e->left < len - at ? (size_t)e->left : len - at;
            if (n > room - out_at)
                n = room - out_at;
            if (n == 0)
                break;
            put(e, out + out_at, in + at, n);
            e->left -= n;
            at += n;
            out_at += n;
            continue;
        }
        if (room - out_at < WS_ENCODE_ROOM)
            break;
        e->small[e->small_len++] = in[at++];
        struct frame_head h;
        if (frame_parse_v2(e->small, e->small_len, &h) != 1)
            continue;
        bool whole = (h.flags & FRAME_COMMAND) && h.size <= PING_BODY_MAX;
        if (whole && e->small_len < h.head + h.size)
            continue;
        bool answered = false;
        out_at += begin_frame(e, &h, out + out_at, *pong_used ? NULL : pong, pong_len, &answered);
        *pong_used |= answered;
    }
    *used = at;
    *made = out_at;
}

bool ws_encoder_at_boundary(const struct ws_encoder *e)
{
    return e->left == 0 && e->small_len == 0;
}

bool ws_close_code_is_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

size_t ws_encode_close(struct ws_encoder *e, uint8_t *out, uint16_t code)
{
    uint8_t reason[2];
    size_t len = code ? 2 : 0;
    put_be16(reason, code);
    size_t n = build_head(e, out, OP_CLOSE, len);
    put(e, out + n, reason, len);
    return n + len;
}
