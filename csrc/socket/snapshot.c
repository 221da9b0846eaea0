/* SPDX-License-Identifier: MIT */
#include "socket/snapshot.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "net/endpoint.h"
#include "net/packets.h"
#include "net/security.h"
#include "net/trouble.h"
#include "os/net.h"
#include "os/place.h"
#include "pipe/option_ids.h"
#include "reactor/io_thread.h"
#include "socket/create.h"
#include "socket/ctx.h"
#include "socket/stats.h"
#include "socket/zap.h"
#include "transport/inproc.h"
#include "wire/types.h"

#define FORM 1 /* of the text: raised when a field changes its meaning or goes */
/* So many peers are described, and so many pipes and connections counted, with the lock held. */
#define DESCRIBE_SLICE 8u
#define COUNT_SLICE 128u
#define FRAMES_SLICE 4096 /* received frames whose bytes are added up at a time */
#define ENDPOINTS_MIN 64u /* are listed however few peers are asked for */
#define NAMES_MAX 256u
#define TOPICS_ROOM 1024u

void snapshot_query_init(struct snapshot_query *q)
{
    memset(q, 0, sizeof(*q));
    q->peers = SNAPSHOT_PEERS;
}

/* ---- topics ---- */

/* Topics as they were copied with the lock held: a byte of length and the bytes each. */
struct topics_copy {
    uint32_t count; /* listed */
    uint32_t seen;  /* looked at: those that are too long, too */
    size_t used;
    uint8_t text[TOPICS_ROOM];
};

static void clear_topics(struct topics_copy *c)
{
    c->count = c->seen = 0;
    c->used = 0;
}

static int copy_topic(void *arg, const void *topic, size_t len)
{
    struct topics_copy *c = arg;
    if (++c->seen > TOPICS_ROOM)
        return 1;
    if (len > UINT8_MAX)
        return 0;
    if (c->used + 1 + len > TOPICS_ROOM)
        return 1;
    c->text[c->used++] = (uint8_t)len;
    if (len)
        memcpy(c->text + c->used, topic, len);
    c->used += len;
    c->count++;
    return 0;
}

static void put_topics(struct json *j, const struct topics_copy *c)
{
    json_array(j, "topics");
    for (size_t at = 0; at < c->used; at += 1u + c->text[at])
        json_bytes(j, NULL, c->text + at + 1, c->text[at]);
    json_end_array(j);
}

/* ---- counters ---- */

static void put_counters(struct json *j, const struct fmq_counters *c)
{
    json_uint(j, "messages_sent", c->msgs_sent);
    json_uint(j, "messages_received", c->msgs_recvd);
    json_uint(j, "bytes_sent", c->bytes_sent);
    json_uint(j, "bytes_received", c->bytes_recvd);
    json_uint(j, "dropped", c->drops);
    json_uint(j, "queued_out", c->queued_to_send);
    json_uint(j, "queued_in", c->queued_to_recv);
    json_uint(j, "queued_out_bytes", c->bytes_to_send);
    json_uint(j, "queued_in_bytes", c->bytes_to_recv);
    json_uint(j, "reconnections", c->reconnects);
    json_uint(j, "packets_lost", c->packets_lost);
}

/* ---- peers ---- */

struct peer_facts {
    struct fmq_peer row;
    struct topics_copy topics;
};

static void clear_peer(struct peer_facts *f)
{
    clear_topics(&f->topics);
    stats_init_peer(&f->row);
}

/* While a socket is gone through. */
struct tour {
    struct fmq_socket *s;
    struct json *j;
    uint32_t most; /* peers to be listed */
    uint32_t listed, left_off;
    struct fmq_socket_stats sum;
    struct fmq_socket_stats closed; /* of the context */
    struct peer_facts facts[DESCRIBE_SLICE];
};

