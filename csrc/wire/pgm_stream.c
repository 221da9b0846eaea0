/* SPDX-License-Identifier: MIT */
#include "wire/pgm_stream.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/outq_drain.h"

#define NO_START UINT16_MAX
#define LONG_LENGTH 0xff
#define FLAG_MORE 1u
/* So much is allocated on the word of a length field; more as the bytes come. */
#define GROW_FROM ((size_t)64 << 10)

/* ---- out ---- */

void pgm_packer_init(struct pgm_packer *k)
{
    memset(k, 0, sizeof *k);
}

void pgm_packer_fini(struct pgm_packer *k)
{
    if (k->cut)
        msg_drop(&k->body);
    k->cut = false;
}

bool pgm_packer_busy(const struct pgm_packer *k)
{
    return k->cut || k->more;
}

static size_t put_head(uint8_t *head, size_t size, bool more)
{
    size_t n;
    if (size + 1 < LONG_LENGTH) {
        head[0] = (uint8_t)(size + 1);
        n = 1;
    } else {
        head[0] = LONG_LENGTH;
        put_be64(head + 1, size + 1);
        n = 9;
    }
    head[n] = more ? FLAG_MORE : 0;
    return n + 1;
}

/* More of the frame that was cut; returns how much fitted. */
static size_t put_rest(struct pgm_packer *k, uint8_t *to, size_t room)
{
    size_t size = msg_size(&k->body), n = 0;
    if (k->done < k->head_len) {
        n = k->head_len - k->done < room ? k->head_len - k->done : room;
        memcpy(to, k->head + k->done, n);
        k->done += n;
        room -= n;
    }
    if (k->done >= k->head_len && room) {
        size_t at = k->done - k->head_len;
        size_t more = size - at < room ? size - at : room;
        if (more)
            memcpy(to + n, msg_data(&k->body) + at, more);
        k->done += more;
        n += more;
    }
    if (k->done == k->head_len + size) {
        msg_drop(&k->body);
        k->cut = false;
    }
    return n;
}

/* The next frame as a whole; 0: it does not fit. */
static size_t put_whole(struct pgm_packer *k, struct outq *q, uint8_t *to, size_t room)
{
    uint8_t flags, head[10];
    const uint8_t *data;
    size_t size;
    outq_front(q, &flags, &data, &size);
    size_t head_len = put_head(head, size, flags & PART_MORE);
    if (head_len + size > room)
        return 0;
    memcpy(to, head, head_len);
    if (size)
        memcpy(to + head_len, data, size);
    k->more = flags & PART_MORE;
    outq_pop(q);
    return head_len + size;
}

static int begin_cut(struct pgm_packer *k, struct outq *q)
{
    int rc = outq_take(q, &k->body);
    if (rc < 0)
        return rc;
    k->cut = true;
    k->more = k->body.flags & PART_MORE;
    k->head_len = put_head(k->head, msg_size(&k->body), k->more);
    k->done = 0;
    return 0;
}

/* Commands are for connections. */
static bool skip_commands(struct outq *q)
{
    uint8_t flags;
    const uint8_t *data;
    size_t size;
    while (outq_front(q, &flags, &data, &size)) {
        if (!(flags & PART_COMMAND))
            return true;
        outq_pop(q);
    }
    return false;
}

int pgm_pack(struct pgm_packer *k, struct outq *q, uint8_t *to, size_t max)
{
    size_t at = PGM_STREAM_HEAD;
    uint16_t start = NO_START;
    while (at < max) {
        if (k->cut) {
            at += put_rest(k, to + at, max - at);
            continue;
        }
        if (!k->more && start == NO_START)
            start = (uint16_t)(at - PGM_STREAM_HEAD);
        if (!skip_commands(q))
            break;
        size_t n = put_whole(k, q, to + at, max - at);
        at += n;
        if (n)
            continue;
        int rc = begin_cut(k, q);
        if (rc < 0) {
            /* What is there already goes first. */
            if (at == PGM_STREAM_HEAD)
                return rc;
            break;
        }
    }
    if (at == PGM_STREAM_HEAD)
        return 0;
    put_be16(to, start);
    return (int)at;
}

/* ---- in ---- */

void pgm_unpacker_init(struct pgm_unpacker *u, int64_t max_size, uint32_t max_parts)
{
    memset(u, 0, sizeof *u);
    u->max_size = max_size;
    u->max_parts = max_parts;
    parts_init(&u->parts);
}

static void drop_begun(struct pgm_unpacker *u)
{
    if (u->body) {
        struct msg m;
        msg_init_own_blob(&m, u->body, 0);
        msg_drop(&m);
    }
    u->body = NULL;
    u->in_body = false;
    u->head_len = 0;
    parts_clear(&u->parts);
}

void pgm_unpacker_fini(struct pgm_unpacker *u)
{
    drop_begun(u);
    parts_fini(&u->parts);
}

void pgm_unpacker_lost(struct pgm_unpacker *u)
{
    drop_begun(u);
    u->joined = false;
    u->at = u->end = u->start = NULL;
}

