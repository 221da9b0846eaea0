/* SPDX-License-Identifier: MIT */
/*
 * A round trip between two processes through memory that they share, as short as this machine makes
 * it: both ends spin on a counter and copy the message. What SHM adds is measured against this.
 *
 *   memory [size [seconds]]     prints {"p50": us, "p99": us}
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES 4000000
#define SIZE_MAX_BYTES 65536

/* One way: a message, and how many were written. */
struct way {
    _Alignas(64) _Atomic uint64_t count;
    _Alignas(64) char message[SIZE_MAX_BYTES];
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put(struct way *way, const char *buf, size_t size, uint64_t count)
{
    memcpy(way->message, buf, size);
    atomic_store_explicit(&way->count, count, memory_order_release);
}

static void take(struct way *way, char *buf, size_t size, uint64_t count)
{
    while (atomic_load_explicit(&way->count, memory_order_acquire) != count)
        ;
    memcpy(buf, way->message, size);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0.5;
    uint32_t *samples = malloc(MAX_SAMPLES * sizeof(*samples));
    static char buf[SIZE_MAX_BYTES];
    struct way *ways =
        mmap(NULL, 2 * sizeof(*ways), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t n = 0;

    if (samples == NULL || ways == MAP_FAILED || size == 0 || size > SIZE_MAX_BYTES ||
        seconds <= 0) {
        fprintf(stderr, "usage: memory [size [seconds]]\n");
        return 2;
    }
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return 1;
    }
    if (child == 0) {
        for (uint64_t i = 1;; i++) {
            take(&ways[0], buf, size, i);
            put(&ways[1], buf, size, i);
        }
    }
    int64_t start = now_ns(), before = start, end = start + (int64_t)(seconds * 1.2e9);
    for (uint64_t i = 1; before < end && n < MAX_SAMPLES; i++) {
        put(&ways[0], buf, size, i);
        take(&ways[1], buf, size, i);
        int64_t after = now_ns();
        /* A sixth of the time is warm-up. */
        if (after - start > (end - start) / 6)
            samples[n++] = (uint32_t)(after - before);
        before = after;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (n == 0) {
        fprintf(stderr, "no round trip ended in time\n");
        return 1;
    }
    qsort(samples, n, sizeof(*samples), by_value);
    printf("{\"p50\": %.3f, \"p99\": %.3f}\n", samples[n / 2] / 1e3, samples[n * 99 / 100] / 1e3);
    free(samples);
    return 0;
}