static void put_peer(struct tour *t, const struct peer_facts *f)
{
    static const char *const states[] = {"connecting", "handshaking", "ready", "closing"};
    static const char *const carriers[] = {"", "socket", "shm", "ws"};
    struct json *j = t->j;
    const struct fmq_peer *p = &f->row;
    json_object(j, NULL);
    json_text(j, "endpoint", p->endpoint);
    json_text(j, "address", p->address);
    json_bool(j, "accepted", p->accepted);
    json_text(j, "state", states[p->link]);
    json_text(j, "type", p->type < 0 ? NULL : type_name(p->type));
    json_bytes(j, "identity", p->identity, p->identity_len);
    if (p->routing_id)
        json_uint(j, "routing_id", p->routing_id);
    else
        json_null(j, "routing_id");
    if (p->since_ns)
        json_seconds(j, "since", p->since_ns);
    else
        json_null(j, "since");
    if (p->rtt_ns)
        json_seconds(j, "round_trip", (int64_t)p->rtt_ns);
    else
        json_null(j, "round_trip");
    json_text(j, "link", carriers[p->carrier]);
    if (p->carrier_error) {
        char why[256];
        snprintf(why, sizeof(why), "%s: %s", p->carrier_why, error_text(-p->carrier_error));
        json_text(j, "link_reason", why);
    } else {
        json_text(j, "link_reason", p->carrier_why);
    }
    json_int(j, "connect_error", p->connect_error);
    json_bool(j, "full", p->full);
    json_bool(j, "paused", p->paused);
    put_counters(j, &p->count);
    if (p->subscriptions >= 0) {
        json_int(j, "subscriptions", p->subscriptions);
        put_topics(j, &f->topics);
    } else {
        json_null(j, "subscriptions");
    }
    json_end_object(j);
    t->listed++;
}

static void lock(struct tour *t)
{
    mutex_lock(&socket_reactor(t->s)->lock);
}

static void unlock(struct tour *t)
{
    mutex_unlock(&socket_reactor(t->s)->lock);
}

/* Both with the lock held; between them it may be released. */
static void begin_walk(struct tour *t, struct list_walk *w, struct list *head)
{
    list_walk_begin(w, &t->s->net.pipes.walks, head);
}

static void note_pipe(struct tour *t, struct pipe *p, struct peer_facts *f)
{
    const struct pattern_ops *ops = t->s->net.pipes.ops;
    if (!f) {
        stats_add_pipe(p, &t->sum.count);
    } else {
        clear_peer(f);
        stats_describe_pipe(t->s, p, &f->row);
        /* What it dropped is in the socket's sum. */
        uint64_t drops = f->row.count.drops;
        f->row.count.drops = 0;
        stats_add_counters(&t->sum.count, &f->row.count);
        f->row.count.drops = drops;
        if (ops->topics && p->attached)
            ops->topics(&t->s->net.pipes, p, copy_topic, &f->topics);
    }
    t->sum.peers += p->ready && !p->hung_up;
}

static void tour_pipes(struct tour *t)
{
    struct list *head = &t->s->net.pipes.list;
    struct list_walk walk;
    bool more = true;
    lock(t);
    begin_walk(t, &walk, head);
    while (more) {
        bool lists = t->listed < t->most;
        uint32_t n = 0, left = t->most - t->listed;
        uint32_t most = !lists ? COUNT_SLICE : left < DESCRIBE_SLICE ? left : DESCRIBE_SLICE;
        uint32_t frames = 0; /* which are gone through where no limit counts their bytes */
        for (; walk.at != head && n < most && frames <= FRAMES_SLICE; walk.at = walk.at->next) {
            struct pipe *p = LIST_ENTRY(walk.at, struct pipe, in_set);
            frames += p->in.len;
            note_pipe(t, p, lists ? &t->facts[n] : NULL);
            n++;
        }
        more = walk.at != head;
        if (!more)
            list_walk_end(&walk);
        unlock(t);
        for (uint32_t i = 0; lists && i < n; i++)
            put_peer(t, &t->facts[i]);
        if (!lists)
            t->left_off += n;
        if (more)
            lock(t);
    }
}

/* Goes through a list of which some are peers that tour_pipes does not meet. `note` counts a node,
 * and describes it if it is such a peer and `room` is not NULL. True: it is one. */
