/* SPDX-License-Identifier: MIT */
/*
 * What a seed draws is a world: one to four contexts and one to three scenes in them. A scene is a
 * set of sockets of a pattern that talk over one transport with one mechanism:
 *
 *   FLOW   senders to receivers, each message to one of them: PUSH and PULL, DEALER, PAIR
 *   FAN    publishers to subscribers
 *   ECHO   clients that ask servers: REQ or DEALER, REP or ROUTER
 *
 * Each message says who sent it, as what number, and all of its bytes follow from that, so a
 * receiver can tell whether it is whole. Whatever happens, no message comes twice, none comes
 * before an earlier one on the same connection, every one is whole, no queue exceeds its mark, the
 * contexts end in time, and nothing is left over. The rest depends on the weather:
 *
 *   CALM    slow and jumpy, but nothing breaks: every message arrives
 *   PROMPT  and nobody is slow: nobody who could go on waits for longer than PROMPT_NS, so a lost
 *           wake-up shows even where something else comes to the rescue later
 *   STORM   connections break or stall, descriptors run out, endpoints come and go, strangers talk
 *           nonsense; once that is over messages get through again
 *   HUNGER  and allocations fail
 *   ABORT   sockets are closed and contexts shut down in the middle of it
 */
#include "sim_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "core/option_ids.h"
#include "fake_crypto.h"
#include "fastmq.h"
#include "os/net.h"
#include "os/thread.h"
#include "sim.h"

#define CONTEXTS_MAX 4
#define SCENES_MAX 3
#define SOCKETS_MAX 6 /* of a scene */
#define SOURCES_MAX 6 /* threads of a scene that send messages of their own */
#define SINKS_MAX 4   /* sockets of a scene that each get all messages */
#define NUMBERS_MAX 2048
#define ORDERS_MAX 64
#define WORKERS_MAX (SCENES_MAX * SOCKETS_MAX * 2)

/* Below the slices in which waits come up by themselves (50 ms), above all that is meant to take
 * its time: leases, looks, ticks. */
#define PROMPT_NS (48 * NS_PER_MS)
#define CALM_LIMIT_NS (60 * NS_PER_S)
#define HEALED_LIMIT_NS (120 * NS_PER_S)

enum weather { CALM, PROMPT, STORM, HUNGER, ABORT };
enum pattern { FLOW, FAN, ECHO };
enum mechanism { PLAIN_NULL, PLAIN, CURVE };

static const char *const weather_names[] = {"calm", "prompt", "storm", "hunger", "abort"};
static const char *const type_names[] = {"PAIR",   "PUB",  "SUB",  "REQ",  "REP", "DEALER",
                                         "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"};
static const char *const mechanism_names[] = {"null", "plain", "curve"};

/* Begins the first part of a message. All else follows from it. */
struct header {
    uint8_t topic, scene, source, parts;
    uint32_t number; /* from 1 */
};

struct source {
    uint32_t sent; /* the last number */
    bool done;
    uint32_t healed_from;     /* the first number after the misfortunes; 0: not yet */
    bool ok[NUMBERS_MAX];     /* the send succeeded ... */
    uint64_t at[NUMBERS_MAX]; /* ... and when */
};

struct book {
    bool seen[NUMBERS_MAX];
    uint32_t count, last;
    bool healed; /* something sent after the misfortunes came */
};

/* The order of what came from a source over one connection. */
struct order {
    struct meta *meta;
    unsigned source;
    uint32_t last;
};

struct scene;

struct member {
    struct scene *scene;
    fmq_socket *socket;
    unsigned context;
    bool sends, binds;
    unsigned index; /* among its kind */
    unsigned threads;
    bool closed;   /* by its own thread, when that had sent all */
    char name[64]; /* where it is bound */
    uint8_t topic; /* 0: all */
};

struct scene {
    unsigned index;
    enum pattern pattern;
    int send_type, recv_type;
    const char *transport;
    enum mechanism mechanism;
    bool senders_bind, conflate;
    unsigned senders, receivers;
    uint32_t numbers; /* messages of a source */
    unsigned window;  /* ECHO: questions that are out */
    bool exact;       /* all arrive */
    int sndhwm, rcvhwm;
    unsigned source_count;
    struct source sources[SOURCES_MAX];
    struct book books[SOURCES_MAX][SINKS_MAX];
    struct member members[SOCKETS_MAX];
    unsigned member_count;
    uint64_t up_at; /* all connections stood */
};

/* How a thread waits for messages. */
enum waiting { IN_CALLS, IN_POLLSET, ON_DESCRIPTOR, IN_HUB };

struct worker { /* a thread of the program */
    struct member *member;
    enum waiting waiting;
    fmq_pollset *set;
    fmq_hub *hub;
    struct poller *loop; /* an event loop's: holds the hub, or the socket's descriptor */
    int watched;         /* that descriptor; -1: none yet */
    unsigned source;
    struct thread thread;
    uint64_t wait_from; /* it got the last message, or began */
    struct order orders[ORDERS_MAX];
    unsigned order_count;
};

static struct {
    enum weather weather;
    bool healed;
    bool over; /* everybody is done */
    uint64_t salt;
    long hubs;  /* made: they keep their lock for the next */
    bool large; /* some messages are */
    fmq_ctx *contexts[CONTEXTS_MAX];
    unsigned context_count;
    struct scene scenes[SCENES_MAX];
    unsigned scene_count;
    struct worker workers[WORKERS_MAX];
    unsigned worker_count;
    uint8_t public_key[32], secret_key[32];
    struct thread watcher, zap[CONTEXTS_MAX], fate;
    bool has_zap[CONTEXTS_MAX];
} w;

static char about[512];

const char *sim_world_about(void)
{
    return about;
}

static bool faulty(void)
{
    return w.weather >= STORM;
}

/* ---- messages ---- */

static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t id_of(const struct header *h)
{
    return scramble(w.salt ^ (uint64_t)h->scene << 48 ^ (uint64_t)h->source << 40 ^ h->number);
}

static struct header header_of(const struct scene *c, unsigned source, uint32_t number)
{
    struct header h = {.scene = (uint8_t)c->index, .source = (uint8_t)source, .number = number};
    uint64_t id = id_of(&h);
    h.topic = (uint8_t)('a' + id % 3);
    h.parts = c->conflate || id >> 8 & 3 ? 1 : (uint8_t)(1 + (id >> 16) % 5);
    return h;
}

static size_t size_of(const struct header *h, unsigned part)
{
    uint64_t x = scramble(id_of(h) + part);
    size_t least = part == 0 ? sizeof(*h) : 0;
    unsigned kind = (unsigned)(x % 32);
    x >>= 8;
    if (kind == 0 && w.large)
        return least + (size_t)(x % 200000);
    if (kind < 3)
        return least + (size_t)(x % 20000);
    return least + (size_t)(x % (kind < 10 ? 600 : 40));
}

