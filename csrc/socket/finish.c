/* SPDX-License-Identifier: MIT */
#include "socket/finish.h"

#include "net/conn_set_life.h"
#include "pipe/budget.h"
#include "pipe/pattern_ops.h"
#include "pipe/pipe_life.h"
#include "reactor/io_thread.h"
#include "reactor/notify.h"
#include "socket/ctx.h"
#include "socket/monitor.h"
#include "socket/socket.h"

bool socket_try_finish(struct reactor *r)
{
    struct fmq_socket *s = socket_of(r);
    struct pipe_set *pipes = &s->net.pipes;
    if (r->finished)
        return true;
    if (r->polling || r->waiters || conn_set_lingers(&s->net) || conn_set_writes(&s->net))
        return false;
    r->finished = true;
    conn_set_end(&s->net);
    if (reactor_has_mail(r))
        mailbox_run(r);
    timer_cancel(r, &s->linger_timer);
    pipe_set_alarm_off(pipes);
    monitor_stop(s);
    if (pipes->ops->fini)
        pipes->ops->fini(pipes);
    socket_drop_partials(s);
    conn_set_reap(&s->net);
    if (atomic_load(&r->watchers))
        notify_update(r); /* they find out that it is closed */
    if (pipes->budget)
        budget_leave(pipes->budget, pipes);
    if (r->io_thread)
        io_thread_remove(r->io_thread, r);
    ctx_socket_finished(s->ctx);
    return true;
}
