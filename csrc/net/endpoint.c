/* SPDX-License-Identifier: MIT */
#include "net/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "net/conn.h"
#include "net/events.h"
#include "net/packets.h"
#include "net/security.h"
#include "os/net.h"
#include "os/random.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

/* Wrong answers in a row that double the wait each: sixteen times RECONNECT_IVL at most. */
#define WRONG_MAX 5
/* How long a listener that ran out of descriptors rests, so that it does not burn a core. */
#define ACCEPT_REST_NS (100 * NS_PER_MS)
/* Connections taken from a listener in one go, so that a flood of them cannot starve the others. */
#define ACCEPT_BATCH 32

static void attempt(struct endpoint *ep);
static void schedule_retry(struct endpoint *ep);

/* ---- life ---- */

/* At once when a listener closes: later the path may belong to another process. It may already,
 * where it was taken over by force or the directory was made anew. */
static void remove_files(struct endpoint *ep)
{
    struct stat st;
    if (ep->unlink_path && lstat(ep->unlink_path, &st) == 0 && st.st_dev == ep->unlink_dev &&
        st.st_ino == ep->unlink_ino)
        unlink(ep->unlink_path);
    if (ep->unlink_dir)
        rmdir(ep->unlink_dir);
    mem_free(ep->unlink_path);
    mem_free(ep->unlink_dir);
    ep->unlink_path = ep->unlink_dir = NULL;
}

static void free_io(struct io *io)
{
    struct endpoint *ep = LIST_ENTRY(io, struct endpoint, io);
    net_close(ep->io.fd);
    remove_files(ep);
    security_unref(ep->security);
    mem_free(ep->given);
    mem_free(ep->name);
    mem_free(ep);
}

static void endpoint_timer(struct timer *t, uint64_t now);
static void linger_over(struct timer *t, uint64_t now);
static void endpoint_ready(struct io *io, uint32_t events);

static struct endpoint *endpoint_new(struct conn_set *s, const char *text, bool bound)
{
    struct endpoint *ep = mem_zalloc(sizeof(*ep));
    if (!ep)
        return NULL;
    ep->io.fd = -1;
    ep->io.ready = endpoint_ready;
    ep->io.free = free_io;
    list_init(&ep->io.deferred);
    ep->set = s;
    ep->bound = bound;
    list_init(&ep->in_set);
    list_init(&ep->conns);
    timer_init(&ep->timer, endpoint_timer);
    timer_init(&ep->linger, linger_over);
    ep->given = mem_strdup(text);
    ep->name = mem_strdup(text);
    if (!ep->given || !ep->name) {
        free_io(&ep->io);
        return NULL;
    }
    return ep;
}

int endpoint_rename(struct endpoint *ep, const char *name)
{
    char *copy = mem_strdup(name);
    if (!copy)
        return -ENOMEM;
    mem_free(ep->name);
    ep->name = copy;
    return 0;
}

/* Unlinks it from everything and frees it when no thread can be looking at it any more. */
static void discard(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    timer_cancel(conn_set_reactor(s), &ep->timer);
    timer_cancel(conn_set_reactor(s), &ep->linger);
    if (ep->job) {
        ep->job->owner = NULL;
        ep->job = NULL;
    }
    list_remove(&ep->in_set);
    endpoint_release_pipe(ep);
    io_free_later(conn_set_reactor(s), &ep->io);
}

/* The pipe goes, if there is one: nothing will connect for it any more. */
static void end_pipe(struct endpoint *ep)
{
    struct pipe *p = ep->pipe;
    endpoint_release_pipe(ep);
    if (p)
        pipe_hangup(p);
}

static void close_io(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    io_watch(conn_set_reactor(s), &ep->io, 0);
    if (ep->io.fd >= 0)
        net_close(ep->io.fd);
    ep->io.fd = -1;
    ep->connecting = false;
}

/* ---- packets ---- */

/* A pipe that belongs to the endpoint, attached. */
static int make_pipe(struct endpoint *ep)
{
    int rc = 0;
    struct pipe *p = pipe_new(&ep->set->pipes, &rc);
    if (!p)
        return rc;
    endpoint_hold_pipe(ep, p);
    memcpy(p->identity, ep->identity, ep->identity_len);
    p->identity_len = ep->identity_len;
    p->identity_given = ep->identity_len > 0;
    p->to_all = ep->transport->open != NULL;
    rc = pipe_attach(p);
    if (rc == 0)
        return 0;
    if (rc == -EADDRINUSE && p->identity_given)
        detail_set("CONNECT_ROUTING_ID names a peer that is connected already");
    endpoint_release_pipe(ep);
    pipe_free(p);
    return rc;
}

