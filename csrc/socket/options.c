/* SPDX-License-Identifier: MIT */
/* Setting and getting the options of a socket. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "fastmq.h"
#include "pipe/option_ids.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe.h"
#include "pipe/pipe_out.h"
#include "reactor/notify.h"
#include "socket/option_security.h"
#include "socket/option_special.h"
#include "socket/option_table.h"
#include "socket/partial.h"
#include "socket/socket.h"
#include "socket/zap_socket.h"
#include "wire/peer_state.h"

static void hwm_changed(struct fmq_socket *s)
{
    LIST_FOR_SAFE(n, &s->net.pipes.list)
    {
        struct pipe *p = LIST_ENTRY(n, struct pipe, in_set);
        pipe_set_limits(p);
        if (p->direct)
            p->link->ops->limits_changed(p);
        else
            pipe_drained(p);
        pipe_room_made(p);
    }
}

static int set_special(struct fmq_socket *s, int id, int64_t num, const void *value, size_t len)
{
    struct option_values *o = &s->net.pipes.opt;
    switch (id) {
    case OPT_HWM:
        __atomic_store_n(&o->sndhwm, (int)num, __ATOMIC_RELAXED);
        o->rcvhwm = (int)num;
        hwm_changed(s);
        return 0;
    case OPT_CONNECT_ROUTING_ID:
        if (s->net.pipes.type != FMQ_ROUTER && s->net.pipes.type != FMQ_STREAM &&
            s->net.pipes.type != FMQ_REP) {
            detail_set("option CONNECT_ROUTING_ID does not apply to %s sockets",
                       s->net.pipes.ops->name);
            return -EINVAL;
        }
        memcpy(s->net.next_identity, value, len);
        s->net.next_identity_len = (uint8_t)len;
        return 0;
    default:
        return option_set_special(o, id, num, value, len);
    }
}

static int export_fd(struct fmq_socket *s, int64_t *value)
{
    int fd = -1;
    int rc = notify_export_fd(socket_reactor(s), &fd);
    *value = fd;
    return rc;
}

static int get_special(struct fmq_socket *s, int id, int64_t *value)
{
    switch (id) {
    case OPT_HWM:
        *value = s->net.pipes.opt.sndhwm;
        return 0;
    case OPT_RCVMORE:
        *value = rx_in_message(&s->rx);
        return 0;
    case OPT_FD:
        return export_fd(s, value);
    case OPT_TYPE:
        *value = s->net.pipes.type;
        return 0;
    case OPT_IPV4ONLY:
        *value = !s->net.pipes.opt.ipv6;
        return 0;
    case OPT_PLAIN_SERVER:
        *value = s->net.pipes.opt.mechanism == PEER_MECH_PLAIN && s->net.pipes.opt.as_server;
        return 0;
    case OPT_CURVE_SERVER:
        *value = s->net.pipes.opt.mechanism == PEER_MECH_CURVE && s->net.pipes.opt.as_server;
        return 0;
    case OPT_THREAD_SAFE: /* as libzmq says: programs infer more than safety from it */
        *value = s->net.pipes.ops->single;
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- entries ---- */

static int check(const struct option_row *r, int id, unsigned access)
{
    if (!r) {
        detail_set("socket option %d is not known", id);
        return -EINVAL;
    }
    if (!(r->info.access & access)) {
        detail_set("option %s can only be %s", r->info.name,
                   access == FMQ_OPT_SET ? "read" : "set");
        return -EINVAL;
    }
    if (r->home == HOME_ABSENT) {
        detail_set("option %s belongs to a mechanism or transport that this build does not have",
                   r->info.name);
        return -EINVAL;
    }
    return 0;
}

static bool is_bytes(const struct option_row *r)
{
    return r->info.kind == FMQ_OPT_BYTES || r->info.kind == FMQ_OPT_STRING;
}

static int not_of_type(struct fmq_socket *s, const struct option_row *r)
{
    detail_set("option %s does not apply to %s sockets", r->info.name, s->net.pipes.ops->name);
    return -EINVAL;
}

/* While its context ends an open socket still takes one option: how long it may go on sending. */
static int enter_to_set(struct fmq_socket *s, int option)
{
    struct reactor *r = socket_reactor(s);
    int rc = reactor_enter(r);
    if (rc != -FMQ_ETERM || option != OPT_LINGER)
        return rc;
    mutex_lock(&r->lock);
    if (!r->closed)
        return 0;
    mutex_unlock(&r->lock);
    return -ENOTSOCK;
}

