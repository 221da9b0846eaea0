/* SPDX-License-Identifier: MIT */
#include "net/packets.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "net/conn_set.h"
#include "os/net.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"

/* Before the poller is asked again for a place that it did not have. */
#define RETRY_NS (10 * NS_PER_MS)

static const struct link_ops packet_link;

static struct packets *of_link(struct link *l)
{
    return LIST_ENTRY(l, struct packets, link);
}

static struct reactor *reactor_of_packets(const struct packets *k)
{
    return &k->set->reactor;
}

struct packets *packets_of(const struct pipe *p)
{
    struct link *l = p ? p->link : NULL;
    return l && l->ops == &packet_link ? of_link(l) : NULL;
}

/* ---- what is waited for ---- */

static bool reads(const struct packets *k)
{
    const struct pipe *p = k->pipe;
    return k->ops->read && (k->ops->reads_always || (!p->paused && !p->hung_up));
}

static void watch(struct packets *k)
{
    uint32_t wanted = (reads(k) ? POLLER_IN : 0) | (k->link.blocked ? POLLER_OUT : 0);
    if (io_watch(reactor_of_packets(k), &k->io, wanted))
        timer_set(reactor_of_packets(k), &k->retry, clock_now() + RETRY_NS);
}

static void retry_timer(struct timer *t, uint64_t now)
{
    struct packets *k = LIST_ENTRY(t, struct packets, retry);
    (void)now;
    watch(k);
}

void packets_block(struct packets *k, bool blocked)
{
    if (k->link.blocked == blocked || k->over)
        return;
    k->link.blocked = blocked;
    watch(k);
}

static void queue_flush(struct packets *k)
{
    if (!list_linked(&k->link.flush_node))
        list_push_back(&reactor_of_packets(k)->flush_list, &k->link.flush_node);
}

void packets_flush_soon(struct packets *k)
{
    if (k->over)
        return;
    queue_flush(k);
    reactor_of_packets(k)->work |= WORK_FLUSH;
}

/* ---- the end ---- */

static void free_names(struct packets *k)
{
    mem_free(k->name);
    mem_free(k->local_name);
    mem_free(k->remote_name);
}

static void free_io(struct io *io)
{
    struct packets *k = LIST_ENTRY(io, struct packets, io);
    net_close(k->io.fd);
    free_names(k);
    k->ops->free(k);
}

/* The address is free at once, though the thread that polls may come back much later. */
static void give_address_back(struct packets *k)
{
    net_close(k->io.fd);
    k->io.fd = -1;
}

static void end_now(struct packets *k)
{
    struct pipe *p = k->pipe;
    struct reactor *r = reactor_of_packets(k);
    if (k->ops->end)
        k->ops->end(k);
    timer_cancel(r, &k->retry);
    list_remove(&k->link.flush_node);
    k->over = true;
    k->pipe = NULL;
    r->conn_count--;
    io_free_later(r, &k->io);

    p->bytes_in += k->bytes_in;
    p->bytes_out += k->bytes_out;
    mem_free(p->remote_name);
    p->remote_name = k->remote_name;
    k->remote_name = NULL;
    p->link = NULL;
    p->lose_wanted = false;
    pipe_pause(p, false);
    pipe_discard(p);
    k->ended(k);
    pipe_hangup(p);
    p->ready = false;
    if (k->reading)
        conn_set_of(r)->last_reads++;
    else
        give_address_back(k);
    r->work |= WORK_CLOSE;
    reactor_notify(r);
}

void packets_end(struct packets *k)
{
    if (k->over)
        return;
    if (k->link.writing) {
        k->end_wanted = true;
        pipe_hangup(k->pipe);
        return;
    }
    end_now(k);
}

static bool pending(const struct packets *k)
{
    return !outq_empty(&k->pipe->out) || (k->ops->pending && k->ops->pending(k));
}

/* ---- writing ---- */

void packets_write(struct packets *k)
{
    struct reactor *r = reactor_of_packets(k);
    if (k->over || k->link.writing || !k->ops->write)
        return;
    k->link.flush_pending = false;
    k->ops->write(k);
    r->last_write = clock_now();
    if (k->over)
        return;
    if (k->end_wanted) {
        end_now(k);
        return;
    }
    struct pipe *p = k->pipe;
    pipe_drained(p);
    if (!pending(k) && (p->hung_up || r->closed)) {
        end_now(k);
        return;
    }
    if (r->closed)
        r->work |= WORK_CLOSE;
}

/* flush_pending stays false, so that this is asked at each message: what is written at once is
 * counted in messages, since each of them costs a packet. */
static void wrote(struct link *l)
{
    struct packets *k = of_link(l);
    if (l->blocked || l->writing)
        return; /* goes out when the poller or the writer says so */
    bool fresh = !list_linked(&l->flush_node);
    queue_flush(k);
    if (fresh || k->pipe->out.msgs >= k->ops->flush_msgs || flush_is_due(&k->pipe->out))
        reactor_of_packets(k)->work |= WORK_FLUSH;
}

static bool link_flush(struct link *l, bool flush)
{
    struct packets *k = of_link(l);
    if (k->over || l->writing || l->blocked)
        return false;
    const struct outq *q = &k->pipe->out;
    if (!flush && q->msgs < k->ops->flush_msgs && !flush_is_due(q))
        return pending(k);
    packets_write(k);
    return false;
}

/* ---- reading ---- */

void packets_read_begin(struct packets *k)
{
    k->reading = true;
    mutex_unlock(&reactor_of_packets(k)->lock);
}

