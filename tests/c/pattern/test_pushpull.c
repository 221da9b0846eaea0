/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
#include "fakelink.h"

#include "pattern/dealer.c"
#include "pattern/pair.c"
#include "pattern/pushpull.c"
#include "pattern/route.c"
#include "pipe/option_ids.h"
#include "pipe/pipe_in.h"

/* ---- PUSH ---- */

TEST(push_deals_to_its_peers_in_turn)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(user_sends(s, "1|x"), 0);
        CHECK_EQ(user_sends(s, "2"), 0);
    }
    CHECK_STR(peer_hears(a), "1|x");
    CHECK_STR(peer_hears(a), "1|x");
    CHECK_STR(peer_hears(a), "(none)");
    CHECK_STR(peer_hears(b), "2");
    CHECK_STR(peer_hears(b), "2");
    fake_end(s);
}

TEST(push_without_peers_or_with_full_ones_would_block)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "x"), -EAGAIN);
    CHECK_EQ(user_checks(s, "x"), -EAGAIN);
    struct fake *a = fake_peer(s);
    a->pipe->out_hwm = 2;
    CHECK_EQ(user_sends(s, "1"), 0);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "2"), 0);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "3"), -EAGAIN);
    CHECK_STR(peer_hears(a), "1");
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "3"), 0);
    fake_end(s);
}

TEST(push_goes_round_a_full_peer)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    a->pipe->out_hwm = 1;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(user_sends(s, "x"), 0);
    CHECK_EQ(a->pipe->out.msgs, 1);
    CHECK_EQ(b->pipe->out.msgs, 4);
    fake_end(s);
}

TEST(push_goes_round_a_peer_without_room_for_so_many_bytes)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    fake_bound(a, 10);
    CHECK_EQ(user_sends(s, "123456"), 0); /* a */
    CHECK_EQ(user_sends(s, "123456"), 0); /* b */
    CHECK_EQ(user_sends(s, "12|345"), 0); /* not a */
    CHECK_EQ(b->pipe->out.msgs, 2);
    CHECK_EQ(user_sends(s, "1|234"), 0); /* it kept its turn */
    CHECK_EQ(a->pipe->out.msgs, 2);
    fake_bound(b, 1);
    CHECK_EQ(user_sends(s, "1"), -EAGAIN);
    CHECK_EQ(ready(s), 0);
    CHECK_STR(peer_hears(a), "123456");
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(push_is_ready_after_a_refusal_when_that_message_fits)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    struct fake *a = fake_peer(s);
    fake_bound(a, 10);
    CHECK_EQ(user_sends(s, "123"), 0);
    CHECK_EQ(user_sends(s, "45"), 0);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "1234567"), -EAGAIN);
    CHECK_EQ(ready(s), 0);
    CHECK_STR(peer_hears(a), "123");
    CHECK_EQ(user_sends(s, "1234567"), 0);
    CHECK_STR(peer_hears(a), "45");
    CHECK_STR(peer_hears(a), "1234567");
    CHECK_EQ(user_sends(s, "longer than the limit"), 0);
    CHECK_EQ(user_sends(s, ""), -EAGAIN);
    fake_end(s);
}

TEST(push_forgets_a_peer_that_hung_up)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    fake_hangup(a);
    CHECK_EQ(user_sends(s, "x"), 0);
    CHECK_EQ(user_sends(s, "y"), 0);
    CHECK_EQ(b->pipe->out.msgs, 2);
    fake_gone(b);
    CHECK_EQ(ready(s), 0);
    fake_end(s);
}

TEST(push_drops_what_a_peer_says)
{
    struct pipe_set *s = fake_socket(&pattern_push);
    struct fake *a = fake_peer(s);
    peer_says(a, "hello");
    CHECK(!pipe_can_read(a->pipe));
    CHECK_EQ(s->drops, 1);
    fake_end(s);
}

/* ---- PULL ---- */

