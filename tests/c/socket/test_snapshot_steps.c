/* SPDX-License-Identifier: MIT */
// needs: engine
/*
 * How long a snapshot holds a lock does not depend on how many peers and endpoints there are: no
 * send or receive waits longer for it. Counted are steps, not time.
 */
#include "check.h"

#include "base/json.h"
#include "engine.h"
#include "steps.h"

/* The longest time between a lock and its release, in the file that is included below. */
static uint64_t locked_at, longest;

static void counted_lock(struct mutex *m)
{
    mutex_lock(m);
    locked_at = steps;
}

static void counted_unlock(struct mutex *m)
{
    uint64_t took = steps - locked_at;
    longest = took > longest ? took : longest;
    mutex_unlock(m);
}

#define mutex_lock counted_lock
#define mutex_unlock counted_unlock
#include "socket/snapshot.c"
#undef mutex_lock
#undef mutex_unlock

/* The steps of a snapshot of a socket with n endpoints and a pipe for each. */
static uint64_t look_at(uint32_t n, uint32_t listed)
{
    struct snapshot_query q;
    struct json j;
    char name[64], expected[64];
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "inproc://nobody-%u", i);
        eng_must(fmq_connect(push, name), name);
    }
    snapshot_query_init(&q);
    q.peers = listed;
    json_init(&j, SNAPSHOT_LIMIT);
    longest = 0;
    uint64_t before = steps;
    snapshot_write(&j, &q);
    uint64_t took = steps - before;
    CHECK(!j.failed);
    snprintf(expected, sizeof(expected), "\"peers_left_off\":%u,", n > listed ? n - listed : 0);
    CHECK(strstr(j.text, expected) != NULL);
    json_fini(&j);
    eng_close(push);
    eng_end(ctx);
    return took;
}

TEST(a_snapshot_holds_a_lock_as_long_for_many_peers_as_for_few)
{
    for (uint32_t listed = 0; listed <= SNAPSHOT_PEERS_MAX; listed += SNAPSHOT_PEERS_MAX) {
        look_at(500, listed);
        uint64_t few = longest;
        look_at(8000, listed);
        printf("     %llu steps under the lock for 500 peers, %llu for 8000\n",
               (unsigned long long)few, (unsigned long long)longest);
        CHECK(few > 0);
        CHECK(longest < 2 * few);
    }
}

static uint64_t look_at_all(uint32_t n)
{
    return look_at(n, SNAPSHOT_PEERS_MAX);
}

TEST(peers_cost_a_snapshot_the_same_each)
{
    check_linear(look_at_all, 400);
}
