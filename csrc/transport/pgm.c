/* SPDX-License-Identifier: MIT */
/*
 * Reliable multicast: PUB and XPUB send, SUB and XSUB receive, whichever verb made the endpoint.
 * epgm:// is PGM in UDP, pgm:// an IP protocol of its own. The protocol is in wire/pgm_*.
 *
 * A source's descriptor is bound to the port alone and in the group: NAKs come to its address, and
 * to the group where several sources of a host share the port. A sink's is bound to the group, so
 * that it never takes what is sent to the host.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fastmq.h"
#include "net/endpoint.h"
#include "net/packets.h"
#include "os/datagram.h"
#include "transport/group.h"
#include "transport/pgm_sink.h"
#include "transport/pgm_source.h"
#include "transport/stream.h"

#define IP_PROTOCOL_PGM 113
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
/* Without RCVBUF: what comes in one burst has to fit, as nothing holds up the sender. */
#define RCVBUF_WANTED (4 << 20)
/* The option may ask for a smaller packet than anything fits into. */
#define TSDU_MIN 64

static bool carries(int type, bool bound)
{
    (void)bound;
    return type == FMQ_PUB || type == FMQ_XPUB || type == FMQ_SUB || type == FMQ_XSUB;
}

static int parse(struct address *a, const char *scheme, const char *rest, bool ipv6, char *detail)
{
    /* ";group:port" leaves the interface to the system, as "group:port" does. */
    int rc = group_parse(a, scheme, rest + (*rest == ';'), false, ipv6, detail);
    if (rc)
        return rc;
    if (a->count == 0 || !net_is_multicast(&a->at[0])) {
        snprintf(detail, 200,
                 "'%s://%.60s': '%.60s' is no multicast address: use %s://interface;group:port",
                 scheme, rest, a->host, scheme);
        return -EINVAL;
    }
    a->count = 1;
    return 0;
}

static int epgm_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    (void)bind;
    return parse(a, "epgm", rest, ipv6, detail);
}

static int pgm_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    (void)bind;
    return parse(a, "pgm", rest, ipv6, detail);
}

/* The address that packets to the group come from: the one that the program gave, or what the
 * system takes. */
static int find_own(const struct address *a, struct pgm_place *place)
{
    int family = place->group.ss.ss_family;
    if (a->has_src && net_resolve(a->src_host, 0, family == AF_INET6, true, &place->own, 1) == 1 &&
        place->own.ss.ss_family == family)
        return 0;
    struct net_addr to = place->group;
    net_addr_set_port(&to, 9); /* any, for a raw group has none */
    int fd = net_socket(family, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    int rc = net_multicast_send_by(fd, family, place->index, -1, true);
    if (rc == 0)
        rc = net_connect(fd, &to);
    if (rc >= 0)
        rc = net_local_addr(fd, &place->own);
    net_close(fd);
    return rc;
}

static int find_place(struct endpoint *ep, bool raw, struct pgm_place *place)
{
    const struct address *a = &ep->address;
    memset(place, 0, sizeof(*place));
    place->raw = raw;
    place->port = a->port;
    place->group = a->at[0];
    bool v6 = place->group.ss.ss_family == AF_INET6;
    place->overhead = (uint16_t)((v6 ? IPV6_HEADER : IPV4_HEADER) + (raw ? 0 : UDP_HEADER));
    if (raw)
        net_addr_set_port(&place->group, 0);
    int rc = group_interface(a, &place->index);
    if (rc == 0)
        rc = find_own(a, place);
    if (rc)
        return rc;
    pgm_nla_of(&place->group, &place->group_nla);
    pgm_nla_of(&place->own, &place->own_nla);
    int least = place->overhead + PGM_DATA_HEADER + TSDU_MIN;
    if (ep->set->pipes.opt.multicast_maxtpdu < least) {
        detail_set("MULTICAST_MAXTPDU must be at least %d for %s://", least, ep->transport->scheme);
        return -EINVAL;
    }
    return 0;
}

static int make(struct endpoint *ep, const struct pgm_place *place, bool source)
{
    const struct option_values *o = &ep->set->pipes.opt;
    int family = place->group.ss.ss_family;
    int fd = place->raw ? net_raw_socket(family, IP_PROTOCOL_PGM) : net_socket(family, SOCK_DGRAM);
    if (fd == -EPERM && place->raw)
        detail_set("pgm:// needs the capability CAP_NET_RAW, which this process has not: epgm:// "
                   "needs none");
    if (fd < 0)
        return fd;
    int rc = stream_apply(ep, fd, family);
    const struct net_datagram_opts opts = {
        .share = true,
        .segments = !source && !place->raw,
        .rcvbuf_wanted = !source && o->rcvbuf < 0 ? RCVBUF_WANTED : 0,
    };
    net_datagram_apply(fd, &opts);
    static const uint8_t up[] = {PGM_NAK, PGM_SPMR};
    if (source)
        net_datagram_filter(fd, family, place->raw, 4, up, 2);
    if (rc == 0)
        rc = net_multicast_send_by(fd, family, place->index, o->multicast_hops, o->multicast_loop);
    struct net_addr any[2];
    bool v6 = family == AF_INET6;
    (void)net_any_addr(place->raw ? 0 : place->port, v6, any);
    if (rc == 0)
        rc = net_datagram_bind(fd, source ? &any[0] : &place->group, true);
    if (rc == 0)
        rc = net_multicast_join(fd, &place->group, place->index);
    if (rc == 0)
        return fd;
    net_close(fd);
    return rc;
}

static int open_place(struct endpoint *ep, bool raw)
{
    int type = ep->set->pipes.type;
    bool source = type == FMQ_PUB || type == FMQ_XPUB;
    struct pgm_place place;
    int rc = find_place(ep, raw, &place);
    if (rc)
        return rc;
    int fd = make(ep, &place, source);
    if (fd < 0)
        return fd;
    char own[96], local[112], remote[112];
    struct net_addr at = place.own;
    net_addr_set_port(&at, place.port);
    net_addr_text(&at, own, sizeof(own));
    snprintf(local, sizeof(local), "%s://%s", ep->transport->scheme, own);
    at = place.group;
    net_addr_set_port(&at, place.port);
    net_addr_text(&at, own, sizeof(own));
    snprintf(remote, sizeof(remote), "%s://%s", ep->transport->scheme, own);
    const struct packets_names names = {ep->name, local, remote};
    rc = source ? pgm_source_open(ep, &place, fd, &names) : pgm_sink_open(ep, &place, fd, &names);
    if (rc)
        net_close(fd);
    return rc;
}

static int epgm_open(struct endpoint *ep, int which)
{
    (void)which;
    return open_place(ep, false);
}

static int pgm_open(struct endpoint *ep, int which)
{
    (void)which;
    return open_place(ep, true);
}

const struct transport_ops transport_epgm = {
    .scheme = "epgm",
    .parse = epgm_parse,
    .carries = carries,
    .open = epgm_open,
};

const struct transport_ops transport_pgm = {
    .scheme = "pgm",
    .parse = pgm_parse,
    .carries = carries,
    .open = pgm_open,
};
