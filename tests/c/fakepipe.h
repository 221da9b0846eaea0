/* SPDX-License-Identifier: MIT */
/*
 * Pipes in memory, so that patterns can be tested without the core. A test makes a socket of a
 * pattern, gives it peers, lets them say things, and looks at what each was sent.
 *
 * Messages are written as text, parts divided by '|': "id||body". What a test says about the wire
 * uses "\1" and "\0" through the _raw forms.
 */
#ifndef FAKEPIPE_H
#define FAKEPIPE_H

#include "check.h"

#include "core/ctx.h"
#include "core/pattern_ops.h"
#include "core/pipe.h"
#include "core/socket.h"
#include "wire/frame.h"
#include "wire/peer.h"

struct fake {
    struct pipe pipe; /* first: a pipe of these tests is a fake */
    struct list node;
    struct msgring sent; /* all that was written, in order */
    char subs[1024];     /* "+topic -topic ..." as put by pipe_put_subscription */
    bool close_wanted;
};

/* ---- pipe.h ---- */

void pipe_refuse(struct pipe *p, uint64_t size)
{
    p->want = size;
    p->full = true;
}

bool pipe_can_write_slow(struct pipe *p, uint64_t size)
{
    struct fake *f = (struct fake *)p;
    if (p->hung_up || f->close_wanted)
        return false;
    if (size == PIPE_ANY)
        size = p->full ? p->want : 1;
    uint64_t queued = msgring_bytes(&f->sent);
    if ((!p->out_hwm || f->sent.msgs < p->out_hwm) &&
        (!p->out_max || !queued || queued + size <= p->out_max))
        return true;
    pipe_refuse(p, size);
    return false;
}

bool pipe_reserve(struct pipe *const *pipes, uint32_t n, uint64_t size)
{
    (void)pipes;
    (void)n;
    (void)size;
    return true;
}

void pipe_reserve_end(struct fmq_socket *s)
{
    (void)s;
}

void pipe_hold(struct pipe *p, int64_t bytes)
{
    p->held += (uint64_t)bytes;
}

bool pipe_may_hold(struct pipe *p)
{
    return !p->held || !p->in_max || p->held < p->in_max;
}

static inline int fake_put(struct fake *f, struct msg *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int rc = msg_own(&parts[i]);
        if (rc)
            return rc;
        while (f->sent.cap - f->sent.len < n) {
            rc = msgring_grow(&f->sent);
            if (rc)
                return rc;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        struct msg m = parts[i];
        m.flags = i + 1 < n ? PART_MORE : 0;
        msgring_push(&f->sent, &m);
    }
    f->pipe.msgs_out++;
    return 0;
}

int pipe_write(struct pipe *p, struct msg *parts, uint32_t n)
{
    return pipe_can_write(p, parts_size(parts, n)) ? fake_put((struct fake *)p, parts, n) : -EAGAIN;
}

int pipe_write_control(struct pipe *p, const void *data, size_t len)
{
    struct msg m;
    int rc = msg_init_copy(&m, data, len);
    if (rc == 0 && (rc = fake_put((struct fake *)p, &m, 1)) != 0)
        msg_drop(&m);
    return rc;
}

int pipe_write_shared(struct pipe *p, struct msg *parts, uint32_t n)
{
    if (!pipe_can_write(p, parts_size(parts, n)))
        return -EAGAIN;
    struct parts copy;
    parts_init(&copy);
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct msg m;
        rc = msg_own(&parts[i]);
        if (rc == 0)
            rc = msg_dup(&m, &parts[i]);
        if (rc == 0 && (rc = parts_push(&copy, &m)) != 0)
            msg_drop(&m);
    }
    if (rc == 0)
        rc = fake_put((struct fake *)p, copy.v, copy.len);
    if (rc == 0)
        copy.len = 0;
    parts_fini(&copy);
    return rc;
}