static uint8_t byte_of(uint64_t id, unsigned part, size_t i)
{
    return (uint8_t)((id >> part % 7 * 8) + i * 7 + i / 251);
}

static int make_part(struct msg *m, const struct header *h, unsigned part)
{
    uint8_t *data;
    size_t size = size_of(h, part);
    uint64_t id = id_of(h);
    int rc = msg_init_blob(m, size, &data);
    if (rc)
        return rc;
    for (size_t i = 0; i < size; i++)
        data[i] = byte_of(id, part, i);
    if (part == 0)
        memcpy(data, h, sizeof(*h));
    return 0;
}

/* Makes sure that these are the parts of one message, all of them and nothing else. */
static struct header check_whole(const struct scene *c, const struct msg *v, uint32_t n)
{
    struct header h;
    if (n == 0 || msg_size(&v[0]) < sizeof(h))
        sim_fail("a message of %u parts begins with one of %zu bytes", n, n ? msg_size(&v[0]) : 0);
    memcpy(&h, msg_data(&v[0]), sizeof(h));
    if (h.scene != c->index || h.source >= c->source_count || h.number == 0 ||
        h.number >= NUMBERS_MAX)
        sim_fail("what was received is no message of this scene");
    struct header wanted = header_of(c, h.source, h.number);
    if (memcmp(&h, &wanted, sizeof(h)) != 0)
        sim_fail("the head of message %u of source %u is damaged", h.number, h.source);
    if (n != h.parts)
        sim_fail("message %u of source %u has %u parts instead of %u", h.number, h.source, n,
                 h.parts);
    uint64_t id = id_of(&h);
    for (unsigned part = 0; part < n; part++) {
        const uint8_t *data = msg_data(&v[part]);
        size_t size = msg_size(&v[part]);
        if (size != size_of(&h, part))
            sim_fail("part %u of message %u of source %u has %zu bytes instead of %zu", part,
                     h.number, h.source, size, size_of(&h, part));
        for (size_t i = part ? 0 : sizeof(h); i < size; i++) {
            if (data[i] != byte_of(id, part, i))
                sim_fail("byte %zu of part %u of message %u of source %u is wrong", i, part,
                         h.number, h.source);
        }
    }
    return h;
}

/* ---- what must hold of a message that came ---- */

static void check_order(struct worker *t, const struct header *h, struct meta *meta)
{
    const struct scene *c = t->member->scene;
    /* Within a process there is nothing to tell two connections by. */
    if (faulty() && !meta)
        return;
    if (!faulty())
        meta = NULL; /* one connection is all there is */
    struct order *o = NULL;
    for (unsigned i = 0; i < t->order_count && !o; i++) {
        if (t->orders[i].meta == meta && t->orders[i].source == h->source)
            o = &t->orders[i];
    }
    if (!o && t->order_count == ORDERS_MAX)
        return;
    if (!o) {
        o = &t->orders[t->order_count++];
        *o = (struct order){meta, h->source, 0};
        if (meta)
            meta_ref(meta);
    }
    if (h->number <= o->last)
        sim_fail("message %u of source %u of scene %u came after %u", h->number, h->source,
                 c->index, o->last);
    o->last = h->number;
}

static void check_prompt(const struct worker *t, const struct header *h)
{
    const struct scene *c = t->member->scene;
    const struct source *from = &c->sources[h->source];
    if (w.weather != PROMPT)
        return;
    uint64_t since = t->wait_from, at = from->at[h->number];
    if (!at)
        return; /* its send has not even come back */
    since = at > since ? at : since;
    since = c->up_at > since ? c->up_at : since;
    if (sim_now() > since + PROMPT_NS)
        sim_fail("message %u of source %u of scene %u took %.3f ms to a thread that waited for it",
                 h->number, h->source, c->index, (double)(sim_now() - since) / 1e6);
}

/* Returns the header of what came; `slot` is the book of the scene that it goes into. */
static struct header came(struct worker *t, const struct msg *v, uint32_t n, struct meta *meta,
                          unsigned slot, bool ordered)
{
    struct member *m = t->member;
    struct scene *c = m->scene;
    struct header h = check_whole(c, v, n);
    struct book *b = &c->books[h.source][slot];
    sim_event("got", (uint64_t)h.source, h.number);
    if (b->seen[h.number])
        sim_fail("message %u of source %u of scene %u came twice", h.number, h.source, c->index);
    b->seen[h.number] = true;
    b->count++;
    b->last = h.number > b->last ? h.number : b->last;
    if (m->topic && h.topic != m->topic)
        sim_fail("message %u of source %u is none that was subscribed to", h.number, h.source);
    if (c->sources[h.source].healed_from && h.number >= c->sources[h.source].healed_from)
        b->healed = true;
    if (ordered)
        check_order(t, &h, meta);
    if (slot != 1 || c->pattern == FAN)
        check_prompt(t, &h);
    t->wait_from = sim_now();
    return h;
}

/* ---- calls that may be interrupted or tried again ---- */

/* Whether a call that failed is to be made again; what may not happen ends the run. */
static bool again(int rc, const char *what)
{
    if (rc == -EINTR)
        return true;
    if (rc == -FMQ_ETERM || rc == -ENOTSOCK) {
        if (w.weather != ABORT)
            sim_fail("%s: %s", what, fmq_strerror(-rc));
        return false;
    }
    if (!faulty())
        sim_fail("%s: %s", what, fmq_strerror(-rc));
    sim_sleep(NS_PER_MS + sim_rand() % (10 * NS_PER_MS));
    return true;
}

static int left_ms(uint64_t until)
{
    uint64_t now = sim_now();
    return now >= until ? 0 : (int)((until - now + NS_PER_MS - 1) / NS_PER_MS);
}

static void set(fmq_socket *s, int option, int64_t value)
{
    int rc;
    while ((rc = fmq_set_int(s, option, value)) != 0 && again(rc, "set an option"))
        ;
}

static void set_bytes(fmq_socket *s, int option, const void *value, size_t len)
{
    int rc;
    while ((rc = fmq_set_bytes(s, option, value, len)) != 0 && again(rc, "set an option"))
        ;
}

/* ---- sending ---- */

/* Part by part, as the program's SNDMORE does. */
static int send_in_parts(fmq_socket *s, const struct header *h, int timeout_ms)
{
    for (unsigned i = 0; i < h->parts; i++) {
        struct msg m;
        bool more = i + 1 < h->parts;
        int rc;
        while ((rc = make_part(&m, h, i)) != 0 && i) /* it cannot be left without its end */
            sim_sleep(NS_PER_MS);
        if (rc)
            return rc;
        uint64_t until = sim_now() + (uint64_t)timeout_ms * NS_PER_MS;
        while ((rc = fmq_send(s, &m, 1, more, left_ms(until))) != 0) {
            /* A part that did not go may be tried again; for another reason than want of room, the
             * last one takes the whole message with it. */
            if (rc != -EINTR && !(i && (rc == -EAGAIN || (more && rc == -ENOMEM)))) {
                msg_drop(&m);
                return rc;
            }
            sim_sleep(rc == -ENOMEM ? NS_PER_MS : 0);
            if (rc == -EAGAIN)
                until = sim_now() + (uint64_t)timeout_ms * NS_PER_MS;
        }
    }
    return 0;
}

