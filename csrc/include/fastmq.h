/* SPDX-License-Identifier: MIT */
/*
 * fastmq's engine, as its Python module sees it: contexts, sockets, messages, polling, proxies.
 *
 * Return values: 0 or a count on success, a negative errno on failure (-EAGAIN, -FMQ_ETERM ...).
 * Times are milliseconds, -1 waits for ever, 0 does not wait. Blocking calls return -EINTR when a
 * signal arrived, so that the host can run its handlers; call again with what is left of the time.
 *
 * Threads: every function may be called from any thread at any time on a handle that has not been
 * freed. fmq_close ends the calls of other threads on that socket with -ENOTSOCK, the end of the
 * context with -FMQ_ETERM.
 *
 * Two-step calls: functions named fmq_try_* never wait, neither for a lock nor for a peer, and may
 * be called with the host's interpreter lock held. They answer -EBUSY when another thread has the
 * socket and -EAGAIN when the operation would block; the caller then lets the interpreter lock go
 * and makes the blocking call.
 */
#ifndef FASTMQ_H
#define FASTMQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "msg/meta.h"
#include "msg/msg.h"

#define FMQ_VERSION_MAJOR 0
#define FMQ_VERSION_MINOR 2
#define FMQ_VERSION_PATCH 0
/* ".dev0" between releases, "" in one. */
#define FMQ_VERSION_SUFFIX ".dev0"

/* Socket types: the numbers of ZeroMQ. */
enum {
    FMQ_PAIR = 0,
    FMQ_PUB = 1,
    FMQ_SUB = 2,
    FMQ_REQ = 3,
    FMQ_REP = 4,
    FMQ_DEALER = 5,
    FMQ_ROUTER = 6,
    FMQ_PULL = 7,
    FMQ_PUSH = 8,
    FMQ_XPUB = 9,
    FMQ_XSUB = 10,
    FMQ_STREAM = 11,
    FMQ_SERVER = 12,
    FMQ_CLIENT = 13,
    FMQ_RADIO = 14,
    FMQ_DISH = 15,
    FMQ_GATHER = 16,
    FMQ_SCATTER = 17,
    FMQ_DGRAM = 18,
    FMQ_PEER = 19,
    FMQ_CHANNEL = 20,
    FMQ_TYPE_COUNT = 21
};

/* Flags of send and recv. */
#define FMQ_DONTWAIT 1
#define FMQ_SNDMORE 2

/* Readiness. */
#define FMQ_POLLIN 1
#define FMQ_POLLOUT 2
#define FMQ_POLLERR 4
#define FMQ_POLLPRI 8
#define FMQ_POLLCHANGE 16 /* fmq_watch only: anything that changed since the call */

typedef struct fmq_ctx fmq_ctx;
typedef struct fmq_socket fmq_socket;
typedef struct fmq_pollset fmq_pollset;
typedef struct fmq_loop fmq_loop;

/* ---- library ---- */

/* Once a process before anything else; idempotent. */
int fmq_setup(void);
const char *fmq_strerror(int err);
int fmq_has(const char *capability); /* "ipc", "inproc", "draft" ...: 1 or 0 */
const char *fmq_poller_name(void);

/* The primitives of CURVE, from libsodium; the names are its own. Keys have 32 bytes, nonces 24, a
 * box is 16 longer than its content and may be made and opened in place. Non-zero: failed. */
