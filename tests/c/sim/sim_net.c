/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and the network of the simulated world: see sim.h, and os/net.h for what is promised.
 *
 * A connection is two ends. What one end sends lies in the other's queue at once, in segments that
 * say when they arrive; until then, and until it is read, it takes up room of the buffer. So do the
 * end of the stream and a reset come: as times.
 */
#include "os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "os/datagram.h"
#include "os/wakeup.h"
#include "sim.h"

#define FD_BASE 1000
#define FDS_MAX 512
#define QUEUE_MAX 64
#define ANY_PORT 40000

struct segment {
    struct segment *next;
    uint64_t at;
    size_t from, to;
    uint8_t data[];
};

struct end {
    struct end *next_end; /* all that are open */
    struct end *peer;     /* NULL: not connected yet, or it is closed */
    struct net_addr local, remote;
    struct segment *in, **in_tail;
    size_t held, room;     /* bytes in `in`, and how many there may be */
    uint64_t connected_at; /* CLOCK_NEVER: not, or not heard of yet */
    uint64_t failed_at;    /* a connect that fails */
    uint64_t fin_at, reset_at;
    uint64_t stalled_until;
    int error;
    bool shut, reset_told;
    bool cut; /* a reset overtook something: nothing arrives any more */
};

struct listener {
    struct net_addr at;
    struct end *queue[QUEUE_MAX]; /* connected and not accepted */
    uint32_t len;
};

/* A datagram on its way to one descriptor, or waiting there. */
struct packet {
    struct packet *next;
    uint64_t at;
    struct net_addr from;
    size_t size;
    uint8_t data[];
};

#define GROUPS_MAX 4

struct box {
    struct net_addr local, remote; /* remote.len 0: not connected */
    struct net_addr groups[GROUPS_MAX];
    int group_count;
    bool loop;
    struct packet *in; /* in the order of arrival */
    size_t held, room;
    uint32_t lost; /* for want of room */
};

enum kind { FREE, FRESH, STREAM, LISTENER, WAKEUP, POLLER, DATAGRAM, OBJECT };

struct entry {
    enum kind kind;
    int family, type;
    struct box *box;
    int watchers;
    struct net_addr bound;
    struct end *end;
    struct listener *listener;
    struct poller *poller;
    struct sim_object *object;
    bool signalled;
};

static struct entry table[FDS_MAX];
static long open_fds;
static struct end *ends;
static uint16_t next_port;
static uint64_t soonest; /* nothing happens by itself before */

static struct entry *at(int fd)
{
    if (fd < FD_BASE || fd >= FD_BASE + FDS_MAX || table[fd - FD_BASE].kind == FREE)
        sim_fail("descriptor %d is used and not open", fd);
    return &table[fd - FD_BASE];
}

static int open_fd(enum kind kind, int family)
{
    if (sim_chance(sim_knobs.no_fds))
        return -EMFILE;
    for (int i = 0; i < FDS_MAX; i++) {
        if (table[i].kind != FREE)
            continue;
        table[i] = (struct entry){.kind = kind, .family = family};
        open_fds++;
        return FD_BASE + i;
    }
    sim_fail("more than %d descriptors", FDS_MAX);
}

/* ---- time ---- */

static uint64_t latency(void)
{
    return sim_knobs.latency_max_ns ? sim_rand() % (sim_knobs.latency_max_ns + 1) : 0;
}

uint64_t sim_latency(void)
{
    return latency();
}

static void happens_at(uint64_t when)
{
    if (when < soonest)
        soonest = when;
    sim_changed();
}

void sim_net_happens_at(uint64_t when)
{
    happens_at(when);
}

static void earliest(uint64_t *best, uint64_t when, uint64_t now)
{
    if (when > now && when < *best)
        *best = when;
}

