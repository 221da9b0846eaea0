/* SPDX-License-Identifier: MIT */
#include "net/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fastmq.h"
#include "net/security.h"
#include "os/net.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"

/* At once when a listener closes: later the path may belong to another process. It may already,
 * where it was taken over by force or the directory was made anew. */
void endpoint_remove_files(struct endpoint *ep)
{
    struct stat st;
    if (ep->unlink_path && lstat(ep->unlink_path, &st) == 0 && st.st_dev == ep->unlink_dev &&
        st.st_ino == ep->unlink_ino)
        unlink(ep->unlink_path);
    if (ep->unlink_dir)
        rmdir(ep->unlink_dir);
    mem_free(ep->unlink_path);
    mem_free(ep->unlink_dir);
    ep->unlink_path = ep->unlink_dir = NULL;
}

void endpoint_free(struct endpoint *ep)
{
    net_close(ep->io.fd);
    endpoint_remove_files(ep);
    security_unref(ep->security);
    mem_free(ep->given);
    mem_free(ep->name);
    mem_free(ep);
}

static void free_around(struct io *io)
{
    endpoint_free(LIST_ENTRY(io, struct endpoint, io));
}

struct endpoint *endpoint_new(struct conn_set *s, const char *text, bool bound,
                              void (*ready)(struct io *io, uint32_t events),
                              void (*fire)(struct timer *t, uint64_t now))
{
    struct endpoint *ep = mem_zalloc(sizeof(*ep));
    if (!ep)
        return NULL;
    ep->io.fd = -1;
    ep->io.ready = ready;
    ep->io.free = free_around;
    list_init(&ep->io.deferred);
    ep->set = s;
    ep->bound = bound;
    list_init(&ep->in_set);
    list_init(&ep->conns);
    timer_init(&ep->timer, fire);
    timer_init(&ep->linger, NULL); /* endpoint_close gives it what it does */
    ep->given = mem_strdup(text);
    ep->name = mem_strdup(text);
    if (!ep->given || !ep->name) {
        endpoint_free(ep);
        return NULL;
    }
    return ep;
}

int endpoint_rename(struct endpoint *ep, const char *name)
{
    char *copy = mem_strdup(name);
    if (!copy)
        return -ENOMEM;
    mem_free(ep->name);
    ep->name = copy;
    return 0;
}

bool endpoint_is_named(const struct endpoint *ep, const char *text)
{
    return strcmp(ep->given, text) == 0 || strcmp(ep->name, text) == 0;
}

void endpoint_describe(const struct endpoint *ep, struct fmq_peer *out)
{
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", ep->name);
    out->connect_error = ep->error;
}

/* Which transport carries which type. */
int endpoint_check_type(const struct conn_set *s, const struct transport_ops *tr, bool bound)
{
    const struct pattern_ops *ops = s->pipes.ops;
    if (tr->stream && ops->raw && ops->type == FMQ_ROUTER) {
        detail_set("ROUTER_RAW is not to be had over %s", tr->scheme);
        return -FMQ_ENOCOMPATPROTO;
    }
    if (tr->carries ? tr->carries(s->pipes.type, bound) : !ops->datagrams)
        return 0;
    bool other = tr->carries && tr->carries(s->pipes.type, !bound);
    detail_set("a %s socket cannot %s %s://%s", ops->name, bound ? "bind" : "connect", tr->scheme,
               other && bound ? ": connect it"
               : other        ? ": bind it"
                              : "");
    return -FMQ_ENOCOMPATPROTO;
}

/* A pipe that belongs to the endpoint, attached. */
int endpoint_make_pipe(struct endpoint *ep)
{
    int rc = 0;
    struct pipe *p = pipe_new(&ep->set->pipes, &rc);
    if (!p)
        return rc;
    endpoint_hold_pipe(ep, p);
    memcpy(p->identity, ep->identity, ep->identity_len);
    p->identity_len = ep->identity_len;
    p->identity_given = ep->identity_len > 0;
    p->to_all = ep->transport->open != NULL;
    rc = pipe_attach(p);
    if (rc == 0)
        return 0;
    if (rc == -EADDRINUSE && p->identity_given)
        detail_set("CONNECT_ROUTING_ID names a peer that is connected already");
    endpoint_release_pipe(ep);
    pipe_free(p);
    return rc;
}

/* The pipe goes, if there is one: nothing will connect for it any more. */
void endpoint_end_pipe(struct endpoint *ep)
{
    struct pipe *p = ep->pipe;
    endpoint_release_pipe(ep);
    if (p)
        pipe_hangup(p);
}

void endpoint_close_io(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    io_watch(conn_set_reactor(s), &ep->io, 0);
    if (ep->io.fd >= 0)
        net_close(ep->io.fd);
    ep->io.fd = -1;
    ep->connecting = false;
}

/* Unlinks it from everything and frees it when no thread can be looking at it any more. */
void endpoint_discard(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    timer_cancel(conn_set_reactor(s), &ep->timer);
    timer_cancel(conn_set_reactor(s), &ep->linger);
    if (ep->job) {
        ep->job->owner = NULL;
        ep->job = NULL;
    }
    list_remove_walked(&s->pipes.walks, &ep->in_set);
    endpoint_release_pipe(ep);
    io_free_later(conn_set_reactor(s), &ep->io);
}
