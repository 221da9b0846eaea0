/* SPDX-License-Identifier: MIT */
/* Resolves names in a separate thread, started for the first name, so that neither a caller nor an
 * I/O thread waits for a name server. */
#ifndef REACTOR_RESOLVER_H
#define REACTOR_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "os/net.h"
#include "os/thread.h"
#include "reactor/mailbox.h"

#define RESOLVE_MAX_ADDRESSES 8

struct reactor;
struct resolver;

/* A context's resolver, and the place where it is once it has been started. */
struct resolver_slot {
    struct mutex lock; /* a leaf */
    struct resolver *resolver;
};

struct resolve_job {
    struct cmd done;         /* posted to `reactor` when finished; frees the job */
    struct reactor *reactor; /* referenced meanwhile */
    char host[256];
    uint16_t port;
    bool ipv6;
    void *owner; /* the asker's; guarded by the reactor's lock */
    struct net_addr out[RESOLVE_MAX_ADDRESSES];
    int result; /* how many addresses, or a negative errno */
    struct list node;
};

void resolver_init(struct resolver_slot *slot);
/* Begins to look the name up; the reactor's lock may be held. 0 or a negative errno. */
int resolver_submit(struct resolver_slot *slot, struct resolve_job *job);
/* Ends the thread; jobs that wait end with -ECANCELED. */
void resolver_stop(struct resolver_slot *slot);
void resolver_fini(struct resolver_slot *slot);

#endif
