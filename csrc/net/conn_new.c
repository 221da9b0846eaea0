/* SPDX-License-Identifier: MIT */
#include "net/conn_new.h"

#include <errno.h>

#include "base/alloc.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "net/conn_read.h"
#include "net/conn_shm.h"
#include "net/conn_tick.h"
#include "net/endpoint.h"
#include "net/security.h"
#include "pipe/pattern_ops.h"
#include "wire/command.h"

static void free_io(struct io *io)
{
    struct conn *c = LIST_ENTRY(io, struct conn, io);
    peer_fini(&c->peer);
    outq_fini(&c->no_out);
    stream_close(c->stream, c->io.fd);
    if (c->shm.given_up)
        c->shm.given_up->ops->close(c->shm.given_up);
    mem_free(c->local_name);
    mem_free(c->remote_name);
    mem_free(c->peer_name);
    mem_free(c->address);
    security_unref(c->security);
    mem_free(c);
}

static void conn_timer(struct timer *t, uint64_t now)
{
    conn_tick(LIST_ENTRY(t, struct conn, timer), now);
}

struct conn *conn_new(struct conn_set *s, struct endpoint *ep, int fd, struct stream *stream,
                      struct pipe *pipe, const struct conn_ends *ends)
{
    struct conn *c = mem_zalloc(sizeof(*c));
    if (c)
        c->security = ep && ep->security ? security_ref(ep->security) : security_new(&s->pipes.opt);
    if (!c || !c->security) {
        stream_close(stream, fd);
        mem_free(c);
        return NULL;
    }
    uint64_t now = clock_now();
    const struct option_values *o = &s->pipes.opt;
    struct peer_config cfg = {
        .pool = s->pipes.pool,
        .socket_type = s->pipes.type,
        .identity = o->routing_id,
        .identity_len = o->routing_id_len,
        .max_msg_size = c->security->max_msg_size,
        .max_parts = (uint32_t)c->security->max_parts,
        .handshake_ms = (uint32_t)c->security->handshake_ivl,
        .heartbeat_ivl_ms = (uint32_t)o->heartbeat_ivl,
        .heartbeat_ttl_ms = (uint32_t)o->heartbeat_ttl,
        .heartbeat_timeout_ms = o->heartbeat_timeout,
        .raw_max = 8192,
        .at_once = ends->known,
        .raw = s->pipes.ops->raw || (pipe && pipe->raw),
    };
    if (pipe)
        cfg.raw = pipe->raw;
    cfg.ws = stream && stream->ops->websocket;
    security_of_peer(c->security, &cfg.security);
    c->io.fd = fd;
    c->stream = stream;
    c->set = s;
    c->bound = ep && ep->bound;
    struct command_buf props;
    command_buf_init(&props);
    command_add(&props, o->metadata.data, o->metadata.len);
    conn_shm_introduce(c, &cfg, ends, &props);
    cfg.extra_props = props.data;
    cfg.extra_props_len = props.len;
    int rc = props.failed ? -ENOMEM : peer_init(&c->peer, &cfg, now);
    command_buf_fini(&props);
    if (rc) {
        conn_shm_end(c);
        stream_close(stream, fd);
        security_unref(c->security);
        mem_free(c);
        return NULL;
    }
    outq_init(&c->no_out, s->pipes.pool);
    c->since = clock_unix();
    c->link.ops = &conn_link_ops;
    c->quiet.look = conn_look;
    c->quiet.arm = conn_arm;
    list_init(&c->quiet.node);
    c->io.ready = conn_ready;
    c->io.free = free_io;
    list_init(&c->io.deferred);
    c->endpoint = ep;
    c->pipe = pipe;
    list_init(&c->in_set);
    list_init(&c->in_endpoint);
    list_init(&c->link.flush_node);
    list_init(&c->warm);
    timer_init(&c->timer, conn_timer);
    c->local_name = mem_strdup(ends->local_name);
    c->remote_name = mem_strdup(ends->remote_name);
    c->peer_name = mem_strdup(ends->peer_name);
    c->address = mem_strdup(ends->address);
    if (!c->local_name || !c->remote_name || !c->peer_name || !c->address ||
        io_watch(conn_set_reactor(s), &c->io, stream_interest(stream, POLLER_IN))) {
        conn_shm_end(c);
        free_io(&c->io);
        return NULL;
    }
    list_push_back(&s->conns, &c->in_set);
    s->pipes.reactor.conn_count++;
    conn_update_lone(s);
    if (ep && ep->bound)
        list_push_back(&ep->conns, &c->in_endpoint);
    if (pipe)
        pipe->link = &c->link;
    c->link.flush_pending = true;
    conn_want_flush(c);
    conn_tick(c, now);
    if (c->peer.cfg.raw && !conn_is_over(c))
        conn_process(c); /* READY comes without any bytes */
    return c;
}
