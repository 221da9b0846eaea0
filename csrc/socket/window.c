/* SPDX-License-Identifier: MIT */
#include "socket/window.h"

#include <stddef.h>

#include "os/thread.h"

static struct mutex lock = MUTEX_INITIALIZER;
static struct window *window;

struct window **window_lock(void)
{
    mutex_lock(&lock);
    return &window;
}

void window_unlock(void)
{
    mutex_unlock(&lock);
}

void window_fork_prepare(void)
{
    mutex_lock(&lock);
}

void window_fork_parent(void)
{
    mutex_unlock(&lock);
}

void window_fork_child(void)
{
    window = NULL; /* the parent's: its memory is given up, its descriptors are closed */
    mutex_unlock(&lock);
}