struct fmq_crypto {
    int (*box_keypair)(uint8_t *public_key, uint8_t *secret_key);
    int (*scalarmult_base)(uint8_t *public_key, const uint8_t *secret_key);
    int (*box_beforenm)(uint8_t *shared, const uint8_t *public_key, const uint8_t *secret_key);
    int (*box_easy_afternm)(uint8_t *box, const uint8_t *content, unsigned long long len,
                            const uint8_t *nonce, const uint8_t *shared);
    int (*box_open_easy_afternm)(uint8_t *content, const uint8_t *box, unsigned long long len,
                                 const uint8_t *nonce, const uint8_t *shared);
    int (*secretbox_easy)(uint8_t *box, const uint8_t *content, unsigned long long len,
                          const uint8_t *nonce, const uint8_t *key);
    int (*secretbox_open_easy)(uint8_t *content, const uint8_t *box, unsigned long long len,
                               const uint8_t *nonce, const uint8_t *key);
    void (*random)(uint8_t *bytes, unsigned long long len);
    /* What boxes are made of: all of these, or none (NULL). With them a message costs less. */
    int (*core_hsalsa20)(uint8_t *out, const uint8_t *in, const uint8_t *key,
                         const uint8_t *constant);
    int (*stream_salsa20_xor)(uint8_t *to, const uint8_t *from, unsigned long long len,
                              const uint8_t *nonce, const uint8_t *key);
    int (*onetimeauth_poly1305)(uint8_t *mac, const uint8_t *from, unsigned long long len,
                                const uint8_t *key);
    int (*onetimeauth_poly1305_verify)(const uint8_t *mac, const uint8_t *from,
                                       unsigned long long len, const uint8_t *key);
};
/* Copies the table; a second call does nothing. fmq_has("curve") is 1 from then on. */
void fmq_set_crypto(const struct fmq_crypto *functions);

/* Z85: `size` bytes, a multiple of 4, as size * 5 / 4 characters without NUL, and back (`len` a
 * multiple of 5). -EINVAL: not Z85. */
int fmq_z85_encode(char *out, const void *data, size_t size);
int fmq_z85_decode(void *out, const char *text, size_t len);
/* A new pair of CURVE keys; the public key of a secret one. -ENOTSUP without primitives. */
int fmq_curve_keypair(uint8_t *public_key, uint8_t *secret_key);
int fmq_curve_public(uint8_t *public_key, const uint8_t *secret_key);
long fmq_open_fds(void);    /* descriptors the engine holds, all contexts */
long fmq_live_blocks(void); /* allocations alive; 0 unless built with FMQ_DEBUG */

/* ---- contexts ---- */

int fmq_ctx_new(fmq_ctx **out);
/* Context options by number (IO_THREADS 1, MAX_SOCKETS 2 ...). -EINVAL: unknown or out of range. */
int fmq_ctx_set(fmq_ctx *ctx, int option, int64_t value);
int fmq_ctx_get(fmq_ctx *ctx, int option, int64_t *value);
int fmq_ctx_set_name_prefix(fmq_ctx *ctx, const char *prefix);
/* The program is about to close all sockets and to end the context: calls that wait on a socket
 * when it is closed end with -FMQ_ETERM and not with -ENOTSOCK. */
void fmq_ctx_ending(fmq_ctx *ctx);
/* All calls on its sockets fail with -FMQ_ETERM from now on. Never waits. */
int fmq_ctx_shutdown(fmq_ctx *ctx);
/*
 * Shutdown, then waits until every socket was closed and has sent or given up (LINGER) what it
 * holds. -EAGAIN when timeout_ms passed first, -EINTR on a signal: call again. 0: the engine
 * threads are gone, only fmq_ctx_free is left.
 */
int fmq_ctx_term(fmq_ctx *ctx, int timeout_ms);
/* Sockets that were closed and still have something to send give up after linger_ms from now. */
void fmq_ctx_linger(fmq_ctx *ctx, int linger_ms);
/* Frees the handle; must have been terminated, or belong to the parent of a fork. */
void fmq_ctx_free(fmq_ctx *ctx);
/* True in the child of a fork. */
bool fmq_ctx_forked(const fmq_ctx *ctx);

/* One line of what keeps a context from ending. */
struct fmq_pending {
    int type;
    bool open;          /* not closed by the program yet */
    int linger;         /* LINGER in ms, -1: for ever */
    uint64_t messages;  /* queued to be sent; over inproc nothing is: it is the receiver's */
    char endpoint[128]; /* the last endpoint, shortened if need be */
};
/* Fills up to max rows, returns how many sockets there are in all. */
int fmq_ctx_pending(fmq_ctx *ctx, struct fmq_pending *rows, int max);

/* ---- sockets ---- */

/* -EINVAL unknown type, -EMFILE MAX_SOCKETS or descriptors, -FMQ_EMTHREAD: no I/O thread can
 * be started, -FMQ_ETERM. */
int fmq_socket_new(fmq_ctx *ctx, int type, fmq_socket **out);
/* Closes: what is queued goes out in the background, for LINGER ms at most. -ENOTSOCK: closed
 * already. */
