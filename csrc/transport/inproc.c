/* SPDX-License-Identifier: MIT */
#include "transport/inproc.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fastmq.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_in.h"
#include "pipe/pipe_life.h"
#include "transport/inproc_link.h"
#include "transport/inproc_meet.h"
#include "transport/inproc_pipe.h"
#include "wire/types.h"

#define NAME_MAX_LEN 256
#define SCHEME "inproc://"

/* A bound name with what its socket was when it was bound, so that connecting needs no lock of it.
 */
struct bound_name {
    struct conn_set *set;
    uint32_t sndhwm, rcvhwm;
    uint64_t sndhwm_bytes, rcvhwm_bytes;
    bool conflate;
    uint8_t identity[255];
    uint8_t identity_len;
};

struct inproc_wait {
    struct list links;
};

static struct inproc_link *link_new(struct conn_set *s, const char *name)
{
    struct inproc_link *l = mem_zalloc(sizeof(*l));
    if (!l)
        return NULL;
    size_t len = strlen(name);
    l->uri = mem_alloc(sizeof(SCHEME) + len);
    if (!l->uri) {
        mem_free(l);
        return NULL;
    }
    memcpy(l->uri, SCHEME, sizeof(SCHEME) - 1);
    l->name = memcpy(l->uri + sizeof(SCHEME) - 1, name, len + 1);
    l->link.ops = &inproc_link_ops;
    mutex_init(&l->lock);
    atomic_init(&l->refs, 1);
    list_init(&l->waiting);
    for (int i = 0; i < 2; i++) {
        msgring_init(&l->end[i].queue);
        l->end[i].cmd.run = inproc_link_run;
        l->end[i].idle = true;
    }
    reactor_ref(conn_set_reactor(s));
    l->end[0].set = s;
    l->type = s->pipes.type;
    l->budget = s->pipes.budget;
    inproc_describe_end(&l->end[0], s);
    return l;
}

static int check_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN) {
        detail_set("an inproc name has 1 to %d bytes, this one has %zu", NAME_MAX_LEN, len);
        return -EINVAL;
    }
    return 0;
}

static int types_match(int a, int b)
{
    return type_accepts(a, b) && type_accepts(b, a);
}

static void snapshot(struct bound_name *entry, struct conn_set *s)
{
    entry->sndhwm = (uint32_t)s->pipes.opt.sndhwm;
    entry->rcvhwm = (uint32_t)s->pipes.opt.rcvhwm;
    entry->sndhwm_bytes = (uint64_t)s->pipes.opt.sndhwm_bytes;
    entry->rcvhwm_bytes = (uint64_t)s->pipes.opt.rcvhwm_bytes;
    entry->conflate = s->pipes.opt.conflate;
    entry->identity_len = inproc_own_identity(s, entry->identity);
}

/* Why the program is warned. */
static void describe_mismatch(int connected, int bound, const char *uri)
{
    detail_set("a %s socket is connected to the %s socket bound at %.100s; over tcp these types "
               "refuse each other",
               type_name(connected), type_name(bound), uri);
}

/* The bound socket meets one that connected before. */
static void meet(struct conn_set *s, struct inproc_link *l)
{
    mutex_lock(&l->lock);
    l->mismatched = !types_match(s->pipes.type, l->type);
    reactor_ref(conn_set_reactor(s));
    l->end[1].set = s;
    inproc_describe_end(&l->end[1], s);
    bool gone = l->end[0].closed;
    inproc_note(l, 0, EV_CONNECTED, true);
    mutex_unlock(&l->lock);
    if (!inproc_attach_bound(s, l)) {
        inproc_again(l, 1, EV_ATTACH | EV_READABLE | (gone ? EV_CLOSED : 0));
        return;
    }
    struct pipe *p = l->end[1].pipe;
    if (!p)
        return;
    inproc_refill(p);
    pipe_arrived(p, 0);
    if (gone)
        inproc_peer_left(l, 1, p);
}

