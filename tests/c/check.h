/* SPDX-License-Identifier: MIT */
/*
 * The test harness of the engine. A test program is one file, test_<module>.c, whose second line
 * names the libraries that it links (see the Makefile):
 *
 *     // needs: base msg
 *     #include "check.h"
 *
 *     TEST(list_pops_in_order_of_pushing)
 *     {
 *         CHECK_EQ(answer(), 42);
 *     }
 *
 * main() is in here. A test's name is a claim. A failed check ends its test, and the next test
 * runs. After each test the engine's live allocations and the open descriptors must be what they
 * were before it. Each test has a deadline (CHECK_DEADLINE seconds, 30 by default); the time in
 * which it was ready to run and other processes had the processors does not count.
 *
 *     test_list                   runs all
 *     test_list pops              runs those with "pops" in the name
 *     CHECK_SEED=7 test_list      repeats the random choices of the run that printed 7
 *     CHECK_PART=2/4 test_list    the second of four parts: its 2nd, 6th, 10th ... test
 */
#ifndef CHECK_H
#define CHECK_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#ifdef CHECK_COVERAGE
/* gcov writes its counts when a program ends in the ordinary way; children of tests do not. */
void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), _exit(status))
#endif

struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
};

static struct check_test *check_first, **check_tail = &check_first;
static const char *volatile check_running = "(none)";
static jmp_buf check_escape;
static _Thread_local bool check_may_jump; /* true in the thread of main(), during a test */
static uint64_t check_seed, check_state;

#define TEST(test_name)                                                                            \
    static void test_name(void);                                                                   \
    static struct check_test check_##test_name = {#test_name, test_name, NULL};                    \
    __attribute__((constructor)) static void check_register_##test_name(void)                      \
    {                                                                                              \
        *check_tail = &check_##test_name;                                                          \
        check_tail = &check_##test_name.next;                                                      \
    }                                                                                              \
    static void test_name(void)

/* In a thread that a test started there is no way back to main(): there the program ends. */
_Noreturn static inline void check_failed(void)
{
    fflush(stdout);
    if (check_may_jump)
        longjmp(check_escape, 1);
    fprintf(stderr, "FAIL %s (in a thread of its own)\n", check_running);
    _exit(1);
}

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                     \
            check_failed();                                                                        \
        }                                                                                          \
    } while (0)

/* Two integers. */
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a = (long long)(a), check_b = (long long)(b);                              \
        if (check_a != check_b) {                                                                  \
            fprintf(stderr, "%s:%d: failed: %s == %s, they are %lld and %lld\n", __FILE__,         \
                    __LINE__, #a, #b, check_a, check_b);                                           \
            check_failed();                                                                        \
        }                                                                                          \
    } while (0)

#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *check_a = (a), *check_b = (b);                                                 \
        if (strcmp(check_a, check_b) != 0) {                                                       \
            fprintf(stderr, "%s:%d: failed: %s == %s, they are \"%s\" and \"%s\"\n", __FILE__,     \
                    __LINE__, #a, #b, check_a, check_b);                                           \
            check_failed();                                                                        \
        }                                                                                          \
    } while (0)

#define CHECK_MEM(a, b, len)                                                                       \
    do {                                                                                           \
        const unsigned char *check_a = (const void *)(a), *check_b = (const void *)(b);            \
        size_t check_len = (len), check_i = 0;                                                     \
        while (check_i < check_len && check_a[check_i] == check_b[check_i])                        \
            check_i++;                                                                             \
        if (check_i < check_len) {                                                                 \
            fprintf(stderr, "%s:%d: failed: %s == %s, byte %zu of %zu is %02x and %02x\n",         \
                    __FILE__, __LINE__, #a, #b, check_i, check_len, check_a[check_i],              \
                    check_b[check_i]);                                                             \
            check_failed();                                                                        \
        }                                                                                          \
    } while (0)

/* Random numbers, the same in every test of a run. For one thread at a time. */
static inline uint64_t check_rand(void)
{
    uint64_t x = check_state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static inline size_t check_below(size_t n)
{
    return (size_t)(check_rand() % n);
}

static inline int check_count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static unsigned long long check_waited; /* check_ready_ns when the present alarm was set */

/* How long the main thread was ready to run and did not, since it began; 0: the system has no such
 * figure. Called in a signal handler. */
static unsigned long long check_ready_ns(void)
{
    char text[128];
    int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    ssize_t at = 0;
    while (at < len && text[at] != ' ') /* the time on a processor comes first */
        at++;
    unsigned long long ns = 0;
    while (++at < len && text[at] >= '0' && text[at] <= '9')
        ns = ns * 10 + (unsigned)(text[at] - '0');
    return ns;
}

static void check_on_alarm(int signum)
{
    (void)signum;
    unsigned long long waited = check_ready_ns();
    unsigned more = 0;
    if (waited > check_waited) /* not in a child, whose figure begins anew */
        more = (unsigned)((waited - check_waited + 500000000) / 1000000000);
    if (more) {
        check_waited = waited;
        alarm(more);
        return;
    }
    static const char text[] = "deadline missed by ";
    const char *name = check_running;
    ssize_t rc = write(2, text, sizeof(text) - 1);
    rc = write(2, name, strlen(name));
    rc = write(2, "\n", 1);
    (void)rc;
    _exit(124);
}

/* Apart from check_run_one, so that nothing of that lives across the jump. */
static bool check_survives(const struct check_test *test)
{
    if (setjmp(check_escape) != 0)
        return false;
    check_may_jump = true;
    test->run();
    return true;
}

static bool check_run_one(const struct check_test *test, unsigned deadline)
{
    long live = mem_live();
    int fds = check_count_fds();
    check_running = test->name;
    check_state = check_seed;
    check_waited = check_ready_ns();
    alarm(deadline);
    bool passed = check_survives(test);
    alarm(0);
    check_may_jump = false;
    mem_fail_at(0);
    if (passed && mem_live() != live) {
        fprintf(stderr, "%s: %ld allocations were left over\n", test->name, mem_live() - live);
        passed = false;
    }
    if (passed && check_count_fds() != fds) {
        fprintf(stderr, "%s: %d more descriptors are open\n", test->name, check_count_fds() - fds);
        passed = false;
    }
    return passed;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("CHECK_SEED"), *deadline = getenv("CHECK_DEADLINE");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    check_seed = seed ? strtoull(seed, NULL, 0)
                      : ((uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 10) % 1000000;
    printf("CHECK_SEED=%llu\n", (unsigned long long)check_seed);
    fflush(stdout);
    signal(SIGALRM, check_on_alarm);
    signal(SIGPIPE, SIG_IGN);
    const char *part = getenv("CHECK_PART");
    int first = 1, parts = 1, number = 0;
    if (part && (sscanf(part, "%d/%d", &first, &parts) != 2 || first < 1 || first > parts)) {
        fprintf(stderr, "CHECK_PART=%s is not like 2/4\n", part);
        return 2;
    }
    int failed = 0;
    for (const struct check_test *test = check_first; test; test = test->next) {
        if (number++ % parts != first - 1)
            continue;
        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        bool passed = check_run_one(test, deadline ? (unsigned)atoi(deadline) : 30);
        printf("%s %s\n", passed ? "ok  " : "FAIL", test->name);
        fflush(stdout);
        failed += !passed;
    }
    /* A failed test leaves its allocations behind: a leak report would only hide the failure. */
    if (failed)
        _exit(1);
    return 0;
}

#endif
