/* SPDX-License-Identifier: MIT */
/* What the threads of the simulated world's programs do: see sim_world.h. */
#include <errno.h>

#include "os/poller.h"
#include "sim.h"
#include "sim_world.h"

/* ---- calls that may be interrupted or tried again ---- */

bool call_again(int rc, const char *what)
{
    if (rc == -EINTR)
        return true;
    if (rc == -FMQ_ETERM || rc == -ENOTSOCK) {
        if (world.profile != ABORT)
            sim_fail("%s: %s", what, fmq_strerror(-rc));
        return false;
    }
    if (!world_faulty())
        sim_fail("%s: %s", what, fmq_strerror(-rc));
    sim_sleep(NS_PER_MS + sim_rand() % (10 * NS_PER_MS));
    return true;
}

int left_ms(uint64_t until)
{
    uint64_t now = sim_now();
    return now >= until ? 0 : (int)((until - now + NS_PER_MS - 1) / NS_PER_MS);
}

/* ---- sending ---- */

/* Part by part, as the program's SNDMORE does. */
static int send_in_parts(fmq_socket *s, const struct header *h, int timeout_ms)
{
    for (unsigned i = 0; i < h->parts; i++) {
        struct msg m;
        bool more = i + 1 < h->parts;
        int rc;
        while ((rc = message_part(&m, h, i)) != 0 && i) /* it cannot be left without its end */
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
        rc = message_part(&v[n], h, i);
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
    struct header h = message_header(c, source, number);
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
        if (world.profile == BOUNDED_LATENCY && c->pattern == FLOW && start > c->up_at &&
            c->up_at && sim_now() > start + LATENCY_BOUND_NS)
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
        if (rc == 0 && t->waiting == IN_ADAPTER) {
            rc = fmq_loop_new(&t->adapter);
            world.adapters++; /* even if it lacks a descriptor */
            if (rc == 0 && (rc = poller_add(t->loop, fmq_loop_fd(t->adapter), POLLER_IN, t)) != 0)
                fmq_loop_free(t->adapter);
            if (rc)
                poller_destroy(t->loop);
        }
    }
    if (rc)
        t->waiting = IN_CALLS;
    static const char *const names[] = {"in calls", "in a poll set", "on a descriptor",
                                        "in a loop adapter"};
    sim_say("waits %s", names[t->waiting]);
}

static void end_waiting(struct worker *t)
{
    fmq_socket *s = t->member->socket;
    int fd;
    if (t->waiting == IN_POLLSET)
        fmq_pollset_free(t->set);
    if (t->waiting == IN_ADAPTER) {
        poller_del(t->loop, fmq_loop_fd(t->adapter));
        fmq_loop_free(t->adapter);
    }
    if (t->waiting == ON_DESCRIPTOR && t->watched >= 0) {
        poller_del(t->loop, t->watched);
        fmq_watch(s, 0, &fd);
    }
    if (t->waiting == ON_DESCRIPTOR || t->waiting == IN_ADAPTER)
        poller_destroy(t->loop);
}