uint64_t sim_net_next(uint64_t now)
{
    if (now < soonest)
        return soonest;
    soonest = CLOCK_NEVER;
    for (struct end *e = ends; e; e = e->next_end) {
        earliest(&soonest, e->connected_at, now);
        earliest(&soonest, e->failed_at, now);
        earliest(&soonest, e->fin_at, now);
        earliest(&soonest, e->reset_at, now);
        for (struct segment *g = e->in; g; g = g->next) {
            if (g->at > now) {
                earliest(&soonest, g->at, now);
                break;
            }
        }
    }
    for (int i = 0; i < FDS_MAX; i++) {
        if (table[i].kind == OBJECT)
            earliest(&soonest, table[i].object->ops->next(table[i].object, now), now);
        if (table[i].kind != DATAGRAM)
            continue;
        for (struct packet *k = table[i].box->in; k; k = k->next)
            earliest(&soonest, k->at, now);
    }
    return soonest;
}

/* ---- ends ---- */

static struct end *end_new(void)
{
    struct end *e = calloc(1, sizeof(*e));
    if (!e)
        abort();
    e->in_tail = &e->in;
    size_t max = sim_knobs.buffer_max ? sim_knobs.buffer_max : 1;
    e->room = 1 + max / 4 + (size_t)(sim_rand() % max);
    e->connected_at = e->failed_at = e->fin_at = e->reset_at = CLOCK_NEVER;
    e->next_end = ends;
    ends = e;
    return e;
}

static void drop_unarrived(struct end *e, uint64_t now)
{
    struct segment **link = &e->in;
    while (*link && (*link)->at <= now)
        link = &(*link)->next;
    while (*link) {
        struct segment *g = *link;
        e->cut = true;
        *link = g->next;
        e->held -= g->to - g->from;
        free(g);
    }
    e->in_tail = link;
}

static void reset_end(struct end *e, uint64_t when)
{
    if (when < e->reset_at) {
        e->reset_at = when;
        drop_unarrived(e, when);
        happens_at(when);
    }
}

static void close_end(struct end *e)
{
    uint64_t now = sim_now();
    struct end *peer = e->peer;
    if (peer) {
        peer->peer = NULL;
        uint64_t when = now + latency();
        if (when < peer->stalled_until)
            when = peer->stalled_until;
        bool unread = e->in && e->in->at <= now;
        if (unread && sim_chance(500)) /* what has not arrived goes with it */
            reset_end(peer, when);
        for (struct segment *g = peer->in; g; g = g->next) /* after all that was sent */
            when = g->at > when ? g->at : when;
        if (unread)
            reset_end(peer, when); /* it had not read everything */
        else if (when < peer->fin_at)
            peer->fin_at = when;
        happens_at(when);
    }
    for (struct end **link = &ends; *link; link = &(*link)->next_end) {
        if (*link == e) {
            *link = e->next_end;
            break;
        }
    }
    while (e->in) {
        struct segment *g = e->in;
        e->in = g->next;
        free(g);
    }
    free(e);
}

static bool is_connected(const struct end *e)
{
    return e->connected_at <= sim_now();
}

static bool was_reset(const struct end *e)
{
    return e->reset_at <= sim_now();
}

static bool arrived(const struct end *e)
{
    return e->in && e->in->at <= sim_now();
}

static bool at_eof(const struct end *e)
{
    return !e->in && e->fin_at <= sim_now();
}

static void box_free(struct box *b)
{
    while (b->in) {
        struct packet *k = b->in;
        b->in = k->next;
        free(k);
    }
    free(b);
}

/* ---- descriptors for everybody ---- */

int sim_fd_of_poller(struct poller *p)
{
    int fd = open_fd(POLLER, 0);
    if (fd >= 0)
        at(fd)->poller = p;
    return fd;
}

int sim_fd_of_object(struct sim_object *object)
{
    int fd = open_fd(OBJECT, 0);
    if (fd >= 0)
        at(fd)->object = object;
    return fd;
}

struct sim_object *sim_fd_object(int fd, const struct sim_object_ops *ops)
{
    const struct entry *e = at(fd);
    return e->kind == OBJECT && e->object->ops == ops ? e->object : NULL;
}

void sim_net_ends(int fd, struct net_addr *own, struct net_addr *peer)
{
    const struct entry *f = at(fd);
    if (f->kind != STREAM)
        sim_fail("descriptor %d is no connection", fd);
    *own = f->end->local;
    *peer = f->end->remote;
}

void sim_fd_watch(int fd, int by)
{
    at(fd)->watchers += by;
}

