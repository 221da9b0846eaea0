/* SPDX-License-Identifier: MIT */
#include "socket/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "base/z85.h"
#include "msg/meta.h"
#include "os/net.h"
#include "pipe/option_ids.h"
#include "reactor/notify.h"
#include "socket/socket.h"
#include "socket/zap.h"
#include "transport/inproc.h"
#include "wire/crypto.h"
#include "wire/peer_state.h"

enum home { HOME_FIELD, HOME_SOCKET, HOME_PATTERN, HOME_ABSENT };

struct row {
    struct fmq_option_info info;
    enum home home;
    int64_t fallback;
    size_t offset;
    size_t size;
};

#define KIND_INT FMQ_OPT_INT
#define KIND_INT64 FMQ_OPT_INT64
#define KIND_UINT64 FMQ_OPT_UINT64
#define KIND_BOOL FMQ_OPT_BOOL
#define KIND_BYTES FMQ_OPT_BYTES
#define KIND_STRING FMQ_OPT_STRING
#define KIND_FD FMQ_OPT_FD
#define ACCESS_G FMQ_OPT_GET
#define ACCESS_S FMQ_OPT_SET
#define ACCESS_GS (FMQ_OPT_GET | FMQ_OPT_SET)
#define PLACE_FIELD(field)                                                                         \
    offsetof(struct option_values, field), sizeof(((struct option_values *)0)->field)
#define PLACE_SOCKET(field) 0, 0
#define PLACE_PATTERN(field) 0, 0
#define PLACE_ABSENT(field) 0, 0

static const struct row rows[] = {
#define OPT(id, name, kind, access, min, max, def, home, field)                                    \
    {{id, #name, KIND_##kind, ACCESS_##access, min, max}, HOME_##home, def, PLACE_##home(field)},
#include "pipe/options.def"
#undef OPT
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const struct row *find(int id)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].info.id == id)
            return &rows[i];
    return NULL;
}

const struct fmq_option_info *fmq_option_at(int index)
{
    return index >= 0 && (size_t)index < ROW_COUNT ? &rows[index].info : NULL;
}

const struct fmq_option_info *fmq_option_find(int id)
{
    const struct row *r = find(id);
    return r ? &r->info : NULL;
}

static void store(struct option_values *o, const struct row *r, int64_t value)
{
    /* Atomic since timeouts are read without the lock. */
    if (r->size == sizeof(int))
        __atomic_store_n((int *)((char *)o + r->offset), (int)value, __ATOMIC_RELAXED);
    else
        *(int64_t *)((char *)o + r->offset) = value;
}

static int64_t load(const struct option_values *o, const struct row *r)
{
    if (r->size == sizeof(int))
        return *(const int *)((const char *)o + r->offset);
    return *(const int64_t *)((const char *)o + r->offset);
}

void options_init(struct option_values *o)
{
    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].home == HOME_FIELD)
            store(o, &rows[i], rows[i].fallback);
    const char *spin = getenv("FASTMQ_SPIN_US");
    if (spin && spin[0]) {
        int value = atoi(spin);
        if (value >= 0 && value <= 1000000)
            o->spin_us = value;
    }
}

void options_fini(struct option_values *o)
{
    mem_free(o->metadata.data);
    mem_free(o->hello_msg.data);
    mem_free(o->disconnect_msg.data);
    mem_free(o->hiccup_msg.data);
    mem_free(o->accept_filters);
    mem_free(o->ipc_pids);
    mem_free(o->ipc_uids);
    mem_free(o->ipc_gids);
    secret_wipe(o->plain_password, sizeof(o->plain_password));
    secret_wipe(o->curve_secret, sizeof(o->curve_secret));
}

/* ---- security ---- */

static int check_crypto(void)
{
    if (crypto_get())
        return 0;
    detail_set("CURVE needs libsodium, which comes with PyNaCl: pip install PyNaCl");
    return -ENOTSUP;
}

