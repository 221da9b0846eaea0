/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe
#include "fakelink.h"

#include "pattern/rep.c"
#include "pattern/req.c"
#include "pattern/route.c"
#include "pipe/pipe_in.h"

/* ---- REQ ---- */

TEST(req_sends_an_empty_frame_and_takes_it_off_the_reply)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s);
    CHECK_EQ(ready(s), OUT);
    CHECK_STR(user_gets(s), "(efsm)");
    CHECK_EQ(user_sends(s, "q|r"), 0);
    CHECK_STR(peer_hears(a), "|q|r");
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "again"), -FMQ_EFSM);
    CHECK_EQ(user_checks(s, "again"), -FMQ_EFSM);
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "|reply|more");
    CHECK_EQ(ready(s), IN);
    CHECK_EQ(ready(s), IN);
    CHECK_STR(user_gets(s), "reply|more");
    CHECK(heard_from == a->pipe);
    CHECK_STR(user_gets(s), "(efsm)");
    CHECK_EQ(ready(s), OUT);
    fake_end(s);
}

TEST(req_asks_its_peers_in_turn_and_blocks_without_any)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    CHECK_EQ(user_sends(s, "q"), -EAGAIN);
    CHECK_EQ(user_checks(s, "q"), -EAGAIN);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "1"), 0);
    peer_says(a, "|ok");
    CHECK_STR(user_gets(s), "ok");
    CHECK_EQ(user_sends(s, "2"), 0);
    CHECK_STR(peer_hears(b), "|2");
    fake_end(s);
}

TEST(req_listens_only_to_the_peer_asked)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_says(b, "|wrong");
    CHECK_EQ(ready(s), 0);
    CHECK(!pipe_can_read(b->pipe));
    CHECK(!b->pipe->close_wanted);
    peer_says(a, "|right");
    CHECK_STR(user_gets(s), "right");
    fake_end(s);
}

TEST(req_listens_to_any_peer_once_the_one_asked_is_gone)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    fake_gone(a);
    peer_says(b, "|from b");
    CHECK_STR(user_gets(s), "from b");
    fake_end(s);
}

TEST(req_drops_stale_replies_before_a_new_request)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s);
    peer_says(a, "|unasked");
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "q"), 0);
    CHECK_EQ(s->drops, 1);
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "|ok");
    CHECK_STR(user_gets(s), "ok");
    fake_end(s);
}

TEST(req_closes_a_connection_that_replies_without_envelope)
{
    static const char *const bad[] = {"no envelope", "x|y", "", "1234|x|y", "1234"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pipe_set *s = fake_socket(&pattern_req);
        struct fake *a = fake_peer(s), *b = fake_peer(s);
        CHECK_EQ(user_sends(s, "q"), 0);
        peer_says(a, bad[i]);
        peer_says(a, "|behind it");
        CHECK_STR(user_gets(s), "(again)");
        CHECK(a->pipe->close_wanted);
        CHECK(!pipe_can_read(a->pipe));
        fake_gone(a);
        peer_says(b, "|b");
        CHECK_STR(user_gets(s), "b");
        fake_end(s);
    }
}

TEST(req_accepts_an_id_frame_even_without_correlate)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_says(a, "1234||ok");
    CHECK_STR(user_gets(s), "ok");
    fake_end(s);
}

static void echo_id(char id[16], struct fake *f)
{
    uint8_t flags;
    const uint8_t *data;
    size_t size;
    CHECK(outq_front(&f->pipe->out, &flags, &data, &size));
    CHECK_EQ(size, 4);
    memcpy(id, data, 4);
}

static void says_with_id(struct fake *f, const char id[16], const char *body)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, id, 4), 0);
    m.flags = PART_MORE;
    CHECK_EQ(msgring_push(&f->pipe->in, &m), 0);
    peer_says(f, body);
    f->pipe->set->ops->readable(f->pipe->set, f->pipe);
}

TEST(req_with_correlate_takes_only_the_reply_with_its_id)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    CHECK_EQ(user_sets(s, OPT_REQ_CORRELATE, 1), 0);
    CHECK_EQ(user_sets(s, OPT_REQ_RELAXED, 1), 0);
    struct fake *a = fake_peer(s);
    char id1[16], id2[16];
    CHECK_EQ(user_sends(s, "one"), 0);
    echo_id(id1, a);
    peer_hears(a);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "two"), 0);
    echo_id(id2, a);
    uint32_t n1, n2;
    memcpy(&n1, id1, 4);
    memcpy(&n2, id2, 4);
    CHECK_EQ((uint32_t)(n1 + 1), n2);
    says_with_id(a, id1, "|late");
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "|without");
    CHECK_STR(user_gets(s), "(again)");
    CHECK(!a->pipe->close_wanted);
    says_with_id(a, id2, "|two's");
    CHECK_STR(user_gets(s), "two's");
    fake_end(s);
}

TEST(req_relaxed_abandons_the_request_that_is_out)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    CHECK_EQ(user_sets(s, OPT_REQ_RELAXED, 1), 0);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    CHECK_EQ(user_sends(s, "one"), 0);
    peer_says(a, "|to one");
    CHECK_EQ(ready(s), IN | OUT); /* holds the reply now */
    CHECK_EQ(user_sends(s, "two"), 0);
    CHECK_STR(user_gets(s), "(again)");
    peer_says(a, "|late");
    peer_says(b, "|to two");
    CHECK_STR(user_gets(s), "to two");
    fake_end(s);
}