bool sim_fd_connecting(int fd)
{
    const struct entry *e = at(fd);
    return e->kind == FRESH || (e->kind == STREAM && !is_connected(e->end));
}

uint32_t sim_fd_ready(int fd)
{
    const struct entry *f = at(fd);
    uint64_t now = sim_now();
    switch (f->kind) {
    case WAKEUP:
        return f->signalled ? POLLER_IN : 0;
    case POLLER:
        return sim_poller_ready(f->poller) ? POLLER_IN : 0;
    case LISTENER:
        return f->listener->len && is_connected(f->listener->queue[0]) ? POLLER_IN : 0;
    case STREAM:
        break;
    case OBJECT:
        return f->object->ops->ready(f->object, now);
    case DATAGRAM:
        return POLLER_OUT | (f->box->in && f->box->in->at <= now ? POLLER_IN : 0);
    default:
        return 0;
    }
    const struct end *e = f->end;
    if (e->failed_at <= now || was_reset(e))
        return POLLER_IN | POLLER_OUT | POLLER_ERR;
    if (!is_connected(e))
        return 0;
    uint32_t mask = 0;
    if (arrived(e) || at_eof(e))
        mask |= POLLER_IN;
    if (!e->peer || e->peer->held < e->peer->room)
        mask |= POLLER_OUT;
    if (at_eof(e) && e->shut)
        mask |= POLLER_ERR;
    return mask;
}

void sim_fd_drop(int fd)
{
    struct entry *f = at(fd);
    if (f->watchers)
        sim_fail("descriptor %d is closed while a poller holds it", fd);
    if (f->kind == STREAM)
        close_end(f->end);
    if (f->kind == DATAGRAM)
        box_free(f->box);
    if (f->kind == OBJECT)
        f->object->ops->drop(f->object);
    if (f->kind == LISTENER) {
        for (uint32_t i = 0; i < f->listener->len; i++) {
            struct end *e = f->listener->queue[i];
            if (e->peer)
                reset_end(e->peer, sim_now() + latency());
            close_end(e);
        }
        free(f->listener);
    }
    f->kind = FREE;
    open_fds--;
    sim_changed();
}

int net_fd_adopt(int fd)
{
    (void)fd;
    return -EBADF;
}

void net_close(int fd)
{
    if (fd < 0)
        return;
    sim_event("close", (uint64_t)fd, 0);
    sim_fd_drop(fd);
    sim_point();
}

long net_fd_count(void)
{
    return open_fds;
}

void net_close_all_after_fork(void) {}

void net_fork_prepare(void) {}

void net_fork_parent(void) {}

/* ---- wake-ups ---- */

int wakeup_init(struct wakeup *w)
{
    int fd = open_fd(WAKEUP, 0);
    w->rfd = w->wfd = fd < 0 ? -1 : fd;
    return fd < 0 ? fd : 0;
}

void wakeup_fini(struct wakeup *w)
{
    if (w->rfd >= 0)
        sim_fd_drop(w->rfd);
    w->rfd = w->wfd = -1;
}

int wakeup_signal(struct wakeup *w)
{
    sim_spend(300);
    at(w->wfd)->signalled = true;
    sim_changed();
    return 0;
}

void wakeup_drain(struct wakeup *w)
{
    sim_spend(200);
    at(w->rfd)->signalled = false;
}

/* ---- addresses ---- */

static bool same(const struct net_addr *a, const struct net_addr *b)
{
    return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

static struct listener *find_listener(const struct net_addr *to)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (table[i].kind == LISTENER && same(&table[i].listener->at, to))
            return table[i].listener;
    }
    return NULL;
}

bool net_is_loopback(const struct net_addr *a)
{
    return a->ss.ss_family == AF_INET;
}

void net_reached(struct net_addr *peer, const struct net_addr *own)
{
    (void)peer;
    (void)own;
}