static void packets_ended(struct packets *k)
{
    struct endpoint *ep = k->endpoint;
    conn_set_event(ep->set, ep->bound, EVENT_CLOSED, (uint64_t)k->io.fd,
                   ep->bound ? ep->name : NULL, ep->bound ? NULL : ep->name);
    discard(ep);
}

static int open_packets(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    int rc = ep->transport->open(ep, ep->candidate);
    if (rc)
        return rc;
    struct packets *k = packets_of(ep->pipe);
    k->ended = packets_ended;
    k->endpoint = ep;
    if (ep->bound)
        conn_set_event(s, true, EVENT_LISTENING, (uint64_t)k->io.fd, ep->name, NULL);
    else
        conn_set_event(s, false, EVENT_CONNECTED, (uint64_t)k->io.fd, k->local_name, ep->name);
    return pipe_connected(ep->pipe); /* what it has opened goes with the pipe */
}

/* The network may come back, or memory. */
static bool may_pass(int error)
{
    switch (-error) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return true;
    default:
        return false;
    }
}

/* Which transport carries which type. */
static int check_type(const struct conn_set *s, const struct transport_ops *tr, bool bound)
{
    const struct pattern_ops *ops = s->pipes.ops;
    if (tr->carries ? tr->carries(s->pipes.type, bound) : !ops->datagrams)
        return 0;
    bool other = tr->carries && tr->carries(s->pipes.type, !bound);
    detail_set("a %s socket cannot %s %s://%s", ops->name, bound ? "bind" : "connect", tr->scheme,
               other && bound ? ": connect it"
               : other        ? ": bind it"
                              : "");
    return -FMQ_ENOCOMPATPROTO;
}

/* ---- listening ---- */

static int listen_packets(struct conn_set *s, const struct transport_ops *tr, const char *text,
                          const char *rest)
{
    if (!s->pipes.reactor.io_thread)
        return -FMQ_EMTHREAD;
    int rc = security_check(&s->pipes.opt, true);
    if (rc)
        return rc;
    struct endpoint *ep = endpoint_new(s, text, true);
    if (!ep)
        return -ENOMEM;
    ep->transport = tr;
    char detail[256] = "";
    rc = tr->parse(&ep->address, rest, true, s->pipes.opt.ipv6, detail);
    if (rc) {
        if (detail[0])
            detail_set("%s", detail);
        goto fail;
    }
    rc = make_pipe(ep);
    if (rc)
        goto fail;
    list_push_back(&s->endpoints, &ep->in_set);
    rc = open_packets(ep);
    if (rc) {
        if (!packets_of(ep->pipe))
            conn_set_event(s, true, EVENT_BIND_FAILED, (uint64_t)-rc, text, NULL);
        endpoint_close(ep, true);
        return rc;
    }
    snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", ep->name);
    return 0;
fail:
    free_io(&ep->io);
    return rc;
}

static int listen_direct(struct conn_set *s, const struct transport_ops *tr, const char *text,
                         const char *rest)
{
    int rc = tr->bind(s, rest);
    if (rc >= 0)
        snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", text);
    return rc;
}

