/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
#include "fakelink.h"

#include "pattern/ids.c"
#include "pattern/route.c"
#include "pattern/router.c"
#include "pipe/pipe_in.h"

/* The id that comes with the next message, and the message's other parts. */
static const char *gets_from(struct pipe_set *s, struct id *id)
{
    static char text[512];
    text[0] = 0;
    struct parts m;
    parts_init(&m);
    struct pipe *from;
    CHECK_EQ(s->ops->recv(s, &m, &from), 0);
    CHECK(m.len > 1);
    id_set(id, msg_data(&m.v[0]), (uint8_t)msg_size(&m.v[0]));
    for (uint32_t i = 1; i < m.len; i++)
        part_to_text(text, sizeof(text), &m.v[i], i + 1 < m.len);
    parts_fini(&m);
    return text;
}

static int sends_to(struct pipe_set *s, const struct id *id, const char *body)
{
    struct parts m;
    parts_init(&m);
    struct msg head;
    CHECK_EQ(id_frame(id, &head), 0);
    CHECK_EQ(parts_push(&m, &head), 0);
    text_to_parts(&m, body);
    int rc = s->ops->send(s, &m);
    parts_fini(&m);
    return rc;
}

TEST(router_puts_the_peers_id_in_front_and_routes_by_it)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer_named(s, "A"), *b = fake_peer_named(s, "B");
    peer_says(a, "|1");
    peer_says(a, "|2");
    peer_says(b, "3");
    CHECK_EQ(ready(s), IN | OUT);
    CHECK_STR(user_gets(s), "A||1");
    CHECK(heard_from == a->pipe);
    CHECK_STR(user_gets(s), "B|3");
    CHECK_STR(user_gets(s), "A||2");
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(user_sends(s, "B|x||y"), 0);
    CHECK_STR(peer_hears(b), "x||y");
    CHECK_STR(peer_hears(a), "(none)");
    fake_end(s);
}

TEST(router_makes_up_ids_that_begin_with_a_zero_byte_and_count)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    struct id ia, ib;
    peer_says(a, "hi");
    CHECK_STR(gets_from(s, &ia), "hi");
    peer_says(b, "ho");
    CHECK_STR(gets_from(s, &ib), "ho");
    CHECK_EQ(ia.len, 5);
    CHECK_EQ(ia.bytes[0], 0);
    uint32_t na = (uint32_t)ia.bytes[1] << 24 | (uint32_t)ia.bytes[2] << 16 |
                  (uint32_t)ia.bytes[3] << 8 | ia.bytes[4];
    uint32_t nb = (uint32_t)ib.bytes[1] << 24 | (uint32_t)ib.bytes[2] << 16 |
                  (uint32_t)ib.bytes[3] << 8 | ib.bytes[4];
    CHECK_EQ((uint32_t)(na + 1), nb);
    CHECK_EQ(sends_to(s, &ib, "x"), 0);
    CHECK_STR(peer_hears(b), "x");
    fake_lose(b); /* and comes back without a name: the id stays */
    CHECK_EQ(fake_connect(b), 0);
    CHECK_EQ(sends_to(s, &ib, "y"), 0);
    CHECK_STR(peer_hears(b), "y");
    fake_end(s);
}

TEST(router_drops_silently_what_it_cannot_route)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "nobody|x"), 0);
    CHECK_EQ(user_sends(s, "lone"), 0);
    struct fake *a = fake_peer_named(s, "A");
    a->pipe->out_hwm = 1;
    CHECK_EQ(user_sends(s, "A|1"), 0);
    CHECK_EQ(user_sends(s, "A|2"), 0);
    CHECK_EQ(a->pipe->out.msgs, 1);
    CHECK_EQ(s->drops, 3);
    CHECK_EQ(user_checks(s, "nobody"), 0);
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(router_mandatory_reports_what_it_cannot_route)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    CHECK_EQ(user_sets(s, OPT_ROUTER_MANDATORY, 1), 0);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "nobody|x"), -EHOSTUNREACH);
    CHECK_EQ(user_checks(s, "nobody"), -EHOSTUNREACH);
    CHECK_EQ(user_sends(s, "lone"), 0);
    struct fake *a = fake_peer_named(s, "A");
    a->pipe->out_hwm = 1;
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "A|1"), 0);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "A|2"), -EAGAIN);
    CHECK_EQ(user_checks(s, "A"), -EAGAIN);
    CHECK_STR(peer_hears(a), "1");
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_checks(s, "A"), 0);
    fake_gone(a);
    CHECK_EQ(user_sends(s, "A|3"), -EHOSTUNREACH);
    fake_end(s);
}

