/* SPDX-License-Identifier: MIT */
// needs: engine
/* Proxies: both ways, captures and their prefixes, controllers, one socket as both ends. */
#include "check.h"

#include <errno.h>

#include "engine.h"

/* A proxy in a thread of its own, with all sockets it may have and their other ends. */
struct scene {
    fmq_ctx *ctx;
    fmq_socket *front, *back, *capture, *control;   /* the proxy's */
    fmq_socket *client, *worker, *reader, *command; /* what talks to them */
    struct fmq_proxy_state state;
    struct thread thread;
    int result;
};

static void run(void *arg)
{
    struct scene *w = arg;
    do
        w->result = fmq_proxy(w->front, w->back, w->capture, w->control, &w->state);
    while (w->result == -EINTR);
}

static void join(fmq_socket *bound, fmq_socket *connected)
{
    struct eng_name name = eng_bind(bound, "inproc");
    eng_connect(connected, &name);
}

static void scene_begin(struct scene *w, int front, int back, int client, int worker, int control)
{
    memset(w, 0, sizeof(*w));
    w->ctx = eng_ctx();
    w->front = eng_socket(w->ctx, front);
    w->back = eng_socket(w->ctx, back);
    w->client = eng_socket(w->ctx, client);
    w->worker = eng_socket(w->ctx, worker);
    w->capture = eng_socket(w->ctx, FMQ_PUSH);
    w->reader = eng_socket(w->ctx, FMQ_PULL);
    w->control = eng_socket(w->ctx, control);
    w->command = eng_socket(w->ctx, control == FMQ_REP    ? FMQ_REQ
                                    : control == FMQ_PULL ? FMQ_PUSH
                                                          : FMQ_PAIR);
    join(w->front, w->client);
    join(w->back, w->worker);
    join(w->reader, w->capture);
    join(w->control, w->command);
}

static void start(struct scene *w)
{
    CHECK_EQ(thread_start(&w->thread, run, w, "proxy"), 0);
}

static void scene_end(struct scene *w)
{
    fmq_socket *all[] = {w->front,  w->back,   w->capture, w->control,
                         w->client, w->worker, w->reader,  w->command};
    fmq_proxy_end(&w->state);
    for (int i = 0; i < 8; i++)
        eng_close(all[i]);
    eng_end(w->ctx);
}

static void terminate(struct scene *w)
{
    eng_send(w->command, "TERMINATE");
    thread_join(&w->thread);
    CHECK_EQ(w->result, 0);
}

TEST(messages_go_both_ways_and_their_copies_to_capture)
{
    struct scene w;
    scene_begin(&w, FMQ_ROUTER, FMQ_DEALER, FMQ_REQ, FMQ_REP, FMQ_PAIR);
    start(&w);
    for (int i = 0; i < 3; i++) {
        eng_send(w.client, "question");
        eng_expect(w.worker, "question");
        eng_expect_from(w.reader, "|question", 1);
        eng_send(w.worker, "answer");
        eng_expect(w.client, "answer");
        eng_expect_from(w.reader, "|answer", 1);
    }
    terminate(&w);
    const uint64_t *n = w.state.stats;
    CHECK(n[0] == 3 && n[2] == 3 && n[4] == 3 && n[6] == 3);
    CHECK_EQ(n[7], n[1]); /* what came from the front went to the back, byte by byte */
    CHECK_EQ(n[3], n[5]);
    CHECK(n[1] > 3 * 8 && n[5] > 3 * 6);
    scene_end(&w);
}

TEST(prefixes_go_in_front_of_copies_alone)
{
    struct scene w;
    scene_begin(&w, FMQ_PULL, FMQ_PUSH, FMQ_PUSH, FMQ_PULL, FMQ_PAIR);
    w.state.prefix_in = (struct fmq_proxy_prefix){.data = "in", .size = 2};
    start(&w);
    eng_send_more(w.client, "a");
    eng_send(w.client, "b");
    eng_expect(w.worker, "a|b");
    eng_expect(w.reader, "in|a|b");
    terminate(&w);
    scene_end(&w);
}

TEST(a_controller_that_asks_is_answered_and_one_that_does_not_is_obeyed)
{
    static const int types[] = {FMQ_REP, FMQ_PAIR};
    for (int i = 0; i < 2; i++) {
        struct scene w;
        scene_begin(&w, FMQ_PULL, FMQ_PUSH, FMQ_PUSH, FMQ_PULL, types[i]);
        start(&w);
        eng_send(w.command, "PAUSE");
        if (types[i] == FMQ_REP)
            eng_expect(w.command, "");
        eng_send(w.command, "STATISTICS"); /* its answer says that PAUSE was obeyed, too */
        struct parts p;
        parts_init(&p);
        eng_must(eng_recv(w.command, &p, ENG_WAIT_MS), "statistics");
        CHECK_EQ(p.len, 8);
        for (uint32_t k = 0; k < 8; k++)
            CHECK_EQ(msg_size(&p.v[k]), 8);
        parts_fini(&p);
        eng_send(w.client, "paused");
        eng_expect_none(w.worker, 20);
        eng_send(w.command, "RESUME");
        if (types[i] == FMQ_REP)
            eng_expect(w.command, "");
        eng_expect(w.worker, "paused");
        eng_send(w.command, "nonsense"); /* does nothing */
        if (types[i] == FMQ_REP)
            eng_expect(w.command, "");
        eng_send(w.client, "again");
        eng_expect(w.worker, "again");
        eng_send(w.command, "TERMINATE");
        if (types[i] == FMQ_REP)
            eng_expect(w.command, "");
        thread_join(&w.thread);
        CHECK_EQ(w.result, 0);
        scene_end(&w);
    }
}

