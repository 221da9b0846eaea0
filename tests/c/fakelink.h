/* SPDX-License-Identifier: MIT */
/*
 * A pattern's socket whose pipes are real and whose peers are in memory, so that patterns can be
 * tested with the rooms below them alone. A test makes a socket of a pattern, gives it peers, lets
 * them send, and looks at what each was sent.
 *
 * Messages are written as text, parts divided by '|': "id||body". What a test says about the wire
 * uses "\1" and "\0" through the _raw forms.
 */
#ifndef FAKELINK_H
#define FAKELINK_H

#include "check.h"

#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"
#include "pipe/pipe_set.h"
#include "wire/outq_drain.h"
#include "wire/peer.h"

/* A peer: a link that keeps what the pipe frames until the test looks at it. */
struct fake {
    struct link link; /* first */
    struct pipe *pipe;
    struct list node;
    size_t raw[64]; /* the sizes of what was sent without frames (STREAM), a write each */
    unsigned raws;
    char subs[1024]; /* "+topic -topic ..." as put by put_subscription */
    unsigned resumed;
    bool pending; /* what it answers */
};

static inline struct fake *fake_of(struct link *l)
{
    return (struct fake *)l;
}

/* ---- link_ops.h ---- */

static void fake_wrote(struct link *l)
{
    struct fake *f = fake_of(l);
    if (!f->pipe->raw)
        return;
    size_t before = 0;
    for (unsigned i = 0; i < f->raws; i++)
        before += f->raw[i];
    CHECK(f->raws < sizeof(f->raw) / sizeof(f->raw[0]));
    f->raw[f->raws++] = f->pipe->out.bytes - before;
}

