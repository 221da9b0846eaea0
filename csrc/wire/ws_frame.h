/* SPDX-License-Identifier: MIT */
/*
 * The frames of a WebSocket as ZWS 2.0 (RFC 45) fills them, to and from those of ZMTP 3.0, without
 * I/O: a peer reads and writes the framing of ZMTP, and these two stand between it and the bytes of
 * the connection. Each frame of ZMTP is one message of WebSocket, which begins with a byte of
 * flags. The peer's PING and PONG commands are the PINGs and PONGs of WebSocket.
 *
 * Frames of any length pass through in pieces. Only a message that came in fragments is collected
 * first, since its length is known at its end: its memory grows as its bytes arrive, up to a limit,
 * which may be lower until the peer is admitted.
 */
#ifndef WIRE_WS_FRAME_H
#define WIRE_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_CONTROL_MAX 125 /* bytes of a PING, a PONG, a close frame */
#define WS_CLOSE_FRAME_MAX 8
/* What ws_encode wants to have room for. */
#define WS_ENCODE_ROOM ((size_t)192)

/* The reasons of close frames. */
enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_TOO_BIG = 1009,
};

struct ws_decoder {
    /* set by ws_decoder_init */
    bool server;           /* the other side masks */
    uint64_t max_gathered; /* of a message in fragments; else the peer applies its limit */

    bool closed;         /* a close frame came: nothing behind it counts */
    uint16_t close_code; /* what it said, 0: nothing; after an error what it is to be told */
    uint8_t ping[WS_CONTROL_MAX]; /* the last PING, to be answered by just these bytes */
    uint8_t ping_len;
    unsigned pings; /* that came */

    /* private */
    uint8_t head[14];
    uint8_t head_len; /* bytes of it that came */
    uint8_t opcode;
    bool fin, in_payload, flags_due;
    uint8_t mask[4];
    uint8_t mask_at;
    uint64_t left; /* of the payload */
    uint8_t control[WS_CONTROL_MAX];
    uint8_t control_len;
    uint8_t made[2 + 5 + WS_CONTROL_MAX]; /* to be given out before anything else */
    uint8_t made_at, made_len;
    uint64_t gather_now;      /* max_gathered, or what holds until the peer is admitted */
    bool gathering, gathered; /* a message in fragments has begun; is complete */
    uint8_t *parts;
    size_t parts_len, parts_cap, parts_at;
};

void ws_decoder_init(struct ws_decoder *d, bool server, uint64_t max_gathered);
void ws_decoder_fini(struct ws_decoder *d);
/* Until ws_decoder_admit no more than so many bytes of a message in fragments are held. What it
 * announces is not limited by that: the peer may be admitted by what stands in front of it. */
void ws_decoder_hold(struct ws_decoder *d, uint64_t max_gathered);
void ws_decoder_admit(struct ws_decoder *d);
/* The connection is open: the peer is told of the subprotocol, before any frame. */
void ws_decoder_open(struct ws_decoder *d, const char *protocol);
/* Takes bytes of the connection and gives frames of ZMTP; *used and *made say how many of each. It
 * stops where the input or the room ends, or at a close frame. 0, -EPROTO (close_code says why),
 * -ENOMEM: try again. */
int ws_decode(struct ws_decoder *d, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
              size_t room, size_t *made);
/* Something can be given out without any input. */
bool ws_decode_pending(const struct ws_decoder *d);
/* So many of the next bytes of the connection are nothing but a body: they may be read to where
 * they belong and then passed to ws_decode_body, which unmasks them there. */
size_t ws_decode_direct(const struct ws_decoder *d);
void ws_decode_body(struct ws_decoder *d, uint8_t *data, size_t len);

struct ws_encoder {
    /* Gives a mask of four bytes that cannot be foretold. NULL: the accepting side masks nothing.
     */
    void (*mask)(void *arg, uint8_t key[4]);
    void *arg;

    /* private */
    uint8_t small[9 + 32]; /* a header, and all of a frame that may be a PING or a PONG */
    uint8_t small_len;
    uint8_t key[4];
    uint8_t key_at;
    uint64_t left; /* of the body */
};

/* Takes bytes in the framing of ZMTP, cut anywhere, and gives those of the connection, as
 * ws_decode. `room` is at least WS_ENCODE_ROOM. `pong`, of pong_len bytes (NULL: none), is the last
 * PING that came: a PONG that answers it gets all of it, and *pong_used is set. */
void ws_encode(struct ws_encoder *e, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
               size_t room, size_t *made, const uint8_t *pong, size_t pong_len, bool *pong_used);
/* Between two frames: a close frame may follow. */
bool ws_encoder_at_boundary(const struct ws_encoder *e);
/* Whether a close frame may say so. */
bool ws_close_code_is_valid(uint16_t code);
/* The length of a close frame in `out` (WS_CLOSE_FRAME_MAX). */
size_t ws_encode_close(struct ws_encoder *e, uint8_t *out, uint16_t code);

#endif
