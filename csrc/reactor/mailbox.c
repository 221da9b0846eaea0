/* SPDX-License-Identifier: MIT */
#include "reactor/mailbox.h"

#include "reactor/loop_list.h"
#include "reactor/signal.h"
#include "reactor/state.h"

void mailbox_post(struct reactor *r, struct cmd *cmd, bool urgent)
{
    if (atomic_exchange(&cmd->queued, true))
        return;
    struct cmd *head = atomic_load_explicit(&r->mailbox, memory_order_relaxed);
    do
        cmd->next = head;
    while (!atomic_compare_exchange_weak(&r->mailbox, &head, cmd));
    bool asleep = atomic_exchange(&r->asleep, false);
    unsigned watchers = atomic_load(&r->watchers);
    if (watchers == 1 && !asleep && !urgent && atomic_load(&r->notify.loop))
        loop_post(r);
    else if (asleep)
        reactor_signal_once(r);
    else if (urgent || watchers)
        reactor_call(r);
}

void mailbox_run(struct reactor *r)
{
    struct cmd *list = atomic_exchange(&r->mailbox, NULL);
    struct cmd *ordered = NULL;
    while (list) {
        struct cmd *next = list->next;
        list->next = ordered;
        ordered = list;
        list = next;
    }
    while (ordered) {
        struct cmd *cmd = ordered;
        ordered = cmd->next;
        atomic_store(&cmd->queued, false);
        cmd->run(r, cmd);
    }
}
