/* SPDX-License-Identifier: MIT */
// needs: engine
/*
 * Storms: threads call anything on any socket, at any time, while sockets close and contexts end.
 * No call answers what it should not, every thread comes back, nothing is left over. Meant for the
 * sanitizers of threads and of addresses; CHECK_SEED repeats the choices of a run, though not the
 * order in which threads run.
 *
 * CHECK_LONG=n makes the storms n times as long.
 */
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "engine.h"
#include "fake_crypto.h"

#define ROUTING_ID 5
#define OPT_FD 14
#define OPT_EVENTS 15
#define RCVTIMEO 27
#define ROUTER_MANDATORY 33
#define XPUB_VERBOSE 40
#define UNSUBSCRIBE 7

enum { PAIRS = 3, SOCKETS = 2 * PAIRS + 6, THREADS_MAX = 10, STORM_MS = 900 };

/* ---- chance ---- */

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned n)
{
    d->state = d->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(d->state >> 33) % n;
}

static unsigned long_factor(void)
{
    const char *text = getenv("CHECK_LONG");
    int n = text ? atoi(text) : 1;
    return n > 1 ? (unsigned)n : 1;
}

/* ---- the world of a round ---- */

struct world {
    fmq_ctx *ctx;
    fmq_socket *s[SOCKETS]; /* pairs that talk, then a proxy's four, its boss, a judge */
    struct eng_name names[PAIRS];
    fmq_pollset *set;
    atomic_bool stop;
    atomic_uint numbers; /* for the threads' dice */
    uint64_t seed;
    bool closes; /* threads close sockets, too */
};

enum { FRONT = 2 * PAIRS, BACK, CAPTURE, CONTROL, BOSS, JUDGE };

static const int kinds[][2] = {
    {FMQ_PUSH, FMQ_PULL},     {FMQ_DEALER, FMQ_ROUTER},   {FMQ_PUB, FMQ_SUB},
    {FMQ_XPUB, FMQ_XSUB},     {FMQ_REQ, FMQ_REP},         {FMQ_PAIR, FMQ_PAIR},
    {FMQ_ROUTER, FMQ_DEALER}, {FMQ_STREAM, FMQ_STREAM},   {FMQ_XSUB, FMQ_XPUB},
    {FMQ_DEALER, FMQ_REP},    {FMQ_CLIENT, FMQ_SERVER},   {FMQ_SCATTER, FMQ_GATHER},
    {FMQ_PEER, FMQ_PEER},     {FMQ_CHANNEL, FMQ_CHANNEL}, {FMQ_RADIO, FMQ_DISH},
    {FMQ_DISH, FMQ_RADIO},
};

/* What any call may answer in a storm. */
static void sane(int rc, const char *what)
{
    switch (-rc) {
    case EAGAIN:
    case EINTR:
    case ENOTSOCK:
    case ENOTSUP:
    case EHOSTUNREACH:
    case EINVAL:
    case EADDRINUSE:
    case ENOENT:
    case EBUSY:
    case FMQ_ETERM:
    case FMQ_EFSM:
    case FMQ_ENOCOMPATPROTO:
        return;
    default:
        if (rc >= 0)
            return;
    }
    fprintf(stderr, "%s: %s (%d)\n", what, fmq_strerror(-rc), rc);
    check_failed();
}

#define TRY(call) sane((call), #call)

static fmq_socket *world_socket(struct world *w, int type)
{
    fmq_socket *s = eng_socket(w->ctx, type);
    eng_set(s, ENG_LINGER, 0);
    eng_set(s, ENG_RECONNECT_IVL, 1);
    eng_set(s, ENG_SNDHWM, 20);
    eng_set(s, ENG_RCVHWM, 20);
    return s;
}

