/* SPDX-License-Identifier: MIT */
/* Routing ids of SERVER and PEER: numbers that this side gives to its pipes, and which pipe a
 * number means. Numbers follow one another, so the table has hardly a collision. */
#ifndef PATTERN_NUMBERS_H
#define PATTERN_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

struct pipe;

struct numbers {
    struct numbered *slots; /* open addressing; NULL before the first */
    uint32_t cap;           /* a power of two, at least twice `len` */
    uint32_t len;
    uint32_t next; /* the next number to be given out */
};

struct numbered {
    struct pipe *pipe; /* NULL: a free slot */
    uint32_t number;
};

/* The first number is random, so that one of an earlier socket hardly ever means a pipe of this
 * one. */
void numbers_init(struct numbers *t);
void numbers_fini(struct numbers *t);
/* Gives the pipe a number that no other has, never 0. 0 or -ENOMEM. */
int numbers_add(struct numbers *t, struct pipe *p, uint32_t *number);
/* No pipe has the number any more; it may have had none. */
void numbers_remove(struct numbers *t, uint32_t number);

/* NULL: no pipe has it. */
static inline struct pipe *numbers_find(const struct numbers *t, uint32_t number)
{
    if (!t->cap)
        return NULL;
    uint32_t i = number & (t->cap - 1);
    while (t->slots[i].pipe && t->slots[i].number != number)
        i = (i + 1) & (t->cap - 1);
    return t->slots[i].pipe;
}

#endif
