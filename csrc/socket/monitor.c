/* SPDX-License-Identifier: MIT */
#include "socket/monitor.h"

#include <string.h>

#include "base/alloc.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "socket/socket.h"

#define EVENT_MASK_V1 0xFFFFu

struct monitor {
    fmq_socket *out; /* internal; taken after the watched socket's lock, never before */
    uint64_t events;
    int version;
    bool stopped;
};

static bool put(struct msg *parts, uint32_t *n, const void *data, size_t len)
{
    if (msg_init_copy(&parts[*n], data, len))
        return false;
    (*n)++;
    return true;
}

static void send_out(struct monitor *m, struct msg *parts, uint32_t n, bool whole)
{
    if (!whole || fmq_send(m->out, parts, n, false, 0))
        for (uint32_t i = 0; i < n; i++)
            msg_drop(&parts[i]);
}

static bool put_name(struct msg *parts, uint32_t *n, const char *name)
{
    return put(parts, n, name ? name : "", name ? strlen(name) : 0);
}

static void emit_v1(struct monitor *m, uint32_t event, uint64_t value, const char *name)
{
    uint8_t head[6];
    uint16_t event16 = (uint16_t)event;
    uint32_t value32 = (uint32_t)value;
    memcpy(head, &event16, 2);
    memcpy(head + 2, &value32, 4);
    struct msg parts[2];
    uint32_t n = 0;
    bool whole = put(parts, &n, head, sizeof(head)) && put_name(parts, &n, name);
    send_out(m, parts, n, whole);
}

static void emit_v2(struct monitor *m, uint64_t event, const uint64_t *values, uint64_t count,
                    const char *local, const char *remote)
{
    struct msg parts[6];
    uint32_t n = 0;
    bool whole = put(parts, &n, &event, 8) && put(parts, &n, &count, 8);
    for (uint64_t i = 0; i < count; i++)
        whole = whole && put(parts, &n, &values[i], 8);
    whole = whole && put_name(parts, &n, local) && put_name(parts, &n, remote);
    send_out(m, parts, n, whole);
}

void monitor_emit(struct fmq_socket *s, bool bound, uint32_t event, uint64_t value,
                  const char *local, const char *remote)
{
    struct monitor *m = s->monitor;
    if (!m || m->stopped || !(m->events & event))
        return;
    if (m->version == 1)
        emit_v1(m, event, value, bound ? local : remote);
    else
        emit_v2(m, event, &value, 1, local, remote);
}

void monitor_stop(struct fmq_socket *s)
{
    struct monitor *m = s->monitor;
    if (!m || m->stopped)
        return;
    monitor_emit(s, true, EVENT_MONITOR_STOPPED, 0, "", "");
    m->stopped = true;
    fmq_close(m->out);
}

/* Needs no lock of `s` held: the registry's comes first. */
void monitor_free(struct monitor *m)
{
    if (!m)
        return;
    fmq_socket_free(m->out);
    mem_free(m);
}

static int monitor_new(fmq_socket *s, const char *endpoint, uint64_t events, int version, int type,
                       struct monitor **out)
{
    if (strncmp(endpoint, "inproc://", 9) != 0) {
        detail_set("a monitor's endpoint must be inproc://..., not '%.100s'", endpoint);
        return -EPROTONOSUPPORT;
    }
    if ((version != 1 && version != 2) || (version == 1 && (events & ~(uint64_t)EVENT_MASK_V1)))
        return -EINVAL;
    if (type != FMQ_PAIR && (version == 1 || (type != FMQ_PUB && type != FMQ_PUSH)))
        return -EINVAL;
    struct monitor *m = mem_zalloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->events = events;
    m->version = version;
    int rc = fmq_socket_new(s->ctx, type, &m->out);
    if (rc) {
        mem_free(m);
        return rc;
    }
    fmq_set_int(m->out, 17, 0); /* LINGER */
    rc = fmq_bind(m->out, endpoint);
    if (rc < 0) {
        monitor_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

int fmq_monitor(fmq_socket *s, const char *endpoint, uint64_t events, int version, int type)
{
    detail_clear();
    struct monitor *fresh = NULL;
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    /* The old one ends first, so that the same endpoint can be bound anew. */
    struct monitor *old = s->monitor;
    monitor_stop(s);
    s->monitor = NULL;
    reactor_leave(socket_reactor(s));
    monitor_free(old);
    if (!endpoint)
        return 0;
    rc = monitor_new(s, endpoint, events, version, type, &fresh);
    if (rc)
        return rc;
    rc = reactor_enter(socket_reactor(s));
    if (rc) {
        monitor_free(fresh);
        return rc;
    }
    old = s->monitor;
    monitor_stop(s);
    s->monitor = fresh;
    reactor_leave(socket_reactor(s));
    monitor_free(old);
    return 0;
}

int fmq_monitor_stats(fmq_socket *s)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    struct monitor *m = s->monitor;
    if (!m || m->stopped || m->version != 2 || !(m->events & EVENT_PIPES_STATS)) {
        rc = -EINVAL;
    } else if (list_empty(&s->net.pipes.list)) {
        rc = -EAGAIN;
    } else {
        LIST_FOR(n, &s->net.pipes.list)
        {
            struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
            uint64_t values[2] = {pipe_out_msgs(p), p->in.msgs};
            const char *local = "", *remote = "";
            if (p->link)
                p->link->ops->names(p, &local, &remote);
            else if (p->endpoint)
                remote = p->endpoint->name;
            emit_v2(m, EVENT_PIPES_STATS, values, 2, local, remote);
        }
    }
    reactor_leave(socket_reactor(s));
    return rc;
}
