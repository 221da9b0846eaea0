/* SPDX-License-Identifier: MIT */
/* The events of a poller, shared by its interface (os/poller.h) and its backends. */
#ifndef OS_POLLER_EVENTS_H
#define OS_POLLER_EVENTS_H

#include <stdint.h>

#define POLLER_IN 1u
#define POLLER_OUT 2u
#define POLLER_ERR 4u /* reported only: error or hang-up; IN is reported with it */
#define POLLER_PRI 8u
#define POLLER_ONESHOT 16u /* reports once, then silent until the next mod */
/* Asking for none of IN, OUT, PRI sets a descriptor aside: silent, but for one report of an error.
 */

struct poller; /* begins with a pointer to the backend's table */

struct poller_event {
    void *data;
    uint32_t events;
};

#endif
