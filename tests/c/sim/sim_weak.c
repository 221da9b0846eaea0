/* SPDX-License-Identifier: MIT */
/*
 * What one process sees of what another one writes into shared memory, and when: see sim.h.
 *
 * Each word keeps the values that it had, and each process its own idea of how far it has seen
 * them. A load may tell any value from there on. What an operation promises beyond that is its
 * order's:
 *
 *   acquire   of a value that was stored with release: all that the other process had seen or
 *             written then is seen from now on
 *   seq_cst   of a word is seen by every later one of the same word
 *   relaxed   nothing; and what the process had still to read before it may be read after it
 *
 * Bytes that are copied in are not seen, either, before the process that copied them has stored
 * something with release that was seen. So a store that should be seq_cst and is not lets two
 * processes miss each other, one that should be a release shows a place whose bytes are still the
 * old ones, and so on. What is older than STALE_NS is seen by all, as on any machine.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "sim_engine.h"
#include "stdatomic.h"

#define WORDS_MAX 32 /* what is more is seen at once */
#define VALUES 8
#define LOG_MAX 64
#define STALE_NS 1000

struct view {
    uint32_t seen[WORDS_MAX]; /* the number of a word's value */
    uint64_t bytes[2];        /* of each holder: its copies */
};

struct value {
    uint64_t v;
    uint64_t at; /* when it was stored */
    bool released;
    struct view with;
};

struct word {
    size_t offset;
    uint32_t count; /* of values that it had */
    uint32_t sc;    /* the last one that a seq_cst operation stored or saw */
    struct value values[VALUES];
};

struct copy { /* bytes that were written over */
    uint64_t number, at;
    unsigned holder;
    size_t offset, len;
    uint8_t *old;
};

struct sim_weak {
    struct word words[WORDS_MAX];
    unsigned count;
    struct view views[2];
    struct copy log[LOG_MAX];
    unsigned logged;
    struct { /* the last copy out, which a relaxed store may overtake */
        void *to;
        const void *from;
        size_t n;
    } reading[2];
    bool again[2]; /* a fault: the next load tells what it told before */
};

struct sim_fault sim_fault;

struct sim_weak *sim_weak_new(void)
{
    struct sim_weak *w = calloc(1, sizeof(*w));
    if (!w)
        abort();
    return w;
}

void sim_weak_free(struct sim_weak *w)
{
    for (unsigned i = 0; i < w->logged; i++)
        free(w->log[i].old);
    free(w);
}

static void join(struct view *into, const struct view *v)
{
    for (unsigned i = 0; i < WORDS_MAX; i++)
        into->seen[i] = v->seen[i] > into->seen[i] ? v->seen[i] : into->seen[i];
    for (unsigned i = 0; i < 2; i++)
        into->bytes[i] = v->bytes[i] > into->bytes[i] ? v->bytes[i] : into->bytes[i];
}

/* ---- words ---- */

static uint64_t raw(const volatile void *p, int size)
{
    switch (size) {
    case 1:
        return __atomic_load_n((const volatile uint8_t *)p, __ATOMIC_SEQ_CST);
    case 2:
        return __atomic_load_n((const volatile uint16_t *)p, __ATOMIC_SEQ_CST);
    case 4:
        return __atomic_load_n((const volatile uint32_t *)p, __ATOMIC_SEQ_CST);
    default:
        return __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_SEQ_CST);
    }
}

static void set_raw(volatile void *p, int size, uint64_t v)
{
    switch (size) {
    case 1:
        __atomic_store_n((volatile uint8_t *)p, (uint8_t)v, __ATOMIC_SEQ_CST);
        break;
    case 2:
        __atomic_store_n((volatile uint16_t *)p, (uint16_t)v, __ATOMIC_SEQ_CST);
        break;
    case 4:
        __atomic_store_n((volatile uint32_t *)p, (uint32_t)v, __ATOMIC_SEQ_CST);
        break;
    default:
        __atomic_store_n((volatile uint64_t *)p, v, __ATOMIC_SEQ_CST);
    }
}

static struct value *value(struct word *w, uint32_t number)
{
    return &w->values[number % VALUES];
}

static uint32_t newest(const struct word *w)
{
    return w->count - 1;
}

