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

struct peer;
struct mechanism;

#define MECHANISM_NAME_LEN 20 /* in the greeting, padded with zeros */

enum mechanism_status {
    MECH_HANDSHAKING,
    MECH_AUTH_PENDING, /* waits for the answer to an authentication request */
    MECH_READY,        /* traffic may flow once next() has nothing more to send */
};

/*
 * Functions that take the peer read its cfg and fill remote_type, remote_identity and meta. One
 * that finds a fault calls peer_fail and returns -EPROTO. -ENOMEM always means: nothing happened,
 * the same call will be made again.
 */
struct mechanism_ops {
    char name[MECHANISM_NAME_LEN];

    /* The next command to send: 1 with its body added to the (empty) `out`, 0: none now, -ENOMEM.
     */
    int (*next)(struct mechanism *m, struct peer *p, struct command_buf *out);
    /* A command of the peer came. 0, -EPROTO, -ENOMEM. */
    int (*process)(struct mechanism *m, struct peer *p, const uint8_t *body, size_t len);
    enum mechanism_status (*status)(const struct mechanism *m);
    /* Traffic, in place: flags travel in the message. NULL: traffic passes as it is. 0, -EPROTO,
     * -ENOMEM. */
    int (*encode)(struct mechanism *m, struct peer *p, struct msg *msg);
    int (*decode)(struct mechanism *m, struct peer *p, struct msg *msg);
    void (*destroy)(struct mechanism *m);
};

/* Every mechanism's own struct begins with this. */
struct mechanism {
    const struct mechanism_ops *ops;
};

int null_create(struct mechanism **out); /* 0 or -ENOMEM */

#endif