static int inproc_bind(struct conn_set *s, const char *name)
{
    int rc = check_name(name);
    if (rc)
        return rc;
    struct inproc_names *names = s->inproc_names;
    struct bound_name *entry = mem_alloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->set = s;
    mutex_lock(&names->lock);
    rc = map_put(&names->bound, name, strlen(name), entry);
    if (rc) {
        mutex_unlock(&names->lock);
        mem_free(entry);
        return rc == -EEXIST ? -EADDRINUSE : rc;
    }
    snapshot(entry, s);
    /* Sockets that connected before, one at a time: a leaving socket takes its link off the list.
     */
    for (;;) {
        struct inproc_wait *wait = map_get(&names->pending, name, strlen(name));
        struct list *n = wait ? list_pop_front(&wait->links) : NULL;
        if (!n) {
            map_del(&names->pending, name, strlen(name));
            mem_free(wait);
            break;
        }
        struct inproc_link *l = LIST_ENTRY(n, struct inproc_link, waiting);
        atomic_fetch_add(&l->refs, 1); /* the pipe's to be; the list's is ours now */
        mutex_unlock(&names->lock);
        meet(s, l);
        if (l->mismatched) {
            describe_mismatch(l->type, s->pipes.type, l->uri);
            rc = 1;
        }
        inproc_link_unref(l);
        mutex_lock(&names->lock);
    }
    mutex_unlock(&names->lock);
    return rc;
}

static int inproc_unbind(struct conn_set *s, const char *name)
{
    struct inproc_names *names = s->inproc_names;
    mutex_lock(&names->lock);
    struct bound_name *entry = map_get(&names->bound, name, strlen(name));
    int rc = -ENOENT;
    if (entry && entry->set == s) {
        map_del(&names->bound, name, strlen(name));
        mem_free(entry);
        rc = 0;
    }
    mutex_unlock(&names->lock);
    return rc;
}

void inproc_unbind_all(struct conn_set *s)
{
    struct inproc_names *names = s->inproc_names;
    mutex_lock(&names->lock);
    size_t pos = 0;
    const void *key;
    size_t len;
    struct bound_name *entry;
    while ((entry = map_next(&names->bound, &pos, &key, &len))) {
        if (entry->set == s) {
            map_del(&names->bound, key, len);
            mem_free(entry);
        }
    }
    mutex_unlock(&names->lock);
}

void inproc_each_bound(struct inproc_names *names,
                       int (*visit)(void *arg, const char *name, size_t len, struct conn_set *s),
                       void *arg)
{
    mutex_lock(&names->lock);
    size_t pos = 0;
    const void *key;
    size_t len;
    struct bound_name *entry;
    while ((entry = map_next(&names->bound, &pos, &key, &len)))
        if (visit(arg, key, len, entry->set))
            break;
    mutex_unlock(&names->lock);
}

/* Puts the link on the list of those that wait for the name. names->lock held. */
static int wait_for_name(struct inproc_names *names, struct inproc_link *l)
{
    size_t len = strlen(l->name);
    struct inproc_wait *wait = map_get(&names->pending, l->name, len);
    if (!wait) {
        wait = mem_alloc(sizeof(*wait));
        if (!wait)
            return -ENOMEM;
        list_init(&wait->links);
        int rc = map_put(&names->pending, l->name, len, wait);
        if (rc) {
            mem_free(wait);
            return rc;
        }
    }
    list_push_back(&wait->links, &l->waiting);
    atomic_fetch_add(&l->refs, 1);
    return 0;
}

void inproc_names_init(struct inproc_names *names)
{
    mutex_init(&names->lock);
    map_init(&names->bound);
    map_init(&names->pending);
}

