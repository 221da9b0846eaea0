/* SPDX-License-Identifier: MIT */
#include "socket/zap_socket.h"

#include <errno.h>

#include "pipe/option_ids.h"
#include "socket/create.h"
#include "socket/ctx.h"
#include "socket/socket.h"
#include "socket/zap.h"

int zap_socket_prepare(struct fmq_socket *s, int option)
{
    if (option != OPT_PLAIN_SERVER && option != OPT_CURVE_SERVER && option != OPT_ZAP_DOMAIN)
        return 0;
    if (!s->net.pipes.reactor.io_thread || s->net.pipes.reactor.fork_generation != fork_generation)
        return 0; /* no network, no peers to ask about */
    mutex_lock(&s->ctx->lock);
    bool have = s->ctx->zap;
    mutex_unlock(&s->ctx->lock);
    if (have)
        return 0;
    struct fmq_socket *z;
    int rc = socket_new(s->ctx, &zap_pattern, true, &z);
    return rc == -EEXIST ? 0 : rc;
}

bool zap_socket_end(struct fmq_ctx *ctx)
{
    mutex_lock(&ctx->lock);
    struct fmq_socket *zap = atomic_load(&ctx->alive) == 1 ? ctx->zap : NULL;
    if (zap)
        ctx->zap = NULL;
    mutex_unlock(&ctx->lock);
    if (zap)
        fmq_socket_free(zap);
    return zap;
}