static int listen_stream(struct conn_set *s, const struct transport_ops *tr, const char *text,
                         const char *rest)
{
    if (!s->pipes.reactor.io_thread)
        return -FMQ_EMTHREAD;
    int rc = security_check(&s->pipes.opt, s->pipes.ops->raw);
    if (rc)
        return rc;
    struct endpoint *ep = endpoint_new(s, text, true);
    if (!ep)
        return -ENOMEM;
    ep->transport = tr;
    ep->security = security_new(&s->pipes.opt);
    if (!ep->security) {
        rc = -ENOMEM;
        goto fail;
    }
    char detail[256] = "";
    rc = tr->parse(&ep->address, rest, true, s->pipes.opt.ipv6, detail);
    if (rc) {
        if (detail[0])
            detail_set("%s", detail);
        goto fail;
    }
    int fd = tr->listen(ep, &ep->address);
    ep->io.fd = fd < 0 ? -1 : fd;
    char name[512];
    rc = fd < 0 ? fd : tr->local_name(fd, name, sizeof(name));
    if (rc) {
        conn_set_event(s, ep->bound, EVENT_BIND_FAILED, (uint64_t)-rc, text, NULL);
        goto fail;
    }
    rc = endpoint_rename(ep, name);
    if (rc == 0)
        rc = io_watch(conn_set_reactor(s), &ep->io, POLLER_IN);
    if (rc)
        goto fail;
    list_push_back(&s->endpoints, &ep->in_set);
    snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", ep->name);
    conn_set_event(s, ep->bound, EVENT_LISTENING, (uint64_t)fd, ep->name, NULL);
    return 0;
fail:
    free_io(&ep->io);
    return rc;
}

int endpoint_bind(struct conn_set *s, const struct transport_ops *tr, const char *text,
                  const char *rest)
{
    int rc = check_type(s, tr, true);
    if (rc)
        return rc;
    return tr->bind   ? listen_direct(s, tr, text, rest)
           : tr->open ? listen_packets(s, tr, text, rest)
                      : listen_stream(s, tr, text, rest);
}

static void accept_all(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    for (int i = 0; i < ACCEPT_BATCH && !s->pipes.reactor.closed && !ep->io.dead; i++) {
        struct net_addr peer;
        int fd = net_accept(ep->io.fd, &peer);
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            conn_set_event(s, ep->bound, EVENT_ACCEPT_FAILED, (uint64_t)-fd, ep->name, NULL);
            if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
                ep->accept_paused = true;
                io_watch(conn_set_reactor(s), &ep->io, 0);
                timer_set(conn_set_reactor(s), &ep->timer, clock_now() + ACCEPT_REST_NS);
                return;
            }
            continue; /* that connection died in the queue */
        }
        char name[256], address[128];
        int rc = security_is_kept(ep->security, &s->pipes.opt, s->pipes.ops->raw) ? 0 : -EINVAL;
        if (rc == 0)
            rc = ep->transport->peer_address(fd, &peer, address, sizeof(address));
        if (rc == 0)
            rc = ep->transport->accepted(ep, fd, &peer);
        if (rc) {
            conn_set_event(s, ep->bound, EVENT_ACCEPT_FAILED, (uint64_t)-rc, ep->name, NULL);
            net_close(fd);
            continue;
        }
        ep->transport->peer_name(&peer, name, sizeof(name));
        conn_set_event(s, ep->bound, EVENT_ACCEPTED, (uint64_t)fd, ep->name, name);
        const struct conn_ends ends = {ep->name, name, name, address};
        struct conn *c = conn_new(s, ep, fd, NULL, NULL, &ends);
        if (!c) {
            conn_set_event(s, ep->bound, EVENT_ACCEPT_FAILED, ENOMEM, ep->name, name);
            continue;
        }
        /* The peer has often sent something already: with its signature known, the greeting goes
         * out in fewer pieces, here and there. Releases the lock meanwhile. */
        conn_spin(c, 0);
    }
}

/* ---- connecting ---- */

static void refused(struct endpoint *ep, int error)
{
    struct conn_set *s = ep->set;
    int fd = ep->io.fd;
    close_io(ep);
    if (fd >= 0)
        conn_set_event(s, ep->bound, EVENT_CLOSED, (uint64_t)fd, NULL, ep->name);
    if (++ep->candidate < ep->address.count) {
        attempt(ep);
        return;
    }
    if (error == ECONNREFUSED && (s->pipes.opt.reconnect_stop & STOP_REFUSED)) {
        end_pipe(ep);
        discard(ep);
        s->pipes.reactor.work |= WORK_CLOSE;
        return;
    }
    schedule_retry(ep);
}