bool packets_read_end(struct packets *k)
{
    mutex_lock(&reactor_of_packets(k)->lock);
    k->reading = false;
    if (!k->over)
        return true;
    give_address_back(k);
    conn_set_of(reactor_of_packets(k))->last_reads--;
    return false;
}

bool packets_wanted(struct packets *k, const uint8_t *first, size_t len)
{
    const struct pattern_ops *ops = k->set->ops;
    return !k->pipe->hung_up && (!ops->wants || ops->wants(k->set, first, len));
}

bool packets_full(struct packets *k)
{
    struct pipe *p = k->pipe;
    return p->rx_paused || (p->in_hwm && p->in.msgs >= p->in_hwm && !p->conflate) ||
           (p->counted && pipe_in_full(p));
}

void packets_drop(struct packets *k, uint64_t n, enum drop_reason why)
{
    if (k->pipe)
        pipe_count_drops(k->pipe, n, why);
}

void packets_unsent(struct packets *k, uint32_t n)
{
    if (!k->pipe)
        return;
    k->pipe->msgs_out -= n;
    pipe_count_drops(k->pipe, n, DROP_FULL);
}

void packets_arrived(struct packets *k, uint32_t msgs_before)
{
    struct pipe *p = k->pipe;
    if (p->conflate) {
        while (p->in.msgs > 1) {
            pipe_skip(p);
            p->msgs_in++;
            pipe_count_drops(p, 1, DROP_REPLACED);
        }
    }
    if (packets_full(k) && !p->paused) {
        pipe_pause(p, true);
        watch(k);
    }
    pipe_account(p);
    pipe_arrived(p, msgs_before);
}

static void ready(struct io *io, uint32_t events)
{
    struct packets *k = LIST_ENTRY(io, struct packets, io);
    if (events & (POLLER_OUT | POLLER_ERR) && k->link.blocked) {
        packets_block(k, false);
        packets_write(k);
    }
    if (k->over || !(events & (POLLER_IN | POLLER_ERR)))
        return;
    if (!reads(k)) {
        watch(k);
        return;
    }
    k->ops->read(k);
}

/* ---- what its pipe asks ---- */

static void resume(struct link *l)
{
    struct packets *k = of_link(l);
    if (packets_full(k))
        return;
    pipe_pause(k->pipe, false);
    watch(k);
    if (k->ops->resumed)
        k->ops->resumed(k);
}

static bool link_pending(const struct link *l)
{
    const struct packets *k = LIST_ENTRY(l, const struct packets, link);
    return k->ops->pending && k->ops->pending(k);
}

/* Of subscriptions and of groups. */
static int put_nothing(struct pipe *p, const void *name, size_t len, bool add)
{
    (void)p;
    (void)name;
    (void)len;
    (void)add;
    return 0; /* there is nobody to be told: what comes is filtered here */
}

static void link_end(struct link *l, bool lost)
{
    struct packets *k = of_link(l);
    if (!lost) /* else: nothing was lost that anybody would repeat */
        packets_end(k);
}

static void add_bytes(const struct pipe *p, struct fmq_counters *count)
{
    const struct packets *k = of_link(p->link);
    count->bytes_sent += k->bytes_out;
    count->bytes_recvd += k->bytes_in;
}

static void names(const struct pipe *p, const char **local, const char **remote)
{
    const struct packets *k = of_link(p->link);
    *local = k->local_name ? k->local_name : "";
    *remote = k->remote_name ? k->remote_name : "";
}

static void describe(const struct pipe *p, struct fmq_peer *out)
{
    const struct packets *k = of_link(p->link);
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", k->name);
    if (k->remote_name)
        snprintf(out->address, sizeof(out->address), "%s", k->remote_name);
    out->accepted = k->bound;
    out->since_ns = k->since;
}

static int check(const struct pipe *p, const struct msg *parts, uint32_t n)
{
    const struct packets *k = of_link(p->link);
    return k->ops->check ? k->ops->check(k, parts, n) : 0;
}

static const struct link_ops packet_link = {
    .add_bytes = add_bytes,
    .names = names,
    .describe = describe,
    .check = check,
    .wrote = wrote,
    .flush = link_flush,
    .resume = resume,
    .pending = link_pending,
    .put_subscription = put_nothing,
    .put_group = put_nothing,
    .end = link_end,
};

/* ---- birth ---- */

static bool copy(char **to, const char *name)
{
    *to = name ? mem_strdup(name) : NULL;
    return !name || *to;
}

int packets_open(struct packets *k, const struct packets_ops *ops, struct pipe *p, int fd,
                 bool bound, const struct packets_names *names)
{
    struct reactor *r = &p->set->reactor;
    k->ops = ops;
    k->link.ops = &packet_link;
    list_init(&k->link.flush_node);
    k->io.fd = fd;
    k->io.ready = ready;
    k->io.free = free_io;
    list_init(&k->io.deferred);
    timer_init(&k->retry, retry_timer);
    k->set = p->set;
    k->bound = bound;
    k->since = clock_unix();
    int rc = 0;
    if (!copy(&k->name, names->name) || !copy(&k->local_name, names->local_name) ||
        !copy(&k->remote_name, names->remote_name))
        rc = -ENOMEM;
    if (rc == 0)
        rc = io_watch(r, &k->io, ops->read ? POLLER_IN : 0);
    if (rc) {
        free_names(k);
        return rc;
    }
    k->pipe = p;
    p->link = &k->link;
    r->conn_count++;
    r->lone = r->lone_readable = r->lone_blocked = false; /* a connection is no more the only one */
    if (!outq_empty(&p->out))
        packets_flush_soon(k);
    return 0;
}