static int send_whole(fmq_socket *s, const struct header *h, const struct msg *front,
                      int timeout_ms)
{
    struct msg v[8];
    uint32_t n = 0;
    int rc = 0;
    if (front)
        v[n++] = *front;
    for (unsigned i = 0; i < h->parts && rc == 0; i++) {
        rc = make_part(&v[n], h, i);
        n += rc == 0;
    }
    if (rc == 0)
        rc = sim_chance(500) ? fmq_try_send(s, v, n, false) : -EBUSY;
    uint64_t until = sim_now() + (uint64_t)timeout_ms * NS_PER_MS;
    if (rc == -EBUSY || rc == -EAGAIN || rc == -EINTR) {
        while ((rc = fmq_send(s, v, n, false, left_ms(until))) == -EINTR)
            ;
    }
    if (rc) {
        for (uint32_t i = 0; i < n; i++)
            msg_drop(&v[i]);
    }
    return rc;
}

/* Makes the message anew each time; -EAGAIN, or what ends the sender. */
static int send_number(struct member *m, unsigned source, uint32_t number, int timeout_ms)
{
    struct scene *c = m->scene;
    struct header h = header_of(c, source, number);
    struct msg empty;
    msg_init(&empty);
    /* What a REP answers begins with an empty part, which a DEALER has to put there itself. */
    bool front = c->pattern == ECHO && c->send_type == FMQ_DEALER && c->recv_type == FMQ_REP;
    uint64_t start = sim_now();
    int rc;
    if (!front && m->threads == 1 && sim_chance(300))
        rc = send_in_parts(m->socket, &h, timeout_ms);
    else
        rc = send_whole(m->socket, &h, front ? &empty : NULL, timeout_ms);
    sim_event("sent", number, (uint64_t)rc);
    if (rc == 0) {
        struct source *from = &c->sources[source];
        from->ok[number] = true;
        from->at[number] = sim_now();
        if (w.weather == PROMPT && c->pattern == FLOW && start > c->up_at && c->up_at &&
            sim_now() > start + PROMPT_NS)
            sim_fail("the send of message %u of source %u of scene %u took %.3f ms", number, source,
                     c->index, (double)(sim_now() - start) / 1e6);
    }
    return rc;
}

/* ---- receiving ---- */

/* Prepares for another way of waiting than in calls; without means it stays at that. */
static void choose_waiting(struct worker *t)
{
    fmq_socket *s = t->member->socket;
    int rc = 0;
    t->watched = -1;
    /* A socket has one event loop at a time. */
    t->waiting = t->member->threads > 1 || sim_chance(500) ? IN_CALLS : (enum waiting)sim_below(4);
    if (t->waiting == IN_POLLSET) {
        rc = fmq_pollset_new(&t->set);
        if (rc == 0 && (rc = fmq_pollset_add(t->set, s, FMQ_POLLIN, t)) != 0)
            fmq_pollset_free(t->set);
    } else if (t->waiting != IN_CALLS) {
        rc = poller_create(&t->loop);
        if (rc == 0 && t->waiting == IN_HUB) {
            rc = fmq_hub_new(&t->hub);
            w.hubs++; /* even if it lacks a descriptor */
            if (rc == 0 && (rc = poller_add(t->loop, fmq_hub_fd(t->hub), POLLER_IN, t)) != 0)
                fmq_hub_free(t->hub);
            if (rc)
                poller_destroy(t->loop);
        }
    }
    if (rc)
        t->waiting = IN_CALLS;
    static const char *const names[] = {"in calls", "in a poll set", "on a descriptor", "in a hub"};
    sim_say("waits %s", names[t->waiting]);
}

static void end_waiting(struct worker *t)
{
    fmq_socket *s = t->member->socket;
    int fd;
    if (t->waiting == IN_POLLSET)
        fmq_pollset_free(t->set);
    if (t->waiting == IN_HUB) {
        poller_del(t->loop, fmq_hub_fd(t->hub));
        fmq_hub_free(t->hub);
    }
    if (t->waiting == ON_DESCRIPTOR && t->watched >= 0) {
        poller_del(t->loop, t->watched);
        fmq_watch(s, 0, &fd);
    }
    if (t->waiting == ON_DESCRIPTOR || t->waiting == IN_HUB)
        poller_destroy(t->loop);
}

/* Waits as an event loop does. 1: a receive is worth a try; 0: the time is over. */
static int wait_in_loop(struct worker *t, int timeout_ms)
{
    fmq_socket *s = t->member->socket;
    struct poller_event event;
    void *ready[4];
    int fd, rc;
    if (t->waiting == IN_HUB) {
        rc = fmq_hub_watch(t->hub, s, FMQ_POLLIN, t);
    } else {
        rc = fmq_watch(s, FMQ_POLLIN, &fd);
        if (rc == 0 && t->watched < 0) {
            rc = poller_add(t->loop, fd, POLLER_IN, t);
            t->watched = rc ? -1 : fd;
            if (rc)
                fmq_watch(s, 0, &fd);
        }
    }
    if (rc)
        return rc;
    rc = poller_wait(t->loop, &event, 1, (int64_t)timeout_ms * (int64_t)NS_PER_MS);
    if (rc <= 0)
        return rc;
    if (t->waiting == IN_HUB && (rc = fmq_hub_wait(t->hub, ready, 4)) <= 0)
        return rc ? rc : -EINTR;
    fmq_watch_came(s);
    return 1;
}

static int receive_by_part(fmq_socket *s, struct parts *p, struct meta **meta, int timeout_ms)
{
    for (;;) {
        struct msg part;
        struct meta *of = NULL;
        int rc = fmq_recv_part(s, &part, &of, timeout_ms);
        if (rc && p->len && (rc == -EINTR || rc == -EAGAIN))
            sim_fail("the rest of a message is not there");
        if (rc)
            return rc;
        if (*meta)
            meta_unref(of);
        else
            *meta = of;
        bool more = part.flags & PART_MORE;
        while (parts_push(p, &part))
            sim_sleep(NS_PER_MS);
        if (!more)
            return 0;
    }
}

