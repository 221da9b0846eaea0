/* SPDX-License-Identifier: MIT */
/*
 * The protocol of one connection, without I/O: ZMTP 3.1 down to 1.0, both roles. Bytes go in
 * through peer_recv_buf/peer_recv_done, events come out of peer_next; what to write comes from
 * peer_send_iov. Time is an argument. Not thread-safe: the socket's lock covers a peer, except that
 * between peer_recv_buf and peer_recv_done the buffer may be filled, and between peer_send_iov and
 * peer_sent the pieces written, with the lock let go.
 *
 * The states, in order (a peer never goes back):
 *
 *   SIGNATURE  ours is queued; the peer's first bytes tell ZMTP 1.0 from later ones
 *   VERSION    the peer's revision picks the framing and whether there is a mechanism
 *   GREETING   the rest of the 64-byte greeting (3.x)
 *   IDENTITY   2.0 and 1.0: the peer's first message is its identity
 *   HANDSHAKE  the mechanism's commands (3.x)
 *   TRAFFIC    messages, commands
 *   DEAD       a protocol error, an ERROR command or a timeout: sticky
 *
 * Nothing a peer sends makes this assert, recurse, or allocate more than PEER_OWN_BODY_MIN on the
 * mere word of a length field: a large body's memory doubles as its bytes arrive.
 */
#ifndef WIRE_PEER_H
#define WIRE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "msg/meta.h"
#include "msg/msg.h"
#include "msg/pool.h"
#include "wire/outq.h"

/* A body larger than this is read into memory of its own instead of a chunk. */
#define PEER_OWN_BODY_MIN ((size_t)64 << 10)
/* The first allocation for a large body is what the connection's largest one had, up to this. */
#define PEER_EAGER_MAX ((size_t)1 << 20)
#define PEER_DEFAULT_MAX_PARTS 65535u
/* The longest command of a handshake, to which max_msg_size does not apply. */
#define PEER_HANDSHAKE_MAX ((size_t)64 << 10)
/* References on the chunk taken at once, so that a slice costs no atomic operation. */
#define PEER_REFS_AHEAD 64u

/* Why a connection ended, as the monitor tells it. */
enum peer_failure {
    PEER_OK,
    PEER_FAIL_PROTOCOL,  /* code: one of the PROTO_ codes */
    PEER_FAIL_AUTH,      /* code: 300, 400 or 500 */
    PEER_FAIL_NO_DETAIL, /* code: errno (handshake timeout) */
    PEER_FAIL_TIMEOUT,   /* heartbeat expired; code: ETIMEDOUT */
};

/* Protocol error codes, the values of libzmq's monitor. */
#define PROTO_ZMTP_UNSPECIFIED 0x10000000
#define PROTO_ZMTP_UNEXPECTED_COMMAND 0x10000001
#define PROTO_ZMTP_INVALID_SEQUENCE 0x10000002
#define PROTO_ZMTP_KEY_EXCHANGE 0x10000003
#define PROTO_ZMTP_MALFORMED_UNSPECIFIED 0x10000011
#define PROTO_ZMTP_MALFORMED_MESSAGE 0x10000012
#define PROTO_ZMTP_MALFORMED_HELLO 0x10000013
#define PROTO_ZMTP_MALFORMED_INITIATE 0x10000014
#define PROTO_ZMTP_MALFORMED_ERROR 0x10000015
#define PROTO_ZMTP_MALFORMED_READY 0x10000016
#define PROTO_ZMTP_MALFORMED_WELCOME 0x10000017
#define PROTO_ZMTP_INVALID_METADATA 0x10000018
#define PROTO_ZMTP_CRYPTOGRAPHIC 0x11000001
#define PROTO_ZMTP_MECHANISM_MISMATCH 0x11000002
/* fastmq's own: it went beyond MAX_SUBSCRIPTIONS. */
#define PROTO_TOO_MANY_SUBSCRIPTIONS 0x70000001

/* The numbers of ZeroMQ's MECHANISM option. */
enum peer_mechanism { PEER_MECH_NULL = 0, PEER_MECH_PLAIN = 1, PEER_MECH_CURVE = 2 };

