/* SPDX-License-Identifier: MIT */
// needs: engine
/*
 * Every allocation and every system call of a scenario fails in turn: the 1st in the first run, the
 * 2nd in the second, until a run has no failure left. A call that fails says why, and does what it
 * should when it is made again; what fails behind the program's back is made good by the engine
 * once the fault is over. Nothing leaks, nothing hangs.
 *
 * CHECK_LONG=n tries n errors of each system call in place of one, and longer faults, too.
 */
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "engine.h"
#include "fake_crypto.h"
#include "os/sys.h"

#define ROUTING_ID 5
#define OPT_FD 14
#define REQ_CORRELATE 52
#define REQ_RELAXED 53
#define HELLO_MSG 110
#define PROBE_ROUTER 51
#define SUBSCRIBE 6
#define SPIN_US 10001

/* ---- the fault ---- */

static struct fault {
    bool memory; /* else a system call */
    long nth;
    unsigned which;
    long more;
} fault;

static void fault_begin(void)
{
    if (fault.memory)
        mem_fail_from(fault.nth, fault.more);
    else
        sys_fail_at(fault.nth, fault.which, fault.more);
}

static void fault_end(void)
{
    mem_fail_from(0, 0);
    sys_fail_at(0, 0, 0);
}

static bool fault_came(void)
{
    return fault.memory ? mem_failed() > 0 : sys_failed(NULL) != NULL;
}

static void tell_fault(void)
{
    int error;
    const char *name = sys_failed(&error);
    if (fault.memory)
        fprintf(stderr, "    allocation %ld failed, %ld in all\n", fault.nth, mem_failed());
    else
        fprintf(stderr, "    system call %ld failed: %s, %s\n", fault.nth, name ? name : "(none)",
                name ? strerror(error) : "");
}

/* Whether a call may have failed so: with the error of what failed beneath it, and no other. */
static bool excused(int rc)
{
    if (rc == -EINTR)
        return true;
    if (fault.memory)
        return rc == -ENOMEM && mem_failed();
    int error;
    const char *name = sys_failed(&error);
    if (!name)
        return false;
    if (strcmp(name, "THREAD") == 0)
        return rc == -FMQ_EMTHREAD;
    if (strcmp(name, "RESOLVE") == 0)
        return rc == -ENODEV;
    return rc == -error;
}

/* The deadline of what goes on once the fault is over: a fault that lasts is met again every 10 ms
 * or so. */
static uint64_t fault_until(void)
{
    return eng_until(ENG_WAIT_MS + (int)fault.more * 100);
}

static void must_be_excused(int rc, int *tries, const char *what)
{
    if (excused(rc) && ++*tries <= fault.more + 20)
        return;
    fprintf(stderr, "%s: %s (%d)\n", what, fmq_strerror(-rc), rc);
    tell_fault();
    check_failed();
}

