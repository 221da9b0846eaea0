/* SPDX-License-Identifier: MIT */
#include "net/conn_shm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "net/conn.h"
#include "net/events.h"
#include "net/meeting.h"
#include "net/shm_stream.h"
#include "os/net.h"
#include "os/shm.h"
#include "pipe/pattern_ops.h"
#include "wire/command.h"

#define PROPERTY "X-Fastmq-Shm"
#define VERSION 1
/* Grown, they are large enough that a writer of large messages does not sleep after each. */
#ifndef RING_SIZE /* the simulator has smaller ones */
#define RING_SIZE ((size_t)64 << 10)
#endif
#define PROPERTY_MAX 256

#define SHM_AT_ONCE 2 /* of the option */

/* What SWITCH says. */
#define SWITCH_GO 0
#define SWITCH_REFUSED 1

/* ---- the property ---- */

/* "VERSION HOST USER", and of the accepting side " MEETING TOKEN NUMBER". */
struct introduction {
    unsigned version;
    char host[SHM_HOST_MAX];
    uint32_t user;
    bool offers;
    char name[SHM_NAME_MAX];
    char token[2 * MEETING_TOKEN + 1];
    int64_t number;
};

static bool read_introduction(const struct conn *c, struct introduction *in)
{
    const uint8_t *value;
    size_t len;
    char text[PROPERTY_MAX];
    memset(in, 0, sizeof(*in));
    if (!c->peer.remote.meta || meta_get(c->peer.remote.meta, PROPERTY, &value, &len) ||
        len >= sizeof(text))
        return false;
    memcpy(text, value, len);
    text[len] = 0;
    int n = sscanf(text, "%u %95s %" SCNu32 " %47s %32s %" SCNd64, &in->version, in->host,
                   &in->user, in->name, in->token, &in->number);
    in->offers = n == 6 && strlen(in->token) == 2 * MEETING_TOKEN;
    return n >= 3 && in->version == VERSION;
}

static void set_why(struct conn *c, enum shm_why why, int error)
{
    c->shm.told = c->shm.told && why == c->shm.why;
    c->shm.why = why;
    c->shm.error = error;
}

/* Lets monitors know what carries a connection that is ready, once that is decided. */
static void tell_why(struct conn *c)
{
    if (c->shm.told || c->shm.why == SHM_WHY_PENDING)
        return;
    c->shm.told = true;
    uint64_t value = (uint64_t)c->shm.why | (uint64_t)(uint32_t)-c->shm.error << 32;
    conn_set_event(c->set, c->bound, EVENT_LINK, value, c->local_name, c->remote_name);
}

/* Whether this end may be in shared memory at all; else why not. */
static enum shm_why may_be(const struct conn *c, const struct peer_config *cfg)
{
    const struct conn_set *s = c->set;
    if (!s->pipes.opt.shm || !s->meeting)
        return SHM_WHY_OFF;
    if (c->stream || cfg->raw)
        return SHM_WHY_LINK;
    if (cfg->security.mechanism == PEER_MECH_CURVE)
        return SHM_WHY_SECURITY;
    return SHM_WHY_PENDING;
}

/* ---- the accepting side ---- */

static void came(struct reactor *r, struct cmd *cmd);

/* Its connection is no more to be met. */
static void withdraw(struct conn *c)
{
    if (c->shm.seat)
        meeting_withdraw(c->set->meeting, c->shm.seat);
    c->shm.seat = NULL;
}

static void uncount(struct conn *c)
{
    if (c->shm.counted)
        meeting_uncount(c->set->meeting);
    c->shm.counted = false;
}

static int offer(struct conn *c, int64_t number, char *text, size_t size)
{
    struct meeting_slot *slot = c->set->meeting;
    struct io_thread *io = conn_set_reactor(c->set)->io_thread;
    if (!io)
        return -ENOTSUP;
    int rc =
        meeting_offer(slot, io, conn_set_reactor(c->set), c, MEETING_RINGS, came, &c->shm.seat);
    if (rc)
        return rc;
    int at = snprintf(text, size, " %s ", slot->name);
    for (size_t i = 0; i < MEETING_TOKEN; i++)
        at += snprintf(text + at, size - (size_t)at, "%02x", c->shm.seat->token[i]);
    snprintf(text + at, size - (size_t)at, " %" PRId64, number);
    return 0;
}

