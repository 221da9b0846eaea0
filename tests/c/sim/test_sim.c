/* SPDX-License-Identifier: MIT */
// needs: sim
/*
 * Runs of the simulated world (sim.h, sim_world.c), one a seed, each in a process of its own.
 *
 *     SEED=7 VERBOSE=1 test_sim              one seed; VERBOSE tells all that happens
 *     FIRST_SEED=1000 SEEDS=10000 test_sim   many; those that fail are told, and the others go on
 */
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include "sim.h"
#include "sim_world.h"

#define SEEDS_DEFAULT 500
#ifdef FMQ_DEBUG
#define FIRST_DEFAULT 1
#else /* the optimised program, which has no failing allocations, tries others */
#define FIRST_DEFAULT 1000000
#endif
#define SEED_LIMIT_S 300 /* for a machine that is busy with other things */

struct outcome { /* in memory that outlives the process */
    uint64_t hash;
    char about[512];
};

static struct outcome *outcome;

static unsigned long long from_env(const char *name, unsigned long long otherwise)
{
    const char *text = getenv(name);
    return text && text[0] ? strtoull(text, NULL, 0) : otherwise;
}

/* True: all held, and `outcome` tells what came of it. */
static bool run_seed(uint64_t seed, bool verbose)
{
    if (!outcome) {
        outcome =
            mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(outcome != MAP_FAILED);
        sim_prepare();
    }
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(SEED_LIMIT_S);
        outcome->hash = sim_world_run(seed, verbose);
        snprintf(outcome->about, sizeof(outcome->about), "%s", sim_world_about());
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(a_seed_gives_the_same_run_each_time)
{
    alarm(0); /* each seed has its own */
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CHECK(run_seed(seed, false));
        uint64_t hash = outcome->hash;
        CHECK(run_seed(seed, false));
        CHECK(outcome->hash == hash);
        CHECK(run_seed(seed + 1, false));
        CHECK(outcome->hash != hash);
    }
}

TEST(every_seed_holds)
{
    uint64_t first = from_env("FIRST_SEED", FIRST_DEFAULT),
             count = from_env("SEEDS", SEEDS_DEFAULT);
    unsigned failed = 0;
    bool verbose = from_env("VERBOSE", 0);
    if (getenv("SEED")) {
        first = from_env("SEED", 1);
        count = 1;
    }
    alarm(0); /* each seed has its own */
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (!run_seed(seed, verbose)) {
            failed++;
            fprintf(stderr, "seed %llu failed; to see it again: make sim SEED=%llu VERBOSE=1\n",
                    (unsigned long long)seed, (unsigned long long)seed);
        } else if (count == 1) {
            printf("seed %llu: %s; hash %016llx\n", (unsigned long long)seed, outcome->about,
                   (unsigned long long)outcome->hash);
        }
    }
    CHECK_EQ(failed, 0);
}