/* A call that works once the fault is over. */
#define STEP(call)                                                                                 \
    do {                                                                                           \
        int step_rc, step_tries = 0;                                                               \
        while ((step_rc = (call)) < 0)                                                             \
            must_be_excused(step_rc, &step_tries, #call);                                          \
    } while (0)

/* ---- sockets, messages ---- */

static fmq_ctx *step_ctx(void)
{
    fmq_ctx *ctx;
    eng_fds = fmq_open_fds();
    STEP(fmq_ctx_new(&ctx));
    return ctx;
}

static fmq_socket *step_socket(fmq_ctx *ctx, int type)
{
    fmq_socket *s;
    STEP(fmq_socket_new(ctx, type, &s));
    STEP(fmq_set_int(s, ENG_LINGER, 0));
    STEP(fmq_set_int(s, ENG_RECONNECT_IVL, 1));
    return s;
}

static struct eng_name step_bind(fmq_socket *s, const char *transport)
{
    static atomic_int counter;
    struct eng_name name;
    if (strcmp(transport, "inproc") == 0)
        snprintf(name.text, sizeof(name.text), "inproc://f%d", atomic_fetch_add(&counter, 1));
    else
        snprintf(name.text, sizeof(name.text), "%s",
                 strcmp(transport, "ipc") == 0   ? "ipc://*"
                 : strcmp(transport, "udp") == 0 ? "udp://127.0.0.1:*"
                 : strcmp(transport, "ws") == 0  ? "ws://127.0.0.1:*/f"
                                                 : "tcp://127.0.0.1:*");
    STEP(fmq_bind(s, name.text));
    size_t len = sizeof(name.text) - 1;
    STEP(fmq_get_bytes(s, ENG_LAST_ENDPOINT, name.text, &len));
    name.text[len] = 0;
    return name;
}

enum shape { SMALL, MANY, LARGE, SHAPES };

enum { MANY_PARTS = 9, LARGE_SIZE = 270000 };

/* Messages from one socket to another, numbered, of all shapes. */
struct stream {
    fmq_socket *from, *to;
    bool routed;        /* `to` is a ROUTER: the first part is an id */
    bool by_parts;      /* received part by part */
    int patience;       /* how long to wait for a message before the next is sent, ms; 0: 300 */
    uint32_t sent, got; /* numbers */
    uint32_t lost;
};

static uint32_t shape_parts(enum shape shape)
{
    return shape == MANY ? MANY_PARTS : 1;
}

static size_t shape_size(enum shape shape, uint32_t part)
{
    return shape == LARGE ? LARGE_SIZE : shape == MANY ? 8 + part * 40 : 8;
}

static void put_number(uint8_t *at, uint32_t number, uint32_t shape)
{
    memcpy(at, &number, 4);
    memcpy(at + 4, &shape, 4);
}

static int send_shape(struct stream *st, enum shape shape)
{
    static uint8_t bytes[LARGE_SIZE];
    struct msg parts[MANY_PARTS];
    uint32_t n = shape_parts(shape), number = st->sent + 1;
    for (uint32_t i = 0; i < n; i++) {
        size_t size = shape_size(shape, i);
        memset(bytes, (int)(number + i), size);
        put_number(bytes, number, shape);
        STEP(msg_init_copy(&parts[i], bytes, size));
    }
    int rc = fmq_send(st->from, parts, n, false, 300);
    if (rc)
        for (uint32_t i = 0; i < n; i++)
            msg_drop(&parts[i]);
    else
        st->sent = number;
    return rc;
}

static void check_part(const struct msg *m, uint32_t number, enum shape shape, uint32_t part)
{
    uint8_t head[8];
    size_t size = msg_size(m);
    put_number(head, number, shape);
    CHECK_EQ(size, shape_size(shape, part));
    CHECK_MEM(msg_data(m), head, 8);
    for (size_t i = 8; i < size; i++)
        if (msg_data(m)[i] != (uint8_t)(number + part))
            CHECK_EQ(msg_data(m)[i], (uint8_t)(number + part));
}

/* What arrives is whole, as it was sent, and in order. */
static void check_message(struct stream *st, const struct parts *p)
{
    uint32_t skip = st->routed, number, shape;
    if (p->len <= skip || msg_size(&p->v[skip]) < 8)
        tell_fault();
    CHECK(p->len > skip);
    CHECK(msg_size(&p->v[skip]) >= 8);
    memcpy(&number, msg_data(&p->v[skip]), 4);
    memcpy(&shape, msg_data(&p->v[skip]) + 4, 4);
    CHECK(shape < SHAPES);
    if (p->len - skip != shape_parts(shape) || number <= st->got || number > st->sent)
        tell_fault();
    CHECK_EQ(p->len - skip, shape_parts(shape));
    CHECK(number > st->got && number <= st->sent);
    st->lost += number - st->got - 1;
    st->got = number;
    for (uint32_t i = skip; i < p->len; i++)
        check_part(&p->v[i], number, shape, i - skip);
}

/* One message, received whole or part by part. */
static int recv_any(struct stream *st, struct parts *p, int ms)
{
    if (!st->by_parts)
        return eng_recv(st->to, p, ms);
    uint64_t until = eng_until(ms);
    for (;;) {
        struct msg m;
        int rc = fmq_recv_part(st->to, &m, NULL, eng_left(until));
        if (rc == -EINTR)
            continue;
        if (rc && p->len) { /* the rest is there for who asks again */
            int tries = 0;
            must_be_excused(rc, &tries, "a further part");
            continue;
        }
        if (rc)
            return rc;
        bool more = m.flags & PART_MORE;
        STEP(parts_push(p, &m));
        if (!more)
            return 0;
    }
}

/* A message gets through, at the latest once the fault is over. */
static void get_through(struct stream *st, enum shape shape)
{
    uint64_t until = fault_until();
    int tries = 0;
    for (;;) {
        int rc = 0, type = fmq_socket_type(st->from);
        if (type == FMQ_PUB || type == FMQ_XPUB)
            rc = fmq_wait_subscribers(st->from, "", 0, 1, 300);
        if (rc >= 0)
            rc = send_shape(st, shape);
        if (rc && rc != -EAGAIN) {
            must_be_excused(rc, &tries, "send");
            if (st->got == st->sent)
                continue;
        }
        struct parts p;
        parts_init(&p);
        while ((rc = recv_any(st, &p, st->patience ? st->patience : 300)) != -EAGAIN) {
            if (rc == 0)
                check_message(st, &p);
            else
                must_be_excused(rc, &tries, "recv");
            parts_clear(&p);
            if (rc == 0 && st->got == st->sent)
                break;
        }
        parts_fini(&p);
        if (rc == 0)
            return;
        if (!eng_left(until)) {
            fprintf(stderr, "no message gets through from a socket of type %d\n",
                    fmq_socket_type(st->from));
            tell_fault();
            check_failed();
        }
    }
}

/* Nothing is lost without memory alone, unless a connection is lost with it. */
static void check_losses(const struct stream *st)
{
    struct fmq_socket_stats a, b;
    if (!fault.memory || !st->lost)
        return;
    eng_must(fmq_stats(st->from, &a), "stats");
    eng_must(fmq_stats(st->to, &b), "stats");
    if (a.count.reconnects || b.count.reconnects)
        return;
    fprintf(stderr, "%u messages were lost\n", st->lost);
    tell_fault();
    check_failed();
}

/* ---- runs ---- */

static unsigned long_factor(void)
{
    const char *text = getenv("CHECK_LONG");
    return text ? (unsigned)atoi(text) : 0;
}

static void run_all(void (*scenario)(void))
{
    enum { END = 5000 };
    long nth = 1;
    for (; nth < END; nth++) {
        long live = mem_live();
        int fds = check_count_fds();
        fault.nth = nth;
        alarm(30);
        fault_begin();
        scenario();
        fault_end();
        if (mem_live() != live || check_count_fds() != fds) {
            fprintf(stderr, "%ld blocks and %d descriptors are left over\n", mem_live() - live,
                    check_count_fds() - fds);
            tell_fault();
            check_failed();
        }
        if (!fault_came())
            break;
    }
    CHECK(nth > 1 && nth < END);
}

static void each_fault(void (*scenario)(void))
{
    fault = (struct fault){0};
    fault.nth = 1000000;
    scenario(); /* works without any, and what is made once is made */
    fault = (struct fault){.memory = true};
    run_all(scenario);
    unsigned rounds = long_factor();
    for (unsigned i = 0; i == 0 || i < rounds; i++) {
        fault = (struct fault){.which = rounds ? i : (unsigned)check_below(SYS_ERRORS_MAX)};
        run_all(scenario);
    }
    static const long durations[] = {3, 20, 150};
    for (unsigned i = 0; rounds && i < 3; i++) {
        fault = (struct fault){.memory = true, .more = durations[i]};
        run_all(scenario);
        fault = (struct fault){.which = (unsigned)check_below(SYS_ERRORS_MAX),
                               .more = durations[i] / 10};
        run_all(scenario);
    }
}

/* ---- bind, connect, handshake, send, receive, close, end ---- */

static struct setup {
    const char *transport;
    int a, b;
    enum { NONE, PLAIN, CURVE } mechanism;
    bool connect_first;
} setup;

static void secure(fmq_socket *client, fmq_socket *server)
{
    uint8_t secret[32], public[32], server_secret[32], server_public[32];
    if (setup.mechanism == PLAIN) {
        STEP(fmq_set_int(server, ENG_PLAIN_SERVER, 1));
        STEP(fmq_set_bytes(client, ENG_PLAIN_USERNAME, "name", 4));
        STEP(fmq_set_bytes(client, ENG_PLAIN_PASSWORD, "word", 4));
    } else if (setup.mechanism == CURVE) {
        memset(secret, 3, 32);
        memset(server_secret, 4, 32);
        fake_public(public, secret);
        fake_public(server_public, server_secret);
        STEP(fmq_set_int(server, ENG_CURVE_SERVER, 1));
        STEP(fmq_set_bytes(server, ENG_CURVE_SECRETKEY, server_secret, 32));
        STEP(fmq_set_bytes(client, ENG_CURVE_PUBLICKEY, public, 32));
        STEP(fmq_set_bytes(client, ENG_CURVE_SECRETKEY, secret, 32));
        STEP(fmq_set_bytes(client, ENG_CURVE_SERVERKEY, server_public, 32));
    }
}

static void talk(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, setup.a), *b = step_socket(ctx, setup.b);
    if (setup.b == FMQ_SUB)
        STEP(fmq_set_bytes(b, ENG_SUBSCRIBE, "", 0));
    secure(a, b);
    struct eng_name name;
    if (setup.connect_first) {
        snprintf(name.text, sizeof(name.text), "inproc://later");
        STEP(fmq_connect(a, name.text));
        STEP(fmq_bind(b, name.text));
    } else {
        name = step_bind(b, setup.transport);
        STEP(fmq_connect(a, name.text));
    }
    struct stream there = {.from = a, .to = b, .routed = setup.b == FMQ_ROUTER};
    struct stream back = {.from = b, .to = a};
    for (int i = 0; i < SHAPES; i++) {
        there.by_parts = i == MANY;
        get_through(&there, i);
        if (setup.b == FMQ_DEALER || setup.b == FMQ_PAIR)
            get_through(&back, i);
    }
    fault_end();
    get_through(&there, SMALL);
    if (setup.b != FMQ_SUB) {
        check_losses(&there);
        check_losses(&back);
    }
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

static void talk_with(const char *transport, int a, int b)
{
    setup = (struct setup){.transport = transport, .a = a, .b = b};
    each_fault(talk);
}

/* The same by blocks: the first large body has the arena handed over, the next ones are lent. */
static void lend(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_PAIR), *b = step_socket(ctx, FMQ_PAIR);
    STEP(fmq_set_int(a, ENG_SHM, 2));
    STEP(fmq_set_int(b, ENG_SHM, 2));
    struct eng_name name = step_bind(b, "ipc");
    STEP(fmq_connect(a, name.text));
    struct stream there = {.from = a, .to = b}, back = {.from = b, .to = a};
    for (int i = 0; i < 5; i++) {
        get_through(&there, i == 1 ? SMALL : LARGE);
        get_through(&back, i == 3 ? SMALL : LARGE);
    }
    fault_end();
    get_through(&there, LARGE);
    check_losses(&there);
    check_losses(&back);
    struct fmq_context_stats stats;
    eng_must(fmq_ctx_stats(ctx, &stats), "stats");
    CHECK_EQ(stats.arena_lent, 0);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(large_bodies_are_lent_whatever_fails)
{
    each_fault(lend);
}

/* ---- datagrams ---- */

/* They may be lost, so each is sent until one has come. */
static void until_heard(fmq_socket *radio, fmq_socket *dish, size_t size)
{
    static uint8_t bytes[40000];
    uint64_t until = fault_until();
    struct parts got;
    parts_init(&got);
    for (;;) {
        struct msg m;
        int tries = 0, rc;
        STEP(msg_init_copy(&m, bytes, size));
        STEP(msg_join_group(&m, "a", 1));
        while ((rc = fmq_send(radio, &m, 1, false, 0)) < 0 && rc != -EAGAIN)
            must_be_excused(rc, &tries, "send");
        if (rc)
            msg_drop(&m);
        rc = fmq_recv(dish, &got, NULL, 2);
        if (rc == 0)
            break;
        if (rc != -EAGAIN)
            must_be_excused(rc, &tries, "recv");
        CHECK(eng_left(until));
    }
    parts_fini(&got);
}

static void radio_and_dish(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *radio = step_socket(ctx, FMQ_RADIO), *dish = step_socket(ctx, FMQ_DISH);
    STEP(fmq_join(dish, "a", 1));
    struct eng_name name = step_bind(dish, setup.transport);
    STEP(fmq_connect(radio, name.text));
    static const size_t sizes[] = {5, 300, 17000, 40000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        until_heard(radio, dish, sizes[i]);
    fault_end();
    until_heard(radio, dish, 5);
    eng_close(radio);
    eng_close(dish);
    eng_end(ctx);
}

TEST(a_dish_hears_a_radio_over_udp_whatever_fails)
{
    setup = (struct setup){.transport = "udp"};
    each_fault(radio_and_dish);
}

TEST(a_dish_hears_a_radio_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(radio_and_dish);
}

TEST(a_dish_hears_a_radio_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(radio_and_dish);
}

TEST(push_and_pull_talk_over_tcp_whatever_fails)
{
    talk_with("tcp", FMQ_PUSH, FMQ_PULL);
}

TEST(two_dealers_talk_over_ipc_whatever_fails)
{
    talk_with("ipc", FMQ_DEALER, FMQ_DEALER);
}

TEST(two_dealers_talk_over_ws_whatever_fails)
{
    talk_with("ws", FMQ_DEALER, FMQ_DEALER);
}

TEST(dealer_and_router_talk_over_tcp_whatever_fails)
{
    talk_with("tcp", FMQ_DEALER, FMQ_ROUTER);
}

TEST(two_pairs_talk_over_inproc_whatever_fails)
{
    talk_with("inproc", FMQ_PAIR, FMQ_PAIR);
}

TEST(dealer_and_router_talk_over_inproc_whatever_fails)
{
    talk_with("inproc", FMQ_DEALER, FMQ_ROUTER);
}

TEST(a_name_that_is_bound_later_is_found_whatever_fails)
{
    setup = (struct setup){
        .transport = "inproc", .a = FMQ_DEALER, .b = FMQ_ROUTER, .connect_first = true};
    each_fault(talk);
}

TEST(a_subscriber_that_is_bound_gets_messages_whatever_fails)
{
    talk_with("tcp", FMQ_PUB, FMQ_SUB);
}

/* ---- handshakes ---- */

static void handshake_with(const char *transport, int mechanism)
{
    fake_crypto_set();
    setup = (struct setup){
        .transport = transport, .a = FMQ_DEALER, .b = FMQ_DEALER, .mechanism = mechanism};
    each_fault(talk);
}

TEST(curve_is_shaken_and_talked_whatever_fails)
{
    handshake_with("tcp", CURVE);
}

TEST(curve_is_shaken_and_talked_over_ws_whatever_fails)
{
    handshake_with("ws", CURVE);
}

static int start(struct thread *t, void (*run)(void *arg), void *arg)
{
    int rc = thread_start(t, run, arg, "helper");
    return rc == -EAGAIN ? -FMQ_EMTHREAD : rc; /* as the engine says it */
}

static void step_thread(struct thread *t, void (*run)(void *arg), void *arg)
{
    STEP(start(t, run, arg));
}

/* Says yes to whoever asks. */
static void judge_all(void *arg)
{
    fmq_socket *rep = arg;
    for (;;) {
        struct parts p;
        parts_init(&p);
        int rc = eng_recv(rep, &p, 10000);
        parts_fini(&p);
        if (rc == -ENOTSOCK)
            return;
        if (rc)
            continue; /* excused: the question is asked again */
        static const char *const text[] = {"1.0", "1", "200", "", "", ""};
        struct msg out[6];
        for (int i = 0; i < 6; i++)
            msg_init_copy(&out[i], text[i], strlen(text[i])); /* they fit inline */
        while ((rc = fmq_send(rep, out, 6, false, ENG_WAIT_MS)) == -EINTR || rc == -ENOMEM)
            ;
        if (rc)
            return;
    }
}

static void ask_and_talk(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *rep = step_socket(ctx, FMQ_REP);
    STEP(fmq_bind(rep, "inproc://zeromq.zap.01"));
    fmq_socket *a = step_socket(ctx, FMQ_DEALER), *b = step_socket(ctx, FMQ_ROUTER);
    secure(a, b);
    struct thread judge;
    step_thread(&judge, judge_all, rep);
    struct eng_name name = step_bind(b, "tcp");
    STEP(fmq_connect(a, name.text));
    struct stream st = {.from = a, .to = b, .routed = true};
    get_through(&st, SMALL);
    fault_end();
    get_through(&st, MANY);
    check_losses(&st);
    eng_close(a);
    eng_close(b);
    eng_must(fmq_close(rep), "close");
    thread_join(&judge);
    fmq_socket_free(rep);
    eng_end(ctx);
}

TEST(a_handler_is_asked_and_answers_whatever_fails)
{
    setup = (struct setup){.mechanism = PLAIN};
    each_fault(ask_and_talk);
}

/* ---- request and reply ---- */

/* A CLIENT that has asked twice is answered twice, and does not know which answer is late. */
static bool answers_before(fmq_socket *req, const struct parts *p, uint32_t number)
{
    uint32_t got;
    if (fmq_socket_type(req) != FMQ_CLIENT || msg_size(&p->v[0]) != sizeof(got))
        return false;
    memcpy(&got, msg_data(&p->v[0]), sizeof(got));
    return got < number;
}

/* A round trip, at the latest once the fault is over. */
static void round_trip(fmq_socket *req, fmq_socket *rep, uint32_t number)
{
    uint64_t until = fault_until();
    int tries = 0;
    for (;;) {
        int rc = eng_send_bytes(req, &number, 4, false, 300);
        if (rc && rc != -EAGAIN) {
            must_be_excused(rc, &tries, "ask");
            continue;
        }
        struct parts p;
        parts_init(&p);
        /* What was asked before and comes late is answered, too. */
        while ((rc = eng_recv(rep, &p, 200)) != -EAGAIN) {
            if (rc) {
                must_be_excused(rc, &tries, "be asked");
                continue;
            }
            CHECK_EQ(p.len, 1);
            CHECK_EQ(msg_size(&p.v[0]), 4);
            /* A SERVER knows when who asked has gone. */
            while ((rc = fmq_send(rep, p.v, 1, false, 300)) < 0 && rc != -EHOSTUNREACH)
                must_be_excused(rc, &tries, "answer");
            while (parts_clear(&p), (rc = eng_recv(req, &p, 200)) != -EAGAIN) {
                if (rc)
                    must_be_excused(rc, &tries, "be answered");
                else if (!answers_before(req, &p, number))
                    break;
            }
            if (rc == 0)
                break;
        }
        if (rc == 0) {
            CHECK_EQ(p.len, 1);
            CHECK_MEM(msg_data(&p.v[0]), &number, 4);
            parts_fini(&p);
            return;
        }
        parts_fini(&p);
        if (!eng_left(until)) {
            fprintf(stderr, "no answer\n");
            tell_fault();
            check_failed();
        }
    }
}

static void ask(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *req = step_socket(ctx, FMQ_REQ), *rep = step_socket(ctx, FMQ_REP);
    STEP(fmq_set_int(req, REQ_RELAXED, 1));
    STEP(fmq_set_int(req, REQ_CORRELATE, 1));
    struct eng_name name = step_bind(rep, setup.transport);
    STEP(fmq_connect(req, name.text));
    round_trip(req, rep, 1);
    round_trip(req, rep, 2);
    fault_end();
    round_trip(req, rep, 3);
    eng_close(req);
    eng_close(rep);
    eng_end(ctx);
}

static void ask_a_server(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *client = step_socket(ctx, FMQ_CLIENT), *server = step_socket(ctx, FMQ_SERVER);
    struct eng_name name = step_bind(server, setup.transport);
    STEP(fmq_connect(client, name.text));
    round_trip(client, server, 1);
    round_trip(client, server, 2);
    fault_end();
    round_trip(client, server, 3);
    eng_close(client);
    eng_close(server);
    eng_end(ctx);
}

TEST(a_server_answers_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(ask_a_server);
}

TEST(a_server_answers_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(ask_a_server);
}

/* What a PUSH sends in several parts a GATHER drops, and loses nothing else. */
static void drop_parts(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *push = step_socket(ctx, FMQ_PUSH), *gather = step_socket(ctx, FMQ_GATHER);
    STEP(fmq_bind(gather, "inproc://parts"));
    STEP(fmq_connect(push, "inproc://parts"));
    for (uint32_t i = 0; i < 3; i++) {
        char text[2] = {(char)('a' + i), 0};
        for (int k = 0; k < 3; k++) { /* two parts, one part, three parts */
            static const uint32_t counts[] = {2, 1, 3};
            struct msg v[3];
            int tries = 0, rc;
            for (uint32_t j = 0; j < counts[k]; j++)
                while (msg_init_copy(&v[j], text, 1))
                    must_be_excused(-ENOMEM, &tries, "make a part");
            while ((rc = fmq_send(push, v, counts[k], false, 300)) < 0)
                must_be_excused(rc, &tries, "send");
        }
        struct parts p;
        int tries = 0, rc;
        parts_init(&p);
        while ((rc = eng_recv(gather, &p, ENG_WAIT_MS)) < 0)
            must_be_excused(rc, &tries, "receive");
        CHECK_EQ(p.len, 1);
        CHECK(msg_is_text(&p.v[0], text));
        parts_fini(&p);
    }
    fault_end();
    eng_expect_none(gather, 0);
    eng_close(push);
    eng_close(gather);
    eng_end(ctx);
}

TEST(messages_of_several_parts_are_dropped_whatever_fails)
{
    each_fault(drop_parts);
}

TEST(requests_are_answered_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(ask);
}

TEST(requests_are_answered_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(ask);
}

/* ---- connections that are made late, lost and made again ---- */

/* A port of setup.transport, a host, below those that the system gives to outgoing connections: one
 * of these could take it while nobody listens. */
static struct eng_name free_port(void)
{
    struct eng_name name;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (bool found = false; !found;) {
        in.sin_port = htons((uint16_t)(10000 + check_below(20000)));
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        found = bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
        close(fd);
    }
    snprintf(name.text, sizeof(name.text), "tcp://%s:%u", setup.transport, ntohs(in.sin_port));
    return name;
}

/* The listener is not there, comes, goes, and comes again; setup.transport is the host. */
static void come_and_go(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_PUSH);
    struct eng_name name = free_port();
    STEP(fmq_connect(a, name.text));
    struct stream st = {.from = a, .patience = 20}; /* what is sent to who goes is lost */
    for (int i = 0; i < 3; i++) {
        fmq_socket *b = step_socket(ctx, FMQ_PULL);
        STEP(fmq_bind(b, name.text));
        st.to = b;
        get_through(&st, SMALL);
        if (i == 1)
            fault_end();
        get_through(&st, MANY);
        STEP(fmq_unbind(b, name.text));
        eng_close(b);
    }
    eng_close(a);
    eng_end(ctx);
}

TEST(a_listener_may_come_and_go_whatever_fails)
{
    setup = (struct setup){.transport = "127.0.0.1"};
    each_fault(come_and_go);
}

TEST(a_listener_with_a_name_may_come_and_go_whatever_fails)
{
    setup = (struct setup){.transport = "localhost"};
    each_fault(come_and_go);
}

/* ---- subscriptions ---- */

static void subscribe_and_publish(void)
{
    enum { TOPICS = 12 };
    fmq_ctx *ctx = step_ctx();
    fmq_socket *pub = step_socket(ctx, FMQ_XPUB), *sub = step_socket(ctx, FMQ_SUB);
    struct eng_name name;
    if (setup.connect_first) {
        name = step_bind(sub, setup.transport);
        STEP(fmq_connect(pub, name.text));
    } else {
        name = step_bind(pub, setup.transport);
        STEP(fmq_connect(sub, name.text));
    }
    char topic[48];
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof(topic), "topic %d of some length", i);
        STEP(fmq_set_bytes(sub, ENG_SUBSCRIBE, topic, strlen(topic)));
    }
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof(topic), "topic %d of some length", i);
        uint64_t until = fault_until();
        int rc, tries = 0;
        for (;;) {
            while ((rc = fmq_wait_subscribers(pub, topic, strlen(topic), 1, 100)) < 0) {
                if (rc != -EAGAIN)
                    must_be_excused(rc, &tries, "wait_subscribers");
                if (!eng_left(until)) {
                    fprintf(stderr, "nobody subscribes to %s\n", topic);
                    tell_fault();
                    check_failed();
                }
            }
            while ((rc = eng_send_bytes(pub, topic, strlen(topic), false, 100)) < 0)
                must_be_excused(rc, &tries, "publish");
            struct parts p;
            parts_init(&p);
            bool came = false; /* one that was published before may be late */
            while (!came && (rc = eng_recv(sub, &p, 100)) != -EAGAIN) {
                if (rc) {
                    must_be_excused(rc, &tries, "recv");
                    continue;
                }
                CHECK_EQ(p.len, 1);
                CHECK(msg_size(&p.v[0]) > 6 && memcmp(msg_data(&p.v[0]), topic, 6) == 0);
                came = msg_is_text(&p.v[0], topic);
                parts_clear(&p);
            }
            parts_fini(&p);
            if (came)
                break;
            CHECK(eng_left(until));
        }
        if (i == TOPICS / 2)
            fault_end();
    }
    eng_close(pub);
    eng_close(sub);
    eng_end(ctx);
}

