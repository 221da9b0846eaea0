/* SPDX-License-Identifier: MIT */
/* The handshake of a connection: the result of authentication, and becoming ready. */
#ifndef NET_CONN_HANDSHAKE_H
#define NET_CONN_HANDSHAKE_H

#include <stdint.h>

struct conn;
struct meta;

/* What an authenticator answers about a peer. */
enum conn_auth_result {
    CONN_AUTH_OK,
    CONN_AUTH_DENIED,    /* code: 300, 400 or 500 */
    CONN_AUTH_BAD_REPLY, /* code: a PROTO_ZAP_ code */
    CONN_AUTH_NO_REPLY   /* code: errno */
};

/* Asks an authenticator whether the peer may come in. It is not read meanwhile, so that it cannot
 * pile up bytes here. */
void conn_authenticate(struct conn *c);
/* The answer to a question about the peer has come. `metadata` may be NULL. */
void conn_auth_done(struct conn *c, enum conn_auth_result result, uint32_t code,
                    struct meta *metadata);
/* Something came in the handshake. */
void conn_in_handshake(struct conn *c);
/* The handshake is over: connects the pipe, made here on a bound socket. 0 or a negative errno: the
 * pattern refuses the peer, or there is no memory. */
int conn_on_ready(struct conn *c);
/* The peer failed: ends the connection after what tells the peer the reason, in a handshake. */
void conn_break_off(struct conn *c);

#endif