TEST(router_leaves_a_duplicate_id_open_and_unserved)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer_named(s, "A"), *b = fake_new(s);
    fake_set_id(b, "A");
    CHECK_EQ(fake_attach(b), 0);
    CHECK_EQ(fake_connect(b), 0);
    peer_says(b, "unheard");
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "A|x"), 0);
    CHECK_STR(peer_hears(a), "x");
    CHECK(!b->pipe->close_wanted && !a->pipe->close_wanted);
    fake_hangup(b); /* what it said must not keep the pipe alive */
    CHECK(!pipe_can_read(b->pipe));
    fake_free(b);
    CHECK_EQ(user_sends(s, "A|y"), 0);
    CHECK_STR(peer_hears(a), "y");
    fake_end(s);
}

TEST(router_handover_gives_the_id_to_the_newcomer)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    CHECK_EQ(user_sets(s, OPT_ROUTER_HANDOVER, 1), 0);
    struct fake *a = fake_peer_named(s, "A");
    peer_says(a, "old");
    struct fake *b = fake_peer_named(s, "A");
    CHECK(a->pipe->close_wanted);
    peer_says(b, "new");
    CHECK_STR(user_gets(s), "A|old");
    CHECK_STR(user_gets(s), "A|new");
    CHECK_EQ(user_sends(s, "A|x"), 0);
    fake_gone(a);
    CHECK_EQ(user_sends(s, "A|y"), 0);
    CHECK_STR(peer_hears(b), "x");
    CHECK_STR(peer_hears(b), "y");
    fake_end(s);
}

TEST(router_serves_a_name_given_before_connecting)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_new(s), *b = fake_new(s);
    a->pipe->identity_given = b->pipe->identity_given = true;
    fake_set_id(a, "server");
    fake_set_id(b, "server");
    CHECK_EQ(fake_attach(a), 0);
    CHECK_EQ(user_sends(s, "server|early"), 0);
    CHECK_EQ(fake_attach(b), -EADDRINUSE);
    fake_free(b);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_EQ(user_sends(s, "server|late"), 0);
    CHECK_STR(peer_hears(a), "early");
    CHECK_STR(peer_hears(a), "late");
    peer_says(a, "hi");
    CHECK_STR(user_gets(s), "server|hi");
    fake_end(s);
}

TEST(router_follows_a_peer_whose_id_changed)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer_named(s, "A");
    peer_says(a, "1");
    peer_says(a, "2");
    fake_lose(a);
    fake_set_id(a, "B");
    CHECK_EQ(fake_connect(a), 0);
    peer_says(a, "3");
    fake_lose(a);
    fake_set_id(a, "C");
    CHECK_EQ(fake_connect(a), 0);
    peer_says(a, "4");
    CHECK_STR(user_gets(s), "A|1");
    CHECK_STR(user_gets(s), "A|2");
    CHECK_STR(user_gets(s), "B|3");
    CHECK_STR(user_gets(s), "C|4");
    CHECK_EQ(user_sends(s, "A|x"), 0);
    CHECK_EQ(user_sends(s, "B|x"), 0);
    CHECK_EQ(user_sends(s, "C|y"), 0);
    CHECK_STR(peer_hears(a), "y");
    CHECK_STR(peer_hears(a), "(none)");
    fake_end(s);
}

TEST(router_delivers_what_came_before_a_peer_took_an_id_in_use)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer_named(s, "A"), *b = fake_peer_named(s, "B");
    peer_says(a, "1");
    fake_lose(a);
    fake_set_id(a, "B");
    CHECK_EQ(fake_connect(a), 0);
    peer_says(a, "unheard");
    CHECK_STR(user_gets(s), "A|1");
    CHECK_STR(user_gets(s), "(again)");
    fake_hangup(a);
    CHECK_STR(user_gets(s), "(again)");
    CHECK(!pipe_can_read(a->pipe));
    CHECK_EQ(user_sends(s, "B|x"), 0);
    CHECK_STR(peer_hears(b), "x");
    fake_end(s);
}