TEST(subscriptions_take_effect_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(subscribe_and_publish);
}

TEST(subscriptions_take_effect_at_a_publisher_that_connects_whatever_fails)
{
    setup = (struct setup){.transport = "ipc", .connect_first = true};
    each_fault(subscribe_and_publish);
}

TEST(subscriptions_take_effect_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(subscribe_and_publish);
}

/* ---- monitors ---- */

static void watch_the_life(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_PUSH), *b = step_socket(ctx, FMQ_PULL);
    STEP(fmq_monitor(b, "inproc://life", 0xffff, 1, FMQ_PAIR));
    fmq_socket *m = step_socket(ctx, FMQ_PAIR);
    STEP(fmq_connect(m, "inproc://life"));
    struct eng_name name = step_bind(b, "tcp");
    STEP(fmq_connect(a, name.text));
    struct stream st = {.from = a, .to = b};
    get_through(&st, SMALL);
    fault_end();
    /* The next connection is told of all the same. */
    struct parts p;
    parts_init(&p);
    while (eng_recv(m, &p, 0) == 0)
        parts_clear(&p);
    fmq_socket *c = step_socket(ctx, FMQ_PUSH);
    eng_connect(c, &name);
    eng_must(eng_recv(m, &p, ENG_WAIT_MS), "an event");
    CHECK_EQ(p.len, 2);
    parts_fini(&p);
    eng_close(a);
    eng_close(c);
    eng_close(b);
    eng_close(m);
    eng_end(ctx);
}