void conn_shm_introduce(struct conn *c, const struct peer_config *cfg, const struct conn_ends *ends,
                        struct command_buf *props)
{
    char host[SHM_HOST_MAX], text[PROPERTY_MAX], offered[PROPERTY_MAX / 2] = "";
    set_why(c, ends->peer ? may_be(c, cfg) : SHM_WHY_LINK, 0);
    if (c->shm.why != SHM_WHY_PENDING)
        return;
    int64_t number = shm_peer_number(c->io.fd, ends->peer);
    c->shm.unix_socket = ends->peer->ss.ss_family == AF_UNIX;
    c->shm.own_number = ends->own ? shm_own_number(ends->own) : 0;
    int rc = number < 0 ? (int)number : shm_host(c->shm.unix_socket, host);
    if (rc == 0 && c->bound)
        rc = offer(c, number, offered, sizeof(offered));
    if (rc) {
        enum shm_why why = rc == -EHOSTUNREACH ? SHM_WHY_HOST
                           : rc == -EACCES     ? SHM_WHY_USER
                           : rc == -ENOTSUP    ? SHM_WHY_SYSTEM
                                               : SHM_WHY_FAILED;
        set_why(c, why, why == SHM_WHY_FAILED ? rc : 0);
        return;
    }
    snprintf(text, sizeof(text), "%d %s %" PRIu32 "%s", VERSION, host, shm_user(), offered);
    command_add_property(props, PROPERTY, text, strlen(text));
}

/* A stream over the memory, which it takes over in any case. NULL: no memory for it. */
static struct stream *stream_over(struct conn *c, struct shm_region *region, bool maker)
{
    struct stream *st = shm_stream_new(c->io.fd, region, maker);
    if (!st)
        shm_region_close(region);
    return st;
}

/* The stream takes the descriptor's place. */
static void install(struct conn *c, struct stream *st, size_t ring)
{
    c->stream = st;
    c->shm.bytes = shm_region_bytes(ring);
    shm_stream_count(st, &c->set->meeting->bytes);
}

/* SWITCH goes out, and what comes after it into the ring. */
static void begin_switch(struct conn *c)
{
    c->shm.switch_due = true;
    c->link.flush_pending = true;
    conn_want_flush(c);
}

/* Takes over the memory that was brought. 0; -EUSERS: SHM_CONNECTIONS are in use; or -ENOMEM. */
static int take_memory(struct conn *c, struct shm_region *region)
{
    size_t ring = region->size;
    /* Counted now: a connection that is idle has no memory. */
    c->shm.counted = meeting_count(c->set->meeting);
    if (!c->shm.counted) {
        shm_region_close(region);
        return -EUSERS;
    }
    struct stream *st = stream_over(c, region, false);
    if (!st)
        return -ENOMEM;
    install(c, st, ring);
    return 0;
}

/* Somebody has come for the connection. */
static void came(struct reactor *r, struct cmd *cmd)
{
    struct meeting_seat *seat = LIST_ENTRY(cmd, struct meeting_seat, came);
    struct conn *c = seat->conn;
    int rc = seat->result;
    (void)r;
    if (c)
        c->shm.seat = NULL;
    if (!c || conn_is_over(c) || c->end_wanted != CONN_END_NONE) {
        if (rc == 0)
            shm_region_close(&seat->region);
        rc = -ECANCELED;
    } else if (rc == 0) {
        rc = take_memory(c, &seat->region);
    }
    if (c && rc == 0) {
        if (c->peer.ready) /* else its READY is on the way still: conn_shm_ready */
            begin_switch(c);
    } else if (c && !conn_is_over(c)) {
        uncount(c);
        set_why(c, rc == -EUSERS ? SHM_WHY_LIMIT : SHM_WHY_FAILED, rc == -EUSERS ? 0 : rc);
        c->shm.refuse = true; /* the other side may give the memory back */
        if (c->peer.ready) {
            tell_why(c);
            begin_switch(c);
        }
    }
    meeting_seat_free(seat);
}

/* ---- the connecting side ---- */

