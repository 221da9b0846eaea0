/* SPDX-License-Identifier: MIT */
/*
 * The readiness notifier signals a reactor's readiness to watchers: poll sets, event loops, and
 * programs that poll FD. Watchers see network events in the reactor's poller. Readiness that no
 * connection's descriptor shows (a queued message, room at the HWM) is signalled by two further
 * descriptors, one for POLLIN and one for POLLOUT, which are readable for as long as it lasts. They
 * are not in the reactor's poller, so they wake neither a caller that waits in the reactor nor the
 * I/O thread. They are created for the first watcher.
 */
#ifndef REACTOR_NOTIFY_H
#define REACTOR_NOTIFY_H

#include <stdbool.h>

struct notifier;
struct reactor;

void notify_init(struct notifier *w);
/* Makes the descriptors that show these events, where they are not there yet. 0 or -EMFILE etc. */
int notify_make_signals(struct reactor *r, int events);
/* One watcher more, which may come to want these events (FMQ_POLLIN, FMQ_POLLOUT), or one less.
 * Lock held. 0 or -EMFILE etc. */
int notify_add(struct reactor *r, int events);
void notify_remove(struct reactor *r);
/* A watcher wants these events to be shown from now on, or no more. Lock held. */
void notify_want(struct reactor *r, int events, bool want);
/* A watcher looks at the socket itself before it sleeps, or no more: its descriptors need not show
 * input that comes. Lock held. */
void notify_direct(struct reactor *r, bool direct);
/* Whether a watcher relies on the descriptors. Lock held. */
bool notify_is_watched(struct reactor *r);
/* Makes the descriptors show the truth; called on leaving the socket. Lock held. */
void notify_update(struct reactor *r);
/* The descriptor to be watched for the event beside the poller; made by notify_add. */
int notify_signal_fd(const struct reactor *r, int event);
/* The one descriptor that shows all: readable when EVENTS may have changed. Lock held. */
int notify_export_fd(struct reactor *r, int *fd);
/* EVENTS was read as `events` by FD's holder: if not writable then, becoming so will be shown. Lock
 * held. */
void notify_reported(struct reactor *r, int events);
/* FD's holder made a call that would have to wait. Sending, it waits for room as if it had read
 * EVENTS; receiving, it has seen that there is room, if that is shown, and need not be woken for it
 * again: it may never ask for EVENTS. Lock held. */
void notify_refused(struct reactor *r, bool sending);
/* No thread is inside any more. */
void notify_fini(struct reactor *r);

#endif