TEST(pull_takes_from_its_peers_in_turn)
{
    struct pipe_set *s = fake_socket(&pattern_pull);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(ready(s), 0);
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "a1|x");
    peer_says(a, "a2");
    peer_says(a, "a3");
    peer_says(b, "b1");
    CHECK_EQ(ready(s), IN);
    CHECK_STR(user_gets(s), "a1|x");
    CHECK(heard_from == a->pipe);
    CHECK_STR(user_gets(s), "b1");
    CHECK_STR(user_gets(s), "a2");
    CHECK_STR(user_gets(s), "a3");
    CHECK_EQ(ready(s), 0);
    fake_end(s);
}

TEST(pull_still_gets_what_a_peer_sent_before_it_went)
{
    struct pipe_set *s = fake_socket(&pattern_pull);
    struct fake *a = fake_peer(s);
    peer_says(a, "last words");
    fake_hangup(a);
    CHECK_STR(user_gets(s), "last words");
    peer_says(a, "never read");
    fake_gone(a);
    CHECK_EQ(ready(s), 0);
    fake_end(s);
}

/* ---- PAIR ---- */

TEST(pair_refuses_a_second_peer_until_the_first_went)
{
    struct pipe_set *s = fake_socket(&pattern_pair);
    struct fake *a = fake_peer(s), *b = fake_new(s);
    CHECK(fake_attach(b) != 0);
    fake_free(b);
    CHECK_EQ(user_sends(s, "x"), 0);
    CHECK_STR(peer_hears(a), "x");
    peer_says(a, "1");
    peer_says(a, "2");
    fake_hangup(a);
    CHECK_EQ(ready(s), IN);
    CHECK_EQ(user_sends(s, "y"), -EAGAIN);
    struct fake *c = fake_peer(s);
    peer_says(c, "3");
    CHECK_EQ(ready(s), IN | OUT);
    CHECK_STR(user_gets(s), "1");
    CHECK_STR(user_gets(s), "2");
    CHECK_STR(user_gets(s), "3");
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(user_sends(s, "y|z"), 0);
    CHECK_STR(peer_hears(c), "y|z");
    fake_end(s);
}

TEST(pair_blocks_at_the_high_water_mark)
{
    struct pipe_set *s = fake_socket(&pattern_pair);
    CHECK_EQ(user_checks(s, ""), -EAGAIN);
    struct fake *a = fake_peer(s);
    a->pipe->out_hwm = 1;
    CHECK_EQ(user_sends(s, "x"), 0);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "x"), -EAGAIN);
    fake_end(s);
}

/* ---- DEALER ---- */

TEST(dealer_sends_and_receives_in_turn)
{
    struct pipe_set *s = fake_socket(&pattern_dealer);
    CHECK_EQ(ready(s), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "|1"), 0);
    CHECK_EQ(user_sends(s, "|2"), 0);
    CHECK_STR(peer_hears(a), "|1");
    CHECK_STR(peer_hears(b), "|2");
    peer_says(a, "a1");
    peer_says(a, "a2");
    peer_says(b, "b1");
    CHECK_EQ(ready(s), IN | OUT);
    CHECK_STR(user_gets(s), "a1");
    CHECK_STR(user_gets(s), "b1");
    CHECK_STR(user_gets(s), "a2");
    fake_end(s);
}

TEST(dealer_probes_each_new_connection_when_asked_to)
{
    struct pipe_set *s = fake_socket(&pattern_dealer);
    CHECK_EQ(user_sets(s, OPT_PROBE_ROUTER, 1), 0);
    CHECK_EQ(user_sets(s, OPT_ROUTER_MANDATORY, 1), -EINVAL);
    struct fake *a = fake_peer(s);
    CHECK_STR(peer_hears(a), "");
    fake_lose(a);
    CHECK_EQ(fake_connect(a), 0);
    CHECK_STR(peer_hears(a), "");
    CHECK_STR(peer_hears(a), "(none)");
    fake_end(s);
}
