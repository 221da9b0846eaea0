/* SPDX-License-Identifier: MIT */
// needs: engine
/*
 * epgm within this host. Every allocation and every system call of a scenario fails in turn, until
 * a run has no failure left: what was sent comes whole and in order all the same, and it goes on.
 */
#include "check.h"

#include <unistd.h>

#include "engine.h"
#include "os/sys.h"

#define RATE 8
#define PARTS 20

static char endpoint[64];

static void name_group(void)
{
    snprintf(endpoint, sizeof(endpoint), "epgm://127.0.0.1;239.%d.%d.9:%d",
             (int)(1 + check_below(200)), (int)check_below(255), (int)(20000 + check_below(10000)));
}

/* Again as long as it is the fault that keeps it from being done. */
static void do_it(int (*call)(fmq_socket *s, const char *endpoint), fmq_socket *s)
{
    for (int i = 0; i < 5; i++) {
        int rc = call(s, endpoint);
        if (rc == 0)
            return;
        if (i == 4)
            eng_must(rc, "connect");
    }
}

static size_t size_of(uint32_t number)
{
    return number % 5 == 0 ? 4000 : 4 + number % 90;
}

static int say(fmq_socket *s, uint32_t number)
{
    uint8_t body[4000];
    memset(body, (int)(number & 255), sizeof(body));
    memcpy(body, &number, 4);
    struct msg m;
    msg_init_borrowed(&m, body, size_of(number), NULL);
    m.flags |= PART_NOREF;
    int rc;
    while ((rc = fmq_send(s, &m, 1, false, 0)) == -EINTR)
        ;
    return rc;
}

/* Takes what is there; *next is the least number that may come. */
static void hear(fmq_socket *s, uint32_t *next)
{
    struct parts p;
    parts_init(&p);
    while (eng_recv(s, &p, 0) == 0) {
        uint32_t number;
        CHECK_EQ(p.len, 1);
        CHECK(msg_size(&p.v[0]) >= 4);
        memcpy(&number, msg_data(&p.v[0]), 4);
        CHECK(number >= *next);
        CHECK_EQ(msg_size(&p.v[0]), size_of(number));
        for (size_t i = 4; i < msg_size(&p.v[0]); i++)
            CHECK_EQ(msg_data(&p.v[0])[i], number & 255);
        *next = number + 1;
        parts_clear(&p);
    }
    parts_fini(&p);
}

/* Whether a failure came. */
static bool scenario(bool memory, long nth)
{
    name_group();
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pub = eng_socket(ctx, FMQ_PUB), *sub = eng_socket(ctx, FMQ_SUB);
    eng_set(pub, RATE, 100000);
    eng_set(pub, ENG_LINGER, 0); /* else it stays a while for those who missed something */
    eng_must(fmq_set_bytes(sub, ENG_SUBSCRIBE, "", 0), "SUBSCRIBE");
    uint32_t number = 0, next = 0;
    if (memory)
        mem_fail_at(nth);
    else
        sys_fail_at(nth, 0, 0);
    do_it(fmq_connect, sub);
    do_it(fmq_bind, pub);
    for (int i = 0; i < PARTS; i++) {
        int rc = say(pub, number++);
        CHECK(rc == 0 || rc == -ENOMEM);
        hear(sub, &next);
    }
    bool came = memory ? mem_failed() > 0 : sys_failed(NULL) != NULL;
    mem_fail_at(0);
    sys_fail_at(0, 0, 0);
    uint64_t until = eng_until(2 * ENG_WAIT_MS);
    uint32_t goal = number + 5;
    while (next < goal && clock_now() < until) {
        eng_must(say(pub, number++), "send");
        usleep(2000);
        hear(sub, &next);
    }
    if (next < goal)
        fprintf(stderr, "%s %ld: nothing came any more\n", memory ? "allocation" : "system call",
                nth);
    CHECK(next >= goal);
    eng_close(pub);
    eng_close(sub);
    eng_end(ctx);
    return came;
}

TEST(messages_go_through_a_group_of_this_host)
{
    CHECK(!scenario(true, 1000000));
}

TEST(any_allocation_may_fail)
{
    for (long nth = 1; scenario(true, nth) && nth < 120; nth++)
        ;
}

TEST(any_system_call_may_fail)
{
    for (long nth = 1; scenario(false, nth) && nth < 80; nth++)
        ;
}

TEST(what_a_publisher_holds_when_it_closes_is_freed)
{
    name_group();
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pub = eng_socket(ctx, FMQ_PUB), *sub = eng_socket(ctx, FMQ_XSUB);
    eng_set(pub, RATE, 8);
    eng_set(pub, ENG_LINGER, 0);
    eng_must(fmq_connect(sub, endpoint), "connect");
    eng_must(fmq_connect(pub, endpoint), "connect");
    for (uint32_t n = 0; n < 200; n++)
        eng_must(say(pub, n), "send");
    struct fmq_socket_stats stats;
    CHECK_EQ(fmq_stats(pub, &stats), 0);
    CHECK(stats.count.queued_to_send > 100);
    CHECK_EQ(fmq_disconnect(sub, endpoint), 0);
    eng_close(pub);
    eng_close(sub);
    eng_end(ctx);
}
