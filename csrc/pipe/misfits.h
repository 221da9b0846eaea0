/* SPDX-License-Identifier: MIT */
/*
 * Messages that a peer sends with another number of frames than the pattern's messages have
 * (pattern_ops.frames): several parts for a type whose messages have one.
 */
#ifndef PIPE_MISFITS_H
#define PIPE_MISFITS_H

#include <stdint.h>

struct pipe;

/*
 * Takes them out of what came behind the first `before` messages of `in`, in one pass; of one that
 * has not come to its end also what is still to come. Returns how many they were; *bytes is what
 * they had. For patterns that have `frames`.
 */
uint32_t pipe_take_out_misfits(struct pipe *p, uint32_t before, uint64_t *bytes);

#endif