int fmq_close(fmq_socket *s);
bool fmq_closed(const fmq_socket *s);
/* Frees the handle; closes it first if need be. No call may be in progress on it. */
void fmq_socket_free(fmq_socket *s);
int fmq_socket_type(const fmq_socket *s);

/* 0, a negative errno, or 1: done, but over inproc with a socket of a type that other transports
 * refuse; fmq_last_detail says which. */
int fmq_bind(fmq_socket *s, const char *endpoint);
int fmq_connect(fmq_socket *s, const char *endpoint);
/* Either ends all that bind or connect made of that name. */
int fmq_unbind(fmq_socket *s, const char *endpoint);
int fmq_disconnect(fmq_socket *s, const char *endpoint);
/* Text naming what was wrong with the calling thread's last failed call that has such a text (bind,
 * connect, options); "" otherwise. */
const char *fmq_last_detail(void);

/* PEER: connects, and *id is the routing id by which messages reach that peer, at once and after
 * each reconnection. -ENOTSUP on other types, -EFAULT with IMMEDIATE; else as fmq_connect. */
int fmq_connect_peer(fmq_socket *s, const char *endpoint, uint32_t *id);
/* SERVER, PEER: ends the connection to that peer, as fmq_disconnect ends one: what is queued for it
 * is sent within LINGER, what it sent and was not received is dropped. -EHOSTUNREACH: no peer has
 * that id, -ENOTSUP on other types. */
int fmq_disconnect_peer(fmq_socket *s, uint32_t id);
/* DISH: receives what is sent to that group, or no more. -EINVAL: longer than GROUP_MAX, joined
 * already, not joined; -ENOTSUP on other types. */
int fmq_join(fmq_socket *s, const void *group, size_t len);
int fmq_leave(fmq_socket *s, const void *group, size_t len);

/* What the type's messages are addressed by beside their parts. */
enum fmq_addressing {
    FMQ_BY_NOTHING,
    FMQ_BY_ROUTING_ID, /* SERVER, PEER: msg.routing_id, sent and received */
    FMQ_BY_GROUP       /* RADIO, DISH: msg_group, sent and received */
};
enum fmq_addressing fmq_addressing(const fmq_socket *s);

/* Options. Integer options take int64_t here whatever their width; blobs and strings take bytes. */
enum fmq_opt_kind {
    FMQ_OPT_INT,
    FMQ_OPT_INT64,
    FMQ_OPT_UINT64,
    FMQ_OPT_BOOL,
    FMQ_OPT_BYTES,
    FMQ_OPT_STRING,
    FMQ_OPT_FD
};
#define FMQ_OPT_GET 1u
#define FMQ_OPT_SET 2u
struct fmq_option_info {
    int id;
    const char *name;
    enum fmq_opt_kind kind;
    unsigned access;  /* FMQ_OPT_GET | FMQ_OPT_SET */
    int64_t min, max; /* range of integers */
};
/* All rows of the option table, NULL past the end. */
const struct fmq_option_info *fmq_option_at(int index);
const struct fmq_option_info *fmq_option_find(int id);
int fmq_set_int(fmq_socket *s, int option, int64_t value);
int fmq_set_bytes(fmq_socket *s, int option, const void *value, size_t len);
int fmq_get_int(fmq_socket *s, int option, int64_t *value);
/* Writes up to *len bytes; *len becomes the length. -EINVAL when it does not fit. */
int fmq_get_bytes(fmq_socket *s, int option, void *value, size_t *len);

/*
 * Sending. `parts` is one whole message, or with more=true its beginning: the rest follows in later
 * calls of the same thread and the message is routed when its last part came.
 * On success the parts are consumed (re-initialised to empty); on failure they stay the caller's.
 * -EAGAIN no peer can take it in time, -FMQ_EFSM, -ENOTSUP, -EHOSTUNREACH, -EINVAL.
 */
int fmq_try_send(fmq_socket *s, struct msg *parts, uint32_t n, bool more);
int fmq_send(fmq_socket *s, struct msg *parts, uint32_t n, bool more, int timeout_ms);
/* Goes on with an fmq_send that was interrupted: it is not counted as one more that waited. */
int fmq_send_again(fmq_socket *s, struct msg *parts, uint32_t n, bool more, int timeout_ms);
/* As fmq_try_send for one part of bytes, without building a struct msg where it can be avoided.
 * `object` (may be NULL) is the immutable host object that owns the bytes. */
