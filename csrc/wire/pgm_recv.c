/* SPDX-License-Identifier: MIT */
/*
 * Longer than 600 lines: the window of a source, its queues of missing packets and what is sent
 * about them work on one state. Apart they would call each other in a circle.
 */
#include "wire/pgm_recv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define FIRST_CAP 16u
#define NEVER UINT64_MAX
#define MS UINT64_C(1000000)
#define SPMR_BACK_OFF (25 * MS)
#define SPMR_AGAIN (250 * MS)
#define SPMRS_MAX 16
#define SUPPRESSED_MAX 2 /* so many foreign NAKs in a row stand for ours */
/* When the table of sources is full, one that has not given a message goes after this. */
#define IDLE_UNPROVEN (5 * UINT64_C(1000000000))

static uint64_t random_below(struct pgm_recv *r, uint64_t n)
{
    /* xorshift; nothing secret depends on it. */
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random % n;
}

static struct pgm_recv_slot *slot_of(const struct pgm_source *s, uint32_t sqn)
{
    return &s->slots[sqn & (s->cap - 1)];
}

/* ---- queues of missing packets ---- */

static struct pgm_queue *queue_of(struct pgm_source *s, const struct pgm_recv_slot *slot)
{
    return slot->state >= PGM_SLOT_BACK_OFF ? &s->queues[slot->state - PGM_SLOT_BACK_OFF] : NULL;
}

static void unqueue(struct pgm_source *s, uint32_t sqn)
{
    struct pgm_recv_slot *slot = slot_of(s, sqn);
    struct pgm_queue *q = queue_of(s, slot);
    if (!q)
        return;
    if (sqn == q->first)
        q->first = slot->next;
    else
        slot_of(s, slot->prev)->next = slot->next;
    if (sqn == q->last)
        q->last = slot->prev;
    else
        slot_of(s, slot->next)->prev = slot->prev;
    q->len--;
}

/* Each queue is in the order of `due`: what would be due before the last is due with it. */
static void enqueue(struct pgm_recv *r, struct pgm_source *s, uint32_t sqn,
                    enum pgm_slot_state state, uint64_t due)
{
    struct pgm_recv_slot *slot = slot_of(s, sqn);
    slot->state = (uint8_t)state;
    struct pgm_queue *q = queue_of(s, slot);
    if (q->len) {
        struct pgm_recv_slot *last = slot_of(s, q->last);
        if (due < last->due)
            due = last->due;
        last->next = sqn;
        slot->prev = q->last;
    } else {
        q->first = sqn;
    }
    q->last = sqn;
    q->len++;
    slot->due = due;
    if (due < r->next_due)
        r->next_due = due;
}

static void move_to(struct pgm_recv *r, struct pgm_source *s, uint32_t sqn,
                    enum pgm_slot_state state, uint64_t due)
{
    unqueue(s, sqn);
    enqueue(r, s, sqn, state, due);
}

/* ---- slots ---- */

static void empty(struct pgm_recv_slot *slot)
{
    if (slot->owned)
        mem_free(slot->data);
    slot->data = NULL;
    slot->owned = false;
    slot->state = PGM_SLOT_EMPTY;
}

static bool is_ready(const struct pgm_source *s)
{
    if (s->skipped)
        return true;
    if (s->next == s->end)
        return false;
    uint8_t state = slot_of(s, s->next)->state;
    return state == PGM_SLOT_HAVE || state == PGM_SLOT_LOST;
}

static void set_ready(struct pgm_recv *r, struct pgm_source *s)
{
    if (list_empty(&s->ready) && is_ready(s))
        list_push_back(&r->ready, &s->ready);
}

static void lose(struct pgm_recv *r, struct pgm_source *s, uint32_t sqn)
{
    struct pgm_recv_slot *slot = slot_of(s, sqn);
    unqueue(s, sqn);
    slot->state = PGM_SLOT_LOST;
    r->lost++;
}

