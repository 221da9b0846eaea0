/* SPDX-License-Identifier: MIT */
#include "wire/pgm_send.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define BURST_NS (4 * MS) /* what a rate may save up */
#define FIRST_CAP 128u

/* SPMs after data: soon at first, since a receiver learns from them that the last packet is lost;
 * then rarely. */
static const uint64_t heartbeat[] = {100 * MS, 100 * MS, 100 * MS, 100 * MS, 1300 * MS,
                                     7 * S,    16 * S,   25 * S,   30 * S};
#define AMBIENT (30 * S)
#define BEATS ((unsigned)(sizeof heartbeat / sizeof heartbeat[0]))

static struct pgm_send_slot *slot_of(struct pgm_send *s, uint32_t sqn)
{
    return &s->slots[sqn & (s->cap - 1)];
}

static double burst(const struct pgm_send *s)
{
    double most = (double)s->config.rate * (double)BURST_NS / (double)S;
    double one = 2.0 * (s->config.tsdu + PGM_DATA_HEADER + s->config.overhead);
    return most > one ? most : one;
}

int pgm_send_init(struct pgm_send *s, const struct pgm_send_config *config, uint64_t now)
{
    memset(s, 0, sizeof *s);
    s->config = *config;
    s->trail = s->unsent = s->end = config->first;
    s->cap = FIRST_CAP;
    s->slots = mem_zalloc(s->cap * sizeof *s->slots);
    s->repairs = mem_alloc(s->cap * sizeof *s->repairs);
    if (!s->slots || !s->repairs) {
        pgm_send_fini(s);
        return -ENOMEM;
    }
    s->tokens = burst(s);
    s->filled = s->spm_at = now;
    return 0;
}

void pgm_send_fini(struct pgm_send *s)
{
    for (uint32_t i = 0; s->slots && i < s->cap; i++)
        mem_free(s->slots[i].packet);
    mem_free(s->slots);
    mem_free(s->repairs);
    s->slots = NULL;
    s->repairs = NULL;
}

/* ---- rate ---- */

static void fill(struct pgm_send *s, uint64_t now)
{
    if (now <= s->filled)
        return;
    s->tokens += (double)(now - s->filled) * (double)s->config.rate / (double)S;
    s->filled = now;
    double most = burst(s);
    if (s->tokens > most)
        s->tokens = most;
}

static void charge(struct pgm_send *s, size_t len)
{
    s->tokens -= (double)len + s->config.overhead;
}

static uint64_t allowed_at(const struct pgm_send *s, uint64_t now)
{
    if (s->tokens > 0)
        return now;
    return s->filled + (uint64_t)(-s->tokens * (double)S / (double)s->config.rate) + 1;
}

/* ---- the window ---- */

static void drop_trail(struct pgm_send *s)
{
    struct pgm_send_slot *slot = slot_of(s, s->trail);
    /* A repair that it waits for finds it gone. */
    slot->waiting = false;
    s->trail++;
}

/* What nobody will ask for any more goes, and its memory with it once the source is quiet. */
static void age(struct pgm_send *s, uint64_t now)
{
    if (!s->config.keep)
        return;
    while (s->trail != s->unsent) {
        struct pgm_send_slot *slot = slot_of(s, s->trail);
        if (now < slot->sent + s->config.keep)
            break;
        drop_trail(s);
        mem_free(slot->packet);
        slot->packet = NULL;
    }
}

static int grow(struct pgm_send *s)
{
    uint32_t cap = s->cap * 2;
    struct pgm_send_slot *slots = mem_zalloc(cap * sizeof *slots);
    uint32_t *repairs = mem_alloc(cap * sizeof *repairs);
    if (!slots || !repairs) {
        mem_free(slots);
        mem_free(repairs);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < s->cap; i++) {
        uint32_t sqn = s->trail + i;
        slots[sqn & (cap - 1)] = *slot_of(s, sqn);
    }
    for (uint32_t i = 0; i < s->repair_len; i++)
        repairs[i] = s->repairs[(s->repair_head + i) & (s->cap - 1)];
    mem_free(s->slots);
    mem_free(s->repairs);
    s->slots = slots;
    s->repairs = repairs;
    s->repair_head = 0;
    s->cap = cap;
    return 0;
}

