/* SPDX-License-Identifier: MIT */
/*
 * The authenticator's client: ZAP 1.0 (ZeroMQ RFC 27). The socket that is bound to
 * inproc://zeromq.zap.01 in the context is asked whether a peer may come in.
 *
 * Each question is an inproc connection of its own, so that no handler can mix them up, and belongs
 * to an internal socket of the context, which an I/O thread polls: the socket that asks
 * never waits. Question, withdrawal and answer are commands posted from one to the other.
 */
#ifndef SOCKET_ZAP_H
#define SOCKET_ZAP_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct pattern_ops;
struct zap_request;

/* Protocol error codes of libzmq's monitor. */
#define PROTO_ZAP_UNSPECIFIED 0x20000000
#define PROTO_ZAP_MALFORMED_REPLY 0x20000001
#define PROTO_ZAP_BAD_REQUEST_ID 0x20000002
#define PROTO_ZAP_BAD_VERSION 0x20000003
#define PROTO_ZAP_INVALID_STATUS_CODE 0x20000004
#define PROTO_ZAP_INVALID_METADATA 0x20000005

/* The pattern of the internal socket (zap_socket.h). */
extern const struct pattern_ops zap_pattern;

/*
 * Asks about the peer of c (peer_credentials). 1: no authenticator is asked, let it in; 0: asked,
 * the answer comes through conn_auth_done; -EFAULT: there is no authenticator, refuse it; -ENOMEM.
 * The asking socket's lock is held.
 */
int zap_ask(struct conn *c);
/* The connection ends before the answer came: c->zap is no more to be used. */
void zap_cancel(struct conn *c);

#endif