TEST(a_monitor_works_whatever_fails)
{
    each_fault(watch_the_life);
}

/* ---- poll sets, event loops ---- */

static void poll_set(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_DEALER), *b = step_socket(ctx, FMQ_DEALER);
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    fmq_pollset *set;
    STEP(fmq_pollset_new(&set));
    struct eng_name name = step_bind(b, setup.transport);
    STEP(fmq_pollset_add(set, a, FMQ_POLLIN | FMQ_POLLOUT, a));
    STEP(fmq_pollset_add(set, b, FMQ_POLLIN, b));
    STEP(fmq_pollset_add_fd(set, fds[0], FMQ_POLLIN, fds));
    STEP(fmq_connect(a, name.text));
    struct stream st = {.from = a, .to = b};
    STEP(fmq_pollset_modify(set, a, FMQ_POLLIN));
    for (int i = 0; i < 3; i++) {
        int rc = 0, tries = 0;
        uint64_t until = fault_until();
        struct fmq_pollevent ev[3];
        for (bool seen = false; !seen;) {
            CHECK(eng_left(until));
            rc = send_shape(&st, SMALL);
            if (rc && rc != -EAGAIN)
                must_be_excused(rc, &tries, "send");
            rc = fmq_pollset_wait(set, ev, 3, 300);
            if (rc < 0)
                must_be_excused(rc, &tries, "wait");
            for (int k = 0; k < rc; k++)
                seen = seen || (ev[k].data == b && ev[k].events == FMQ_POLLIN);
        }
        get_through(&st, SMALL);
        if (i == 1) {
            fault_end();
            CHECK_EQ(write(fds[1], "x", 1), 1);
            STEP(fmq_pollset_modify_fd(set, fds[0], 0));
            STEP(fmq_pollset_remove_fd(set, fds[0]));
        }
    }
    STEP(fmq_pollset_remove(set, b));
    fmq_pollset_free(set);
    close(fds[0]);
    close(fds[1]);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(a_poll_set_works_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(poll_set);
}

