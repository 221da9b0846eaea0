/* SPDX-License-Identifier: MIT */
/*
 * Endpoints as a program may write them. Input: flags, then the text. Flags: 01 bind, 02 IPv6,
 * 04 the text is a whole endpoint, given to a socket that cannot reach the network (otherwise it
 * is what stands behind tcp://, or with 08 behind ipc://, 10 udp://, 20 epgm://, 40 ws://).
 */
#include <errno.h>

#include "base/alloc.h"
#include "fastmq.h"
#include "fuzz.h"
#include "net/transport_ops.h"
#include "socket/registry.h"

#define DETAIL_SIZE 200

static void parse(const char *scheme, const char *text, bool bind, bool ipv6)
{
    const struct transport_ops *tr;
    const char *rest;
    char endpoint[16];
    snprintf(endpoint, sizeof(endpoint), "%s://x", scheme);
    CHECK(transport_of(endpoint, &tr, &rest) == 0 && strcmp(tr->scheme, scheme) == 0);
    struct address *a = malloc(sizeof(*a));
    /* Exactly as large as promised, so that a write past the end is seen. */
    char *detail = malloc(DETAIL_SIZE);
    memset(a, 0xa5, sizeof(*a));
    detail[0] = 0;
    int rc = tr->parse(a, text, bind, ipv6, detail);
    CHECK(memchr(detail, 0, DETAIL_SIZE));
    if (rc) {
        CHECK(rc == -EINVAL || rc == -ENAMETOOLONG);
        CHECK(detail[0]);
    } else {
        CHECK(memchr(a->path, 0, sizeof(a->path)));
        CHECK((a->path[0] == '/') == (strcmp(scheme, "ws") == 0));
        CHECK(memchr(a->host, 0, sizeof(a->host)));
        CHECK(memchr(a->src_host, 0, sizeof(a->src_host)));
        CHECK(a->count >= 0 && a->count <= ADDRESS_MAX_CANDIDATES);
        CHECK(!a->has_src || !bind || tr->open); /* datagrams: the interface */
        for (int i = 0; i < a->count; i++) {
            CHECK(a->at[i].len > 0 && a->at[i].len <= sizeof(a->at[i].ss));
            char name[256];
            if (!tr->peer_name)
                continue;
            tr->peer_name(&a->at[i], name, sizeof(name));
            CHECK(memchr(name, 0, sizeof(name)));
        }
    }
    free(detail);
    free(a);
}

/* A type that the transport carries. */
static int type_for(const char *text, bool bind)
{
    if (strncmp(text, "udp:", 4) == 0)
        return bind ? FMQ_DISH : FMQ_RADIO;
    if (strncmp(text, "pgm:", 4) == 0 || strncmp(text, "epgm:", 5) == 0)
        return FMQ_SUB;
    return FMQ_PULL;
}

/* Without engine threads only inproc can be reached; the rest ends after the text was split. */
static void use(const char *text, bool bind)
{
    fmq_ctx *ctx;
    fmq_socket *s;
    if (fmq_ctx_new(&ctx) || fmq_ctx_set(ctx, 1, 0) ||
        fmq_socket_new(ctx, type_for(text, bind), &s))
        abort();
    int rc = bind ? fmq_bind(s, text) : fmq_connect(s, text);
    if (rc == 0) {
        CHECK(strncmp(text, "inproc://", 9) == 0);
        char last[512];
        size_t len = sizeof(last);
        CHECK(fmq_get_bytes(s, 32, last, &len) == 0);
        CHECK(len == strlen(text) && memcmp(last, text, len) == 0);
        if (bind)
            CHECK(fmq_bind(s, text) == -EADDRINUSE);
        CHECK((bind ? fmq_unbind(s, text) : fmq_disconnect(s, text)) == 0);
    } else {
        CHECK(rc == -EINVAL || rc == -EPROTONOSUPPORT || rc == -FMQ_EMTHREAD);
        CHECK(rc == -FMQ_EMTHREAD || fmq_last_detail()[0]);
        CHECK((bind ? fmq_unbind(s, text) : fmq_disconnect(s, text)) < 0);
    }
    fmq_close(s);
    fmq_socket_free(s);
    CHECK(fmq_ctx_term(ctx, 1000) == 0);
    fmq_ctx_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned flags = input_u8(&in);
    long live = mem_live();
    char *text = malloc(in.left + 1);
    if (in.left)
        memcpy(text, in.at, in.left);
    text[in.left] = 0;
    if (flags & 4)
        use(text, flags & 1);
    else
        parse(flags & 8    ? "ipc"
              : flags & 16 ? "udp"
              : flags & 32 ? "epgm"
              : flags & 64 ? "ws"
                           : "tcp",
              text, flags & 1, flags & 2);
    free(text);
    CHECK_EQ(mem_live(), live);
    return 0;
}
