/* SPDX-License-Identifier: MIT */
/* Looks names up on a thread of its own, started when the first name comes: neither a caller nor
 * the background thread ever waits for a name server. */
#include "base/alloc.h"
#include "core/ctx.h"
#include "core/socket.h"
#include "os/net.h"

struct resolver {
    struct thread thread;
    struct mutex lock;
    struct cond wake;
    struct list jobs;
    bool stop;
};

static void resolver_run(void *arg)
{
    struct resolver *r = arg;
    mutex_lock(&r->lock);
    for (;;) {
        struct list *n = list_pop_front(&r->jobs);
        if (!n) {
            if (r->stop)
                break;
            cond_wait(&r->wake, &r->lock, -1);
            continue;
        }
        struct resolve_job *job = LIST_ENTRY(n, struct resolve_job, node);
        bool skip = r->stop;
        mutex_unlock(&r->lock);
        job->result = skip ? -ECANCELED
                           : net_resolve(job->host, job->port, job->ipv6, false, job->out,
                                         (int)(sizeof(job->out) / sizeof(job->out[0])));
        struct fmq_socket *s = job->socket;
        socket_post(s, &job->done, true);
        socket_unref(s);
        mutex_lock(&r->lock);
    }
    mutex_unlock(&r->lock);
}

int resolver_submit(struct fmq_ctx *ctx, struct resolve_job *job)
{
    /* Called under a socket's lock, so the registry's may not be taken. */
    mutex_lock(&ctx->resolver_lock);
    struct resolver *r = ctx->resolver;
    if (!r) {
        r = mem_zalloc(sizeof(*r));
        if (!r) {
            mutex_unlock(&ctx->resolver_lock);
            return -ENOMEM;
        }
        mutex_init(&r->lock);
        cond_init(&r->wake);
        list_init(&r->jobs);
        int rc = thread_start(&r->thread, resolver_run, r, "fmq/dns");
        if (rc) {
            cond_fini(&r->wake);
            mutex_fini(&r->lock);
            mem_free(r);
            mutex_unlock(&ctx->resolver_lock);
            return rc;
        }
        ctx->resolver = r;
    }
    mutex_unlock(&ctx->resolver_lock);
    socket_ref(job->socket);
    mutex_lock(&r->lock);
    list_push_back(&r->jobs, &job->node);
    cond_signal(&r->wake);
    mutex_unlock(&r->lock);
    return 0;
}

void resolver_stop(struct fmq_ctx *ctx)
{
    struct resolver *r = ctx->resolver;
    if (!r)
        return;
    mutex_lock(&r->lock);
    r->stop = true;
    cond_signal(&r->wake);
    mutex_unlock(&r->lock);
    thread_join(&r->thread);
    cond_fini(&r->wake);
    mutex_fini(&r->lock);
    mem_free(r);
    ctx->resolver = NULL;
}
