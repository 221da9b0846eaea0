/* SPDX-License-Identifier: MIT */
/*
 * A log of the failures of a socket's connections: the last few kinds, each with its reason, its
 * number and the time of the first one. It is updated when a connection fails, so it costs nothing
 * per message. Guarded by the reactor's lock.
 */
#ifndef NET_TROUBLE_H
#define NET_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

struct conn_set;

#define TROUBLES_MAX 8u

enum trouble_kind {
    TROUBLE_CONNECT,   /* code: errno of the attempt; of a name that is not found, too */
    TROUBLE_ACCEPT,    /* code: errno */
    TROUBLE_HANDSHAKE, /* code: errno; the connection ended before the handshake was done */
    TROUBLE_PROTOCOL,  /* code: PROTO_; the same, for what the peer sent */
    TROUBLE_TYPE,      /* code: the peer's socket type, which does not fit */
    TROUBLE_AUTH,      /* code: 300, 400 or 500; an authenticator refused it, here or there */
    TROUBLE_VIOLATION, /* code: PROTO_; after the handshake */
    TROUBLE_REFUSED,   /* code: errno; the socket has no place for this peer */
    TROUBLE_LOST,      /* code: errno, ETIMEDOUT where heartbeats were missed; of a connecter */
    TROUBLE_KINDS
};

struct trouble {
    enum trouble_kind kind;
    uint32_t code;
    bool bound;
    uint64_t count; /* in a row; 0: the place is free */
    uint64_t total;
    int64_t since, last; /* Unix time of the first and the last in a row, ns */
    int64_t over;        /* when a connection of this endpoint worked after all; 0: not since */
    char endpoint[160];  /* ours */
    char remote[80];     /* the last peer's address; "": none */
};

/* Notes a failure; names may be NULL. Without memory nothing is noted. */
void trouble_note(struct conn_set *s, enum trouble_kind kind, uint32_t code, bool bound,
                  const char *endpoint, const char *remote);
/* A connection of this connecting endpoint works; or (`made`) it was made, whatever comes of it:
 * attempts to connect are what no longer fails. */
void trouble_over(struct conn_set *s, const char *endpoint, bool made);
/* The name of a kind, as in the text that is shown. */
const char *trouble_name(enum trouble_kind kind);

#endif
