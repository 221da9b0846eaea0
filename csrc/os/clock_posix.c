/* SPDX-License-Identifier: MIT */
/*
 * Time as a straight line through an anchor: ns = anchor.ns + (counter - anchor.count) * mult. The
 * line is trusted for a while, then a reader measures against CLOCK_MONOTONIC and publishes a new
 * one. A line is used for some multiple of the time over which its rate was measured, up to a
 * second, so its error stays a small multiple of that of reading both clocks at one time.
 */
#include "os/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line covers at most a second: 30 bits of ns and 28 of fraction do not overflow 64. */
#define SHIFT 28
#define CALIBRATE_NS NS_PER_MS
#define VALID_FIRST_NS (10 * NS_PER_MS)
#define VALID_MAX_NS NS_PER_S
/* Ticks are paired with ns only if both were read within so short a time ... */
#define GAP_MAX_NS (2 * NS_PER_US)
#define GAP_GOOD_NS UINT64_C(250) /* ... and a pair this close is good for a longer line. */

#if defined(__linux__) && defined(__x86_64__)

static inline uint64_t counter_read(void)
{
    return __builtin_ia32_rdtsc();
}

#define COUNTER_SOURCE "tsc"
#define COUNTER_GUEST_SOURCE "kvm-clock"

#elif defined(__linux__) && defined(__aarch64__)

static inline uint64_t counter_read(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
    return v;
}

#define COUNTER_SOURCE "arch_sys_counter"
#define COUNTER_GUEST_SOURCE ""

#else

static inline uint64_t counter_read(void)
{
    return 0;
}

#define COUNTER_SOURCE ""
#define COUNTER_GUEST_SOURCE ""

#endif

struct anchor {
    _Atomic uint64_t count;
    _Atomic uint64_t ns;
    _Atomic uint64_t mult;
    _Atomic uint64_t valid; /* ticks after count; 0: no line */
};

/* Readers use slots[gen & 1]; the writer fills the other one and moves gen on. */
static struct anchor slots[2];
static _Atomic uint32_t gen;
static atomic_bool busy;    /* somebody is re-anchoring */
static atomic_bool enabled; /* the counter is trusted */
static unsigned strikes;    /* measurements in a row that contradict the rate; under busy */

