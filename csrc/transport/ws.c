/* SPDX-License-Identifier: MIT */
/* ws://host:port/path: ZWS 2.0 (RFC 45) over tcp. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fastmq.h"
#include "net/security.h"
#include "transport/stream.h"
#include "transport/ws_stream.h"
#include "wire/peer_state.h"
#include "wire/ws_upgrade.h"

#define DETAIL_SIZE 200
/* What is added to a limit of bytes for the wrapping of encrypted messages, and a byte of flags. */
#define WRAPPING 64

static int ws_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    const char *slash = strchr(rest, '/');
    const char *path = slash ? slash : "/";
    size_t len = slash ? (size_t)(slash - rest) : strlen(rest);
    char place[400];
    if (!ws_path_is_valid(path)) {
        memset(a, 0, sizeof(*a));
        snprintf(detail, DETAIL_SIZE,
                 "'ws://%.80s': the path must be up to %d characters of ASCII, without spaces and "
                 "without #",
                 rest, WS_PATH_MAX);
        return -EINVAL;
    }
    if (len >= sizeof(place)) {
        memset(a, 0, sizeof(*a));
        snprintf(detail, DETAIL_SIZE, "'ws://%.100s' has too long a host", rest);
        return -EINVAL;
    }
    memcpy(place, rest, len);
    place[len] = 0;
    int rc = tcp_parse_as(a, "ws", place, bind, ipv6, detail);
    if (rc == 0)
        snprintf(a->path, sizeof(a->path), "%s", path);
    return rc;
}

static unsigned offers_of(const struct security *sec)
{
    struct peer_security how;
    security_of_peer(sec, &how);
    switch (how.mechanism) {
    case PEER_MECH_PLAIN:
        return WS_ZWS_PLAIN;
    case PEER_MECH_CURVE:
        return WS_ZWS_CURVE;
    default:
        /* An authenticator is asked by mechanisms only. */
        return how.asks ? WS_ZWS_NULL : WS_ZWS_NULL | WS_PLAIN_ZWS;
    }
}

static int ws_stream(struct endpoint *ep, int fd, struct stream **out)
{
    const struct security *sec = ep->security;
    char host[300];
    bool v6 = strchr(ep->address.host, ':') != NULL;
    size_t most = sec->max_msg_size < 0 || (uint64_t)sec->max_msg_size > SIZE_MAX / 2
                      ? SIZE_MAX / 2
                      : (size_t)sec->max_msg_size;
    if (most < PEER_HANDSHAKE_MAX)
        most = PEER_HANDSHAKE_MAX;
    snprintf(host, sizeof(host), "%s%s%s:%u", v6 ? "[" : "", ep->address.host, v6 ? "]" : "",
             (unsigned)ep->address.port);
    struct ws_terms terms = {
        .host = host,
        .path = ep->address.path,
        .offers = offers_of(sec),
        .max_gathered = most + WRAPPING,
        .max_before = PEER_HANDSHAKE_MAX + WRAPPING,
    };
    return ws_stream_new(out, fd, !ep->bound, &terms);
}

/* A STREAM has nothing that could stand in a frame. */
static bool ws_carries(int type, bool bound)
{
    (void)bound;
    return type != FMQ_STREAM && type != FMQ_DGRAM;
}

static void name_of(const struct net_addr *a, char *buf, size_t size)
{
    char text[96];
    net_addr_text(a, text, sizeof(text));
    snprintf(buf, size, "ws://%s", text);
}

static int ws_local_name(int fd, struct net_addr *own, char *buf, size_t size)
{
    int rc = net_local_addr(fd, own);
    if (rc)
        snprintf(buf, size, "ws://");
    else
        name_of(own, buf, size);
    return rc;
}

const struct transport_ops transport_ws = {
    .scheme = "ws",
    .parse = ws_parse,
    .carries = ws_carries,
    .listen = tcp_listen,
    .connect = tcp_connect,
    .accepted = tcp_accepted,
    .stream = ws_stream,
    .local_name = ws_local_name,
    .peer_name = name_of,
    .peer_address = tcp_peer_address,
};