static void violation(struct pgm_unpacker *u)
{
    pgm_unpacker_lost(u);
    u->violations++;
}

void pgm_unpacker_put(struct pgm_unpacker *u, const uint8_t *piece, size_t len, bool first)
{
    u->piece = u->at = piece;
    u->end = piece + len;
    u->start = NULL;
    if (!first) {
        if (!u->joined)
            u->at = u->end;
        return;
    }
    if (len < PGM_STREAM_HEAD) {
        violation(u);
        return;
    }
    uint16_t start = get_be16(piece);
    u->at += PGM_STREAM_HEAD;
    if (start == NO_START) {
        if (!u->joined)
            u->at = u->end;
        return;
    }
    if (start > len - PGM_STREAM_HEAD) {
        violation(u);
        return;
    }
    u->start = u->at + start;
    if (!u->joined) {
        u->at = u->start;
        u->joined = true;
    }
}

void pgm_unpacker_move(struct pgm_unpacker *u, const uint8_t *piece)
{
    if (!u->at)
        return;
    u->end = piece + (u->end - u->piece);
    u->at = piece + (u->at - u->piece);
    if (u->start)
        u->start = piece + (u->start - u->piece);
    u->piece = piece;
}

/* Between two messages. */
static bool at_start(const struct pgm_unpacker *u)
{
    return !u->in_body && u->head_len == 0 && u->parts.len == 0;
}

/* How far the present message may go. */
static const uint8_t *limit(const struct pgm_unpacker *u)
{
    return u->start ? u->start : u->end;
}

/* The frame's length and flags. 1, 0: more bytes are needed, -EBADMSG. */
static int take_head(struct pgm_unpacker *u)
{
    while (u->at < limit(u)) {
        u->head[u->head_len++] = *u->at++;
        uint8_t need = u->head[0] == LONG_LENGTH ? 10 : 2;
        if (u->head_len < need)
            continue;
        uint64_t size = need == 2 ? u->head[0] : get_be64(u->head + 1);
        /* The flags count in the length. */
        if (size == 0 || size - 1 > SIZE_MAX / 2)
            return -EBADMSG;
        if (u->max_size >= 0 && size - 1 > (uint64_t)u->max_size)
            return -EBADMSG;
        if (u->parts.len >= u->max_parts)
            return -EBADMSG;
        u->size = (size_t)size - 1;
        u->have = u->room = 0;
        u->more = u->head[need - 1] & FLAG_MORE;
        u->in_body = true;
        return 1;
    }
    return 0;
}

/* The part is all there. */
static int push_part(struct pgm_unpacker *u, struct msg *m)
{
    m->flags = u->more ? PART_MORE : 0;
    int rc = parts_push(&u->parts, m);
    if (rc)
        return rc;
    u->body = NULL;
    u->in_body = false;
    u->head_len = 0;
    return 1;
}

/* 1, 0: more bytes are needed, -ENOMEM: nothing has changed that cannot be tried again. */
static int take_body(struct pgm_unpacker *u)
{
    struct msg m;
    size_t left = (size_t)(limit(u) - u->at);
    if (!u->body && u->size <= left) {
        int rc = msg_init_copy(&m, u->at, u->size);
        if (rc)
            return rc;
        rc = push_part(u, &m);
        if (rc < 0)
            msg_drop(&m);
        else
            u->at += u->size;
        return rc;
    }
    size_t n = u->size - u->have < left ? u->size - u->have : left;
    if (u->have + n > u->room || !u->body) {
        size_t room = u->room * 2 > GROW_FROM ? u->room * 2 : GROW_FROM;
        if (room > u->size)
            room = u->size;
        struct blob *grown = blob_resize(u->body, room);
        if (!grown)
            return -ENOMEM;
        u->body = grown;
        u->room = room;
    }
    if (n)
        memcpy((uint8_t *)u->body->data + u->have, u->at, n);
    u->have += n;
    u->at += n;
    if (u->have < u->size)
        return 0;
    msg_init_own_blob(&m, u->body, u->size);
    return push_part(u, &m);
}

/* What came cannot be a frame: all up to the next message is dropped. */
static void broken(struct pgm_unpacker *u)
{
    if (!u->start) {
        violation(u);
        return;
    }
    u->violations++;
    drop_begun(u);
    u->at = u->start;
}

int pgm_unpack(struct pgm_unpacker *u)
{
    for (;;) {
        if (u->parts.len && !(u->parts.v[u->parts.len - 1].flags & PART_MORE))
            parts_clear(&u->parts); /* what is left of a message that was taken */
        /* The publisher tells where a message begins: if it is not there, what comes before was
         * torn, and is dropped. */
        if (u->start && u->at == u->start) {
            if (!at_start(u)) {
                u->violations++;
                drop_begun(u);
            }
            u->start = NULL;
        }
        int rc = u->in_body ? 1 : take_head(u);
        if (rc > 0)
            rc = take_body(u);
        if (rc == -ENOMEM)
            return rc;
        if (rc < 0)
            broken(u);
        else if (rc > 0 && !u->more)
            return 1;
        if (rc <= 0 && !u->start)
            return 0;
    }
}
