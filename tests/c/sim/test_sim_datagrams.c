/* SPDX-License-Identifier: MIT */
// needs: sim
/*
 * RADIO, DISH and DGRAM over a simulated network that loses, doubles and reorders datagrams, one
 * run a seed, each in a process of its own. Whatever happens, what is heard was sent, is whole, and
 * belongs to a group that was joined; no datagram comes more often than the network doubled it; a
 * queue never exceeds its mark; nothing hangs, and nothing is left over.
 *
 *     SEED=7 VERBOSE=1 test_sim_datagrams      one seed; VERBOSE tells all that happens
 */
#include "check.h"

#include <errno.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "sim.h"

#define LINGER 17
#define SNDHWM 23
#define RCVHWM 24
#define LAST_ENDPOINT 32
#define NODROP 69
#define SEEDS 150
#define SEED_LIMIT_S 120
#define LIMIT_NS (120 * NS_PER_S)
#define SENT_MAX 200
#define RADIOS 2
#define DISHES 3
#define GROUPS 3

static fmq_ctx *ctx;
static fmq_socket *radios[RADIOS], *dishes[DISHES];
static bool joined[DISHES][GROUPS];
static bool sent_to[RADIOS][SENT_MAX]; /* the send succeeded */
static uint8_t seen[DISHES][RADIOS][SENT_MAX];
static unsigned sent[RADIOS], received;

static size_t size_of(unsigned radio, unsigned number)
{
    static const size_t sizes[] = {2, 20, 200, 2000, 20000};
    return sizes[(radio + number) % 5] + number % 7;
}

static unsigned group_of(unsigned radio, unsigned number)
{
    return (radio * 5 + number) % GROUPS;
}

static void must(int rc, const char *what)
{
    if (rc < 0)
        sim_fail("%s: %s", what, fmq_strerror(-rc));
}

static void say(unsigned radio)
{
    static uint8_t bytes[30000];
    unsigned number = sent[radio]++;
    size_t size = size_of(radio, number);
    char name = (char)('a' + group_of(radio, number));
    struct msg m;
    bytes[0] = (uint8_t)radio;
    bytes[1] = (uint8_t)number;
    for (size_t i = 2; i < size; i++)
        bytes[i] = (uint8_t)(radio * 31 + number * 7 + i);
    must(msg_init_copy(&m, bytes, size), "message");
    must(msg_join_group(&m, &name, 1), "group");
    int rc = fmq_send(radios[radio], &m, 1, false, (int)sim_below(3));
    sent_to[radio][number] = rc == 0;
    if (rc)
        msg_drop(&m);
    if (rc && rc != -EAGAIN && rc != -EINTR)
        must(rc, "send");
}

static void heard(unsigned dish, struct msg *m)
{
    const uint8_t *data = msg_data(m);
    size_t size = msg_size(m), len;
    const uint8_t *group = msg_group(m, &len);
    if (size < 2 || data[0] >= RADIOS || data[1] >= sent[data[0]])
        sim_fail("a message that nobody sent");
    unsigned radio = data[0], number = data[1];
    if (!sent_to[radio][number])
        sim_fail("radio %u was told that %u was not sent", radio, number);
    if (size != size_of(radio, number) || len != 1 || group[0] != 'a' + group_of(radio, number))
        sim_fail("message %u of radio %u is not what it was", number, radio);
    for (size_t i = 2; i < size; i++) {
        if (data[i] != (uint8_t)(radio * 31 + number * 7 + i))
            sim_fail("byte %zu of message %u of radio %u is wrong", i, number, radio);
    }
    if (!joined[dish][group[0] - 'a'])
        sim_fail("dish %u has not joined group %c", dish, group[0]);
    if (++seen[dish][radio][number] > (sim_knobs.doubled ? 2 : 1))
        sim_fail("message %u of radio %u came %u times", number, radio, seen[dish][radio][number]);
    received++;
}

static void hear(unsigned dish, int timeout_ms)
{
    struct parts p;
    struct fmq_socket_stats stats;
    parts_init(&p);
    int rc = fmq_recv(dishes[dish], &p, NULL, timeout_ms);
    if (rc == 0)
        heard(dish, &p.v[0]);
    else if (rc != -EAGAIN && rc != -EINTR)
        must(rc, "recv");
    parts_fini(&p);
    must(fmq_stats(dishes[dish], &stats), "stats");
    if (stats.count.queued_to_recv > 10)
        sim_fail("dish %u holds %llu messages", dish,
                 (unsigned long long)stats.count.queued_to_recv);
}

