/* SPDX-License-Identifier: MIT */
/*
 * Round trips and throughput of the engine alone: what is missing to the same measurement from
 * Python is Python's share. Both ends are processes, or with inproc one thread.
 *
 *   engine reqrep TRANSPORT SIZE SECONDS      prints {"p50": us, "p99": us}
 *   engine pushpull TRANSPORT SIZE SECONDS    prints {"rate": msg/s, "cpu": us CPU/msg, both ends}
 */
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define MAX_SAMPLES 4000000
#define BATCH 100 /* of the one-threaded case: well below any high-water mark */

static const char *transport;
static size_t size;
static double seconds;
static char *payload;

/* From the other process: an address first, then what each scenario says. */
static int from_server[2], to_server[2];

static double clock_of(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double wall(void)
{
    return clock_of(CLOCK_MONOTONIC);
}

static double cpu(void)
{
    return clock_of(CLOCK_PROCESS_CPUTIME_ID);
}

static void tell(int fd, const void *what, size_t len)
{
    if (write(fd, what, len) != (ssize_t)len)
        exit(1);
}

static void hear(int fd, void *what, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = read(fd, (char *)what + got, len - got);
        if (n <= 0)
            exit(1);
        got += (size_t)n;
    }
}

/* ---- round trips ---- */