TEST(a_poll_set_works_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(poll_set);
}

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

/* FD, fmq_watch and a loop adapter, one after the other, show that a message came. */
static void event_loop(void)
{
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_DEALER), *b = step_socket(ctx, FMQ_DEALER);
    struct eng_name name = step_bind(b, setup.transport);
    STEP(fmq_connect(a, name.text));
    struct stream st = {.from = a, .to = b};
    bool adapters = strcmp(fmq_poller_name(), "poll") != 0;
    fmq_loop *adapter = NULL;
    if (adapters)
        STEP(fmq_loop_new(&adapter));
    for (int way = 0; way < (adapters ? 3 : 2); way++) {
        int64_t number = -1;
        int fd = -1, rc, tries = 0;
        if (way == 0) {
            STEP(fmq_get_int(b, OPT_FD, &number));
            fd = (int)number;
        } else if (way == 1) {
            STEP(fmq_watch(b, FMQ_POLLIN, &fd));
            STEP(fmq_watch(b, FMQ_POLLIN | FMQ_POLLOUT, &fd));
            STEP(fmq_watch(b, FMQ_POLLIN, &fd));
        } else {
            STEP(fmq_loop_watch(adapter, b, FMQ_POLLIN, b));
            fd = fmq_loop_fd(adapter);
        }
        uint64_t until = fault_until();
        for (bool seen = false; !seen;) {
            CHECK(eng_left(until));
            rc = send_shape(&st, SMALL);
            if (rc && rc != -EAGAIN)
                must_be_excused(rc, &tries, "send");
            while (!seen && readable(fd, 300)) {
                void *ready[4];
                if (way == 2) {
                    while ((rc = fmq_loop_wait(adapter, ready, 4)) < 0)
                        must_be_excused(rc, &tries, "loop_wait");
                }
                while ((rc = fmq_events(b)) < 0)
                    must_be_excused(rc, &tries, "events");
                seen = rc & FMQ_POLLIN;
                if (way == 2 && !seen)
                    STEP(fmq_loop_watch(adapter, b, FMQ_POLLIN, b));
                CHECK(eng_left(until));
            }
        }
        if (way == 1)
            STEP(fmq_watch(b, 0, &fd));
        get_through(&st, SMALL);
    }
    fault_end();
    get_through(&st, SMALL);
    if (adapters)
        fmq_loop_free(adapter);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(an_event_loop_is_told_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(event_loop);
}

TEST(an_event_loop_is_told_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(event_loop);
}

/* ---- proxies ---- */

struct relay {
    fmq_socket *front, *back, *control, *capture;
};

static void relay_run(void *arg)
{
    struct relay *r = arg;
    struct fmq_proxy_state state = {0};
    int rc, tries = 0;
    while ((rc = fmq_proxy(r->front, r->back, r->capture, r->control, &state)) < 0)
        if (rc != -EINTR)
            must_be_excused(rc, &tries, "proxy");
    fmq_proxy_end(&state);
}

static void relay(void)
{
    fmq_ctx *ctx = step_ctx();
    struct relay r = {.front = step_socket(ctx, FMQ_PULL),
                      .back = step_socket(ctx, FMQ_PUSH),
                      .control = step_socket(ctx, FMQ_PAIR),
                      .capture = step_socket(ctx, FMQ_PUB)};
    STEP(fmq_set_int(r.back, ENG_SNDHWM, 1));
    struct eng_name in = step_bind(r.front, setup.transport);
    struct eng_name out = step_bind(r.back, setup.transport);
    STEP(fmq_bind(r.control, "inproc://control"));
    fmq_socket *a = step_socket(ctx, FMQ_PUSH), *b = step_socket(ctx, FMQ_PULL);
    fmq_socket *boss = step_socket(ctx, FMQ_PAIR);
    STEP(fmq_set_int(b, ENG_RCVHWM, 1));
    STEP(fmq_connect(boss, "inproc://control"));
    STEP(fmq_connect(a, in.text));
    STEP(fmq_connect(b, out.text));
    struct thread thread;
    step_thread(&thread, relay_run, &r);
    struct stream st = {.from = a, .to = b};
    get_through(&st, SMALL);
    for (int i = 0; i < 4; i++) /* more than fit: the proxy has to wait for room */
        STEP(send_shape(&st, MANY));
    get_through(&st, LARGE);
    fault_end();
    get_through(&st, SMALL);
    check_losses(&st);
    eng_send(boss, "TERMINATE");
    thread_join(&thread);
    eng_close(a);
    eng_close(b);
    eng_close(boss);
    eng_close(r.front);
    eng_close(r.back);
    eng_close(r.control);
    eng_close(r.capture);
    eng_end(ctx);
}

TEST(a_proxy_relays_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(relay);
}

TEST(a_proxy_relays_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(relay);
}

/* ---- greetings ---- */

static void expect_greeting(fmq_socket *s)
{
    static const char text[] = "a greeting that is too long to be held inline, on purpose";
    struct parts p;
    int rc, tries = 0;
    uint64_t until = fault_until();
    parts_init(&p);
    while ((rc = eng_recv(s, &p, eng_left(until))) < 0)
        must_be_excused(rc, &tries, "greeting");
    CHECK_EQ(p.len, 1);
    CHECK(msg_is_text(&p.v[0], text));
    parts_fini(&p);
}