int fmq_set_int(fmq_socket *s, int option, int64_t value)
{
    detail_clear();
    const struct option_row *r = option_find(option);
    int rc = check(r, option, FMQ_OPT_SET);
    if (rc)
        return rc;
    if (is_bytes(r)) {
        if (r->home == HOME_PATTERN && option == OPT_SUBSCRIBE)
            return -EINVAL;
        detail_set("option %s takes bytes, not a number", r->info.name);
        return -EINVAL;
    }
    if (value < r->info.min || value > r->info.max) {
        detail_set("option %s takes %" PRId64 " to %" PRId64, r->info.name, r->info.min,
                   r->info.max);
        return -EINVAL;
    }
    if (r->info.kind == FMQ_OPT_BOOL)
        value = value != 0;
    rc = zap_socket_prepare(s, option);
    if (rc)
        return rc;
    rc = enter_to_set(s, option);
    if (rc)
        return rc;
    switch (r->home) {
    case HOME_IGNORED:
    case HOME_FIELD:
        option_store(&s->net.pipes.opt, r, value);
        socket_reactor(s)->spin_us = s->net.pipes.opt.spin_us;
        if (option == OPT_SNDHWM || option == OPT_RCVHWM || option == OPT_SNDHWM_BYTES ||
            option == OPT_RCVHWM_BYTES)
            hwm_changed(s);
        break;
    case HOME_SOCKET:
        rc = set_special(s, option, value, NULL, 0);
        break;
    default:
        rc = s->net.pipes.ops->setopt
                 ? s->net.pipes.ops->setopt(&s->net.pipes, option, value, NULL, 0)
                 : -EINVAL;
        if (rc == -EINVAL)
            rc = not_of_type(s, r);
        reactor_notify(socket_reactor(s));
    }
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_set_bytes(fmq_socket *s, int option, const void *value, size_t len)
{
    detail_clear();
    const struct option_row *r = option_find(option);
    int rc = check(r, option, FMQ_OPT_SET);
    if (rc)
        return rc;
    if (!is_bytes(r)) {
        detail_set("option %s takes a number, not bytes", r->info.name);
        return -EINVAL;
    }
    if ((int64_t)len < r->info.min || (int64_t)len > r->info.max) {
        detail_set("option %s takes %" PRId64 " to %" PRId64 " bytes, not %zu", r->info.name,
                   r->info.min, r->info.max, len);
        return -EINVAL;
    }
    rc = zap_socket_prepare(s, option);
    if (rc)
        return rc;
    rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    if (r->home == HOME_PATTERN) {
        rc = s->net.pipes.ops->setopt
                 ? s->net.pipes.ops->setopt(&s->net.pipes, option, 0, value, len)
                 : -EINVAL;
        if (rc == -EINVAL)
            rc = not_of_type(s, r);
        reactor_notify(socket_reactor(s));
    } else {
        rc = set_special(s, option, 0, value, len);
    }
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_get_int(fmq_socket *s, int option, int64_t *value)
{
    detail_clear();
    const struct option_row *r = option_find(option);
    int rc = check(r, option, FMQ_OPT_GET);
    if (rc)
        return rc;
    if (is_bytes(r))
        return -EINVAL;
    if (option == OPT_EVENTS) {
        rc = fmq_events(s);
        *value = rc;
        return rc < 0 ? rc : 0;
    }
    rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    switch (r->home) {
    case HOME_IGNORED:
    case HOME_FIELD:
        *value = option_load(&s->net.pipes.opt, r);
        break;
    case HOME_SOCKET:
        rc = get_special(s, option, value);
        break;
    default:
        rc = s->net.pipes.ops->getopt ? s->net.pipes.ops->getopt(&s->net.pipes, option, value)
                                      : -EINVAL;
        if (rc == -EINVAL)
            rc = not_of_type(s, r);
    }
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_get_bytes(fmq_socket *s, int option, void *value, size_t *len)
{
    detail_clear();
    const struct option_row *r = option_find(option);
    int rc = check(r, option, FMQ_OPT_GET);
    if (rc)
        return rc;
    rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    const struct option_values *o = &s->net.pipes.opt;
    size_t size = 0;
    char text[OPTION_KEY_TEXT];
    const void *from = option_get_special(o, option, &size);
    if (!from)
        from = option_get_security(o, option, text, &size);
    if (option == OPT_LAST_ENDPOINT) {
        from = s->net.last_endpoint;
        size = strlen(s->net.last_endpoint);
    }
    if (!from)
        rc = -EINVAL;
    if (rc == 0 && size > *len)
        rc = -EINVAL;
    if (rc == 0) {
        if (size)
            memcpy(value, from, size);
        *len = size;
    }
    reactor_leave(socket_reactor(s));
    return rc;
}
