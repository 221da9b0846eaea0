/* SPDX-License-Identifier: MIT */
/*
 * The greeting. Each side sends as much as it knows the other to understand: ten bytes that an old
 * peer takes for the header of its first message, then the version, then the rest.
 *
 * Where the peer is known to speak ZMTP 3, or older ones are refused anyway, all 64 bytes go out at
 * once, which spares a round trip. An older peer makes no message of them: after an empty identity
 * ZMTP 1.0 reads a first part "NU" with more to come, and a second one that is longer than the
 * rest; after a longer one it reads a size that is too long, or 0, which is none. ZMTP 2.0 reads a
 * size of more than 2^62. Only after an identity of one byte would ZMTP 1.0 read an empty message.
 * The connection ends then, and the next one goes in steps.
 */
#include "wire/greeting.h"

#include <errno.h>
#include <string.h>

#include "wire/heartbeat.h"
#include "wire/mechanism.h"
#include "wire/types.h"

enum {
    SIGNATURE_LEN = 10,
    MAJOR = 3,
    REST_LEN = 53, /* minor, mechanism, as-server, filler: what follows the major */
    REVISION_1_0 = 0,
    REVISION_3_0 = 3
};

#define WS_NAME "ZWS2.0"

static bool goes_at_once(const struct peer *p)
{
    return (p->cfg.at_once || p->cfg.v3_only) && p->cfg.identity_len != 1;
}

static void put_rest(const struct peer *p, uint8_t *rest)
{
    memset(rest, 0, REST_LEN);
    rest[0] = 1;
    memcpy(rest + 1, p->mech->ops->name, MECHANISM_NAME_LEN);
}

int greeting_start(struct peer *p)
{
    uint8_t all[SIGNATURE_LEN + 1 + REST_LEN];
    all[0] = 0xff;
    put_be64(all + 1, (uint64_t)p->cfg.identity_len + 1);
    all[9] = 0x7f;
    all[SIGNATURE_LEN] = MAJOR;
    put_rest(p, all + SIGNATURE_LEN + 1);
    return outq_put_bytes(&p->tx.buf, all, goes_at_once(p) ? sizeof(all) : SIGNATURE_LEN);
}

static bool refuses_old(const struct peer *p)
{
    return p->cfg.v3_only || goes_at_once(p);
}

static int refuse_old(struct peer *p)
{
    if (!p->cfg.v3_only) /* it was not known well enough: another attempt may succeed */
        return peer_fail(p, PEER_FAIL_NO_DETAIL, EPROTONOSUPPORT);
    return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MECHANISM_MISMATCH);
}

static int signature_step(struct peer *p)
{
    size_t n = peer_avail(p);
    if (n == 0)
        return 0;
    const uint8_t *d = peer_at(p);
    if (d[0] == 0xff && n < SIGNATURE_LEN)
        return 0;
    /* The last byte of a signature has its low bit set; in a long identity frame it is the flags.
     */
    if (d[0] != 0xff || !(d[9] & 1)) {
        if (refuses_old(p))
            return refuse_old(p);
        /* Our signature was the header of our identity frame: only its body is missing. */
        int rc = outq_put_bytes(&p->tx.buf, p->cfg.identity, p->cfg.identity_len);
        if (rc)
            return rc;
        p->unversioned = true;
        p->version_major = 1;
        p->framing = FRAMING_V1;
        p->state = PEER_IDENTITY;
        return PEER_AGAIN;
    }
    uint8_t major = MAJOR;
    int rc = goes_at_once(p) ? 0 : outq_put_bytes(&p->tx.buf, &major, 1);
    if (rc)
        return rc;
    peer_consume(p, SIGNATURE_LEN);
    p->state = PEER_VERSION;
    return PEER_AGAIN;
}

/* ZMTP 2.0, and 1.0 with a version: the socket type and the identity frame, all at once. */
static int answer_old(struct peer *p, uint8_t revision)
{
    uint8_t out[1 + FRAME_HEAD_MAX + 255];
    size_t n = 1;
    size_t len = p->cfg.identity_len;
    out[0] = (uint8_t)p->cfg.socket_type;
    if (revision == REVISION_1_0)
        n += frame_build_v1(out + n, 0, len);
    else
        n += frame_build_v2(out + n, 0, len);
    if (len)
        memcpy(out + n, p->cfg.identity, len);
    int rc = outq_put_bytes(&p->tx.buf, out, n + len);
    if (rc)
        return rc;
    p->version_major = revision == REVISION_1_0 ? 1 : 2;
    p->framing = revision == REVISION_1_0 ? FRAMING_V1 : FRAMING_V2;
    return 0;
}

static int answer_v3(struct peer *p)
{
    uint8_t rest[REST_LEN];
    put_rest(p, rest);
    int rc = goes_at_once(p) ? 0 : outq_put_bytes(&p->tx.buf, rest, sizeof(rest));
    if (rc)
        return rc;
    p->version_major = 3;
    p->framing = FRAMING_V2;
    return 0;
}