bool pgm_send_wants(struct pgm_send *s, uint64_t now)
{
    if (s->unsent != s->end)
        return false;
    fill(s, now);
    return s->tokens > 0 && !(s->repair_len && !s->repaired_last);
}

uint8_t *pgm_send_room(struct pgm_send *s)
{
    uint32_t len = s->end - s->trail;
    if (len < s->config.window && len + PGM_SEND_BATCH >= s->cap)
        (void)grow(s); /* without memory the window stays as it is */
    if (len >= s->config.window || len + PGM_SEND_BATCH >= s->cap)
        drop_trail(s);
    struct pgm_send_slot *slot = slot_of(s, s->end);
    if (!slot->packet)
        slot->packet = mem_alloc(PGM_DATA_HEADER + (size_t)s->config.tsdu);
    return slot->packet ? slot->packet + PGM_DATA_HEADER : NULL;
}

void pgm_send_put(struct pgm_send *s, uint16_t len)
{
    struct pgm_send_slot *slot = slot_of(s, s->end);
    slot->len = (uint16_t)(PGM_DATA_HEADER + len);
    slot->waiting = false;
    slot->sent = slot->confirmed = slot->repaired = 0;
    pgm_write_data(slot->packet, &s->config.tsi, s->config.port, s->end, s->trail, len);
    s->end++;
}

/* ---- what goes out ---- */

static struct pgm_out put_control(struct pgm_send *s, const struct pgm_packet *p)
{
    return (struct pgm_out){s->control, pgm_write(p, s->control), PGM_OUT_CONTROL};
}

static struct pgm_out put_spm(struct pgm_send *s)
{
    struct pgm_packet p = {.type = PGM_SPM,
                           .tsi = s->config.tsi,
                           .port = s->config.port,
                           .sqn = s->spm_sqn,
                           .trail = s->trail,
                           .lead = s->unsent - 1,
                           .nla = s->config.nla,
                           .fin = s->fin};
    return put_control(s, &p);
}

/* The next repair that is still there; those that left the window are dropped. */
static struct pgm_send_slot *next_repair(struct pgm_send *s, uint32_t *sqn)
{
    while (s->repair_len) {
        *sqn = s->repairs[s->repair_head];
        if (!pgm_before(*sqn, s->trail))
            return slot_of(s, *sqn);
        s->repair_head = (s->repair_head + 1) & (s->cap - 1);
        s->repair_len--;
    }
    return NULL;
}

struct pgm_out pgm_send_next(struct pgm_send *s, uint64_t now)
{
    if (s->ncf_len)
        return put_control(s, &s->ncf);
    age(s, now);
    if (now >= s->spm_at)
        return put_spm(s);
    fill(s, now);
    if (s->tokens <= 0)
        return (struct pgm_out){NULL, 0, PGM_OUT_NONE};
    uint32_t sqn;
    struct pgm_send_slot *slot = next_repair(s, &sqn);
    bool data = s->unsent != s->end;
    if (slot && !(data && s->repaired_last)) {
        pgm_make_rdata(slot->packet, s->trail);
        return (struct pgm_out){slot->packet, slot->len, PGM_OUT_REPAIR};
    }
    if (!data)
        return (struct pgm_out){NULL, 0, PGM_OUT_NONE};
    slot = slot_of(s, s->unsent);
    return (struct pgm_out){slot->packet, slot->len, PGM_OUT_DATA};
}

static void spm_sent(struct pgm_send *s, uint64_t now)
{
    s->spm_sqn++;
    s->spm_last = now;
    s->spm_at = now + (s->beat < BEATS ? heartbeat[s->beat++] : AMBIENT);
}