static bool read_token(const char *text, uint8_t token[MEETING_TOKEN])
{
    for (size_t i = 0; i < MEETING_TOKEN; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        token[i] = (uint8_t)byte;
    }
    return true;
}

/* Makes the memory and hands it over. 0 or a negative errno. */
static int give_memory(struct conn *c, const struct introduction *in)
{
    struct meeting_message m = {.kind = MEETING_RINGS, .size = RING_SIZE};
    uint8_t message[MEETING_MESSAGE];
    struct shm_region region;
    int fd;
    if (!read_token(in->token, m.token))
        return -EPROTO;
    int rc = shm_region_new(&region, RING_SIZE, &fd);
    if (rc)
        return rc;
    /* Nothing may fail once the other side has the memory: it writes there then. */
    struct stream *st = stream_over(c, &region, true);
    rc = -ENOMEM;
    if (st) {
        meeting_encode(&m, message);
        rc = shm_hand_over(in->name, message, sizeof(message), fd);
    }
    net_close(fd);
    if (rc == 0)
        install(c, st, (size_t)m.size);
    else if (st)
        st->ops->close(st);
    return rc;
}

/* The same, as one of SHM_CONNECTIONS. */
static enum shm_why make_memory(struct conn *c, const struct introduction *in)
{
    c->shm.counted = meeting_count(c->set->meeting);
    if (!c->shm.counted)
        return SHM_WHY_LIMIT;
    int rc = give_memory(c, in);
    if (rc) {
        uncount(c);
        c->shm.error = rc;
        return SHM_WHY_FAILED;
    }
    return SHM_WHY_PENDING;
}

static enum shm_why connecter_ready(struct conn *c, const struct introduction *in)
{
    if (!in->offers)
        return SHM_WHY_PEER;
    if (in->number != c->shm.own_number)
        return SHM_WHY_BETWEEN;
    c->shm.deferred = true;
    c->shm.begin_at = c->set->pipes.opt.shm == SHM_AT_ONCE ? 0 : SHM_DEFER_BYTES;
    return SHM_WHY_PENDING;
}

/* What comes back when there is memory again, or descriptors, or the meeting point is less crowded.
 */
static bool passes(int error)
{
    return error == -EAGAIN || error == -ENOMEM || error == -ENOBUFS || error == -EMFILE ||
           error == -ENFILE;
}

void conn_shm_begin(struct conn *c)
{
    struct introduction in;
    if (conn_is_over(c) || c->end_wanted != CONN_END_NONE || c->half_closed)
        return;
    c->shm.deferred = false;
    if (!read_introduction(c, &in))
        return;
    enum shm_why why = make_memory(c, &in);
    int error = why == SHM_WHY_FAILED ? c->shm.error : 0;
    if (passes(error)) { /* tried again later, as everything that fails */
        c->shm.deferred = true;
        c->shm.begin_at = 2 * (c->bytes_in + c->bytes_out);
        return;
    }
    set_why(c, why, error);
    tell_why(c);
}

/* ---- both ---- */

void conn_shm_ready(struct conn *c)
{
    char host[SHM_HOST_MAX];
    struct introduction in;
    if (c->shm.refuse)
        begin_switch(c);
    if (c->shm.why != SHM_WHY_PENDING) {
        tell_why(c);
        return;
    }
    enum shm_why why = SHM_WHY_PENDING;
    if (!read_introduction(c, &in))
        why = SHM_WHY_PEER;
    else if (shm_host(c->shm.unix_socket, host) || strcmp(host, in.host) != 0)
        why = SHM_WHY_HOST;
    else if (in.user != shm_user())
        why = SHM_WHY_USER;
    else if (!c->bound)
        why = connecter_ready(c, &in);
    set_why(c, why, c->shm.error);
    tell_why(c);
    conn_shm_carried(c);
    if (why != SHM_WHY_PENDING && c->bound) {
        withdraw(c);
        uncount(c);
    } else if (c->bound && c->shm.bytes) { /* it came before READY did */
        begin_switch(c);
    }
}

/* There may be room now. */
static void write_again(struct conn *c)
{
    c->link.blocked = false;
    conn_update_lone(c->set);
    c->link.flush_pending = true;
    conn_want_flush(c);
}