static void tour_rest(struct tour *t, struct list *head,
                      bool (*note)(struct tour *t, struct list *node, struct peer_facts *room))
{
    struct list_walk walk;
    bool more = true;
    lock(t);
    begin_walk(t, &walk, head);
    while (more) {
        uint32_t n = 0, found = 0;
        for (; walk.at != head && n < COUNT_SLICE && found < DESCRIBE_SLICE;
             walk.at = walk.at->next, n++) {
            bool listed = t->listed + found < t->most;
            if (!note(t, walk.at, listed ? &t->facts[found] : NULL))
                continue;
            if (listed)
                found++;
            else
                t->left_off++;
        }
        more = walk.at != head;
        if (!more)
            list_walk_end(&walk);
        unlock(t);
        for (uint32_t i = 0; i < found; i++)
            put_peer(t, &t->facts[i]);
        if (more)
            lock(t);
    }
}

/* Connections that have no pipe: their handshake is not done. */
static bool note_conn(struct tour *t, struct list *node, struct peer_facts *room)
{
    const struct conn *c = LIST_ENTRY(node, struct conn, in_set);
    t->sum.descriptors += c->io.fd >= 0;
    if (c->pipe)
        return false;
    stats_add_conn(c, &t->sum.count);
    if (room) {
        clear_peer(room);
        conn_describe(c, &room->row);
        stats_add_conn(c, &room->row.count);
    }
    return true;
}

/* Connections that have ended, but for their descriptors. */
static bool note_draining(struct tour *t, struct list *node, struct peer_facts *room)
{
    (void)room;
    t->sum.descriptors += LIST_ENTRY(node, struct conn, in_set)->io.fd >= 0;
    return false;
}

/* Connecters that have neither: with IMMEDIATE. */
static bool note_connecter(struct tour *t, struct list *node, struct peer_facts *room)
{
    const struct endpoint *ep = LIST_ENTRY(node, struct endpoint, in_set);
    t->sum.descriptors += ep->io.fd >= 0 || packets_of(ep->pipe);
    if (ep->bound || ep->pipe || ep->conn)
        return false;
    if (room) {
        clear_peer(room);
        room->row.link = ep->closing ? FMQ_LINK_CLOSING : FMQ_LINK_CONNECTING;
        endpoint_describe(ep, &room->row);
    }
    return true;
}

/* ---- endpoints ---- */

struct endpoint_facts {
    char name[280];
    const char *transport;
    const char *state;
    bool bound;
    int error;
    int mechanism;
    uint64_t retry_ns; /* until the next attempt; 0: none is waited for */
};

/* NULL: there is none. */
static const char *mechanism_name(int mechanism)
{
    return mechanism == PEER_MECH_CURVE   ? "CURVE"
           : mechanism == PEER_MECH_PLAIN ? "PLAIN"
           : mechanism == PEER_MECH_NULL  ? "NULL"
                                          : NULL;
}

static const char *state_of(const struct endpoint *ep)
{
    if (ep->closing)
        return "closing";
    if (packets_of(ep->pipe))
        return "open";
    if (ep->bound)
        return ep->accept_paused ? "paused" : "listening";
    if (ep->transport->bind) { /* within the process */
        return ep->pipe && ep->pipe->ready ? "connected" : "waiting";
    }
    if (ep->conn)
        return ep->conn->was_ready ? "connected" : "handshaking";
    return ep->job ? "resolving" : ep->connecting ? "connecting" : "retrying";
}

static void note_endpoint(const struct endpoint *ep, struct endpoint_facts *f, uint64_t now)
{
    snprintf(f->name, sizeof(f->name), "%s", ep->name);
    f->transport = ep->transport->scheme;
    f->state = state_of(ep);
    f->bound = ep->bound;
    f->error = ep->error;
    f->mechanism = ep->security ? ep->security->mechanism : -1;
    bool waits = !ep->bound && !ep->connecting && ep->timer.node.linked;
    f->retry_ns = waits && ep->timer.node.key > now ? ep->timer.node.key - now : 0;
}