/* Waits as an event loop does. 1: a receive is worth a try; 0: the time is over. */
static int wait_in_loop(struct worker *t, int timeout_ms)
{
    fmq_socket *s = t->member->socket;
    struct poller_event event;
    void *ready[4];
    int fd, rc;
    if (t->waiting == IN_ADAPTER) {
        rc = fmq_loop_watch(t->adapter, s, FMQ_POLLIN, t);
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
    if (t->waiting == IN_ADAPTER && (rc = fmq_loop_wait(t->adapter, ready, 4)) <= 0)
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
    if (way == 2 && m->threads == 1) /* the rest is anybody's */
        return receive_by_part(s, p, meta, timeout_ms);
    return fmq_recv(s, p, meta, timeout_ms);
}

/* Long enough for a wake-up to be missed where that is looked for. */
static int some_timeout(uint32_t max_ms)
{
    return world.profile == BOUNDED_LATENCY ? 300 + (int)sim_below(700) : (int)sim_below(max_ms);
}

static bool wants(const struct scene *c, const struct member *sink, unsigned source, uint32_t n)
{
    struct header h = message_header(c, source, n);
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

void thread_receiver(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    choose_waiting(t);
    bool slow = world.profile != BOUNDED_LATENCY && sim_chance(400);
    t->wait_from = sim_now();
    while (!complete(c, m)) {
        struct parts p;
        struct meta *meta;
        parts_init(&p);
        int rc = receive(t, &p, &meta, some_timeout(200));
        if (rc == 0)
            message_came(t, p.v, p.len, meta, c->pattern == FAN ? m->index : 0, true);
        parts_fini(&p);
        meta_unref(meta);
        if (rc && rc != -EAGAIN && !call_again(rc, "recv"))
            break;
        if (slow && sim_chance(200))
            sim_sleep(sim_rand() % (4 * NS_PER_MS));
    }
    end_waiting(t);
}

/* ---- the threads that send ---- */

/* Where nothing breaks all connections come to stand, and then it counts how long things take. */
static void wait_until_up(struct member *m)
{
    struct scene *c = m->scene;
    if (world_faulty())
        return;
    uint32_t wanted = scene_opposite(c, m->sends);
    if (c->pattern == FAN) {
        int rc;
        for (char topic = 'a'; topic <= 'c'; topic++) {
            uint32_t n = 0;
            for (unsigned i = 0; i < c->member_count; i++) {
                const struct member *r = &c->members[i];
                n += !r->sends && (!r->topic || r->topic == topic);
            }
            while ((rc = fmq_wait_subscribers(m->socket, &topic, 1, n, 1000)) < 0)
                if (rc != -EAGAIN && !call_again(rc, "wait for subscribers"))
                    return;
        }
    }
    for (;;) {
        struct fmq_socket_stats stats;
        int rc = fmq_stats(m->socket, &stats);
        if (rc && !call_again(rc, "stats"))
            return;
        if (rc == 0 && stats.peers >= wanted)
            break;
        sim_sleep(NS_PER_MS);
    }
    c->up_at = sim_now();
}

/* Whether to go on: a fixed number of messages, or until one got through after the faults. */
static bool has_more(struct scene *c, unsigned source, unsigned slots)
{
    struct source *from = &c->sources[source];
    if (from->sent >= NUMBERS_MAX - 1)
        sim_fail("source %u of scene %u has sent %u messages and none got through", source,
                 c->index, from->sent);
    if (!world_faulty())
        return from->sent < c->numbers;
    if (world.profile == ABORT)
        return true;
    if (!world.healed)
        return true;
    /* Within a process nobody connects again by himself, so one failure may be for ever. */
    if (world.profile == RESOURCES && strcmp(c->transport, "inproc") == 0)
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
    if (world_faulty()) { /* so that the numbers last */
        sim_sleep((world.healed ? 60 : 1) * NS_PER_MS + sim_rand() % (20 * NS_PER_MS));
        return;
    }
    if (c->index % 2 ? sim_chance(100) : sim_chance(600))
        sim_sleep(sim_rand() % (3 * NS_PER_MS));
}

void thread_sender(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    struct source *me = &c->sources[t->source];
    if (world.profile == BOUNDED_LATENCY || c->pattern == FAN || sim_chance(500))
        wait_until_up(m);
    while (has_more(c, t->source, c->pattern == FAN ? c->receivers : 1)) {
        uint32_t number = me->sent + 1;
        int rc = send_number(m, t->source, number, 20 + (int)sim_below(500));
        if (rc == 0 || (rc != -EAGAIN && world_faulty()))
            me->sent = number; /* after other failures nobody can tell */
        if (rc && rc != -EAGAIN && !call_again(rc, "send"))
            break;
        pause_between(c);
    }
    me->done = true;
    if (!world_faulty() && m->threads == 1 && sim_chance(500)) {
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

void thread_server(void *arg)
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
            message_came(t, p.v + skip, p.len - skip, NULL, 0, false);
            /* Many copies may be there whose asker is gone. */
            bool copies = c->resend && world_faulty();
            uint64_t until = sim_now() + (copies ? 10 * NS_PER_MS : 2 * NS_PER_S);
            do {
                rc = fmq_send(m->socket, p.v, p.len, false, left_ms(until));
                if (rc == -ENOMEM)
                    sim_sleep(NS_PER_MS);
            } while (rc == -EINTR || rc == -ENOMEM || (rc == -EAGAIN && !world_faulty()));
            if (rc == 0)
                p.len = 0;
            if ((rc == -EHOSTUNREACH || rc == -EAGAIN) && world_faulty())
                rc = 0;
        }
        parts_fini(&p);
        if (rc == -FMQ_EFSM && world_faulty()) { /* a question was lost for want of memory */
            struct msg any;
            msg_init(&any);
            fmq_send(m->socket, &any, 1, false, 0);
            continue;
        }
        if (rc && rc != -EAGAIN && !call_again(rc, "serve"))
            break;
    }
    end_waiting(t);
}

void thread_client(void *arg)
{
    struct worker *t = arg;
    struct member *m = t->member;
    struct scene *c = m->scene;
    struct source *me = &c->sources[t->source];
    unsigned out = 0;
    bool req = c->send_type == FMQ_REQ;
    choose_waiting(t);
    if (world.profile == BOUNDED_LATENCY || sim_chance(500))
        wait_until_up(m);
    while (out || has_more(c, t->source, 2)) {
        int rc = 0;
        if (out < c->window && has_more(c, t->source, 2)) {
            uint32_t number = me->sent + 1;
            rc = send_number(m, t->source, number, 20 + (int)sim_below(500));
            if (rc == 0 || (rc != -EAGAIN && world_faulty()))
                me->sent = number;
            if (rc == 0)
                out++;
            else if (rc != -EAGAIN && !call_again(rc, "ask"))
                break;
            if (out < c->window && sim_chance(500))
                continue;
        }
        if (!out) {
            if (world_faulty())
                pause_between(c);
            continue;
        }
        struct parts p;
        struct meta *meta;
        parts_init(&p);
        uint64_t start = sim_now();
        do {
            rc = receive(t, &p, &meta, world_faulty() ? 20 + (int)sim_below(200) : 500);
        } while (rc == -EINTR);
        uint32_t skip = 0;
        while (rc == 0 && skip < p.len && msg_size(&p.v[skip]) == 0)
            skip++;
        if (rc == 0 && skip == p.len && world_faulty()) {
            out--; /* the question was lost: see server() */
        } else if (rc == 0) {
            struct header h = message_came(t, p.v + skip, p.len - skip, NULL, 1,
                                           c->receivers == 1 && !world_faulty());
            if (h.source != t->source)
                sim_fail("the answer to source %u came to source %u", h.source, t->source);
            if (req && h.number != me->sent)
                sim_fail("the answer to question %u came to question %u", h.number, me->sent);
            if (world.profile == BOUNDED_LATENCY && sim_now() > start + LATENCY_BOUND_NS)
                sim_fail("the answer to question %u of source %u took %.3f ms", h.number, t->source,
                         (double)(sim_now() - start) / 1e6);
            out--;
        }
        parts_fini(&p);
        meta_unref(meta);
        if (rc == -EAGAIN && world_faulty()) {
            out = c->insists ? out : 0;
            pause_between(c);
        } else if (rc == -EAGAIN) {
            if (world.profile == BOUNDED_LATENCY && sim_now() > start + LATENCY_BOUND_NS)
                sim_fail("no answer came to question %u of source %u", me->sent, t->source);
        } else if (rc && !call_again(rc, "hear")) {
            break;
        }
        if (world_faulty())
            pause_between(c);
    }
    me->done = true;
    end_waiting(t);
}