static void set_role(struct option_values *o, enum peer_mechanism mechanism, bool on)
{
    o->mechanism = on ? mechanism : PEER_MECH_NULL;
    o->as_server = on;
}

/* 32 bytes as they are, or 40 characters of Z85 with or without a NUL. */
static int set_key(struct option_values *o, const char *name, uint8_t *key, bool *has,
                   const void *value, size_t len)
{
    uint8_t raw[CRYPTO_KEY];
    int rc = check_crypto();
    if (rc)
        return rc;
    if (len == CRYPTO_KEY)
        memcpy(raw, value, CRYPTO_KEY);
    else if ((len != 40 && (len != 41 || ((const char *)value)[40] != 0)) ||
             z85_decode(raw, value, 40)) {
        secret_wipe(raw, sizeof(raw));
        detail_set("%s takes 32 bytes, or the 40 characters of their Z85 form", name);
        return -EINVAL;
    }
    memcpy(key, raw, CRYPTO_KEY);
    secret_wipe(raw, sizeof(raw));
    *has = true;
    o->mechanism = PEER_MECH_CURVE;
    return 0;
}

static void set_short(uint8_t *to, uint8_t *to_len, const void *value, size_t len)
{
    secret_wipe(to, *to_len);
    if (len)
        memcpy(to, value, len);
    *to_len = (uint8_t)len;
}

static int set_security(struct option_values *o, int id, int64_t num, const void *value, size_t len)
{
    int rc = 0;
    switch (id) {
    case OPT_PLAIN_SERVER:
        set_role(o, PEER_MECH_PLAIN, num);
        break;
    case OPT_PLAIN_USERNAME:
        set_short(o->plain_username, &o->plain_username_len, value, len);
        set_role(o, PEER_MECH_PLAIN, true);
        o->as_server = false;
        break;
    case OPT_PLAIN_PASSWORD:
        set_short(o->plain_password, &o->plain_password_len, value, len);
        set_role(o, PEER_MECH_PLAIN, true);
        o->as_server = false;
        break;
    case OPT_CURVE_SERVER:
        rc = check_crypto();
        if (rc == 0)
            set_role(o, PEER_MECH_CURVE, num);
        break;
    case OPT_CURVE_PUBLICKEY:
        rc = set_key(o, "CURVE_PUBLICKEY", o->curve_public, &o->has_curve_public, value, len);
        break;
    case OPT_CURVE_SECRETKEY:
        rc = set_key(o, "CURVE_SECRETKEY", o->curve_secret, &o->has_curve_secret, value, len);
        break;
    case OPT_CURVE_SERVERKEY:
        rc = set_key(o, "CURVE_SERVERKEY", o->curve_server, &o->has_curve_server, value, len);
        if (rc == 0)
            o->as_server = false;
        break;
    case OPT_ZAP_DOMAIN:
        set_short(o->zap_domain, &o->zap_domain_len, value, len);
        break;
    default:
        rc = -EINVAL;
    }
    return rc;
}

/* Keys read as Z85, written to `text`. NULL: not one of these. */
static const void *get_security(const struct option_values *o, int id, char text[40], size_t *len)
{
    const uint8_t *key = NULL;
    bool has = false;
    switch (id) {
    case OPT_PLAIN_USERNAME:
        *len = o->plain_username_len;
        return o->plain_username;
    case OPT_PLAIN_PASSWORD:
        *len = o->plain_password_len;
        return o->plain_password;
    case OPT_ZAP_DOMAIN:
        *len = o->zap_domain_len;
        return o->zap_domain;
    case OPT_CURVE_PUBLICKEY:
        key = o->curve_public;
        has = o->has_curve_public;
        break;
    case OPT_CURVE_SECRETKEY:
        key = o->curve_secret;
        has = o->has_curve_secret;
        break;
    case OPT_CURVE_SERVERKEY:
        key = o->curve_server;
        has = o->has_curve_server;
        break;
    default:
        return NULL;
    }
    z85_encode(text, key, CRYPTO_KEY);
    *len = has ? 40 : 0;
    return text;
}

