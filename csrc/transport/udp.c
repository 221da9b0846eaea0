/* SPDX-License-Identifier: MIT */
/*
 * UDP: a message is a datagram. RADIO sends to one address, unicast, multicast or broadcast; DISH
 * receives whatever comes to the address that it is bound to; DGRAM does both, and its messages
 * name the other end. Nobody answers, so nothing tells whether a datagram arrived.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fastmq.h"
#include "net/endpoint.h"
#include "net/packets.h"
#include "os/datagram.h"
#include "os/net.h"
#include "transport/group.h"
#include "transport/stream.h"
#include "wire/datagram.h"
#include "wire/frame.h"
#include "wire/outq_drain.h"

/* Datagrams in one system call. */
#define OUT_BATCH 64
#define IN_BATCH 32
/* Where each received datagram goes: none is longer. The distance of two is no multiple of a power
 * of two that would put the beginnings of all of them into the same lines of the cache. */
#define SLOT_SIZE ((size_t)64 << 10)
#define SLOT_STRIDE (SLOT_SIZE + 192)
/* Answers of hosts that nobody listens at are reported one by one, by the next system call. */
#define REFUSALS 16
/* Without RCVBUF: what comes in one burst has to fit, as nothing holds up the sender. */
#define RCVBUF_WANTED (4 << 20)
/* From so many datagrams in one call on they are kept in a larger chunk. */
#define BUSY_BATCH 8

struct udp {
    struct packets packets;
    bool raw;            /* DGRAM: a datagram is a body, and the first part is an address */
    struct net_addr to;  /* RADIO */
    bool stale;          /* the route to it was lost: it is looked for again */
    uint32_t lost;       /* what the kernel has dropped so far for want of room */
    uint8_t *slots;      /* IN_BATCH of them; only the pages that datagrams fill are ever touched */
    struct chunk *chunk; /* what small datagrams were copied to last; NULL: none */
    size_t chunk_used;
};

static struct udp *udp_of(const struct packets *k)
{
    return LIST_ENTRY(k, struct udp, packets);
}

static size_t max_size(const struct net_addr *to)
{
    return to->ss.ss_family == AF_INET6 ? DATAGRAM_MAX_IPV6 : DATAGRAM_MAX_IPV4;
}

/* ---- out ---- */

static int udp_check(const struct packets *k, const struct msg *parts, uint32_t n)
{
    const struct udp *u = udp_of(k);
    struct net_addr to = u->to;
    if (n != 2)
        return -EINVAL;
    size_t size = datagram_size(msg_size(&parts[0]), msg_size(&parts[1]));
    if (u->raw) {
        const char *text = (const char *)msg_data(&parts[0]);
        int len = msg_size(&parts[0]) < 60 ? (int)msg_size(&parts[0]) : 60;
        if (net_addr_parse(text, msg_size(&parts[0]), &to)) {
            detail_set("'%.*s' is no address of a datagram: use 1.2.3.4:5 or [::1]:5", len, text);
            return -EINVAL;
        }
        size = msg_size(&parts[1]);
    }
    if (size <= max_size(&to))
        return 0;
    if (u->raw)
        detail_set("a datagram carries at most %zu bytes, and the message has %zu", max_size(&to),
                   size);
    else
        detail_set("a datagram carries at most %zu bytes, and the message has %zu: 1 byte, the "
                   "group of %zu and the body of %zu",
                   max_size(&to), size, msg_size(&parts[0]), msg_size(&parts[1]));
    return -EMSGSIZE;
}

struct batch {
    struct net_datagram v[OUT_BATCH];
    size_t taken[OUT_BATCH]; /* bytes of the queue */
    uint8_t heads[OUT_BATCH];
    int count;
};

/* The message that begins with frame f as datagram i; false: no datagram can carry it. Goes to the
 * message's end in either case. */
