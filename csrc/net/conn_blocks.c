/* SPDX-License-Identifier: MIT */
#include "net/conn_blocks.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "fastmq.h"
#include "net/arena.h"
#include "net/borrow.h"
#include "net/conn.h"
#include "net/lend.h"
#include "net/meeting.h"
#include "net/shm_stream.h"
#include "os/shm.h"
#include "wire/outq_drain.h"

_Static_assert(ARENA_BODY_MIN == OUTQ_LARGE, "what the queue takes for large");

/* What BLOCK says, in the byte after its name. */
#define ASK 0
#define OFFER 1 /* token, name of the meeting point */
#define PLACE 2

#define NAME "\5BLOCK"
#define NAME_LEN (sizeof(NAME) - 1)
#define PLACE_LEN 25 /* flags, slot, generation, offset, size */
#define PLACE_MORE 1u

/* A question that was not answered is asked again after so many bodies, and so often. */
#define MISSED_MAX 16
#define TRIES_MAX 8

/* ---- sending ---- */

/* Bodies can go in blocks, or could if the other side offered it. */
static bool may_lend(const struct conn *c)
{
    return c->shm.bytes && c->set->arena && shm_stream_is_out(c->stream);
}

static void ask(struct conn *c)
{
    static const uint8_t question[] = NAME "\0"; /* its own 0 says ASK */
    struct conn_blocks *b = &c->blocks;
    if (b->asked == TRIES_MAX || (b->asked && ++b->missed < MISSED_MAX))
        return;
    struct arena *a = arena_get(c->set->arena);
    if (!a) { /* it may be there later */
        b->asked++;
        b->missed = 0;
        return;
    }
    arena_unref(a);
    if (peer_put_command(&c->peer, question, NAME_LEN + 1) == 0) {
        b->asked++;
        b->missed = 0;
    }
}

static int put_place(struct conn *c, const struct blocks_place *place)
{
    uint8_t text[NAME_LEN + 1 + PLACE_LEN], *at = text + NAME_LEN;
    memcpy(text, NAME, NAME_LEN);
    at[0] = PLACE;
    at[1] = place->more ? PLACE_MORE : 0;
    put_be32(at + 2, place->slot);
    put_be32(at + 6, place->generation);
    put_be64(at + 10, place->offset);
    put_be64(at + 18, place->size);
    return peer_put_command(&c->peer, text, sizeof(text));
}

/* The body at the front of the queue gets a place, which is put in front of the queue. False: it
 * goes as it is. Releases the lock. */
static bool lend_front(struct conn *c, const struct msg *body)
{
    struct conn_blocks *b = &c->blocks;
    struct blocks_place place;
    uint8_t flags;
    const uint8_t *data;
    size_t size;
    (void)outq_front(conn_out(c), &flags, &data, &size);
    place.more = flags & PART_MORE;
    /* As in a write: the front of the queue stays where it is, and so does the connection. */
    c->link.writing = true;
    c->link.inflight = 1;
    mutex_unlock(&conn_set_reactor(c->set)->lock);
    int rc = lender_lend(b->lender, body, &place);
    mutex_lock(&conn_set_reactor(c->set)->lock);
    c->link.writing = false;
    c->link.inflight = 0;
    if (rc)
        return false;
    if (c->end_wanted != CONN_END_NONE || put_place(c, &place)) {
        lender_cancel(b->lender, place.slot);
        return false;
    }
    b->slot = place.slot;
    b->pending = true;
    return true;
}

bool conn_blocks_prepare(struct conn *c, size_t *most)
{
    struct conn_blocks *b = &c->blocks;
    const struct msg *body;
    *most = SIZE_MAX;
    if (b->pending) {
        *most = 0;
        return true;
    }
    if (!may_lend(c) || !c->peer.ready)
        return true;
    size_t before = outq_find_large(conn_out(c), &body);
    if (before) {
        *most = before;
        return true;
    }
    size_t whole = FRAME_HEAD_MAX - 1 + msg_size(body);
    *most = whole; /* the next one is looked at when this one is out */
    if (!b->lender)
        ask(c);
    else if (lender_is_ready(b->lender) && lend_front(c, body))
        *most = 0;
    return c->end_wanted == CONN_END_NONE;
}

void conn_blocks_wrote(struct conn *c)
{
    struct conn_blocks *b = &c->blocks;
    struct msg body;
    if (!b->pending || c->peer.tx.buf.bytes)
        return;
    b->pending = false;
    (void)outq_take(conn_out(c), &body);
    c->bytes_out += msg_size(&body);
    lender_lent(b->lender, b->slot, &body);
}