static void greet(void)
{
    static const char text[] = "a greeting that is too long to be held inline, on purpose";
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_DEALER), *b = step_socket(ctx, FMQ_DEALER);
    STEP(fmq_set_bytes(a, HELLO_MSG, text, strlen(text)));
    STEP(fmq_set_bytes(b, HELLO_MSG, text, strlen(text)));
    if (setup.connect_first) {
        STEP(fmq_connect(a, "inproc://later"));
        STEP(fmq_bind(b, "inproc://later"));
    } else {
        struct eng_name name = step_bind(b, setup.transport);
        STEP(fmq_connect(a, name.text));
    }
    expect_greeting(b);
    expect_greeting(a);
    fault_end();
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(greetings_arrive_over_tcp_whatever_fails)
{
    setup = (struct setup){.transport = "tcp"};
    each_fault(greet);
}

TEST(greetings_arrive_over_inproc_whatever_fails)
{
    setup = (struct setup){.transport = "inproc"};
    each_fault(greet);
    setup.connect_first = true;
    each_fault(greet);
}

/* ---- what a peer that left has sent ---- */

static void send_and_leave(void)
{
    enum { FIRST = 8, REST = 20 };
    fmq_ctx *ctx = step_ctx();
    fmq_socket *a = step_socket(ctx, FMQ_PUSH), *b = step_socket(ctx, FMQ_PULL);
    struct eng_name name = step_bind(b, "inproc");
    STEP(fmq_connect(a, name.text));
    struct stream st = {.from = a, .to = b};
    for (int i = 0; i < FIRST; i++)
        STEP(send_shape(&st, SMALL));
    for (int i = 0; i < FIRST + REST; i++) {
        struct parts p;
        int rc, tries = 0;
        parts_init(&p);
        while ((rc = eng_recv(b, &p, ENG_WAIT_MS)) < 0)
            must_be_excused(rc, &tries, "recv");
        check_message(&st, &p);
        parts_fini(&p);
        if (i == 0) { /* seven lie at the receiver still */
            for (int k = 0; k < REST; k++)
                STEP(send_shape(&st, SMALL));
            eng_close(a);
        }
    }
    CHECK_EQ(st.lost, 0);
    fault_end();
    eng_close(b);
    eng_end(ctx);
}

TEST(what_an_inproc_peer_sent_before_it_left_arrives_whatever_fails)
{
    each_fault(send_and_leave);
}

/* ---- faults in a row, and those that last ---- */

struct two {
    fmq_ctx *ctx;
    fmq_socket *a, *b;
    struct eng_name name;
};

static struct two two_new(int a, int b, int mechanism)
{
    struct two t = {.ctx = eng_ctx()};
    t.a = eng_socket(t.ctx, a);
    t.b = eng_socket(t.ctx, b);
    setup = (struct setup){.mechanism = mechanism};
    fault = (struct fault){.memory = true};
    secure(t.a, t.b);
    t.name = eng_bind(t.b, "tcp");
    return t;
}

static void two_end(struct two *t)
{
    eng_close(t->a);
    eng_close(t->b);
    eng_end(t->ctx);
}

TEST(a_listener_that_rested_and_cannot_be_watched_again_rests_once_more)
{
    struct two t = two_new(FMQ_PUSH, FMQ_PULL, NONE);
    sys_fail_call(SYS_ACCEPT, 1, 0, 0);
    eng_connect(t.a, &t.name);
    ENG_UNTIL(sys_failed(NULL));
    sys_fail_call(SYS_EPOLL_ADD, 1, 0, 1);
    if (strcmp(fmq_poller_name(), "epoll") == 0)
        ENG_UNTIL(sys_failed(NULL));
    eng_send(t.a, "hello");
    eng_expect(t.b, "hello");
    sys_fail_at(0, 0, 0);
    two_end(&t);
}

static int queued(fmq_socket *s)
{
    struct fmq_socket_stats stats;
    eng_must(fmq_stats(s, &stats), "stats");
    return (int)stats.count.queued_to_recv;
}

TEST(a_request_that_there_is_no_memory_for_shows_all_the_same)
{
    struct two t = two_new(FMQ_DEALER, FMQ_REP, NONE);
    eng_connect(t.a, &t.name);
    eng_send_more(t.a, "");
    for (int i = 0; i < 8; i++)
        eng_send_more(t.a, "p");
    eng_send(t.a, "last");
    ENG_UNTIL(queued(t.b) == 1);
    mem_fail_from(1, 1000000);
    int rc;
    while ((rc = fmq_poll_one(t.b, FMQ_POLLIN, 1000)) == -EINTR)
        ;
    CHECK(mem_failed() > 0);
    mem_fail_from(0, 0);
    CHECK_EQ(rc, FMQ_POLLIN);
    eng_expect(t.b, "p|p|p|p|p|p|p|p|last");
    two_end(&t);
}

TEST(what_could_not_be_encrypted_is_sent_once_there_is_memory)
{
    fake_crypto_set();
    for (int i = 0; i < 5; i++) {
        struct two t = two_new(FMQ_DEALER, FMQ_DEALER, CURVE);
        eng_connect(t.a, &t.name);
        eng_send(t.a, "hello");
        eng_expect(t.b, "hello");
        usleep(1000); /* what is sent after quiet is encrypted at once */
        char body[9000];
        memset(body, 'x', sizeof(body));
        struct msg m;
        CHECK_EQ(msg_init_copy(&m, body, sizeof(body)), 0);
        mem_fail_from(1 + i, 1000000);
        int rc = fmq_send(t.a, &m, 1, false, 0);
        usleep(3000); /* tries end in vain meanwhile */
        mem_fail_from(0, 0);
        if (rc)
            msg_drop(&m);
        CHECK(rc == 0 || rc == -ENOMEM);
        struct parts p;
        parts_init(&p);
        if (rc == 0) {
            eng_must(eng_recv(t.b, &p, ENG_WAIT_MS), "what was taken");
            CHECK_EQ(msg_size(&p.v[0]), sizeof(body));
        }
        parts_fini(&p);
        two_end(&t);
    }
}

TEST(without_memory_to_receive_a_socket_rests)
{
    enum { SIZE = 3000000 };
    int refused = 0;
    for (long nth = 1; nth <= 4; nth++) {
        struct two t = two_new(FMQ_PUSH, FMQ_PULL, NONE);
        eng_connect(t.a, &t.name);
        eng_send(t.a, "hello");
        eng_expect(t.b, "hello");
        struct msg m;
        uint8_t *data;
        CHECK_EQ(msg_init_blob(&m, SIZE, &data), 0);
        memset(data, 'x', SIZE);
        eng_must(fmq_send(t.a, &m, 1, false, 0), "send");
        mem_fail_from(nth, 1000000000);
        uint64_t cpu = eng_cpu();
        struct parts p;
        parts_init(&p);
        int rc = eng_recv(t.b, &p, 200);
        CHECK(rc == 0 || rc == -EAGAIN);
        if (rc) {
            CHECK(mem_failed() > 0);
            CHECK(eng_cpu() - cpu < 100 * NS_PER_MS);
            refused++;
        }
        mem_fail_from(0, 0);
        if (rc)
            eng_must(eng_recv(t.b, &p, ENG_WAIT_MS), "recv");
        CHECK_EQ(msg_size(&p.v[0]), SIZE);
        parts_fini(&p);
        two_end(&t);
    }
    CHECK(refused > 0);
}

static bool full(fmq_socket *s)
{
    int n = queued(s);
    usleep(10000); /* it is looked at once more, and then not any more */
    return n >= 2 && queued(s) == n;
}

