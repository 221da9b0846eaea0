/* SPDX-License-Identifier: MIT */
#include "pipe/pipe.h"

#include "pipe/budget.h"

void pipe_update(struct pipe *p)
{
    p->plain = !p->hung_up && !p->close_wanted && !p->direct && !p->bounded;
    p->spans = !p->direct && !p->raw && !p->conflate;
    p->copies = p->spans && !p->bounded;
    p->watched = p->direct || p->hung_up || p->paused || p->counted;
}

void pipe_set_limits(struct pipe *p)
{
    const struct option_values *o = &p->set->opt;
    p->in_hwm = (uint32_t)o->rcvhwm;
    p->out_hwm = (uint32_t)o->sndhwm;
    p->in_max = (uint64_t)o->rcvhwm_bytes;
    p->out_max = (uint64_t)o->sndhwm_bytes;
    p->room = 0;
    p->bounded = p->budget || (p->direct ? p->link->ops->bounded(p) : p->out_max != 0);
    p->set->sized |= p->bounded;
    bool counted = p->in_max || p->budget;
    if (counted && !p->counted)
        p->in_bytes = msgring_bytes(&p->in);
    p->counted = counted;
    pipe_update(p);
}

void pipe_account_slow(struct pipe *p)
{
    uint64_t before = p->charged;
    uint64_t now = p->held + (p->direct ? 0 : p->out.body + p->aside + p->in_bytes);
    p->charged = now;
    if (now > before)
        budget_add(p->budget, now - before);
    else
        budget_give(p->budget, before - now);
}

void pipe_count_drops(struct pipe *p, uint64_t n, enum drop_reason why)
{
    p->drops += n;
    p->set->drops += n;
    p->set->drops_for[why] += n;
}

void pipe_queue_reap(struct pipe *p)
{
    if (!list_linked(&p->dead_node))
        list_push_back(&p->set->dead_pipes, &p->dead_node);
    p->set->reactor.work |= WORK_REAP;
}
