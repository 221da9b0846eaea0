/* SPDX-License-Identifier: MIT */
/* Makes a world of a seed, injects faults and ends it: see sim_world.h. */
#include "sim_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "fake_crypto.h"
#include "os/net.h"
#include "os/pages.h"
#include "pipe/option_ids.h"
#include "sim.h"

#define UNBROKEN_LIMIT_NS (60 * NS_PER_S)
#define OPT_SHM_CONNECTIONS 10021
#define OPT_SHM_ARENA_BYTES 10022
#define HEALED_LIMIT_NS (120 * NS_PER_S)

struct world world;

static const char *const profile_names[] = {"none", "bounded latency", "network", "resources",
                                            "abort"};
static const char *const type_names[] = {"PAIR",   "PUB",    "SUB",    "REQ",  "REP",    "DEALER",
                                         "ROUTER", "PULL",   "PUSH",   "XPUB", "XSUB",   "STREAM",
                                         "SERVER", "CLIENT", "RADIO",  "DISH", "GATHER", "SCATTER",
                                         "DGRAM",  "PEER",   "CHANNEL"};
static const char *const mechanism_names[] = {"null", "plain", "curve"};

static char about[512];

const char *sim_world_about(void)
{
    return about;
}

static void set(fmq_socket *s, int option, int64_t value)
{
    int rc;
    while ((rc = fmq_set_int(s, option, value)) != 0 && call_again(rc, "set an option"))
        ;
}

static void set_bytes(fmq_socket *s, int option, const void *value, size_t len)
{
    int rc;
    while ((rc = fmq_set_bytes(s, option, value, len)) != 0 && call_again(rc, "set an option"))
        ;
}

/* ---- who may come in ---- */

static void zap_handler(void *arg)
{
    unsigned nth = *(unsigned *)arg;
    fmq_socket *s;
    int rc;
    while ((rc = fmq_socket_new(world.contexts[nth], FMQ_REP, &s)) != 0)
        if (!call_again(rc, "the handler's socket"))
            return;
    set(s, OPT_LINGER, 0);
    while ((rc = fmq_bind(s, "inproc://zeromq.zap.01")) != 0 && call_again(rc, "bind the handler"))
        ;
    while (!world.over) {
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
        } else if (rc && rc != -EAGAIN && rc != -EINTR && !call_again(rc, "judge")) {
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
        set_bytes(s, OPT_CURVE_SECRETKEY, world.secret_key, 32);
    } else if (c->mechanism == CURVE) {
        uint8_t public_key[32], secret_key[32];
        fake_keypair(public_key, secret_key);
        set_bytes(s, OPT_CURVE_PUBLICKEY, public_key, 32);
        set_bytes(s, OPT_CURVE_SECRETKEY, secret_key, 32);
        set_bytes(s, OPT_CURVE_SERVERKEY, world.public_key, 32);
    }
}

