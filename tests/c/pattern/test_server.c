/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
/* SERVER and PEER alone, and the numbers of their peers. */
#include "fakelink.h"

#include "base/error.h"
#include "pattern/numbers.c"
#include "pattern/route.c"
#include "pattern/server.c"

/* ---- numbers ---- */

/* Pipes that are never looked at. */
#define MANY 3000
static char places[MANY];

static struct pipe *place(unsigned i)
{
    return (struct pipe *)(void *)&places[i];
}

TEST(every_number_finds_its_pipe_however_they_come_and_go)
{
    static uint32_t numbers[MANY]; /* 0: not there */
    struct numbers t;
    uint32_t state = 1, live = 0;
    memset(numbers, 0, sizeof(numbers));
    numbers_init(&t);
    t.next = UINT32_MAX - MANY / 2; /* they come round once */
    for (int step = 0; step < 40000; step++) {
        state = state * 1664525u + 1013904223u;
        unsigned i = (state >> 8) % MANY;
        if (numbers[i]) {
            numbers_remove(&t, numbers[i]);
            numbers_remove(&t, numbers[i]); /* it is gone */
            CHECK(!numbers_find(&t, numbers[i]));
            numbers[i] = 0;
            live--;
        } else {
            CHECK_EQ(numbers_add(&t, place(i), &numbers[i]), 0);
            CHECK(numbers[i] != 0);
            live++;
        }
        CHECK_EQ(t.len, live);
        if (step % 1000 == 0) {
            for (unsigned k = 0; k < MANY; k++)
                if (numbers[k])
                    CHECK_EQ(numbers_find(&t, numbers[k]), place(k));
        }
    }
    CHECK(!numbers_find(&t, 0));
    numbers_fini(&t);
}

TEST(a_number_in_use_is_not_given_out_again)
{
    struct numbers t;
    uint32_t a, b, c;
    numbers_init(&t);
    t.next = UINT32_MAX;
    CHECK(!numbers_find(&t, 5)); /* an empty table */
    numbers_remove(&t, 5);
    CHECK_EQ(numbers_add(&t, place(0), &a), 0);
    CHECK_EQ(numbers_add(&t, place(1), &b), 0);
    CHECK_EQ(a, UINT32_MAX);
    CHECK_EQ(b, 1); /* never 0 */
    t.next = a;
    CHECK_EQ(numbers_add(&t, place(2), &c), 0);
    CHECK_EQ(c, 2);
    numbers_fini(&t);
}

#ifdef FMQ_DEBUG
TEST(without_memory_no_number_is_given_out_and_the_others_stay)
{
    struct numbers t;
    uint32_t numbers[200], refused = 0;
    numbers_init(&t);
    for (unsigned i = 0; i < 200; i++) {
        mem_fail_at(1);
        int rc = numbers_add(&t, place(i), &numbers[i]);
        mem_fail_at(0);
        if (rc) {
            CHECK_EQ(rc, -ENOMEM);
            refused++;
            CHECK_EQ(numbers_add(&t, place(i), &numbers[i]), 0);
        }
        for (unsigned k = 0; k <= i; k++)
            CHECK_EQ(numbers_find(&t, numbers[k]), place(k));
    }
    CHECK(refused > 2);
    numbers_fini(&t);
}
#endif

/* ---- the pattern ---- */

static uint32_t from;

/* What the program receives; `from` is the number that it came with. */
static const char *server_gets(struct pipe_set *s)
{
    static char text[256];
    struct parts m;
    parts_init(&m);
    text[0] = 0;
    from = 0;
    heard_from = NULL;
    int rc = s->ops->recv(s, &m, &heard_from);
    if (rc) {
        CHECK_EQ(m.len, 0);
        return rc == -EAGAIN ? "(again)" : "(nomem)";
    }
    CHECK_EQ(m.len, 1);
    from = m.v[0].routing_id;
    CHECK(from != 0);
    part_to_text(text, sizeof(text), &m.v[0], false);
    parts_fini(&m);
    return text;
}

static int server_says(struct pipe_set *s, uint32_t to, const char *text)
{
    struct parts m;
    parts_init(&m);
    text_to_parts(&m, text);
    m.v[0].routing_id = to;
    int rc = s->ops->send(s, &m);
    if (rc) { /* as it was */
        CHECK_EQ(m.len, 1);
        CHECK_EQ(m.v[0].routing_id, to);
    } else {
        CHECK_EQ(m.len, 0);
    }
    parts_fini(&m);
    return rc;
}

/* The number of a peer, by what it says. */
static uint32_t number_of_peer(struct pipe_set *s, struct fake *f)
{
    peer_says(f, "who");
    CHECK_STR(server_gets(s), "who");
    CHECK_EQ(heard_from, f->pipe);
    return from;
}

