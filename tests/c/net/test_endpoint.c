/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/*
 * Endpoints over a transport that does what a test says: candidates, the waits between attempts,
 * when a connecter gives up, and a listener that is out of descriptors.
 */
#include "box.h"
#include "check.h"

#include <sys/resource.h>

#include "net/connecter.h"
#include "net/endpoint.h"
#include "net/endpoint_close.h"
#include "net/events.h"
#include "net/listener.h"
#include "net/retry.h"
#include "os/net.h"

/* ---- a transport ---- */

static int candidates; /* of each address */
static int failure;    /* what connect answers */
static int asked[64];  /* which candidates were tried */
static unsigned asked_count;
static char asked_address[96]; /* of the last one */

static int fake_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    (void)bind;
    (void)ipv6;
    if (strcmp(rest, "wrong") == 0) {
        strcpy(detail, "this address is wrong");
        return -EINVAL;
    }
    snprintf(a->host, sizeof(a->host), "%s", rest);
    a->port = 80;
    a->count = candidates;
    for (int i = 0; i < candidates; i++)
        CHECK_EQ(net_resolve("127.0.0.1", 0, false, true, &a->at[i], 1), 1);
    return 0;
}

static int fake_listen(struct endpoint *ep, struct address *a)
{
    (void)ep;
    int fd = net_socket(AF_INET, SOCK_STREAM);
    CHECK(fd >= 0);
    CHECK_EQ(net_listen(fd, &a->at[0], 10, true, false), 0);
    return fd;
}

static int fake_connect(struct endpoint *ep, struct address *a, int which, bool *connected)
{
    (void)ep;
    (void)connected;
    net_addr_text(&a->at[which], asked_address, sizeof(asked_address));
    CHECK(asked_count < 64);
    asked[asked_count++] = which;
    return failure;
}

static int fake_accepted(struct endpoint *ep, int fd, const struct net_addr *peer)
{
    (void)ep;
    (void)fd;
    (void)peer;
    return 0;
}

static int fake_local_name(int fd, struct net_addr *own, char *buf, size_t size)
{
    char text[64];
    CHECK_EQ(net_local_addr(fd, own), 0);
    net_addr_text(own, text, sizeof(text));
    snprintf(buf, size, "fake://%s", text);
    return 0;
}

static void fake_peer_name(const struct net_addr *addr, char *buf, size_t size)
{
    net_addr_text(addr, buf, size);
}

static int fake_peer_address(int fd, const struct net_addr *addr, char *buf, size_t size)
{
    (void)fd;
    net_addr_text(addr, buf, size);
    return 0;
}

static const struct transport_ops fake = {
    .scheme = "fake",
    .parse = fake_parse,
    .listen = fake_listen,
    .connect = fake_connect,
    .accepted = fake_accepted,
    .local_name = fake_local_name,
    .peer_name = fake_peer_name,
    .peer_address = fake_peer_address,
};

static void begin(struct conn_set *s)
{
    set_up(s);
    /* Only that there is one is asked; nothing here hands anything to it. */
    conn_set_reactor(s)->io_thread = (struct io_thread *)(void *)s;
    s->pipes.opt.reconnect_ivl = 100;
    candidates = 1;
    failure = -ECONNREFUSED;
    asked_count = box_seen_count = 0;
}

static void end(struct conn_set *s)
{
    conn_set_reactor(s)->io_thread = NULL;
    tear_down(s);
}

static struct endpoint *only_endpoint(struct conn_set *s)
{
    CHECK(!list_empty(&s->endpoints));
    return LIST_ENTRY(s->endpoints.next, struct endpoint, in_set);
}

static struct endpoint *start_connecting(struct conn_set *s)
{
    CHECK_EQ(endpoint_connect(s, &fake, "fake://there", "there"), 0);
    return only_endpoint(s);
}

/* The wait that was reported last, in ms. */
static uint64_t last_wait(void)
{
    for (unsigned i = box_seen_count; i--;)
        if (box_seen[i].event == EVENT_CONNECT_RETRIED)
            return box_seen[i].value;
    return 0;
}

static unsigned seen(uint32_t event)
{
    unsigned n = 0;
    for (unsigned i = 0; i < box_seen_count; i++)
        n += box_seen[i].event == event;
    return n;
}

/* The endpoint's wait is over, at once. */
static void pass_time(struct conn_set *s)
{
    struct endpoint *ep = only_endpoint(s);
    CHECK(ep->timer.node.linked);
    timer_set(conn_set_reactor(s), &ep->timer, 1);
    timers_run(conn_set_reactor(s), 1);
}

/* ---- connecters ---- */