/* What was framed for many is taken apart again. */
int pipe_write_span(struct pipe *p, const struct outspan *span)
{
    if (!pipe_can_write(p, span->body))
        return -EAGAIN;
    struct parts m;
    parts_init(&m);
    struct frame_head h = {0, FRAME_MORE, 0};
    int rc = 0;
    for (uint32_t at = span->begin; at < span->end && rc == 0; at += (uint32_t)(h.head + h.size)) {
        CHECK_EQ(frame_parse_v2(span->chunk->data + at, span->end - at, &h), 1);
        struct msg part;
        rc = msg_init_copy(&part, span->chunk->data + at + h.head, h.size);
        if (rc == 0 && (rc = parts_push(&m, &part)) != 0)
            msg_drop(&part);
    }
    CHECK(rc != 0 || !(h.flags & FRAME_MORE));
    if (rc == 0)
        rc = fake_put((struct fake *)p, m.v, m.len);
    if (rc == 0)
        m.len = 0;
    parts_fini(&m);
    return rc;
}

int pipe_put_subscription(struct pipe *p, const void *topic, size_t len, bool add)
{
    struct fake *f = (struct fake *)p;
    CHECK(p->ready);
    size_t at = strlen(f->subs);
    snprintf(f->subs + at, sizeof(f->subs) - at, "%s%c%.*s", at ? " " : "", add ? '+' : '-',
             (int)len, (const char *)topic);
    return 0;
}

int pipe_read(struct pipe *p, struct parts *out)
{
    uint32_t n = 1;
    while (p->in.v[(p->in.head + n - 1) & (p->in.cap - 1)].flags & PART_MORE)
        n++;
    int rc = parts_grow(out, n);
    if (rc)
        return rc;
    while (n--)
        msgring_pop(&p->in, &out->v[out->len++]);
    return 0;
}

void pipe_skip(struct pipe *p)
{
    struct msg m;
    do {
        msgring_pop(&p->in, &m);
        msg_drop(&m);
    } while (m.flags & PART_MORE);
}

int pipe_inject(struct pipe *p, const void *data, size_t len)
{
    struct msg m;
    int rc = msg_init_copy(&m, data, len);
    if (rc)
        return rc;
    uint32_t before = p->in.msgs;
    rc = msgring_push(&p->in, &m);
    if (rc)
        msg_drop(&m);
    else if (before == 0 && p->attached)
        p->socket->ops->readable(p->socket, p);
    return rc;
}

void pipe_stop(struct pipe *p, bool stop)
{
    p->stopped = stop;
}

void pipe_close(struct pipe *p)
{
    p->close_wanted = true;
    ((struct fake *)p)->close_wanted = true;
}

void pipe_lose(struct pipe *p)
{
    p->lose_wanted = true;
}

/* ---- a socket and its peers ---- */

static struct list fakes;

static inline struct fmq_socket *fake_socket(const struct pattern_ops *ops)
{
    struct fmq_socket *s = mem_zalloc(sizeof(*s));
    s->ops = ops;
    s->type = ops->type;
    s->sized = true;
    s->opt.linger = -1;
    s->state = mem_zalloc(ops->state_size);
    s->ctx = mem_zalloc(sizeof(*s->ctx));
    CHECK_EQ(pool_create(&s->ctx->pool), 0);
    list_init(&s->pipes);
    list_init(&fakes);
    CHECK_EQ(ops->init(s), 0);
    return s;
}

static inline struct fake *fake_new(struct fmq_socket *s)
{
    struct fake *f = mem_zalloc(sizeof(*f));
    f->pipe.socket = s;
    f->pipe.state = s->ops->pipe_size ? mem_zalloc(s->ops->pipe_size) : NULL;
    msgring_init(&f->pipe.in);
    msgring_init(&f->sent);
    list_init(&f->pipe.in_node);
    list_init(&f->pipe.out_node);
    list_push_back(&s->pipes, &f->pipe.in_socket);
    list_push_back(&fakes, &f->node);
    return f;
}

