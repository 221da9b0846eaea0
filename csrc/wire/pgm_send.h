/* SPDX-License-Identifier: MIT */
/*
 * The source's half of PGM: the transmit window, its rate, the SPMs that tell receivers of it, and
 * the repairs that they ask for. No I/O: time is an argument (ns, monotonic), packets go in by
 * pgm_send_recv and come out of pgm_send_next.
 *
 * What a receiver can cause is bounded: a sequence number is confirmed and sent again at most once
 * in PGM_REPAIR_IVL, repairs take turns with new data under the same rate, and SPMs that are
 * asked for are PGM_SPM_MIN_IVL apart.
 */
#ifndef WIRE_PGM_SEND_H
#define WIRE_PGM_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/pgm_packet.h"

/* So many packets that pgm_send_next gave stay as they are while others follow: they can be sent
 * together. */
#define PGM_SEND_BATCH 64u
#define PGM_REPAIR_IVL UINT64_C(50000000)
#define PGM_SPM_MIN_IVL UINT64_C(100000000)

struct pgm_send_config {
    struct pgm_tsi tsi;
    uint16_t port;             /* data-destination port */
    struct pgm_nla nla, group; /* of the source, where NAKs go to, and of its group */
    uint32_t first;            /* the first sequence number */
    uint64_t rate;             /* bytes a second, of packets with `overhead` */
    uint32_t window;           /* packets that can be repaired, >= 1 */
    uint16_t tsdu;             /* most data of a packet */
    uint16_t overhead;         /* bytes of each packet below PGM */
    uint64_t keep; /* ns: what is older may be given up though the window has room; 0: never */
};

struct pgm_send_slot {
    uint8_t *packet;              /* PGM_DATA_HEADER + tsdu bytes; NULL: none yet */
    uint16_t len;                 /* of the packet */
    bool waiting;                 /* in the queue of repairs */
    uint64_t sent;                /* when it went out, first or again */
    uint64_t confirmed, repaired; /* when last; 0: never */
};

struct pgm_send {
    struct pgm_send_config config;
    struct pgm_send_slot *slots;
    uint32_t cap;    /* a power of two */
    uint32_t trail;  /* the oldest in the window */
    uint32_t unsent; /* the oldest that has not gone out */
    uint32_t end;    /* behind the newest */

    uint32_t *repairs; /* sequence numbers, oldest first: a ring of `cap` */
    uint32_t repair_head, repair_len;
    bool repaired_last; /* whose turn it is when both wait */

    struct pgm_packet ncf; /* being collected: more_len + 1 of ncf_len */
    unsigned ncf_len;

    double tokens; /* bytes that may go now */
    uint64_t filled;

    uint32_t spm_sqn;
    uint64_t spm_at; /* when the next goes */
    uint64_t spm_last;
    unsigned beat; /* which interval of the heartbeat follows */
    bool fin;      /* the session ends: SPMs say so */

    uint8_t control[PGM_CONTROL_MAX];

    uint64_t data_packets, repair_packets, naks; /* for statistics: sent, sent again, asked for */
};

enum pgm_class { PGM_OUT_NONE, PGM_OUT_CONTROL, PGM_OUT_REPAIR, PGM_OUT_DATA };

struct pgm_out {
    const uint8_t *packet; /* a control packet: valid until the next call; see PGM_SEND_BATCH */
    size_t len;
    enum pgm_class class;
};

/* Begins a session: the first SPM is due at once. 0 or -ENOMEM. */
int pgm_send_init(struct pgm_send *s, const struct pgm_send_config *config, uint64_t now);
void pgm_send_fini(struct pgm_send *s);

/* Whether more data are wanted: the rate allows it, and all that was put has gone out. */
bool pgm_send_wants(struct pgm_send *s, uint64_t now);
/* Room for the data of a new packet, config.tsdu bytes; NULL: no memory. */
uint8_t *pgm_send_room(struct pgm_send *s);
/* Its first `len` bytes are a packet now. */
void pgm_send_put(struct pgm_send *s, uint16_t len);

/* What is to be sent next, by multicast to the group; class PGM_OUT_NONE: nothing now. The same
 * until pgm_send_done says that it was sent. */
struct pgm_out pgm_send_next(struct pgm_send *s, uint64_t now);
void pgm_send_done(struct pgm_send *s, const struct pgm_out *out, uint64_t now);
/* When to ask pgm_send_next again though nothing has happened; UINT64_MAX: no need. `data`: there
 * are more data than pgm_send_wants. */
uint64_t pgm_send_deadline(const struct pgm_send *s, bool data, uint64_t now);
/* Data that were put and have not gone out, or repairs that are owed. */
bool pgm_send_busy(const struct pgm_send *s);

/* A packet of a receiver. False: it was none for this session, or meant nothing. */
bool pgm_send_recv(struct pgm_send *s, const struct pgm_packet *p, uint64_t now);
/* The session ends: the next SPM says so, and is due at once. */
void pgm_send_end(struct pgm_send *s, uint64_t now);

#endif