/* ---- the socket's own ---- */

/* Tried out on a descriptor, so that a name that the system does not have is refused here and not
 * in every attempt to connect. */
static int set_congestion(struct option_values *o, const void *value, size_t len)
{
    char name[sizeof(o->tcp_congestion)] = "";
    memcpy(name, value, len);
    if (name[0]) {
        int fd = net_socket(AF_INET, SOCK_STREAM);
        if (fd < 0)
            return fd;
        int rc = net_congestion(fd, name);
        net_close(fd);
        if (rc) {
            detail_set("this system offers no congestion control '%s'", name);
            return -EINVAL;
        }
    }
    memcpy(o->tcp_congestion, name, sizeof(name));
    return 0;
}

static int set_blob(struct blob_opt *b, const void *value, size_t len)
{
    uint8_t *copy = NULL;
    if (len) {
        copy = mem_alloc(len);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, value, len);
    }
    mem_free(b->data);
    b->data = copy;
    b->len = len;
    return 0;
}

static int append_id(uint32_t **list, size_t *count, int64_t value)
{
    uint32_t *bigger = mem_realloc(*list, (*count + 1) * sizeof(uint32_t));
    if (!bigger)
        return -ENOMEM;
    bigger[(*count)++] = (uint32_t)value;
    *list = bigger;
    return 0;
}

static int add_accept_filter(struct option_values *o, const char *text, size_t len)
{
    if (len == 0) {
        mem_free(o->accept_filters);
        o->accept_filters = NULL;
        o->accept_filter_count = 0;
        return 0;
    }
    char host[128];
    const char *slash = memchr(text, '/', len);
    size_t host_len = slash ? (size_t)(slash - text) : len;
    struct cidr c = {.bits = 128};
    if (host_len >= sizeof(host))
        goto bad;
    memcpy(host, text, host_len);
    host[host_len] = 0;
    bool bracketed = host_len > 2 && host[0] == '[' && host[host_len - 1] == ']';
    if (bracketed)
        host[host_len - 1] = 0;
    if (net_resolve(host + bracketed, 0, true, true, &c.addr, 1) != 1)
        goto bad;
    unsigned most = c.addr.ss.ss_family == AF_INET ? 32 : 128;
    c.bits = most;
    if (slash) {
        size_t digits = len - host_len - 1;
        if (digits == 0 || digits > 3)
            goto bad;
        c.bits = 0;
        for (size_t i = 0; i < digits; i++) {
            char d = slash[1 + i];
            if (d < '0' || d > '9')
                goto bad;
            c.bits = c.bits * 10 + (unsigned)(d - '0');
        }
        if (c.bits > most)
            goto bad;
    }
    struct cidr *bigger =
        mem_realloc(o->accept_filters, (o->accept_filter_count + 1) * sizeof(struct cidr));
    if (!bigger)
        return -ENOMEM;
    bigger[o->accept_filter_count++] = c;
    o->accept_filters = bigger;
    return 0;
bad:
    detail_set("TCP_ACCEPT_FILTER takes address/bits, as in 10.0.0.0/8, not '%.*s'",
               (int)(len < 100 ? len : 100), text);
    return -EINVAL;
}