static void secure(struct dice *d, fmq_socket *client, fmq_socket *server)
{
    uint8_t secret[32], public[32], server_secret[32], server_public[32];
    unsigned mechanism = roll(d, 4);
    if (mechanism == 0) {
        eng_set(server, ENG_PLAIN_SERVER, 1);
        eng_must(fmq_set_bytes(client, ENG_PLAIN_USERNAME, "name", 4), "name");
        eng_must(fmq_set_bytes(client, ENG_PLAIN_PASSWORD, "word", 4), "password");
    } else if (mechanism == 1) {
        memset(secret, 3, 32);
        memset(server_secret, 4, 32);
        fake_public(public, secret);
        fake_public(server_public, server_secret);
        eng_set(server, ENG_CURVE_SERVER, 1);
        eng_must(fmq_set_bytes(server, ENG_CURVE_SECRETKEY, server_secret, 32), "key");
        eng_must(fmq_set_bytes(client, ENG_CURVE_PUBLICKEY, public, 32), "key");
        eng_must(fmq_set_bytes(client, ENG_CURVE_SECRETKEY, secret, 32), "key");
        eng_must(fmq_set_bytes(client, ENG_CURVE_SERVERKEY, server_public, 32), "key");
    }
}

static void world_make(struct world *w, struct dice *d)
{
    memset(w, 0, sizeof(*w));
    w->ctx = eng_ctx();
    w->seed = d->state;
    eng_must(fmq_ctx_set(w->ctx, 1, 1 + (int)roll(d, 3)), "IO_THREADS");
    eng_must(fmq_pollset_new(&w->set), "pollset_new");
    for (int i = 0; i < PAIRS; i++) {
        const int *kind = kinds[roll(d, sizeof(kinds) / sizeof(kinds[0]))];
        const char *transport = eng_transports[kind[0] == FMQ_STREAM ? 0 : roll(d, 3)];
        fmq_socket *a = world_socket(w, kind[0]), *b = world_socket(w, kind[1]);
        w->s[2 * i] = a;
        w->s[2 * i + 1] = b;
        if (strcmp(transport, "inproc") != 0 && kind[0] != FMQ_STREAM)
            secure(d, a, b);
        w->names[i] = eng_bind(b, transport);
        eng_connect(a, &w->names[i]);
        eng_must(fmq_pollset_add(w->set, b, FMQ_POLLIN | FMQ_POLLOUT, b), "pollset_add");
    }
    static const int extra[] = {FMQ_ROUTER, FMQ_DEALER, FMQ_PUB, FMQ_PAIR, FMQ_PAIR, FMQ_REP};
    for (int i = FRONT; i < SOCKETS; i++)
        w->s[i] = world_socket(w, extra[i - FRONT]);
    eng_must(fmq_bind(w->s[FRONT], "inproc://front"), "bind");
    eng_must(fmq_bind(w->s[BACK], "inproc://back"), "bind");
    eng_must(fmq_bind(w->s[CONTROL], "inproc://control"), "bind");
    eng_must(fmq_connect(w->s[BOSS], "inproc://control"), "connect");
    eng_must(fmq_bind(w->s[JUDGE], "inproc://zeromq.zap.01"), "bind");
}

static void world_free(struct world *w)
{
    fmq_pollset_free(w->set);
    for (int i = 0; i < SOCKETS; i++) {
        TRY(fmq_close(w->s[i]));
        fmq_socket_free(w->s[i]);
    }
    eng_end(w->ctx);
}

/* ---- what threads do ---- */

