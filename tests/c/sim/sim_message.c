/* SPDX-License-Identifier: MIT */
/* The messages of the simulated world, and what must hold of each: see sim_world.h. */
#include <string.h>

#include "msg/meta.h"
#include "sim.h"
#include "sim_world.h"

static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t id_of(const struct header *h)
{
    return scramble(world.salt ^ (uint64_t)h->scene << 48 ^ (uint64_t)h->source << 40 ^ h->number);
}

struct header message_header(const struct scene *c, unsigned source, uint32_t number)
{
    struct header h = {.scene = (uint8_t)c->index, .source = (uint8_t)source, .number = number};
    uint64_t id = id_of(&h);
    h.topic = (uint8_t)('a' + id % 3);
    h.parts = c->conflate || c->single || id >> 8 & 3 ? 1 : (uint8_t)(1 + (id >> 16) % 5);
    return h;
}

static size_t size_of(const struct header *h, unsigned part)
{
    uint64_t x = scramble(id_of(h) + part);
    size_t least = part == 0 ? sizeof(*h) : 0;
    unsigned kind = (unsigned)(x % 32);
    x >>= 8;
    if (kind < 4 && world.large)
        return least + (size_t)(x % 200000);
    if (kind < 3)
        return least + (size_t)(x % 20000);
    return least + (size_t)(x % (kind < 10 ? 600 : 40));
}

static uint8_t byte_of(uint64_t id, unsigned part, size_t i)
{
    return (uint8_t)((id >> part % 7 * 8) + i * 7 + i / 251);
}

int message_part(struct msg *m, const struct header *h, unsigned part)
{
    uint8_t *data;
    size_t size = size_of(h, part);
    uint64_t id = id_of(h);
    int rc = msg_init_blob(m, size, &data);
    if (rc)
        return rc;
    for (size_t i = 0; i < size; i++)
        data[i] = byte_of(id, part, i);
    if (part == 0)
        memcpy(data, h, sizeof(*h));
    return 0;
}

/* Makes sure that these are the parts of one message, all of them and nothing else. */
static struct header check_whole(const struct scene *c, const struct msg *v, uint32_t n)
{
    struct header h;
    if (n == 0 || msg_size(&v[0]) < sizeof(h))
        sim_fail("a message of %u parts begins with one of %zu bytes", n, n ? msg_size(&v[0]) : 0);
    memcpy(&h, msg_data(&v[0]), sizeof(h));
    if (h.scene != c->index || h.source >= c->source_count || h.number == 0 ||
        h.number >= NUMBERS_MAX)
        sim_fail("what was received is no message of this scene");
    struct header wanted = message_header(c, h.source, h.number);
    if (memcmp(&h, &wanted, sizeof(h)) != 0)
        sim_fail("the head of message %u of source %u is damaged", h.number, h.source);
    if (n != h.parts)
        sim_fail("message %u of source %u has %u parts instead of %u", h.number, h.source, n,
                 h.parts);
    uint64_t id = id_of(&h);
    for (unsigned part = 0; part < n; part++) {
        const uint8_t *data = msg_data(&v[part]);
        size_t size = msg_size(&v[part]);
        if (size != size_of(&h, part))
            sim_fail("part %u of message %u of source %u has %zu bytes instead of %zu", part,
                     h.number, h.source, size, size_of(&h, part));
        for (size_t i = part ? 0 : sizeof(h); i < size; i++) {
            if (data[i] != byte_of(id, part, i))
                sim_fail("byte %zu of part %u of message %u of source %u is wrong", i, part,
                         h.number, h.source);
        }
    }
    return h;
}

/* ---- what must hold of a message that came ---- */

static void check_order(struct worker *t, const struct header *h, struct meta *meta)
{
    const struct scene *c = t->member->scene;
    /* Within a process there is nothing to tell two connections by. */
    if (world_faulty() && !meta)
        return;
    if (!world_faulty())
        meta = NULL; /* one connection is all there is */
    struct order *o = NULL;
    for (unsigned i = 0; i < t->order_count && !o; i++) {
        if (t->orders[i].meta == meta && t->orders[i].source == h->source)
            o = &t->orders[i];
    }
    if (!o && t->order_count == ORDERS_MAX)
        return;
    if (!o) {
        o = &t->orders[t->order_count++];
        *o = (struct order){meta, h->source, 0};
        if (meta)
            meta_ref(meta);
    }
    if (h->number <= o->last)
        sim_fail("message %u of source %u of scene %u came after %u", h->number, h->source,
                 c->index, o->last);
    o->last = h->number;
}

static void check_latency(const struct worker *t, const struct header *h)
{
    const struct scene *c = t->member->scene;
    const struct source *from = &c->sources[h->source];
    if (world.profile != BOUNDED_LATENCY)
        return;
    uint64_t since = t->wait_from, at = from->at[h->number];
    if (!at)
        return; /* its send has not even come back */
    since = at > since ? at : since;
    since = c->up_at > since ? c->up_at : since;
    if (sim_now() > since + LATENCY_BOUND_NS)
        sim_fail("message %u of source %u of scene %u took %.3f ms to a thread that waited for it",
                 h->number, h->source, c->index, (double)(sim_now() - since) / 1e6);
}

struct header message_came(struct worker *t, const struct msg *v, uint32_t n, struct meta *meta,
                           unsigned slot, bool ordered)
{
    struct member *m = t->member;
    struct scene *c = m->scene;
    struct header h = check_whole(c, v, n);
    struct book *b = &c->books[h.source][slot];
    sim_event("got", (uint64_t)h.source, h.number);
    if (b->seen[h.number] && c->resend && slot == 0)
        return h;
    if (b->seen[h.number])
        sim_fail("message %u of source %u of scene %u came twice", h.number, h.source, c->index);
    b->seen[h.number] = true;
    b->count++;
    b->last = h.number > b->last ? h.number : b->last;
    if (m->topic && h.topic != m->topic)
        sim_fail("message %u of source %u is none that was subscribed to", h.number, h.source);
    if (c->sources[h.source].healed_from && h.number >= c->sources[h.source].healed_from)
        b->healed = true;
    if (ordered)
        check_order(t, &h, meta);
    if (slot != 1 || c->pattern == FAN)
        check_latency(t, &h);
    t->wait_from = sim_now();
    return h;
}