/* The other side does not want the memory: the descriptor carries the bytes as before. A thread
 * that writes may be inside the stream, which goes with the connection. */
static void give_up_memory(struct conn *c)
{
    shm_stream_uncount(c->stream);
    shm_stream_release(c->stream);
    c->shm.given_up = c->stream;
    c->stream = NULL;
    c->shm.bytes = 0;
    uncount(c);
    conn_update_lone(c->set);
}

static void note_state(struct conn *c)
{
    if (shm_stream_is_in(c->stream) && shm_stream_is_out(c->stream))
        set_why(c, SHM_WHY_NONE, 0);
    tell_why(c);
}

bool conn_shm_switched(struct conn *c, const uint8_t *data, size_t len)
{
    /* Only one that made or mapped memory with the peer can be told so, and once. */
    if (!c->shm.bytes || len < 1 || shm_stream_is_in(c->stream))
        return false;
    if (data[0] != SWITCH_GO) {
        if (c->bound) /* and a connecter switches after this, never before */
            return false;
        give_up_memory(c);
        set_why(c, SHM_WHY_FAILED, -ECONNREFUSED);
        tell_why(c);
        return true;
    }
    /* The accepting side has written SWITCH before, whether or not its write has returned. */
    if (c->bound && !c->shm.switch_put)
        return false;
    peer_drop_input(&c->peer);
    shm_stream_switch_in(c->stream);
    if (!c->bound)
        begin_switch(c);
    else if (conn_waits_to_write(c))
        write_again(c); /* a bell may have been among what was dropped */
    note_state(c);
    conn_watch(c);
    return true;
}

int conn_shm_prepare(struct conn *c)
{
    uint8_t command[] = "\6SWITCH";
    if (c->shm.switch_put || conn_out(c)->mid_frame)
        return 0;
    command[sizeof(command) - 1] = c->shm.refuse ? SWITCH_REFUSED : SWITCH_GO;
    int rc = peer_put_command(&c->peer, command, sizeof(command));
    if (rc == 0 && c->shm.refuse)
        c->shm.refuse = c->shm.switch_due = false;
    else
        c->shm.switch_put = rc == 0;
    return rc;
}

void conn_shm_cut(struct conn *c, struct iovec *iov, int *count)
{
    /* The rest of the frame that was begun, or what is in front of the pipe's frames. */
    size_t left = c->shm.switch_put ? c->peer.tx.offered : conn_out(c)->cur_left;
    int n = 0;
    while (n < *count && left) {
        if (iov[n].iov_len > left)
            iov[n].iov_len = left;
        left -= iov[n].iov_len;
        n++;
    }
    *count = n;
}

void conn_shm_wrote(struct conn *c)
{
    if (!c->shm.switch_put || c->peer.tx.buf.bytes)
        return;
    c->shm.switch_due = false;
    shm_stream_switch_out(c->stream);
    note_state(c);
    conn_watch(c);
}

void conn_shm_end(struct conn *c)
{
    withdraw(c);
    uncount(c);
    if (c->shm.bytes) {
        shm_stream_leave(c->stream);
        shm_stream_uncount(c->stream);
    }
    c->shm.bytes = 0;
    c->shm.switch_due = false;
}

const char *conn_shm_reason(unsigned why)
{
    static const char *const reasons[SHM_WHY_COUNT] = {
        [SHM_WHY_NONE] = "",
        [SHM_WHY_PENDING] = "not yet",
        [SHM_WHY_OFF] = "SHM is 0 here",
        [SHM_WHY_SYSTEM] = "this system has no such memory, or the context no I/O thread",
        [SHM_WHY_SECURITY] = "what is encrypted stays on its socket",
        [SHM_WHY_LINK] = "the connection is of another kind",
        [SHM_WHY_PEER] = "the peer does not offer it",
        [SHM_WHY_HOST] = "the peer is on another host",
        [SHM_WHY_USER] = "the peer is of another user",
        [SHM_WHY_BETWEEN] = "another program stands between the two",
        [SHM_WHY_LIMIT] = "SHM_CONNECTIONS are in use",
        [SHM_WHY_FAILED] = "it failed",
    };
    return why < SHM_WHY_COUNT ? reasons[why] : NULL;
}
