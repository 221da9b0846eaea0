/* SPDX-License-Identifier: MIT */
/*
 * What the other end of a WebSocket may send. Input: flags, then the bytes. Flags: 01 they are a
 * request, 02 an answer, else frames, 04 as a server gets them; 08 with a small limit; the upper
 * bits say how the frames are cut.
 */
#include <errno.h>

#include "base/alloc.h"
#include "fuzz.h"
#include "wire/peer.h"
#include "wire/ws_frame.h"
#include "wire/ws_upgrade.h"

#define SMALL 100
#define OFFERS 15

static void read_head(const uint8_t *data, size_t size, bool request)
{
    char *answer = malloc(WS_TEXT_MAX);
    unsigned protocol = 0;
    size_t scanned = 0, at_once = 0;
    int head = 0;
    for (size_t len = 1; len <= size && head == 0; len++)
        head = ws_head_length(data, len, request, &scanned);
    /* The same in one go, but for where what is no head shows. */
    if (size) {
        int whole = ws_head_length(data, size, request, &at_once);
        CHECK(whole == head || whole < 0 || head < 0);
    }
    if (head > 0) {
        CHECK((size_t)head <= size && (size_t)head <= WS_HEAD_MAX);
        uint8_t *copy = malloc((size_t)head);
        memcpy(copy, data, (size_t)head);
        size_t len = 0;
        int rc = request ? ws_answer(answer, &len, copy, (size_t)head, "/a?b", OFFERS, &protocol)
                         : ws_check_answer(copy, (size_t)head, "AAAAAAAAAAAAAAAAAAAAAA==", OFFERS,
                                           &protocol);
        CHECK(rc >= 0 || rc == -EPROTO);
        CHECK(!!ws_protocol_name(protocol) == (rc == 0));
        if (request)
            CHECK(len > 0 && len < WS_TEXT_MAX && strlen(answer) == len);
        free(copy);
    }
    free(answer);
}

struct result {
    uint8_t *out;
    size_t len, cap;
    int rc;
    uint16_t code;
    bool closed;
};

static void add(struct result *r, const uint8_t *data, size_t len)
{
    if (!len)
        return;
    if (r->cap - r->len < len) {
        r->cap = (r->len + len) * 2;
        r->out = realloc(r->out, r->cap);
    }
    memcpy(r->out + r->len, data, len);
    r->len += len;
}

static void decode(struct result *r, const uint8_t *data, size_t size, bool server, uint64_t limit,
                   size_t cut, size_t room)
{
    struct ws_decoder d;
    uint8_t *out = malloc(room);
    size_t at = 0;
    memset(r, 0, sizeof(*r));
    ws_decoder_init(&d, server, limit);
    while (r->rc == 0 && (ws_decode_pending(&d) || (at < size && !d.closed))) {
        size_t n = size - at < cut ? size - at : cut, used = 0, made = 0;
        size_t direct = ws_decode_direct(&d);
        uint8_t *piece = malloc(n ? n : 1);
        memcpy(piece, data + at, n);
        if (direct && (room & 1) && n) {
            used = made = direct < n ? direct : n;
            ws_decode_body(&d, piece, used);
            add(r, piece, made);
        } else {
            r->rc = ws_decode(&d, piece, n, &used, out, room, &made);
            CHECK(used <= n && made <= room);
            CHECK(used || made || r->rc);
            add(r, out, made);
        }
        CHECK(d.parts_len <= limit && d.parts_cap <= 2 * size + 1024);
        at += used;
        free(piece);
    }
    CHECK(r->rc == 0 || (r->rc == -EPROTO && ws_close_code_is_valid(d.close_code)));
    r->code = d.close_code;
    r->closed = d.closed;
    ws_decoder_fini(&d);
    free(out);
}

static void mask(void *arg, uint8_t key[4])
{
    unsigned *n = arg;
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(++*n * 37);
}

