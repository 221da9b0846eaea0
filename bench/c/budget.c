/* SPDX-License-Identifier: MIT */
/*
 * One path of the engine, again and again, for callgrind to count the instructions of:
 * bench/budget.py runs it and counts what is spent between entering and leaving the functions named
 * measured_*.
 *
 *   budget PATH     prints how many messages the measured functions moved since counting_begins
 *   budget          prints the paths
 *
 * The counts are the same in every run: everything happens on one thread, because the linker puts
 * the functions __wrap_* below in place of the engine's clock, random numbers and threads
 * (Makefile), and nothing is received before all of it has reached the kernel's buffers.
 */
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"

#define WARM_UP 20 /* rounds before those that count */
#define ROUNDS 50
#define BATCH 200 /* messages a round: below any high-water mark and 64 KiB */
#define SMALL 64
#define LARGE 100000
#define PARTS 5
#define SUBSCRIBERS 16
#define TOPICS 1000
#define MAX_FDS 256

/* ---- a clock and random numbers that are the same in every run, and no I/O thread ---- */

static uint64_t now_ns = NS_PER_S;
static int clock_reads, thread_starts;

uint64_t __wrap_clock_now(void);
void __wrap_random_bytes(void *buf, size_t len);
int __wrap_thread_start(struct thread *t, void (*fn)(void *arg), void *arg, const char *name);
void __wrap_thread_join(struct thread *t);

uint64_t __wrap_clock_now(void)
{
    clock_reads++;
    return now_ns += 20;
}

void __wrap_random_bytes(void *buf, size_t len)
{
    memset(buf, 0x5a, len);
}

int __wrap_thread_start(struct thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    (void)t, (void)fn, (void)arg, (void)name;
    thread_starts++;
    return 0;
}

void __wrap_thread_join(struct thread *t)
{
    (void)t;
}

/* So long that every socket counts as quiet, and far less than any timer of the engine. */
static void let_time_pass(void)
{
    now_ns += 50 * NS_PER_US;
}

/* The clock goes on here too, or else a socket would look at its busiest connection alone. */
static void sleep_a_little(void)
{
    now_ns += NS_PER_MS + 1;
    usleep(1000);
}

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* ---- setting up: the sockets are polled when they are asked for their events ---- */

static fmq_ctx *ctx;
static char payload[LARGE];

/* Both ends have to look at the network before a message is through. */
static void until_arrived(fmq_socket *from, fmq_socket *to)
{
    for (int i = 0; i < 5000; i++) {
        must(fmq_events(from), "events");
        if (must(fmq_events(to), "events") & FMQ_POLLIN)
            return;
        sleep_a_little();
    }
    die("nothing arrived in 5 s");
}

/* Bytes that the kernel holds for this process to receive. */
static size_t waiting_bytes(void)
{
    size_t sum = 0;

    for (int fd = 0; fd < MAX_FDS; fd++) {
        int type, n;
        socklen_t len = sizeof(type);

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &type, &len) == 0 && type == 0 &&
            ioctl(fd, FIONREAD, &n) == 0)
            sum += (size_t)n;
    }
    return sum;
}

static void until_waiting(size_t bytes)
{
    for (int i = 0; i < 5000; i++) {
        size_t n = waiting_bytes();

        if (n == bytes)
            return;
        if (n > bytes)
            die("more is under way than was sent");
        usleep(1000);
    }
    die("what was sent did not arrive in 5 s");
}

/* ---- sending and receiving ---- */

static size_t framed(size_t size)
{
    return size + (size < 256 ? 2 : 9);
}

static void send_at_once(fmq_socket *s, size_t size)
{
    must(fmq_try_send_bytes(s, payload, size, payload, false), "send");
}

static void send_small(fmq_socket *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        send_at_once(s, SMALL);
}

static void recv_parts(fmq_socket *s, uint32_t messages, uint32_t parts, size_t size)
{
    for (uint32_t i = 0; i < messages * parts; i++)
        if (recv_one(s) != size)
            die("a message is not as it was sent");
}

struct pair {
    fmq_socket *to, *from;
};

