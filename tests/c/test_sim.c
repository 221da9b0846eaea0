/* SPDX-License-Identifier: MIT */
// needs: sim
/*
 * Runs of the simulated world (sim.h, sim_world.c), one a seed.
 *
 *     SEED=7 [VERBOSE=1] test_sim                one seed; VERBOSE tells all that happens
 *     FIRST_SEED=1000 SEEDS=10000 test_sim       many; a seed that fails is told, and the rest goes on
 */
#include "check.h"

#include <sys/wait.h>

#include "sim.h"
#include "sim_world.h"

#define SEEDS_DEFAULT 500
#define SEED_LIMIT_S 60

static unsigned long long from_env(const char *name, unsigned long long otherwise)
{
    const char *text = getenv(name);
    return text && text[0] ? strtoull(text, NULL, 0) : otherwise;
}

/* What the worker says of the seed it is at, in memory that outlives it. */
struct progress {
    uint64_t seed;
    uint64_t hash;
};

static struct progress *shared_progress(void);

#include <sys/mman.h>

static struct progress *shared_progress(void)
{
    struct progress *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

/* Runs the seeds in a process of its own, up to the first that fails. True: all held. */
static bool run_seeds(uint64_t first, uint64_t end, struct progress *at)
{
    bool verbose = from_env("VERBOSE", 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (uint64_t seed = first; seed < end; seed++) {
            at->seed = seed;
            alarm(SEED_LIMIT_S);
            at->hash = sim_world_run(seed, verbose);
            if (from_env("SHOW", 0))
                printf("%llu %016llx %s\n", (unsigned long long)seed, (unsigned long long)at->hash, sim_world_about());
        }
        fflush(stdout);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(a_seed_gives_the_same_run_each_time)
{
    struct progress *at = shared_progress();
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CHECK(run_seeds(seed, seed + 1, at));
        uint64_t alone = at->hash;
        CHECK(run_seeds(seed > 3 ? seed - 3 : 1, seed + 1, at)); /* and after others */
        CHECK(at->hash == alone);
    }
    munmap(at, sizeof(*at));
}

TEST(every_seed_holds)
{
    struct progress *at = shared_progress();
    uint64_t first = from_env("FIRST_SEED", 1), count = from_env("SEEDS", SEEDS_DEFAULT);
    unsigned failed = 0;
    if (getenv("SEED")) {
        first = from_env("SEED", 1);
        count = 1;
    }
    alarm(0); /* each seed has its own */
    for (uint64_t next = first; next < first + count; next = at->seed + 1) {
        if (run_seeds(next, first + count, at))
            break;
        failed++;
        fprintf(stderr, "seed %llu failed: SEED=%llu VERBOSE=1 replays it\n",
                (unsigned long long)at->seed, (unsigned long long)at->seed);
    }
    munmap(at, sizeof(*at));
    CHECK_EQ(failed, 0);
}