static struct dice own_dice(struct world *w)
{
    return (struct dice){w->seed +
                         (atomic_fetch_add(&w->numbers, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15)};
}

/* The number of a SERVER's or a PEER's peer, as somebody has seen it. */
static atomic_uint some_number;

/* `ends`: somebody will close the socket, so that it may wait for ever. */
static void do_send(struct dice *d, fmq_socket *s, bool ends)
{
    static const char body[60000];
    static const size_t sizes[] = {0, 1, 5, 30, 200, 3000, 60000};
    uint32_t n = 1 + roll(d, 3) * roll(d, 3);
    size_t size = sizes[roll(d, 7)];
    if (roll(d, 50) == 0) {
        uint32_t begun;
        fmq_drop_begun(s, roll(d, 2), &begun);
    }
    if (n == 1 && roll(d, 2)) {
        TRY(fmq_try_send_bytes(s, body, size, NULL, roll(d, 8) == 0));
        return;
    }
    struct msg parts[5];
    for (uint32_t i = 0; i < n; i++)
        CHECK_EQ(msg_init_copy(&parts[i], body, i ? size : 5), 0);
    parts[0].routing_id = atomic_load(&some_number);
    static const int timeouts[] = {0, 0, 1, 3, -1};
    int rc = fmq_send(s, parts, n, roll(d, 8) == 0,
                      timeouts[ends && roll(d, 100) == 0 ? 4 : roll(d, 4)]);
    if (rc)
        for (uint32_t i = 0; i < n; i++)
            msg_drop(&parts[i]);
    sane(rc, "send");
}

static void do_recv(struct dice *d, fmq_socket *s)
{
    static const int timeouts[] = {0, 0, 1, 3, -1};
    int timeout = timeouts[roll(d, 100) ? roll(d, 4) : 4], rc;
    struct parts p;
    struct msg m;
    struct meta *meta = NULL;
    struct fmq_receipt receipt;
    switch (roll(d, 4)) {
    case 3:
        parts_init(&p);
        rc = roll(d, 2) ? fmq_take(s, roll(d, 4), &p, &receipt, timeout)
                        : fmq_try_take(s, roll(d, 4), &p, &receipt);
        if (rc > 0 && (roll(d, 2) || fmq_give_back(s, &receipt, &p) < 0))
            meta_unref(receipt.meta);
        parts_fini(&p);
        break;
    case 0:
        rc = fmq_recv_part(s, &m, &meta, timeout);
        if (rc == 0) {
            if (m.routing_id)
                atomic_store(&some_number, m.routing_id);
            msg_drop(&m);
            meta_unref(meta);
        }
        break;
    case 1:
        parts_init(&p);
        rc = fmq_recv_many(s, &p, 20, timeout);
        parts_fini(&p);
        break;
    default:
        parts_init(&p);
        rc = fmq_recv(s, &p, &meta, timeout);
        if (rc == 0)
            meta_unref(meta);
        parts_fini(&p);
    }
    sane(rc, "recv");
}

static void do_option(struct dice *d, fmq_socket *s)
{
    int64_t value;
    char text[512], topic[8];
    size_t len = sizeof(text);
    snprintf(topic, sizeof(topic), "t%u", roll(d, 5));
    switch (roll(d, 10)) {
    case 0:
        TRY(fmq_set_int(s, ENG_SNDHWM, 1 + roll(d, 30)));
        break;
    case 1:
        TRY(fmq_set_int(s, ENG_RCVHWM, 1 + roll(d, 30)));
        break;
    case 2:
        TRY(fmq_set_bytes(s, ENG_SUBSCRIBE, topic, roll(d, 3)));
        break;
    case 3:
        TRY(fmq_set_bytes(s, UNSUBSCRIBE, topic, roll(d, 3)));
        break;
    case 4:
        TRY(fmq_get_bytes(s, ENG_LAST_ENDPOINT, text, &len));
        break;
    case 5:
        TRY(fmq_get_int(s, OPT_EVENTS, &value));
        break;
    case 6:
        TRY(fmq_get_int(s, OPT_FD, &value));
        break;
    case 7:
        TRY(fmq_set_int(s, RCVTIMEO, roll(d, 5)));
        CHECK(fmq_rcvtimeo(s) >= -1);
        break;
    case 8:
        TRY(fmq_set_int(s, ROUTER_MANDATORY, roll(d, 2)));
        break;
    default:
        TRY(fmq_set_int(s, XPUB_VERBOSE, roll(d, 2)));
    }
}

static void do_look(struct world *w, struct dice *d, fmq_socket *s)
{
    struct fmq_peer rows[3];
    struct fmq_socket_stats stats;
    struct fmq_context_stats all;
    struct fmq_pending pending[2];
    struct fmq_block block;
    char *text;
    size_t len;
    switch (roll(d, 7)) {
    case 0:
        TRY(fmq_peers(s, rows, 3));
        break;
    case 1:
        TRY(fmq_stats(s, &stats));
        break;
    case 2:
        TRY(fmq_ctx_stats(w->ctx, &all));
        if (fmq_ctx_alloc(w->ctx, (size_t)1 << (12 + roll(d, 12)), &block) == 0) {
            memset(block.data, 1, block.size);
            fmq_block_free(&block);
        }
        break;
    case 3:
        TRY(fmq_ctx_pending(w->ctx, pending, 2));
        break;
    case 4:
        TRY(fmq_wait_subscribers(s, "t1", 2, 1, (int)roll(d, 2)));
        break;
    case 5:
        CHECK_EQ(fmq_snapshot("snapshot topic=7431", &text, &len), 0);
        CHECK(len > 2 && text[0] == '{' && text[len - 1] == '}');
        fmq_snapshot_free(text);
        break;
    default:
        TRY(fmq_peer_state(s, "hello", 5));
    }
}

static void do_endpoint(struct world *w, struct dice *d, fmq_socket *s)
{
    char name[64];
    unsigned k = roll(d, 4);
    if (k == 0)
        snprintf(name, sizeof(name), "inproc://storm-%u", roll(d, 4));
    else if (k == 1)
        snprintf(name, sizeof(name), "inproc://watch-%u", roll(d, 4));
    else if (k == 2)
        snprintf(name, sizeof(name), "%s", roll(d, 2) ? "tcp://localhost:1" : "udp://127.0.0.1:9");
    else
        snprintf(name, sizeof(name), "%.60s", w->names[roll(d, PAIRS)].text);
    uint32_t number;
    switch (roll(d, 7)) {
    case 5:
        TRY(fmq_connect_peer(s, name, &number));
        break;
    case 6:
        TRY(fmq_disconnect_peer(s, atomic_load(&some_number)));
        CHECK(fmq_addressing(s) <= FMQ_BY_GROUP);
        TRY(fmq_join(s, "g", 1));
        TRY(fmq_leave(s, "g", 1));
        break;
    case 0:
        if (k < 2)
            TRY(fmq_bind(s, name));
        else
            TRY(fmq_bind(s, roll(d, 2) ? "tcp://127.0.0.1:*" : "udp://127.0.0.1:*"));
        break;
    case 1:
        TRY(fmq_unbind(s, name));
        break;
    case 2:
        TRY(fmq_disconnect(s, name));
        break;
    default:
        TRY(fmq_connect(s, name));
    }
}

static void do_monitor(struct dice *d, fmq_socket *s)
{
    char name[64];
    snprintf(name, sizeof(name), "inproc://watch-%u", roll(d, 4));
    unsigned k = roll(d, 4);
    if (k == 0)
        TRY(fmq_monitor(s, NULL, 0, 1, FMQ_PAIR));
    else if (k == 1)
        TRY(fmq_monitor_stats(s));
    else
        TRY(fmq_monitor(s, name, 0xffff, (int)k - 1, FMQ_PAIR));
}

static void do_poll(struct world *w, struct dice *d, fmq_socket *s)
{
    struct fmq_pollevent ev[4];
    switch (roll(d, 6)) {
    case 0:
        TRY(fmq_pollset_wait(w->set, ev, 4, (int)roll(d, 3)));
        break;
    case 1:
        TRY(fmq_pollset_add(w->set, s, FMQ_POLLIN, s));
        break;
    case 2:
        TRY(fmq_pollset_modify(w->set, s, (int)roll(d, 4)));
        break;
    case 3:
        TRY(fmq_pollset_remove(w->set, s));
        break;
    case 4:
        TRY(fmq_events(s));
        break;
    default:
        TRY(fmq_poll_one(s, 1 + (int)roll(d, 3), (int)roll(d, 3)));
    }
}

static void work(void *arg)
{
    struct world *w = arg;
    struct dice d = own_dice(w);
    while (!atomic_load(&w->stop)) {
        fmq_socket *s = w->s[roll(&d, SOCKETS)];
        unsigned what = roll(&d, 100);
        if (what < 35)
            do_send(&d, s, true);
        else if (what < 65)
            do_recv(&d, s);
        else if (what < 75)
            do_poll(w, &d, s);
        else if (what < 83)
            do_option(&d, s);
        else if (what < 90)
            do_look(w, &d, s);
        else if (what < 95)
            do_endpoint(w, &d, s);
        else if (what < 97)
            do_monitor(&d, s);
        else if (what < 99)
            TRY(fmq_flush(s));
        else if (w->closes && roll(&d, 10) == 0)
            TRY(fmq_close(s));
        if (fmq_closed(s))
            usleep(100);
    }
}

static void run_proxy(void *arg)
{
    struct world *w = arg;
    struct fmq_proxy_state state = {0};
    int rc;
    do {
        rc = fmq_proxy(w->s[FRONT], w->s[BACK], w->s[CAPTURE], w->s[CONTROL], &state);
        if (rc == 0 && !atomic_load(&w->stop)) /* somebody said TERMINATE: once more */
            rc = -EINTR;
    } while ((rc == -EINTR || rc == -FMQ_EFSM) && !atomic_load(&w->stop));
    sane(rc, "proxy");
    fmq_proxy_end(&state);
}

static void run_boss(void *arg)
{
    struct world *w = arg;
    struct dice d = own_dice(w);
    static const char *const orders[] = {"PAUSE", "RESUME", "STATISTICS", "TERMINATE", "nonsense"};
    while (!atomic_load(&w->stop)) {
        const char *order = orders[roll(&d, 5)];
        TRY(eng_send_bytes(w->s[BOSS], order, strlen(order), false, 1));
        do_recv(&d, w->s[BOSS]);
        usleep(200);
    }
}

static void run_judge(void *arg)
{
    struct world *w = arg;
    while (!atomic_load(&w->stop)) {
        struct parts p;
        parts_init(&p);
        int rc = eng_recv(w->s[JUDGE], &p, 5);
        parts_fini(&p);
        sane(rc, "judge");
        if (rc == -ENOTSOCK || rc == -FMQ_ETERM)
            return;
        if (rc)
            continue;
        static const char *const text[] = {"1.0", "1", "200", "", "", ""};
        struct msg out[6];
        for (int i = 0; i < 6; i++)
            msg_init_copy(&out[i], text[i], strlen(text[i])); /* they fit inline */
        TRY(fmq_send(w->s[JUDGE], out, 6, false, 1));
    }
}

/* An event loop: half of the sockets through a loop adapter, the others through descriptors of
 * their own. */
static void run_loop(void *arg)
{
    struct world *w = arg;
    struct dice d = own_dice(w);
    fmq_loop *adapter;
    int fds[2 * PAIRS];
    eng_must(fmq_loop_new(&adapter), "loop_new");
    for (int i = 0; i < 2 * PAIRS; i++)
        fds[i] = -1;
    while (!atomic_load(&w->stop)) {
        int i = (int)roll(&d, 2 * PAIRS), events = (int)roll(&d, 4) | (roll(&d, 4) ? 0 : 16);
        fmq_socket *s = w->s[i];
        if (i % 2) {
            TRY(fmq_loop_watch(adapter, s, events, s));
        } else {
            int fd = -1, rc = fmq_watch(s, events, &fd);
            sane(rc, "watch");
            if (rc >= 0)
                fds[i] = events ? fd : -1;
        }
        struct pollfd look[2 * PAIRS + 1];
        nfds_t n = 0;
        look[n++] = (struct pollfd){.fd = fmq_loop_fd(adapter), .events = POLLIN};
        for (int k = 0; k < 2 * PAIRS; k++)
            if (fds[k] >= 0)
                look[n++] = (struct pollfd){.fd = fds[k], .events = POLLIN};
        poll(look, n, 1);
        for (nfds_t k = 0; k < n; k++)
            CHECK(!(look[k].revents & POLLNVAL));
        void *ready[8];
        int count = fmq_loop_wait(adapter, ready, 8);
        sane(count, "loop_wait");
        for (int k = 0; k < count; k++) {
            TRY(fmq_watch_came(ready[k]));
            do_recv(&d, ready[k]);
        }
    }
    fmq_loop_free(adapter);
    for (int i = 0; i < 2 * PAIRS; i += 2) {
        int fd;
        TRY(fmq_watch(w->s[i], 0, &fd));
    }
}

/* ---- rounds ---- */

enum ending { BY_CLOSE, BY_SHUTDOWN, BY_BOTH };

static void shut_down(void *arg)
{
    struct world *w = arg;
    fmq_ctx_shutdown(w->ctx);
}

static void one_round(struct dice *d, void (*const *roles)(void *arg), int count, enum ending how)
{
    struct world w;
    struct thread threads[THREADS_MAX], end;
    world_make(&w, d);
    w.closes = how == BY_CLOSE;
    alarm(30);
    for (int i = 0; i < count; i++)
        eng_must(thread_start(&threads[i], roles[i], &w, "storm"), "thread");
    usleep(1000 * (1 + roll(d, 30))); /* the storm has no other measure than time */
    if (how == BY_BOTH)
        eng_must(thread_start(&end, shut_down, &w, "end"), "thread");
    if (how == BY_SHUTDOWN)
        fmq_ctx_shutdown(w.ctx);
    else
        for (int i = 0; i < SOCKETS; i++)
            TRY(fmq_close(w.s[i]));
    if (how == BY_BOTH)
        thread_join(&end);
    usleep(500);
    atomic_store(&w.stop, true);
    for (int i = 0; i < count; i++)
        thread_join(&threads[i]);
    world_free(&w);
}

static void storm(void (*const *roles)(void *arg), int count, bool by_close)
{
    fake_crypto_set();
    struct dice d = {check_rand()};
    uint64_t until = eng_until((int)(STORM_MS * long_factor()));
    for (unsigned i = 0; i == 0 || eng_left(until); i++)
        one_round(&d, roles, count, by_close ? BY_CLOSE : 1 + (enum ending)(i % 2));
}

TEST(anything_may_be_called_on_sockets_that_close)
{
    static void (*const roles[])(void *) = {work, work, work, work, work};
    storm(roles, 5, true);
}

TEST(anything_may_be_called_on_sockets_whose_context_ends)
{
    static void (*const roles[])(void *) = {work, work, work, work, work};
    storm(roles, 5, false);
}

TEST(a_proxy_and_its_orders_end_in_a_storm)
{
    static void (*const roles[])(void *) = {run_proxy, run_boss, work, work};
    storm(roles, 4, true);
    storm(roles, 4, false);
}

TEST(an_event_loop_ends_in_a_storm)
{
    static void (*const roles[])(void *) = {run_loop, run_judge, work, work};
    storm(roles, 4, true);
    storm(roles, 4, false);
}

/* ---- contexts in parallel, and forks ---- */

static atomic_bool over;

static void live_and_die(void *arg)
{
    (void)arg;
    for (unsigned i = 0; !atomic_load(&over); i++) {
        fmq_ctx *ctx;
        eng_must(fmq_ctx_new(&ctx), "ctx_new");
        fmq_socket *a = eng_socket(ctx, FMQ_PUSH), *b = eng_socket(ctx, FMQ_PULL);
        struct eng_name name = eng_bind(b, eng_transports[i % ENG_TRANSPORTS]);
        eng_connect(a, &name);
        eng_send(a, "hello");
        eng_expect(b, "hello");
        eng_close(a);
        eng_close(b);
        int rc;
        while ((rc = fmq_ctx_term(ctx, ENG_WAIT_MS)) == -EINTR)
            ;
        eng_must(rc, "ctx_term");
        fmq_ctx_free(ctx);
    }
}

/* In a child of a process with threads the sanitizers allow no new threads, and some no memory; nor
 * does Zig's libc, whose malloc keeps the locks that other threads held. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(CHECK_ZIG)
#define CHILD_MAY_ALLOCATE false
#else
#define CHILD_MAY_ALLOCATE true
#endif

static bool child_is_well(fmq_ctx *ctx, fmq_socket *old)
{
    int64_t value;
    if (!fmq_ctx_forked(ctx) || !fmq_closed(old) || fmq_close(old) != 0 ||
        fmq_get_int(old, ENG_LINGER, &value) != -FMQ_EFORKED || fmq_open_fds() != 0)
        return false;
    fmq_socket_free(old);
    fmq_ctx_free(ctx);
    if (!CHILD_MAY_ALLOCATE)
        return true;
    fmq_ctx *fresh = eng_ctx();
    fmq_socket *a = eng_socket(fresh, FMQ_PUSH), *b = eng_socket(fresh, FMQ_PULL);
    struct eng_name name = eng_bind(b, "tcp");
    eng_connect(a, &name);
    eng_send(a, "hello");
    eng_expect(b, "hello");
    eng_close(a);
    eng_close(b);
    eng_end(fresh);
    return true;
}

TEST(contexts_come_and_go_in_parallel_while_the_process_forks)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    struct thread threads[4];
    atomic_store(&over, false);
    for (int i = 0; i < 4; i++)
        eng_must(thread_start(&threads[i], live_and_die, NULL, "contexts"), "thread");
    uint64_t until = eng_until((int)(STORM_MS * long_factor()));
    while (eng_left(until)) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(20);
            _exit(child_is_well(ctx, s) ? 0 : 1);
        }
        int status;
        alarm(30);
        while (waitpid(pid, &status, 0) < 0)
            CHECK_EQ(errno, EINTR);
        CHECK_EQ(status, 0);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    eng_close(s);
    eng_end(ctx);
}

/* ---- names over inproc ---- */

struct crowd {
    fmq_ctx *ctx;
    atomic_uint numbers;
    uint64_t seed;
};

static void come_and_go(void *arg)
{
    struct crowd *c = arg;
    static const int types[] = {FMQ_DEALER, FMQ_ROUTER, FMQ_PAIR, FMQ_XPUB, FMQ_SUB,
                                FMQ_PUSH,   FMQ_PULL,   FMQ_REQ,  FMQ_REP};
    struct dice d = {c->seed +
                     (atomic_fetch_add(&c->numbers, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15)};
    while (!atomic_load(&over)) {
        fmq_socket *s;
        int rc = fmq_socket_new(c->ctx, types[roll(&d, 9)], &s);
        sane(rc, "socket_new");
        if (rc)
            return; /* the context ends */
        TRY(fmq_set_int(s, ENG_LINGER, roll(&d, 3)));
        TRY(fmq_set_bytes(s, ENG_SUBSCRIBE, "", 0));
        for (unsigned i = roll(&d, 8); i; i--) {
            char name[32];
            snprintf(name, sizeof(name), "inproc://crowd-%u", roll(&d, 3));
            unsigned what = roll(&d, 6);
            if (what == 0)
                TRY(fmq_bind(s, name));
            else if (what == 1)
                TRY(fmq_unbind(s, name));
            else if (what == 2)
                TRY(fmq_disconnect(s, name));
            else
                TRY(fmq_connect(s, name));
            do_send(&d, s, false);
            struct parts p;
            parts_init(&p);
            TRY(fmq_recv(s, &p, NULL, (int)roll(&d, 2)));
            parts_fini(&p);
        }
        TRY(fmq_close(s));
        fmq_socket_free(s);
    }
}

TEST(sockets_of_all_kinds_share_inproc_names_in_many_threads)
{
    struct dice d = {check_rand()};
    uint64_t until = eng_until((int)(STORM_MS * long_factor()));
    while (eng_left(until)) {
        struct crowd c = {.ctx = eng_ctx(), .seed = d.state};
        struct thread threads[6];
        alarm(30);
        atomic_store(&over, false);
        for (int i = 0; i < 6; i++)
            eng_must(thread_start(&threads[i], come_and_go, &c, "crowd"), "thread");
        usleep(1000 * (10 + roll(&d, 100)));
        if (roll(&d, 2))
            fmq_ctx_shutdown(c.ctx);
        atomic_store(&over, true);
        for (int i = 0; i < 6; i++)
            thread_join(&threads[i]);
        eng_end(c.ctx);
    }
}