/* Receives one message in any of the ways that there are. */
static int receive(struct worker *t, struct parts *p, struct meta **meta, int timeout_ms)
{
    struct member *m = t->member;
    fmq_socket *s = m->socket;
    struct fmq_pollevent ready;
    uint32_t way = sim_below(8);
    int rc;
    *meta = NULL;
    if (t->waiting != IN_CALLS) {
        uint64_t until = sim_now() + (uint64_t)timeout_ms * NS_PER_MS;
        while ((rc = fmq_recv(s, p, meta, 0)) == -EAGAIN && sim_now() < until) {
            int left = left_ms(until);
            rc = t->waiting == IN_POLLSET ? fmq_pollset_wait(t->set, &ready, 1, left)
                                          : wait_in_loop(t, left);
            sim_event("waited", (uint64_t)left, (uint64_t)rc);
            if (rc < 0)
                break;
        }
        return rc;
    }
    if (way == 0 && m->threads == 1) {
        rc = fmq_poll_one(s, FMQ_POLLIN, timeout_ms);
        if (rc <= 0)
            return rc ? rc : -EAGAIN;
        rc = fmq_try_recv(s, p, meta);
        return rc == -EBUSY ? fmq_recv(s, p, meta, 0) : rc;
    }
    if (way == 1) {
        rc = fmq_try_recv(s, p, meta);
        if (rc != -EBUSY && rc != -EAGAIN)
            return rc;
    }
    if (way == 2)
        return receive_by_part(s, p, meta, timeout_ms);
    return fmq_recv(s, p, meta, timeout_ms);
}

/* Long enough for a wake-up to be missed where that is looked for. */
static int some_timeout(uint32_t max_ms)
{
    return w.weather == PROMPT ? 300 + (int)sim_below(700) : (int)sim_below(max_ms);
}

static bool wants(const struct scene *c, const struct member *sink, unsigned source, uint32_t n)
{
    struct header h = header_of(c, source, n);
    return !sink->topic || h.topic == sink->topic;
}

/* Whether this receiver has nothing to come. */
static bool complete(const struct scene *c, const struct member *m)
{
    for (unsigned i = 0; i < c->source_count; i++) {
        const struct source *from = &c->sources[i];
        const struct book *b = &c->books[i][c->pattern == FAN ? m->index : 0];
        if (!from->done)
            return false;
        if (!c->exact)
            continue;
        if (c->conflate) {
            if (b->last != from->sent)
                return false;
            continue;
        }
        uint32_t want = 0;
        for (uint32_t n = 1; n <= from->sent; n++)
            want += from->ok[n] && wants(c, m, i, n);
        if (b->count < want)
            return false;
        if (b->count > want)
            sim_fail("more came from source %u than was sent", i);
    }
    return true;
}

static void receiver(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    choose_waiting(t);
    bool slow = w.weather != PROMPT && sim_chance(400);
    t->wait_from = sim_now();
    while (!complete(c, m)) {
        struct parts p;
        struct meta *meta;
        parts_init(&p);
        int rc = receive(t, &p, &meta, some_timeout(200));
        if (rc == 0)
            came(t, p.v, p.len, meta, c->pattern == FAN ? m->index : 0, true);
        parts_fini(&p);
        meta_unref(meta);
        if (rc && rc != -EAGAIN && !again(rc, "recv"))
            break;
        if (slow && sim_chance(200))
            sim_sleep(sim_rand() % (4 * NS_PER_MS));
    }
    end_waiting(t);
}

/* ---- the threads that send ---- */

static unsigned opposite(const struct scene *c, bool sends)
{
    return sends ? c->receivers : c->senders;
}

/* In fine weather all connections come to stand, and then it counts how long things take. */
static void wait_until_up(struct member *m)
{
    struct scene *c = m->scene;
    if (faulty())
        return;
    uint32_t wanted = opposite(c, m->sends);
    if (c->pattern == FAN) {
        int rc;
        for (char topic = 'a'; topic <= 'c'; topic++) {
            uint32_t n = 0;
            for (unsigned i = 0; i < c->member_count; i++) {
                const struct member *r = &c->members[i];
                n += !r->sends && (!r->topic || r->topic == topic);
            }
            while ((rc = fmq_wait_subscribers(m->socket, &topic, 1, n, 1000)) < 0)
                if (rc != -EAGAIN && !again(rc, "wait for subscribers"))
                    return;
        }
    }
    for (;;) {
        struct fmq_socket_stats stats;
        int rc = fmq_stats(m->socket, &stats);
        if (rc && !again(rc, "stats"))
            return;
        if (rc == 0 && stats.peers >= wanted)
            break;
        sim_sleep(NS_PER_MS);
    }
    c->up_at = sim_now();
}

/* Whether to go on: a fixed number of messages, or until one got through after the misfortunes. */
static bool has_more(struct scene *c, unsigned source, unsigned slots)
{
    struct source *from = &c->sources[source];
    if (from->sent >= NUMBERS_MAX - 1)
        sim_fail("source %u of scene %u has sent %u messages and none got through", source,
                 c->index, from->sent);
    if (!faulty())
        return from->sent < c->numbers;
    if (w.weather == ABORT)
        return true;
    if (!w.healed)
        return true;
    /* Within a process nobody connects again by himself, so one failure may be for ever. */
    if (w.weather == HUNGER && strcmp(c->transport, "inproc") == 0)
        return false;
    if (!from->healed_from)
        from->healed_from = from->sent + 1;
    for (unsigned i = 0; i < slots; i++) {
        if (!c->books[source][i].healed)
            return true;
    }
    return false;
}

static void pause_between(struct scene *c)
{
    if (faulty()) { /* so that the numbers last */
        sim_sleep((w.healed ? 60 : 1) * NS_PER_MS + sim_rand() % (20 * NS_PER_MS));
        return;
    }
    if (c->index % 2 ? sim_chance(100) : sim_chance(600))
        sim_sleep(sim_rand() % (3 * NS_PER_MS));
}

static void sender(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    struct source *me = &c->sources[t->source];
    if (w.weather == PROMPT || c->pattern == FAN || sim_chance(500))
        wait_until_up(m);
    while (has_more(c, t->source, c->pattern == FAN ? c->receivers : 1)) {
        uint32_t number = me->sent + 1;
        int rc = send_number(m, t->source, number, 20 + (int)sim_below(500));
        if (rc == 0 || (rc != -EAGAIN && faulty()))
            me->sent = number; /* after other failures nobody can tell */
        if (rc && rc != -EAGAIN && !again(rc, "send"))
            break;
        pause_between(c);
    }
    me->done = true;
    if (!faulty() && m->threads == 1 && sim_chance(500)) {
        m->closed = true;
        fmq_close(m->socket);
    }
}

/* ---- questions and answers ---- */

static bool others_done(const struct scene *c)
{
    for (unsigned i = 0; i < c->source_count; i++) {
        if (!c->sources[i].done)
            return false;
    }
    return true;
}

