/* SPDX-License-Identifier: MIT */
/*
 * The receiver's half of PGM: for each source (TSI) a receive window that puts packets in order,
 * asks for those that are missing, and gives up what cannot be had any more. No I/O: time is an
 * argument (ns, monotonic), packets go in by pgm_recv_packet, what is to be sent comes out of
 * pgm_recv_out, and data in order out of pgm_recv_next.
 *
 * A missing packet waits a random time for a NAK of another receiver (back-off), then is asked for;
 * waits for the source to confirm (NCF), then for the data, and is asked for again when either does
 * not come, PGM_TRIES times. It is lost when that fails, or when the source's window has left it
 * behind.
 *
 * What others can cause is bounded: PGM_SOURCES_MAX sources, `window` packets of each, and no
 * packet counts that claims a TSI from another address than its first one.
 */
#ifndef WIRE_PGM_RECV_H
#define WIRE_PGM_RECV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "wire/pgm_packet.h"

#define PGM_SOURCES_MAX 256u
/* Shorter than OpenPGM's (50, 200 and 200 ms), as a source here repairs the same packet no more
 * than once in PGM_REPAIR_IVL, whatever is asked for. */
#define PGM_BACK_OFF UINT64_C(20000000)
#define PGM_NCF_WAIT UINT64_C(80000000)
#define PGM_DATA_WAIT UINT64_C(100000000)
#define PGM_TRIES 120u
#define PGM_SOURCE_IDLE UINT64_C(300000000000)

struct pgm_recv_config {
    uint16_t port;        /* data-destination port */
    struct pgm_nla group; /* that NAKs name, and are sent to */
    uint32_t window;      /* packets of one source that are kept or waited for, >= 1 */
    uint64_t seed;        /* of the back-off */
};

enum pgm_slot_state {
    PGM_SLOT_EMPTY,
    PGM_SLOT_HAVE,
    PGM_SLOT_LOST,
    PGM_SLOT_BACK_OFF,
    PGM_SLOT_WAIT_NCF,
    PGM_SLOT_WAIT_DATA,
};
#define PGM_QUEUES 3

struct pgm_recv_slot {
    uint8_t *data;
    uint16_t len;
    uint8_t state; /* enum pgm_slot_state */
    uint8_t tries; /* NAKs sent for it */
    bool owned;    /* `data` is memory of its own, not in the packet just read */
    bool fragment, first;
    uint8_t suppressed; /* how often other receivers' NAKs have stood for ours since it was tried */
    uint32_t prev, next; /* in the queue of its state; sequence numbers */
    uint64_t due;
};

/* The missing packets in one state, in the order in which they are due. */
struct pgm_queue {
    uint32_t first, last;
    uint32_t len;
};

struct pgm_source {
    struct pgm_tsi tsi;
    struct pgm_nla from; /* where its packets come from */
    struct pgm_nla nla;  /* where NAKs go to, from its SPMs; len 0: not known */
    struct list node;    /* in recv.sources */
    struct list ready;   /* in recv.ready, when there is something for pgm_recv_next */
    bool defined;        /* `next` and `end` count */
    bool ended;          /* it said OPT_FIN */
    bool has_spm;
    bool jumps; /* once all is delivered, it goes on at `jump` */
    uint32_t spm_sqn;
    uint32_t next;  /* the oldest that was not delivered */
    uint32_t end;   /* behind the newest that is known to exist */
    uint32_t trail; /* the source's; NAKs for what is older are in vain */
    uint32_t jump;
    uint32_t skipped; /* packets right before `next` that are lost, and never had a slot */
    struct pgm_recv_slot *slots;
    uint32_t cap; /* a power of two or 0 */
    struct pgm_queue queues[PGM_QUEUES];
    uint64_t heard;
    uint64_t spmr_at; /* when to ask for an SPM; UINT64_MAX: no need */
    unsigned spmrs;   /* how often it was asked */
    uint64_t delivered;
    void *state; /* the caller's, see release */
};

struct pgm_recv {
    struct pgm_recv_config config;
    struct map by_tsi;
    struct list sources; /* least recently heard first */
    struct list ready;
    uint64_t random;
    /* Frees source->state; NULL: nothing to free. */
    void (*release)(struct pgm_source *source);
    struct pgm_source *borrower; /* whose newest slot lies in the packet just read */
    uint32_t borrowed;
    uint8_t control[PGM_CONTROL_MAX];
    struct pgm_nla again_to; /* a second copy of the last SPMR goes there */
    size_t again_len;
    uint64_t next_due; /* no source has anything due before */
    /* For statistics. */
    uint64_t packets, bad, foreign, doubled, lost, naks, recovered;
};

struct pgm_event {
    struct pgm_source *source;
    const uint8_t *data; /* NULL: a loss */
    uint16_t len;
    bool fragment, first;
    uint32_t lost; /* so many packets before the next one are lost */
};

/* To be sent; to.len 0: to the group, and no further than the first router. */
struct pgm_control {
    const uint8_t *packet;
    size_t len;
    struct pgm_nla to;
};

void pgm_recv_init(struct pgm_recv *r, const struct pgm_recv_config *config);
void pgm_recv_fini(struct pgm_recv *r);

/* A packet that came from the address `from`. Its bytes are lent: take what pgm_recv_next has, and
 * call pgm_recv_keep before they go. 0; -EBADMSG, not understood; -EPERM, from another than the
 * source it claims to be from; -ENOBUFS, a bound is reached, or -ENOMEM: as if it had not come. */
int pgm_recv_packet(struct pgm_recv *r, const struct pgm_nla *from, const uint8_t *bytes,
                    size_t len, uint64_t now);
/* The next in order, of any source, again and again until pgm_recv_done. False: nothing now. */
bool pgm_recv_next(struct pgm_recv *r, struct pgm_event *event);
void pgm_recv_done(struct pgm_recv *r, const struct pgm_event *event);
/* The bytes of the last packet go: what was not taken of them is copied. -ENOMEM: that packet is as
 * if it had not come. */
int pgm_recv_keep(struct pgm_recv *r);

/* The next packet that is due now. Not while packets that have arrived wait to be read. */
bool pgm_recv_out(struct pgm_recv *r, struct pgm_control *out, uint64_t now);
/* When to call pgm_recv_out though nothing has come; UINT64_MAX: no need. */
uint64_t pgm_recv_deadline(const struct pgm_recv *r);

#endif