static void put_endpoint(struct json *j, const struct endpoint_facts *f)
{
    json_object(j, NULL);
    json_text(j, "endpoint", f->name);
    json_text(j, "transport", f->transport);
    json_bool(j, "bound", f->bound);
    json_text(j, "state", f->state);
    json_int(j, "error", f->error);
    if (f->retry_ns)
        json_seconds(j, "retry_in", (int64_t)f->retry_ns);
    else
        json_null(j, "retry_in");
    json_text(j, "mechanism", mechanism_name(f->mechanism));
    json_end_object(j);
}

static void put_endpoints(struct tour *t)
{
    struct endpoint_facts facts[DESCRIBE_SLICE];
    struct list *head = &t->s->net.endpoints;
    struct list_walk walk;
    uint32_t listed = 0, left_off = 0;
    uint32_t most_listed = t->most > ENDPOINTS_MIN ? t->most : ENDPOINTS_MIN;
    bool more = true;
    json_array(t->j, "endpoints");
    lock(t);
    begin_walk(t, &walk, head);
    while (more) {
        uint32_t n = 0, left = most_listed - listed;
        bool lists = left > 0;
        uint32_t most = !lists ? COUNT_SLICE : left < DESCRIBE_SLICE ? left : DESCRIBE_SLICE;
        uint64_t now = clock_now();
        for (; walk.at != head && n < most; walk.at = walk.at->next, n++)
            if (lists)
                note_endpoint(LIST_ENTRY(walk.at, struct endpoint, in_set), &facts[n], now);
        more = walk.at != head;
        if (!more)
            list_walk_end(&walk);
        unlock(t);
        for (uint32_t i = 0; lists && i < n; i++)
            put_endpoint(t->j, &facts[i]);
        listed += lists ? n : 0;
        left_off += lists ? 0 : n;
        if (more)
            lock(t);
    }
    json_end_array(t->j);
    json_uint(t->j, "endpoints_left_off", left_off);
}

/* ---- a socket ---- */

/* What is told of the options: no secrets, so none are copied. */
struct option_facts {
    int64_t maxmsgsize, sndhwm_bytes, rcvhwm_bytes;
    int sndhwm, rcvhwm, linger, sndtimeo, rcvtimeo, reconnect_ivl, heartbeat_ivl, handshake_ivl;
    int immediate, conflate, invert_matching, shm, mechanism;
    bool as_server;
    uint8_t routing_id[255];
    uint8_t routing_id_len;
};

static void note_options(struct option_facts *f, const struct option_values *o)
{
    f->maxmsgsize = o->maxmsgsize;
    f->sndhwm_bytes = o->sndhwm_bytes;
    f->rcvhwm_bytes = o->rcvhwm_bytes;
    f->sndhwm = o->sndhwm;
    f->rcvhwm = o->rcvhwm;
    f->linger = o->linger;
    f->sndtimeo = o->sndtimeo;
    f->rcvtimeo = o->rcvtimeo;
    f->reconnect_ivl = o->reconnect_ivl;
    f->heartbeat_ivl = o->heartbeat_ivl;
    f->handshake_ivl = o->handshake_ivl;
    f->immediate = o->immediate;
    f->conflate = o->conflate;
    f->invert_matching = o->invert_matching;
    f->shm = o->shm;
    f->mechanism = o->mechanism;
    f->as_server = o->as_server;
    memcpy(f->routing_id, o->routing_id, o->routing_id_len);
    f->routing_id_len = o->routing_id_len;
}

struct socket_facts {
    bool finished, closed, monitored, broken;
    bool waits_poll_set, loop_in, loop_out;
    struct option_facts opt;
    struct waits waits[WAIT_KINDS];
    uint64_t drops_for[DROP_REASONS];
    struct trouble troubles[TROUBLES_MAX];
    bool troubled;
    struct topics_copy topics;
    bool has_topics;
    char last_endpoint[sizeof(((struct conn_set *)0)->last_endpoint)];
};