static void endpoint(fmq_socket *s, char *name, size_t size)
{
    size_t len = size - 1;
    must(fmq_get_bytes(s, LAST_ENDPOINT, name, &len), "LAST_ENDPOINT");
    name[len] = 0;
}

static void open_all(bool multicast)
{
    char name[DISHES][512];
    for (unsigned d = 0; d < DISHES; d++) {
        must(fmq_socket_new(ctx, FMQ_DISH, &dishes[d]), "dish");
        fmq_set_int(dishes[d], RCVHWM, 10);
        for (unsigned g = 0; g < GROUPS; g++) {
            char group = (char)('a' + g);
            joined[d][g] = sim_chance(600);
            if (joined[d][g])
                must(fmq_join(dishes[d], &group, 1), "join");
        }
        must(fmq_bind(dishes[d], multicast ? "udp://lo;239.1.2.3:5555" : "udp://127.0.0.1:*"),
             "bind");
        endpoint(dishes[d], name[d], sizeof(name[d]));
    }
    for (unsigned r = 0; r < RADIOS; r++) {
        must(fmq_socket_new(ctx, FMQ_RADIO, &radios[r]), "radio");
        fmq_set_int(radios[r], SNDHWM, 1 + (int)sim_below(20));
        fmq_set_int(radios[r], NODROP, sim_chance(300));
        for (unsigned d = 0; d < (multicast ? 1 : DISHES); d++)
            must(fmq_connect(radios[r], name[d]), "connect");
    }
}

static void end_all(void)
{
    for (unsigned d = 0; d < DISHES; d++)
        fmq_socket_free(dishes[d]);
    for (unsigned r = 0; r < RADIOS; r++)
        fmq_socket_free(radios[r]);
}

static void run(uint64_t seed, bool verbose)
{
    fmq_setup();
    sim_begin(seed, verbose);
    long live = mem_live();
    sim_knobs.preempt_mean = 10 + sim_below(500);
    sim_knobs.latency_max_ns = sim_rand() % NS_PER_MS;
    sim_knobs.partial = sim_below(500);
    sim_knobs.spurious = sim_below(100);
    sim_knobs.eintr = sim_chance(300) ? sim_below(100) : 0;
    sim_knobs.buffer_max = 50000 + sim_below(1000000);
    sim_knobs.lost = sim_chance(700) ? sim_below(400) : 0;
    sim_knobs.doubled = sim_chance(700) ? sim_below(400) : 0;
    sim_set_limit(sim_now() + LIMIT_NS);
    must(fmq_ctx_new(&ctx), "context");
    open_all(sim_chance(300));
    while (sent[0] + sent[1] < 2 * SENT_MAX) {
        unsigned r = sim_below(RADIOS);
        if (sent[r] < SENT_MAX && sim_chance(500))
            say(r);
        else
            hear(sim_below(DISHES), (int)sim_below(3));
        if (sim_chance(20))
            sim_sleep(sim_rand() % (5 * NS_PER_MS));
    }
    for (unsigned d = 0; d < DISHES; d++) {
        for (unsigned quiet = received; hear(d, 20), received != quiet;)
            quiet = received;
    }
    if (!sim_knobs.lost) {
        bool any = false;
        for (unsigned d = 0; d < DISHES; d++)
            for (unsigned g = 0; g < GROUPS; g++)
                any |= joined[d][g];
        if (any && !received)
            sim_fail("nothing was heard");
    }
    end_all();
    int rc;
    while ((rc = fmq_ctx_term(ctx, 2000)) == -EINTR)
        ;
    must(rc, "the end");
    fmq_ctx_free(ctx);
    if (mem_live() != live)
        sim_fail("%ld allocations are left over", mem_live() - live);
    sim_end(0);
}

static bool holds(uint64_t seed, bool verbose)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(SEED_LIMIT_S);
        run(seed, verbose);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(datagrams_are_heard_whole_whatever_the_network_does)
{
    unsigned failed = 0;
    const char *one = getenv("SEED");
    uint64_t first = one ? strtoull(one, NULL, 0) : 1, count = one ? 1 : SEEDS;
    sim_prepare();
    alarm(0); /* each seed has its own */
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (!holds(seed, getenv("VERBOSE") != NULL)) {
            failed++;
            fprintf(stderr, "seed %llu failed\n", (unsigned long long)seed);
        }
    }
    CHECK_EQ(failed, 0);
}