/* How the peer is to be secured. What is pointed to is copied by peer_init; keys have 32 bytes. */
struct peer_security {
    enum peer_mechanism mechanism;
    bool server;
    /* The handshake waits for peer_auth before it lets the peer in (PEER_EV_AUTH). A PLAIN server
     * always does, a client of PLAIN or CURVE never. */
    bool asks;
    const uint8_t *username, *password; /* PLAIN client; <= 255 */
    size_t username_len, password_len;
    const uint8_t *public_key; /* CURVE client; NULL: the one that belongs to secret_key */
    const uint8_t *secret_key; /* CURVE */
    const uint8_t *server_key; /* CURVE client */
};

/* What a peer shows for itself, to be judged by somebody else. */
struct peer_credentials {
    const char *mechanism;
    int count;
    struct {
        const uint8_t *data;
        size_t len;
    } part[2];
};

struct peer_config {
    struct pool *pool;
    int socket_type;            /* FMQ_PAIR ... as in fastmq.h: also the id of ZMTP 1/2 */
    const uint8_t *identity;    /* own routing id; copied by peer_init */
    size_t identity_len;        /* <= 255 */
    const uint8_t *extra_props; /* application's X- properties in meta.h's encoding; copied */
    size_t extra_props_len;
    int64_t max_msg_size;                        /* bytes a frame of traffic, -1: no limit */
    uint32_t max_parts;                          /* frames a message; 0: PEER_DEFAULT_MAX_PARTS */
    uint32_t handshake_ms;                       /* 0: no limit */
    uint32_t heartbeat_ivl_ms, heartbeat_ttl_ms; /* 0: off */
    int32_t heartbeat_timeout_ms;                /* -1: the interval */
    size_t raw_max; /* raw: largest piece delivered as one message (8192) */
    bool raw;       /* no protocol at all: READY at once, FRAME events of plain bytes */
    bool v3_only;   /* refuse ZMTP 1 and 2, as any mechanism but NULL does, and one that asks */
    struct peer_security security;
};

enum peer_event_kind {
    PEER_EV_READY,     /* handshake done: remote_* and meta are set */
    PEER_EV_FRAME,     /* `msg`: one frame, MORE set on all but the last; ownership passes */
    PEER_EV_SUBSCRIBE, /* topic: `data`, valid until the next call on the peer */
    PEER_EV_CANCEL,
    PEER_EV_JOIN, /* group: `data` */
    PEER_EV_LEAVE,
    PEER_EV_AUTH, /* once, before READY: peer_credentials wait for peer_auth or peer_refuse */
};

struct peer_event {
    enum peer_event_kind kind;
    struct msg msg;
    const uint8_t *data;
    size_t len;
};

#define PONGS_MAX 4

/* A PING that is to be answered. */
struct pong {
    uint8_t len;
    uint8_t context[16];
};

enum peer_state {
    PEER_SIGNATURE,
    PEER_VERSION,
    PEER_GREETING,
    PEER_IDENTITY,
    PEER_HANDSHAKE,
    PEER_TRAFFIC,
    PEER_DEAD
};

enum peer_framing { FRAMING_V1, FRAMING_V2 };

struct mechanism; /* wire/mechanism.h */

struct peer {
    enum peer_state state;
    enum peer_framing framing; /* of what is sent and received after the version is known */
    uint8_t version_major, version_minor; /* the peer's: 1.0, 2.0, 3.0, 3.1 */
    bool ready;                           /* READY was delivered: traffic may be sent */

    enum peer_failure failure; /* once DEAD */
    uint32_t failure_code;
    /* No better answer is to be expected of this peer: it said so (ERROR), or its wrong answer came
     * under its key. Whoever holds its port for a while, or a line to it, can make any other
     * failure. */
    bool failure_final;

    /* The peer's own words, from READY on. */
    int remote_type; /* socket type, -1 when it did not say */
    uint8_t remote_identity[255];
    uint8_t remote_identity_len;
    struct meta *meta; /* its properties; the connection adds Peer-Address */

    uint64_t ping_gap; /* ns between the last two PINGs received; 0: fewer than two came */
    uint64_t ping_seen;
    uint64_t last_rtt_ns; /* of the last PING that was answered; 0: none yet */

