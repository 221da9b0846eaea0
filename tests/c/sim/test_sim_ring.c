/* SPDX-License-Identifier: MIT */
// needs: sim
/*
 * The two sides of a ring in the simulated world: a writer and a reader that sleep until they are
 * rung for, one run a seed, in a process of its own. Every operation on shared memory is a place
 * where the other side may go on, and tells what its order promises and no more (sim_weak.c). All
 * bytes arrive, whole and in order; nobody sleeps for ever, and nobody is rung for without need.
 *
 * What finds nothing proves nothing: faults are planted in the ring, one after the other, and each
 * has to be found.
 *
 *     SEED=7 VERBOSE=1 test_sim_ring      one seed; VERBOSE tells all that happens
 *     SEEDS=100000 test_sim_ring          many
 */
#include "check.h"

#include <errno.h>
#include <sys/wait.h>

#include "net/ring.h"
#include "os/shm.h"
#include "os/thread.h"
#include "sim.h"

#define SEEDS_DEFAULT 400
#define FAULT_SEEDS 2000 /* in so many worlds at most a fault shows */
#define SEED_LIMIT_S 60
#define SIZE ((size_t)4096)

/* What rings: the descriptors of a connection otherwise. */
struct bell {
    struct mutex lock;
    struct cond rung;
    bool set;
};

struct side {
    struct ring_shared *shared;
    uint8_t *data;
    struct bell bell;
};

static struct side writer, reader;
static uint64_t total, got;
static size_t piece;
static unsigned sleeps, rung; /* how often the reader was about to sleep, and was rung for */
static bool restless;         /* the reader comes back without a bell at times */
static uint32_t spins;        /* rather than to sleep at once; out of 1000 */
static bool even;             /* pieces fill the ring without a rest */
static bool in_turn;          /* the writer waits for each piece to be read */

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + 1);
}

static void ring(struct side *s)
{
    sim_event("bell", s == &reader, 0);
    /* A writer may be about to sleep more than once in a call. */
    if (s == &reader && ++rung > sleeps)
        sim_fail("a reader that was about to sleep %u times is rung for once more", sleeps);
    sim_spend(sim_below(500));
    mutex_lock(&s->bell.lock);
    s->bell.set = true;
    cond_signal(&s->bell.rung);
    mutex_unlock(&s->bell.lock);
}

/* False: nobody rang. */
static bool sleep_until_rung(struct side *s, bool impatient)
{
    bool came = true;
    mutex_lock(&s->bell.lock);
    while (came && !s->bell.set)
        came = cond_wait(&s->bell.rung, &s->bell.lock, impatient ? (int64_t)sim_below(20000) : -1);
    s->bell.set = false;
    mutex_unlock(&s->bell.lock);
    return came;
}

static void write_side(void *arg)
{
    struct ring_writer w;
    uint8_t buf[2 * SIZE];
    bool bell;
    (void)arg;
    ring_writer_init(&w, writer.shared, writer.data, SIZE);
    for (uint64_t at = 0; at < total;) {
        size_t len = even ? piece : 1 + sim_below((uint32_t)piece);
        if (len > total - at)
            len = (size_t)(total - at);
        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at(at + i);
        for (size_t done = 0; done < len;) {
            struct iovec iov = {buf + done, len - done};
            ssize_t n = ring_write(&w, &iov, 1, &bell);
            sim_event("write", len - done, (uint64_t)n);
            if (bell)
                ring(&reader);
            if (n < 0 && n != -EAGAIN)
                sim_fail("ring_write: %d", (int)n);
            if (n > 0)
                done += (size_t)n;
            for (uint32_t i = sim_below(20); done < len && i; i--)
                sim_point();
            if (done < len && !(sim_chance(500) && ring_writable(&w)))
                sleep_until_rung(&writer, false);
        }
        at += len;
        while (in_turn && got < at)
            sim_sleep(sim_below(400));
        if (sim_chance(100))
            sim_sleep(sim_below(5000));
    }
}

static void read_side(void *arg)
{
    struct ring_reader r;
    uint8_t buf[2 * SIZE];
    bool bell;
    (void)arg;
    ring_reader_init(&r, reader.shared, reader.data, SIZE);
    for (uint64_t at = 0; at < total;) {
        size_t len = 1 + sim_below((uint32_t)piece);
        ssize_t n = ring_read(&r, buf, len, &bell);
        sim_event("read", len, (uint64_t)n);
        if (bell)
            ring(&writer);
        if (n < 0 && n != -EAGAIN)
            sim_fail("ring_read: %d", (int)n);
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(at + (uint64_t)i))
                sim_fail("byte %llu is another one", (unsigned long long)(at + (uint64_t)i));
        got = at += n > 0 ? (uint64_t)n : 0;
        if (n > 0) {
            if (__atomic_load_n(&reader.shared->reader_sleeps, __ATOMIC_SEQ_CST))
                sim_fail("a reader that is awake says that it sleeps");
            if (sim_chance(200))
                sim_sleep(sim_below(5000));
        } else if (sim_chance(spins)) {
            cpu_relax();
        } else {
            sleeps++;
            if (ring_reader_arm(&r) && sleep_until_rung(&reader, restless && sim_chance(500)))
                ring_reader_disarm(&r);
        }
    }
}

static void side_init(struct side *s, int fd)
{
    void *at;
    if (shm_map(fd, 0, shm_page(), &at))
        sim_fail("no memory");
    s->shared = at;
    if (shm_map(fd, shm_page(), SIZE, &at))
        sim_fail("no memory");
    s->data = at;
    mutex_init(&s->bell.lock);
    cond_init(&s->bell.rung);
    s->bell.set = false;
}