static int version_step(struct peer *p)
{
    if (peer_avail(p) == 0)
        return 0;
    uint8_t revision = *peer_at(p);
    if (revision < REVISION_3_0 && refuses_old(p))
        return refuse_old(p);
    int rc = revision < REVISION_3_0 ? answer_old(p, revision) : answer_v3(p);
    if (rc)
        return rc;
    /* Versions to come are spoken to as 3.1, whatever their minor. */
    p->version_minor = revision > REVISION_3_0;
    peer_consume(p, 1);
    p->state = PEER_GREETING;
    return PEER_AGAIN;
}

static int rest_step(struct peer *p)
{
    size_t need = p->version_major < 3 ? 1 : REST_LEN;
    if (peer_avail(p) < need)
        return 0;
    const uint8_t *d = peer_at(p);
    if (p->version_major < 3) {
        if (type_name(*d))
            p->remote.type = *d;
        p->state = PEER_IDENTITY;
    } else {
        if (memcmp(d + 1, p->mech->ops->name, MECHANISM_NAME_LEN) != 0)
            return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MECHANISM_MISMATCH);
        if (d[0])
            p->version_minor = 1;
        p->handshake.may_error = true;
        p->state = PEER_HANDSHAKE;
    }
    peer_consume(p, need);
    return PEER_AGAIN;
}

static int identity_meta(struct peer *p, const uint8_t *id, size_t len)
{
    struct meta *meta = meta_new();
    if (!meta)
        return -ENOMEM;
    const char *type = type_name(p->remote.type);
    int rc = 0;
    if (type)
        rc = meta_set(meta, "Socket-Type", 11, type, strlen(type));
    if (rc == 0 && len)
        rc = meta_set(meta, "Identity", 8, id, len);
    if (rc) {
        meta_unref(meta);
        return rc;
    }
    p->remote.meta = meta;
    return 0;
}

static int identity_step(struct peer *p)
{
    struct frame_head h;
    int rc = peer_parse_frame(p, &h);
    if (rc == 0)
        return 0;
    if (rc < 0)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MALFORMED_MESSAGE);
    if (h.size > sizeof(p->remote.identity))
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_INVALID_METADATA);
    if (peer_avail(p) < h.head + h.size) {
        p->rx.frame_need = h.head + h.size;
        return 0;
    }
    if (heartbeat_before_ready(p, &h))
        return PEER_AGAIN;
    const uint8_t *id = peer_at(p) + h.head;
    size_t len = peer_identity_is_reserved(id, h.size) ? 0 : h.size;
    rc = identity_meta(p, id, len);
    if (rc)
        return rc;
    memcpy(p->remote.identity, id, len);
    p->remote.identity_len = (uint8_t)len;
    peer_consume(p, h.head + h.size);
    peer_become_ready(p);
    return PEER_AGAIN;
}

/* The subprotocol of a WebSocket, in the place of a greeting. Commands are known, but subscriptions
 * are messages, as in ZMTP 3.0. */
static int upgrade_step(struct peer *p)
{
    struct frame_head h;
    if (peer_parse_frame(p, &h) != 1 || peer_avail(p) < h.head + h.size)
        return 0;
    const uint8_t *name = peer_at(p) + h.head;
    size_t len = strlen(WS_NAME);
    if (h.size < len || memcmp(name, WS_NAME, len) != 0)
        return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MECHANISM_MISMATCH);
    name += len;
    len = h.size - len;
    if (len == 0) {
        uint8_t id[FRAME_HEAD_MAX + 255];
        size_t head = frame_build_v2(id, 0, p->cfg.identity_len);
        if (p->cfg.v3_only)
            return refuse_old(p);
        if (p->cfg.identity_len)
            memcpy(id + head, p->cfg.identity, p->cfg.identity_len);
        int rc = outq_put_bytes(&p->tx.buf, id, head + p->cfg.identity_len);
        if (rc)
            return rc;
        p->state = PEER_IDENTITY;
    } else {
        const char *own = p->mech->ops->name;
        if (name[0] != '/' || len - 1 != strlen(own) || memcmp(name + 1, own, len - 1) != 0)
            return peer_fail(p, PEER_FAIL_PROTOCOL, PROTO_ZMTP_MECHANISM_MISMATCH);
        p->handshake.may_error = true;
        p->state = PEER_HANDSHAKE;
    }
    p->version_major = 3;
    peer_consume(p, h.head + h.size);
    return PEER_AGAIN;
}

int greeting_step(struct peer *p)
{
    switch (p->state) {
    case PEER_UPGRADE:
        return upgrade_step(p);
    case PEER_SIGNATURE:
        return signature_step(p);
    case PEER_VERSION:
        return version_step(p);
    case PEER_GREETING:
        return rest_step(p);
    default:
        return identity_step(p);
    }
}