    /* private to peer.c and inline readers: (implementer adds fields below) */
    struct peer_config cfg;
    struct chunk *in; /* NULL while nothing is buffered */
    size_t in_begin, in_end;
    unsigned in_refs;  /* references on `in` taken ahead for slices */
    unsigned in_class; /* the size of chunk that the traffic asks for */
    unsigned in_lean;  /* reads in a row that needed far less */
    size_t in_offered; /* length of the last peer_recv_buf */
    size_t frame_need; /* bytes of the frame at in_begin, once its header is known */
    int fast_max;      /* peer_next_small's largest body, -1: not now */
    uint32_t part;     /* frames of the current message that were delivered */
    uint32_t max_parts;

    struct blob *big; /* the large body being received */
    size_t big_size, big_cap, big_have;
    size_t big_eager; /* the first allocation for the next one */
    uint8_t big_flags;
    struct msg held; /* keeps an event's `data` alive until the next call */

    bool recv_big; /* the last peer_recv_buf was memory of the large body */

    struct mechanism *mech;
    size_t overhead;      /* of a sealed frame; 0: traffic is not sealed */
    bool auth_asked;      /* PEER_EV_AUTH was delivered */
    struct meta *granted; /* what peer_auth adds to the peer's properties */
    void *cfg_mem;
    uint8_t *command; /* a handshake command that waits for memory to be queued */
    size_t command_len;
    struct outq own;     /* what goes out before the pipe's queue, or instead of it (ZMTP 1.0,
                          * sealed traffic) */
    size_t own_offered;  /* how much of it the last peer_send_iov gave out */
    struct msg v1_taken; /* ZMTP 1.0: taken from the pipe's queue, not yet encoded */
    bool has_v1_taken;
    bool v1_mid_msg;
    bool unversioned;              /* ZMTP 1.0: our signature was the head of our identity frame */
    bool may_error;                /* an ERROR command would be understood */
    bool due_ready, due_subscribe; /* events that are not caused by a frame */
    bool starved;                  /* the last peer_next wanted more bytes */

    struct pong pongs[PONGS_MAX]; /* to be answered, the oldest first */
    unsigned pongs_due;
    unsigned pings_queued;
    uint64_t ping_id, ping_time;
    uint64_t now, handshake_deadline, ping_next, timeout_deadline, ttl_deadline;
    uint64_t ttl_ns;
};

/* Copies what it needs of cfg; queues the first greeting bytes. 0 or -ENOMEM. */
int peer_init(struct peer *p, const struct peer_config *cfg, uint64_t now);
void peer_fini(struct peer *p);

/*
 * Where the next received bytes belong: the tail of the chunk, or directly the memory of the large
 * body being received. *len > 0. 0 or -ENOMEM. With partial data kept, the chunk's size follows the
 * traffic: it grows to CHUNK_LARGE when reads fill it, and shrinks again.
 */
int peer_recv_buf(struct peer *p, uint8_t **buf, size_t *len);
/* n bytes (possibly 0) were put there at time `now`. */
void peer_recv_done(struct peer *p, size_t n, uint64_t now);

/* 1: *ev is the next event; 0: needs more bytes (when nothing is buffered, a chunk is kept at most
 * for the next read: peer_trim gives it back); -EPROTO: the connection is over (failure tells why);
 * -ENOMEM: try again later, nothing lost. */
int peer_next(struct peer *p, struct peer_event *ev);
/*
 * peer_next for the commonest case, a small frame of plain traffic that is wholly buffered: 1 with
 * the frame in *out; 0: ask peer_next.
 */