int fmq_try_send_bytes(fmq_socket *s, const void *data, size_t size, void *object, bool more);
/* The value that SNDTIMEO/RCVTIMEO stand at: what a caller passes as timeout_ms. */
int fmq_sndtimeo(const fmq_socket *s);
int fmq_rcvtimeo(const fmq_socket *s);

/* Drops messages that were begun (more=true) and not finished: those of the calling thread, for
 * when it ends, or those of all threads, for before fmq_close, which drops them without a word.
 * Returns how many they were; *parts is how many parts they had in all. */
int fmq_drop_begun(fmq_socket *s, bool all, uint32_t *parts);
/* How many parts the calling thread has sent of a message that it has not finished. */
uint32_t fmq_begun(fmq_socket *s);

/*
 * Receiving. recv_part gives the next part of the message that the socket is in (PART_MORE in its
 * flags: there are further ones), whichever thread received the parts before it; recv gives all
 * remaining parts of one whole message; recv_many up to max_messages whole messages, waiting only
 * for the first. Threads that only use recv and recv_many get whole messages. Parts are appended to
 * `out`.
 * `meta` (may be NULL) receives a reference to the connection's metadata, or NULL.
 */
int fmq_try_recv_part(fmq_socket *s, struct msg *out, struct meta **meta);
int fmq_recv_part(fmq_socket *s, struct msg *out, struct meta **meta, int timeout_ms);
int fmq_try_recv(fmq_socket *s, struct parts *out, struct meta **meta);
int fmq_recv(fmq_socket *s, struct parts *out, struct meta **meta, int timeout_ms);
/* Returns the number of messages (> 0) or a negative errno. */
int fmq_try_recv_many(fmq_socket *s, struct parts *out, uint32_t max_messages);
int fmq_recv_many(fmq_socket *s, struct parts *out, uint32_t max_messages, int timeout_ms);

/*
 * Receiving what may have to be given back: by an event loop, to whose caller it does not matter
 * any more. limit 0: one part, as recv_part; otherwise up to so many messages, as recv_many, but
 * with a receipt (which may be NULL) only as many as came of one peer: there may be more. Returns
 * how many it took, or a negative errno. fmq_give_back takes parts (which are moved: none is
 * borrowed) and receipt as they were given out; the next receiver gets them, and before what
 * was taken later. -ENOMEM, or what any call on the socket answers: both stay the caller's.
 */
struct fmq_receipt {
    uint64_t number;   /* when it was taken */
    bool begun;        /* parts of the same message were given out before */
    struct meta *meta; /* a reference, or NULL */
};
int fmq_try_take(fmq_socket *s, uint32_t limit, struct parts *out, struct fmq_receipt *receipt);
int fmq_take(fmq_socket *s, uint32_t limit, struct parts *out, struct fmq_receipt *receipt,
             int timeout_ms);
int fmq_give_back(fmq_socket *s, struct fmq_receipt *receipt, struct parts *parts);
/* Writes out what was queued for later, as far as peers take it now. */
int fmq_flush(fmq_socket *s);

/* Readiness now (FMQ_POLLIN | FMQ_POLLOUT), after looking at the network. */
int fmq_events(fmq_socket *s);
/* Writes out what is queued, then waits for something to receive without sleeping, for `limit_ns`
 * or SPIN_US, whichever is less, and not at all while another thread polls the socket. gave_way:
 * other threads that wait for this processor may have it every 10 us; set when one had it. NULL:
 * they may not. 1: there is something, 0: not, or a negative errno. */
int fmq_spin(fmq_socket *s, uint32_t limit_ns, int *gave_way);
/* SPIN_US if that may be of use: 0 without connections (over inproc the peer may be this very
 * thread), and while another thread is in the socket. */
int fmq_spin_limit(fmq_socket *s);
/* Whether a descriptor is readable now, that of a loop's own poller for instance. 1 also where that
 * cannot be told. */
int fmq_readable(int fd);
/* Waits for one of `events`; returns the mask or a negative errno (0 on timeout). */
int fmq_poll_one(fmq_socket *s, int events, int timeout_ms);