static void server(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    choose_waiting(t);
    while (!others_done(c)) {
        struct parts p;
        struct meta *meta;
        parts_init(&p);
        int rc = receive(t, &p, &meta, some_timeout(60));
        meta_unref(meta);
        if (rc == 0) {
            /* Envelopes come first, and are empty or short. */
            uint32_t skip = 0;
            while (skip < p.len && msg_size(&p.v[skip]) < sizeof(struct header))
                skip++;
            came(t, p.v + skip, p.len - skip, NULL, 0, false);
            uint64_t until = sim_now() + 2 * NS_PER_S;
            do {
                rc = fmq_send(m->socket, p.v, p.len, false, left_ms(until));
                if (rc == -ENOMEM)
                    sim_sleep(NS_PER_MS);
            } while (rc == -EINTR || rc == -ENOMEM || (rc == -EAGAIN && !faulty()));
            if (rc == 0)
                p.len = 0;
            if ((rc == -EHOSTUNREACH || rc == -EAGAIN) && faulty())
                rc = 0;
        }
        parts_fini(&p);
        if (rc == -FMQ_EFSM && faulty()) { /* a question was lost for want of memory */
            struct msg any;
            msg_init(&any);
            fmq_send(m->socket, &any, 1, false, 0);
            continue;
        }
        if (rc && rc != -EAGAIN && !again(rc, "serve"))
            break;
    }
    end_waiting(t);
}

static void client(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    struct source *me = &c->sources[t->source];
    unsigned out = 0;
    bool req = c->send_type == FMQ_REQ;
    choose_waiting(t);
    if (w.weather == PROMPT || sim_chance(500))
        wait_until_up(m);
    while (out || has_more(c, t->source, 2)) {
        int rc = 0;
        if (out < c->window && has_more(c, t->source, 2)) {
            uint32_t number = me->sent + 1;
            rc = send_number(m, t->source, number, 20 + (int)sim_below(500));
            if (rc == 0 || (rc != -EAGAIN && faulty()))
                me->sent = number;
            if (rc == 0)
                out++;
            else if (rc != -EAGAIN && !again(rc, "ask"))
                break;
            if (out < c->window && sim_chance(500))
                continue;
        }
        if (!out) {
            if (faulty())
                pause_between(c);
            continue;
        }
        struct parts p;
        struct meta *meta;
        parts_init(&p);
        uint64_t start = sim_now();
        do {
            rc = receive(t, &p, &meta, faulty() ? 20 + (int)sim_below(200) : 500);
        } while (rc == -EINTR);
        uint32_t skip = 0;
        while (rc == 0 && skip < p.len && msg_size(&p.v[skip]) == 0)
            skip++;
        if (rc == 0 && skip == p.len && faulty()) {
            out--; /* the question was lost: see server() */
        } else if (rc == 0) {
            struct header h =
                came(t, p.v + skip, p.len - skip, NULL, 1, c->receivers == 1 && !faulty());
            if (h.source != t->source)
                sim_fail("the answer to source %u came to source %u", h.source, t->source);
            if (req && h.number != me->sent)
                sim_fail("the answer to question %u came to question %u", h.number, me->sent);
            if (w.weather == PROMPT && sim_now() > start + PROMPT_NS)
                sim_fail("the answer to question %u of source %u took %.3f ms", h.number, t->source,
                         (double)(sim_now() - start) / 1e6);
            out--;
        }
        parts_fini(&p);
        meta_unref(meta);
        if (rc == -EAGAIN && faulty()) {
            out = 0;
            pause_between(c);
        } else if (rc == -EAGAIN) {
            if (w.weather == PROMPT && sim_now() > start + PROMPT_NS)
                sim_fail("no answer came to question %u of source %u", me->sent, t->source);
        } else if (rc && !again(rc, "hear")) {
            break;
        }
        if (faulty())
            pause_between(c);
    }
    me->done = true;
    end_waiting(t);
}

/* ---- who may come in ---- */

static void zap_handler(void *arg)
{
    unsigned nth = *(unsigned *)arg;
    fmq_socket *s;
    int rc;
    while ((rc = fmq_socket_new(w.contexts[nth], FMQ_REP, &s)) != 0)
        if (!again(rc, "the handler's socket"))
            return;
    set(s, OPT_LINGER, 0);
    while ((rc = fmq_bind(s, "inproc://zeromq.zap.01")) != 0 && again(rc, "bind the handler"))
        ;
    while (!w.over) {
        struct parts p;
        parts_init(&p);
        rc = fmq_recv(s, &p, NULL, 20);
        if (rc == 0) {
            static const char *const texts[] = {"1.0", "1", "200", "OK", "me", ""};
            struct msg v[6];
            uint32_t n = 0;
            if (p.len != 8 && p.len != 7)
                sim_fail("a question to the ZAP handler has %u parts", p.len);
            if (!msg_is_text(&p.v[0], "1.0"))
                sim_fail("a question to the ZAP handler is damaged");
            while (n < 6 && msg_init_copy(&v[n], texts[n], strlen(texts[n])) == 0)
                n++;
            if (n < 6 || fmq_send(s, v, n, false, 100)) {
                while (n)
                    msg_drop(&v[--n]);
                struct msg any;
                msg_init(&any);
                fmq_send(s, &any, 1, false, 0);
            }
        }
        parts_fini(&p);
        if (rc == -FMQ_EFSM) {
            struct msg any;
            msg_init(&any);
            fmq_send(s, &any, 1, false, 0);
        } else if (rc && rc != -EAGAIN && rc != -EINTR && !again(rc, "judge")) {
            break;
        }
    }
    fmq_socket_free(s);
}

/* ---- setting up ---- */

static void choose_security(struct member *m)
{
    struct scene *c = m->scene;
    fmq_socket *s = m->socket;
    if (strcmp(c->transport, "inproc") == 0)
        return;
    if (c->mechanism == PLAIN && m->binds) {
        set(s, OPT_PLAIN_SERVER, 1);
    } else if (c->mechanism == PLAIN) {
        set_bytes(s, OPT_PLAIN_USERNAME, "n", 1);
        set_bytes(s, OPT_PLAIN_PASSWORD, "p", 1);
    } else if (c->mechanism == CURVE && m->binds) {
        set(s, OPT_CURVE_SERVER, 1);
        set_bytes(s, OPT_CURVE_SECRETKEY, w.secret_key, 32);
    } else if (c->mechanism == CURVE) {
        uint8_t public_key[32], secret_key[32];
        fake_keypair(public_key, secret_key);
        set_bytes(s, OPT_CURVE_PUBLICKEY, public_key, 32);
        set_bytes(s, OPT_CURVE_SECRETKEY, secret_key, 32);
        set_bytes(s, OPT_CURVE_SERVERKEY, w.public_key, 32);
    }
}

