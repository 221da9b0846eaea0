/* SPDX-License-Identifier: MIT */
/*
 * The state of one connection's protocol, which all files of the peer share, and the changes of it
 * that any of them may make: the connection fails, the handshake is done, a command is queued. What
 * users of a peer call is declared in wire/peer.h and in the headers that it includes.
 */
#ifndef WIRE_PEER_STATE_H
#define WIRE_PEER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg/meta.h"
#include "msg/msg.h"
#include "msg/pool.h"
#include "wire/frame.h"
#include "wire/outq.h"

/* A body larger than this is read into memory of its own instead of a chunk. */
#define PEER_OWN_BODY_MIN ((size_t)64 << 10)
/* The first allocation for a large body is what the connection's largest one had, up to this. */
#define PEER_EAGER_MAX ((size_t)64 << 20)
#define PEER_DEFAULT_MAX_PARTS 65535u
/* The longest command of a handshake, to which max_msg_size does not apply. */
#define PEER_HANDSHAKE_MAX ((size_t)64 << 10)
#define PEER_NEVER UINT64_MAX /* a time that does not come */
#define PEER_NS_PER_MS UINT64_C(1000000)

/* Why a connection ended, as the monitor reports it. */
enum peer_failure {
    PEER_OK,
    PEER_FAIL_PROTOCOL,  /* code: one of the PROTO_ codes */
    PEER_FAIL_AUTH,      /* code: 300, 400 or 500 */
    PEER_FAIL_NO_DETAIL, /* code: errno (ETIMEDOUT, or EPROTONOSUPPORT: see at_once) */
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
/* fastmq's own: it sends messages in several parts to a type whose messages have one. */
#define PROTO_WRONG_PARTS 0x70000002
/* What is no WebSocket, or not one of this kind. */
#define PROTO_WS_UNSPECIFIED 0x30000000
/* ... packets of a multicast source are lost for good, and with them what messages they held. */
#define PROTO_PACKETS_LOST 0x70000003

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

/* What a peer shows to an authenticator. */
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
    bool ws;        /* over a WebSocket (wire/ws_frame.h): its subprotocol is the greeting */
    bool at_once;   /* the peer is known to speak ZMTP 3: its greeting is not waited for */
    struct peer_security security;
};

enum peer_event_kind {
    PEER_EV_READY,     /* handshake done: `remote` is set */
    PEER_EV_FRAME,     /* `msg`: one frame, MORE set on all but the last; ownership passes */
    PEER_EV_SUBSCRIBE, /* topic: `data`, valid until the next call on the peer */
    PEER_EV_CANCEL,
    PEER_EV_JOIN, /* group: `data` */
    PEER_EV_LEAVE,
    PEER_EV_SWITCH, /* the peer's bytes go on elsewhere: `data` */
    PEER_EV_BLOCK,  /* about bodies that lie elsewhere: `data` */
    PEER_EV_AUTH,   /* once, before READY: peer_credentials wait for peer_auth or peer_refuse */
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
    PEER_UPGRADE,
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

/* Bytes in (peer_in.c). */
struct peer_rx {
    struct chunk *chunk; /* NULL while nothing is buffered */
    size_t begin, end;   /* what is buffered in it */
    unsigned refs;       /* references on `chunk` taken ahead for slices */
    int fast_max;        /* peer_next_small's largest body, -1: not now */
    uint32_t parts;      /* frames of the current message that were delivered */
    uint32_t max_parts;
    unsigned size_class;   /* the size of chunk that the traffic asks for */
    unsigned lean_reads;   /* reads in a row that needed far less */
    size_t offered;        /* length of the last peer_recv_buf */
    size_t frame_need;     /* bytes of the frame at `begin`, once its header is known */
    bool drained;          /* the last peer_next wanted more bytes */
    bool into_big;         /* the last peer_recv_buf was memory of the large body */
    struct {               /* the large body being received */
        struct blob *blob; /* NULL: none */
        size_t size, cap, have;
        size_t eager; /* the first allocation for the next one */
        uint8_t flags;
        bool fresh; /* its memory was made anew since a read was begun into it */
    } big;
    struct msg held; /* keeps an event's `data` alive until the next call */
};

/* Bytes out (peer_out.c). */
struct peer_tx {
    /* What goes out before the pipe's queue (greeting, handshake), or instead of it (ZMTP 1.0,
     * encrypted traffic). */
    struct outq buf;
    size_t offered;    /* how much of it the last peer_send_iov gave out */
    struct msg v1_msg; /* ZMTP 1.0: taken from the pipe's queue, not yet encoded */
    bool has_v1_msg;
    bool v1_mid_msg;
};

/* PINGs, PONGs and the deadlines that depend on them (heartbeat.c). Times are in ns. */
struct peer_heartbeat {
    uint64_t ping_gap; /* between the last two PINGs received; 0: fewer than two came */
    uint64_t ping_seen;
    uint64_t rtt_ns; /* of the last PING that was answered; 0: none yet */
    uint64_t timeout_deadline, ttl_deadline;
    uint64_t ttl_ns;
    size_t pong_bytes; /* of PONGs that were queued, less what was written since */
    unsigned pongs_due;
    unsigned pings_queued;
    uint64_t ping_id, ping_sent, ping_next;
    struct pong pongs[PONGS_MAX]; /* to be answered, the oldest first */
};

/* Between the greeting and the traffic of ZMTP 3.x (handshake.c). */
struct peer_handshake {
    uint8_t *command; /* waits for memory to be queued */
    size_t command_len;
    struct meta *auth_metadata; /* what peer_auth adds to the peer's properties */
    uint64_t deadline;
    bool auth_asked; /* PEER_EV_AUTH was delivered */
    bool may_error;  /* an ERROR command would be understood */
};

/* What the peer says of itself. Set from READY on; the type also where it is the reason that there
 * is none. */
struct peer_remote {
    int type;          /* socket type, -1 when it did not say */
    struct meta *meta; /* its properties; the connection adds Peer-Address */
    uint8_t identity_len;
    uint8_t identity[255];
};

struct peer {
    enum peer_state state;
    enum peer_framing framing; /* of what is sent and received after the version is known */
    uint8_t version_major, version_minor; /* the peer's: 1.0, 2.0, 3.0, 3.1 */
    bool ready;                           /* READY was delivered: traffic may be sent */
    bool due_ready, due_subscribe;        /* events that are not caused by a frame */
    bool unversioned; /* ZMTP 1.0: our signature was the head of our identity frame */

