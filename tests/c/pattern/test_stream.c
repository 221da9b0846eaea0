/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
#include "fakelink.h"

#include "pattern/ids.c"
#include "pattern/route.c"
#include "pattern/stream.c"

static struct fake *named(struct pipe_set *s, const char *name)
{
    struct fake *f = fake_new(s);
    f->pipe->identity_given = true;
    fake_set_id(f, name);
    CHECK_EQ(fake_attach(f), 0);
    return f;
}

TEST(stream_tells_of_coming_and_going_and_passes_bytes)
{
    struct pipe_set *s = fake_socket(&pattern_stream);
    CHECK_EQ(ready(s), 0);
    struct fake *a = named(s, "A");
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(user_gets(s), "A|");
    CHECK(heard_from == a->pipe);
    peer_says(a, "bytes");
    CHECK_EQ(ready(s), IN | OUT);
    CHECK_STR(user_gets(s), "A|bytes");
    CHECK_EQ(user_sends(s, "A|reply"), 0);
    CHECK_STR(peer_hears(a), "reply");
    fake_hangup(a);
    CHECK_STR(user_gets(s), "A|");
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(user_sends(s, "A|x"), -EHOSTUNREACH);
    fake_end(s);
}

TEST(stream_without_notify_passes_bytes_only)
{
    struct pipe_set *s = fake_socket(&pattern_stream);
    CHECK_EQ(user_sets(s, OPT_STREAM_NOTIFY, 0), 0);
    CHECK_EQ(user_sets(s, OPT_ROUTER_NOTIFY, 0), -EINVAL);
    struct fake *a = named(s, "A");
    CHECK_EQ(fake_connect(a), 0);
    peer_says(a, "x");
    fake_hangup(a);
    CHECK_STR(user_gets(s), "A|x");
    CHECK_STR(user_gets(s), "(again)");
    fake_end(s);
}

TEST(stream_closes_a_peer_that_is_sent_nothing)
{
    struct pipe_set *s = fake_socket(&pattern_stream);
    struct fake *a = named(s, "A");
    CHECK_EQ(fake_connect(a), 0);
    CHECK_EQ(user_sends(s, "A|"), 0);
    CHECK(a->pipe->close_wanted);
    fake_end(s);
}

TEST(stream_reports_unknown_and_full_peers)
{
    struct pipe_set *s = fake_socket(&pattern_stream);
    CHECK_EQ(user_sends(s, "A|x"), -EHOSTUNREACH);
    CHECK_EQ(user_checks(s, "A"), -EHOSTUNREACH);
    struct fake *a = named(s, "A");
    a->pipe->out_hwm = 1;
    CHECK_EQ(user_sends(s, "A|1"), 0);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "A|2"), -EAGAIN);
    CHECK_EQ(user_checks(s, "A"), -EAGAIN);
    CHECK_STR(peer_hears(a), "1");
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "A|2|3"), -EINVAL);
    CHECK_EQ(user_sends(s, "A"), 0);
    CHECK_STR(peer_hears(a), "(none)");
    fake_end(s);
}

TEST(stream_gives_the_id_that_its_latest_peer_was_given_as_routing_id)
{
    struct pipe_set *s = fake_socket(&pattern_stream);
    struct fake *a = fake_new(s), *b = fake_new(s);
    int endpoint; /* only its being there counts */
    a->pipe->endpoint = (struct endpoint *)(void *)&endpoint;
    CHECK_EQ(fake_attach(a), 0);
    CHECK_EQ(s->opt.routing_id_len, 5);
    struct id id;
    id_set(&id, s->opt.routing_id, s->opt.routing_id_len);
    CHECK_EQ(fake_attach(b), 0);
    CHECK_EQ(s->opt.routing_id_len, 5);
    CHECK(memcmp(s->opt.routing_id, id.bytes, 5) != 0);
    struct msg m;
    CHECK_EQ(id_frame(&id, &m), 0);
    CHECK_EQ(s->ops->send_check(s, &m), 0);
    id_set(&id, s->opt.routing_id, s->opt.routing_id_len);
    struct fake *c = fake_new(s);
    c->pipe->identity_given = true;
    memcpy(c->pipe->identity, id.bytes, 5);
    c->pipe->identity_len = 5;
    CHECK_EQ(fake_attach(c), -EADDRINUSE);
    fake_end(s);
}