static struct pair connected(int to, int from, const char *transport)
{
    struct pair p = {open_socket(ctx, to), open_socket(ctx, from)};

    /* Room in the kernel for all that is under way. */
    must(fmq_set_int(p.to, OPT_RCVBUF, 1 << 20), "RCVBUF");
    must(fmq_set_int(p.from, OPT_SNDBUF, 1 << 20), "SNDBUF");

    struct address address = bind_fresh(p.to, transport);
    must(fmq_connect(p.from, address.text), "connect");
    return p;
}

static struct pair push_pull(const char *transport, bool single)
{
    struct pair p =
        connected(single ? FMQ_GATHER : FMQ_PULL, single ? FMQ_SCATTER : FMQ_PUSH, transport);

    send_at_once(p.from, SMALL);
    until_arrived(p.from, p.to);
    recv_parts(p.to, 1, 1, SMALL);
    return p;
}

/* ---- the paths: each returns how many messages it moved a round ---- */

__attribute__((noinline)) static void measured_send(fmq_socket *s)
{
    send_small(s, BATCH);
    must(fmq_flush(s), "flush");
}

__attribute__((noinline)) static void measured_recv(fmq_socket *s)
{
    recv_parts(s, BATCH, 1, SMALL);
}

static uint64_t pushpull_over(const char *transport, bool sending, bool receiving, bool single)
{
    static struct pair p;

    if (p.to == NULL)
        p = push_pull(transport, single);
    let_time_pass();
    if (sending)
        measured_send(p.from);
    else {
        send_small(p.from, BATCH);
        must(fmq_flush(p.from), "flush");
    }
    if (strcmp(transport, "inproc") != 0)
        until_waiting(BATCH * framed(SMALL));
    if (receiving)
        measured_recv(p.to);
    else
        recv_parts(p.to, BATCH, 1, SMALL);
    return BATCH;
}

static uint64_t send_tcp(void)
{
    return pushpull_over("tcp", true, false, false);
}

static uint64_t recv_tcp(void)
{
    return pushpull_over("tcp", false, true, false);
}

static uint64_t both_inproc(void)
{
    return pushpull_over("inproc", true, true, false);
}

static uint64_t scatter_gather_tcp(void)
{
    return pushpull_over("tcp", true, true, true);
}

__attribute__((noinline)) static void measured_recv_many(fmq_socket *s, struct parts *parts)
{
    for (uint32_t got = 0; got < BATCH;) {
        int rc = fmq_try_recv_many(s, parts, BATCH);

        if (rc == -EAGAIN)
            rc = fmq_recv_many(s, parts, BATCH, -1);
        got += (uint32_t)must(rc, "recv_many");
    }
    parts_clear(parts);
}

static uint64_t recv_many_tcp(void)
{
    static struct pair p;
    static struct parts parts;

    if (p.to == NULL) {
        p = push_pull("tcp", false);
        parts_init(&parts);
    }
    let_time_pass();
    send_small(p.from, BATCH);
    must(fmq_flush(p.from), "flush");
    until_waiting(BATCH * framed(SMALL));
    measured_recv_many(p.to, &parts);
    return BATCH;
}

__attribute__((noinline)) static void measured_send_multipart(fmq_socket *s)
{
    for (int i = 0; i < BATCH; i++) {
        struct msg parts[PARTS];

        for (int j = 0; j < PARTS; j++)
            msg_init_borrowed(&parts[j], payload, SMALL, payload);
        must(fmq_try_send(s, parts, PARTS, false), "send");
    }
    must(fmq_flush(s), "flush");
}

__attribute__((noinline)) static void measured_recv_multipart(fmq_socket *s)
{
    for (int i = 0; i < BATCH; i++) {
        struct parts parts;
        int rc;

        parts_init(&parts);
        rc = fmq_try_recv(s, &parts, NULL);
        if (rc == -EAGAIN)
            rc = fmq_recv(s, &parts, NULL, -1);
        must(rc, "recv");
        if (parts.len != PARTS)
            die("a message has not the parts it was sent with");
        parts_fini(&parts);
    }
}