/*
 * For an event loop: a descriptor that is readable while one of `events` (FMQ_POLLIN, FMQ_POLLOUT)
 * is so, or the network is worth a look (fmq_events). Several calls: the last one counts. It stays
 * open until a call with 0 events, even if the socket is closed meanwhile; then it is readable for
 * good. -ENOTSOCK: closed before the first call, -EMFILE. With FMQ_POLLCHANGE in this call and the
 * last one, 1 means that something changed in between, which the descriptor does not show any more.
 */
int fmq_watch(fmq_socket *s, int events, int *fd);
/* The loop has come, and will make another call on the socket at once: the I/O thread leaves the
 * socket to it for a while. */
int fmq_watch_came(fmq_socket *s);

/*
 * A loop adapter, for an event loop with many sockets: one descriptor for all of them.
 * fmq_loop_watch is to a fmq_loop what fmq_watch is to a descriptor, with `data` to tell the socket
 * by; -EBUSY: the socket is in another one, where fmq_watch still serves. When the adapter's
 * descriptor is readable, fmq_loop_wait gives those sockets that are worth a call each
 * (fmq_watch_came and what follows), possibly one of them twice, without waiting: how many, up to
 * max. The calls on one adapter, and those of fmq_loop_watch on its sockets, must not overlap.
 * -ENOTSUP: pollers have no descriptor here.
 */
int fmq_loop_new(fmq_loop **out);
void fmq_loop_free(fmq_loop *h); /* what is still in it leaves */
int fmq_loop_fd(const fmq_loop *h);
int fmq_loop_watch(fmq_loop *h, fmq_socket *s, int events, void *data);
int fmq_loop_wait(fmq_loop *h, void **ready, int max);

/* Event messages go to a PAIR bound at `endpoint` ("inproc://..."), NULL stops. version 1 or 2.
 * `type` of the monitor socket: FMQ_PAIR, or for version 2 also FMQ_PUB, FMQ_PUSH. */
int fmq_monitor(fmq_socket *s, const char *endpoint, uint64_t events, int version, int type);
/* Puts a PIPES_STATS event into the version 2 monitor. -EAGAIN without pipes, -EINVAL without a
 * monitor. */
int fmq_monitor_stats(fmq_socket *s);
/* What the low half of a LINK event's value says in words: why a connection is not in shared
 * memory;
 * "" for 0: it is. NULL: there is no such number. */
const char *fmq_carrier_reason(uint32_t number);

/* ROUTER: what the peer of that id is ready for (POLLIN/POLLOUT). -EHOSTUNREACH: unknown. */
int fmq_peer_state(fmq_socket *s, const void *id, size_t len);

/* ---- looking inside ---- */

enum fmq_link {
    FMQ_LINK_CONNECTING,  /* no connection: being made, waited for, or lost and tried again */
    FMQ_LINK_HANDSHAKING, /* connected, and the peer is not known yet */
    FMQ_LINK_READY,
    FMQ_LINK_CLOSING /* nothing new is sent; what is queued is still sent or received */
};

/* Messages and bytes since a socket, a peer, or a context came into being. */
struct fmq_counters {
    uint64_t msgs_sent;   /* handed to the kernel, or taken by the inproc peer */
    uint64_t msgs_recvd;  /* arrived, whether or not the program has received them */
    uint64_t bytes_sent;  /* through descriptors: framing, handshakes, heartbeats and all; over */
    uint64_t bytes_recvd; /* inproc the parts of messages as soon as they are queued */
    uint64_t drops;       /* messages that were thrown away */
    uint64_t queued_to_send; /* now: messages that are not handed over yet */
    uint64_t queued_to_recv; /* now: messages that the program has not received yet */
    uint64_t bytes_to_send;  /* now: of the messages that are queued to be sent, without framing */
    uint64_t bytes_to_recv;  /* now: of those that the program has not received yet */
    uint64_t reconnects;     /* connections that were made again after a loss */
    uint64_t packets_lost;   /* of multicast sources: could not be repaired */
};

