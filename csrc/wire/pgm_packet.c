/* SPDX-License-Identifier: MIT */
#include "wire/pgm_packet.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

/* In the header's byte of options. */
enum { HAS_OPTIONS = 0x01, NETWORK_SIGNIFICANT = 0x02, IS_PARITY = 0x80 };
/* Kinds of option; the last one has LAST_OPTION set. */
enum {
    OPT_LENGTH = 0x00,
    OPT_FRAGMENT = 0x01,
    OPT_NAK_LIST = 0x02,
    OPT_FIN = 0x0e,
    LAST_OPTION = 0x80,
};
enum { AFI_IPV4 = 1, AFI_IPV6 = 2 };
enum {
    AT_TYPE = 4,
    AT_OPTIONS = 5,
    AT_SUM = 6,
    AT_GSI = 8,
    AT_LEN = 14,
    AT_SQN = 16,
    AT_TRAIL = 20
};

bool pgm_tsi_is(const struct pgm_tsi *a, const struct pgm_tsi *b)
{
    return memcmp(a->gsi, b->gsi, sizeof a->gsi) == 0 && a->port == b->port;
}

bool pgm_nla_is(const struct pgm_nla *a, const struct pgm_nla *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & UINT32_MAX);
    sum = (sum >> 32) + (sum & UINT32_MAX);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

uint16_t pgm_sum(const uint8_t *bytes, size_t len)
{
    /* The sum does not depend on the order of bytes in a word, as long as the result is turned
     * back; so words of 32 bits are added as they lie in memory. */
    uint64_t sum = 0, more = 0;
    while (len >= 16) {
        uint64_t a, b;
        memcpy(&a, bytes, sizeof a);
        memcpy(&b, bytes + 8, sizeof b);
        sum += (a & UINT32_MAX) + (b & UINT32_MAX);
        more += (a >> 32) + (b >> 32);
        bytes += 16;
        len -= 16;
    }
    uint8_t rest[16] = {0};
    if (len) {
        uint64_t a, b;
        memcpy(rest, bytes, len);
        memcpy(&a, rest, sizeof a);
        memcpy(&b, rest + 8, sizeof b);
        sum += (a & UINT32_MAX) + (b & UINT32_MAX);
        more += (a >> 32) + (b >> 32);
    }
    uint16_t native = fold((uint64_t)fold(sum) + fold(more));
    uint8_t order[2];
    memcpy(order, &native, sizeof native);
    return get_be16(order);
}

/* What goes into the header: never 0, which says that there is no sum. */
static void put_sum(uint8_t *packet, size_t len)
{
    put_be16(packet + AT_SUM, 0);
    uint16_t sum = (uint16_t)~pgm_sum(packet, len);
    put_be16(packet + AT_SUM, sum ? sum : 0xffff);
}

/* ---- reading ---- */

static bool take_nla(struct cursor *c, struct pgm_nla *nla)
{
    const uint8_t *head, *at;
    if (!cursor_take(c, 4, &head))
        return false;
    uint16_t afi = get_be16(head);
    if (afi != AFI_IPV4 && afi != AFI_IPV6)
        return false;
    nla->len = afi == AFI_IPV4 ? 4 : 16;
    if (!cursor_take(c, nla->len, &at))
        return false;
    memcpy(nla->at, at, nla->len);
    return true;
}

static bool read_option(uint8_t type, const uint8_t *body, size_t len, struct pgm_packet *out)
{
    switch (type) {
    case OPT_FRAGMENT:
        if (len != 14)
            return false;
        out->fragment = true;
        out->first = get_be32(body + 6) == 0;
        return true;
    case OPT_NAK_LIST:
        if (len < 2 || (len - 2) % 4 || (len - 2) / 4 > PGM_SEQUENCES_MAX - 1)
            return false;
        out->more_len = (unsigned)((len - 2) / 4);
        for (unsigned i = 0; i < out->more_len; i++)
            out->more[i] = get_be32(body + 2 + (size_t)i * 4);
        return true;
    case OPT_FIN:
        out->fin = true;
        return true;
    default:
        return true;
    }
}

static bool read_options(struct cursor *c, struct pgm_packet *out)
{
    const uint8_t *head;
    if (!cursor_take(c, 4, &head) || head[0] != OPT_LENGTH || head[1] != 4)
        return false;
    size_t total = get_be16(head + 2);
    const uint8_t *at;
    if (total < 4 || !cursor_take(c, total - 4, &at))
        return false;
    struct cursor in = {at, total - 4};
    for (;;) {
        const uint8_t *body;
        if (!cursor_take(&in, 2, &head) || head[1] < 4 || !cursor_take(&in, head[1] - 2u, &body))
            return false;
        /* The body begins with two bytes that tell network elements what to do with it. */
        if (!read_option(head[0] & (uint8_t)~LAST_OPTION, body, head[1] - 2u, out))
            return false;
        if (head[0] & LAST_OPTION)
            return true;
    }
}

static bool read_data(struct cursor *c, struct pgm_packet *out)
{
    return cursor_be32(c, &out->sqn) && cursor_be32(c, &out->trail);
}

static bool read_body(struct cursor *c, struct pgm_packet *out)
{
    switch (out->type) {
    case PGM_SPM:
        return cursor_be32(c, &out->sqn) && cursor_be32(c, &out->trail) &&
               cursor_be32(c, &out->lead) && take_nla(c, &out->nla);
    case PGM_ODATA:
    case PGM_RDATA:
        return read_data(c, out);
    case PGM_NAK:
    case PGM_NCF:
        return cursor_be32(c, &out->sqn) && take_nla(c, &out->nla) && take_nla(c, &out->group);
    case PGM_SPMR:
        return true;
    default:
        return false;
    }
}

