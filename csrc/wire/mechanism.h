/* SPDX-License-Identifier: MIT */
/*
 * A security mechanism: the commands between the greeting and the traffic of ZMTP 3.x, and what it
 * does to the traffic. One object a connection. It sees whole command bodies and whole frames,
 * never framing, so the same code runs over a byte stream and over WebSocket.
 */
#ifndef WIRE_MECHANISM_H
#define WIRE_MECHANISM_H

#include <stddef.h>
#include <stdint.h>

#include "msg/msg.h"
#include "wire/command.h"

struct mechanism;
struct peer;
struct peer_credentials;
struct peer_security;

#define MECHANISM_NAME_LEN 20 /* in the greeting, padded with zeros */

enum mechanism_status {
    MECH_HANDSHAKING,
    MECH_AUTH_PENDING, /* waits for `admitted` */
    MECH_READY,        /* traffic may flow once next() has nothing more to send */
};

/*
 * Functions that take the peer read its cfg and fill `remote`. One that finds a fault calls
 * peer_fail and returns -EPROTO. -ENOMEM always means: nothing happened, the same call will be made
 * again.
 */
struct mechanism_ops {
    char name[MECHANISM_NAME_LEN];
    size_t crypto_overhead; /* what `encrypt` adds to a frame's size; 0: traffic stays as it is */

    /* The next command to send: 1 with its body added to the (empty) `out`, 0: none now, -ENOMEM.
     */
    int (*next)(struct mechanism *m, struct peer *p, struct command_buf *out);
    /* A command of the peer came. 0, -EPROTO, -ENOMEM. */
    int (*process)(struct mechanism *m, struct peer *p, const uint8_t *body, size_t len);
    enum mechanism_status (*status)(const struct mechanism *m);

    /* While MECH_AUTH_PENDING: what the peer has shown for itself. NULL: nothing. */
    void (*credentials)(const struct mechanism *m, struct peer_credentials *out);
    /* The peer may come in: the handshake goes on. NULL: this mechanism never asks. */
    void (*admitted)(struct mechanism *m);

    /* A frame on its way out: writes size + crypto_overhead bytes. `flags` are FRAME_MORE and
     * FRAME_COMMAND. */
    void (*encrypt)(struct mechanism *m, uint8_t *out, uint8_t flags, const uint8_t *data,
                    size_t size);
    /* A frame on its way in, in place: the payload then begins at body + crypto_overhead. 0,
     * -EPROTO. */
    int (*decrypt)(struct mechanism *m, struct peer *p, uint8_t *body, size_t len, uint8_t *flags);
    void (*destroy)(struct mechanism *m);
};

/* Every mechanism's own struct begins with this. */
struct mechanism {
    const struct mechanism_ops *ops;
};

/* 0, -ENOMEM; curve_create also -ENOTSUP: no primitives were set. */
int null_create(struct mechanism **out, const struct peer_security *sec);
int plain_create(struct mechanism **out, const struct peer_security *sec);
int curve_create(struct mechanism **out, const struct peer_security *sec);

#endif