    /* No better answer is to be expected of this peer: it said so (ERROR), or its wrong answer came
     * under its key. Any other failure may be made by somebody who has the peer's port for a while,
     * or access to the line. */
    bool failure_final;
    enum peer_failure failure; /* once DEAD */
    uint32_t failure_code;

    uint64_t now; /* the time of the last call that gave one */
    struct mechanism *mech;
    size_t crypto_overhead; /* what encryption adds to a frame; 0: traffic is not encrypted */

    struct peer_rx rx;
    struct peer_tx tx;
    struct peer_heartbeat heartbeat;
    struct peer_handshake handshake;
    struct peer_config cfg;
    void *cfg_mem;
    struct peer_remote remote;
};

/* The connection is over; the first reason stays. Returns -EPROTO. */
int peer_fail(struct peer *p, enum peer_failure failure, uint32_t code);
/* The same, and the failure is final. */
int peer_fail_for_good(struct peer *p, enum peer_failure failure, uint32_t code);

/* The handshake is done: traffic begins, and PEER_EV_READY is due. */
void peer_become_ready(struct peer *p);
/* There was no memory to act upon PEER_EV_READY: it comes again, before anything else. */
void peer_not_ready(struct peer *p);
/* Queues a command before the pipe's queue. The body is copied. 0 or -ENOMEM. */
int peer_put_command(struct peer *p, const void *body, size_t len);

/* Identities that begin with a zero byte are those that a ROUTER makes up for peers that have none.
 * A peer that could claim one would get the replies to another peer that left: such a claim counts
 * as none. */
static inline bool peer_identity_is_reserved(const uint8_t *id, size_t len)
{
    return len > 0 && id[0] == 0;
}

/* ---- for the files of the peer ---- */

/* Steps of the state machine return 0 (needs more bytes), PEER_AGAIN, or a negative errno. */
#define PEER_AGAIN 2

static inline size_t peer_avail(const struct peer *p)
{
    return p->rx.end - p->rx.begin;
}

static inline const uint8_t *peer_at(const struct peer *p)
{
    return p->rx.chunk->data + p->rx.begin;
}

static inline void peer_consume(struct peer *p, size_t n)
{
    p->rx.begin += n;
    p->rx.frame_need = 0;
}

/* The header of the frame at the front of what is buffered, as frame_parse_v2. */
static inline int peer_parse_frame(const struct peer *p, struct frame_head *h)
{
    size_t avail = peer_avail(p);
    if (avail == 0)
        return 0;
    return p->framing == FRAMING_V2 ? frame_parse_v2(peer_at(p), avail, h)
                                    : frame_parse_v1(peer_at(p), avail, h);
}

#endif
