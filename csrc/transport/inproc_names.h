/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_INPROC_NAMES_H
#define TRANSPORT_INPROC_NAMES_H

#include "base/map.h"
#include "os/thread.h"

/* The names of a context. */
struct inproc_names {
    struct mutex lock;  /* a leaf: taken under sockets' locks */
    struct map bound;   /* name -> struct bound_name */
    struct map pending; /* name -> struct inproc_wait: connected before bind */
};

#endif