static struct value *add_value(struct word *w, uint64_t v)
{
    struct value *new = value(w, w->count++);
    memset(new, 0, sizeof(*new));
    new->v = v;
    new->at = sim_now();
    return new;
}

/* NULL: too many words. */
static struct word *word_of(struct sim_weak *w, size_t offset, const volatile void *p, int size)
{
    struct word *found = NULL;
    for (unsigned i = 0; i < w->count && !found; i++) {
        if (w->words[i].offset == offset)
            found = &w->words[i];
    }
    if (!found && w->count < WORDS_MAX) {
        found = &w->words[w->count++];
        found->offset = offset;
        add_value(found, raw(p, size))->at = 0;
    }
    if (found && value(found, newest(found))->v != raw(p, size))
        add_value(found, raw(p, size)); /* written by other means */
    return found;
}

static bool acquires(uint32_t order)
{
    return order != memory_order_relaxed && order != memory_order_release;
}

static bool releases(uint32_t order)
{
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

static bool is_fault(enum sim_operation operation, const char *function)
{
    return sim_fault.function && sim_fault.operation == operation &&
           strcmp(sim_fault.function, function) == 0;
}

static uint32_t weakened(enum sim_operation operation, const char *function, uint32_t order)
{
    return is_fault(operation, function) ? sim_fault.as : order;
}

struct access {
    struct sim_place place;
    struct sim_weak *weak;
    struct word *word;
    unsigned index;
    struct view *view;
};

static bool find_access(struct access *a, const volatile void *p, int size)
{
    a->place = sim_shm_place(p);
    a->weak = sim_shm_weak(a->place.memory);
    a->word = word_of(a->weak, a->place.offset, p, size);
    if (!a->word)
        return false;
    a->index = (unsigned)(a->word - a->weak->words);
    a->view = &a->weak->views[a->place.holder];
    return true;
}

static void see(struct access *a, uint32_t number, uint32_t order)
{
    struct value *v = value(a->word, number);
    if (number > a->view->seen[a->index])
        a->view->seen[a->index] = number;
    if (acquires(order) && v->released)
        join(a->view, &v->with);
    if (order == memory_order_seq_cst && number > a->word->sc)
        a->word->sc = number;
}

/* The oldest value that a load may tell. */
static uint32_t oldest(const struct access *a, uint32_t order)
{
    uint32_t last = newest(a->word), n = a->view->seen[a->index];
    if (order == memory_order_seq_cst && a->word->sc > n)
        n = a->word->sc;
    if (last >= VALUES && n < last - VALUES + 1)
        n = last - VALUES + 1;
    while (n < last && value(a->word, n + 1)->at + STALE_NS < sim_now())
        n++;
    return n;
}

uint64_t sim_shared_load(const volatile void *p, int size, memory_order order, const char *function)
{
    struct access a;
    if (!find_access(&a, p, size))
        return raw(p, size);
    uint32_t as = weakened(SIM_LOAD, function, order);
    bool *again = &a.weak->again[a.place.holder];
    if (*again) {
        *again = false;
        uint32_t last = newest(a.word), n = a.view->seen[a.index];
        return value(a.word, last - n < VALUES ? n : last)->v;
    }
    uint32_t n = newest(a.word), least = oldest(&a, as);
    if (least < n && sim_chance(sim_knobs.weak))
        n = least + sim_below(n - least);
    see(&a, n, as);
    sim_say("%s: at %zu of %u is %llu%s", function, a.place.offset, a.place.holder,
            (unsigned long long)value(a.word, n)->v, n == newest(a.word) ? "" : ", no more");
    return value(a.word, n)->v;
}

static void put(struct access *a, volatile void *p, int size, uint64_t v, uint32_t order,
                const struct value *before)
{
    struct value *new = add_value(a->word, v);
    a->view->seen[a->index] = newest(a->word);
    if (releases(order)) {
        new->released = true;
        new->with = *a->view;
    }
    if (before && before->released) { /* a change carries on what the value before it released */
        new->released = true;
        join(&new->with, &before->with);
    }
    if (order == memory_order_seq_cst)
        a->word->sc = newest(a->word);
    set_raw(p, size, v);
}

void sim_shared_store(volatile void *p, int size, uint64_t v, memory_order order,
                      const char *function)
{
    struct access a;
    if (!find_access(&a, p, size)) {
        set_raw(p, size, v);
        return;
    }
    if (is_fault(SIM_STORE, function) && sim_fault.skip)
        return;
    uint32_t as = weakened(SIM_STORE, function, order);
    put(&a, p, size, v, as, NULL);
    sim_say("%s: at %zu by %u comes %llu", function, a.place.offset, a.place.holder,
            (unsigned long long)v);
    if (is_fault(SIM_LOOK_AGAIN, function))
        a.weak->again[a.place.holder] = true;
    struct sim_weak *w = a.weak;
    unsigned h = a.place.holder;
    if (w->reading[h].n && !releases(as) && sim_chance(sim_knobs.weak)) {
        sim_sleep(sim_below(2 * STALE_NS));
        memcpy(w->reading[h].to, w->reading[h].from, w->reading[h].n);
    }
    w->reading[h].n = 0;
}

uint64_t sim_shared_change(volatile void *p, int size, enum sim_change how, uint64_t v,
                           memory_order order, const char *function)
{
    struct access a;
    uint64_t old = raw(p, size);
    uint64_t new = how == SIM_SET ? v : how == SIM_ADD ? old + v : old - v;
    if (is_fault(SIM_CHANGE_OF, function) && sim_fault.skip)
        return old;
    if (!find_access(&a, p, size)) {
        set_raw(p, size, new);
        return old;
    }
    uint32_t as = weakened(SIM_CHANGE_OF, function, order);
    see(&a, newest(a.word), as);
    struct value before = *value(a.word, newest(a.word));
    put(&a, p, size, new, as, &before);
    sim_say("%s: at %zu by %u comes %llu for %llu", function, a.place.offset, a.place.holder,
            (unsigned long long)new, (unsigned long long)old);
    return old;
}

_Bool sim_shared_compare(volatile void *p, int size, void *expected, uint64_t v, memory_order order,
                         const char *function)
{
    uint64_t old = raw(p, size);
    if (memcmp(expected, &old, (size_t)size) != 0) {
        struct access a;
        if (find_access(&a, p, size))
            see(&a, newest(a.word), order);
        memcpy(expected, &old, (size_t)size);
        return 0;
    }
    sim_shared_change(p, size, SIM_SET, v, order, function);
    return 1;
}

/* ---- bytes ---- */

static void forget_old(struct sim_weak *w)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < w->logged; i++) {
        if (w->log[i].at + STALE_NS < sim_now() || w->logged == LOG_MAX)
            free(w->log[i].old);
        else
            w->log[kept++] = w->log[i];
    }
    w->logged = kept;
}