static void side_fini(struct side *s)
{
    cond_fini(&s->bell.rung);
    mutex_fini(&s->bell.lock);
    shm_unmap(s->shared, shm_page());
    shm_unmap(s->data, SIZE);
}

/* As a process gives memory to another. */
static int given(int fd)
{
    char name[SHM_NAME_MAX], text[SHM_MESSAGE_MAX];
    int memory, point = shm_listen(name);
    if (shm_hand_over(name, "x", 1, fd))
        sim_fail("it cannot be handed over");
    int visitor = shm_accept(point);
    if (visitor < 0 || shm_receive(visitor, text, sizeof(text), &memory) != 1)
        sim_fail("it was not handed over");
    sim_fd_drop(visitor);
    sim_fd_drop(point);
    return memory;
}

static void run(uint64_t seed, bool verbose, const struct sim_fault *fault)
{
    static const uint32_t means[] = {2, 5, 20, 200};
    static const size_t pieces[] = {1, 8, 100, SIZE / 2, 2 * SIZE - 1};
    struct thread threads[2];
    sim_begin(seed, verbose);
    sim_knobs.preempt_mean = means[sim_below(4)];
    sim_knobs.starve = sim_below(100);
    sim_knobs.starve_max_ns = 10000;
    sim_knobs.weak = fault || sim_chance(800) ? sim_below(600) : 0;
    int fd = shm_create(shm_page() + SIZE), other = given(fd);
    side_init(&writer, fd);
    side_init(&reader, other);
    sim_fd_drop(fd);
    sim_fd_drop(other);
    even = sim_chance(300);
    piece = even ? SIZE >> sim_below(3) : pieces[sim_below(5)];
    total = 200 + sim_below(piece > 100 ? 40 * SIZE : piece > 8 ? 4 * SIZE : 2000);
    got = 0;
    sleeps = rung = 0;
    restless = sim_chance(300);
    in_turn = sim_chance(500);
    spins = sim_below(950);
    if (fault)
        sim_fault = *fault;
    sim_set_limit(sim_now() + NS_PER_S);
    thread_start(&threads[0], write_side, NULL, "writer");
    thread_start(&threads[1], read_side, NULL, "reader");
    thread_join(&threads[0]);
    thread_join(&threads[1]);
    side_fini(&writer);
    side_fini(&reader);
    sim_end(0);
}

static bool holds(uint64_t seed, bool verbose, const struct sim_fault *fault)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(SEED_LIMIT_S);
        if (fault && !verbose && !freopen("/dev/null", "w", stderr))
            _exit(0);
        run(seed, verbose, fault);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == SIM_FAILED);
    return WEXITSTATUS(status) == 0;
}

TEST(bytes_arrive_and_nobody_sleeps_on_in_whatever_order_memory_is_written)
{
    unsigned failed = 0;
    const char *one = getenv("SEED"), *many = getenv("SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 0) : 1, count = one    ? 1
                                                               : many ? strtoull(many, NULL, 0)
                                                                      : SEEDS_DEFAULT;
    sim_prepare();
    alarm(0); /* each seed has its own */
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (!holds(seed, getenv("VERBOSE") != NULL, NULL)) {
            failed++;
            fprintf(stderr, "seed %llu failed\n", (unsigned long long)seed);
        }
    }
    CHECK_EQ(failed, 0);
}

TEST(each_fault_that_is_planted_is_found)
{
    static const struct {
        const char *name;
        struct sim_fault fault;
    } faults[] = {
        {"the place is shown without a fence before the look at the reader",
         {"show", SIM_STORE, false, memory_order_release}},
        {"the place is shown before the bytes", {"show", SIM_STORE, false, memory_order_relaxed}},
        {"the reader says that it sleeps without a fence",
         {"ring_reader_arm", SIM_STORE, false, memory_order_release}},
        {"the reader does not look once more", {"ring_reader_arm", SIM_LOOK_AGAIN, false, 0}},
        {"the reader does not say that it sleeps", {"ring_reader_arm", SIM_STORE, true, 0}},
        {"the writer says that it waits without a fence",
         {"find_room", SIM_STORE, false, memory_order_release}},
        {"the writer does not look once more", {"find_room", SIM_LOOK_AGAIN, false, 0}},
        {"a side looks for a sleeper without a fence",
         {"take_notice", SIM_LOAD, false, memory_order_acquire}},
        {"the place is read without what was written before it",
         {"look_at_writer", SIM_LOAD, false, memory_order_relaxed}},
        {"room is given before the bytes are read",
         {"ring_read", SIM_STORE, false, memory_order_relaxed}},
        {"room is given without a fence before the look at the writer",
         {"ring_read", SIM_STORE, false, memory_order_release}},
        {"the second look of the reader is not in order",
         {"ring_readable", SIM_LOAD, false, memory_order_relaxed}},
        {"the second look of the writer is not in order",
         {"look_at_reader", SIM_LOAD, false, memory_order_acquire}},
        {"the reader is awake and is still rung for", {"ring_reader_disarm", SIM_STORE, true, 0}},
        {"a notice stays where it was taken", {"take_notice", SIM_CHANGE_OF, true, 0}},
    };
    if (getenv("SEED"))
        return;
    sim_prepare();
    alarm(0); /* each seed has its own */
    unsigned missed = 0;
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        uint64_t seed = 1;
        while (seed <= FAULT_SEEDS && holds(seed, false, &faults[i].fault))
            seed++;
        if (seed > FAULT_SEEDS) {
            missed++;
            fprintf(stderr, "not found: %s\n", faults[i].name);
        } else if (getenv("VERBOSE")) {
            printf("seed %llu: %s\n", (unsigned long long)seed, faults[i].name);
        }
    }
    CHECK_EQ(missed, 0);
}
