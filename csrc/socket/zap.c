/* SPDX-License-Identifier: MIT */
#include "socket/zap.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "net/conn.h"
#include "net/conn_handshake.h"
#include "net/security.h"
#include "pipe/option_ids.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "pipe/pipe_out.h"
#include "socket/ctx.h"
#include "socket/socket.h"
#include "transport/inproc.h"

#define HANDLER "zeromq.zap.01"
#define VERSION "1.0"
#define REQUEST_ID "1" /* one question a connection */

enum { REPLY_PARTS = 7, R_EMPTY = 0, R_VERSION, R_ID, R_STATUS, R_TEXT, R_USER, R_META };

struct zap_request {
    atomic_uint refs;  /* of the connection, of the inproc pipe, and of each command under way */
    struct cmd begin;  /* to the internal socket */
    struct cmd cancel; /* to the internal socket */
    struct cmd answer; /* to the asking socket */

    struct conn *conn; /* guarded by the asking socket's lock; NULL: it waits no more */

    struct mutex lock;      /* a leaf */
    struct reactor *asking; /* NULL once the connection waits no more: it may be gone */

    /* The internal socket's, under its lock. */
    struct pipe *pipe; /* NULL before the question and after the answer */
    struct parts question;

    /* The answer, set before it is posted. */
    enum conn_auth_result result;
    uint32_t code;
    struct meta *metadata;
};

struct zap_pipe {
    struct zap_request *request; /* NULL: answered or withdrawn */
};

static void request_unref(struct zap_request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    parts_fini(&r->question);
    meta_unref(r->metadata);
    mutex_fini(&r->lock);
    mem_free(r);
}

/* ---- the internal socket ---- */

static int zap_init(struct pipe_set *z)
{
    z->opt.linger = 0;
    /* No caller polls it: whatever is posted has to wake the I/O thread. */
    atomic_store(&z->reactor.watchers, 1);
    return 0;
}

static int zap_attach(struct pipe_set *z, struct pipe *p)
{
    (void)z;
    (void)p;
    return 0;
}

static void zap_writable(struct pipe_set *z, struct pipe *p)
{
    (void)z;
    (void)p;
}

static int zap_events(struct pipe_set *z)
{
    (void)z;
    return 0;
}

/* Takes the question off its pipe; the pipe's reference passes to the caller. */
static struct zap_request *take_request(struct pipe *p)
{
    struct zap_pipe *zp = p->state;
    struct zap_request *r = zp->request;
    zp->request = NULL;
    if (r)
        r->pipe = NULL;
    return r;
}

/* Posts the answer, if the connection still waits for it. */
static void post_answer(struct zap_request *r, enum conn_auth_result result, uint32_t code)
{
    r->result = result;
    r->code = code;
    mutex_lock(&r->lock);
    if (r->asking) {
        atomic_fetch_add(&r->refs, 1);
        mailbox_post(r->asking, &r->answer, true);
    }
    mutex_unlock(&r->lock);
}

/* Keeps the metadata for the connection. 0, or the code of what is wrong with the reply. */
static uint32_t keep_metadata(struct zap_request *r, const struct msg *v)
{
    struct meta *meta = meta_new();
    int rc = meta ? meta_read(meta, msg_data(&v[R_META]), msg_size(&v[R_META]), UINT32_MAX, NULL)
                  : -ENOMEM;
    if (rc == 0)
        rc = meta_set(meta, "User-Id", 7, msg_data(&v[R_USER]), msg_size(&v[R_USER]));
    if (rc) {
        meta_unref(meta);
        return rc == -ENOMEM ? PROTO_ZAP_UNSPECIFIED : PROTO_ZAP_INVALID_METADATA;
    }
    r->metadata = meta;
    return 0;
}

static void judge(struct zap_request *r, const struct msg *v, uint32_t n)
{
    uint32_t wrong = 0, status = 0;
    if (n != REPLY_PARTS)
        wrong = PROTO_ZAP_MALFORMED_REPLY;
    else if (msg_size(&v[R_EMPTY]))
        wrong = PROTO_ZAP_UNSPECIFIED;
    else if (!msg_is_text(&v[R_VERSION], VERSION))
        wrong = PROTO_ZAP_BAD_VERSION;
    else if (!msg_is_text(&v[R_ID], REQUEST_ID))
        wrong = PROTO_ZAP_BAD_REQUEST_ID;
    else if (msg_is_text(&v[R_STATUS], "200"))
        wrong = keep_metadata(r, v);
    else if (msg_is_text(&v[R_STATUS], "300"))
        status = 300;
    else if (msg_is_text(&v[R_STATUS], "400"))
        status = 400;
    else if (msg_is_text(&v[R_STATUS], "500"))
        status = 500;
    else
        wrong = PROTO_ZAP_INVALID_STATUS_CODE;
    if (wrong)
        post_answer(r, CONN_AUTH_BAD_REPLY, wrong);
    else if (status)
        post_answer(r, CONN_AUTH_DENIED, status);
    else
        post_answer(r, CONN_AUTH_OK, 0);
}

static void zap_readable(struct pipe_set *z, struct pipe *p)
{
    (void)z;
    while (pipe_can_read(p)) {
        struct parts reply;
        parts_init(&reply);
        if (pipe_read(p, &reply)) { /* without memory: as if there were no handler */
            pipe_skip(p);
            parts_fini(&reply);
            break;
        }
        struct zap_request *r = take_request(p);
        if (r) {
            judge(r, reply.v, reply.len);
            request_unref(r);
        }
        parts_fini(&reply);
    }
    pipe_close(p);
}