static uint64_t multipart_tcp(void)
{
    static struct pair p;

    if (p.to == NULL)
        p = push_pull("tcp", false);
    let_time_pass();
    measured_send_multipart(p.from);
    until_waiting(BATCH * PARTS * framed(SMALL));
    measured_recv_multipart(p.to);
    return BATCH;
}

/* One message a round, the quiet between them long: each is written at once. */
__attribute__((noinline)) static void measured_trip_send(fmq_socket *s)
{
    send_at_once(s, SMALL);
}

__attribute__((noinline)) static void measured_trip_recv(fmq_socket *s)
{
    recv_parts(s, 1, 1, SMALL);
}

static uint64_t reqrep_tcp(void)
{
    static struct pair p;

    if (p.to == NULL) {
        p = connected(FMQ_REP, FMQ_REQ, "tcp");
        for (int i = 0; i < 2; i++) {
            fmq_socket *from = i ? p.to : p.from, *to = i ? p.from : p.to;

            send_at_once(from, SMALL);
            until_arrived(from, to);
            recv_parts(to, 1, 1, SMALL);
        }
    }
    let_time_pass();
    measured_trip_send(p.from);
    until_waiting(framed(0) + framed(SMALL));
    measured_trip_recv(p.to);
    let_time_pass();
    measured_trip_send(p.to);
    until_waiting(framed(0) + framed(SMALL));
    measured_trip_recv(p.from);
    return 1;
}

/* ROUTER or SERVER takes a message and sends it back where it came from. */
__attribute__((noinline)) static void measured_echo(fmq_socket *router)
{
    for (int i = 0; i < BATCH; i++) {
        struct parts parts;
        int rc;

        parts_init(&parts);
        rc = fmq_try_recv(router, &parts, NULL);
        if (rc == -EAGAIN)
            rc = fmq_recv(router, &parts, NULL, -1);
        must(rc, "recv");
        must(fmq_try_send(router, parts.v, parts.len, false), "send");
        parts.len = 0;
        parts_fini(&parts);
    }
    must(fmq_flush(router), "flush");
}

static uint64_t echo_over(int server, int client)
{
    static struct pair p;

    if (p.to == NULL) {
        p = connected(server, client, "tcp");
        send_small(p.from, 1);
        until_arrived(p.from, p.to);
        if (server == FMQ_ROUTER)
            recv_parts(p.to, 1, 1, 5);
        recv_parts(p.to, 1, 1, SMALL);
    }
    let_time_pass();
    send_small(p.from, BATCH);
    must(fmq_flush(p.from), "flush");
    until_waiting(BATCH * framed(SMALL));
    measured_echo(p.to);
    until_waiting(BATCH * framed(SMALL));
    recv_parts(p.from, BATCH, 1, SMALL);
    return BATCH;
}

static uint64_t router_tcp(void)
{
    return echo_over(FMQ_ROUTER, FMQ_DEALER);
}

static uint64_t server_tcp(void)
{
    return echo_over(FMQ_SERVER, FMQ_CLIENT);
}

/* Subscribers whose subscriptions the publisher has heard of. */
static fmq_socket *publisher(fmq_socket **subs, int count)
{
    fmq_socket *pub = open_socket(ctx, FMQ_XPUB);
    struct address address = bind_fresh(pub, "tcp");

    for (int i = 0; i < count; i++) {
        subs[i] = open_socket(ctx, FMQ_SUB);
        for (int j = 0; j < TOPICS; j++) {
            char topic[32];

            /* What is sent begins with zeros: the first one matches. */
            if (j > 0)
                snprintf(topic, sizeof(topic), "area.%d.device.%d.", j % 97, j);
            must(fmq_set_bytes(subs[i], OPT_SUBSCRIBE, j ? topic : payload, j ? strlen(topic) : 8),
                 "subscribe");
            if (count > 1)
                break;
        }
        must(fmq_connect(subs[i], address.text), "connect");
        until_arrived(subs[i], pub);
    }
    for (int i = 0; i < count; i++) {
        for (int tries = 0; !(must(fmq_events(subs[i]), "events") & FMQ_POLLIN); tries++) {
            struct msg m;

            if (tries == 5000)
                die("a subscriber does not hear the publisher");
            while (fmq_try_recv_part(pub, &m, NULL) == 0)
                msg_drop(&m);
            must(fmq_events(pub), "events");
            send_small(pub, 1);
            must(fmq_flush(pub), "flush");
            sleep_a_little();
        }
    }
    return pub;
}