static bool describe(const struct udp *u, struct outq_walk *w, struct outq_frame f, struct batch *b,
                     int i)
{
    struct net_datagram *d = &b->v[i];
    struct outq_frame first = f;
    uint32_t frames = 1;
    b->taken[i] = f.total;
    while ((f.flags & FRAME_MORE) && outq_walk_next(w, &f)) {
        b->taken[i] += f.total;
        frames++;
    }
    if (frames != 2 || first.flags & FRAME_COMMAND)
        return false;
    d->to = NULL;
    d->iov_count = 0;
    d->size = 0;
    if (u->raw) {
        if (net_addr_parse((const char *)first.data, first.size, &d->from))
            return false;
        d->to = &d->from;
    } else {
        b->heads[i] = (uint8_t)first.size;
        d->iov[d->iov_count++] = (struct iovec){&b->heads[i], 1};
        d->iov[d->iov_count++] = (struct iovec){(void *)(uintptr_t)first.data, first.size};
        d->size = 1 + first.size;
    }
    d->iov[d->iov_count++] = (struct iovec){(void *)(uintptr_t)f.data, f.size};
    d->size += f.size;
    return true;
}

/* The front message cannot be sent and goes. */
static void give_up(struct udp *u, size_t taken)
{
    outq_sent(&u->packets.pipe->out, taken);
    packets_unsent(&u->packets, 1);
}

/* Takes the next messages together; what cannot be sent is dropped when it comes to the front. */
static void gather(struct udp *u, struct batch *b)
{
    struct outq *q = &u->packets.pipe->out;
    for (bool again = true; again && q->bytes;) {
        struct outq_walk w;
        struct outq_frame f;
        again = false;
        b->count = 0;
        outq_walk_begin(q, &w);
        while (b->count < OUT_BATCH && outq_walk_next(&w, &f)) {
            if (describe(u, &w, f, b, b->count)) {
                b->count++;
                continue;
            }
            if (b->count == 0) {
                give_up(u, b->taken[0]);
                again = true;
            }
            break;
        }
    }
}

/* What a kernel answers whose routes or addresses changed. */
static bool lost_route(int error)
{
    return error == -ENETUNREACH || error == -EHOSTUNREACH || error == -ENETDOWN ||
           error == -EADDRNOTAVAIL || error == -EINVAL || error == -ENODEV || error == -ENOTCONN ||
           error == -EDESTADDRREQ;
}

static void udp_write(struct packets *k)
{
    struct udp *u = udp_of(k);
    struct reactor *r = &k->set->reactor;
    int refusals = 0;
    while (!k->over && !k->end_wanted && k->pipe->out.bytes) {
        struct outq *q = &k->pipe->out;
        struct batch b;
        b.count = 0;
        gather(u, &b);
        if (b.count == 0)
            return;
        size_t bytes = 0;
        for (int i = 0; i < b.count; i++)
            bytes += b.taken[i];
        bool renew = u->stale;
        k->link.writing = true;
        k->link.inflight = bytes;
        mutex_unlock(&r->lock);
        if (renew)
            net_datagram_reconnect(k->io.fd, &u->to);
        int n = net_send_datagrams(k->io.fd, b.v, b.count);
        mutex_lock(&r->lock);
        k->link.writing = false;
        k->link.inflight = 0;
        u->stale = false;
        size_t sent = 0;
        for (int i = 0; i < n; i++) {
            sent += b.taken[i];
            k->bytes_out += b.v[i].size;
        }
        outq_sent(q, sent);
        if (n > 0) {
            refusals = 0;
            continue;
        }
        if (n == -EAGAIN) {
            packets_block(k, true);
            return;
        }
        /* Of an earlier datagram: this one was not tried. */
        if (n == -ECONNREFUSED && ++refusals < REFUSALS)
            continue;
        u->stale = !u->raw && lost_route(n);
        give_up(u, b.taken[0]);
    }
}

/* ---- in ---- */

/* Where `size` bytes of a small datagram can be copied to, in a chunk of which the caller gets a
 * reference; NULL: no memory. */
static uint8_t *room(struct udp *u, size_t size, bool busy)
{
    if (u->chunk && chunk_sole(u->chunk))
        u->chunk_used = 0;
    if (u->chunk && u->chunk->cap - u->chunk_used < size) {
        chunk_unref(u->chunk, 1);
        u->chunk = NULL;
    }
    if (!u->chunk) {
        u->chunk = chunk_get(u->packets.set->pool,
                             busy || size > CHUNK_SMALL / 2 ? CHUNK_MEDIUM : CHUNK_SMALL);
        u->chunk_used = 0;
        if (!u->chunk)
            return NULL;
    }
    uint8_t *at = u->chunk->data + u->chunk_used;
    u->chunk_used += size;
    chunk_ref(u->chunk, 1);
    return at;
}