static void note_socket(struct tour *t, struct socket_facts *f)
{
    struct fmq_socket *s = t->s;
    struct pipe_set *pipes = &s->net.pipes;
    struct reactor *r = socket_reactor(s);
    lock(t);
    f->finished = r->finished;
    f->closed = r->closed;
    f->broken = atomic_load(&r->broken);
    f->monitored = s->monitor.out && !s->monitor.stopped;
    f->waits_poll_set = r->notify.nested > 0;
    f->loop_in = ((r->notify.loop_events | r->notify.own_events) & FMQ_POLLIN) != 0;
    f->loop_out = ((r->notify.loop_events | r->notify.own_events) & FMQ_POLLOUT) != 0;
    note_options(&f->opt, &pipes->opt);
    memcpy(f->waits, s->waits, sizeof(f->waits));
    memcpy(f->drops_for, pipes->drops_for, sizeof(f->drops_for));
    memcpy(f->last_endpoint, s->net.last_endpoint, sizeof(f->last_endpoint));
    f->troubled = s->net.troubles != NULL;
    if (f->troubled)
        memcpy(f->troubles, s->net.troubles, sizeof(f->troubles));
    clear_topics(&f->topics);
    stats_add_ended(s, &t->sum);
    t->sum.subscriptions = -1;
    if (!r->finished) {
        int64_t topics;
        if (pipes->ops->getopt && pipes->ops->getopt(pipes, OPT_TOPICS_COUNT, &topics) == 0)
            t->sum.subscriptions = topics;
        if (pipes->ops->stats)
            pipes->ops->stats(pipes, &t->sum);
        if (pipes->ops->topics)
            pipes->ops->topics(pipes, NULL, copy_topic, &f->topics);
        t->sum.descriptors += poller_fds(r->poller) + poller_fds(r->notify.outer) +
                              poller_fds(r->notify.own_poller) + wakeup_fds(&r->wake) +
                              wakeup_fds(&r->notify.signal[0]) + wakeup_fds(&r->notify.signal[1]);
    }
    unlock(t);
}

static void put_options(struct json *j, const struct option_facts *o)
{
    json_object(j, "options");
    json_int(j, "SNDHWM", o->sndhwm);
    json_int(j, "RCVHWM", o->rcvhwm);
    json_int(j, "SNDHWM_BYTES", o->sndhwm_bytes);
    json_int(j, "RCVHWM_BYTES", o->rcvhwm_bytes);
    json_int(j, "LINGER", o->linger);
    json_int(j, "SNDTIMEO", o->sndtimeo);
    json_int(j, "RCVTIMEO", o->rcvtimeo);
    json_int(j, "MAXMSGSIZE", o->maxmsgsize);
    json_int(j, "RECONNECT_IVL", o->reconnect_ivl);
    json_int(j, "HEARTBEAT_IVL", o->heartbeat_ivl);
    json_int(j, "HANDSHAKE_IVL", o->handshake_ivl);
    json_bool(j, "IMMEDIATE", o->immediate);
    json_bool(j, "CONFLATE", o->conflate);
    json_bool(j, "INVERT_MATCHING", o->invert_matching);
    json_int(j, "SHM", o->shm);
    json_text(j, "MECHANISM", mechanism_name(o->mechanism));
    json_bool(j, "SERVER", o->as_server);
    json_bytes(j, "ROUTING_ID", o->routing_id, o->routing_id_len);
    json_end_object(j);
}

static void put_waits(struct json *j, const struct socket_facts *f)
{
    static const char *const names[WAIT_KINDS] = {"receive", "send", "poll", "subscribers"};
    uint64_t now = clock_now();
    json_array(j, "waits");
    for (int i = 0; i < WAIT_KINDS; i++) {
        const struct waits *w = &f->waits[i];
        if (!w->threads)
            continue;
        json_object(j, NULL);
        json_text(j, "call", names[i]);
        json_uint(j, "threads", w->threads);
        json_uint(j, "thread", w->thread);
        json_seconds(j, "seconds", (int64_t)(now > w->since ? now - w->since : 0));
        json_end_object(j);
    }
    json_end_array(j);
    json_object(j, "watched");
    json_bool(j, "poll_set", f->waits_poll_set);
    json_bool(j, "loop_receive", f->loop_in);
    json_bool(j, "loop_send", f->loop_out);
    json_end_object(j);
}

