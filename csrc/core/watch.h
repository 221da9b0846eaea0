/* SPDX-License-Identifier: MIT */
/*
 * Who waits for a socket from outside of it: poll sets, and the holder of FD. What is on the
 * network they see in the socket's poller; readiness that no connection's descriptor shows (a
 * queued message, room at the HWM) is shown by two descriptors of their own, one for POLLIN and one
 * for POLLOUT, readable for as long as it lasts. They are not in the socket's poller, so neither a
 * caller that waits in the socket nor the background thread is woken by them. Made when the first
 * watcher comes.
 */
#ifndef CORE_WATCH_H
#define CORE_WATCH_H

#include "core/socket.h"

/* One watcher more, who may come to want these events (FMQ_POLLIN, FMQ_POLLOUT), or one less. Lock
 * held. 0 or -EMFILE etc. */
int watch_add(struct fmq_socket *s, int events);
void watch_remove(struct fmq_socket *s);
/* A watcher wants these events to be shown from now on, or no more. Lock held. */
void watch_want(struct fmq_socket *s, int events, bool want);
/* Makes the descriptors show the truth; called on leaving the socket. Lock held. */
void watch_update(struct fmq_socket *s);
/* The descriptor to be watched for the event beside the poller; made by watch_add. */
int watch_signal_fd(const struct fmq_socket *s, int event);
/* The one descriptor that shows all: readable when EVENTS may have changed. Lock held. */
int watch_export(struct fmq_socket *s, int *fd);
/* FD's holder was told `events`: when it is not writable, becoming so will be shown. Lock held. */
void watch_told(struct fmq_socket *s, int events);
/* Nobody can be inside any more. */
void watch_fini(struct fmq_socket *s);

#endif
