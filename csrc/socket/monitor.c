/* SPDX-License-Identifier: MIT */
#include "socket/monitor.h"

#include <errno.h>
#include <string.h>

#include "fastmq.h"
#include "net/endpoint.h"
#include "net/events.h"
#include "pipe/pipe.h"
#include "pipe/pipe_out.h"
#include "socket/socket.h"

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
    struct monitor *m = &s->monitor;
    if (!m->out || m->stopped || !(m->events & event))
        return;
    if (m->version == 1)
        emit_v1(m, event, value, bound ? local : remote);
    else
        emit_v2(m, event, &value, 1, local, remote);
}

int monitor_emit_stats(struct fmq_socket *s)
{
    struct monitor *m = &s->monitor;
    if (!m->out || m->stopped || m->version != 2 || !(m->events & EVENT_PIPES_STATS))
        return -EINVAL;
    if (list_empty(&s->net.pipes.list))
        return -EAGAIN;
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
    return 0;
}

void monitor_stop(struct fmq_socket *s)
{
    struct monitor *m = &s->monitor;
    if (!m->out || m->stopped)
        return;
    monitor_emit(s, true, EVENT_MONITOR_STOPPED, 0, "", "");
    m->stopped = true;
    fmq_close(m->out);
}
