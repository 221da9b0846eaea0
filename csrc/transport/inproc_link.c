/* SPDX-License-Identifier: MIT */
#include "transport/inproc_link.h"

#include <string.h>

#include "base/alloc.h"
#include "pipe/option_values.h"
#include "reactor/signal.h"
#include "wire/peer.h"

void inproc_link_unref(struct inproc_link *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    for (int i = 0; i < 2; i++) {
        inproc_give_back(l, inproc_queued_bytes(&l->end[i]));
        msgring_fini(&l->end[i].queue);
    }
    mutex_fini(&l->lock);
    mem_free(l->uri);
    mem_free(l);
}

uint8_t inproc_own_identity(const struct conn_set *s, uint8_t *to)
{
    const struct option_values *o = &s->pipes.opt;
    if (peer_identity_is_reserved(o->routing_id, o->routing_id_len))
        return 0;
    memcpy(to, o->routing_id, o->routing_id_len);
    return o->routing_id_len;
}

void inproc_note(struct inproc_link *l, int side, unsigned events, bool urgent)
{
    struct link_end *e = &l->end[side];
    if (!e->set || e->closed)
        return;
    e->events |= events;
    if (e->posted) { /* its run will see the new bits, too */
        if (urgent)
            reactor_call(&e->set->pipes.reactor);
        return;
    }
    e->posted = true;
    atomic_fetch_add(&l->refs, 1);
    mailbox_post(conn_set_reactor(e->set), &e->cmd, urgent);
}

void inproc_describe_end(struct link_end *e, struct conn_set *s)
{
    e->sndhwm = (uint32_t)s->pipes.opt.sndhwm;
    e->rcvhwm = (uint32_t)s->pipes.opt.rcvhwm;
    e->sndhwm_bytes = (uint64_t)s->pipes.opt.sndhwm_bytes;
    e->rcvhwm_bytes = (uint64_t)s->pipes.opt.rcvhwm_bytes;
    atomic_store(&e->conflate, s->pipes.opt.conflate);
    e->identity_len = inproc_own_identity(s, e->identity);
}

void inproc_set_hwm(struct inproc_link *l, bool both)
{
    for (int i = 0; i < 2; i++) {
        struct link_end *to = &l->end[i], *from = &l->end[!i];
        uint32_t hwm = !both                        ? from->sndhwm
                       : from->sndhwm && to->rcvhwm ? from->sndhwm + to->rcvhwm
                                                    : 0;
        atomic_store(&to->hwm, hwm);
        /* In bytes there is no limit unless one is set, so that of one side holds alone. */
        atomic_store(&to->max_bytes, from->sndhwm_bytes + (both ? to->rcvhwm_bytes : 0));
    }
}