static void reqrep_server(fmq_ctx *ctx)
{
    fmq_socket *rep = open_socket(ctx, FMQ_REP);
    struct address address = bind_fresh(rep, transport);

    tell(from_server[1], &address, sizeof(address));
    for (;;) {
        struct msg m;
        bool last;
        int rc = fmq_try_recv_part(rep, &m, NULL);

        while (rc == -EAGAIN || rc == -EBUSY || rc == -EINTR)
            rc = fmq_recv_part(rep, &m, NULL, -1);
        must(rc, "recv");
        last = msg_size(&m) != size;
        rc = fmq_try_send(rep, &m, 1, false);
        while (rc == -EAGAIN || rc == -EBUSY || rc == -EINTR)
            rc = fmq_send(rep, &m, 1, false, -1);
        must(rc, "send");
        if (last)
            break;
    }
    close_socket(rep);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void reqrep_client(fmq_ctx *ctx)
{
    fmq_socket *req = open_socket(ctx, FMQ_REQ);
    struct address address;
    uint32_t *samples = malloc(MAX_SAMPLES * sizeof(*samples));
    double start, before, after;
    size_t n = 0;

    if (samples == NULL)
        exit(1);
    hear(from_server[0], &address, sizeof(address));
    must(fmq_connect(req, address.text), "connect");
    start = before = wall();
    while (before - start < 1.2 * seconds && n < MAX_SAMPLES) {
        send_one(req, payload, size);
        recv_one(req);
        after = wall();
        if (after - start > 0.2 * seconds) /* what comes before is warm-up */
            samples[n++] = (uint32_t)((after - before) * 1e9);
        before = after;
    }
    send_one(req, payload, size + 1);
    recv_one(req);
    close_socket(req);
    qsort(samples, n, sizeof(*samples), by_value);
    printf("{\"p50\": %.3f, \"p99\": %.3f}\n", samples[n / 2] / 1e3, samples[n * 99 / 100] / 1e3);
    free(samples);
}

/* ---- throughput ---- */

static void pushpull_server(fmq_ctx *ctx)
{
    fmq_socket *pull = open_socket(ctx, FMQ_PULL);
    struct address address = bind_fresh(pull, transport);
    uint64_t n;

    tell(from_server[1], &address, sizeof(address));
    for (;;) {
        double took[2], start, cpu_start;

        hear(to_server[0], &n, sizeof(n));
        if (n == 0)
            break;
        recv_one(pull);
        start = wall();
        cpu_start = cpu();
        for (uint64_t i = 1; i < n; i++)
            recv_one(pull);
        took[0] = wall() - start;
        took[1] = cpu() - cpu_start;
        tell(from_server[1], took, sizeof(took));
    }
    close_socket(pull);
}

/* One lot of n messages: messages a second, and what each cost. */
static double lot(fmq_socket *push, uint64_t n, double *cpu_us)
{
    double cpu_start, took[2];

    tell(to_server[1], &n, sizeof(n));
    cpu_start = cpu();
    for (uint64_t i = 0; i < n; i++)
        send_one(push, payload, size);
    hear(from_server[0], took, sizeof(took));
    *cpu_us = (cpu() - cpu_start + took[1]) / (double)n * 1e6;
    return (double)(n - 1) / took[0];
}

static void pushpull_client(fmq_ctx *ctx)
{
    fmq_socket *push = open_socket(ctx, FMQ_PUSH);
    struct address address;
    uint64_t small = (64u << 20) / size, none = 0, n;
    double cpu_us, rate;

    small = small > 20000 ? 20000 : small < 40 ? 40 : small;
    hear(from_server[0], &address, sizeof(address));
    must(fmq_connect(push, address.text), "connect");
    lot(push, small, &cpu_us);
    n = (uint64_t)(lot(push, small, &cpu_us) * seconds);
    rate = lot(push, n > small ? n : small, &cpu_us);
    tell(to_server[1], &none, sizeof(none));
    close_socket(push);
    printf("{\"rate\": %.1f, \"cpu\": %.5f}\n", rate, cpu_us);
}

static void pushpull_alone(fmq_ctx *ctx)
{
    fmq_socket *pull = open_socket(ctx, FMQ_PULL), *push = open_socket(ctx, FMQ_PUSH);
    struct address address = bind_fresh(pull, transport);
    double start = 0, cpu_start = 0, took = 0, limit = 0.2 * seconds;
    uint64_t n = 0;

    must(fmq_connect(push, address.text), "connect");
    for (int warm = 0; warm < 2; warm++, limit = seconds) {
        start = wall();
        cpu_start = cpu();
        n = 0;
        while ((took = wall() - start) < limit) {
            for (int i = 0; i < BATCH; i++)
                send_one(push, payload, size);
            for (int i = 0; i < BATCH; i++)
                recv_one(pull);
            n += BATCH;
        }
    }
    printf("{\"rate\": %.1f, \"cpu\": %.5f}\n", (double)n / took,
           (cpu() - cpu_start) / (double)n * 1e6);
    close_socket(push);
    close_socket(pull);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*server)(fmq_ctx *ctx);
        void (*client)(fmq_ctx *ctx);
        void (*alone)(fmq_ctx *ctx);
    } scenarios[] = {
        {"reqrep", reqrep_server, reqrep_client, NULL},
        {"pushpull", pushpull_server, pushpull_client, pushpull_alone},
    };
    void (*role)(fmq_ctx *ctx) = NULL;
    fmq_ctx *ctx;
    pid_t child = -1;

    if (argc == 5) {
        transport = argv[2];
        size = strtoul(argv[3], NULL, 10);
        seconds = strtod(argv[4], NULL);
    }
    if (size > 0 && seconds > 0) {
        bool alone = strcmp(transport, "inproc") == 0;

        payload = calloc(1, size + 1);
        if (payload == NULL || pipe(from_server) != 0 || pipe(to_server) != 0)
            return 1;
        for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
            if (strcmp(argv[1], scenarios[i].name) != 0)
                continue;
            role = alone ? scenarios[i].alone : scenarios[i].client;
            if (role != NULL && !alone && (child = fork()) == 0)
                role = scenarios[i].server;
        }
    }
    if (role == NULL) {
        fprintf(stderr, "usage: engine reqrep|pushpull tcp|ipc|inproc SIZE SECONDS\n");
        return 2;
    }
    ctx = open_context();
    role(ctx);
    while (fmq_ctx_term(ctx, -1) == -EINTR)
        ;
    fmq_ctx_free(ctx);
    if (child > 0)
        waitpid(child, NULL, 0);
    free(payload);
    return 0;
}
