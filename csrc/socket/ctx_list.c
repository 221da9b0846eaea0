/* SPDX-License-Identifier: MIT */
#include "socket/ctx_list.h"

#include <errno.h>

#include "base/alloc.h"
#include "os/thread.h"

static struct mutex lock = MUTEX_INITIALIZER; /* comes before a context's */
static struct list all = {&all, &all};
static uint64_t count_made;

void ctx_list_add(struct ctx_entry *entry)
{
    mutex_lock(&lock);
    entry->number = ++count_made;
    list_push_back(&all, &entry->node);
    mutex_unlock(&lock);
}

void ctx_list_remove(struct ctx_entry *entry)
{
    mutex_lock(&lock);
    list_remove(&entry->node);
    mutex_unlock(&lock);
}

void ctx_list_fork_prepare(void)
{
    mutex_lock(&lock);
}

void ctx_list_fork_parent(void)
{
    mutex_unlock(&lock);
}

void ctx_list_fork_child(void)
{
    list_init(&all); /* the parent's memory is given up */
    mutex_unlock(&lock);
}

long ctx_list_hold(struct ctx_entry ***out)
{
    long n = 0;
    mutex_lock(&lock);
    size_t most = ctx_list_length(&all);
    *out = most ? mem_alloc(most * sizeof(**out)) : NULL;
    if (most && !*out)
        n = -ENOMEM;
    if (*out) {
        LIST_FOR(it, &all)
        {
            struct ctx_entry *entry = LIST_ENTRY(it, struct ctx_entry, node);
            if (ctx_list_try_ref(&entry->refs))
                (*out)[n++] = entry;
        }
    }
    mutex_unlock(&lock);
    return n;
}
