/* SPDX-License-Identifier: MIT */
/* Memory for what the program is to send. */
#include "base/alloc.h"
#include "net/lend.h"
#include "socket/ctx.h"

int fmq_ctx_alloc(fmq_ctx *ctx, size_t size, struct fmq_block *out)
{
    *out = (struct fmq_block){.size = size};
    if (fmq_ctx_forked(ctx))
        return -FMQ_EFORKED;
    /* Smaller bodies are copied anyhow, in less time than it takes to hand over their place. */
    struct arena *a = size < ARENA_BODY_MIN ? NULL : arena_get(&ctx->arena);
    if (a) {
        out->data = lend_alloc(&ctx->arena, a, size);
        if (out->data)
            out->owner = a;
        arena_unref(a); /* a block keeps it */
    }
    if (!out->data)
        out->data = mem_alloc(size ? size : 1);
    return out->data ? 0 : -ENOMEM;
}

void fmq_block_free(struct fmq_block *b)
{
    if (b->owner)
        arena_free(b->data, b->owner);
    else
        mem_free(b->data);
    b->data = NULL;
}