int pgm_read(const uint8_t *bytes, size_t len, struct pgm_packet *out)
{
    if (len < PGM_HEADER || len > UINT16_MAX)
        return -EBADMSG;
    out->type = bytes[AT_TYPE];
    out->parity = (bytes[AT_OPTIONS] & IS_PARITY) != 0;
    out->fragment = out->fin = false;
    out->first = true;
    out->more_len = 0;
    out->nla.len = out->group.len = 0;
    out->data = NULL;
    out->len = get_be16(bytes + AT_LEN);
    bool downstream = out->type == PGM_SPM || out->type == PGM_ODATA || out->type == PGM_RDATA ||
                      out->type == PGM_NCF;
    bool data = out->type == PGM_ODATA || out->type == PGM_RDATA;
    if (get_be16(bytes + AT_SUM) ? pgm_sum(bytes, len) != 0xffff : data)
        return -EBADMSG;
    /* Upstream the two ports have changed places. */
    memcpy(out->tsi.gsi, bytes + AT_GSI, sizeof out->tsi.gsi);
    out->tsi.port = get_be16(bytes + (downstream ? 0 : 2));
    out->port = get_be16(bytes + (downstream ? 2 : 0));
    struct cursor c = {bytes + PGM_HEADER, len - PGM_HEADER};
    if (!read_body(&c, out))
        return -EBADMSG;
    if ((bytes[AT_OPTIONS] & HAS_OPTIONS) && !read_options(&c, out))
        return -EBADMSG;
    if (!data)
        return out->len ? -EBADMSG : 0;
    if (c.left != out->len)
        return -EBADMSG;
    out->data = c.at;
    return 0;
}

/* ---- writing ---- */

static void put_header(uint8_t *to, uint8_t type, const struct pgm_tsi *tsi, uint16_t port,
                       uint16_t len)
{
    bool upstream = type == PGM_NAK || type == PGM_SPMR;
    put_be16(to, upstream ? port : tsi->port);
    put_be16(to + 2, upstream ? tsi->port : port);
    to[AT_TYPE] = type;
    to[AT_OPTIONS] = 0;
    memcpy(to + AT_GSI, tsi->gsi, sizeof tsi->gsi);
    put_be16(to + AT_LEN, len);
}

static uint8_t *put_nla(uint8_t *to, const struct pgm_nla *nla)
{
    put_be16(to, nla->len == 16 ? AFI_IPV6 : AFI_IPV4);
    put_be16(to + 2, 0);
    memcpy(to + 4, nla->at, nla->len);
    return to + 4 + nla->len;
}

static uint8_t *put_options_head(uint8_t *packet, uint8_t *to, size_t body)
{
    packet[AT_OPTIONS] |= HAS_OPTIONS;
    to[0] = OPT_LENGTH;
    to[1] = 4;
    put_be16(to + 2, (uint16_t)(4 + body));
    return to + 4;
}

static uint8_t *put_fin(uint8_t *packet, uint8_t *to)
{
    to = put_options_head(packet, to, 4);
    to[0] = OPT_FIN | LAST_OPTION;
    to[1] = 4;
    to[2] = to[3] = 0;
    return to + 4;
}

static uint8_t *put_list(uint8_t *packet, uint8_t *to, const struct pgm_packet *p)
{
    size_t body = 4 + (size_t)p->more_len * 4;
    to = put_options_head(packet, to, body);
    packet[AT_OPTIONS] |= NETWORK_SIGNIFICANT;
    to[0] = OPT_NAK_LIST | LAST_OPTION;
    to[1] = (uint8_t)body;
    to[2] = to[3] = 0;
    for (unsigned i = 0; i < p->more_len; i++)
        put_be32(to + 4 + (size_t)i * 4, p->more[i]);
    return to + body;
}

size_t pgm_write(const struct pgm_packet *p, uint8_t *to)
{
    put_header(to, p->type, &p->tsi, p->port, 0);
    uint8_t *at = to + PGM_HEADER;
    if (p->type == PGM_SPM) {
        put_be32(at, p->sqn);
        put_be32(at + 4, p->trail);
        put_be32(at + 8, p->lead);
        at = put_nla(at + 12, &p->nla);
        if (p->fin)
            at = put_fin(to, at);
    } else if (p->type == PGM_NAK || p->type == PGM_NCF) {
        put_be32(at, p->sqn);
        at = put_nla(at + 4, &p->nla);
        at = put_nla(at, &p->group);
        if (p->more_len)
            at = put_list(to, at, p);
    }
    put_sum(to, (size_t)(at - to));
    return (size_t)(at - to);
}

void pgm_write_data(uint8_t *to, const struct pgm_tsi *tsi, uint16_t port, uint32_t sqn,
                    uint32_t trail, uint16_t len)
{
    put_header(to, PGM_ODATA, tsi, port, len);
    put_be32(to + AT_SQN, sqn);
    put_be32(to + AT_TRAIL, trail);
    put_sum(to, PGM_DATA_HEADER + (size_t)len);
}

void pgm_make_rdata(uint8_t *packet, uint32_t trail)
{
    packet[AT_TYPE] = PGM_RDATA;
    put_be32(packet + AT_TRAIL, trail);
    put_sum(packet, PGM_DATA_HEADER + (size_t)get_be16(packet + AT_LEN));
}
