/* SPDX-License-Identifier: MIT */
/*
 * Datagrams of RADIO as anybody may send them, and the addresses in front of DGRAM's messages.
 * Input: flags, then the bytes. Flags: 01 the bytes are an address, else a datagram; 02 behind
 * udp:// for bind, 04 for connect, with 08 IPv6 is on.
 */
#include <errno.h>

#include "base/alloc.h"
#include "fuzz.h"
#include "os/datagram.h"
#include "os/net.h"
#include "transport/group.h"
#include "wire/datagram.h"

#define DETAIL_SIZE 200

static void parse_datagram(const uint8_t *data, size_t size)
{
    struct datagram d;
    if (!datagram_parse(data, size, &d)) {
        CHECK(size == 0 || data[0] >= size);
        return;
    }
    CHECK(d.group_len <= DATAGRAM_GROUP_MAX);
    CHECK_EQ(datagram_size(d.group_len, d.body_len), size);
    CHECK(d.group == data + 1 && d.body == d.group + d.group_len);
    /* All of it may be read. */
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < d.group_len; i++)
        sum = (uint8_t)(sum + d.group[i]);
    for (size_t i = 0; i < d.body_len; i++)
        sum = (uint8_t)(sum + d.body[i]);
}

static void parse_address(const char *text, size_t size)
{
    struct net_addr a, again;
    char out[80];
    int rc = net_addr_parse(text, size, &a);
    if (rc) {
        CHECK_EQ(rc, -EINVAL);
        return;
    }
    CHECK(a.len > 0 && a.len <= sizeof(a.ss));
    net_addr_text(&a, out, sizeof(out));
    CHECK(memchr(out, 0, sizeof(out)));
    CHECK_EQ(net_addr_parse(out, strlen(out) + 1, &again), 0);
    CHECK(a.len == again.len && memcmp(&a.ss, &again.ss, a.len) == 0);
}

static void parse_endpoint(const char *text, bool bind, bool ipv6)
{
    struct address *a = malloc(sizeof(*a));
    char *detail = malloc(DETAIL_SIZE);
    memset(a, 0xa5, sizeof(*a));
    detail[0] = 0;
    int rc = group_parse(a, "udp", text, bind, ipv6, detail);
    CHECK(memchr(detail, 0, DETAIL_SIZE));
    if (rc) {
        CHECK_EQ(rc, -EINVAL);
        CHECK(detail[0]);
    } else {
        CHECK(memchr(a->host, 0, sizeof(a->host)) && a->host[0]);
        CHECK(memchr(a->src_host, 0, sizeof(a->src_host)));
        CHECK(a->count >= 0 && a->count <= ADDRESS_MAX_CANDIDATES);
        CHECK(a->port || bind);
        CHECK(!a->has_src || (a->count && net_is_multicast(&a->at[0])));
    }
    free(detail);
    free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned flags = input_u8(&in);
    /* Exactly as large as it is, so that a read past the end is seen. */
    uint8_t *copy = malloc(in.left ? in.left : 1);
    char *text = malloc(in.left + 1);
    if (in.left) {
        memcpy(copy, in.at, in.left);
        memcpy(text, in.at, in.left);
    }
    text[in.left] = 0;
    if (flags & 6)
        parse_endpoint(text, flags & 2, flags & 8);
    else if (flags & 1)
        parse_address((const char *)copy, in.left);
    else
        parse_datagram(copy, in.left);
    free(text);
    free(copy);
    return 0;
}