void inproc_names_fini(struct inproc_names *names)
{
    size_t pos = 0;
    const void *key;
    size_t len;
    struct inproc_wait *wait;
    while ((wait = map_next(&names->pending, &pos, &key, &len))) {
        for (struct list *n; (n = list_pop_front(&wait->links));)
            inproc_link_unref(LIST_ENTRY(n, struct inproc_link, waiting));
        mem_free(wait);
    }
    pos = 0;
    struct bound_name *entry;
    while ((entry = map_next(&names->bound, &pos, &key, &len)))
        mem_free(entry);
    map_fini(&names->bound);
    map_fini(&names->pending);
    mutex_fini(&names->lock);
}

bool inproc_is_bound(struct inproc_names *names, const char *name)
{
    mutex_lock(&names->lock);
    bool bound = map_get(&names->bound, name, strlen(name)) != NULL;
    mutex_unlock(&names->lock);
    return bound;
}

int inproc_connect(struct conn_set *s, struct pipe *p, const char *name, bool only_bound)
{
    int rc = check_name(name);
    if (rc)
        return rc;
    struct inproc_names *names = s->inproc_names;
    struct inproc_link *l = link_new(s, name);
    if (!l)
        return -ENOMEM;
    l->end[0].link = l->end[1].link = l;
    bool connected = false;
    /* Once it waits for the name, the link is told of the pairing by the one that binds. */
    bool mismatched = false;
    int bound_type = -1;
    mutex_lock(&names->lock);
    struct bound_name *entry = map_get(&names->bound, name, strlen(name));
    if (entry) {
        struct conn_set *bound = entry->set;
        bound_type = bound->pipes.type;
        l->mismatched = mismatched = !types_match(s->pipes.type, bound_type);
        if (mismatched && only_bound) {
            rc = -FMQ_ENOCOMPATPROTO;
        } else {
            connected = true;
            reactor_ref(conn_set_reactor(bound));
            struct link_end *e = &l->end[1];
            e->set = bound;
            e->sndhwm = entry->sndhwm;
            e->rcvhwm = entry->rcvhwm;
            e->sndhwm_bytes = entry->sndhwm_bytes;
            e->rcvhwm_bytes = entry->rcvhwm_bytes;
            atomic_store(&e->conflate, entry->conflate);
            inproc_set_hwm(l, true);
            if (!p->identity_given) {
                memcpy(p->identity, entry->identity, entry->identity_len);
                p->identity_len = entry->identity_len;
            }
            mutex_lock(&l->lock);
            l->end[0].pipe = p;
            atomic_fetch_add(&l->refs, 1); /* for its pipe */
            inproc_note(l, 1, EV_ATTACH, true);
            mutex_unlock(&l->lock);
        }
    } else if (only_bound) {
        rc = -ENOENT;
    } else {
        inproc_set_hwm(l, false);
        l->end[0].pipe = p;
        rc = wait_for_name(names, l);
    }
    mutex_unlock(&names->lock);
    if (rc) {
        atomic_fetch_sub(&s->pipes.reactor.refs, 1);
        l->end[0].set = NULL;
        inproc_link_unref(l);
        return rc;
    }
    p->link = &l->link;
    p->direct = true;
    p->side = 0;
    p->budget = l->budget;
    p->peer_type = bound_type;
    pipe_set_limits(p);
    /* Before the program sends something; a type that sends nothing may wait for the peer, to whose
     * type its subscriptions are fitted. */
    if (connected)
        rc = pipe_connected(p);
    else if (s->pipes.ops->sends)
        rc = pipe_greet(p);
    if (rc == 0 && mismatched) {
        inproc_report_mismatch(s, 0, l);
        describe_mismatch(s->pipes.type, bound_type, l->uri);
        rc = 1;
    }
    return rc;
}

static int inproc_attach(struct conn_set *s, struct pipe *p, const char *rest)
{
    return inproc_connect(s, p, rest, false);
}

const struct transport_ops transport_inproc = {
    .scheme = "inproc",
    .bind = inproc_bind,
    .unbind = inproc_unbind,
    .attach = inproc_attach,
};