TEST(an_address_that_cannot_be_read_makes_no_endpoint)
{
    struct conn_set s;
    begin(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    CHECK_EQ(endpoint_connect(&s, &fake, "fake://wrong", "wrong"), -EINVAL);
    CHECK_EQ(endpoint_bind(&s, &fake, "fake://wrong", "wrong"), -EINVAL);
    CHECK(list_empty(&s.endpoints));
    CHECK(list_empty(&s.pipes.list));
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

TEST(the_waits_double_up_to_the_limit_and_are_short_again_after_a_handshake)
{
    struct conn_set s;
    begin(&s);
    s.pipes.opt.reconnect_ivl_max = 700;
    mutex_lock(&conn_set_reactor(&s)->lock);
    struct endpoint *ep = start_connecting(&s);
    const uint64_t wanted[] = {100, 200, 400, 700, 700};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(last_wait(), wanted[i]);
        pass_time(&s);
    }
    retry_reset(ep);
    pass_time(&s);
    CHECK_EQ(last_wait(), 100);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

TEST(without_a_limit_the_waits_are_drawn_between_once_and_twice_the_interval)
{
    struct conn_set s;
    begin(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    start_connecting(&s);
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t wait = last_wait();
        CHECK(wait >= 100 && wait < 200);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
        pass_time(&s);
    }
    CHECK(least < most);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

TEST(the_attempt_comes_when_the_wait_is_over_and_not_before)
{
    struct conn_set s;
    begin(&s);
    s.pipes.opt.reconnect_ivl_max = 10000; /* each wait twice the last */
    mutex_lock(&conn_set_reactor(&s)->lock);
    start_connecting(&s);
    CHECK_EQ(asked_count, 1);
    uint64_t next = timers_next(conn_set_reactor(&s));
    timers_run(conn_set_reactor(&s), next - 1);
    CHECK_EQ(asked_count, 1);
    timers_run(conn_set_reactor(&s), next);
    CHECK_EQ(asked_count, 2);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

TEST(all_candidates_are_tried_in_their_order_before_a_wait)
{
    struct conn_set s;
    begin(&s);
    candidates = 3;
    mutex_lock(&conn_set_reactor(&s)->lock);
    start_connecting(&s);
    CHECK_EQ(seen(EVENT_CONNECT_RETRIED), 1);
    pass_time(&s);
    CHECK_EQ(seen(EVENT_CONNECT_RETRIED), 2);
    CHECK_EQ(asked_count, 6);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(asked[i], i % 3);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

TEST(wrong_answers_in_a_row_lengthen_the_wait_sixteenfold_at_most)
{
    struct conn_set s;
    begin(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    struct endpoint *ep = start_connecting(&s);
    for (int i = 0; i < 8; i++) {
        uint64_t times = UINT64_C(1) << (i < 4 ? i : 4);
        retry_conn_lost(ep, true, true, true);
        CHECK(last_wait() >= 100 * times && last_wait() < 200 * times);
    }
    retry_conn_lost(ep, true, true, false);
    CHECK(last_wait() < 200);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

/* Connects, and finds that there is to be no other attempt. */
static void check_given_up(struct conn_set *s)
{
    mutex_lock(&conn_set_reactor(s)->lock);
    CHECK_EQ(endpoint_connect(s, &fake, "fake://there", "there"), 0);
    CHECK(list_empty(&s->endpoints));
    CHECK_EQ(asked_count, 1);
    CHECK_EQ(seen(EVENT_CONNECT_RETRIED), 0);
    CHECK(timers_next(conn_set_reactor(s)) == CLOCK_NEVER);
    CHECK_EQ(box_of(s)->hung_up, 1);
    mutex_unlock(&conn_set_reactor(s)->lock);
}

TEST(a_connecter_that_may_not_try_again_ends_and_its_pipe_hangs_up)
{
    struct conn_set s;
    begin(&s);
    s.pipes.opt.reconnect_ivl = -1;
    check_given_up(&s);
    end(&s);
}

TEST(a_refusal_ends_a_connecter_that_is_to_stop_at_one_but_no_other_failure_does)
{
    struct conn_set s;
    begin(&s);
    s.pipes.opt.reconnect_stop = STOP_REFUSED;
    check_given_up(&s);
    end(&s);
    begin(&s);
    s.pipes.opt.reconnect_stop = STOP_REFUSED;
    failure = -ENETUNREACH;
    mutex_lock(&conn_set_reactor(&s)->lock);
    start_connecting(&s);
    CHECK_EQ(seen(EVENT_CONNECT_RETRIED), 1);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

TEST(a_disconnected_endpoint_is_found_by_its_name_once)
{
    struct conn_set s;
    begin(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    start_connecting(&s);
    CHECK_EQ(endpoint_end(&s, &fake, "fake://elsewhere", "elsewhere"), -ENOENT);
    CHECK_EQ(endpoint_end(&s, &fake, "fake://there", "there"), 0);
    CHECK(list_empty(&s.endpoints));
    CHECK(timers_next(conn_set_reactor(&s)) == CLOCK_NEVER);
    CHECK_EQ(endpoint_end(&s, &fake, "fake://there", "there"), -ENOENT);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end(&s);
}

/* ---- by name ---- */

static void begin_by_name(struct conn_set *s, struct resolver_slot *slot)
{
    begin(s);
    candidates = 0;
    resolver_init(slot);
    s->resolver = slot;
}

static void end_by_name(struct conn_set *s, struct resolver_slot *slot)
{
    resolver_stop(slot);
    mutex_lock(&conn_set_reactor(s)->lock);
    mailbox_run(conn_set_reactor(s));
    mutex_unlock(&conn_set_reactor(s)->lock);
    end(s);
    resolver_fini(slot);
}

/* Until the resolver has answered: the lock is held on return. */
static void await_answer(struct conn_set *s)
{
    struct reactor *r = conn_set_reactor(s);
    mutex_unlock(&r->lock);
    while (!reactor_has_mail(r))
        usleep(500);
    mutex_lock(&r->lock);
    mailbox_run(r);
}

TEST(a_name_is_looked_up_anew_for_each_round_of_attempts)
{
    struct conn_set s;
    struct resolver_slot slot = {0};
    begin_by_name(&s, &slot);
    mutex_lock(&conn_set_reactor(&s)->lock);
    CHECK_EQ(endpoint_connect(&s, &fake, "fake://localhost", "localhost"), 0);
    struct endpoint *ep = only_endpoint(&s);
    for (unsigned round = 1; round <= 3; round++) {
        CHECK(ep->job); /* asked, and nothing is tried before the answer */
        CHECK_EQ(seen(EVENT_CONNECT_RETRIED), round - 1);
        unsigned before = asked_count;
        await_answer(&s);
        CHECK(!ep->job);
        CHECK(asked_count > before);
        CHECK_STR(asked_address, "127.0.0.1:80");
        CHECK_EQ(seen(EVENT_CONNECT_RETRIED), round);
        pass_time(&s);
    }
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end_by_name(&s, &slot);
}

/* No name server is asked about a label of more than 63 bytes. */
#define NO_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid"

TEST(a_name_that_is_not_found_is_asked_for_again_after_a_wait)
{
    struct conn_set s;
    struct resolver_slot slot = {0};
    begin_by_name(&s, &slot);
    mutex_lock(&conn_set_reactor(&s)->lock);
    CHECK_EQ(endpoint_connect(&s, &fake, "fake://" NO_NAME, NO_NAME), 0);
    struct endpoint *ep = only_endpoint(&s);
    for (unsigned round = 1; round <= 2; round++) {
        await_answer(&s);
        CHECK_EQ(asked_count, 0);
        CHECK(ep->error > 0);
        CHECK_EQ(seen(EVENT_CONNECT_RETRIED), round);
        pass_time(&s);
        CHECK(ep->job);
    }
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end_by_name(&s, &slot);
}

TEST(an_answer_for_an_endpoint_that_ended_meanwhile_changes_nothing)
{
    struct conn_set s;
    struct resolver_slot slot = {0};
    begin_by_name(&s, &slot);
    mutex_lock(&conn_set_reactor(&s)->lock);
    CHECK_EQ(endpoint_connect(&s, &fake, "fake://localhost", "localhost"), 0);
    CHECK_EQ(endpoint_end(&s, &fake, "fake://localhost", "localhost"), 0);
    CHECK(list_empty(&s.endpoints));
    await_answer(&s);
    CHECK_EQ(asked_count, 0);
    CHECK_EQ(seen(EVENT_CONNECT_RETRIED), 0);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    end_by_name(&s, &slot);
}

/* ---- listeners ---- */

TEST(a_listener_without_descriptors_rests_and_accepts_when_there_are_some)
{
    struct conn_set s;
    begin(&s);
    mutex_lock(&conn_set_reactor(&s)->lock);
    CHECK_EQ(endpoint_bind(&s, &fake, "fake://here", "here"), 0);
    struct endpoint *ep = only_endpoint(&s);
    CHECK_EQ(seen(EVENT_LISTENING), 1);
    CHECK_STR(s.last_endpoint, ep->name);
    struct net_addr at;
    CHECK_EQ(net_local_addr(ep->io.fd, &at), 0);
    int peer = net_socket(AF_INET, SOCK_STREAM);
    CHECK(peer >= 0);
    while (net_connect(peer, &at) == 0)
        ;
    struct rlimit before, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3; /* those that are open stay so */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    reactor_poll_once(conn_set_reactor(&s), false);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK(ep->accept_paused);
    CHECK_EQ(ep->io.interest, 0);
    CHECK_EQ(seen(EVENT_ACCEPT_FAILED), 1);
    CHECK_EQ(seen(EVENT_ACCEPTED), 0);
    pass_time(&s);
    CHECK(!ep->accept_paused);
    while (seen(EVENT_ACCEPTED) == 0)
        reactor_poll_once(conn_set_reactor(&s), false);
    CHECK_EQ(conn_set_reactor(&s)->conn_count, 1);
    CHECK_EQ(endpoint_end(&s, &fake, ep->name, "here"), 0);
    CHECK_EQ(conn_set_reactor(&s)->conn_count, 0);
    mutex_unlock(&conn_set_reactor(&s)->lock);
    net_close(peer);
    end(&s);
}