static void choose_options(struct member *m)
{
    struct scene *c = m->scene;
    fmq_socket *s = m->socket;
    int type = m->sends ? c->send_type : c->recv_type;
    set(s, OPT_SNDHWM, c->sndhwm);
    set(s, OPT_RCVHWM, c->rcvhwm);
    set(s, OPT_LINGER, faulty() ? (int)sim_below(2) * (int)sim_below(300) : -1);
    set(s, OPT_SPIN_US, sim_chance(500) ? 0 : 50);
    set(s, OPT_RECONNECT_IVL, 1 + (int)sim_below(100));
    if (sim_chance(300))
        set(s, OPT_RECONNECT_IVL_MAX, 1 + (int)sim_below(500));
    if (sim_chance(200)) {
        set(s, OPT_HEARTBEAT_IVL, 50 + (int)sim_below(300));
        set(s, OPT_HEARTBEAT_TIMEOUT, faulty() ? 50 + (int)sim_below(300) : 400);
        if (sim_chance(300))
            set(s, OPT_HEARTBEAT_TTL, faulty() ? 100 + (int)sim_below(500) : 1000);
    }
    set(s, OPT_HANDSHAKE_IVL, faulty() ? 100 + (int)sim_below(2000) : 30000);
    if (faulty())
        set(s, OPT_CONNECT_TIMEOUT, 50 + (int)sim_below(1000));
    if (faulty() && sim_chance(200))
        set(s, OPT_IMMEDIATE, 1);
    if (c->conflate)
        set(s, OPT_CONFLATE, 1);
    if (type == FMQ_ROUTER)
        set(s, OPT_ROUTER_MANDATORY, 1);
    if (type == FMQ_XPUB && c->exact && c->sndhwm)
        set(s, OPT_XPUB_NODROP, 1);
    if (type == FMQ_REQ && (faulty() || sim_chance(500)))
        set(s, OPT_REQ_CORRELATE, 1);
    if (type == FMQ_REQ && faulty())
        set(s, OPT_REQ_RELAXED, 1);
    if (type == FMQ_SUB) {
        int rc;
        while ((rc = fmq_set_bytes(s, OPT_SUBSCRIBE, &m->topic, m->topic != 0)) != 0 &&
               again(rc, "subscribe"))
            ;
    }
    choose_security(m);
}

static void subscribe_xsub(struct member *m)
{
    uint8_t text[2] = {1, m->topic};
    struct msg v;
    int rc = msg_init_copy(&v, text, 1u + (m->topic != 0));
    while (rc || (rc = fmq_send(m->socket, &v, 1, false, 100)) != 0) {
        if (!again(rc, "subscribe")) {
            msg_drop(&v);
            return;
        }
        msg_drop(&v);
        rc = msg_init_copy(&v, text, 1u + (m->topic != 0));
    }
}

static void name_for(const struct scene *c, unsigned nth, bool to_connect, char *out, size_t size)
{
    unsigned where = c->index * 10 + nth;
    if (strcmp(c->transport, "tcp") == 0)
        snprintf(out, size, "tcp://%s:%u",
                 to_connect && c->index % 2 && nth % 2 ? "peer.sim" : "127.0.0.1", 5000 + where);
    else if (strcmp(c->transport, "ipc") == 0)
        snprintf(out, size, "ipc://@sim%u", where);
    else
        snprintf(out, size, "inproc://sim%u", where);
}

static bool try_bind(struct member *m)
{
    int rc;
    while ((rc = fmq_bind(m->socket, m->name)) != 0) {
        if (!again(rc, "bind"))
            return false;
    }
    return true;
}

static bool open_member(struct member *m)
{
    struct scene *c = m->scene;
    int rc;
    while ((rc = fmq_socket_new(w.contexts[m->context], m->sends ? c->send_type : c->recv_type,
                                &m->socket)) != 0) {
        if (!again(rc, "a socket"))
            return false;
    }
    choose_options(m);
    if (m->binds) {
        name_for(c, m->index, false, m->name, sizeof(m->name));
        if (!try_bind(m))
            return true;
    } else {
        for (unsigned i = 0; i < opposite(c, m->sends); i++) {
            char name[64];
            name_for(c, i, true, name, sizeof(name));
            while ((rc = fmq_connect(m->socket, name)) != 0 && again(rc, "connect"))
                ;
        }
    }
    if (!m->sends && c->recv_type == FMQ_XSUB)
        subscribe_xsub(m);
    return true;
}

static void start_threads(struct member *m)
{
    struct scene *c = m->scene;
    for (unsigned i = 0; i < m->threads; i++) {
        struct worker *t = &w.workers[w.worker_count++];
        t->member = m;
        t->source = m->sends ? m->index * m->threads + i : 0;
        void (*fn)(void *) =
            c->pattern == ECHO ? (m->sends ? client : server) : (m->sends ? sender : receiver);
        char name[16];
        snprintf(name, sizeof(name), "%u.%s", c->index,
                 type_names[m->sends ? c->send_type : c->recv_type]);
        thread_start(&t->thread, fn, t, name);
    }
}

static void draw_knobs(void)
{
    static const uint32_t means[] = {3, 10, 30, 100, 500, 3000};
    bool prompt = w.weather == PROMPT;
    sim_knobs.preempt_mean = means[sim_below(6)];
    sim_knobs.starve = sim_chance(500) ? sim_below(200) : 0;
    sim_knobs.starve_max_ns = prompt ? NS_PER_MS : 5 * NS_PER_MS;
    sim_knobs.latency_max_ns =
        prompt ? sim_rand() % (100 * NS_PER_US) : sim_rand() % (3 * NS_PER_MS);
    sim_knobs.partial = sim_chance(500) ? sim_below(500) : 0;
    sim_knobs.spurious = sim_chance(500) ? sim_below(100) : 0;
    sim_knobs.eintr = sim_chance(300) ? sim_below(100) : 0;
    static const size_t buffers[] = {500, 5000, 50000, 1000000};
    sim_knobs.buffer_max = buffers[prompt ? 2 + sim_below(2) : sim_below(4)];
    if (sim_knobs.buffer_max < 50000) /* or large messages take their time */
        sim_knobs.latency_max_ns /= 20;
    w.large = w.weather != PROMPT && sim_knobs.buffer_max > 5000 && sim_chance(300);
}