/* Room in the ring for sequence numbers up to `end`. */
static int reserve(struct pgm_source *s, uint32_t end)
{
    uint32_t need = end - s->next, cap = s->cap ? s->cap : FIRST_CAP;
    if (need <= s->cap)
        return 0;
    while (cap < need)
        cap *= 2;
    struct pgm_recv_slot *slots = mem_zalloc(cap * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (uint32_t sqn = s->next; sqn != s->end; sqn++)
        slots[sqn & (cap - 1)] = *slot_of(s, sqn);
    mem_free(s->slots);
    s->slots = slots;
    s->cap = cap;
    return 0;
}

/* What is missing before sqn is given up. */
static void give_up_before(struct pgm_recv *r, struct pgm_source *s, uint32_t sqn)
{
    for (uint32_t i = s->next; i != s->end && pgm_before(i, sqn); i++) {
        if (slot_of(s, i)->state >= PGM_SLOT_BACK_OFF)
            lose(r, s, i);
    }
    set_ready(r, s);
}

/* The source's window has moved on: it has no more of what is missing before. */
static void set_trail(struct pgm_recv *r, struct pgm_source *s, uint32_t trail)
{
    if (!pgm_before(s->trail, trail))
        return;
    s->trail = trail;
    if (pgm_before(s->next, trail))
        give_up_before(r, s, trail);
}

static void jump(struct pgm_recv *r, struct pgm_source *s)
{
    uint32_t n = s->jump - s->next;
    r->lost += n;
    s->skipped += n;
    s->next = s->end = s->jump;
    s->jumps = false;
    set_ready(r, s);
}

/*
 * The source has sent what comes before `end`, and what is new of that is missing. What neither
 * this window nor the source's can hold is lost. 0; -ENOBUFS: no room for what is
 * new before something else is delivered; -ENOMEM.
 */
static int advance(struct pgm_recv *r, struct pgm_source *s, uint32_t end, uint64_t now)
{
    if (!pgm_before(s->end, end))
        return 0;
    uint32_t oldest = end - r->config.window;
    if (pgm_before(oldest, s->trail))
        oldest = s->trail;
    if (s->jumps)
        return -ENOBUFS;
    if (pgm_before(s->next, oldest))
        give_up_before(r, s, oldest);
    if (pgm_before(s->end, oldest)) {
        s->jumps = true;
        s->jump = oldest;
        if (s->next != s->end)
            return -ENOBUFS;
        jump(r, s);
    }
    /* At most what was delivered no more, and a window. */
    if (end - s->next > 2 * r->config.window)
        return -ENOBUFS;
    int rc = reserve(s, end);
    if (rc)
        return rc;
    uint64_t due = now + 1 + random_below(r, PGM_BACK_OFF);
    for (; s->end != end; s->end++) {
        *slot_of(s, s->end) = (struct pgm_recv_slot){0};
        enqueue(r, s, s->end, PGM_SLOT_BACK_OFF, due);
    }
    set_ready(r, s);
    return 0;
}

/* ---- sources ---- */

static void key_of(const struct pgm_tsi *tsi, uint8_t key[8])
{
    memcpy(key, tsi->gsi, 6);
    put_be16(key + 6, tsi->port);
}

static void source_free(struct pgm_recv *r, struct pgm_source *s)
{
    uint8_t key[8];
    key_of(&s->tsi, key);
    map_del(&r->by_tsi, key, sizeof key);
    if (r->release)
        r->release(s);
    if (r->borrower == s)
        r->borrower = NULL;
    for (uint32_t i = 0; i < s->cap; i++)
        empty(&s->slots[i]);
    mem_free(s->slots);
    list_remove(&s->node);
    list_remove(&s->ready);
    mem_free(s);
}

/* Whether it may go: for good when it has said so and all of it is delivered. */
static bool is_over(const struct pgm_source *s, uint64_t now, bool crowded)
{
    uint64_t idle = now > s->heard ? now - s->heard : 0;
    if (s->ended && s->next == s->end && idle > 10 * PGM_BACK_OFF)
        return true;
    return idle > PGM_SOURCE_IDLE || (crowded && !s->delivered && idle > IDLE_UNPROVEN);
}

static int source_new(struct pgm_recv *r, const struct pgm_packet *p, const struct pgm_nla *from,
                      uint64_t now, struct pgm_source **out)
{
    /* The least recently heard one is looked at each time a new one comes. */
    if (!list_empty(&r->sources)) {
        struct pgm_source *oldest = LIST_ENTRY(r->sources.next, struct pgm_source, node);
        if (is_over(oldest, now, r->by_tsi.len >= PGM_SOURCES_MAX))
            source_free(r, oldest);
    }
    if (r->by_tsi.len >= PGM_SOURCES_MAX)
        return -ENOBUFS;
    struct pgm_source *s = mem_zalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    uint8_t key[8];
    key_of(&p->tsi, key);
    if (map_put(&r->by_tsi, key, sizeof key, s)) {
        mem_free(s);
        return -ENOMEM;
    }
    s->tsi = p->tsi;
    s->from = *from;
    list_init(&s->ready);
    list_push_back(&r->sources, &s->node);
    /* Without an SPM nobody knows where NAKs have to go. */
    s->spmr_at = now + random_below(r, SPMR_BACK_OFF);
    if (s->spmr_at < r->next_due)
        r->next_due = s->spmr_at;
    *out = s;
    return 0;
}

static void define(struct pgm_source *s, uint32_t next, uint32_t trail)
{
    s->defined = true;
    s->next = s->end = next;
    s->trail = trail;
}

/* ---- packets ---- */

static int on_data(struct pgm_recv *r, struct pgm_source *s, const struct pgm_packet *p,
                   uint64_t now)
{
    if (pgm_before(p->sqn, p->trail))
        return -EBADMSG;
    /* Parity, and the repair of what came before anybody listened here. */
    if (p->parity || (!s->defined && p->type == PGM_RDATA))
        return 0;
    if (!s->defined)
        define(s, p->sqn, p->trail);
    set_trail(r, s, p->trail);
    if (pgm_before(p->sqn, s->next)) {
        r->doubled++;
        return 0;
    }
    int rc = advance(r, s, p->sqn + 1, now);
    if (rc)
        return rc;
    struct pgm_recv_slot *slot = slot_of(s, p->sqn);
    if (slot->state == PGM_SLOT_HAVE || slot->state == PGM_SLOT_LOST) {
        r->doubled++;
        return 0;
    }
    r->recovered += slot->tries > 0;
    unqueue(s, p->sqn);
    slot->state = PGM_SLOT_HAVE;
    slot->data = (uint8_t *)(uintptr_t)p->data;
    slot->len = p->len;
    slot->owned = false;
    slot->fragment = p->fragment;
    slot->first = p->first;
    r->borrower = s;
    r->borrowed = p->sqn;
    set_ready(r, s);
    return 0;
}

static int on_spm(struct pgm_recv *r, struct pgm_source *s, const struct pgm_packet *p,
                  uint64_t now)
{
    if (pgm_before(p->lead + 1, p->trail))
        return -EBADMSG;
    if (s->has_spm && !pgm_before(s->spm_sqn, p->sqn))
        return 0;
    s->has_spm = true;
    s->spm_sqn = p->sqn;
    s->nla = p->nla;
    s->spmr_at = NEVER;
    s->ended |= p->fin;
    if (!s->defined)
        define(s, p->lead + 1, p->trail);
    set_trail(r, s, p->trail);
    return advance(r, s, p->lead + 1, now);
}

static void confirmed(struct pgm_recv *r, struct pgm_source *s, uint32_t sqn, uint64_t now)
{
    if (pgm_before(sqn, s->next) || advance(r, s, sqn + 1, now))
        return;
    uint8_t state = slot_of(s, sqn)->state;
    /* One that is waited for already is not waited for longer. */
    if (state == PGM_SLOT_BACK_OFF || state == PGM_SLOT_WAIT_NCF)
        move_to(r, s, sqn, PGM_SLOT_WAIT_DATA, now + PGM_DATA_WAIT);
}

static int on_ncf(struct pgm_recv *r, struct pgm_source *s, const struct pgm_packet *p,
                  uint64_t now)
{
    if (!s->defined)
        return 0;
    confirmed(r, s, p->sqn, now);
    for (unsigned i = 0; i < p->more_len; i++)
        confirmed(r, s, p->more[i], now);
    return 0;
}

/* Another receiver has asked for it, so the NAK of this one can wait; but not for ever. */
static void suppress(struct pgm_recv *r, struct pgm_source *s, uint32_t sqn, uint64_t now)
{
    if (pgm_before(sqn, s->next) || !pgm_before(sqn, s->end))
        return;
    struct pgm_recv_slot *slot = slot_of(s, sqn);
    if (slot->state != PGM_SLOT_BACK_OFF || slot->suppressed == SUPPRESSED_MAX)
        return;
    slot->suppressed++;
    move_to(r, s, sqn, PGM_SLOT_WAIT_NCF, now + PGM_NCF_WAIT);
}

static void on_other_receiver(struct pgm_recv *r, struct pgm_source *s, const struct pgm_packet *p,
                              uint64_t now)
{
    if (p->type == PGM_SPMR) {
        if (s->spmr_at != NEVER && s->spmrs < SUPPRESSED_MAX) {
            s->spmrs++;
            s->spmr_at = now + SPMR_AGAIN;
        }
    } else if (s->defined && !p->parity) {
        suppress(r, s, p->sqn, now);
        for (unsigned i = 0; i < p->more_len; i++)
            suppress(r, s, p->more[i], now);
    }
}

int pgm_recv_packet(struct pgm_recv *r, const struct pgm_nla *from, const uint8_t *bytes,
                    size_t len, uint64_t now)
{
    struct pgm_packet p;
    r->borrower = NULL;
    r->packets++;
    if (pgm_read(bytes, len, &p)) {
        r->bad++;
        return -EBADMSG;
    }
    if (p.port != r->config.port)
        return 0;
    uint8_t key[8];
    key_of(&p.tsi, key);
    struct pgm_source *s = map_get(&r->by_tsi, key, sizeof key);
    if (p.type == PGM_NAK || p.type == PGM_SPMR) {
        if (s)
            on_other_receiver(r, s, &p, now);
        return 0;
    }
    if (!s) {
        int rc = source_new(r, &p, from, now, &s);
        if (rc)
            return rc;
    }
    if (!pgm_nla_is(&s->from, from)) {
        r->foreign++;
        return -EPERM;
    }
    s->heard = now;
    list_remove(&s->node);
    list_push_back(&r->sources, &s->node);
    int rc;
    if (p.type == PGM_SPM)
        rc = on_spm(r, s, &p, now);
    else if (p.type == PGM_NCF)
        rc = on_ncf(r, s, &p, now);
    else
        rc = on_data(r, s, &p, now);
    if (rc == -EBADMSG)
        r->bad++;
    return rc;
}

int pgm_recv_keep(struct pgm_recv *r)
{
    struct pgm_source *s = r->borrower;
    r->borrower = NULL;
    if (!s || pgm_before(r->borrowed, s->next))
        return 0;
    struct pgm_recv_slot *slot = slot_of(s, r->borrowed);
    if (slot->state != PGM_SLOT_HAVE || slot->owned)
        return 0;
    uint8_t *copy = mem_alloc(slot->len ? slot->len : 1);
    if (copy) {
        memcpy(copy, slot->data, slot->len);
        slot->data = copy;
        slot->owned = true;
        return 0;
    }
    /* As if it had not come: it is asked for again. */
    empty(slot);
    if (r->borrowed == s->next && !list_empty(&s->ready) && !s->skipped) {
        list_remove(&s->ready);
        list_init(&s->ready);
    }
    enqueue(r, s, r->borrowed, PGM_SLOT_BACK_OFF, s->heard + PGM_BACK_OFF);
    return -ENOMEM;
}

/* ---- what is delivered ---- */

bool pgm_recv_next(struct pgm_recv *r, struct pgm_event *event)
{
    if (list_empty(&r->ready))
        return false;
    struct pgm_source *s = LIST_ENTRY(r->ready.next, struct pgm_source, ready);
    *event = (struct pgm_event){.source = s, .lost = s->skipped};
    if (s->skipped)
        return true;
    const struct pgm_recv_slot *slot = slot_of(s, s->next);
    if (slot->state == PGM_SLOT_HAVE) {
        event->data = slot->data;
        event->len = slot->len;
        event->fragment = slot->fragment;
        event->first = slot->first;
        return true;
    }
    for (uint32_t i = s->next; i != s->end && slot_of(s, i)->state == PGM_SLOT_LOST; i++)
        event->lost++;
    return true;
}

void pgm_recv_done(struct pgm_recv *r, const struct pgm_event *event)
{
    struct pgm_source *s = event->source;
    if (s->skipped) {
        s->skipped = 0;
    } else if (event->data) {
        empty(slot_of(s, s->next));
        s->next++;
        s->delivered++;
    } else {
        for (uint32_t i = 0; i < event->lost; i++)
            empty(slot_of(s, s->next++));
    }
    if (s->jumps && s->next == s->end)
        jump(r, s);
    /* The sources take turns. */
    list_remove(&s->ready);
    list_init(&s->ready);
    set_ready(r, s);
}

/* ---- what is sent ---- */

static void begin_control(struct pgm_packet *p, const struct pgm_recv *r,
                          const struct pgm_source *s, uint8_t type)
{
    memset(p, 0, sizeof *p);
    p->type = type;
    p->tsi = s->tsi;
    p->port = r->config.port;
    p->nla = s->nla;
    p->group = r->config.group;
}

/* To the other receivers, so that not all of them ask, and to the source. */
static void put_spmr(struct pgm_recv *r, struct pgm_source *s, struct pgm_control *out,
                     uint64_t now)
{
    struct pgm_packet p;
    begin_control(&p, r, s, PGM_SPMR);
    s->spmrs++;
    s->spmr_at = s->spmrs < SPMRS_MAX ? now + (SPMR_AGAIN << (s->spmrs / 2)) : NEVER;
    *out = (struct pgm_control){r->control, pgm_write(&p, r->control), {0}};
    r->again_len = out->len;
    r->again_to = s->from;
}

/* What was asked for has not come in time: it is asked for again, or given up. */
static void try_again(struct pgm_recv *r, struct pgm_source *s, enum pgm_slot_state state,
                      uint64_t now)
{
    struct pgm_queue *q = &s->queues[state - PGM_SLOT_BACK_OFF];
    while (q->len && slot_of(s, q->first)->due <= now) {
        uint32_t sqn = q->first;
        if (slot_of(s, sqn)->tries < PGM_TRIES)
            move_to(r, s, sqn, PGM_SLOT_BACK_OFF, now + 1 + random_below(r, PGM_BACK_OFF));
        else
            lose(r, s, sqn);
    }
    set_ready(r, s);
}

static bool put_nak(struct pgm_recv *r, struct pgm_source *s, struct pgm_control *out, uint64_t now)
{
    struct pgm_queue *q = &s->queues[0];
    struct pgm_packet p;
    unsigned n = 0;
    bool again = false;
    while (q->len && n < PGM_SEQUENCES_MAX && slot_of(s, q->first)->due <= now) {
        uint32_t sqn = q->first;
        struct pgm_recv_slot *slot = slot_of(s, sqn);
        if (n == 0) {
            begin_control(&p, r, s, PGM_NAK);
            again = slot->tries % 2 == 1;
            p.sqn = sqn;
        } else {
            p.more[n - 1] = sqn;
        }
        n++;
        slot->tries++;
        slot->suppressed = 0;
        move_to(r, s, sqn, PGM_SLOT_WAIT_NCF, now + PGM_NCF_WAIT);
    }
    /* Without an SPM the NAK would have no address to name: that it is not sent counts, too. */
    if (n == 0 || !s->nla.len)
        return false;
    p.more_len = n - 1;
    r->naks += n;
    *out = (struct pgm_control){r->control, pgm_write(&p, r->control), {0}};
    /* By turns to the source alone, and to all of the group: where several sources of one host
     * share a UDP port, what is sent to that host reaches only one of them. */
    if (!again)
        out->to = s->from;
    return true;
}

static bool source_out(struct pgm_recv *r, struct pgm_source *s, struct pgm_control *out,
                       uint64_t now)
{
    if (s->spmr_at <= now) {
        put_spmr(r, s, out, now);
        return true;
    }
    try_again(r, s, PGM_SLOT_WAIT_NCF, now);
    try_again(r, s, PGM_SLOT_WAIT_DATA, now);
    return put_nak(r, s, out, now);
}

static uint64_t source_due(const struct pgm_source *s)
{
    uint64_t due = s->spmr_at;
    for (int i = 0; i < PGM_QUEUES; i++) {
        const struct pgm_queue *q = &s->queues[i];
        if (q->len && slot_of(s, q->first)->due < due)
            due = slot_of(s, q->first)->due;
    }
    return due;
}

bool pgm_recv_out(struct pgm_recv *r, struct pgm_control *out, uint64_t now)
{
    if (r->again_len) {
        *out = (struct pgm_control){r->control, r->again_len, r->again_to};
        r->again_len = 0;
        return true;
    }
    if (now < r->next_due)
        return false;
    uint64_t due = NEVER;
    LIST_FOR(at, &r->sources)
    {
        struct pgm_source *s = LIST_ENTRY(at, struct pgm_source, node);
        if (source_due(s) <= now && source_out(r, s, out, now))
            return true;
        uint64_t next = source_due(s);
        due = next < due ? next : due;
    }
    r->next_due = due;
    return false;
}

uint64_t pgm_recv_deadline(const struct pgm_recv *r)
{
    return r->again_len ? 0 : r->next_due;
}

void pgm_recv_init(struct pgm_recv *r, const struct pgm_recv_config *config)
{
    memset(r, 0, sizeof *r);
    r->config = *config;
    r->random = config->seed | 1;
    r->next_due = NEVER;
    map_init(&r->by_tsi);
    list_init(&r->sources);
    list_init(&r->ready);
}

void pgm_recv_fini(struct pgm_recv *r)
{
    while (!list_empty(&r->sources))
        source_free(r, LIST_ENTRY(r->sources.next, struct pgm_source, node));
    map_fini(&r->by_tsi);
}
