/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the whole engine share. Every wait has a deadline, and what it waited for is
 * said when that passes; -EINTR, which a waiting call may answer at any time, is gone over here.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <errno.h>

#include "fastmq.h"
#include "os/clock.h"
#include "os/thread.h"

#define ENG_WAIT_MS 5000
#define ENG_LINGER 17
#define ENG_RECONNECT_IVL 18
#define ENG_SNDBUF 11
#define ENG_SHM 10020
#define ENG_RCVBUF 12
#define ENG_SNDHWM 23
#define ENG_RCVHWM 24
#define ENG_LAST_ENDPOINT 32
#define ENG_SUBSCRIBE 6
#define ENG_PLAIN_SERVER 44
#define ENG_PLAIN_USERNAME 45
#define ENG_PLAIN_PASSWORD 46
#define ENG_CURVE_SERVER 47
#define ENG_CURVE_PUBLICKEY 48
#define ENG_CURVE_SECRETKEY 49
#define ENG_CURVE_SERVERKEY 50
#define ENG_ZAP_DOMAIN 55
#define ENG_HEARTBEAT_IVL 75
#define ENG_SNDHWM_BYTES 10006
#define ENG_RCVHWM_BYTES 10007
#define ENG_MAX_QUEUED_BYTES 10008 /* of contexts */

static const char *const eng_transports[] = {"tcp", "ipc", "inproc"};
#define ENG_TRANSPORTS 3

/* A negative result that was not expected ends the test. */
static inline int eng_must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s (%d)\n", what, fmq_strerror(-rc), rc);
        check_failed();
    }
    return rc;
}

static inline int eng_left(uint64_t until)
{
    uint64_t now = clock_now();
    return now >= until ? 0 : (int)((until - now + NS_PER_MS - 1) / NS_PER_MS);
}

static inline uint64_t eng_until(int ms)
{
    return clock_now() + (uint64_t)ms * NS_PER_MS;
}

static long eng_fds; /* what a failed test before has left open */

static inline fmq_ctx *eng_ctx(void)
{
    fmq_ctx *ctx;
    eng_fds = fmq_open_fds();
    eng_must(fmq_ctx_new(&ctx), "ctx_new");
    return ctx;
}

/* Terminates and frees; all descriptors must be gone. */
static inline void eng_end(fmq_ctx *ctx)
{
    uint64_t until = eng_until(ENG_WAIT_MS);
    int rc;
    while ((rc = fmq_ctx_term(ctx, eng_left(until))) == -EINTR)
        ;
    if (rc) {
        struct fmq_pending rows[8];
        int n = fmq_ctx_pending(ctx, rows, 8);
        fprintf(stderr, "the context does not end: %d sockets\n", n);
        for (int i = 0; i < n && i < 8; i++)
            fprintf(stderr, "    type %d, %s, %llu messages, %s\n", rows[i].type,
                    rows[i].open ? "open" : "closed", (unsigned long long)rows[i].messages,
                    rows[i].endpoint);
        check_failed();
    }
    fmq_ctx_free(ctx);
    CHECK_EQ(fmq_open_fds(), eng_fds);
}

static inline fmq_socket *eng_socket(fmq_ctx *ctx, int type)
{
    fmq_socket *s;
    eng_must(fmq_socket_new(ctx, type, &s), "socket_new");
    return s;
}

static inline void eng_set(fmq_socket *s, int option, int value)
{
    eng_must(fmq_set_int(s, option, value), "set_int");
}

static inline void eng_close(fmq_socket *s)
{
    eng_must(fmq_close(s), "close");
    fmq_socket_free(s);
}

struct eng_name {
    char text[512];
};

/* Binds to a fresh address of the transport. */
static inline struct eng_name eng_bind(fmq_socket *s, const char *transport)
{
    struct eng_name name;
    static atomic_int counter;
    if (strcmp(transport, "tcp") == 0)
        eng_must(fmq_bind(s, "tcp://127.0.0.1:*"), "bind tcp");
    else if (strcmp(transport, "ipc") == 0)
        eng_must(fmq_bind(s, "ipc://*"), "bind ipc");
    else {
        snprintf(name.text, sizeof(name.text), "inproc://n%d", atomic_fetch_add(&counter, 1));
        eng_must(fmq_bind(s, name.text), "bind inproc");
    }
    size_t len = sizeof(name.text) - 1;
    eng_must(fmq_get_bytes(s, ENG_LAST_ENDPOINT, name.text, &len), "LAST_ENDPOINT");
    name.text[len] = 0;
    return name;
}

