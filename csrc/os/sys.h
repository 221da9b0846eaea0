/* SPDX-License-Identifier: MIT */
/*
 * System calls that tests can make fail. Builds with FMQ_DEBUG count the calls that are wrapped in
 * SYS(), and fail a chosen one without making it, with an error that it can really have. In other
 * builds SYS() is the call itself.
 */
#ifndef OS_SYS_H
#define OS_SYS_H

/* What may fail, and how: the errors of a call are tried in turn (sys_fail_at). */
#define SYS_CALLS(X)                                                                               \
    X(SOCKET, EMFILE, ENOBUFS, ENFILE, ENOMEM)                                                     \
    X(ACCEPT, EMFILE, ECONNABORTED, EINTR, ENOBUFS, EPERM)                                         \
    X(BIND, EADDRNOTAVAIL, EADDRINUSE, ENOMEM)                                                     \
    X(LISTEN, ENOBUFS)                                                                             \
    X(CONNECT, ECONNREFUSED, EADDRNOTAVAIL, EAGAIN, ENETUNREACH, ENOBUFS)                          \
    X(CONNECT_RESULT, ECONNREFUSED, ETIMEDOUT)                                                     \
    X(GETSOCKNAME, ENOBUFS)                                                                        \
    X(SETSOCKOPT, ENOMEM)                                                                          \
    X(RECV, ECONNRESET, EAGAIN, EINTR, ETIMEDOUT)                                                  \
    X(SEND, EPIPE, EAGAIN, ENOBUFS, ECONNRESET, EINTR)                                             \
    X(SEND_DATAGRAMS, EAGAIN, ENOBUFS, ECONNREFUSED, EMSGSIZE, ENETUNREACH)                        \
    X(RECV_DATAGRAMS, EAGAIN, EINTR, ECONNREFUSED, ENOMEM)                                         \
    X(UNACKED, EINVAL)                                                                             \
    X(EPOLL_CREATE, EMFILE, ENOMEM)                                                                \
    X(EPOLL_ADD, ENOSPC, ENOMEM)                                                                   \
    X(WAIT, EINTR) /* epoll_wait */                                                                \
    X(POLL, EINTR, ENOMEM)                                                                         \
    X(WAKEUP, EMFILE, ENFILE, ENOMEM) /* making one: eventfd, pipe */                              \
    X(SIGNAL, EINTR)                  /* writing to it */                                          \
    X(DRAIN, EINTR)                   /* reading from it */                                        \
    X(FCNTL, EBADF)                                                                                \
    X(THREAD, EAGAIN)                                                                              \
    X(RESOLVE, EAGAIN)                                                                             \
    X(IFADDRS, ENOBUFS)                                                                            \
    X(RANDOM, EINTR, ENOSYS)                                                                       \
    X(SHM_CREATE, EMFILE, ENOMEM, ENOSYS)                                                          \
    X(SHM_SIZE, ENOMEM, ENOSPC)                                                                    \
    X(SHM_MAP, ENOMEM)

/* What no system call that is made rightly answers: others have closed our descriptors. These are
 * counted by sys_fail_call alone. */
#define SYS_LOSSES(X)                                                                              \
    X(POLLER_LOST, EBADF, EINVAL)                                                                  \
    X(WAKEUP_LOST, EBADF)

#define SYS_ERRORS_MAX 5u /* of a call */

#ifdef FMQ_DEBUG

#include <errno.h>

#define SYS_NAME(name, ...) SYS_##name,
enum sys_call { SYS_CALLS(SYS_NAME) SYS_LOSSES(SYS_NAME) SYS_CALL_COUNT };
#undef SYS_NAME

/* 0, or the error with which this call is to fail; errno is set to it. */
int sys_fault(enum sys_call call);

/* The value of a call that answers -1 on failure. */
#define SYS(name, call) (sys_fault(SYS_##name) ? -1 : (call))
/* For those that answer in other ways. */
#define SYS_FAULT(name) sys_fault(SYS_##name)

/*
 * The nth call from now fails, and `more` calls of the same kind right after it: with the error
 * that stands at place `which` in its list, counted round. nth 0: no more faults.
 */
void sys_fail_at(long nth, unsigned which, long more);
/* The same, counting calls of one kind alone. */
void sys_fail_call(enum sys_call call, long nth, unsigned which, long more);
/* The name of the call that failed since then, and its error; NULL: none did. */
const char *sys_failed(int *error);

#else

#define SYS(name, call) (call)
#define SYS_FAULT(name) 0

#endif

#endif