static uint64_t monotonic(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

struct pair {
    uint64_t count, ns;
    uint64_t gap; /* ticks within which both were read */
};

static struct pair measure(void)
{
    struct pair best = {0, 0, UINT64_MAX};
    for (int i = 0; i < 4; i++) {
        uint64_t before = counter_read();
        uint64_t ns = monotonic();
        uint64_t gap = counter_read() - before;
        if (gap < best.gap)
            best = (struct pair){before + gap / 2, ns, gap};
    }
    return best;
}

static inline uint64_t to_ns(uint64_t ticks, uint64_t mult)
{
    return (ticks * mult) >> SHIFT;
}

static inline uint64_t to_ticks(uint64_t ns, uint64_t mult)
{
    return (ns << SHIFT) / mult;
}

static uint64_t rate(uint64_t ns, uint64_t ticks)
{
    return (uint64_t)((double)ns / (double)ticks * (double)(UINT64_C(1) << SHIFT) + 0.5);
}

static void publish(const struct pair *at, uint64_t mult, uint64_t valid)
{
    uint32_t next = atomic_load_explicit(&gen, memory_order_relaxed) + 1;
    struct anchor *a = &slots[next & 1];
    /* Release: a reader still on this slot who sees a new field also sees that gen has moved. */
    atomic_store_explicit(&a->count, at->count, memory_order_release);
    atomic_store_explicit(&a->ns, at->ns, memory_order_release);
    atomic_store_explicit(&a->mult, mult, memory_order_release);
    atomic_store_explicit(&a->valid, valid, memory_order_release);
    atomic_store_explicit(&gen, next, memory_order_release);
}

static void re_anchor(void)
{
    const struct anchor *a = &slots[atomic_load_explicit(&gen, memory_order_acquire) & 1];
    uint64_t count = atomic_load_explicit(&a->count, memory_order_relaxed);
    uint64_t ns = atomic_load_explicit(&a->ns, memory_order_relaxed);
    uint64_t mult = atomic_load_explicit(&a->mult, memory_order_relaxed);
    uint64_t valid = atomic_load_explicit(&a->valid, memory_order_relaxed);
    if (!valid)
        return;

    struct pair now = measure();
    if (now.gap > to_ticks(GAP_MAX_NS, mult))
        return;
    uint64_t ticks = now.count - count;
    if (ticks < valid)
        return; /* another thread was faster */

    uint64_t found = now.ns > ns ? rate(now.ns - ns, ticks) : 0;
    if (found > mult - mult / 512 && found < mult + mult / 512) {
        strikes = 0;
        mult = found;
        uint64_t span = now.ns - ns;
        uint64_t next = span * (now.gap > to_ticks(GAP_GOOD_NS, mult) ? 2 : 10);
        if (next > VALID_MAX_NS)
            next = VALID_MAX_NS;
        publish(&now, mult, to_ticks(next, mult));
    } else if (++strikes < 3) {
        /* A suspended machine breaks the line once; the rate is still right. */
        publish(&now, mult, to_ticks(VALID_FIRST_NS, mult));
    } else {
        /* The counter changed its speed under us, as after a live migration. */
        atomic_store(&enabled, false);
        publish(&now, mult, 0);
    }
}

static uint64_t now_slow(void)
{
    if (atomic_load_explicit(&enabled, memory_order_acquire) &&
        !atomic_exchange_explicit(&busy, true, memory_order_acquire)) {
        re_anchor();
        atomic_store_explicit(&busy, false, memory_order_release);
    }
    return monotonic();
}

uint64_t clock_now(void)
{
    /* Lines of successive anchors differ by up to a few us, and a thread may move to a CPU whose
     * counter is a few ticks behind. */
    static _Thread_local uint64_t last;

    uint32_t g = atomic_load_explicit(&gen, memory_order_acquire);
    const struct anchor *a = &slots[g & 1];
    uint64_t count = atomic_load_explicit(&a->count, memory_order_acquire);
    uint64_t ns = atomic_load_explicit(&a->ns, memory_order_acquire);
    uint64_t mult = atomic_load_explicit(&a->mult, memory_order_acquire);
    uint64_t valid = atomic_load_explicit(&a->valid, memory_order_acquire);
    uint64_t ticks = counter_read() - count;
    if (__builtin_expect(ticks < valid && atomic_load_explicit(&gen, memory_order_relaxed) == g, 1))
        ns += to_ns(ticks, mult);
    else
        ns = now_slow();
    if (ns < last)
        return last;
    last = ns;
    return ns;
}

/* The file's beginning as a string; empty when it cannot be read. */
static void slurp(const char *path, char *buf, size_t size)
{
    size_t have = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n;
        while (have < size - 1 && (n = read(fd, buf + have, size - 1 - have)) > 0)
            have += (size_t)n;
        close(fd);
    }
    buf[have] = 0;
}

static bool counter_trusted(void)
{
    char text[4096];
    if (!COUNTER_SOURCE[0])
        return false;
    slurp("/sys/devices/system/clocksource/clocksource0/current_clocksource", text, sizeof(text));
    text[strcspn(text, "\n")] = 0;
    if (strcmp(text, COUNTER_SOURCE) == 0)
        return true;
    if (!COUNTER_GUEST_SOURCE[0] || strcmp(text, COUNTER_GUEST_SOURCE) != 0)
        return false;
    slurp("/proc/cpuinfo", text, sizeof(text));
    return strstr(text, " constant_tsc") && strstr(text, " nonstop_tsc") &&
           strstr(text, " tsc_known_freq");
}

static void calibrate(void)
{
    struct pair a = measure();
    struct pair b;
    do {
        b = measure();
    } while (b.ns - a.ns < CALIBRATE_NS);
    if (b.count <= a.count)
        return;
    uint64_t mult = rate(b.ns - a.ns, b.count - a.count);
    if (!mult)
        return;
    /* An imprecise pair would spoil the first line by more than the header promises. */
    uint64_t worst = to_ticks(CALIBRATE_NS / 2000, mult);
    if (a.gap > worst || b.gap > worst)
        return;
    publish(&b, mult, to_ticks(VALID_FIRST_NS, mult));
    atomic_store_explicit(&enabled, true, memory_order_release);
}

/* Another thread may have been re-anchoring when this one forked. */
static void after_fork_child(void)
{
    atomic_store(&busy, false);
}

static void setup(void)
{
    if (!counter_trusted())
        return;
    pthread_atfork(NULL, NULL, after_fork_child);
    calibrate();
    if (!atomic_load(&enabled))
        calibrate();
}

void clock_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);
}

int64_t clock_unix(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}