TEST(router_destroys_unread_former_messages_with_the_pipe)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer_named(s, "A");
    peer_says(a, "1");
    fake_lose(a);
    fake_set_id(a, "B");
    CHECK_EQ(fake_connect(a), 0);
    fake_gone(a);
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(router_probes_each_new_connection_when_asked_to)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    CHECK_EQ(user_sets(s, OPT_PROBE_ROUTER, 1), 0);
    struct fake *a = fake_peer_named(s, "A");
    CHECK_STR(peer_hears(a), "");
    peer_says(a, "");
    CHECK_STR(user_gets(s), "A|");
    fake_end(s);
}

TEST(router_notifies_of_coming_and_going)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    int64_t value;
    CHECK_EQ(user_sets(s, OPT_ROUTER_NOTIFY, 3), 0);
    CHECK_EQ(s->ops->getopt(s, OPT_ROUTER_NOTIFY, &value), 0);
    CHECK_EQ(value, 3);
    struct fake *a = fake_peer_named(s, "A");
    CHECK_STR(user_gets(s), "A|");
    peer_says(a, "x");
    fake_lose(a);
    fake_hangup(a);
    CHECK_STR(user_gets(s), "A|x");
    CHECK_STR(user_gets(s), "A|");
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(user_sets(s, OPT_ROUTER_NOTIFY, 2), 0);
    struct fake *b = fake_peer_named(s, "B");
    CHECK_STR(user_gets(s), "(again)");
    fake_hangup(b);
    CHECK_STR(user_gets(s), "B|");
    fake_end(s);
}

TEST(router_tells_a_peers_state)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    CHECK_EQ(router_peer_state(s, "A", 1), -EHOSTUNREACH);
    struct fake *a = fake_peer_named(s, "A");
    a->pipe->out_hwm = 1;
    CHECK_EQ(router_peer_state(s, "A", 1), OUT);
    peer_says(a, "x");
    CHECK_EQ(router_peer_state(s, "A", 1), IN | OUT);
    CHECK_EQ(user_sends(s, "A|y"), 0);
    CHECK_EQ(router_peer_state(s, "A", 1), IN);
    s->type = FMQ_DEALER;
    CHECK_EQ(router_peer_state(s, "A", 1), -ENOTSUP);
    s->type = FMQ_ROUTER;
    fake_end(s);
}

TEST(router_raw_speaks_bytes_and_closes_on_an_empty_one)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    CHECK(!s->ops->raw);
    CHECK_EQ(user_sets(s, OPT_ROUTER_RAW, 1), 0);
    CHECK(s->ops->raw);
    struct fake *a = fake_peer(s);
    struct id id;
    CHECK_STR(gets_from(s, &id), "");
    peer_says(a, "GET /");
    CHECK_STR(gets_from(s, &id), "GET /");
    CHECK_EQ(sends_to(s, &id, "200"), 0);
    CHECK_STR(peer_hears(a), "200");
    CHECK_EQ(sends_to(s, &id, "a|b"), -EINVAL);
    CHECK_EQ(sends_to(s, &id, ""), 0);
    CHECK(a->pipe->close_wanted);
    CHECK_EQ(user_sets(s, OPT_ROUTER_RAW, 0), 0);
    CHECK(!s->ops->raw);
    fake_end(s);
}

TEST(router_recv_without_memory_loses_nothing)
{
    struct pipe_set *s = fake_socket(&pattern_router);
    struct fake *a = fake_peer_named(s, "an id that does not fit into the message itself");
    peer_says(a, "x");
    mem_fail_at(1);
    const char *got = user_gets(s);
    mem_fail_at(0);
    if (strcmp(got, "(nomem)") == 0)
        got = user_gets(s);
    CHECK_STR(got, "an id that does not fit into the message itself|x");
    fake_end(s);
}
