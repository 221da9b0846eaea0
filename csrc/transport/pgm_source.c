/* SPDX-License-Identifier: MIT */
/* What is in the pipe's queue goes into packets as fast as RATE allows. */
#include "transport/pgm_source.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "os/clock.h"
#include "os/datagram.h"
#include "os/random.h"
#include "wire/pgm_send.h"
#include "wire/pgm_stream.h"

/* Packets in one system call, and how many of them may be without data. */
#define OUT_BATCH ((int)PGM_SEND_BATCH)
#define CONTROL_BATCH 8
/* From so many of one length on they are handed over as one. */
#define RUN_MIN 4
#define IN_BATCH 16
/* Receivers send nothing longer: a NAK, with an IP header. */
#define SLOT_SIZE 512
/* Closed with LINGER: it stays so long after the last packet, which may still be asked for. The
 * SPMs that tell of it go 100, 200, 300 and 400 ms behind it, and an OpenPGM asks every 250 ms. */
#define LAST_CALL (750 * NS_PER_MS)
/* Beyond RECOVERY_IVL packets may be given up, but not sooner than they can be asked for again. */
#define KEEP_MIN (10 * NS_PER_S)
#define MEMORY_REST (10 * NS_PER_MS)

struct source {
    struct packets packets;
    struct pgm_place place;
    struct timer timer;
    struct pgm_send send;
    struct pgm_packer packer;
    uint64_t last; /* when data last went out, 0: never */
    bool no_memory;
    bool one_by_one; /* the system cannot send several packets at once on this way */

    /* Packets that are to be sent next: those of the kernel's refusal first. */
    struct net_datagram v[OUT_BATCH];
    int at, count, controls;
    uint8_t control[CONTROL_BATCH][PGM_CONTROL_MAX];

    uint8_t slots[IN_BATCH][SLOT_SIZE];
};

static struct source *source_of(const struct packets *k)
{
    return LIST_ENTRY(k, struct source, packets);
}

/* ---- out ---- */

static void add(struct source *s, const struct pgm_out *out)
{
    const uint8_t *packet = out->packet;
    if (out->class == PGM_OUT_CONTROL)
        packet = memcpy(s->control[s->controls++], packet, out->len);
    struct net_datagram *d = &s->v[s->count++];
    d->iov[0] = (struct iovec){(void *)(uintptr_t)packet, out->len};
    d->iov_count = 1;
    d->to = &s->place.group;
}

/* One packet of what is queued, if one may go now. */
static void pack(struct source *s, uint64_t now)
{
    struct outq *q = &s->packets.pipe->out;
    if ((outq_empty(q) && !s->packer.cut) || !pgm_send_wants(&s->send, now))
        return;
    uint8_t *to = pgm_send_room(&s->send);
    int n = to ? pgm_pack(&s->packer, q, to, s->send.config.tsdu) : -ENOMEM;
    if (n > 0)
        pgm_send_put(&s->send, (uint16_t)n);
    s->no_memory = n == -ENOMEM;
}

/* Takes together what is to go now. */
static void gather(struct source *s)
{
    uint64_t now = clock_now();
    s->at = s->count = s->controls = 0;
    while (s->count < OUT_BATCH && s->controls < CONTROL_BATCH) {
        pack(s, now);
        struct pgm_out out = pgm_send_next(&s->send, now);
        if (out.class == PGM_OUT_NONE)
            return;
        add(s, &out);
        pgm_send_done(&s->send, &out, now);
        if (out.class != PGM_OUT_CONTROL)
            s->last = now;
    }
}

static bool has_data(const struct source *s)
{
    return s->packer.cut || !outq_empty(&s->packets.pipe->out);
}

static bool is_leaving(const struct packets *k)
{
    return k->pipe->hung_up || k->set->reactor.closed;
}

static void arm(struct source *s)
{
    struct packets *k = &s->packets;
    uint64_t now = clock_now();
    uint64_t at = pgm_send_deadline(&s->send, has_data(s), now);
    if (s->no_memory && at < now + MEMORY_REST)
        at = now + MEMORY_REST;
    if (is_leaving(k) && s->last && s->last + LAST_CALL < at)
        at = s->last + LAST_CALL;
    timer_set(&k->set->reactor, &s->timer, at);
}

/* How many packets from v[at] on are of one length, with one that is shorter at the end perhaps. */
static int run_of(const struct source *s, int at)
{
    size_t len = s->v[at].iov[0].iov_len, total = len;
    int n = 1;
    while (at + n < s->count && s->v[at + n].iov[0].iov_len <= len &&
           total + s->v[at + n].iov[0].iov_len <= NET_SEGMENTS_SIZE) {
        total += s->v[at + n].iov[0].iov_len;
        if (s->v[at + n++].iov[0].iov_len < len)
            break;
    }
    return n;
}

/* Sends some of what is gathered: how many, or a negative errno. The lock is not held. */
static int send_some(struct source *s)
{
    struct iovec iov[OUT_BATCH];
    int single = 0;
    while (!s->one_by_one && s->at + single < s->count) {
        int n = run_of(s, s->at + single);
        if (n < RUN_MIN) {
            single += n;
            continue;
        }
        if (single)
            break;
        for (int i = 0; i < n; i++)
            iov[i] = s->v[s->at + i].iov[0];
        int rc = net_send_segments(s->packets.io.fd, &s->place.group, iov, n);
        if (rc != -ENOTSUP)
            return rc ? rc : n;
        s->one_by_one = true;
    }
    return net_send_datagrams(s->packets.io.fd, s->v + s->at,
                              s->one_by_one ? s->count - s->at : single);
}