static inline void fake_free(struct fake *f)
{
    struct pipe *p = &f->pipe;
    if (p->attached)
        p->socket->ops->detach(p->socket, p);
    CHECK(!list_linked(&p->in_node) && !list_linked(&p->out_node));
    list_remove(&p->in_socket);
    list_remove(&f->node);
    msgring_fini(&p->in);
    msgring_fini(&f->sent);
    mem_free(p->state);
    mem_free(f);
}

static inline void fake_set_id(struct fake *f, const char *id)
{
    f->pipe.identity_len = (uint8_t)strlen(id);
    memcpy(f->pipe.identity, id, f->pipe.identity_len);
}

static inline int fake_attach(struct fake *f)
{
    int rc = f->pipe.socket->ops->attach(f->pipe.socket, &f->pipe);
    f->pipe.attached = rc == 0;
    return rc;
}

static inline int fake_connect(struct fake *f)
{
    struct fmq_socket *s = f->pipe.socket;
    f->pipe.ready = true;
    int rc = s->ops->connected ? s->ops->connected(s, &f->pipe) : 0;
    s->ops->writable(s, &f->pipe);
    return rc;
}

static inline void fake_lose(struct fake *f)
{
    struct fmq_socket *s = f->pipe.socket;
    f->pipe.ready = false;
    if (s->ops->lost)
        s->ops->lost(s, &f->pipe);
}

/* SNDHWM_BYTES of one pipe. */
static inline void fake_bound(struct fake *f, uint64_t bytes)
{
    f->pipe.out_max = bytes;
    f->pipe.bounded = true;
}

/* A connected peer; id may be NULL. */
static inline struct fake *fake_peer_named(struct fmq_socket *s, const char *id)
{
    struct fake *f = fake_new(s);
    if (id)
        fake_set_id(f, id);
    CHECK_EQ(fake_attach(f), 0);
    CHECK_EQ(fake_connect(f), 0);
    return f;
}

static inline struct fake *fake_peer(struct fmq_socket *s)
{
    return fake_peer_named(s, NULL);
}

static inline void fake_hangup(struct fake *f)
{
    struct fmq_socket *s = f->pipe.socket;
    if (f->pipe.hung_up)
        return;
    f->pipe.hung_up = true;
    if (f->pipe.attached && s->ops->hangup)
        s->ops->hangup(s, &f->pipe);
}

/* The peer is gone; what it has sent and was not received goes with it. */
static inline void fake_gone(struct fake *f)
{
    fake_hangup(f);
    fake_free(f);
}

static inline void fake_end(struct fmq_socket *s)
{
    while (!list_empty(&fakes))
        fake_free(LIST_ENTRY(fakes.next, struct fake, node));
    s->ops->fini(s);
    pool_release(s->ctx->pool);
    mem_free(s->ctx);
    mem_free(s->state);
    mem_free(s);
}

/* ---- saying and hearing ---- */

/* Text to parts; '|' divides, '^' stands for the byte 1 and '~' for the byte 0. */
static inline void text_to_parts(struct parts *out, const char *text)
{
    for (;;) {
        size_t len = strcspn(text, "|");
        char bytes[512];
        CHECK(len < sizeof(bytes));
        for (size_t i = 0; i < len; i++)
            bytes[i] = text[i] == '^' ? 1 : text[i] == '~' ? 0 : text[i];
        struct msg m;
        CHECK_EQ(msg_init_copy(&m, bytes, len), 0);
        m.flags = text[len] ? PART_MORE : 0;
        CHECK_EQ(parts_push(out, &m), 0);
        if (!text[len])
            return;
        text += len + 1;
    }
}

static inline void part_to_text(char *text, size_t size, const struct msg *m, bool more)
{
    size_t at = strlen(text);
    CHECK(at + msg_size(m) + 2 < size);
    for (size_t i = 0; i < msg_size(m); i++) {
        uint8_t c = msg_data(m)[i];
        text[at++] = c == 0 ? '~' : c == 1 ? '^' : (char)c;
    }
    if (more)
        text[at++] = '|';
    text[at] = 0;
}