/* What came to a subscriber while it was being connected. */
static void drain(fmq_socket *s)
{
    struct msg m;

    do {
        while (fmq_try_recv_part(s, &m, NULL) == 0)
            msg_drop(&m);
    } while (must(fmq_events(s), "events") & FMQ_POLLIN);
}

static uint64_t fanout_tcp(void)
{
    static fmq_socket *pub, *subs[SUBSCRIBERS];

    if (pub == NULL) {
        pub = publisher(subs, SUBSCRIBERS);
        for (int i = 0; i < SUBSCRIBERS; i++)
            drain(subs[i]);
    }
    let_time_pass();
    measured_send(pub);
    until_waiting(SUBSCRIBERS * BATCH * framed(SMALL));
    for (int i = 0; i < SUBSCRIBERS; i++)
        recv_parts(subs[i], BATCH, 1, SMALL);
    return BATCH;
}

/* Sent and received: both ends look the topic up among a thousand. */
static uint64_t topics_tcp(void)
{
    static fmq_socket *pub, *sub;

    if (pub == NULL) {
        pub = publisher(&sub, 1);
        drain(sub);
        drain(pub);
    }
    let_time_pass();
    measured_send(pub);
    until_waiting(BATCH * framed(SMALL));
    measured_recv(sub);
    return BATCH;
}

__attribute__((noinline)) static void measured_send_large(fmq_socket *s)
{
    send_at_once(s, LARGE);
    must(fmq_flush(s), "flush");
}

__attribute__((noinline)) static void measured_recv_large(fmq_socket *s)
{
    recv_parts(s, 1, 1, LARGE);
}

static uint64_t large_tcp(void)
{
    static struct pair p;

    if (p.to == NULL)
        p = push_pull("tcp", false);
    let_time_pass();
    measured_send_large(p.from);
    until_waiting(framed(LARGE));
    measured_recv_large(p.to);
    return 1;
}

/* What was counted up to here does not count. */
__attribute__((noinline)) static void counting_begins(void)
{
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint64_t (*round)(void);
    } paths[] = {
        {"PUSH sends 64 B, tcp", send_tcp},
        {"PULL receives 64 B, tcp", recv_tcp},
        {"PULL receives 64 B in batches, tcp", recv_many_tcp},
        {"PUSH and PULL 64 B, inproc", both_inproc},
        {"PUSH and PULL 100 kB, tcp", large_tcp},
        {"PUSH and PULL 5 parts of 64 B, tcp", multipart_tcp},
        {"REQ and REP 64 B, a round trip, tcp", reqrep_tcp},
        {"ROUTER echoes 64 B, tcp", router_tcp},
        {"SCATTER and GATHER 64 B, tcp", scatter_gather_tcp},
        {"SERVER echoes 64 B, tcp", server_tcp},
        {"PUB sends 64 B to 16 SUB, tcp", fanout_tcp},
        {"PUB and SUB 64 B, 1000 topics, tcp", topics_tcp},
    };
    uint64_t (*round)(void) = NULL;
    uint64_t messages = 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (argc < 2)
            puts(paths[i].name);
        else if (strcmp(argv[1], paths[i].name) == 0)
            round = paths[i].round;
    }
    if (argc < 2)
        return 0;
    if (round == NULL) {
        fprintf(stderr, "budget: there is no path \"%s\"\n", argv[1]);
        return 2;
    }
    setenv("FASTMQ_SHM", "0", 1); /* the paths of tcp, not of a ring */
    ctx = open_context();
    for (int i = 0; i < WARM_UP; i++)
        round();
    if (clock_reads == 0 || thread_starts == 0)
        die("the linker did not put the clock and the threads of this program into the engine");
    counting_begins();
    for (int i = 0; i < ROUNDS; i++)
        messages += round();
    printf("%llu\n", (unsigned long long)messages);
    fflush(stdout);
    /* There is no thread that could take the sockets down. */
    _exit(0);
}
