/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/*
 * strerror_r comes in two kinds, told apart by what it returns: POSIX's fills the buffer and
 * returns an int, GNU's returns the text, which need not be in the buffer.
 */
static inline const char *text_posix(int rc, const char *buf)
{
    (void)rc; /* an unknown number fails, but not before "Unknown error" is in the buffer */
    return buf;
}

static inline const char *text_gnu(const char *text, const char *buf)
{
    (void)buf;
    return text;
}

static const char *system_text(int err)
{
    static _Thread_local char buf[128];
    buf[0] = '\0';
    const char *text = _Generic(strerror_r(err, buf, sizeof(buf)),
        int: text_posix,
        default: text_gnu)(strerror_r(err, buf, sizeof(buf)), buf);
    if (text && text[0])
        return text;
    snprintf(buf, sizeof(buf), "Unknown error %d", err);
    return buf;
}

const char *error_text(int err)
{
    switch (err) {
    /* Programs and logs match on these five, so they read as they do with any ZeroMQ library. */
    case FMQ_EFSM:
        return "Operation cannot be accomplished in current state";
    case FMQ_ENOCOMPATPROTO:
        return "The protocol is not compatible with the socket type";
    case FMQ_ETERM:
        return "Context was terminated";
    case FMQ_EMTHREAD:
        return "No thread available";
    case EHOSTUNREACH: /* the system speaks of routes, and what is unknown is a ROUTER's peer */
        return "Host unreachable";
    case FMQ_EFORKED:
        return "The context belongs to the process that forked this one";
    case FMQ_EBROKEN:
        return "A descriptor of the library was closed by another part of the program";
    default:
        return system_text(err);
    }
}

static _Thread_local char detail[512];

void detail_set(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(detail, sizeof(detail), format, ap);
    va_end(ap);
}

void detail_clear(void)
{
    detail[0] = '\0';
}

const char *detail_text(void)
{
    return detail;
}
