/* SPDX-License-Identifier: MIT */
#include "transport/group.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "os/datagram.h"

#define DETAIL_SIZE 200

#define SAY(detail, ...) snprintf(detail, DETAIL_SIZE, __VA_ARGS__)

static int parse_port(const char *digits, bool bind, uint16_t *port)
{
    if (bind && strcmp(digits, "*") == 0) {
        *port = 0;
        return 0;
    }
    size_t len = strlen(digits);
    if (len == 0 || len > 5 || strspn(digits, "0123456789") != len)
        return -EINVAL;
    unsigned value = 0;
    for (; *digits; digits++)
        value = value * 10 + (unsigned)(*digits - '0');
    if (value > 65535 || (value == 0 && !bind))
        return -EINVAL;
    *port = (uint16_t)value;
    return 0;
}

/* A text that could be a host or an interface. */
static bool may_be_name(const char *text)
{
    if (*text == '-')
        return false;
    for (; *text; text++) {
        char c = *text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr(".-_:%@*", c))
            return false;
    }
    return true;
}

int group_parse(struct address *a, const char *scheme, const char *rest, bool bind, bool ipv6,
                char *detail)
{
    memset(a, 0, sizeof(*a));
    const char *target = rest, *semi = strchr(rest, ';');
    if (semi) {
        size_t len = (size_t)(semi - rest);
        if (len >= 2 && rest[0] == '[' && rest[len - 1] == ']') {
            rest++;
            len -= 2;
        }
        if (len == 0 || len >= sizeof(a->src_host)) {
            SAY(detail, "'%s://%.100s': no interface can be called so", scheme, rest);
            return -EINVAL;
        }
        memcpy(a->src_host, rest, len);
        a->has_src = true;
        target = semi + 1;
    }
    const char *colon = strrchr(target, ':');
    if (!colon) {
        SAY(detail, "'%s://%.100s' has no port: use %s://host:port or %s://interface;group:port",
            scheme, rest, scheme, scheme);
        return -EINVAL;
    }
    if (parse_port(colon + 1, bind, &a->port)) {
        SAY(detail, "'%s://%.100s': the port must be a number from %d to 65535%s", scheme, rest,
            !bind, bind ? " or *" : "");
        return -EINVAL;
    }
    size_t len = (size_t)(colon - target);
    if (len >= 2 && target[0] == '[' && target[len - 1] == ']') {
        target++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(a->host)) {
        SAY(detail, "'%s://%.100s' has %s host", scheme, rest, len ? "too long a" : "no");
        return -EINVAL;
    }
    memcpy(a->host, target, len);
    a->host[len] = 0;
    if (!may_be_name(a->host) || (strchr(a->host, '*') && strcmp(a->host, "*") != 0)) {
        SAY(detail, "'%s://%.100s': '%.60s' is no host name or address", scheme, rest, a->host);
        return -EINVAL;
    }
    bool any = strcmp(a->host, "*") == 0;
    if (any && !bind) {
        SAY(detail, "'%s://%.100s': connect needs a host, not *", scheme, rest);
        return -EINVAL;
    }
    int n = any ? 0 : net_resolve(a->host, a->port, ipv6, true, a->at, ADDRESS_MAX_CANDIDATES);
    a->count = n > 0 ? n : 0;
    if (n <= 0 && !ipv6 && strchr(a->host, ':')) {
        SAY(detail, "'%s://%.100s': an IPv6 address needs the option IPV6", scheme, rest);
        return -EINVAL;
    }
    if (a->has_src && (a->count == 0 || !net_is_multicast(&a->at[0]))) {
        SAY(detail, "'%s://%.100s': behind an interface stands a multicast address", scheme, rest);
        return -EINVAL;
    }
    return 0;
}

int group_interface(const struct address *a, unsigned *index)
{
    *index = 0;
    if (!a->has_src || strcmp(a->src_host, "*") == 0)
        return 0;
    int rc = net_interface_index(a->src_host, index);
    if (rc)
        detail_set("'%.60s' is neither an interface of this host nor the address of one",
                   a->src_host);
    return rc;
}

int group_local(struct address *a, bool ipv6)
{
    if (strcmp(a->host, "*") == 0) {
        a->count = net_any_addr(a->port, ipv6, a->at);
        return 0;
    }
    a->count = 1;
    if (net_interface_addr(a->host, a->port, ipv6, &a->at[0]) == 0 ||
        net_resolve(a->host, a->port, ipv6, false, a->at, 1) == 1)
        return 0;
    a->count = 0;
    detail_set("'%.100s' is neither an address of this host nor an interface", a->host);
    return -ENODEV;
}