static void choose_options(struct member *m)
{
    struct scene *c = m->scene;
    fmq_socket *s = m->socket;
    int type = m->sends ? c->send_type : c->recv_type;
    bool shm = c->shm == SHM_BOTH || (c->shm == SHM_SOME && sim_chance(500));
    set(s, OPT_SHM, shm ? 1 + sim_chance(500) : 0);
    set(s, OPT_SNDHWM, c->sndhwm);
    set(s, OPT_RCVHWM, c->rcvhwm);
    set(s, OPT_LINGER, world_faulty() ? (int)sim_below(2) * (int)sim_below(300) : -1);
    set(s, OPT_SPIN_US, sim_chance(500) ? 0 : 50);
    set(s, OPT_RECONNECT_IVL, 1 + (int)sim_below(100));
    if (sim_chance(300))
        set(s, OPT_RECONNECT_IVL_MAX, 1 + (int)sim_below(500));
    /* Who is full before it has learned how often its peer asks cannot tell it that it lives. */
    bool may_fill = c->rcvhwm > 0 && c->rcvhwm < 1000;
    if (sim_chance(200) && (world_faulty() || !may_fill)) {
        set(s, OPT_HEARTBEAT_IVL, 50 + (int)sim_below(300));
        /* A PING waits behind what is encrypted already, and buffers may be small. */
        set(s, OPT_HEARTBEAT_TIMEOUT, world_faulty() ? 50 + (int)sim_below(300) : 4000);
        if (sim_chance(300))
            set(s, OPT_HEARTBEAT_TTL, world_faulty() ? 100 + (int)sim_below(500) : 1000);
    }
    /* Where nothing goes wrong none is needed, and one would hide a handshake that got stuck. */
    set(s, OPT_HANDSHAKE_IVL, world_faulty() ? 100 + (int)sim_below(2000) : 0);
    if (world_faulty())
        set(s, OPT_CONNECT_TIMEOUT, 50 + (int)sim_below(1000));
    if (world_faulty() && sim_chance(200))
        set(s, OPT_IMMEDIATE, 1);
    if (c->conflate)
        set(s, OPT_CONFLATE, 1);
    if (type == FMQ_ROUTER)
        set(s, OPT_ROUTER_MANDATORY, 1);
    if (type == FMQ_XPUB && c->exact && c->sndhwm)
        set(s, OPT_XPUB_NODROP, 1);
    if (type == FMQ_REQ && c->resend)
        set(s, OPT_REQ_RESEND_IVL, c->resend);
    else if (type == FMQ_REQ && (world_faulty() || sim_chance(500)))
        set(s, OPT_REQ_CORRELATE, 1);
    if (type == FMQ_REQ && world_faulty() && !c->insists)
        set(s, OPT_REQ_RELAXED, 1);
    if (type == FMQ_SUB) {
        int rc;
        while ((rc = fmq_set_bytes(s, OPT_SUBSCRIBE, &m->topic, m->topic != 0)) != 0 &&
               call_again(rc, "subscribe"))
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
        if (!call_again(rc, "subscribe")) {
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
    if (strcmp(c->transport, "tcp") == 0 || strcmp(c->transport, "ws") == 0)
        snprintf(out, size, "%s://%s:%u", c->transport,
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
        if (!call_again(rc, "bind"))
            return false;
    }
    return true;
}

static bool open_member(struct member *m)
{
    struct scene *c = m->scene;
    int rc;
    while ((rc = fmq_socket_new(world.contexts[m->context], m->sends ? c->send_type : c->recv_type,
                                &m->socket)) != 0) {
        if (!call_again(rc, "a socket"))
            return false;
    }
    choose_options(m);
    if (m->binds) {
        name_for(c, m->index, false, m->name, sizeof(m->name));
        if (!try_bind(m))
            return true;
    } else {
        for (unsigned i = 0; i < scene_opposite(c, m->sends); i++) {
            char name[64];
            name_for(c, i, true, name, sizeof(name));
            while ((rc = fmq_connect(m->socket, name)) != 0 && call_again(rc, "connect"))
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
        struct worker *t = &world.workers[world.worker_count++];
        t->member = m;
        t->source = m->sends ? m->index * m->threads + i : 0;
        void (*fn)(void *) = c->pattern == ECHO ? (m->sends ? thread_client : thread_server)
                                                : (m->sends ? thread_sender : thread_receiver);
        char name[16];
        snprintf(name, sizeof(name), "%u.%s", c->index,
                 type_names[m->sends ? c->send_type : c->recv_type]);
        thread_start(&t->thread, fn, t, name);
    }
}

static void draw_knobs(void)
{
    static const uint32_t means[] = {3, 10, 30, 100, 500, 3000};
    bool bounded = world.profile == BOUNDED_LATENCY;
    sim_knobs.preempt_mean = means[sim_below(6)];
    sim_knobs.starve = sim_chance(500) ? sim_below(200) : 0;
    sim_knobs.starve_max_ns = bounded ? NS_PER_MS : 5 * NS_PER_MS;
    sim_knobs.latency_max_ns =
        bounded ? sim_rand() % (100 * NS_PER_US) : sim_rand() % (3 * NS_PER_MS);
    sim_knobs.partial = sim_chance(500) ? sim_below(500) : 0;
    sim_knobs.spurious = sim_chance(500) ? sim_below(100) : 0;
    sim_knobs.eintr = sim_chance(300) ? sim_below(100) : 0;
    sim_knobs.weak = sim_chance(700) ? sim_below(500) : 0;
    static const size_t buffers[] = {500, 5000, 50000, 1000000};
    sim_knobs.buffer_max = buffers[bounded ? 2 + sim_below(2) : sim_below(4)];
    if (sim_knobs.buffer_max < 50000) /* or large messages take their time */
        sim_knobs.latency_max_ns /= 20;
    world.large =
        world.profile != BOUNDED_LATENCY && sim_knobs.buffer_max > 5000 && sim_chance(300);
}

/* The types of the same behaviour whose messages have one part, where there are such. */
static void use_single_parts(struct scene *c)
{
    int send = c->send_type, recv = c->recv_type;
    if (send == FMQ_PUSH) {
        c->send_type = FMQ_SCATTER;
        c->recv_type = FMQ_GATHER;
    } else if (send == FMQ_PAIR) {
        c->send_type = c->recv_type = FMQ_CHANNEL;
    } else if (send == FMQ_DEALER && (recv == FMQ_DEALER || recv == FMQ_ROUTER)) {
        c->send_type = FMQ_CLIENT;
        c->recv_type = FMQ_SERVER;
    } else {
        return;
    }
    c->single = true;
}

static void draw_scene(unsigned index)
{
    struct scene *c = &world.scenes[index];
    c->index = index;
    uint32_t kind = sim_below(10);
    c->pattern = kind < 5 ? FLOW : kind < 7 ? FAN : ECHO;
    uint32_t way = sim_below(4);
    static const char *const transports[] = {"tcp", "ipc", "inproc", "ws"};
    c->transport = transports[sim_below(4)];
    uint32_t m = sim_below(6);
    c->mechanism = m < 4 ? PLAIN_NULL : m == 4 ? PLAIN : CURVE;
    c->senders_bind = sim_chance(500);
    uint32_t shm = sim_below(10);
    c->shm = shm < 5 ? SHM_BOTH : shm < 7 ? SHM_SOME : SHM_NEVER;
    static const int marks[] = {0, 1, 2, 3, 10, 1000};
    c->sndhwm = marks[sim_below(6)];
    c->rcvhwm = marks[sim_below(6)];
    c->senders = 1 + sim_below(2);
    c->receivers = 1 + sim_below(2);
    c->numbers = 5 + sim_below(60);
    c->window = 1;
    c->exact = !world_faulty();
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
        for (int k = 0; k < 2 && world.profile == BOUNDED_LATENCY; k++) {
            unsigned mark = (unsigned)(k ? c->sndhwm : c->rcvhwm);
            c->window = mark && mark < c->window ? mark : c->window;
        }
        if (c->recv_type == FMQ_REP)
            c->sndhwm = 0; /* or it drops */
        if (c->send_type == FMQ_REQ && sim_chance(500))
            c->resend = 1 + (int)sim_below(world.profile == BOUNDED_LATENCY ? 200 : 50);
        /* A connection that is lost within a process is lost for good. */
        c->insists = c->resend && world.profile != ABORT && strcmp(c->transport, "inproc") != 0;
    }
    if (sim_chance(350))
        use_single_parts(c);
    c->source_count = c->senders * send_threads;
    for (unsigned i = 0; i < c->senders + c->receivers; i++) {
        struct member *b = &c->members[c->member_count++];
        b->scene = c;
        b->sends = i < c->senders;
        b->index = b->sends ? i : i - c->senders;
        b->binds = b->sends == c->senders_bind;
        b->threads = b->sends ? send_threads : recv_threads;
        b->context = strcmp(c->transport, "inproc") == 0 ? index % world.context_count
                                                         : sim_below(world.context_count);
        b->topic =
            c->pattern == FAN && !b->sends && sim_chance(500) ? (uint8_t)('a' + sim_below(3)) : 0;
        if (c->mechanism == PLAIN && b->binds)
            world.has_zap[b->context] = true;
    }
    size_t at = strlen(about);
    snprintf(about + at, sizeof(about) - at, ", %u %s > %u %s %s %s hwm %d/%d%s%s%s", c->senders,
             type_names[c->send_type], c->receivers, type_names[c->recv_type], c->transport,
             mechanism_names[c->mechanism], c->sndhwm, c->rcvhwm, c->conflate ? " conflate" : "",
             c->resend ? " resend" : "",
             c->shm == SHM_BOTH   ? " shm"
             : c->shm == SHM_SOME ? " some shm"
                                  : "");
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
    struct scene *c = &world.scenes[sim_below(world.scene_count)];
    struct member *m = &c->members[sim_below(c->member_count)];
    return m->socket && !m->closed ? m : NULL;
}

static void watcher(void *arg)
{
    (void)arg;
    if (world.profile == BOUNDED_LATENCY &&
        sim_chance(700)) /* a caller that looks in may wake a waiter */
        return;
    uint64_t pace = sim_chance(500) ? 200 * NS_PER_US : 5 * NS_PER_MS;
    while (!world.over) {
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

/* ---- faults ---- */

/* Somebody who connects, talks nonsense or stops in the middle of its greeting, and goes. */
static void stranger(void)
{
    static const uint8_t greeting[] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                       1,    0x7f, 3, 1, 'N', 'U', 'L', 'L'};
    struct member *m = any_member();
    if (!m || !m->binds || (strncmp(m->name, "tcp", 3) != 0 && strncmp(m->name, "ws", 2) != 0))
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
    name_for(m->scene, sim_below(scene_opposite(m->scene, m->sends)), true, name, sizeof(name));
    if (fmq_disconnect(m->socket, name) != 0)
        return;
    sim_sleep(sim_rand() % (30 * NS_PER_MS));
    while ((rc = fmq_connect(m->socket, name)) != 0 && call_again(rc, "connect"))
        ;
}

static void befall(void)
{
    switch (sim_below(10)) {
    case 9:
        sim_knobs.crowded = sim_below(2) * sim_below(600);
        break;
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
        sim_knobs.unanswered = sim_below(2) * sim_below(300);
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
        if (world.profile != ABORT)
            come_and_go();
        else if (sim_chance(300)) {
            struct member *m = any_member();
            if (m)
                fmq_close(m->socket);
        }
    }
    if (world.profile == RESOURCES && sim_chance(700)) {
        long nth = 1 + (long)sim_below(sim_chance(500) ? 10 : 200);
        sim_event("starve", (uint64_t)nth, 0);
        mem_fail_at(nth);
    }
}

static void fate(void *arg)
{
    (void)arg;
    uint64_t end = sim_now() + 20 * NS_PER_MS + sim_rand() % (2 * NS_PER_S);
    if (world.profile == BOUNDED_LATENCY &&
        sim_chance(700)) /* a caller that looks in may wake a waiter */
        return;
    uint64_t pace = sim_chance(500) ? 5 * NS_PER_MS : 100 * NS_PER_MS;
    while (sim_now() < end && !world.over) {
        sim_sleep(sim_rand() % pace);
        befall();
    }
    sim_knobs.no_fds = sim_knobs.refuse = sim_knobs.unanswered = sim_knobs.crowded = 0;
    mem_fail_at(0);
    if (world.profile == ABORT) {
        for (unsigned i = 0; i < world.context_count; i++) {
            sim_event("shutdown", i, 0);
            fmq_ctx_shutdown(world.contexts[i]);
        }
    }
    sim_event("healed", 0, 0);
    sim_set_limit(sim_now() + HEALED_LIMIT_NS);
    world.healed = true;
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
    while ((rc = fmq_ctx_term(world.contexts[nth], left_ms(limit))) == -EINTR)
        ;
    if (rc) {
        struct fmq_pending rows[8];
        int n = fmq_ctx_pending(world.contexts[nth], rows, 8);
        for (int i = 0; i < n && i < 8; i++)
            fprintf(stderr, "type %s, %s, %llu messages, %s\n", type_names[rows[i].type],
                    rows[i].open ? "open" : "closed", (unsigned long long)rows[i].messages,
                    rows[i].endpoint);
        sim_fail("the context does not end: %s", fmq_strerror(-rc));
    }
    fmq_ctx_free(world.contexts[nth]);
}

uint64_t sim_world_run(uint64_t seed, bool verbose)
{
    static const enum fault_profile profiles[] = {
        NONE,    NONE,    BOUNDED_LATENCY, BOUNDED_LATENCY, BOUNDED_LATENCY,
        NETWORK, NETWORK, RESOURCES,       RESOURCES,       ABORT};
    fmq_setup();
    fake_crypto_set();
    sim_begin(seed, verbose);
    memset(&world, 0, sizeof(world));
    fake_state = sim_rand();
    fake_keypair(world.public_key, world.secret_key);
    long live = mem_live();
    world.profile = profiles[sim_below(10)];
    world.salt = sim_rand();
    world.context_count = 1 + sim_below(CONTEXTS_MAX);
    world.scene_count = 1 + sim_below(SCENES_MAX);
    draw_knobs();
    snprintf(about, sizeof(about), "%s%s, %u contexts", profile_names[world.profile],
             world.large ? " large" : "", world.context_count);
    for (unsigned i = 0; i < world.scene_count; i++)
        draw_scene(i);
    sim_say("%s", about);
    if (!world_faulty())
        sim_set_limit(sim_now() + UNBROKEN_LIMIT_NS);

    static unsigned numbers[CONTEXTS_MAX];
    for (unsigned i = 0; i < world.context_count; i++) {
        if (fmq_ctx_new(&world.contexts[i]))
            sim_fail("no context");
        fmq_ctx_set(world.contexts[i], 1, 1 + (int)sim_below(2));
        if (sim_chance(100))
            fmq_ctx_set(world.contexts[i], OPT_SHM_CONNECTIONS, (int)sim_below(3));
        if (sim_chance(700)) /* few blocks: they are soon all in use */
            fmq_ctx_set(world.contexts[i], OPT_SHM_ARENA_BYTES, (int)sim_below(8) << 16);
        numbers[i] = i;
        if (world.has_zap[i])
            thread_start(&world.zap[i], zap_handler, &numbers[i], "zap");
    }
    thread_start(&world.watcher, watcher, NULL, "watcher");
    if (world_faulty())
        thread_start(&world.fate, fate, NULL, "fate");
    for (;;) {
        struct member *left[SCENES_MAX * SOCKETS_MAX];
        uint32_t n = 0;
        for (unsigned i = 0; i < world.scene_count; i++) {
            for (unsigned k = 0; k < world.scenes[i].member_count; k++) {
                if (!world.scenes[i].members[k].scene->members[k].name[1])
                    left[n++] = &world.scenes[i].members[k];
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
    for (unsigned i = 0; i < world.worker_count; i++) {
        struct worker *t = &world.workers[i];
        thread_join(&t->thread);
        for (unsigned k = 0; k < t->order_count; k++)
            meta_unref(t->orders[k].meta);
    }
    world.over = true;
    thread_join(&world.watcher);
    if (world_faulty())
        thread_join(&world.fate);
    for (unsigned i = 0; i < world.context_count; i++) {
        if (world.has_zap[i])
            thread_join(&world.zap[i]);
    }
    for (unsigned i = 0; i < world.scene_count; i++) {
        for (unsigned k = 0; k < world.scenes[i].member_count; k++)
            end_member(&world.scenes[i].members[k]);
    }
    for (unsigned i = 0; i < world.context_count; i++)
        end_context(i);
    if (mem_live() != live)
        sim_fail("%ld allocations are left over", mem_live() - live);
    return sim_end(world.adapters);
}

/* ---- pages ---- */

void pages_fill_soon(void *at, size_t size)
{
    (void)at;
    (void)size;
}
