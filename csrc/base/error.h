/* SPDX-License-Identifier: MIT */
/*
 * Errors are negative errno values. ZeroMQ adds a few of its own, far above any errno of an
 * operating system, with the values that every ZeroMQ binding knows.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <errno.h>

#define FMQ_HAUSNUMERO 156384712
#define FMQ_EFSM (FMQ_HAUSNUMERO + 51)
#define FMQ_ENOCOMPATPROTO (FMQ_HAUSNUMERO + 52)
#define FMQ_ETERM (FMQ_HAUSNUMERO + 53)
#define FMQ_EMTHREAD (FMQ_HAUSNUMERO + 54)
/* fastmq's own: the handle belongs to the process that forked. */
#define FMQ_EFORKED (FMQ_HAUSNUMERO + 101)
/* A descriptor of ours fails as only one that was closed by others does. */
#define FMQ_EBROKEN (FMQ_HAUSNUMERO + 102)

/* Text for a positive error number; never NULL, never to be freed. */
const char *error_text(int err);

/* What exactly was wrong with the calling thread's last call, in words: set beside an error code
 * that alone says too little. Cut at 511 bytes. */
void detail_set(const char *format, ...) __attribute__((format(printf, 1, 2)));
void detail_clear(void);
/* "" when nothing was set since detail_clear. Valid until the thread's next detail_set. */
const char *detail_text(void);

#endif
