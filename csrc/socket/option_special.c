/* SPDX-License-Identifier: MIT */
#include "socket/option_special.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "os/net.h"
#include "pipe/option_ids.h"
#include "pipe/option_values.h"
#include "socket/option_security.h"

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

int option_set_special(struct option_values *o, int id, int64_t num, const void *value, size_t len)
{
    switch (id) {
    case OPT_ROUTING_ID:
        memcpy(o->routing_id, value, len);
        o->routing_id_len = (uint8_t)len;
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
        return option_set_security(o, id, num, value, len);
    }
}

const void *option_get_special(const struct option_values *o, int id, size_t *len)
{
    switch (id) {
    case OPT_ROUTING_ID:
        *len = o->routing_id_len;
        return o->routing_id;
    case OPT_BINDTODEVICE:
        *len = strlen(o->bind_to_device);
        return o->bind_to_device;
    case OPT_TCP_CONGESTION:
        *len = strlen(o->tcp_congestion);
        return o->tcp_congestion;
    default:
        return NULL;
    }
}