TEST(each_peer_has_a_number_and_is_reached_by_it)
{
    struct pipe_set *s = fake_socket(&pattern_server);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    uint32_t to_a = number_of_peer(s, a), to_b = number_of_peer(s, b);
    CHECK(to_a != to_b);
    CHECK_EQ(server_says(s, to_b, "b"), 0);
    CHECK_EQ(server_says(s, to_a, "a"), 0);
    CHECK_STR(peer_hears(a), "a");
    CHECK_STR(peer_hears(b), "b");
    CHECK_STR(peer_hears(b), "(none)");
    CHECK_EQ(s->ops->peer(s, to_a), a->pipe);
    CHECK(!s->ops->peer(s, 0));
    fake_end(s);
}

TEST(peers_are_received_from_in_turn)
{
    struct pipe_set *s = fake_socket(&pattern_server);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "1");
    peer_says(a, "2");
    peer_says(b, "3");
    CHECK_EQ(ready(s), IN | OUT);
    CHECK_STR(server_gets(s), "1");
    CHECK_STR(server_gets(s), "3");
    CHECK_STR(server_gets(s), "2");
    CHECK_STR(server_gets(s), "(again)");
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(unknown_numbers_are_unreachable_and_full_peers_have_to_be_waited_for)
{
    struct pipe_set *s = fake_socket(&pattern_server);
    struct fake *a = fake_peer(s);
    uint32_t number = number_of_peer(s, a);
    CHECK_EQ(server_says(s, 0, "x"), -EHOSTUNREACH);
    CHECK_EQ(server_says(s, number + 1, "x"), -EHOSTUNREACH);
    a->pipe->out_hwm = 1;
    CHECK_EQ(server_says(s, number, "1"), 0);
    CHECK_EQ(server_says(s, number, "2"), -EAGAIN);
    CHECK_STR(peer_hears(a), "1");
    CHECK_EQ(server_says(s, number, "2"), 0);
    fake_end(s);
}

TEST(a_peer_that_went_is_unreachable_and_what_it_sent_keeps_its_number)
{
    struct pipe_set *s = fake_socket(&pattern_server);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    uint32_t number = number_of_peer(s, a);
    peer_says(a, "last");
    fake_hangup(a);
    CHECK_EQ(server_says(s, number, "x"), -EHOSTUNREACH);
    CHECK(!s->ops->peer(s, number));
    CHECK_STR(server_gets(s), "last");
    CHECK_EQ(from, number);
    fake_free(a);
    CHECK_EQ(server_says(s, number_of_peer(s, b), "y"), 0);
    fake_end(s);
}

TEST(a_number_lasts_over_a_reconnection)
{
    struct pipe_set *s = fake_socket(&pattern_peer);
    struct fake *a = fake_new(s);
    CHECK_EQ(fake_attach(a), 0);
    uint32_t number = s->ops->last_peer(s);
    CHECK(number != 0);
    CHECK_EQ(server_says(s, number, "before"), 0); /* there is no connection yet */
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(peer_hears(a), "before");
    fake_lose(a);
    CHECK_EQ(server_says(s, number, "between"), 0);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(peer_hears(a), "between");
    CHECK_EQ(number_of_peer(s, a), number);
    fake_peer(s);
    CHECK(s->ops->last_peer(s) != number);
    fake_end(s);
}

TEST(the_message_of_a_peer_s_end_comes_with_its_number)
{
    struct pipe_set *s = fake_socket(&pattern_server);
    struct fake *a = fake_peer(s);
    uint32_t number = number_of_peer(s, a);
    s->opt.disconnect_msg.data = (uint8_t *)(uintptr_t)"gone";
    s->opt.disconnect_msg.len = 4;
    fake_hangup(a);
    CHECK_STR(server_gets(s), "gone");
    CHECK_EQ(from, number);
    fake_end(s);
}

#ifdef FMQ_DEBUG
TEST(without_memory_a_peer_is_refused_and_no_message_lost)
{
    struct pipe_set *s = fake_socket(&pattern_server);
    struct fake *a = fake_new(s);
    mem_fail_at(1);
    CHECK_EQ(fake_attach(a), -ENOMEM);
    mem_fail_at(0);
    CHECK_EQ(fake_attach(a), 0);
    CHECK_EQ(fake_connect(a), 0);
    uint32_t number = number_of_peer(s, a);
    char long_text[300];
    memset(long_text, 'x', sizeof(long_text));
    long_text[299] = 0;
    for (int fail = 1; fail < 4; fail++) {
        struct parts m;
        parts_init(&m);
        text_to_parts(&m, long_text);
        m.v[0].routing_id = number;
        mem_fail_at(fail);
        int rc = s->ops->send(s, &m);
        mem_fail_at(0);
        CHECK_EQ(m.len, rc ? 1 : 0);
        if (rc)
            CHECK_EQ(m.v[0].routing_id, number);
        else
            CHECK_STR(peer_hears(a), long_text);
        parts_fini(&m);
    }
    fake_end(s);
}
#endif