static void established(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    const struct net_addr *peer = &ep->address.at[ep->candidate];
    char local[256], name[256], address[128];
    int fd = ep->io.fd;
    bool raw = ep->pipe ? ep->pipe->raw : s->pipes.ops->raw;
    int rc = security_is_kept(ep->security, &s->pipes.opt, raw) ? 0 : -EINVAL;
    if (rc == 0)
        rc = ep->transport->peer_address(fd, peer, address, sizeof(address));
    if (rc) {
        refused(ep, -rc);
        return;
    }
    timer_cancel(conn_set_reactor(s), &ep->timer);
    io_watch(conn_set_reactor(s), &ep->io, 0);
    ep->io.fd = -1;
    ep->connecting = false;
    (void)ep->transport->local_name(fd, local, sizeof(local)); /* only to be reported */
    ep->transport->peer_name(peer, name, sizeof(name));
    conn_set_event(s, ep->bound, EVENT_CONNECTED, (uint64_t)fd, local, ep->name);
    const struct conn_ends ends = {local, ep->name, name, address};
    ep->conn = conn_new(s, ep, fd, NULL, ep->pipe, &ends);
    if (!ep->conn)
        schedule_retry(ep);
    else if (ep->conn->io.dead)
        ep->conn = NULL;
}

static void attempt(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    bool connected = false;
    if (ep->transport->open) {
        int rc = open_packets(ep);
        if (rc && packets_of(ep->pipe))
            endpoint_close(ep, true);
        else if (rc)
            refused(ep, -rc);
        return;
    }
    int fd = ep->transport->connect(ep, &ep->address, ep->candidate, &connected);
    if (fd < 0) {
        refused(ep, -fd);
        return;
    }
    ep->io.fd = fd;
    ep->connecting = true;
    if (connected) {
        established(ep);
        return;
    }
    conn_set_event(s, ep->bound, EVENT_CONNECT_DELAYED, EINPROGRESS, NULL, ep->name);
    /* Within a host the other end has answered meanwhile: asking once more spares the poller. */
    const struct net_addr *to = &ep->address.at[ep->candidate];
    int rc = net_is_loopback(to) ? net_connect(fd, to) : 0;
    if (rc < 0) {
        refused(ep, -rc);
        return;
    }
    if (rc == 1) {
        established(ep);
        return;
    }
    if (io_watch(conn_set_reactor(s), &ep->io, POLLER_OUT)) {
        refused(ep, ENOMEM);
        return;
    }
    if (s->pipes.opt.connect_timeout > 0)
        timer_set(conn_set_reactor(s), &ep->timer,
                  clock_now() + (uint64_t)s->pipes.opt.connect_timeout * NS_PER_MS);
}

static void resolved(struct reactor *r, struct cmd *cmd)
{
    struct resolve_job *job = LIST_ENTRY(cmd, struct resolve_job, done);
    struct endpoint *ep = job->owner;
    if (ep && !r->finished) {
        ep->job = NULL;
        if (job->result > 0) {
            memcpy(ep->address.at, job->out, sizeof(job->out[0]) * (size_t)job->result);
            ep->address.count = job->result;
            ep->address.by_name = true;
            ep->candidate = 0;
            attempt(ep);
        } else {
            schedule_retry(ep);
        }
    }
    mem_free(job);
}

/* Begins a round of attempts: names are looked up anew each time. */
static void start(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    if (ep->conn || ep->job || ep->connecting || packets_of(ep->pipe))
        return;
    ep->candidate = 0;
    if (ep->address.count > 0 && !ep->address.by_name) {
        attempt(ep);
        return;
    }
    struct resolve_job *job = mem_zalloc(sizeof(*job));
    if (!job) {
        schedule_retry(ep);
        return;
    }
    job->done.run = resolved;
    job->reactor = conn_set_reactor(s);
    job->owner = ep;
    job->port = ep->address.port;
    job->ipv6 = s->pipes.opt.ipv6;
    snprintf(job->host, sizeof(job->host), "%s", ep->address.host);
    ep->job = job;
    int rc = resolver_submit(s->resolver, job);
    if (rc) {
        ep->job = NULL;
        mem_free(job);
        schedule_retry(ep);
    }
}

