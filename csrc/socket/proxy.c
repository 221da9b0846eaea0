/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "fastmq.h"
#include "os/clock.h"
#include "pipe/pattern_ops.h"
#include "reactor/reactor.h"
#include "socket/socket.h"

/* Messages moved one way before the other directions and the control socket get their turn. */
#define BURST 500
/* A message in hand whose destination filled up meanwhile is offered again this often. */
#define RETRY_MS 20
/* Under load nothing here ever sleeps, and a signal that comes meanwhile ends no sleep: the host
 * gets a look this often, also when nothing moves. */
#define SIGNALS_MS 200

struct lane {
    fmq_socket *from, *to;
    uint64_t *stats; /* received by `from`, messages and bytes; sent by `to` */
    uint64_t *to_stats;
    const struct fmq_proxy_prefix *prefix; /* of what the capture socket gets */
    bool swap_ids;
    bool backward;
    bool waits_out; /* `to` is full: wait for it instead of reading */
};

/* A message that the socket does not take, whoever sent it, is dropped: its peer has gone, or it
 * has several parts and the socket's messages have one. */
static bool does_not_take(fmq_socket *to, uint32_t parts, int rc)
{
    return rc == -EHOSTUNREACH || (rc == -EINVAL && parts > 1 && to->net.pipes.ops->single);
}

static void count_drop(fmq_socket *to)
{
    if (reactor_enter(socket_reactor(to)))
        return;
    pipe_set_count_drop(&to->net.pipes, DROP_UNROUTED);
    reactor_leave(socket_reactor(to));
}

static int capture_copy(fmq_socket *capture, const struct parts *p,
                        const struct fmq_proxy_prefix *prefix)
{
    struct parts copy;
    struct msg first;
    parts_init(&copy);
    int rc = 0;
    if (prefix->data) {
        rc = msg_init_copy(&first, prefix->data, prefix->size);
        if (rc == 0 && (rc = parts_push(&copy, &first)) != 0)
            msg_drop(&first);
    }
    for (uint32_t i = 0; i < p->len && rc == 0; i++) {
        struct msg m;
        rc = msg_dup(&m, &p->v[i]);
        m.routing_id = 0; /* of no peer of the capture socket */
        if (rc == 0 && (rc = parts_push(&copy, &m)) != 0)
            msg_drop(&m);
    }
    if (rc == 0)
        rc = fmq_send(capture, copy.v, copy.len, false, RETRY_MS);
    if (does_not_take(capture, copy.len, rc)) {
        count_drop(capture);
        rc = 0;
    }
    parts_fini(&copy);
    return rc;
}

/* Sends the message in hand: first its copy to the capture socket, then itself. It stays in hand
 * while one of the two is full (-EINTR), and without memory. */
static int hand_over(struct lane *l, fmq_socket *capture, struct fmq_proxy_state *state)
{
    state->hold_backward = l->backward;
    int rc = 0;
    if (capture && !state->captured) {
        rc = capture_copy(capture, &state->held, l->prefix);
        state->captured = rc == 0;
    }
    bool ours = rc == 0;
    uint64_t bytes = parts_size(state->held.v, state->held.len);
    if (ours)
        rc = fmq_send(l->to, state->held.v, state->held.len, false, RETRY_MS);
    /* A capture socket that is at its end leaves the message for the next call. */
    state->holding = rc == -EAGAIN || rc == -EINTR || rc == -ENOMEM || !ours;
    if (state->holding)
        return rc == -EAGAIN ? -EINTR : rc;
    state->captured = false;
    if (rc == 0) {
        l->to_stats[0]++;
        l->to_stats[1] += bytes;
    }
    if (does_not_take(l->to, state->held.len, rc)) {
        count_drop(l->to);
        rc = 0;
    }
    parts_fini(&state->held);
    return rc;
}

/* Moves what is there. 0: nothing more now; 1: there may be more; or a negative errno. */
static int move(struct lane *l, fmq_socket *capture, struct fmq_proxy_state *state)
{
    for (int i = 0; i < BURST; i++) {
        int out = fmq_events(l->to);
        if (out < 0)
            return out;
        /* A socket that answers itself (REP) may send only after it has received. */
        if (!(out & FMQ_POLLOUT) && l->from != l->to) {
            l->waits_out = true;
            return 0;
        }
        struct parts *p = &state->held;
        parts_init(p);
        int rc = fmq_recv(l->from, p, NULL, 0);
        if (rc) {
            parts_fini(p);
            return rc == -EAGAIN ? 0 : rc;
        }
        l->stats[0]++;
        l->stats[1] += parts_size(p->v, p->len);
        if (l->from != l->to) /* the number is of a peer of this socket */
            p->v[0].routing_id = 0;
        if (l->swap_ids && p->len >= 2) {
            struct msg id = p->v[0];
            p->v[0] = p->v[1];
            p->v[1] = id;
        }
        rc = hand_over(l, capture, state);
        if (rc)
            return rc;
    }
    return 1;
}