static void source_write(struct packets *k)
{
    struct source *s = source_of(k);
    struct reactor *r = &k->set->reactor;
    while (!k->over && !k->end_wanted) {
        if (s->at == s->count)
            gather(s);
        if (s->count == 0)
            break;
        k->link.writing = true;
        mutex_unlock(&r->lock);
        int n = send_some(s);
        mutex_lock(&r->lock);
        k->link.writing = false;
        if (n == -EAGAIN || n == -ENOBUFS) {
            packets_block(k, true);
            return;
        }
        /* What the kernel refuses is lost as on the wire, and can be asked for. */
        int done = n > 0 ? n : 1;
        for (int i = 0; i < done; i++)
            k->bytes_out += n > 0 ? s->v[s->at + i].iov[0].iov_len : 0;
        s->at += done;
    }
    if (!k->over)
        arm(s);
}

static bool source_pending(const struct packets *k)
{
    const struct source *s = source_of(k);
    if (s->at != s->count || s->packer.cut || pgm_send_busy(&s->send))
        return true;
    return is_leaving(k) && s->last && clock_now() < s->last + LAST_CALL;
}

static void timer_fired(struct timer *t, uint64_t now)
{
    struct source *s = LIST_ENTRY(t, struct source, timer);
    (void)now;
    if (!s->packets.link.blocked)
        packets_write(&s->packets);
}

/* ---- in ---- */

static void source_read(struct packets *k)
{
    struct source *s = source_of(k);
    struct net_datagram v[IN_BATCH];
    uint32_t lost = 0;
    for (int i = 0; i < IN_BATCH; i++) {
        v[i].iov[0] = (struct iovec){s->slots[i], SLOT_SIZE};
        v[i].iov_count = 1;
    }
    packets_read_begin(k);
    int n = net_recv_datagrams(k->io.fd, v, IN_BATCH, &lost);
    if (!packets_read_end(k))
        return;
    uint64_t now = clock_now();
    for (int i = 0; i < n; i++) {
        const uint8_t *data = s->slots[i];
        size_t len = v[i].size;
        struct pgm_packet p;
        k->bytes_in += len;
        if (!v[i].truncated && pgm_strip(&s->place, &data, &len) && pgm_read(data, len, &p) == 0)
            pgm_send_recv(&s->send, &p, now);
    }
    if (n > 0 && !k->link.blocked)
        packets_write(k);
}

/* ---- life ---- */

/* Tells that nothing more will come. If it is lost nobody misses it. */
static void source_end(struct packets *k)
{
    struct source *s = source_of(k);
    timer_cancel(&k->set->reactor, &s->timer);
    uint64_t now = clock_now();
    pgm_send_end(&s->send, now);
    s->at = s->count = s->controls = 0;
    struct pgm_out out = pgm_send_next(&s->send, now);
    if (out.class != PGM_OUT_CONTROL)
        return;
    add(s, &out);
    (void)net_send_datagrams(k->io.fd, s->v, s->count);
}

static void source_free(struct packets *k)
{
    struct source *s = source_of(k);
    pgm_send_fini(&s->send);
    pgm_packer_fini(&s->packer);
    mem_free(s);
}

static const struct packets_ops source_packets = {
    .read = source_read,
    .write = source_write,
    .pending = source_pending,
    .end = source_end,
    .free = source_free,
    .flush_msgs = UINT32_MAX,
    .reads_always = true,
};

int pgm_source_open(struct endpoint *ep, const struct pgm_place *place, int fd,
                    const struct packets_names *names)
{
    const struct option_values *o = &ep->set->pipes.opt;
    struct {
        uint8_t gsi[6];
        uint16_t port;
        uint32_t first;
    } drawn;
    random_bytes(&drawn, sizeof(drawn));
    struct source *s = mem_zalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    uint64_t keep = (uint64_t)o->recovery_ivl * NS_PER_MS;
    int tsdu = o->multicast_maxtpdu - place->overhead - PGM_DATA_HEADER;
    struct pgm_send_config config = {
        .tsi.port = drawn.port,
        .port = place->port,
        .nla = place->own_nla,
        .group = place->group_nla,
        .first = drawn.first,
        .rate = (uint64_t)o->rate * 1000 / 8,
        .window = pgm_window(o),
        .tsdu = (uint16_t)(tsdu < PGM_TSDU_MAX ? tsdu : PGM_TSDU_MAX),
        .overhead = place->overhead,
        .keep = keep + KEEP_MIN,
    };
    memcpy(config.tsi.gsi, drawn.gsi, sizeof(drawn.gsi));
    s->place = *place;
    s->one_by_one = place->raw;
    timer_init(&s->timer, timer_fired);
    pgm_packer_init(&s->packer);
    int rc = pgm_send_init(&s->send, &config, clock_now());
    if (rc == 0)
        rc = packets_open(&s->packets, &source_packets, ep->pipe, fd, ep->bound, names);
    if (rc == 0) {
        packets_flush_soon(&s->packets); /* the first SPM */
        return 0;
    }
    pgm_send_fini(&s->send);
    mem_free(s);
    return rc;
}