static int got_offer(struct conn *c, const uint8_t *data, size_t len)
{
    struct conn_blocks *b = &c->blocks;
    struct io_thread *io = conn_set_reactor(c->set)->io_thread;
    char name[SHM_NAME_MAX];
    if (!b->asked || len <= MEETING_TOKEN || len - MEETING_TOKEN >= sizeof(name))
        return -EPROTO;
    if (b->lender || !io)
        return 0;
    memcpy(name, data + MEETING_TOKEN, len - MEETING_TOKEN);
    name[len - MEETING_TOKEN] = 0;
    /* Whatever fails may go better at the next question. */
    (void)lender_new(&b->lender, c->set->arena, c->set->meeting, io, name, data);
    return 0;
}

/* ---- receiving ---- */

/* Somebody has come for the connection, with an arena. */
static void came(struct reactor *r, struct cmd *cmd)
{
    struct meeting_seat *seat = LIST_ENTRY(cmd, struct meeting_seat, came);
    struct conn *c = seat->conn;
    (void)r;
    if (c)
        c->blocks.seat = NULL;
    if (c && !conn_is_over(c) && seat->result == 0 && !c->blocks.borrower) {
        c->blocks.borrower = seat->borrower;
        borrower_begin(seat->borrower);
    } else if (seat->result == 0) {
        borrower_unref(seat->borrower);
    }
    meeting_seat_free(seat);
}

/* A publisher looks into what it receives more than once, which must not change meanwhile. */
static bool may_borrow(const struct conn *c)
{
    int type = c->set->pipes.type;
    return c->shm.bytes && c->pipe && type != FMQ_PUB && type != FMQ_XPUB;
}

static int got_question(struct conn *c)
{
    struct conn_blocks *b = &c->blocks;
    struct meeting_slot *slot = c->set->meeting;
    struct io_thread *io = conn_set_reactor(c->set)->io_thread;
    uint8_t text[NAME_LEN + 1 + MEETING_TOKEN];
    if (!may_borrow(c) || !io || b->borrower || b->offered == TRIES_MAX)
        return 0;
    if (!b->seat &&
        meeting_offer(slot, io, conn_set_reactor(c->set), c, MEETING_BLOCKS, came, &b->seat))
        return 0;
    memcpy(text, NAME, NAME_LEN);
    text[NAME_LEN] = OFFER;
    memcpy(text + NAME_LEN + 1, b->seat->token, MEETING_TOKEN);
    if (outq_put_command(&c->pipe->out, text, sizeof(text), slot->name, strlen(slot->name)))
        return 0;
    b->offered++;
    if (!c->link.flush_pending)
        c->link.ops->wrote(&c->link);
    return 0;
}

int conn_blocks_again(struct conn *c, struct msg *out)
{
    struct conn_blocks *b = &c->blocks;
    int rc = borrower_take(b->borrower, &b->place, out);
    b->waits = rc == -ENOMEM;
    if (rc)
        return rc;
    c->bytes_in += msg_size(out);
    out->flags = b->place.more ? PART_MORE : 0;
    return 1;
}

static int got_place(struct conn *c, const uint8_t *data, size_t len)
{
    struct blocks_place *place = &c->blocks.place;
    if (!c->blocks.borrower || len != PLACE_LEN)
        return -EPROTO;
    place->more = data[0] & PLACE_MORE;
    place->slot = get_be32(data + 1);
    place->generation = get_be32(data + 5);
    place->offset = get_be64(data + 9);
    place->size = get_be64(data + 17);
    return peer_count_part(&c->peer, place->size > SIZE_MAX / 2 ? SIZE_MAX / 2 : place->size,
                           place->more);
}

int conn_blocks_command(struct conn *c, const uint8_t *data, size_t len, struct msg *out)
{
    if (len < 1)
        return -EPROTO;
    switch (data[0]) {
    case ASK:
        return got_question(c);
    case OFFER:
        return got_offer(c, data + 1, len - 1);
    case PLACE: {
        int rc = got_place(c, data + 1, len - 1);
        return rc ? rc : conn_blocks_again(c, out);
    }
    default:
        return 0; /* a later version's */
    }
}

/* ---- both ---- */

void conn_blocks_end(struct conn *c)
{
    struct conn_blocks *b = &c->blocks;
    if (b->seat)
        meeting_withdraw(c->set->meeting, b->seat);
    b->seat = NULL;
    conn_blocks_wrote(c); /* what is wholly out the peer may take */
    if (b->pending)
        lender_cancel(b->lender, b->slot);
    b->pending = false;
    if (b->lender)
        lender_leave(b->lender);
    b->lender = NULL;
    if (b->borrower)
        borrower_unref(b->borrower);
    b->borrower = NULL;
    b->waits = false;
}