static int reply(fmq_socket *control, const struct fmq_proxy_state *state, bool stats)
{
    struct msg parts[8];
    uint32_t n = stats ? 8 : 1;
    for (uint32_t i = 0; i < n; i++)
        msg_init_copy(&parts[i], &state->stats[i], stats ? sizeof(state->stats[i]) : 0);
    int rc = fmq_send(control, parts, n, false, 0);
    for (uint32_t i = 0; i < n && rc; i++)
        msg_drop(&parts[i]);
    return rc == -EAGAIN || rc == -ENOTSUP ? 0 : rc;
}

/* 1: TERMINATE came. */
static int obey(fmq_socket *control, struct fmq_proxy_state *state)
{
    struct parts p;
    parts_init(&p);
    int rc = fmq_recv(control, &p, NULL, 0);
    if (rc) {
        parts_fini(&p);
        return rc == -EAGAIN ? 0 : rc;
    }
    bool done = false, stats = false;
    if (msg_is_text(&p.v[0], "PAUSE"))
        state->paused = true;
    else if (msg_is_text(&p.v[0], "RESUME"))
        state->paused = false;
    else if (msg_is_text(&p.v[0], "TERMINATE"))
        done = true;
    else if (msg_is_text(&p.v[0], "STATISTICS"))
        stats = true;
    parts_fini(&p);
    if (stats || fmq_socket_type(control) == FMQ_REP)
        rc = reply(control, state, stats);
    return rc ? rc : done;
}

/* What to wait for on one of the two sockets. */
static int interest(const struct lane *reads, const struct lane *writes, bool paused)
{
    if (paused)
        return 0;
    return (reads->waits_out ? 0 : FMQ_POLLIN) | (writes->waits_out ? FMQ_POLLOUT : 0);
}

int fmq_proxy(fmq_socket *front, fmq_socket *back, fmq_socket *capture, fmq_socket *control,
              struct fmq_proxy_state *state)
{
    struct lane in = {
        front, back,  &state->stats[0], &state->stats[6], &state->prefix_in, state->swap_ids,
        false, false,
    };
    struct lane out = {
        back, front, &state->stats[4], &state->stats[2], &state->prefix_out, state->swap_ids,
        true, false,
    };
    bool single = front == back;
    detail_clear();
    if (capture && capture->net.pipes.ops->single &&
        (state->prefix_in.data || state->prefix_out.data)) {
        detail_set("a %s socket has messages of one part, and what it is to get has two",
                   capture->net.pipes.ops->name);
        return -EINVAL;
    }
    if (capture && fmq_closed(capture)) /* nothing waits for it, so nothing else would show it */
        return -ENOTSOCK;
    fmq_pollset *set;
    int rc = fmq_pollset_new(&set);
    if (rc)
        return rc;
    rc = fmq_pollset_add(set, front, FMQ_POLLIN, front);
    if (rc == 0 && !single)
        rc = fmq_pollset_add(set, back, FMQ_POLLIN, back);
    if (rc == 0 && control)
        rc = fmq_pollset_add(set, control, FMQ_POLLIN, control);
    int front_now = FMQ_POLLIN, back_now = FMQ_POLLIN;
    uint64_t look_up = clock_now() + SIGNALS_MS * NS_PER_MS;
    while (rc == 0) {
        if (clock_now() >= look_up) {
            rc = -EINTR;
            break;
        }
        if (state->holding) {
            if (control && fmq_events(control) & FMQ_POLLIN && (rc = obey(control, state)) != 0) {
                rc = rc == 1 ? 0 : rc;
                break;
            }
            /* A thread that waits for one of the sockets does not see that another was closed. */
            if ((rc = fmq_events(front)) < 0 || (rc = fmq_events(back)) < 0)
                break;
            rc = hand_over(state->hold_backward ? &out : &in, capture, state);
            continue;
        }
        int front_want = interest(&in, single ? &in : &out, state->paused);
        int back_want = interest(&out, &in, state->paused);
        if (front_want != front_now)
            rc = fmq_pollset_modify(set, front, front_now = front_want);
        if (rc == 0 && !single && back_want != back_now)
            rc = fmq_pollset_modify(set, back, back_now = back_want);
        if (rc)
            break;
        struct fmq_pollevent events[3];
        int n = fmq_pollset_wait(set, events, 3, SIGNALS_MS);
        if (n < 0) {
            rc = n;
            break;
        }
        bool forward = false, backward = false, command = false;
        for (int i = 0; i < n; i++) {
            if (events[i].data == control && control) {
                command = true;
                continue;
            }
            bool is_front = events[i].data == front;
            if (events[i].events & FMQ_POLLIN)
                *(is_front ? &forward : &backward) = true;
            if (events[i].events & FMQ_POLLOUT) {
                struct lane *l = single || !is_front ? &in : &out;
                l->waits_out = false;
                *(l == &in ? &forward : &backward) = true;
            }
        }
        if (command) {
            rc = obey(control, state);
            if (rc == 1) {
                rc = 0;
                break;
            }
        }
        if (rc == 0 && forward && !state->paused && (rc = move(&in, capture, state)) == 1)
            rc = 0;
        if (rc == 0 && backward && !single && !state->paused &&
            (rc = move(&out, capture, state)) == 1)
            rc = 0;
    }
    fmq_pollset_free(set);
    return rc;
}

void fmq_proxy_end(struct fmq_proxy_state *state)
{
    if (state->holding)
        parts_fini(&state->held);
    state->holding = false;
}