/* "X-key:value", appended to what READY will say. */
static int add_metadata(struct option_values *o, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t name_len = colon ? (size_t)(colon - text) : 0;
    if (!colon || name_len < 3 || name_len > 255 || (text[0] != 'X' && text[0] != 'x') ||
        text[1] != '-') {
        detail_set("METADATA takes 'X-name:value' with a name of 3 to 255 bytes");
        return -EINVAL;
    }
    size_t value_len = len - name_len - 1;
    size_t need = 1 + name_len + 4 + value_len;
    uint8_t *bigger = mem_realloc(o->metadata.data, o->metadata.len + need);
    if (!bigger)
        return -ENOMEM;
    uint8_t *at = bigger + o->metadata.len;
    *at++ = (uint8_t)name_len;
    memcpy(at, text, name_len);
    at += name_len;
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(value_len >> shift);
    memcpy(at, colon + 1, value_len);
    o->metadata.data = bigger;
    o->metadata.len += need;
    return 0;
}

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
    case OPT_ROUTING_ID:
        memcpy(o->routing_id, value, len);
        o->routing_id_len = (uint8_t)len;
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
    case OPT_IPV4ONLY:
        o->ipv6 = !num;
        return 0;
    case OPT_TCP_ACCEPT_FILTER:
        return add_accept_filter(o, value, len);
    case OPT_IPC_FILTER_PID:
        return append_id(&o->ipc_pids, &o->ipc_pid_count, num);
    case OPT_IPC_FILTER_UID:
        return append_id(&o->ipc_uids, &o->ipc_uid_count, num);
    case OPT_IPC_FILTER_GID:
        return append_id(&o->ipc_gids, &o->ipc_gid_count, num);
    case OPT_BINDTODEVICE:
        memset(o->bind_to_device, 0, sizeof(o->bind_to_device));
        if (len)
            memcpy(o->bind_to_device, value, len);
        return 0;
    case OPT_TCP_CONGESTION:
        return set_congestion(o, value, len);
    case OPT_METADATA:
        return add_metadata(o, value, len);
    case OPT_HELLO_MSG:
        return set_blob(&o->hello_msg, value, len);
    case OPT_DISCONNECT_MSG:
        return set_blob(&o->disconnect_msg, value, len);
    case OPT_HICCUP_MSG:
        return set_blob(&o->hiccup_msg, value, len);
    default:
        return set_security(o, id, num, value, len);
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
    case OPT_THREAD_SAFE: /* as libzmq says for these types: programs infer more than safety from it
                           */
        *value = 0;
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- entries ---- */

static int check(const struct row *r, int id, unsigned access)
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

static bool is_bytes(const struct row *r)
{
    return r->info.kind == FMQ_OPT_BYTES || r->info.kind == FMQ_OPT_STRING;
}

static int not_of_type(struct fmq_socket *s, const struct row *r)
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
    const struct row *r = find(option);
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
    rc = zap_prepare(s, option);
    if (rc)
        return rc;
    rc = enter_to_set(s, option);
    if (rc)
        return rc;
    switch (r->home) {
    case HOME_FIELD:
        store(&s->net.pipes.opt, r, value);
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
    const struct row *r = find(option);
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
    rc = zap_prepare(s, option);
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
    const struct row *r = find(option);
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
    case HOME_FIELD:
        *value = load(&s->net.pipes.opt, r);
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
    const struct row *r = find(option);
    int rc = check(r, option, FMQ_OPT_GET);
    if (rc)
        return rc;
    rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    const void *from = NULL;
    size_t size = 0;
    char text[40];
    switch (option) {
    case OPT_ROUTING_ID:
        from = s->net.pipes.opt.routing_id;
        size = s->net.pipes.opt.routing_id_len;
        break;
    case OPT_LAST_ENDPOINT:
        from = s->net.last_endpoint;
        size = strlen(s->net.last_endpoint);
        break;
    case OPT_BINDTODEVICE:
        from = s->net.pipes.opt.bind_to_device;
        size = strlen(s->net.pipes.opt.bind_to_device);
        break;
    case OPT_TCP_CONGESTION:
        from = s->net.pipes.opt.tcp_congestion;
        size = strlen(s->net.pipes.opt.tcp_congestion);
        break;
    default:
        from = get_security(&s->net.pipes.opt, option, text, &size);
        rc = from ? 0 : -EINVAL;
    }
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

int fmq_sndtimeo(const fmq_socket *s)
{
    return __atomic_load_n(&s->net.pipes.opt.sndtimeo, __ATOMIC_RELAXED);
}

int fmq_rcvtimeo(const fmq_socket *s)
{
    return __atomic_load_n(&s->net.pipes.opt.rcvtimeo, __ATOMIC_RELAXED);
}