static void schedule_retry(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    const struct option_values *o = &s->pipes.opt;
    if (o->reconnect_ivl <= 0 || (s->pipes.reactor.closed && s->linger_until == 0)) {
        end_pipe(ep);
        discard(ep);
        s->pipes.reactor.work |= WORK_CLOSE;
        return;
    }
    int wait;
    if (o->reconnect_ivl_max > 0) {
        wait = ep->interval_ms ? ep->interval_ms : o->reconnect_ivl;
        int64_t next = (int64_t)wait * 2;
        ep->interval_ms = (int)(next > o->reconnect_ivl_max ? o->reconnect_ivl_max : next);
        if (ep->interval_ms < o->reconnect_ivl)
            ep->interval_ms = o->reconnect_ivl;
    } else {
        int64_t ivl = o->reconnect_ivl;
        ivl = (ivl + (int64_t)(random_u32() % (uint32_t)ivl)) << (ep->wrong ? ep->wrong - 1 : 0);
        wait = (int)(ivl > INT32_MAX ? INT32_MAX : ivl);
    }
    conn_set_event(s, ep->bound, EVENT_CONNECT_RETRIED, (uint64_t)wait, NULL, ep->name);
    timer_set(conn_set_reactor(s), &ep->timer, clock_now() + (uint64_t)wait * NS_PER_MS);
}

static void endpoint_timer(struct timer *t, uint64_t now)
{
    struct endpoint *ep = LIST_ENTRY(t, struct endpoint, timer);
    if (ep->accept_paused) {
        ep->accept_paused = io_watch(conn_set_reactor(ep->set), &ep->io, POLLER_IN) != 0;
        if (ep->accept_paused)
            timer_set(conn_set_reactor(ep->set), &ep->timer, now + ACCEPT_REST_NS);
    } else if (ep->connecting) {
        refused(ep, ETIMEDOUT);
    } else {
        start(ep);
    }
}

static void linger_over(struct timer *t, uint64_t now)
{
    (void)now;
    endpoint_close(LIST_ENTRY(t, struct endpoint, linger), true);
}

static void endpoint_ready(struct io *io, uint32_t events)
{
    (void)events;
    struct endpoint *ep = LIST_ENTRY(io, struct endpoint, io);
    if (ep->bound) {
        accept_all(ep);
        return;
    }
    int rc = net_connect_result(ep->io.fd);
    if (rc)
        refused(ep, -rc);
    else
        established(ep);
}

void endpoint_describe(const struct endpoint *ep, struct fmq_peer *out)
{
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", ep->name);
}

void endpoint_connected(struct endpoint *ep)
{
    ep->interval_ms = 0;
}

void endpoint_conn_lost(struct endpoint *ep, bool shaken, bool retry, bool wrong)
{
    struct conn_set *s = ep->set;
    ep->conn = NULL;
    if (!wrong)
        ep->wrong = 0;
    else if (ep->wrong < WRONG_MAX)
        ep->wrong++;
    if (retry && !shaken && (s->pipes.opt.reconnect_stop & STOP_HANDSHAKE)) {
        retry = false;
        end_pipe(ep);
    }
    if (retry)
        schedule_retry(ep);
    else
        discard(ep);
}

static bool is_named(const struct endpoint *ep, const char *text)
{
    return strcmp(ep->given, text) == 0 || strcmp(ep->name, text) == 0;
}

static bool is_connected_to(struct conn_set *s, const char *text)
{
    LIST_FOR(n, &s->endpoints)
    {
        const struct endpoint *ep = LIST_ENTRY(n, struct endpoint, in_set);
        if (!ep->bound && !ep->closing && is_named(ep, text))
            return true;
    }
    return false;
}