TEST(a_connection_that_cannot_be_watched_again_is_read_all_the_same)
{
    struct two t = two_new(FMQ_PUSH, FMQ_PULL, NONE);
    eng_set(t.b, ENG_RCVHWM, 2);
    eng_set(t.b, SPIN_US, 0); /* a caller that spins reads without the poller */
    eng_connect(t.a, &t.name);
    struct stream st = {.from = t.a, .to = t.b};
    for (int i = 0; i < 10; i++)
        eng_must(send_shape(&st, LARGE), "send");
    ENG_UNTIL(full(t.b));
    sys_fail_call(SYS_EPOLL_ADD, 1, 0, 30);
    for (int i = 0; i < 10; i++) {
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(t.b, &p, ENG_WAIT_MS), "recv");
        check_message(&st, &p);
        parts_fini(&p);
    }
    CHECK_EQ(st.lost, 0);
    if (strcmp(fmq_poller_name(), "epoll") == 0)
        CHECK(sys_failed(NULL));
    sys_fail_at(0, 0, 0);
    two_end(&t);
}

TEST(a_connection_that_is_not_read_and_cannot_be_watched_is_written_all_the_same)
{
    struct two t = two_new(FMQ_DEALER, FMQ_DEALER, NONE);
    eng_set(t.b, ENG_SHM, 0); /* a ring is watched by what is in the poller already */
    eng_set(t.b, ENG_RCVHWM, 2);
    eng_set(t.b, ENG_SNDBUF, 4096);
    eng_connect(t.a, &t.name);
    static char big[1 << 20];
    for (int i = 0; i < 6; i++) /* for one who does not receive */
        eng_must(eng_send_bytes(t.a, big, sizeof(big), false, ENG_WAIT_MS), "send");
    ENG_UNTIL(full(t.b));
    usleep(100000);
    sys_fail_call(SYS_EPOLL_ADD, 1, 0, 0);
    for (int i = 0; i < 12; i++)
        eng_must(eng_send_bytes(t.b, big, sizeof(big), false, ENG_WAIT_MS), "send");
    fmq_flush(t.b);
    ENG_UNTIL(sys_failed(NULL) != NULL || strcmp(fmq_poller_name(), "epoll") != 0);
    for (int i = 0; i < 12; i++) {
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(t.a, &p, ENG_WAIT_MS), "recv");
        parts_fini(&p);
    }
    sys_fail_at(0, 0, 0);
    two_end(&t);
}

static void fill(void *arg)
{
    eng_send(arg, "one");
}

TEST(a_message_that_could_not_be_begun_promises_nothing)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    eng_set(s, ENG_LINGER, 0);
    eng_set(s, ENG_SNDHWM, 1);
    eng_must(fmq_connect(s, "inproc://nobody"), "connect");
    struct msg parts[MANY_PARTS];
    for (int i = 0; i < MANY_PARTS; i++)
        msg_init(&parts[i]);
    for (long nth = 1; nth <= 2; nth++) {
        mem_fail_at(nth);
        CHECK_EQ(fmq_send(s, parts, MANY_PARTS, true, 0), -ENOMEM);
    }
    mem_fail_at(0);
    struct thread thread;
    eng_must(thread_start(&thread, fill, s, "fill"), "thread");
    thread_join(&thread);
    CHECK_EQ(fmq_events(s), 0);
    eng_close(s);
    eng_end(ctx);
}

/* ---- a handshake that finds no memory at its end ---- */

/* Exactly so many bytes, within the deadline of a test. */
static void get_bytes(int fd, void *to, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = recv(fd, (char *)to + have, len - have, 0);
        CHECK(n > 0);
        have += (size_t)n;
    }
}

/* The peer's end of a NULL handshake by hand, up to its READY: that the socket has sent its own
 * means that a peer may send messages. */
static void shake_by_hand(int fd)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    uint8_t theirs[64], head[2], body[255];
    CHECK_EQ(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL), sizeof(greeting));
    get_bytes(fd, theirs, sizeof(theirs));
    get_bytes(fd, head, sizeof(head));
    CHECK_EQ(head[0], 4); /* a short command */
    get_bytes(fd, body, head[1]);
    CHECK_MEM(body, "\5READY", 6);
}

/* Its connection to a peer by hand. */
static int connect_by_hand(fmq_socket *s, bool bound)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(in);
    struct eng_name name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bound) {
        name = eng_bind(s, "tcp");
        in.sin_port = htons((uint16_t)atoi(strrchr(name.text, ':') + 1));
        CHECK_EQ(connect(fd, (struct sockaddr *)&in, len), 0);
    } else {
        int listener = fd;
        CHECK_EQ(bind(listener, (struct sockaddr *)&in, len), 0);
        CHECK_EQ(listen(listener, 1), 0);
        CHECK_EQ(getsockname(listener, (struct sockaddr *)&in, &len), 0);
        snprintf(name.text, sizeof(name.text), "tcp://127.0.0.1:%u", ntohs(in.sin_port));
        eng_connect(s, &name);
        fd = accept(listener, NULL, NULL);
        close(listener);
    }
    CHECK(fd >= 0);
    return fd;
}

/* A PULL, which connects or is bound, and a PUSH by hand that sends a message right after READY.
 * True: an allocation failed. */
static bool ready_without_memory(bool bound, long nth)
{
    static const char end[] = "\4\x1a\5READY\13Socket-Type\0\0\0\4PUSH"
                              "\0\5hello";
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pull = eng_socket(ctx, FMQ_PULL);
    int fd = connect_by_hand(pull, bound);
    shake_by_hand(fd);
    mem_fail_at(nth);
    CHECK_EQ(send(fd, end, sizeof(end) - 1, MSG_NOSIGNAL), sizeof(end) - 1);
    struct parts p;
    char got[16];
    int rc;
    parts_init(&p);
    while ((rc = eng_recv(pull, &p, ENG_WAIT_MS)) == -ENOMEM && mem_failed())
        ;
    eng_must(rc, "recv");
    eng_text(&p, got, sizeof(got));
    parts_fini(&p);
    CHECK_STR(got, "hello");
    mem_fail_at(0);
    eng_close(pull);
    eng_end(ctx);
    close(fd);
    return mem_failed() > 0;
}

TEST(a_handshake_that_finds_no_memory_at_its_end_costs_no_message)
{
    for (int bound = 0; bound < 2; bound++) {
        long nth = 1;
        while (ready_without_memory(bound, nth))
            nth++;
        CHECK(nth > 2);
    }
}

/* What the socket has sent from now on, until it was closed. */
static size_t get_all(int fd, uint8_t *to, size_t most)
{
    size_t have = 0;
    ssize_t n;
    while ((n = recv(fd, to + have, most - have, 0)) > 0)
        have += (size_t)n;
    CHECK_EQ(n, 0);
    return have;
}

#define LONG_TEXT 3000 /* its frame takes an allocation, or two */

/* A socket that has something to say first, and a peer by hand that sends a message right after
 * READY. A message waits for the peer where the socket connects and sends. True: an allocation
 * failed. */