TEST(a_controller_that_takes_no_answer_gets_none)
{
    struct scene w;
    scene_begin(&w, FMQ_PULL, FMQ_PUSH, FMQ_PUSH, FMQ_PULL, FMQ_PULL);
    start(&w);
    eng_send(w.command, "STATISTICS");
    eng_send(w.client, "goes on");
    eng_expect(w.worker, "goes on");
    terminate(&w);
    scene_end(&w);
}

TEST(one_socket_as_both_ends_gives_back_what_it_gets)
{
    struct scene w;
    scene_begin(&w, FMQ_REP, FMQ_PAIR, FMQ_REQ, FMQ_PAIR, FMQ_PAIR);
    fmq_socket *back = w.back;
    w.back = w.front;
    start(&w);
    for (int i = 0; i < 3; i++) {
        eng_send(w.client, "echo");
        eng_expect(w.client, "echo");
        eng_expect(w.reader, "echo");
    }
    terminate(&w);
    w.back = back;
    scene_end(&w);
}

TEST(ids_change_places_between_two_routers)
{
    struct scene w;
    scene_begin(&w, FMQ_ROUTER, FMQ_ROUTER, FMQ_DEALER, FMQ_DEALER, FMQ_PAIR);
    w.state.swap_ids = true;
    eng_close(w.client);
    eng_close(w.worker);
    w.client = eng_socket(w.ctx, FMQ_DEALER);
    w.worker = eng_socket(w.ctx, FMQ_DEALER);
    eng_must(fmq_set_bytes(w.client, 5, "client", 6), "id");
    eng_must(fmq_set_bytes(w.worker, 5, "worker", 6), "id");
    join(w.front, w.client);
    join(w.back, w.worker);
    start(&w);
    eng_send_more(w.client, "worker");
    eng_send(w.client, "hello");
    eng_expect(w.worker, "client|hello");
    eng_send_more(w.client, "nobody"); /* goes nowhere, and the proxy goes on */
    eng_send(w.client, "hello");
    eng_send_more(w.client, "worker");
    eng_send(w.client, "again");
    eng_expect(w.worker, "client|again");
    terminate(&w);
    scene_end(&w);
}

TEST(what_is_in_hand_waits_for_a_full_capture_and_is_copied_once)
{
    struct scene w;
    scene_begin(&w, FMQ_PULL, FMQ_PUSH, FMQ_PUSH, FMQ_PULL, FMQ_PAIR);
    eng_close(w.capture);
    eng_close(w.reader);
    w.capture = eng_socket(w.ctx, FMQ_PUSH);
    w.reader = eng_socket(w.ctx, FMQ_PULL);
    eng_set(w.capture, ENG_SNDHWM, 1);
    eng_set(w.reader, ENG_RCVHWM, 1);
    join(w.reader, w.capture);
    start(&w);
    for (int i = 0; i < 5; i++)
        eng_send(w.client, "message");
    eng_expect(w.worker, "message");
    eng_expect(w.worker, "message");
    eng_expect_none(w.worker, 60); /* the third has no place in the capture */
    for (int i = 0; i < 5; i++)
        eng_expect(w.reader, "message");
    for (int i = 0; i < 3; i++)
        eng_expect(w.worker, "message");
    eng_expect_none(w.reader, 0);
    terminate(&w);
    scene_end(&w);
}

TEST(the_end_of_a_socket_ends_the_proxy)
{
    for (int i = 0; i < 3; i++) {
        struct scene w;
        scene_begin(&w, FMQ_PULL, FMQ_PUSH, FMQ_PUSH, FMQ_PULL, FMQ_PAIR);
        start(&w);
        eng_send(w.client, "1");
        eng_expect(w.worker, "1");
        fmq_socket *ends[] = {w.front, w.back, w.control};
        eng_must(fmq_close(ends[i]), "close");
        thread_join(&w.thread);
        CHECK_EQ(w.result, -ENOTSOCK);
        fmq_proxy_end(&w.state);
        fmq_socket *all[] = {w.front,  w.back,   w.capture, w.control,
                             w.client, w.worker, w.reader,  w.command};
        for (int k = 0; k < 8; k++)
            fmq_socket_free(all[k]);
        eng_end(w.ctx);
    }
}

TEST(a_capture_that_is_closed_is_no_capture)
{
    struct scene w;
    scene_begin(&w, FMQ_PULL, FMQ_PUSH, FMQ_PUSH, FMQ_PULL, FMQ_PAIR);
    eng_must(fmq_close(w.capture), "close");
    CHECK_EQ(fmq_proxy(w.front, w.back, w.capture, w.control, &w.state), -ENOTSOCK);
    fmq_socket_free(w.capture);
    w.capture = eng_socket(w.ctx, FMQ_PUSH);
    scene_end(&w);
}