/* What carries the bytes of a connection. */
enum fmq_carrier {
    FMQ_CARRIER_NONE,   /* there is none, or it is not a connection of bytes */
    FMQ_CARRIER_SOCKET, /* its descriptor */
    FMQ_CARRIER_SHM,    /* memory that both processes share */
    FMQ_CARRIER_WS      /* a WebSocket on its descriptor */
};

struct fmq_peer {
    enum fmq_link link;
    bool accepted;      /* it connected to us; false: we connect to it */
    int type;           /* its socket type; -1: not known */
    char endpoint[280]; /* ours: as bound or connected, in its final form */
    char address[160];  /* where it really is; "" while there is no connection */
    uint8_t identity[255];
    uint8_t identity_len;
    uint32_t routing_id; /* SERVER, PEER: the number that messages to it have; 0: it has none */
    int64_t since_ns;    /* Unix time at which the present connection was made; 0: there is none */
    uint64_t rtt_ns;     /* last round trip of a heartbeat; 0: none yet */
    int64_t subscriptions; /* on PUB and XPUB: topics it is subscribed to; -1 elsewhere */
    int connect_error; /* why the last attempt to connect to it failed, an errno; 0: it did not */
    enum fmq_carrier carrier;
    const char *carrier_why; /* why it is not FMQ_CARRIER_SHM, or "" */
    int carrier_error;       /* what belongs to that, a negative errno, or 0 */
    bool full;               /* a message for it was refused at a limit, and there is no room yet */
    bool paused;             /* nothing more is read from it: what it sent fills its queue here */
    struct fmq_counters count;
};

/*
 * Describes the peers of a socket, connected or not: fills up to max rows, returns how many there
 * are. Does not look at the network.
 */
int fmq_peers(fmq_socket *s, struct fmq_peer *rows, int max);

/* What may be called next, where sending and receiving take turns (REQ, REP). */
enum fmq_turn { FMQ_TURN_ANY, FMQ_TURN_SEND, FMQ_TURN_RECV };

struct fmq_socket_stats {
    struct fmq_counters count; /* over all peers, former ones too */
    uint64_t send_waits;       /* sends that had to wait for room or for a peer */
    uint32_t peers;            /* connected now, their handshake done */
    uint32_t descriptors;      /* that the socket holds */
    int64_t subscriptions;     /* SUB, XSUB: topics subscribed to; PUB, XPUB: topics that some peer
                                * is subscribed to; -1: the type has none */
    enum fmq_turn turn;
    uint64_t resent; /* REQ: requests that were sent again, see REQ_RESEND_IVL */
    /* PUB, XPUB with PUB_KEEP_LAST: topics whose last message is kept now, and the bytes of these
     * messages; how many were given to late subscribers; topics that a limit pushed out. */
    uint64_t kept, kept_bytes, kept_given, kept_dropped;
};
int fmq_stats(fmq_socket *s, struct fmq_socket_stats *out);

struct fmq_context_stats {
    struct fmq_counters count; /* over all sockets, former ones too */
    uint64_t send_waits;
    uint32_t sockets; /* that have not ended; a socket's monitor is one more */
    uint32_t peers;
    uint32_t descriptors;     /* that the sockets and the I/O threads hold */
    uint64_t pool_bytes;      /* memory of buffers for sending and receiving, in use and spare */
    uint64_t pool_spare;      /* the spare part of it */
    int64_t queued_bytes;     /* what counts against MAX_QUEUED_BYTES now; -1: it was never set */
    uint32_t shm_connections; /* in memory shared with another process, or on the way there */
    uint64_t shm_bytes;       /* of that memory */
    uint64_t arena_bytes;     /* of the arena's blocks that are in use */
    uint32_t arena_blocks;    /* ... and how many these are */
    uint32_t arena_lent;      /* places in blocks that peers hold */
    uint64_t arena_fallbacks; /* bodies that were to go in a block and found no room */
};
int fmq_ctx_stats(fmq_ctx *ctx, struct fmq_context_stats *out);

/*
 * Memory for a message, `size` bytes whose content is not set. From 256 KiB on it lies, where there
 * is room, in the context's arena, which peers on the host that share memory with the context can
 * read: sent by reference, it is copied for none of them. It may outlive the context. 0, -ENOMEM,
 * -FMQ_EFORKED.
 */