static int take_bytes(struct udp *u, struct msg *m, const uint8_t *data, size_t size, bool busy)
{
    if (size <= MSG_INLINE_MAX)
        return msg_init_copy(m, data, size);
    if (size > OUTQ_COPY_MAX) {
        struct blob *b = blob_pooled(u->packets.set->pool, size);
        if (!b)
            return -ENOMEM;
        memcpy(b->data, data, size);
        msg_init_own_blob(m, b, size);
        return 0;
    }
    uint8_t *at = room(u, size, busy);
    if (!at)
        return -ENOMEM;
    memcpy(at, data, size);
    msg_init_slice(m, u->chunk, at, size);
    return 0;
}

/* Queues one datagram. False: nobody gets it. */
static bool take(struct udp *u, const struct net_datagram *d, bool busy)
{
    struct packets *k = &u->packets;
    struct pipe *p = k->pipe;
    const uint8_t *data = d->iov[0].iov_base;
    int64_t most = k->set->opt.maxmsgsize;
    char address[96];
    struct datagram parts;
    if (u->raw) {
        net_addr_text(&d->from, address, sizeof(address));
        parts.group = (const uint8_t *)address;
        parts.group_len = strlen(address) + 1; /* its NUL is part of it, as libzmq has it */
        parts.body = data;
        parts.body_len = d->size;
    } else if (!datagram_parse(data, d->size, &parts)) {
        return false;
    }
    if (d->truncated || (most >= 0 && parts.body_len > (uint64_t)most))
        return false;
    struct msg first, body;
    if (msgring_reserve(&p->in) || take_bytes(u, &first, parts.group, parts.group_len, busy))
        return false;
    if (take_bytes(u, &body, parts.body, parts.body_len, busy)) {
        msg_drop(&first);
        return false;
    }
    first.flags |= PART_MORE;
    msgring_put(&p->in, &first);
    if (msgring_push(&p->in, &body)) {
        msg_drop(&body);
        msgring_rollback(&p->in);
        return false;
    }
    if (p->counted)
        p->in_bytes += parts.group_len + parts.body_len;
    return true;
}

/* Whether the program wants it: what it has not joined is no loss. */
static bool wanted(struct udp *u, const struct net_datagram *d)
{
    struct datagram parts;
    return u->raw || !datagram_parse(d->iov[0].iov_base, d->size, &parts) ||
           packets_wanted(&u->packets, parts.group, parts.group_len);
}

static void udp_read(struct packets *k)
{
    struct udp *u = udp_of(k);
    struct pipe *p = k->pipe;
    struct net_datagram v[IN_BATCH];
    uint32_t before = p->in.msgs, lost = u->lost;
    int most = IN_BATCH;
    /* As many as there is room for: what is taken from the kernel is kept. */
    if (p->counted)
        most = 1;
    else if (p->in_hwm && !p->conflate && p->in_hwm - before < IN_BATCH)
        most = (int)(p->in_hwm - before);
    for (int i = 0; i < most; i++) {
        v[i].iov[0] = (struct iovec){u->slots + (size_t)i * SLOT_STRIDE, SLOT_SIZE};
        v[i].iov_count = 1;
    }
    packets_read_begin(k);
    int n = net_recv_datagrams(k->io.fd, v, most, &lost);
    if (!packets_read_end(k) || p->hung_up)
        return;
    before = p->in.msgs;
    if (lost != u->lost) {
        packets_drop(k, lost - u->lost, DROP_FULL);
        u->lost = lost;
    }
    for (int i = 0; i < n; i++) {
        k->bytes_in += v[i].size;
        if (wanted(u, &v[i]) && !take(u, &v[i], n >= BUSY_BATCH))
            packets_drop(k, 1, DROP_RULES);
    }
    packets_arrived(k, before);
}

/* ---- life ---- */

static void udp_free(struct packets *k)
{
    struct udp *u = udp_of(k);
    if (u->chunk)
        chunk_unref(u->chunk, 1);
    mem_free(u->slots);
    mem_free(u);
}

static const struct packets_ops radio_packets = {
    .write = udp_write,
    .check = udp_check,
    .free = udp_free,
    .flush_msgs = OUT_BATCH,
};