/* The handler is gone, or the internal socket closes. */
static void zap_hangup(struct pipe_set *z, struct pipe *p)
{
    (void)z;
    struct zap_request *r = take_request(p);
    if (!r)
        return;
    post_answer(r, CONN_AUTH_NO_REPLY, EPIPE);
    request_unref(r);
}

const struct pattern_ops zap_pattern = {
    .type = FMQ_DEALER, /* so that inproc lets it talk to a handler: REP, ROUTER, DEALER */
    .name = "ZAP",
    .pipe_size = sizeof(struct zap_pipe),
    .init = zap_init,
    .attach = zap_attach,
    .hangup = zap_hangup,
    .detach = zap_hangup,
    .readable = zap_readable,
    .writable = zap_writable,
    .events = zap_events,
};

/* ---- asking ---- */

static void run_begin(struct reactor *reactor, struct cmd *cmd)
{
    struct conn_set *z = conn_set_of(reactor);
    struct zap_request *r = LIST_ENTRY(cmd, struct zap_request, begin);
    mutex_lock(&r->lock);
    bool wanted = r->asking;
    mutex_unlock(&r->lock);
    struct pipe *p = NULL;
    int rc = 0;
    if (wanted && !reactor->closed && !reactor->finished)
        p = pipe_new(&z->pipes, &rc);
    if (p) {
        struct zap_pipe *zp = p->state;
        rc = pipe_attach(p);
        if (rc == 0)
            rc = inproc_connect(z, p, HANDLER, true);
        if (rc == 0)
            rc = pipe_write(p, r->question.v, r->question.len);
        if (rc == 0) {
            r->question.len = 0;
            atomic_fetch_add(&r->refs, 1);
            zp->request = r;
            r->pipe = p;
        } else {
            pipe_free(p);
        }
    }
    if (!r->pipe)
        post_answer(r, CONN_AUTH_NO_REPLY, EFAULT);
    request_unref(r);
}

static void run_cancel(struct reactor *reactor, struct cmd *cmd)
{
    (void)reactor;
    struct zap_request *r = LIST_ENTRY(cmd, struct zap_request, cancel);
    struct pipe *p = r->pipe;
    if (p) {
        take_request(p);
        request_unref(r); /* the pipe's */
        pipe_close(p);
    }
    request_unref(r);
}

static void run_answer(struct reactor *reactor, struct cmd *cmd)
{
    (void)reactor;
    struct zap_request *r = LIST_ENTRY(cmd, struct zap_request, answer);
    struct conn *c = r->conn;
    if (c) {
        r->conn = NULL;
        c->zap = NULL;
        conn_auth_done(c, r->result, r->code, r->metadata);
        request_unref(r); /* the connection's */
    }
    request_unref(r);
}

static bool add(struct zap_request *r, const void *data, size_t len)
{
    struct msg m;
    if (msg_init_copy(&m, data, len))
        return false;
    if (parts_push(&r->question, &m) == 0)
        return true;
    msg_drop(&m);
    return false;
}

static bool put_question(struct zap_request *r, struct conn *c)
{
    const struct option_values *o = &c->set->pipes.opt;
    const struct security *sec = c->security;
    struct peer_credentials shown;
    peer_credentials(&c->peer, &shown);
    bool ok = add(r, "", 0) && add(r, VERSION, strlen(VERSION)) &&
              add(r, REQUEST_ID, strlen(REQUEST_ID)) && add(r, sec->domain, sec->domain_len) &&
              add(r, c->address, strlen(c->address)) && add(r, o->routing_id, o->routing_id_len) &&
              add(r, shown.mechanism, strlen(shown.mechanism));
    for (int i = 0; i < shown.count; i++)
        ok = ok && add(r, shown.part[i].data, shown.part[i].len);
    return ok;
}

int zap_ask(struct conn *c)
{
    struct reactor *asking = conn_set_reactor(c->set);
    struct fmq_ctx *ctx = socket_of(asking)->ctx;
    const struct security *sec = c->security;
    bool plain = sec->mechanism == PEER_MECH_PLAIN;
    /* A password needs an authenticator, and with ENFORCE_DOMAIN that needs a domain. */
    if (plain && sec->enforce_domain && !sec->domain_len)
        return -EFAULT;
    if (!inproc_is_bound(&ctx->inproc_names, HANDLER))
        return plain || sec->enforce_domain ? -EFAULT : 1;
    /* Made before the option that leads here was set (zap_socket_prepare). */
    struct fmq_socket *z = ctx->zap;
    if (!z)
        return -EFAULT;
    struct zap_request *r = mem_zalloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    atomic_init(&r->refs, 2); /* the connection and `begin` */
    mutex_init(&r->lock);
    parts_init(&r->question);
    r->begin.run = run_begin;
    r->cancel.run = run_cancel;
    r->answer.run = run_answer;
    r->asking = asking;
    r->conn = c;
    if (!put_question(r, c)) {
        atomic_store(&r->refs, 1);
        request_unref(r);
        return -ENOMEM;
    }
    c->zap = r;
    mailbox_post(socket_reactor(z), &r->begin, true);
    return 0;
}

void zap_cancel(struct conn *c)
{
    struct zap_request *r = c->zap;
    if (!r)
        return;
    c->zap = NULL;
    r->conn = NULL;
    mutex_lock(&r->lock);
    r->asking = NULL;
    mutex_unlock(&r->lock);
    /* The connection's reference becomes the command's. */
    struct fmq_ctx *ctx = socket_of(conn_set_reactor(c->set))->ctx;
    mailbox_post(socket_reactor(ctx->zap), &r->cancel, true);
}