struct fmq_block {
    void *data;
    size_t size;
    void *owner; /* NULL: ordinary memory */
};
int fmq_ctx_alloc(fmq_ctx *ctx, size_t size, struct fmq_block *out);
/* Once, on any thread. */
void fmq_block_free(struct fmq_block *b);

/*
 * The window into a running process (docs/reference/inspect.md): a unix socket that programs of the
 * same user may connect to, served by a thread of the engine's own. It asks for nothing while
 * nobody comes. Idempotent. -EPERM: the directory belongs to others, too, -EADDRINUSE, -ENOTSUP;
 * other errors of the system; with a detail.
 */
int fmq_inspect_serve(void);
/* Where it is served; "" while it is not. `path` has room for 104 bytes. */
void fmq_inspect_path(char *path);
/* It is served no longer. */
void fmq_inspect_stop(void);
/* fmq_inspect_serve if the environment has FASTMQ_INSPECT=1, once a process; what fails is printed
 * to stderr. */
void fmq_inspect_if_wanted(void);
/* What would be served, for this process itself, to be freed by fmq_snapshot_free. `query` is a
 * line as a client sends it. -EINVAL: it is none, -ENOMEM. */
int fmq_snapshot(const char *query, char **text, size_t *len);
void fmq_snapshot_free(char *text);

/*
 * PUB and XPUB: waits until a message of that topic would reach at least n connected peers, each
 * counted once, and returns how many it would reach. With an empty topic every peer counts that has
 * any subscription at all. n 0: does not wait. -EAGAIN: too few in time, -ENOTSUP on other types.
 */
int fmq_wait_subscribers(fmq_socket *s, const void *topic, size_t len, uint32_t n, int timeout_ms);

/* ---- poll sets ---- */

int fmq_pollset_new(fmq_pollset **out);
void fmq_pollset_free(fmq_pollset *p);
/* -EINVAL: registered already / not registered, -EBADF, -ENOTSOCK. `data` comes back with the
 * event. */
int fmq_pollset_add(fmq_pollset *p, fmq_socket *s, int events, void *data);
int fmq_pollset_modify(fmq_pollset *p, fmq_socket *s, int events);
int fmq_pollset_remove(fmq_pollset *p, fmq_socket *s);
int fmq_pollset_add_fd(fmq_pollset *p, int fd, int events, void *data);
int fmq_pollset_modify_fd(fmq_pollset *p, int fd, int events);
int fmq_pollset_remove_fd(fmq_pollset *p, int fd);
struct fmq_pollevent {
    void *data;
    int events;
};
/* Up to max ready ones; 0 on timeout; -EINTR; -ENOTSOCK/-FMQ_ETERM when a socket in the set ended.
 */
int fmq_pollset_wait(fmq_pollset *p, struct fmq_pollevent *out, int max, int timeout_ms);

/* ---- proxies ---- */

/* A first frame for the copies that `capture` gets; data NULL: none. Borrowed while the proxy runs.
 */
struct fmq_proxy_prefix {
    const void *data;
    size_t size;
};

/* Zero it first, fmq_proxy_end it last; it is kept over -EINTR. */
struct fmq_proxy_state {
    bool paused;
    bool holding; /* a message was received whose destination or whose capture socket is full */
    bool hold_backward;
    bool captured; /* the capture socket has its copy of it */
    struct parts held;
    bool swap_ids;     /* exchange the first two frames: a ROUTER's sender becomes the receiver */
    uint64_t stats[8]; /* messages and bytes: frontend received, sent, backend received, sent */
    struct fmq_proxy_prefix prefix_in, prefix_out; /* of what comes from front, from back */
};

/* Forwards whole messages both ways until the context of a socket ends (-FMQ_ETERM), a socket is
 * closed (-ENOTSOCK), a signal arrives or may have arrived meanwhile (-EINTR; call again), or, when
 * `control` is given, TERMINATE comes (0). capture and control may be NULL. After other errors
 * (-ENOMEM, -EMFILE) it may be called again, too: what it held is sent then. */
int fmq_proxy(fmq_socket *front, fmq_socket *back, fmq_socket *capture, fmq_socket *control,
              struct fmq_proxy_state *state);
/* Drops the message in hand, if any, of a proxy that is not called again. */
void fmq_proxy_end(struct fmq_proxy_state *state);

#endif
