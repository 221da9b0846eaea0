/* SPDX-License-Identifier: MIT */
#include "reactor/resolver.h"

#include "base/alloc.h"
#include "reactor/reactor.h"

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
        struct reactor *asking = job->reactor;
        mailbox_post(asking, &job->done, true);
        reactor_unref(asking);
        mutex_lock(&r->lock);
    }
    mutex_unlock(&r->lock);
}

void resolver_init(struct resolver_slot *slot)
{
    slot->resolver = NULL;
    mutex_init(&slot->lock);
}

void resolver_fini(struct resolver_slot *slot)
{
    mutex_fini(&slot->lock);
}

int resolver_submit(struct resolver_slot *slot, struct resolve_job *job)
{
    mutex_lock(&slot->lock);
    struct resolver *r = slot->resolver;
    if (!r) {
        r = mem_zalloc(sizeof(*r));
        if (!r) {
            mutex_unlock(&slot->lock);
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
            mutex_unlock(&slot->lock);
            return rc;
        }
        slot->resolver = r;
    }
    mutex_unlock(&slot->lock);
    reactor_ref(job->reactor);
    mutex_lock(&r->lock);
    list_push_back(&r->jobs, &job->node);
    cond_signal(&r->wake);
    mutex_unlock(&r->lock);
    return 0;
}

void resolver_stop(struct resolver_slot *slot)
{
    struct resolver *r = slot->resolver;
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
    slot->resolver = NULL;
}