static void put_drops(struct json *j, const struct socket_facts *f)
{
    static const char *const names[DROP_REASONS] = {"full", "replaced", "gone", "unrouted",
                                                    "rules"};
    json_object(j, "drops");
    for (int i = 0; i < DROP_REASONS; i++)
        json_uint(j, names[i], f->drops_for[i]);
    json_end_object(j);
}

static void put_troubles(struct json *j, const struct socket_facts *f)
{
    json_array(j, "failures");
    for (unsigned i = 0; f->troubled && i < TROUBLES_MAX; i++) {
        const struct trouble *t = &f->troubles[i];
        if (!t->count)
            continue;
        json_object(j, NULL);
        json_text(j, "kind", trouble_name(t->kind));
        json_uint(j, "code", t->code);
        switch (t->kind) {
        case TROUBLE_TYPE:
            json_text(j, "text", type_name((int)t->code));
            break;
        case TROUBLE_PROTOCOL:
        case TROUBLE_VIOLATION:
        case TROUBLE_AUTH:
            json_null(j, "text");
            break;
        default:
            json_text(j, "text", t->code ? error_text((int)t->code) : NULL);
        }
        json_bool(j, "bound", t->bound);
        json_text(j, "endpoint", t->endpoint);
        json_text(j, "address", t->remote);
        json_uint(j, "count", t->count);
        json_uint(j, "total", t->total);
        json_seconds(j, "since", t->since);
        json_seconds(j, "last", t->last);
        if (t->over)
            json_seconds(j, "over", t->over);
        else
            json_null(j, "over");
        json_end_object(j);
    }
    json_end_array(j);
}

/* How many peers a message of the topic would reach from here, and whether this socket takes it. */
static void put_reach(struct tour *t, const struct snapshot_query *q)
{
    struct pipe_set *pipes = &t->s->net.pipes;
    int reached = -1, wanted = -1;
    if (q->has_topic && reactor_enter(socket_reactor(t->s)) == 0) {
        if (!pipes->reactor.finished && pipes->ops->subscribers)
            reached = pipes->ops->subscribers(pipes, q->topic, q->topic_len);
        if (!pipes->reactor.finished && pipes->ops->wants)
            wanted = pipes->ops->wants(pipes, q->topic, q->topic_len);
        reactor_leave(socket_reactor(t->s));
    }
    if (reached < 0)
        json_null(t->j, "reaches");
    else
        json_int(t->j, "reaches", reached);
    if (wanted < 0)
        json_null(t->j, "wants");
    else
        json_bool(t->j, "wants", wanted);
}

static void put_socket(struct tour *t, const struct snapshot_query *q, struct socket_facts *f)
{
    static const char *const turns[] = {NULL, "send", "receive"};
    struct json *j = t->j;
    struct fmq_socket *s = t->s;
    t->listed = t->left_off = 0;
    memset(&t->sum, 0, sizeof(t->sum));
    note_socket(t, f);
    if (f->finished) { /* its handle is still there */
        stats_add_counters(&t->closed.count, &t->sum.count);
        t->closed.send_waits += t->sum.send_waits;
        return;
    }
    json_object(j, NULL);
    json_uint(j, "id", s->number);
    json_text(j, "type", s->net.pipes.ops->name);
    json_bool(j, "internal", s->net.pipes.ops == &zap_pattern);
    json_text(j, "state", f->broken ? "broken" : f->closed ? "closed" : "open");
    json_seconds(j, "created", s->born);
    json_text(j, "last_endpoint", f->last_endpoint);
    json_text(j, "turn", turns[t->sum.turn]);
    put_endpoints(t);
    json_array(j, "peers");
    tour_pipes(t);
    tour_rest(t, &t->s->net.conns, note_conn);
    tour_rest(t, &t->s->net.draining, note_draining);
    tour_rest(t, &t->s->net.endpoints, note_connecter);
    json_end_array(j);
    json_uint(j, "peers_left_off", t->left_off);
    put_counters(j, &t->sum.count);
    put_drops(j, f);
    json_uint(j, "send_waits", t->sum.send_waits);
    json_uint(j, "peers_ready", t->sum.peers);
    json_uint(j, "descriptors", t->sum.descriptors);
    json_uint(j, "resent", t->sum.resent);
    json_uint(j, "kept", t->sum.kept);
    json_uint(j, "kept_bytes", t->sum.kept_bytes);
    json_uint(j, "kept_given", t->sum.kept_given);
    json_uint(j, "kept_dropped", t->sum.kept_dropped);
    if (t->sum.subscriptions < 0)
        json_null(j, "subscriptions");
    else
        json_int(j, "subscriptions", t->sum.subscriptions);
    put_topics(j, &f->topics);
    put_reach(t, q);
    put_waits(j, f);
    json_bool(j, "monitored", f->monitored);
    put_options(j, &f->opt);
    put_troubles(j, f);
    json_end_object(j);
}