static bool greets_without_memory(int type, bool bound, long nth)
{
    static uint8_t want[4 * (LONG_TEXT + 20)], got[2 * sizeof(want)], text[LONG_TEXT];
    bool subscribes = type == FMQ_SUB, waits = !subscribes && type != FMQ_ROUTER && !bound;
    size_t len = 0;
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, type);
    memset(text, 'x', sizeof(text));
    if (!subscribes) {
        eng_set(s, PROBE_ROUTER, 1);
        eng_must(fmq_set_bytes(s, HELLO_MSG, text, sizeof(text)), "HELLO_MSG");
        memcpy(want, "\0\0", 2); /* the probe */
        len = 2;
    }
    for (int i = 0; i < (subscribes ? 3 : 1); i++) {
        size_t size = sizeof(text) + subscribes;
        memcpy(want + len, (uint8_t[]){2, 0, 0, 0, 0, 0, 0, (uint8_t)(size >> 8), (uint8_t)size},
               9);
        len += 9;
        if (subscribes) {
            text[0] = (uint8_t)('a' + i);
            want[len++] = 1;
            eng_must(fmq_set_bytes(s, SUBSCRIBE, text, sizeof(text)), "SUBSCRIBE");
        }
        memcpy(want + len, text, sizeof(text));
        len += sizeof(text);
    }
    int fd = connect_by_hand(s, bound);
    if (waits) {
        eng_send(s, "next");
        memcpy(want + len, "\0\4next", 6);
        len += 6;
    }
    shake_by_hand(fd);
    const char *const end = subscribes ? "\4\x19\5READY\13Socket-Type\0\0\0\3PUB"
                                       : "\4\x1c\5READY\13Socket-Type\0\0\0\6DEALER";
    size_t end_len = 2 + (size_t)end[1];
    mem_fail_at(nth);
    CHECK_EQ(send(fd, end, end_len, MSG_NOSIGNAL), end_len);
    uint8_t first[9] = {2, 0, 0, 0, 0, 0, 0, LONG_TEXT >> 8, LONG_TEXT & 255};
    CHECK_EQ(send(fd, first, sizeof(first), MSG_NOSIGNAL), sizeof(first));
    CHECK_EQ(send(fd, text, sizeof(text), MSG_NOSIGNAL), sizeof(text)); /* or its last topic */
    struct parts p;
    int rc;
    parts_init(&p);
    while ((rc = eng_recv(s, &p, ENG_WAIT_MS)) == -ENOMEM && mem_failed())
        ;
    eng_must(rc, "recv");
    parts_fini(&p);
    bool failed = mem_failed() > 0;
    mem_fail_at(0);
    eng_close(s);
    eng_end(ctx);
    CHECK_EQ(get_all(fd, got, sizeof(got)), len);
    if (subscribes) /* in any order */
        CHECK_MEM(got, want, 10);
    else
        CHECK_MEM(got, want, len);
    close(fd);
    return failed;
}

TEST(a_handshake_that_finds_no_memory_at_its_end_greets_once)
{
    static const int types[] = {FMQ_DEALER, FMQ_ROUTER, FMQ_SUB};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        for (int bound = 0; bound < 2; bound++) {
            long nth = 1;
            while (greets_without_memory(types[i], bound, nth))
                nth++;
            CHECK(nth > 3);
        }
    }
}

/* A peer by hand of a bound ws socket sends a fragment for which there is no memory any more. */
TEST(a_message_in_fragments_that_finds_no_memory_for_long_ends_its_connection)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: ZWS2.0\r\n\r\n"
        "\x82\x81\0\0\0\0\0"   /* no routing id */
        "\x82\x82\0\0\0\0\0x"; /* a message */
    static const char fragment[] = "\2\x82\0\0\0\0\0y";
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval deadline = {.tv_sec = ENG_WAIT_MS / 1000};
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pull = eng_socket(ctx, FMQ_PULL);
    char name[64], left[1000];
    size_t len = sizeof(name) - 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    eng_must(fmq_bind(pull, "ws://127.0.0.1:*/"), "bind");
    eng_must(fmq_get_bytes(pull, ENG_LAST_ENDPOINT, name, &len), "LAST_ENDPOINT");
    name[len] = 0;
    in.sin_port = htons((uint16_t)atoi(strrchr(name, ':') + 1));
    CHECK_EQ(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
    CHECK_EQ(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), (int)sizeof(request) - 1);
    eng_expect(pull, "x");
    mem_fail_from(1, 1000000000);
    CHECK_EQ(send(fd, fragment, sizeof(fragment) - 1, MSG_NOSIGNAL), (int)sizeof(fragment) - 1);
    ssize_t n;
    do
        n = recv(fd, left, sizeof(left), 0);
    while (n > 0);
    CHECK(n == 0 || errno == ECONNRESET);
    mem_fail_at(0);
    close(fd);
    eng_close(pull);
    eng_end(ctx);
}

/* ---- descriptors that others close ---- */

/* The call answers so before the deadline, or else at once. */
static void must_break(fmq_socket *s)
{
    struct parts p;
    parts_init(&p);
    CHECK_EQ(eng_recv(s, &p, ENG_WAIT_MS), -FMQ_EBROKEN);
    CHECK_EQ(eng_recv(s, &p, ENG_WAIT_MS), -FMQ_EBROKEN);
    parts_fini(&p);
    CHECK_EQ(eng_try_send(s, "x"), -FMQ_EBROKEN);
}

/* All polling fails from the nth call on, in whichever thread that is: calls fail, nothing spins,
 * closing ends although messages wait to be sent. */
static void polling_breaks(enum sys_call call, long nth, unsigned which)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_DEALER), *b = eng_socket(ctx, FMQ_DEALER);
    fmq_socket *lonely = eng_socket(ctx, FMQ_DEALER);
    struct eng_name name = eng_bind(b, "tcp");
    eng_connect(a, &name);
    eng_send(a, "1");
    eng_expect(b, "1");
    eng_must(fmq_connect(lonely, "tcp://127.0.0.1:1"), "connect");
    eng_send(lonely, "never sent");
    sys_fail_call(call, nth, which, 1000000);
    must_break(a);
    must_break(b);
    uint64_t cpu = eng_cpu();
    usleep(200000);
    CHECK(eng_cpu() - cpu < 100 * NS_PER_MS);
    eng_close(lonely);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
    sys_fail_call(call, 0, 0, 0);
}

TEST(a_poller_that_was_closed_is_told_once_and_ends_the_sockets)
{
    for (long nth = 1; nth <= 4; nth++)
        for (unsigned which = 0; which < 2; which++)
            polling_breaks(SYS_POLLER_LOST, nth, which);
}

TEST(a_poll_set_whose_poller_was_closed_says_so)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_DEALER);
    fmq_pollset *set;
    struct fmq_pollevent ev;
    eng_must(fmq_pollset_new(&set), "pollset_new");
    eng_must(fmq_pollset_add(set, s, FMQ_POLLIN, s), "add");
    for (int timeout = -1; timeout <= 0; timeout++) {
        sys_fail_call(SYS_POLLER_LOST, 1, 0, 1000000);
        CHECK_EQ(fmq_pollset_wait(set, &ev, 1, timeout), -FMQ_EBROKEN);
        sys_fail_call(SYS_POLLER_LOST, 0, 0, 0);
    }
    fmq_pollset_free(set);
    eng_close(s);
    eng_end(ctx);
}

TEST(a_loop_adapter_whose_poller_was_closed_says_so)
{
    fmq_loop *h;
    void *ready[1];
    if (fmq_loop_new(&h) == -ENOTSUP)
        return; /* pollers without descriptors */
    sys_fail_call(SYS_POLLER_LOST, 1, 0, 0);
    CHECK_EQ(fmq_loop_wait(h, ready, 1), -FMQ_EBROKEN);
    sys_fail_call(SYS_POLLER_LOST, 0, 0, 0);
    fmq_loop_free(h);
}

TEST(a_wake_up_that_was_closed_does_not_keep_the_context_from_ending)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *a = eng_socket(ctx, FMQ_DEALER);
    eng_must(fmq_connect(a, "tcp://127.0.0.1:1"), "connect");
    eng_expect_none(a, 1); /* has a wake-up from now on */
    eng_send(a, "never sent");
    sys_fail_call(SYS_WAKEUP_LOST, 1, 0, 1000000);
    eng_close(a);
    eng_end(ctx);
    sys_fail_call(SYS_WAKEUP_LOST, 0, 0, 0);
}