static const struct packets_ops dish_packets = {
    .read = udp_read,
    .free = udp_free,
};

static const struct packets_ops dgram_packets = {
    .read = udp_read,
    .write = udp_write,
    .check = udp_check,
    .free = udp_free,
    .flush_msgs = OUT_BATCH,
};

static bool udp_carries(int type, bool bound)
{
    return bound ? type == FMQ_DISH || type == FMQ_DGRAM : type == FMQ_RADIO;
}

static int udp_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    return group_parse(a, "udp", rest, bind, ipv6, detail);
}

/* A descriptor with the socket's options; the address gets its interface. */
static int make(struct endpoint *ep, struct net_addr *addr)
{
    const struct option_values *o = &ep->set->pipes.opt;
    int family = addr->ss.ss_family;
    bool multicast = net_is_multicast(addr);
    bool sends = !ep->bound || ep->set->pipes.type == FMQ_DGRAM;
    unsigned index;
    int rc = group_interface(&ep->address, &index);
    if (rc)
        return rc;
    net_addr_scope(addr, index);
    int fd = net_socket(family, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    rc = stream_apply(ep, fd, family);
    const struct net_datagram_opts opts = {
        .broadcast = sends,
        .share = ep->bound && multicast,
        .count_lost = ep->bound,
        .rcvbuf_wanted = ep->bound && o->rcvbuf < 0 ? RCVBUF_WANTED : 0,
    };
    net_datagram_apply(fd, &opts);
    if (rc == 0 && sends && (multicast || ep->bound))
        rc = net_multicast_send_by(fd, family, index, o->multicast_hops, o->multicast_loop);
    if (rc == 0)
        rc = ep->bound ? net_datagram_bind(fd, addr, !o->ipv6) : net_connect(fd, addr);
    if (rc >= 0 && ep->bound && multicast)
        rc = net_multicast_join(fd, addr, index);
    if (rc >= 0)
        return fd;
    net_close(fd);
    return rc;
}

/* "udp://host:port", or with the interface as the program wrote it. */
static void name(const struct endpoint *ep, const struct net_addr *addr, char *buf, size_t size)
{
    const struct address *a = &ep->address;
    char text[96];
    net_addr_text(addr, text, sizeof(text));
    snprintf(buf, size, "udp://%s%s%s", a->src_host, a->has_src ? ";" : "", text);
}

static int udp_open(struct endpoint *ep, int which)
{
    struct address *a = &ep->address;
    char local_name[200], remote_name[200];
    struct net_addr local;
    int rc = ep->bound && a->count == 0 ? group_local(a, ep->set->pipes.opt.ipv6) : 0;
    if (rc)
        return rc;
    int fd = make(ep, &a->at[which]);
    if (fd == -EAFNOSUPPORT && ep->bound && which + 1 < a->count)
        return udp_open(ep, which + 1);
    if (fd < 0)
        return fd;
    struct udp *u = mem_zalloc(sizeof(*u));
    uint8_t *slots = ep->bound ? mem_alloc(IN_BATCH * SLOT_STRIDE) : NULL;
    rc = u && (slots || !ep->bound) ? net_local_addr(fd, &local) : -ENOMEM;
    if (rc == 0) {
        u->slots = slots;
        u->raw = ep->set->pipes.type == FMQ_DGRAM;
        u->to = a->at[which];
        name(ep, ep->bound ? &local : &u->to, ep->bound ? local_name : remote_name,
             sizeof(local_name));
        if (!ep->bound) {
            char text[96];
            net_addr_text(&local, text, sizeof(text));
            snprintf(local_name, sizeof(local_name), "udp://%s", text);
        }
        rc = ep->bound ? endpoint_rename(ep, local_name) : 0;
    }
    const struct packets_names names = {ep->name, local_name, ep->bound ? NULL : remote_name};
    if (rc == 0)
        rc = packets_open(&u->packets,
                          !ep->bound ? &radio_packets
                          : u->raw   ? &dgram_packets
                                     : &dish_packets,
                          ep->pipe, fd, ep->bound, &names);
    if (rc == 0)
        return 0;
    net_close(fd);
    mem_free(slots);
    mem_free(u);
    return rc;
}

const struct transport_ops transport_udp = {
    .scheme = "udp",
    .parse = udp_parse,
    .carries = udp_carries,
    .open = udp_open,
};