static void draw_scene(unsigned index)
{
    struct scene *c = &w.scenes[index];
    c->index = index;
    uint32_t kind = sim_below(10);
    c->pattern = kind < 5 ? FLOW : kind < 7 ? FAN : ECHO;
    uint32_t way = sim_below(4);
    static const char *const transports[] = {"tcp", "ipc", "inproc"};
    c->transport = transports[sim_below(3)];
    uint32_t m = sim_below(6);
    c->mechanism = m < 4 ? PLAIN_NULL : m == 4 ? PLAIN : CURVE;
    c->senders_bind = sim_chance(500);
    static const int marks[] = {0, 1, 2, 3, 10, 1000};
    c->sndhwm = marks[sim_below(6)];
    c->rcvhwm = marks[sim_below(6)];
    c->senders = 1 + sim_below(2);
    c->receivers = 1 + sim_below(2);
    c->numbers = 5 + sim_below(60);
    c->window = 1;
    c->exact = !faulty();
    unsigned send_threads = 1 + sim_chance(250), recv_threads = 1 + sim_chance(250);
    switch (c->pattern) {
    case FLOW:
        c->send_type = way < 2 ? FMQ_PUSH : way == 2 ? FMQ_DEALER : FMQ_PAIR;
        c->recv_type = way < 2 ? FMQ_PULL : c->send_type;
        if (c->send_type == FMQ_PAIR)
            c->senders = c->receivers = 1;
        c->conflate = way == 0 && sim_chance(150);
        if (c->conflate)
            c->senders = c->receivers = send_threads = recv_threads = 1;
        break;
    case FAN:
        c->send_type = way & 1 ? FMQ_PUB : FMQ_XPUB;
        c->recv_type = way & 2 ? FMQ_SUB : FMQ_XSUB;
        send_threads = recv_threads = 1;
        if (c->send_type == FMQ_PUB)
            c->sndhwm = 0; /* or it drops */
        break;
    default:
        c->send_type = way & 1 ? FMQ_REQ : FMQ_DEALER;
        c->recv_type = way & 2 ? FMQ_REP : FMQ_ROUTER;
        send_threads = recv_threads = 1;
        if (c->send_type == FMQ_DEALER)
            c->window = 1 + sim_below(8);
        /* Two that both wait for room at the other are the program's own fault. */
        for (int k = 0; k < 2 && w.weather == PROMPT; k++) {
            unsigned mark = (unsigned)(k ? c->sndhwm : c->rcvhwm);
            c->window = mark && mark < c->window ? mark : c->window;
        }
        if (c->recv_type == FMQ_REP)
            c->sndhwm = 0; /* or it drops */
    }
    c->source_count = c->senders * send_threads;
    for (unsigned i = 0; i < c->senders + c->receivers; i++) {
        struct member *b = &c->members[c->member_count++];
        b->scene = c;
        b->sends = i < c->senders;
        b->index = b->sends ? i : i - c->senders;
        b->binds = b->sends == c->senders_bind;
        b->threads = b->sends ? send_threads : recv_threads;
        b->context = strcmp(c->transport, "inproc") == 0 ? index % w.context_count
                                                         : sim_below(w.context_count);
        b->topic =
            c->pattern == FAN && !b->sends && sim_chance(500) ? (uint8_t)('a' + sim_below(3)) : 0;
        if (c->mechanism == PLAIN && b->binds)
            w.has_zap[b->context] = true;
    }
    size_t at = strlen(about);
    snprintf(about + at, sizeof(about) - at, ", %u %s > %u %s %s %s hwm %d/%d%s", c->senders,
             type_names[c->send_type], c->receivers, type_names[c->recv_type], c->transport,
             mechanism_names[c->mechanism], c->sndhwm, c->rcvhwm, c->conflate ? " conflate" : "");
}

/* ---- what is looked at from outside ---- */

static void check_marks(const struct member *m)
{
    const struct scene *c = m->scene;
    struct fmq_peer rows[8];
    if (c->pattern == FAN || c->conflate)
        return; /* subscriptions are no messages; the newest is all that is kept */
    bool inproc = strcmp(c->transport, "inproc") == 0;
    uint64_t out = (uint64_t)c->sndhwm, in = (uint64_t)c->rcvhwm;
    if (inproc)
        out = in = out && in ? out + in : 0;
    int n = fmq_peers(m->socket, rows, 8);
    for (int i = 0; i < n && i < 8; i++) {
        if (out && rows[i].count.queued_to_send > out)
            sim_fail("%llu messages are queued to be sent, SNDHWM allows %llu",
                     (unsigned long long)rows[i].count.queued_to_send, (unsigned long long)out);
        if (in && rows[i].count.queued_to_recv > in)
            sim_fail("%llu messages are queued to be received, RCVHWM allows %llu",
                     (unsigned long long)rows[i].count.queued_to_recv, (unsigned long long)in);
    }
}

static struct member *any_member(void)
{
    struct scene *c = &w.scenes[sim_below(w.scene_count)];
    struct member *m = &c->members[sim_below(c->member_count)];
    return m->socket && !m->closed ? m : NULL;
}

static void watcher(void *arg)
{
    (void)arg;
    if (w.weather == PROMPT && sim_chance(700)) /* whoever looks in may wake somebody up */
        return;
    uint64_t pace = sim_chance(500) ? 200 * NS_PER_US : 5 * NS_PER_MS;
    while (!w.over) {
        struct member *m = any_member();
        if (m) {
            check_marks(m);
            if (sim_chance(200) && m->scene->pattern != ECHO)
                fmq_events(m->socket);
            if (sim_chance(100))
                fmq_flush(m->socket);
        }
        sim_sleep(sim_rand() % pace);
    }
}

/* ---- misfortunes ---- */

/* Somebody who connects, talks nonsense or stops in the middle of its greeting, and goes. */
static void stranger(void)
{
    static const uint8_t greeting[] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                       1,    0x7f, 3, 1, 'N', 'U', 'L', 'L'};
    struct member *m = any_member();
    if (!m || !m->binds || strncmp(m->name, "tcp", 3) != 0)
        return;
    struct net_addr to;
    uint16_t port = (uint16_t)(5000 + m->scene->index * 10 + m->index);
    if (net_resolve("127.0.0.1", port, false, true, &to, 1) != 1)
        return;
    int fd = net_socket(AF_INET, SOCK_STREAM);
    if (fd < 0)
        return;
    net_connect(fd, &to);
    sim_sleep(5 * NS_PER_MS);
    if (net_connect(fd, &to) == 1) {
        uint8_t noise[64];
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t)sim_rand();
        /* Nonsense without a signature would be a message from a ZMTP 1.0 peer. */
        bool polite = sim_chance(600);
        memcpy(noise, greeting, polite ? sizeof(greeting) : 11);
        net_send(fd, noise, polite ? 1 + sim_below(sizeof(greeting)) : sizeof(noise));
        sim_sleep(sim_rand() % (50 * NS_PER_MS));
    }
    net_close(fd);
}

static void come_and_go(void)
{
    struct member *m = any_member();
    if (!m)
        return;
    int rc;
    /* Over inproc nobody connects again by himself, and a PAIR takes one peer after the other. */
    if (strcmp(m->scene->transport, "inproc") == 0 && (m->binds || m->scene->send_type == FMQ_PAIR))
        return;
    if (m->binds) {
        if (fmq_unbind(m->socket, m->name) != 0)
            return;
        sim_sleep(sim_rand() % (30 * NS_PER_MS));
        try_bind(m);
        return;
    }
    char name[64];
    name_for(m->scene, sim_below(opposite(m->scene, m->sends)), true, name, sizeof(name));
    if (fmq_disconnect(m->socket, name) != 0)
        return;
    sim_sleep(sim_rand() % (30 * NS_PER_MS));
    while ((rc = fmq_connect(m->socket, name)) != 0 && again(rc, "connect"))
        ;
}

