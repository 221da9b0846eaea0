/* SPDX-License-Identifier: MIT */
/*
 * The packets of PGM (RFC 3208): how they are read and how they are written. Nothing is kept here.
 * Packets with parity bits (forward error correction) are read as such, and nobody makes any.
 */
#ifndef WIRE_PGM_PACKET_H
#define WIRE_PGM_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pgm_type {
    PGM_SPM = 0x00,   /* source path message: the state of the transmit window */
    PGM_ODATA = 0x04, /* data, the first time */
    PGM_RDATA = 0x05, /* data, sent again */
    PGM_NAK = 0x08,   /* a receiver misses data */
    PGM_NCF = 0x0a,   /* the source has heard the NAK */
    PGM_SPMR = 0x0c,  /* a receiver asks for an SPM */
};

#define PGM_HEADER 16         /* what every packet begins with */
#define PGM_DATA_HEADER 24    /* ... and where the data of ODATA and RDATA without options begin */
#define PGM_TSDU_MAX 60000    /* most data of a packet that is made here */
#define PGM_SEQUENCES_MAX 63u /* of one NAK or NCF: its own and 62 in OPT_NAK_LIST */
#define PGM_CONTROL_MAX 332   /* the longest packet without data that is made here */

/* The transport session identifier: one publisher's stream. */
struct pgm_tsi {
    uint8_t gsi[6];
    uint16_t port; /* data-source port */
};

/* A network layer address as PGM writes it. */
struct pgm_nla {
    uint8_t len; /* 4: IPv4, 16: IPv6, 0: none */
    uint8_t at[16];
};

struct pgm_packet {
    uint8_t type;
    bool parity;
    bool fragment; /* OPT_FRAGMENT: the data are part of a longer unit ... */
    bool first;    /* ... and its beginning; true of what is no fragment */
    bool fin;      /* OPT_FIN: the session ends */
    struct pgm_tsi tsi;
    uint16_t port; /* data-destination port */
    uint32_t sqn;  /* SPM: its own count; ODATA, RDATA: of the data; NAK, NCF: the first missed */
    uint32_t trail, lead;      /* SPM: both; ODATA, RDATA: trail */
    struct pgm_nla nla, group; /* SPM: the source's path; NAK, NCF: source and group */
    const uint8_t *data;       /* ODATA, RDATA; in the packet */
    uint16_t len;
    uint32_t more[PGM_SEQUENCES_MAX - 1]; /* NAK, NCF: OPT_NAK_LIST */
    unsigned more_len;
};

/* Whether a comes before b, in the circle of sequence numbers. */
static inline bool pgm_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

bool pgm_tsi_is(const struct pgm_tsi *a, const struct pgm_tsi *b);
bool pgm_nla_is(const struct pgm_nla *a, const struct pgm_nla *b);

/* 0, or -EBADMSG: no packet of a known type, damaged, or with lengths that do not fit. `out` is
 * valid for as long as the bytes are. */
int pgm_read(const uint8_t *bytes, size_t len, struct pgm_packet *out);

/* Writes p, without data, to `to` (PGM_CONTROL_MAX bytes); returns its length. For SPM, NAK, NCF
 * and SPMR. */
size_t pgm_write(const struct pgm_packet *p, uint8_t *to);

/* Writes header and checksum of an ODATA in front of `len` bytes of data, which are at
 * to + PGM_DATA_HEADER. */
void pgm_write_data(uint8_t *to, const struct pgm_tsi *tsi, uint16_t port, uint32_t sqn,
                    uint32_t trail, uint16_t len);
/* Makes an RDATA of it, or an RDATA with another trail. */
void pgm_make_rdata(uint8_t *packet, uint32_t trail);

/* The one's complement sum of RFC 1071 over `len` bytes, folded and not inverted. */
uint16_t pgm_sum(const uint8_t *bytes, size_t len);

#endif