/* ---- a context ---- */

struct name_walk {
    struct json *j;
    uint32_t count;
};

static int put_name(void *arg, const char *name, size_t len, struct conn_set *s)
{
    struct name_walk *w = arg;
    if (w->count++ >= NAMES_MAX)
        return 0; /* counted and no more */
    json_object(w->j, NULL);
    json_bytes(w->j, "name", name, len);
    /* The socket unbinds its names before its memory goes. */
    json_uint(w->j, "socket", socket_of(conn_set_reactor(s))->number);
    json_end_object(w->j);
    return 0;
}

static void put_ctx(struct json *j, struct fmq_ctx *ctx)
{
    struct name_walk walk = {j, 0};
    size_t spare;
    json_uint(j, "id", ctx->entry.number);
    uint64_t pool = pool_memory(ctx->pool, &spare);
    json_uint(j, "pool_bytes", pool);
    json_uint(j, "pool_spare", spare);
    if (ctx->budget.on) {
        int64_t cap = atomic_load(&ctx->budget.cap);
        json_int(j, "queued_bytes", atomic_load(&ctx->budget.used));
        json_int(j, "max_queued_bytes", cap == INT64_MAX ? 0 : cap);
    } else {
        json_null(j, "queued_bytes");
        json_null(j, "max_queued_bytes");
    }
    json_int(j, "shm_connections", atomic_load(&ctx->meeting.taken));
    json_int(j, "shm_connections_max", atomic_load(&ctx->meeting.most));
    json_int(j, "shm_bytes", atomic_load(&ctx->meeting.bytes));
    struct fmq_context_stats arena = {0};
    stats_add_arena(&ctx->arena, &arena);
    json_uint(j, "arena_bytes", arena.arena_bytes);
    json_uint(j, "arena_blocks", arena.arena_blocks);
    json_uint(j, "arena_lent", arena.arena_lent);
    json_uint(j, "arena_fallbacks", arena.arena_fallbacks);
    uint32_t descriptors = meeting_descriptors(&ctx->meeting);
    json_array(j, "inproc");
    inproc_each_bound(&ctx->inproc_names, put_name, &walk);
    json_end_array(j);
    json_uint(j, "inproc_left_off", walk.count > NAMES_MAX ? walk.count - NAMES_MAX : 0);
    mutex_lock(&ctx->lock);
    bool stopping = ctx->stopping;
    int max_sockets = ctx->max_sockets, threads = ctx->thread_count;
    bool broken = false;
    for (int i = 0; i < threads; i++) {
        struct io_thread *d = ctx->threads[i];
        descriptors += io_thread_descriptors(d);
        mutex_lock(&d->lock);
        broken |= d->broken;
        mutex_unlock(&d->lock);
    }
    mutex_unlock(&ctx->lock);
    json_int(j, "io_threads", threads);
    json_bool(j, "io_broken", broken);
    json_bool(j, "ending", stopping);
    json_int(j, "max_sockets", max_sockets);
    json_uint(j, "descriptors", descriptors);
}

struct scratch {
    struct tour tour;
    struct socket_facts facts;
};

/* The sockets that there are now, each with a reference to its memory (socket_drop_owner), in
 * memory that is to be freed. `closed` is what those have counted that are not among them any more,
 * `left_off` how many there are when there is no memory to name them. */