static void befall(void)
{
    switch (sim_below(9)) {
    case 0:
    case 1:
        sim_net_reset_one();
        break;
    case 2:
        sim_net_stall_one(sim_rand() % (2 * NS_PER_S));
        break;
    case 3:
        sim_knobs.no_fds = sim_below(2) * sim_below(600);
        break;
    case 4:
        sim_knobs.refuse = sim_below(2) * sim_below(600);
        break;
    case 5:
        sim_knobs.unheard = sim_below(2) * sim_below(300);
        break;
    case 6:
        if (sim_chance(200)) {
            uint64_t ns = sim_rand() % (5 * NS_PER_S);
            sim_event("suspend", ns, 0);
            sim_suspend(ns);
        }
        break;
    case 7:
        stranger();
        break;
    default:
        if (w.weather != ABORT)
            come_and_go();
        else if (sim_chance(300)) {
            struct member *m = any_member();
            if (m)
                fmq_close(m->socket);
        }
    }
    if (w.weather == HUNGER && sim_chance(700)) {
        long nth = 1 + (long)sim_below(sim_chance(500) ? 10 : 200);
        sim_event("starve", (uint64_t)nth, 0);
        mem_fail_at(nth);
    }
}

static void fate(void *arg)
{
    (void)arg;
    uint64_t end = sim_now() + 20 * NS_PER_MS + sim_rand() % (2 * NS_PER_S);
    if (w.weather == PROMPT && sim_chance(700)) /* whoever looks in may wake somebody up */
        return;
    uint64_t pace = sim_chance(500) ? 5 * NS_PER_MS : 100 * NS_PER_MS;
    while (sim_now() < end && !w.over) {
        sim_sleep(sim_rand() % pace);
        befall();
    }
    sim_knobs.no_fds = sim_knobs.refuse = sim_knobs.unheard = 0;
    mem_fail_at(0);
    if (w.weather == ABORT) {
        for (unsigned i = 0; i < w.context_count; i++) {
            sim_event("shutdown", i, 0);
            fmq_ctx_shutdown(w.contexts[i]);
        }
    }
    sim_event("healed", 0, 0);
    sim_set_limit(sim_now() + HEALED_LIMIT_NS);
    w.healed = true;
}

/* ---- the end ---- */

static void end_member(struct member *m)
{
    if (m->socket && !m->closed && sim_chance(500))
        fmq_close(m->socket);
    if (m->socket)
        fmq_socket_free(m->socket);
    m->socket = NULL;
}

static void end_context(unsigned nth)
{
    /* All that was sent has come, or LINGER is short: nothing keeps it. */
    uint64_t start = sim_now(), limit = start + 2 * NS_PER_S;
    int rc;
    while ((rc = fmq_ctx_term(w.contexts[nth], left_ms(limit))) == -EINTR)
        ;
    if (rc) {
        struct fmq_pending rows[8];
        int n = fmq_ctx_pending(w.contexts[nth], rows, 8);
        for (int i = 0; i < n && i < 8; i++)
            fprintf(stderr, "type %s, %s, %llu messages, %s\n", type_names[rows[i].type],
                    rows[i].open ? "open" : "closed", (unsigned long long)rows[i].messages,
                    rows[i].endpoint);
        sim_fail("the context does not end: %s", fmq_strerror(-rc));
    }
    fmq_ctx_free(w.contexts[nth]);
}

uint64_t sim_world_run(uint64_t seed, bool verbose)
{
    static const enum weather weathers[] = {CALM,  CALM,  PROMPT, PROMPT, PROMPT,
                                            STORM, STORM, HUNGER, HUNGER, ABORT};
    fmq_setup();
    fake_crypto_set();
    sim_begin(seed, verbose);
    memset(&w, 0, sizeof(w));
    fake_state = sim_rand();
    fake_keypair(w.public_key, w.secret_key);
    long live = mem_live();
    w.weather = weathers[sim_below(10)];
    w.salt = sim_rand();
    w.context_count = 1 + sim_below(CONTEXTS_MAX);
    w.scene_count = 1 + sim_below(SCENES_MAX);
    draw_knobs();
    snprintf(about, sizeof(about), "%s%s, %u contexts", weather_names[w.weather],
             w.large ? " large" : "", w.context_count);
    for (unsigned i = 0; i < w.scene_count; i++)
        draw_scene(i);
    sim_say("%s", about);
    if (!faulty())
        sim_set_limit(sim_now() + CALM_LIMIT_NS);

    static unsigned numbers[CONTEXTS_MAX];
    for (unsigned i = 0; i < w.context_count; i++) {
        if (fmq_ctx_new(&w.contexts[i]))
            sim_fail("no context");
        fmq_ctx_set(w.contexts[i], 1, 1 + (int)sim_below(2));
        numbers[i] = i;
        if (w.has_zap[i])
            thread_start(&w.zap[i], zap_handler, &numbers[i], "zap");
    }
    thread_start(&w.watcher, watcher, NULL, "watcher");
    if (faulty())
        thread_start(&w.fate, fate, NULL, "fate");
    for (;;) {
        struct member *left[SCENES_MAX * SOCKETS_MAX];
        uint32_t n = 0;
        for (unsigned i = 0; i < w.scene_count; i++) {
            for (unsigned k = 0; k < w.scenes[i].member_count; k++) {
                if (!w.scenes[i].members[k].scene->members[k].name[1])
                    left[n++] = &w.scenes[i].members[k];
            }
        }
        if (!n)
            break;
        struct member *m = left[sim_below(n)];
        memcpy(m->name, "-?", 3); /* its turn has come */
        if (sim_chance(300))
            sim_sleep(sim_rand() % (20 * NS_PER_MS));
        if (open_member(m))
            start_threads(m);
        else
            for (unsigned i = 0; m->sends && i < m->threads; i++)
                m->scene->sources[m->index * m->threads + i].done = true;
    }
    for (unsigned i = 0; i < w.worker_count; i++) {
        struct worker *t = &w.workers[i];
        thread_join(&t->thread);
        for (unsigned k = 0; k < t->order_count; k++)
            meta_unref(t->orders[k].meta);
    }
    w.over = true;
    thread_join(&w.watcher);
    if (faulty())
        thread_join(&w.fate);
    for (unsigned i = 0; i < w.context_count; i++) {
        if (w.has_zap[i])
            thread_join(&w.zap[i]);
    }
    for (unsigned i = 0; i < w.scene_count; i++) {
        for (unsigned k = 0; k < w.scenes[i].member_count; k++)
            end_member(&w.scenes[i].members[k]);
    }
    for (unsigned i = 0; i < w.context_count; i++)
        end_context(i);
    if (mem_live() != live)
        sim_fail("%ld allocations are left over", mem_live() - live);
    return sim_end(w.hubs);
}