/* What was decoded is frames of ZMTP: they are encoded and decoded again. */
static void turn_round(const struct result *r, bool masks, size_t cut)
{
    unsigned n = 0;
    struct ws_encoder e = {.mask = masks ? mask : NULL, .arg = &n};
    struct result coded = {0}, again;
    uint8_t out[WS_ENCODE_ROOM + 50];
    for (size_t at = 0; at < r->len;) {
        size_t piece = r->len - at < cut ? r->len - at : cut, used, made;
        bool answered;
        ws_encode(&e, r->out + at, piece, &used, out, sizeof(out), &made, NULL, 0, &answered);
        CHECK(used && used <= piece && made <= sizeof(out));
        add(&coded, out, made);
        at += used;
    }
    decode(&again, coded.out, coded.len, masks, UINT64_MAX, 1000, 999);
    CHECK_EQ(again.rc, 0);
    CHECK(again.len <= r->len); /* the peer ends within a frame, or with commands of its own */
    free(coded.out);
    free(again.out);
}

/* A peer that reads it after a subprotocol. */
static void feed_peer(const struct result *r, const char *protocol, size_t cut)
{
    struct pool *pool;
    CHECK_EQ(pool_create(&pool), 0);
    struct peer *p = malloc(sizeof(*p));
    struct outq q;
    struct peer_config cfg = {.pool = pool, .socket_type = 1, .max_msg_size = 1 << 20, .ws = true};
    uint8_t head[64] = {4, (uint8_t)strlen(protocol)};
    size_t head_len = 2 + head[1], at = 0;
    memcpy(head + 2, protocol, head[1]);
    outq_init(&q, pool);
    CHECK_EQ(peer_init(p, &cfg, 1), 0);
    int rc = 0;
    while (rc >= 0 && at < head_len + r->len) {
        const uint8_t *from = at < head_len ? head + at : r->out + at - head_len;
        size_t n = at < head_len ? head_len - at : head_len + r->len - at, room;
        uint8_t *buf;
        if (n > cut)
            n = cut;
        CHECK_EQ(peer_recv_buf(p, &buf, &room), 0);
        if (n > room)
            n = room;
        memcpy(buf, from, n);
        peer_recv_done(p, n, at + 2);
        at += n;
        struct peer_event ev;
        while ((rc = peer_next(p, &ev)) == 1)
            if (ev.kind == PEER_EV_FRAME)
                msg_drop(&ev.msg);
        struct iovec iov[8];
        int count = peer_send_iov(p, &q, iov, 8);
        CHECK(count >= 0);
        size_t total = 0;
        for (int i = 0; i < count; i++)
            total += iov[i].iov_len;
        CHECK(total < 8192); /* answers to PINGs do not pile up */
        peer_sent(p, &q, total);
    }
    peer_fini(p);
    outq_fini(&q);
    free(p);
    pool_release(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned flags = input_u8(&in);
    if (flags & 3) {
        read_head(in.at, in.left, flags & 1);
        return 0;
    }
    static const size_t cuts[] = {1, 2, 7, 33};
    bool server = flags & 4;
    uint64_t limit = flags & 8 ? SMALL : UINT64_MAX / 2;
    struct result whole, parts;
    decode(&whole, in.at, in.left, server, limit, SIZE_MAX, 4096);
    decode(&parts, in.at, in.left, server, limit, cuts[flags >> 4 & 3], 1 + (flags >> 6) * 8);
    CHECK(whole.rc == parts.rc && whole.code == parts.code && whole.closed == parts.closed);
    CHECK_EQ(whole.len, parts.len);
    if (whole.len) {
        CHECK_MEM(whole.out, parts.out, whole.len);
        turn_round(&whole, server, cuts[flags >> 4 & 3]);
    }
    feed_peer(&whole, flags & 64 ? "ZWS2.0" : "ZWS2.0/NULL", cuts[flags >> 4 & 3] * 11);
    free(whole.out);
    free(parts.out);
    return 0;
}