static inline int peer_next_small(struct peer *p, struct msg *out)
{
    size_t avail = p->in_end - p->in_begin;
    if (avail < 2)
        return 0;
    const uint8_t *d = p->in->data + p->in_begin;
    size_t size = d[1];
    uint32_t more = d[0];
    if (more > 1 || (int)size > p->fast_max || size > avail - 2)
        return 0;
    if (p->part + 1 + more > p->max_parts)
        return 0;
    p->part = (p->part + 1) & (0u - more);
    p->in_begin += size + 2;
    d += 2;
    if (size <= MSG_INLINE_MAX) {
        msg_init(out);
        /* A copy of fixed length is cheaper, but must not reach into what is being received. */
        if (avail - 2 >= MSG_INLINE_MAX)
            memcpy(out->u.inl, d, MSG_INLINE_MAX);
        else if (size)
            memcpy(out->u.inl, d, size);
        out->inl_len = (uint8_t)size;
    } else {
        if (p->in_refs == 0) {
            chunk_ref(p->in, PEER_REFS_AHEAD);
            p->in_refs = PEER_REFS_AHEAD;
        }
        p->in_refs--;
        msg_init_slice(out, p->in, d, size);
    }
    out->flags = (uint8_t)more;
    return 1;
}

/* Gives back the memory kept for the next read, if nothing is buffered. For connections that went
 * idle; not while a read or a write is under way. */
void peer_trim(struct peer *p);

/* True when undecoded bytes are buffered, so peer_next may yield without new bytes. */
bool peer_buffered(const struct peer *p);

/* True when there is something to write: handshake bytes, or (once ready) frames of q. */
bool peer_wants_write(const struct peer *p, const struct outq *q);
/* Pieces to write next, up to max (>= 8): handshake bytes first, then q when ready, re-encoded
 * through a private queue for ZMTP 1.0 peers and where traffic is sealed. Count (0: nothing), or
 * -ENOMEM. */
int peer_send_iov(struct peer *p, struct outq *q, struct iovec *iov, int max);
/* The kernel took n of them. */
void peer_sent(struct peer *p, struct outq *q, size_t n);

/* Timers: heartbeats (PINGs are appended to q) and deadlines. Returns the next time it wants to be
 * called (CLOCK_NEVER-like UINT64_MAX: none). A deadline that passed makes the peer DEAD. */
uint64_t peer_tick(struct peer *p, struct outq *q, uint64_t now);

/* A sign of life without having been asked: keeps the heartbeat of a peer quiet that is not read
 * for a while (RCVHWM). Goes out with the next peer_send_iov. */
void peer_reassure(struct peer *p);

/* Queues a subscription change in the form that this peer understands: SUBSCRIBE/CANCEL commands
 * for 3.1, the 01/00 message otherwise. 0 or -ENOMEM. Only when ready. */
int peer_put_subscription(struct peer *p, struct outq *q, const void *topic, size_t len, bool add);

/* The ERROR command, best effort, as last words before the connection is closed. */
void peer_put_error(struct peer *p, const char *reason);

/* The connection is over; the first reason stays. Returns -EPROTO. */
int peer_fail(struct peer *p, enum peer_failure failure, uint32_t code);
/* The same, and the failure is final. */
int peer_fail_for_good(struct peer *p, enum peer_failure failure, uint32_t code);

/* True after PEER_EV_AUTH, until it is answered: peer_next yields nothing meanwhile. */
bool peer_auth_pending(const struct peer *p);
/* Borrowed until the answer. */
void peer_credentials(const struct peer *p, struct peer_credentials *out);
/* The answer yes. `granted` (may be NULL; a reference is taken) overrides the peer's own properties
 * of the same name. Call peer_next afterwards. */
void peer_auth(struct peer *p, struct meta *granted);
/* The answer no, with a status of ZAP: 400 and 500 are told to the peer (write what peer_send_iov
 * has before closing), 300 is not, so that it tries again. The peer is DEAD. */
void peer_refuse(struct peer *p, uint32_t status);

/* True when a peer of remote_type may talk to a socket of `type` (RFC table). -1 (unknown) is
 * accepted. */
bool peer_types_match(int type, int remote_type);
/* Identities that begin with a zero byte are those that a ROUTER makes up for peers that have none.
 * Whoever could claim one would get the replies to a peer that left: such a claim counts as none.
 */
static inline bool peer_identity_is_reserved(const uint8_t *id, size_t len)
{
    return len > 0 && id[0] == 0;
}
const char *peer_type_name(int type);                     /* "REQ"; NULL: no such type */
int peer_type_from_name(const uint8_t *name, size_t len); /* -1: unknown */

#endif