void pgm_send_done(struct pgm_send *s, const struct pgm_out *out, uint64_t now)
{
    charge(s, out->len);
    switch (out->class) {
    case PGM_OUT_CONTROL:
        if (s->ncf_len)
            s->ncf_len = 0;
        else
            spm_sent(s, now);
        break;
    case PGM_OUT_REPAIR: {
        uint32_t sqn;
        struct pgm_send_slot *slot = next_repair(s, &sqn);
        slot->waiting = false;
        slot->sent = slot->repaired = now;
        s->repair_head = (s->repair_head + 1) & (s->cap - 1);
        s->repair_len--;
        s->repaired_last = true;
        s->repair_packets++;
        break;
    }
    case PGM_OUT_DATA:
        slot_of(s, s->unsent)->sent = now;
        s->unsent++;
        s->repaired_last = false;
        s->data_packets++;
        s->beat = 1;
        s->spm_at = now + heartbeat[0];
        break;
    case PGM_OUT_NONE:
        break;
    }
}

bool pgm_send_busy(const struct pgm_send *s)
{
    return s->unsent != s->end || s->repair_len || s->ncf_len;
}

uint64_t pgm_send_deadline(const struct pgm_send *s, bool data, uint64_t now)
{
    if (s->ncf_len)
        return now;
    uint64_t at = s->spm_at;
    if (data || s->unsent != s->end || s->repair_len) {
        uint64_t allowed = allowed_at(s, now);
        at = allowed < at ? allowed : at;
    }
    if (s->config.keep && s->trail != s->unsent) {
        uint64_t old = s->slots[s->trail & (s->cap - 1)].sent + s->config.keep;
        at = old < at ? old : at;
    }
    return at;
}

/* ---- what comes in ---- */

static void ask_spm(struct pgm_send *s, uint64_t now)
{
    uint64_t at = s->spm_last ? s->spm_last + PGM_SPM_MIN_IVL : now;
    if (at < now)
        at = now;
    if (at < s->spm_at)
        s->spm_at = at;
}

static void confirm(struct pgm_send *s, uint32_t sqn)
{
    if (s->ncf_len == PGM_SEQUENCES_MAX)
        return;
    if (s->ncf_len == 0) {
        s->ncf.type = PGM_NCF;
        s->ncf.tsi = s->config.tsi;
        s->ncf.port = s->config.port;
        s->ncf.sqn = sqn;
        s->ncf.nla = s->config.nla;
        s->ncf.group = s->config.group;
    } else {
        s->ncf.more[s->ncf_len - 1] = sqn;
    }
    s->ncf.more_len = s->ncf_len++;
}

static bool asked(struct pgm_send *s, uint32_t sqn, uint64_t now)
{
    if (pgm_before(sqn, s->trail) || !pgm_before(sqn, s->unsent)) {
        /* Receivers learn the window's limits from the SPM, and give up what is gone. */
        ask_spm(s, now);
        return false;
    }
    struct pgm_send_slot *slot = slot_of(s, sqn);
    if (!slot->confirmed || now >= slot->confirmed + PGM_REPAIR_IVL) {
        slot->confirmed = now;
        confirm(s, sqn);
    }
    /* The queue may hold numbers that have left the window since. */
    if (slot->waiting || (slot->repaired && now < slot->repaired + PGM_REPAIR_IVL) ||
        s->repair_len == s->cap)
        return true;
    slot->waiting = true;
    s->repairs[(s->repair_head + s->repair_len++) & (s->cap - 1)] = sqn;
    return true;
}

bool pgm_send_recv(struct pgm_send *s, const struct pgm_packet *p, uint64_t now)
{
    if (!pgm_tsi_is(&p->tsi, &s->config.tsi) || p->port != s->config.port)
        return false;
    if (p->type == PGM_SPMR) {
        ask_spm(s, now);
        return true;
    }
    if (p->type != PGM_NAK || p->parity || !pgm_nla_is(&p->nla, &s->config.nla) ||
        !pgm_nla_is(&p->group, &s->config.group))
        return false;
    s->naks += 1 + p->more_len;
    bool any = asked(s, p->sqn, now);
    for (unsigned i = 0; i < p->more_len; i++)
        any |= asked(s, p->more[i], now);
    return any;
}

void pgm_send_end(struct pgm_send *s, uint64_t now)
{
    s->fin = true;
    s->spm_at = now;
}