int endpoint_connect(struct conn_set *s, const struct transport_ops *tr, const char *text,
                     const char *rest)
{
    int rc = check_type(s, tr, false);
    if (rc)
        return rc;
    if (!tr->bind) {
        if (!s->pipes.reactor.io_thread)
            return -FMQ_EMTHREAD;
        rc = security_check(&s->pipes.opt, s->pipes.ops->raw || tr->open);
        if (rc)
            return rc;
    }
    if (s->pipes.ops->dedup_connect && is_connected_to(s, text))
        return 0;
    struct endpoint *ep = endpoint_new(s, text, false);
    if (!ep)
        return -ENOMEM;
    memcpy(ep->identity, s->next_identity, s->next_identity_len);
    ep->identity_len = s->next_identity_len;
    ep->transport = tr;
    if (!tr->bind) {
        char detail[256] = "";
        ep->security = security_new(&s->pipes.opt);
        if (!ep->security) {
            rc = -ENOMEM;
            goto fail;
        }
        rc = tr->parse(&ep->address, rest, false, s->pipes.opt.ipv6, detail);
        if (rc && detail[0])
            detail_set("%s", detail);
    }
    if (rc)
        goto fail;
    if (tr->bind || tr->open || !s->pipes.opt.immediate) {
        rc = make_pipe(ep);
        if (rc)
            goto fail;
    }
    s->next_identity_len = 0;
    list_push_back(&s->endpoints, &ep->in_set);
    snprintf(s->last_endpoint, sizeof(s->last_endpoint), "%s", text);
    if (tr->bind) {
        rc = tr->attach(s, ep->pipe, rest);
        if (rc < 0) {
            struct pipe *p = ep->pipe;
            endpoint_release_pipe(ep);
            pipe_free(p);
            discard(ep);
        }
        return rc;
    }
    /* What is wrong with an address of packets shows at once, since nobody has to answer. */
    if (tr->open && ep->address.count > 0 && (rc = open_packets(ep)) != 0 && !may_pass(rc)) {
        endpoint_close(ep, true);
        return rc;
    }
    if (rc)
        schedule_retry(ep);
    else
        start(ep);
    return 0;
fail:
    free_io(&ep->io);
    return rc;
}

/* ---- ending ---- */

void endpoint_settled(struct endpoint *ep)
{
    discard(ep);
}

void endpoint_close(struct endpoint *ep, bool now)
{
    struct conn_set *s = ep->set;
    if (ep->bound && !ep->transport->open) {
        if (ep->closing)
            return;
        ep->closing = true;
        int fd = ep->io.fd;
        if (fd >= 0)
            net_shutdown(fd, NET_SHUT_BOTH); /* at once, even if the descriptor stays a moment */
        remove_files(ep);
        conn_set_event(s, ep->bound, EVENT_CLOSED, (uint64_t)fd, ep->name, NULL);
        LIST_FOR_SAFE(n, &ep->conns)
        {
            struct conn *c = LIST_ENTRY(n, struct conn, in_endpoint);
            if (c->pipe)
                c->pipe->ended_here = true;
            conn_close(&c->link, now);
        }
        discard(ep);
        return;
    }
    struct pipe *p = ep->pipe;
    if (p)
        p->ended_here = true;
    if (!now && p && !p->direct && pipe_unsent(p)) {
        if (!ep->closing) {
            ep->closing = true;
            pipe_hangup(p);
            if (!s->pipes.reactor.closed && s->pipes.opt.linger >= 0)
                timer_set(conn_set_reactor(s), &ep->linger,
                          clock_now() + (uint64_t)s->pipes.opt.linger * NS_PER_MS);
        }
        if (ep->conn)
            conn_stop_reading(ep->conn); /* and connects anew for what is left */
        return;
    }
    ep->closing = true;
    struct packets *k = packets_of(ep->pipe);
    if (k) {
        packets_end(k);
        return;
    }
    if (ep->conn) {
        struct conn *c = ep->conn;
        conn_end(c, CONN_END_CLOSED, 0); /* discards the endpoint when done */
        return;
    }
    if (p) {
        pipe_discard(p);
        end_pipe(ep);
    }
    if (ep->io.fd >= 0)
        conn_set_event(s, ep->bound, EVENT_CLOSED, (uint64_t)ep->io.fd, NULL, ep->name);
    discard(ep);
}

int endpoint_end(struct conn_set *s, const struct transport_ops *tr, const char *text,
                 const char *rest)
{
    if (tr->unbind && tr->unbind(s, rest) == 0)
        return 0;
    int rc = -ENOENT;
    LIST_FOR_SAFE(n, &s->endpoints)
    {
        struct endpoint *ep = LIST_ENTRY(n, struct endpoint, in_set);
        if (ep->closing || !is_named(ep, text))
            continue;
        if (ep->pipe)
            pipe_disown(ep->pipe, !ep->bound);
        endpoint_close(ep, s->pipes.opt.linger == 0);
        rc = 0;
    }
    return rc;
}

void endpoint_end_peer(struct pipe *p)
{
    struct conn_set *s = conn_set_of(&p->set->reactor);
    bool now = s->pipes.opt.linger == 0;
    pipe_disown(p, true);
    if (p->endpoint)
        endpoint_close(p->endpoint, now);
    else if (p->direct || !p->link)
        pipe_hangup(p);
    else
        conn_close(p->link, now);
}