static inline void eng_connect(fmq_socket *s, const struct eng_name *name)
{
    eng_must(fmq_connect(s, name->text), "connect");
}

static inline int eng_send_bytes(fmq_socket *s, const void *data, size_t size, bool more, int ms)
{
    struct msg m;
    int rc = msg_init_copy(&m, data, size);
    if (rc)
        return rc;
    uint64_t until = eng_until(ms);
    while ((rc = fmq_send(s, &m, 1, more, ms ? eng_left(until) : 0)) == -EINTR)
        ;
    if (rc)
        msg_drop(&m);
    return rc;
}

static inline int eng_try_send(fmq_socket *s, const char *text)
{
    return eng_send_bytes(s, text, strlen(text), false, 0);
}

static inline void eng_send(fmq_socket *s, const char *text)
{
    eng_must(eng_send_bytes(s, text, strlen(text), false, ENG_WAIT_MS), text);
}

static inline void eng_send_more(fmq_socket *s, const char *text)
{
    eng_must(eng_send_bytes(s, text, strlen(text), true, ENG_WAIT_MS), text);
}

static inline int eng_recv(fmq_socket *s, struct parts *p, int ms)
{
    uint64_t until = eng_until(ms);
    int rc;
    while ((rc = fmq_recv(s, p, NULL, ms ? eng_left(until) : 0)) == -EINTR)
        ;
    return rc;
}

/* The parts of a message, joined by '|'. */
static inline void eng_text(const struct parts *p, char *out, size_t size)
{
    size_t at = 0;
    for (uint32_t i = 0; i < p->len; i++) {
        size_t n = msg_size(&p->v[i]);
        if (i && at + 1 < size)
            out[at++] = '|';
        if (n > size - 1 - at)
            n = size - 1 - at;
        memcpy(out + at, msg_data(&p->v[i]), n);
        at += n;
    }
    out[at] = 0;
}

/* The next message is this one; a router's unknown first part is left out with skip = 1. */
static inline void eng_expect_from(fmq_socket *s, const char *text, uint32_t skip)
{
    struct parts p;
    char got[512];
    parts_init(&p);
    int rc = eng_recv(s, &p, ENG_WAIT_MS);
    if (rc) {
        fprintf(stderr, "waited for '%s' on a socket of type %d: %s\n", text, fmq_socket_type(s),
                fmq_strerror(-rc));
        check_failed();
    }
    CHECK(p.len > skip);
    parts_remove_front(&p, skip);
    eng_text(&p, got, sizeof(got));
    parts_fini(&p);
    CHECK_STR(got, text);
}

static inline void eng_expect(fmq_socket *s, const char *text)
{
    eng_expect_from(s, text, 0);
}

static inline void eng_expect_none(fmq_socket *s, int ms)
{
    struct parts p;
    parts_init(&p);
    int rc = eng_recv(s, &p, ms);
    parts_fini(&p);
    CHECK_EQ(rc, -EAGAIN);
}

static inline void eng_wait(fmq_socket *s, int events)
{
    uint64_t until = eng_until(ENG_WAIT_MS);
    int rc;
    while ((rc = fmq_poll_one(s, events, eng_left(until))) == -EINTR)
        ;
    if (rc <= 0) {
        fprintf(stderr, "waited for events %d on a socket of type %d: %d\n", events,
                fmq_socket_type(s), rc);
        check_failed();
    }
}

/* Waits for a condition that nothing announces. */
#define ENG_UNTIL(cond)                                                                            \
    do {                                                                                           \
        uint64_t eng_limit = eng_until(ENG_WAIT_MS);                                               \
        while (!(cond)) {                                                                          \
            if (eng_left(eng_limit) == 0) {                                                        \
                fprintf(stderr, "%s:%d: waited for %s\n", __FILE__, __LINE__, #cond);              \
                check_failed();                                                                    \
            }                                                                                      \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

/* Processor time of the whole process, ns. */
static inline uint64_t eng_cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