void net_addr_text(const struct net_addr *a, char *buf, size_t size)
{
    if (a->ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->ss;
        char host[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(buf, size, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&a->ss;
        snprintf(buf, size, "@%s", a->len ? un->sun_path + 1 : "");
    }
}

static void set_inet(struct net_addr *out, uint16_t port)
{
    memset(out, 0, sizeof(*out));
    struct sockaddr_in *in = (struct sockaddr_in *)&out->ss;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(port);
    out->len = sizeof(*in);
}

/* The only host is 127.0.0.1, and peer.sim is its name. */
int net_resolve(const char *host, uint16_t port, bool ipv6, bool numeric_only, struct net_addr *out,
                int max)
{
    (void)ipv6;
    (void)max;
    if (strncmp(host, "239.", 4) == 0) {
        set_inet(out, port);
        return inet_pton(AF_INET, host, &((struct sockaddr_in *)&out->ss)->sin_addr) == 1 ? 1
                                                                                          : -ENOENT;
    }
    if (strcmp(host, "127.0.0.1") != 0) {
        if (numeric_only)
            return -ENOENT;
        sim_sleep(latency() * 4);
        if (strcmp(host, "peer.sim") != 0 || sim_chance(sim_knobs.refuse))
            return -ENOENT;
    }
    set_inet(out, port);
    return 1;
}

int net_interface_addr(const char *ifname, uint16_t port, bool ipv6, struct net_addr *out)
{
    (void)ifname;
    (void)port;
    (void)ipv6;
    (void)out;
    return -ENODEV;
}

int net_local_addr(int fd, struct net_addr *out)
{
    const struct entry *f = at(fd);
    *out = f->kind == LISTENER   ? f->listener->at
           : f->kind == STREAM   ? f->end->local
           : f->kind == DATAGRAM ? f->box->local
                                 : f->bound;
    return 0;
}

int net_peer_cred(int fd, uint32_t *pid, uint32_t *uid, uint32_t *gid)
{
    at(fd);
    *pid = 1;
    *uid = *gid = 0;
    return 0;
}

/* ---- sockets ---- */

int net_socket(int family, int type)
{
    sim_spend(500);
    int fd = open_fd(FRESH, family);
    if (fd >= 0)
        at(fd)->type = type;
    return fd;
}

int net_apply(int fd, int family, const struct net_stream_opts *opts)
{
    (void)family;
    (void)opts;
    at(fd);
    return 0;
}

void net_nodelay(int fd)
{
    at(fd);
}

int net_congestion(int fd, const char *name)
{
    (void)name;
    at(fd);
    return 0;
}

int net_bind(int fd, const struct net_addr *addr)
{
    at(fd)->bound = *addr;
    return 0;
}

int net_listen(int fd, const struct net_addr *addr, int backlog, bool reuse_addr, bool v6only)
{
    (void)backlog;
    (void)reuse_addr;
    (void)v6only;
    sim_spend(500);
    struct net_addr here = *addr;
    struct sockaddr_in *in = (struct sockaddr_in *)&here.ss;
    if (here.ss.ss_family == AF_INET && in->sin_port == 0)
        in->sin_port = htons(next_port++);
    if (find_listener(&here))
        return -EADDRINUSE;
    struct entry *f = at(fd);
    f->listener = calloc(1, sizeof(*f->listener));
    if (!f->listener)
        abort();
    f->listener->at = here;
    f->kind = LISTENER;
    sim_event("listen", (uint64_t)fd, 0);
    return 0;
}

static int begin_connect(struct entry *f, int fd, const struct net_addr *to)
{
    uint64_t now = sim_now(), answer = now + latency();
    struct listener *l = find_listener(to);
    struct end *e = end_new();
    f->kind = STREAM;
    f->end = e;
    e->remote = *to;
    if (to->ss.ss_family == AF_INET)
        set_inet(&e->local, next_port++);
    else
        e->local.ss.ss_family = AF_UNIX;
    if (!l || l->len == QUEUE_MAX || sim_chance(sim_knobs.refuse)) {
        sim_event("refused", (uint64_t)fd, 0);
        e->error = ECONNREFUSED;
        e->failed_at = answer;
        happens_at(answer);
        if (to->ss.ss_family == AF_UNIX)
            e->failed_at = now;
    } else if (sim_chance(sim_knobs.unanswered)) {
        sim_event("unanswered", (uint64_t)fd, 0);
        e->error = ETIMEDOUT;
        e->failed_at = now + 20 * NS_PER_S;
        happens_at(e->failed_at);
    } else {
        struct end *there = end_new();
        sim_event("connect", (uint64_t)fd, 0);
        e->peer = there;
        there->peer = e;
        there->local = *to;
        there->remote = e->local;
        e->connected_at = to->ss.ss_family == AF_UNIX ? now : answer;
        there->connected_at = e->connected_at + latency();
        l->queue[l->len++] = there;
        happens_at(e->connected_at);
        happens_at(there->connected_at);
    }
    return 0;
}

int net_connect(int fd, const struct net_addr *addr)
{
    sim_spend(1000);
    struct entry *f = at(fd);
    if (f->type == SOCK_DGRAM) {
        struct net_addr any;
        set_inet(&any, 0);
        if (f->kind == FRESH)
            net_datagram_bind(fd, &any, false);
        f->box->remote = *addr;
        return 1;
    }
    if (f->kind == FRESH)
        begin_connect(f, fd, addr);
    struct end *e = f->end;
    if (is_connected(e))
        return 1;
    if (e->failed_at <= sim_now()) {
        e->failed_at = CLOCK_NEVER;
        return -e->error;
    }
    return 0;
}

int net_connect_result(int fd)
{
    sim_point();
    struct end *e = at(fd)->end;
    if (e->failed_at <= sim_now())
        return -e->error;
    if (was_reset(e) && !e->reset_told) {
        e->reset_told = true;
        return -ECONNRESET;
    }
    return 0;
}

int net_accept(int listen_fd, struct net_addr *peer)
{
    sim_spend(1000);
    struct entry *f = at(listen_fd);
    if (f->kind != LISTENER)
        return -EINVAL;
    struct listener *l = f->listener;
    if (!l->len || !is_connected(l->queue[0]))
        return -EAGAIN;
    int fd = open_fd(STREAM, f->family);
    if (fd < 0) {
        sim_event("accept", (uint64_t)listen_fd, (uint64_t)fd);
        return fd;
    }
    struct end *e = l->queue[0];
    memmove(l->queue, l->queue + 1, --l->len * sizeof(l->queue[0]));
    at(fd)->end = e;
    *peer = e->remote;
    sim_event("accept", (uint64_t)listen_fd, (uint64_t)fd);
    return fd;
}

void net_shutdown(int fd, enum net_shut how)
{
    struct entry *f = at(fd);
    if (f->kind == LISTENER) {
        f->listener->at.len = 0; /* nobody finds it any more */
        sim_event("shutdown", (uint64_t)fd, how);
        return;
    }
    if (f->kind != STREAM || f->end->shut)
        return;
    struct end *e = f->end, *there = e->peer;
    e->shut = true;
    if (there) {
        uint64_t when = sim_now() + latency();
        for (struct segment *g = there->in; g; g = g->next)
            when = g->at > when ? g->at : when;
        if (when < there->fin_at)
            there->fin_at = when;
        happens_at(when);
    }
    sim_event("shutdown", (uint64_t)fd, how);
}

/* ---- moving bytes ---- */

ssize_t net_recv(int fd, void *buf, size_t len)
{
    sim_spend(800);
    struct entry *f = at(fd);
    if (f->kind != STREAM)
        return -ENOTCONN;
    struct end *e = f->end;
    if (arrived(e) && !sim_chance(sim_knobs.spurious)) {
        size_t n = 0;
        if (sim_chance(sim_knobs.partial))
            len = 1 + (size_t)(sim_rand() % len);
        while (n < len && arrived(e)) {
            struct segment *g = e->in;
            size_t take = g->to - g->from < len - n ? g->to - g->from : len - n;
            memcpy((uint8_t *)buf + n, g->data + g->from, take);
            g->from += take;
            n += take;
            if (g->from < g->to)
                continue;
            e->in = g->next;
            if (!e->in)
                e->in_tail = &e->in;
            free(g);
        }
        e->held -= n;
        sim_changed(); /* there is room to write */
        sim_event("recv", (uint64_t)fd, n);
        return (ssize_t)n;
    }
    if (was_reset(e) && !arrived(e)) {
        if (e->reset_told)
            return 0;
        e->reset_told = true;
        sim_event("recv", (uint64_t)fd, (uint64_t)-ECONNRESET);
        return -ECONNRESET;
    }
    if (at_eof(e)) {
        sim_event("recv", (uint64_t)fd, 0);
        return 0;
    }
    return -EAGAIN;
}

int net_pending(int fd)
{
    sim_spend(800);
    struct entry *f = at(fd);
    if (f->kind != STREAM)
        return -ENOTCONN;
    struct end *e = f->end;
    if (arrived(e))
        return sim_chance(sim_knobs.spurious) ? -EAGAIN : 1;
    if (was_reset(e) && !e->reset_told) {
        e->reset_told = true;
        return -ECONNRESET;
    }
    return was_reset(e) || at_eof(e) ? 0 : -EAGAIN;
}

int net_unacked(int fd)
{
    sim_spend(300);
    struct entry *f = at(fd);
    if (f->kind != STREAM)
        return 0;
    const struct end *e = f->end, *there = e->peer;
    uint64_t now = sim_now();
    size_t n = 0;
    if (there && !was_reset(e)) {
        for (const struct segment *g = there->in; g; g = g->next)
            n += g->at > now ? g->to - g->from : 0;
    }
    return (int)n;
}

ssize_t net_send(int fd, const void *buf, size_t len)
{
    struct iovec one = {(void *)(uintptr_t)buf, len};
    return net_sendv(fd, &one, 1);
}

ssize_t net_sendv(int fd, const struct iovec *iov, int count)
{
    sim_spend(1500);
    struct entry *f = at(fd);
    if (f->kind != STREAM)
        return -ENOTCONN;
    struct end *e = f->end, *there = e->peer;
    if (was_reset(e) || e->shut ||
        (!there && e->fin_at <= sim_now() && e->reset_at != CLOCK_NEVER)) {
        sim_event("send", (uint64_t)fd, (uint64_t)-EPIPE);
        return was_reset(e) && !e->reset_told ? -ECONNRESET : -EPIPE;
    }
    if (!is_connected(e))
        return -EAGAIN;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (!there) { /* closed, which we may not know yet: it will answer with a reset */
        reset_end(e, sim_now() + latency());
        sim_event("send", (uint64_t)fd, total);
        return (ssize_t)total;
    }
    size_t room = there->room > there->held ? there->room - there->held : 0;
    if (!room)
        return -EAGAIN;
    size_t n = total < room ? total : room;
    if (n && sim_chance(sim_knobs.partial))
        n = 1 + (size_t)(sim_rand() % n);
    struct segment *g = malloc(sizeof(*g) + n);
    if (!g)
        abort();
    *g = (struct segment){.at = sim_now() + latency(), .to = n};
    size_t done = 0;
    for (int i = 0; i < count && done < n; i++) {
        size_t take = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;
        memcpy(g->data + done, iov[i].iov_base, take);
        done += take;
    }
    for (struct segment *p = there->in; p; p = p->next)
        g->at = p->at > g->at ? p->at : g->at;
    if (there->connected_at > g->at)
        g->at = there->connected_at;
    if (there->stalled_until > g->at)
        g->at = there->stalled_until;
    uint64_t when = g->at;
    if (there->cut || when >= there->reset_at) {
        there->cut = true;
        free(g);
    } else {
        *there->in_tail = g;
        there->in_tail = &g->next;
        there->held += n;
        happens_at(when);
    }
    sim_event("send", (uint64_t)fd, n);
    return (ssize_t)n;
}

/* ---- datagrams ---- */

int net_datagram_bind(int fd, const struct net_addr *addr, bool v6only)
{
    (void)v6only;
    sim_spend(500);
    struct entry *f = at(fd);
    struct box *b = calloc(1, sizeof(*b));
    if (!b)
        abort();
    b->local = *addr;
    b->loop = true;
    b->room = 4096 + (size_t)(sim_rand() % (sim_knobs.buffer_max ? sim_knobs.buffer_max : 1));
    struct sockaddr_in *in = (struct sockaddr_in *)&b->local.ss;
    if (in->sin_port == 0)
        in->sin_port = htons(next_port++);
    f->kind = DATAGRAM;
    f->box = b;
    sim_event("bind", (uint64_t)fd, 0);
    return 0;
}

void net_datagram_apply(int fd, const struct net_datagram_opts *opts)
{
    (void)opts;
    at(fd);
}

void net_datagram_reconnect(int fd, const struct net_addr *to)
{
    at(fd)->box->remote = *to;
}

static uint32_t host_of(const struct net_addr *a)
{
    return ntohl(((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr);
}

static uint16_t port_of(const struct net_addr *a)
{
    return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
}

bool net_is_multicast(const struct net_addr *a)
{
    return a->ss.ss_family == AF_INET && host_of(a) >> 28 == 14;
}

void net_addr_scope(struct net_addr *a, unsigned index)
{
    (void)a;
    (void)index;
}

int net_interface_index(const char *name_or_address, unsigned *index)
{
    *index = 1;
    return strcmp(name_or_address, "lo") == 0 || strcmp(name_or_address, "127.0.0.1") == 0
               ? 0
               : -ENODEV;
}

int net_multicast_join(int fd, const struct net_addr *group, unsigned index)
{
    (void)index;
    struct box *b = at(fd)->box;
    if (b->group_count == GROUPS_MAX)
        return -ENOBUFS;
    b->groups[b->group_count++] = *group;
    return 0;
}

int net_multicast_send_by(int fd, int family, unsigned index, int hops, bool loop)
{
    (void)family;
    (void)index;
    (void)hops;
    struct entry *f = at(fd);
    if (f->box)
        f->box->loop = loop;
    return 0;
}

int net_any_addr(uint16_t port, bool ipv6, struct net_addr *out)
{
    (void)ipv6;
    set_inet(out, port);
    return 1;
}

int net_addr_parse(const char *text, size_t len, struct net_addr *out)
{
    char copy[64];
    unsigned a, b, c, d, port;
    if (len >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = 0;
    if (sscanf(copy, "%3u.%3u.%3u.%3u:%5u", &a, &b, &c, &d, &port) != 5 || port == 0 ||
        port > 65535 || (a | b | c | d) > 255)
        return -EINVAL;
    set_inet(out, (uint16_t)port);
    ((struct sockaddr_in *)&out->ss)->sin_addr.s_addr = htonl(a << 24 | b << 16 | c << 8 | d);
    return 0;
}

int net_send_segments(int fd, const struct net_addr *to, const struct iovec *iov, int count)
{
    (void)at(fd);
    (void)to;
    (void)iov;
    (void)count;
    return -ENOTSUP;
}

int net_addr_bytes(const struct net_addr *a, uint8_t out[16])
{
    memcpy(out, &((const struct sockaddr_in *)&a->ss)->sin_addr, 4);
    return 4;
}

void net_addr_of_bytes(const uint8_t *bytes, int len, uint16_t port, unsigned index,
                       struct net_addr *out)
{
    (void)len;
    (void)index;
    set_inet(out, port);
    memcpy(&((struct sockaddr_in *)&out->ss)->sin_addr, bytes, 4);
}

void net_addr_set_port(struct net_addr *a, uint16_t port)
{
    ((struct sockaddr_in *)&a->ss)->sin_port = htons(port);
}

int net_raw_socket(int family, int protocol)
{
    (void)family;
    (void)protocol;
    return -EPERM;
}

void net_datagram_filter(int fd, int family, bool raw, uint32_t offset, const uint8_t *values,
                         int count)
{
    (void)at(fd);
    (void)family;
    (void)raw;
    (void)offset;
    (void)values;
    (void)count;
}

static bool is_for(const struct box *b, const struct net_addr *to)
{
    if (port_of(&b->local) != port_of(to))
        return false;
    if (!net_is_multicast(to))
        return host_of(&b->local) == host_of(to);
    for (int i = 0; i < b->group_count; i++) {
        if (host_of(&b->groups[i]) == host_of(to))
            return true;
    }
    return false;
}

static void deliver(struct box *b, const struct net_addr *from, const struct net_datagram *d,
                    size_t size)
{
    if (b->held + size > b->room) {
        b->lost++;
        return;
    }
    struct packet *k = malloc(sizeof(*k) + size);
    if (!k)
        abort();
    k->at = sim_now() + latency();
    k->from = *from;
    k->size = 0;
    for (int i = 0; i < d->iov_count; i++) {
        memcpy(k->data + k->size, d->iov[i].iov_base, d->iov[i].iov_len);
        k->size += d->iov[i].iov_len;
    }
    struct packet **link = &b->in;
    while (*link && (*link)->at <= k->at)
        link = &(*link)->next;
    k->next = *link;
    *link = k;
    b->held += size;
    happens_at(k->at);
}

int net_send_datagrams(int fd, const struct net_datagram *v, int count)
{
    sim_spend(1500);
    const struct entry *f = at(fd);
    if (f->kind != DATAGRAM)
        return -ENOTCONN;
    if (sim_chance(sim_knobs.spurious))
        return -EAGAIN;
    if (count > 1 && sim_chance(sim_knobs.partial))
        count = 1 + (int)sim_below((uint32_t)count);
    for (int i = 0; i < count; i++) {
        const struct net_addr *to = v[i].to ? v[i].to : &f->box->remote;
        size_t size = 0;
        for (int k = 0; k < v[i].iov_count; k++)
            size += v[i].iov[k].iov_len;
        for (int k = 0; k < FDS_MAX; k++) {
            if (table[k].kind != DATAGRAM || !is_for(table[k].box, to) ||
                sim_chance(sim_knobs.lost))
                continue;
            deliver(table[k].box, &f->box->local, &v[i], size);
            if (sim_chance(sim_knobs.doubled))
                deliver(table[k].box, &f->box->local, &v[i], size);
        }
    }
    sim_event("sendmmsg", (uint64_t)fd, (uint64_t)count);
    return count;
}

int net_recv_datagrams(int fd, struct net_datagram *v, int count, uint32_t *lost)
{
    sim_spend(800);
    struct entry *f = at(fd);
    if (f->kind != DATAGRAM)
        return -ENOTCONN;
    struct box *b = f->box;
    int n = 0;
    if (sim_chance(sim_knobs.spurious))
        return -EAGAIN;
    while (n < count && b->in && b->in->at <= sim_now()) {
        struct packet *k = b->in;
        b->in = k->next;
        size_t room = v[n].iov[0].iov_len;
        v[n].size = k->size < room ? k->size : room;
        v[n].truncated = k->size > room;
        v[n].from = k->from;
        memcpy(v[n].iov[0].iov_base, k->data, v[n].size);
        b->held -= k->size;
        free(k);
        n++;
    }
    if (n)
        *lost = b->lost;
    sim_event("recvmmsg", (uint64_t)fd, (uint64_t)n);
    return n ? n : -EAGAIN;
}

/* ---- faults ---- */

static struct end *any_end(void)
{
    uint32_t n = 0;
    for (struct end *e = ends; e; e = e->next_end)
        n += e->peer != NULL;
    if (!n)
        return NULL;
    uint32_t k = sim_below(n);
    for (struct end *e = ends; e; e = e->next_end) {
        if (e->peer && k-- == 0)
            return e;
    }
    return NULL;
}

bool sim_net_reset_one(void)
{
    struct end *e = any_end();
    if (!e)
        return false;
    struct end *there = e->peer;
    sim_event("reset", 0, 0);
    if (sim_chance(700))
        reset_end(e, sim_now() + latency());
    reset_end(there, sim_now() + latency());
    return true;
}

bool sim_net_stall_one(uint64_t ns)
{
    struct end *e = any_end();
    if (!e)
        return false;
    sim_event("stall", ns, 0);
    e->stalled_until = sim_now() + ns;
    return true;
}

/* ---- a run ---- */

void sim_net_begin(void)
{
    memset(table, 0, sizeof(table));
    open_fds = 0;
    ends = NULL;
    next_port = ANY_PORT;
    soonest = CLOCK_NEVER;
}

void sim_net_end(void)
{
    if (open_fds)
        sim_fail("%ld descriptors are left over", open_fds);
    if (ends)
        sim_fail("a connection is left over");
}