/* What the oldest write without frames held. */
static void fake_take_raw(struct fake *f, struct msg *m)
{
    struct outq *q = &f->pipe->out;
    struct iovec iov[64];
    int n = outq_iov(q, iov, 64);
    char bytes[2048];
    size_t len = 0;
    for (int i = 0; i < n; i++) {
        CHECK(len + iov[i].iov_len <= sizeof(bytes));
        memcpy(bytes + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    CHECK(f->raw[0] <= len);
    CHECK_EQ(msg_init_copy(m, bytes, f->raw[0]), 0);
    outq_sent(q, f->raw[0]);
    memmove(f->raw, f->raw + 1, --f->raws * sizeof(f->raw[0]));
}

static void fake_resume(struct link *l)
{
    fake_of(l)->resumed++;
}

static bool fake_pending(const struct link *l)
{
    return ((const struct fake *)l)->pending;
}

static int fake_put_subscription(struct pipe *p, const void *topic, size_t len, bool add)
{
    struct fake *f = fake_of(p->link);
    CHECK(p->ready);
    size_t at = strlen(f->subs);
    snprintf(f->subs + at, sizeof(f->subs) - at, "%s%c%.*s", at ? " " : "", add ? '+' : '-',
             (int)len, (const char *)topic);
    return 0;
}

static const struct link_ops fake_link = {
    .wrote = fake_wrote,
    .resume = fake_resume,
    .pending = fake_pending,
    .put_subscription = fake_put_subscription,
};

/* ---- a socket and its peers ---- */

static struct list fakes;

static inline struct pipe_set *fake_socket(const struct pattern_ops *ops)
{
    struct pipe_set *s = mem_zalloc(sizeof(*s));
    struct pool *pool;
    CHECK_EQ(pool_create(&pool), 0);
    pipe_set_init(s, ops, pool);
    s->sized = true;
    s->opt.linger = -1;
    s->state = mem_zalloc(ops->state_size);
    list_init(&fakes);
    CHECK_EQ(ops->init(s), 0);
    return s;
}

static inline struct fake *fake_new(struct pipe_set *s)
{
    struct fake *f = mem_zalloc(sizeof(*f));
    int rc = 0;
    f->link.ops = &fake_link;
    f->pipe = pipe_new(s, &rc);
    CHECK(f->pipe);
    f->pipe->link = &f->link;
    list_push_back(&fakes, &f->node);
    return f;
}

static inline void fake_free(struct fake *f)
{
    pipe_free(f->pipe);
    list_remove(&f->node);
    mem_free(f);
}

static inline void fake_set_id(struct fake *f, const char *id)
{
    f->pipe->identity_len = (uint8_t)strlen(id);
    memcpy(f->pipe->identity, id, f->pipe->identity_len);
}

static inline int fake_attach(struct fake *f)
{
    return pipe_attach(f->pipe);
}

static inline int fake_connect(struct fake *f)
{
    f->pipe->link = &f->link;
    return pipe_connected(f->pipe);
}

static inline void fake_lose(struct fake *f)
{
    f->pipe->link = NULL;
    f->raws = 0;
    pipe_lost(f->pipe);
}

/* SNDHWM_BYTES of one pipe. */
static inline void fake_bound(struct fake *f, uint64_t bytes)
{
    f->pipe->out_max = bytes;
    f->pipe->bounded = true;
    pipe_update(f->pipe);
}

/* A connected peer; id may be NULL. */
static inline struct fake *fake_peer_named(struct pipe_set *s, const char *id)
{
    struct fake *f = fake_new(s);
    if (id)
        fake_set_id(f, id);
    CHECK_EQ(fake_attach(f), 0);
    CHECK_EQ(fake_connect(f), 0);
    return f;
}

static inline struct fake *fake_peer(struct pipe_set *s)
{
    return fake_peer_named(s, NULL);
}

static inline void fake_hangup(struct fake *f)
{
    f->pipe->link = NULL;
    pipe_hangup(f->pipe);
}

/* The peer is gone; what it has sent and was not received goes with it. */
static inline void fake_gone(struct fake *f)
{
    fake_hangup(f);
    fake_free(f);
}

static inline void fake_end(struct pipe_set *s)
{
    while (!list_empty(&fakes))
        fake_free(LIST_ENTRY(fakes.next, struct fake, node));
    s->ops->fini(s);
    pool_release(s->pool);
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
    struct parts m;
    parts_init(&m);
    text_to_parts(&m, text);
    uint32_t before = f->pipe->in.msgs;
    for (uint32_t i = 0; i < m.len; i++)
        CHECK_EQ(msgring_push(&f->pipe->in, &m.v[i]), 0);
    m.len = 0;
    parts_fini(&m);
    pipe_arrived(f->pipe, before);
}

static inline void peer_commands(struct fake *f, enum peer_event_kind kind, const char *topic)
{
    struct pipe_set *s = f->pipe->set;
    s->ops->command(s, f->pipe, kind, (const uint8_t *)topic, strlen(topic));
}

/* The oldest message sent to the peer, "(none)" when there is none. It makes room. */
static inline const char *peer_hears(struct fake *f)
{
    static char text[2048];
    text[0] = 0;
    struct msg m;
    if (f->pipe->raw) {
        if (!f->raws)
            return "(none)";
        fake_take_raw(f, &m);
        part_to_text(text, sizeof(text), &m, false);
        msg_drop(&m);
    } else {
        if (!f->pipe->out.msgs)
            return "(none)";
        bool more;
        do {
            CHECK_EQ(outq_take(&f->pipe->out, &m), 1);
            more = m.flags & PART_MORE;
            part_to_text(text, sizeof(text), &m, more);
            msg_drop(&m);
        } while (more);
    }
    pipe_drained(f->pipe);
    return text;
}

/* The program sends. On failure the message must be as it was. */
static inline int user_sends(struct pipe_set *s, const char *text)
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
static inline const char *user_gets(struct pipe_set *s)
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

static inline int user_sets(struct pipe_set *s, int option, int64_t num)
{
    return s->ops->setopt ? s->ops->setopt(s, option, num, NULL, 0) : -EINVAL;
}

static inline int user_sets_text(struct pipe_set *s, int option, const char *value)
{
    return s->ops->setopt(s, option, 0, value, strlen(value));
}

static inline int user_checks(struct pipe_set *s, const char *first)
{
    struct msg m;
    CHECK_EQ(msg_init_copy(&m, first, strlen(first)), 0);
    int rc = s->ops->send_check ? s->ops->send_check(s, &m) : 0;
    msg_drop(&m);
    return rc;
}

static inline int ready(struct pipe_set *s)
{
    return s->ops->events(s);
}

#define IN FMQ_POLLIN
#define OUT FMQ_POLLOUT

#endif
