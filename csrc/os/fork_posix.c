/* SPDX-License-Identifier: MIT */
#include "os/fork.h"

#include <pthread.h>
#include <stddef.h>

unsigned fork_generation;

static void (*in_child)(void);

static void child(void)
{
    fork_generation++;
    in_child();
}

void fork_handlers(void (*prepare)(void), void (*parent)(void), void (*after_in_child)(void))
{
    in_child = after_in_child;
    pthread_atfork(prepare, parent, child);
}