/* The peer sends: it arrives in the pipe. */
static inline void peer_says(struct fake *f, const char *text)
{
    struct fmq_socket *s = f->pipe.socket;
    struct parts m;
    parts_init(&m);
    text_to_parts(&m, text);
    uint32_t before = f->pipe.in.msgs;
    for (uint32_t i = 0; i < m.len; i++)
        CHECK_EQ(msgring_push(&f->pipe.in, &m.v[i]), 0);
    m.len = 0;
    parts_fini(&m);
    if (before == 0)
        s->ops->readable(s, &f->pipe);
}

static inline void peer_commands(struct fake *f, enum peer_event_kind kind, const char *topic)
{
    struct fmq_socket *s = f->pipe.socket;
    s->ops->command(s, &f->pipe, kind, (const uint8_t *)topic, strlen(topic));
}

/* The oldest message sent to the peer, "(none)" when there is none. It makes room: `writable` is
 * told. */
static inline const char *peer_hears(struct fake *f)
{
    static char text[2048];
    text[0] = 0;
    if (!f->sent.msgs)
        return "(none)";
    struct msg m;
    do {
        msgring_pop(&f->sent, &m);
        part_to_text(text, sizeof(text), &m, m.flags & PART_MORE);
        msg_drop(&m);
    } while (m.flags & PART_MORE);
    if (f->pipe.full && !f->pipe.hung_up) {
        f->pipe.full = false;
        f->pipe.socket->ops->writable(f->pipe.socket, &f->pipe);
    }
    return text;
}

/* The program sends. On failure the message must be as it was. */
static inline int user_sends(struct fmq_socket *s, const char *text)
{
    struct parts m;
    parts_init(&m);
    text_to_parts(&m, text);
    uint32_t n = m.len;
    int rc = s->ops->send(s, &m);
    if (rc) {
        char after[1024] = "";
        CHECK_EQ(m.len, n);
        for (uint32_t i = 0; i < n; i++)
            part_to_text(after, sizeof(after), &m.v[i], i + 1 < n);
        CHECK_STR(after, text);
    } else {
        CHECK_EQ(m.len, 0);
    }
    parts_fini(&m);
    return rc;
}

static struct pipe *heard_from;

/* The program receives; text of the message or of the error: "(again)", "(efsm)", "(nomem)". */
static inline const char *user_gets(struct fmq_socket *s)
{
    static char text[2048];
    text[0] = 0;
    struct parts m;
    parts_init(&m);
    text_to_parts(&m, "before"); /* recv appends */
    heard_from = NULL;
    int rc = s->ops->recv(s, &m, &heard_from);
    if (rc) {
        CHECK_EQ(m.len, 1);
        parts_fini(&m);
        return rc == -EAGAIN ? "(again)" : rc == -FMQ_EFSM ? "(efsm)" : "(nomem)";
    }
    CHECK(m.len > 1);
    for (uint32_t i = 1; i < m.len; i++) {
        CHECK_EQ(!!(m.v[i].flags & PART_MORE), i + 1 < m.len);
        part_to_text(text, sizeof(text), &m.v[i], i + 1 < m.len);
    }
    parts_fini(&m);
    return text;
}

static inline int user_sets(struct fmq_socket *s, int option, int64_t num)
{
    return s->ops->setopt ? s->ops->setopt(s, option, num, NULL, 0) : -EINVAL;
}

static inline int user_sets_text(struct fmq_socket *s, int option, const char *value)
{
    return s->ops->setopt(s, option, 0, value, strlen(value));
}

static inline int user_checks(struct fmq_socket *s, const char *first)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, first, strlen(first)), 0);
    int rc = s->ops->send_check ? s->ops->send_check(s, &m) : 0;
    msg_drop(&m);
    return rc;
}

static inline int ready(struct fmq_socket *s)
{
    return s->ops->events(s);
}

#define IN FMQ_POLLIN
#define OUT FMQ_POLLOUT

#endif
