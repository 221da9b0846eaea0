/* SPDX-License-Identifier: MIT */
/* Ancillary data of datagrams and streams. For files of os/. */
#ifndef OS_CMSG_H
#define OS_CMSG_H

#include <stdint.h>
#include <sys/socket.h>

/* The next one, or NULL. In musl the macro compares lengths of different signs. */
static inline struct cmsghdr *cmsg_next(const struct msghdr *h, struct cmsghdr *c)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
    return CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, c);
#pragma GCC diagnostic pop
}

#endif