static size_t hold_sockets(struct fmq_ctx *ctx, struct fmq_socket ***out,
                           struct fmq_socket_stats *closed, uint64_t *left_off)
{
    size_t n = 0;
    mutex_lock(&ctx->lock);
    *closed = ctx->closed_totals;
    size_t most = ctx_list_length(&ctx->sockets);
    *out = most ? mem_alloc(most * sizeof(**out)) : NULL;
    *left_off = *out ? 0 : most;
    if (*out) {
        LIST_FOR(it, &ctx->sockets)
        {
            struct fmq_socket *s = LIST_ENTRY(it, struct fmq_socket, in_ctx);
            if (ctx_list_try_ref(&s->owners))
                (*out)[n++] = s;
            else /* its last owner waits for this lock, to do the same; no thread is inside */
                stats_add(s, closed);
        }
    }
    mutex_unlock(&ctx->lock);
    return n;
}

/* How many sockets did not fit. */
static uint64_t put_sockets(struct json *j, struct fmq_ctx *ctx, const struct snapshot_query *q,
                            struct scratch *scratch)
{
    struct fmq_socket **sockets;
    uint64_t left_off;
    size_t count = hold_sockets(ctx, &sockets, &scratch->tour.closed, &left_off);
    json_array(j, "sockets");
    for (size_t i = 0; i < count; i++) {
        size_t len = j->len;
        bool first = j->first, whole = !j->failed;
        if (left_off == 0 && whole && (!q->socket || q->socket == sockets[i]->number)) {
            scratch->tour.s = sockets[i];
            scratch->tour.j = j;
            scratch->tour.most = q->peers;
            put_socket(&scratch->tour, q, &scratch->facts);
            if (j->failed && whole) {
                json_cut(j, len, first);
                left_off++;
            }
        } else if (left_off || !whole) {
            left_off++;
        }
        socket_drop_owner(sockets[i]);
    }
    mem_free(sockets);
    json_end_array(j);
    return left_off;
}

void snapshot_write(struct json *j, const struct snapshot_query *q)
{
    char version[32];
    struct scratch *scratch = mem_alloc(sizeof(*scratch));
    struct ctx_entry **all;
    uint64_t left_off = 0;
    if (!scratch) {
        j->failed = true;
        return;
    }
    snprintf(version, sizeof(version), "%d.%d.%d%s", FMQ_VERSION_MAJOR, FMQ_VERSION_MINOR,
             FMQ_VERSION_PATCH, FMQ_VERSION_SUFFIX);
    /* What stands behind the sockets must find room. */
    size_t limit = j->limit;
    json_object(j, NULL);
    json_int(j, "form", FORM);
    json_text(j, "fastmq", version);
    json_uint(j, "pid", place_process());
    json_seconds(j, "time", clock_unix());
    json_array(j, "contexts");
    long count = ctx_list_hold(&all);
    if (count < 0)
        j->failed = true;
    for (long i = 0; i < count; i++) {
        struct fmq_ctx *ctx = (struct fmq_ctx *)all[i];
        if (ctx->fork_generation == fork_generation) {
            size_t len = j->len;
            bool first = j->first, whole = !j->failed;
            json_object(j, NULL);
            put_ctx(j, ctx);
            j->limit = limit - limit / 8;
            uint64_t missing = put_sockets(j, ctx, q, scratch);
            j->limit = limit;
            json_uint(j, "sockets_left_off", missing);
            json_object(j, "closed_sockets");
            put_counters(j, &scratch->tour.closed.count);
            json_uint(j, "send_waits", scratch->tour.closed.send_waits);
            json_end_object(j);
            json_end_object(j);
            left_off += missing;
            if (j->failed && whole) {
                json_cut(j, len, first);
                left_off++;
            }
        }
        ctx_unref(ctx);
    }
    mem_free(all);
    json_end_array(j);
    json_uint(j, "left_off", left_off);
    json_uint(j, "engine_descriptors", (uint64_t)net_fd_count());
    json_end_object(j);
    mem_free(scratch);
}