void sim_copy_in(void *to, const void *from, size_t n)
{
    struct sim_place place = sim_shm_place(to);
    struct sim_weak *w = sim_shm_weak(place.memory);
    forget_old(w);
    struct copy *c = &w->log[w->logged++];
    *c = (struct copy){.number = ++w->views[place.holder].bytes[place.holder],
                       .at = sim_now(),
                       .holder = place.holder,
                       .offset = place.offset,
                       .len = n,
                       .old = malloc(n)};
    if (!c->old)
        abort();
    memcpy(c->old, to, n);
    memcpy(to, from, n);
}

void sim_copy_out(void *to, const void *from, size_t n)
{
    struct sim_place place = sim_shm_place(from);
    struct sim_weak *w = sim_shm_weak(place.memory);
    unsigned other = 1 - place.holder;
    memcpy(to, from, n);
    forget_old(w);
    /* From the last copy back to any that was seen. */
    for (unsigned i = w->logged; i-- > 0;) {
        const struct copy *c = &w->log[i];
        if (c->holder != other)
            continue;
        if (c->number <= w->views[place.holder].bytes[other] || !sim_chance(sim_knobs.weak))
            break;
        for (size_t k = 0; k < c->len; k++) {
            if (c->offset + k >= place.offset && c->offset + k < place.offset + n)
                ((uint8_t *)to)[c->offset + k - place.offset] = c->old[k];
        }
    }
    w->reading[place.holder].to = to;
    w->reading[place.holder].from = from;
    w->reading[place.holder].n = n;
}