TEST(req_keeps_waiting_when_a_relaxed_send_would_block)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    CHECK_EQ(user_sets(s, OPT_REQ_RELAXED, 1), 0);
    struct fake *a = fake_peer(s);
    a->pipe->out_hwm = 1;
    CHECK_EQ(user_sends(s, "one"), 0);
    CHECK_EQ(user_sends(s, "two"), -EAGAIN);
    peer_says(a, "|ok");
    CHECK_STR(user_gets(s), "ok");
    fake_end(s);
}

TEST(req_holds_a_reply_whose_sender_is_gone)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s);
    CHECK_EQ(user_sends(s, "q"), 0);
    peer_says(a, "|ok");
    CHECK_EQ(ready(s), IN);
    fake_gone(a);
    CHECK_EQ(ready(s), IN);
    CHECK_STR(user_gets(s), "ok");
    CHECK(heard_from == NULL);
    fake_end(s);
}

TEST(req_send_without_memory_leaves_the_message_and_the_state)
{
    struct pipe_set *s = fake_socket(&pattern_req);
    struct fake *a = fake_peer(s);
    struct parts m;
    parts_init(&m);
    text_to_parts(&m, "1|2|3|4|5|6");
    mem_fail_at(1);
    int rc = s->ops->send(s, &m);
    mem_fail_at(0);
    if (rc) { /* memory can only fail on purpose in debug builds */
        CHECK_EQ(rc, -ENOMEM);
        CHECK_EQ(m.len, 6);
        CHECK_EQ(ready(s), OUT);
        CHECK_EQ(s->ops->send(s, &m), 0);
    }
    CHECK_STR(peer_hears(a), "|1|2|3|4|5|6");
    parts_fini(&m);
    fake_end(s);
}

/* ---- REP ---- */

TEST(rep_keeps_the_envelope_for_the_reply)
{
    struct pipe_set *s = fake_socket(&pattern_rep);
    struct fake *a = fake_peer(s);
    CHECK_EQ(ready(s), 0);
    CHECK_EQ(user_sends(s, "x"), -FMQ_EFSM);
    CHECK_EQ(user_checks(s, "x"), -FMQ_EFSM);
    peer_says(a, "r1|r2||q||z");
    CHECK_EQ(ready(s), IN);
    CHECK_STR(user_gets(s), "q||z");
    CHECK(heard_from == a->pipe);
    CHECK_EQ(ready(s), OUT);
    CHECK_STR(user_gets(s), "(efsm)");
    CHECK_EQ(user_sends(s, "a|b"), 0);
    CHECK_STR(peer_hears(a), "r1|r2||a|b");
    CHECK_EQ(ready(s), 0);
    fake_end(s);
}

TEST(rep_serves_its_peers_in_turn)
{
    struct pipe_set *s = fake_socket(&pattern_rep);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "|a1");
    peer_says(a, "|a2");
    peer_says(b, "|b1");
    CHECK_STR(user_gets(s), "a1");
    CHECK_EQ(user_sends(s, "1"), 0);
    CHECK_STR(user_gets(s), "b1");
    CHECK_EQ(user_sends(s, "2"), 0);
    CHECK_STR(user_gets(s), "a2");
    CHECK_STR(peer_hears(a), "|1");
    CHECK_STR(peer_hears(b), "|2");
    fake_end(s);
}

TEST(rep_drops_requests_without_delimiter_or_body)
{
    struct pipe_set *s = fake_socket(&pattern_rep);
    struct fake *a = fake_peer(s);
    peer_says(a, "no delimiter");
    peer_says(a, "x|y|z");
    peer_says(a, "");
    peer_says(a, "x|");
    CHECK_EQ(ready(s), 0);
    CHECK_STR(user_gets(s), "(again)");
    CHECK_EQ(s->drops, 4);
    CHECK_EQ(a->pipe->drops, 4);
    peer_says(a, "bad");
    peer_says(a, "|good");
    CHECK_EQ(ready(s), IN);
    CHECK_STR(user_gets(s), "good");
    CHECK(!a->pipe->close_wanted);
    fake_end(s);
}

TEST(rep_drops_the_reply_to_a_peer_that_is_gone_or_full)
{
    struct pipe_set *s = fake_socket(&pattern_rep);
    struct fake *a = fake_peer(s), *b = fake_peer(s);
    peer_says(a, "|q");
    CHECK_STR(user_gets(s), "q");
    fake_gone(a);
    CHECK_EQ(ready(s), OUT);
    CHECK_EQ(user_sends(s, "nobody"), 0);
    b->pipe->out_hwm = 1;
    for (int i = 0; i < 2; i++) {
        peer_says(b, "|q");
        CHECK_STR(user_gets(s), "q");
        CHECK_EQ(user_sends(s, "x"), 0);
    }
    CHECK_EQ(b->pipe->out.msgs, 1);
    CHECK_EQ(s->drops, 2);
    fake_end(s);
}

TEST(rep_holds_a_request_whose_sender_is_gone)
{
    struct pipe_set *s = fake_socket(&pattern_rep);
    struct fake *a = fake_peer(s);
    peer_says(a, "|q");
    CHECK_EQ(ready(s), IN);
    fake_gone(a);
    CHECK_STR(user_gets(s), "q");
    CHECK_EQ(user_sends(s, "x"), 0);
    fake_end(s);
}

TEST(rep_keeps_long_envelopes)
{
    struct pipe_set *s = fake_socket(&pattern_rep);
    struct fake *a = fake_peer(s);
    peer_says(a, "1|2|3|4|5|6|7|8|9||q");
    mem_fail_at(1);
    const char *got = user_gets(s);
    mem_fail_at(0);
    if (strcmp(got, "(nomem)") == 0)
        got = user_gets(s);
    CHECK_STR(got, "q");
    CHECK_EQ(user_sends(s, "x"), 0);
    CHECK_STR(peer_hears(a), "1|2|3|4|5|6|7|8|9||x");
    fake_end(s);
}
