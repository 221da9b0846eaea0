/* SPDX-License-Identifier: MIT */
// needs: engine
/* Contexts: their options, their limits, and how they end. */
#include "check.h"

#include <errno.h>

#include "engine.h"
#include "socket/ctx.h"

enum {
    IO_THREADS = 1,
    MAX_SOCKETS = 2,
    SOCKET_LIMIT = 3,
    THREAD_PRIORITY = 3,
    THREAD_SCHED_POLICY = 4,
    MAX_MSGSZ = 5,
    MSG_T_SIZE = 6,
    AFFINITY_ADD = 7,
    AFFINITY_REMOVE = 8,
    NAME_PREFIX = 9,
    ZERO_COPY_RECV = 10,
    IPV6 = 42,
    BLOCKY = 70
};

static int64_t get(fmq_ctx *ctx, int option)
{
    int64_t value = -77;
    CHECK_EQ(fmq_ctx_get(ctx, option, &value), 0);
    return value;
}

TEST(options_have_defaults_and_ranges)
{
    static const struct {
        int option, standard, least, most;
    } rows[] = {{IO_THREADS, 1, 0, CTX_MAX_IO_THREADS},
                {MAX_SOCKETS, 1023, 1, 65535},
                {MAX_MSGSZ, INT32_MAX, 0, INT32_MAX},
                {ZERO_COPY_RECV, 1, 0, 1},
                {IPV6, 0, 0, 1},
                {BLOCKY, 1, 0, 1}};
    fmq_ctx *ctx = eng_ctx();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(get(ctx, rows[i].option), rows[i].standard);
        CHECK_EQ(fmq_ctx_set(ctx, rows[i].option, rows[i].most), 0);
        CHECK_EQ(get(ctx, rows[i].option), rows[i].most);
        CHECK_EQ(fmq_ctx_set(ctx, rows[i].option, rows[i].least), 0);
        CHECK_EQ(fmq_ctx_set(ctx, rows[i].option, (int64_t)rows[i].least - 1), -EINVAL);
        CHECK_EQ(fmq_ctx_set(ctx, rows[i].option, (int64_t)rows[i].most + 1), -EINVAL);
        CHECK_EQ(get(ctx, rows[i].option), rows[i].least);
    }
    CHECK_EQ(get(ctx, SOCKET_LIMIT), 65535);
    CHECK_EQ(get(ctx, MSG_T_SIZE), 64);
    CHECK_EQ(get(ctx, THREAD_SCHED_POLICY), -1);
    CHECK_EQ(fmq_ctx_set(ctx, THREAD_SCHED_POLICY, 0), 0);
    CHECK_EQ(get(ctx, THREAD_SCHED_POLICY), 0);
    CHECK_EQ(fmq_ctx_set(ctx, THREAD_SCHED_POLICY, -1), -EINVAL);
    CHECK_EQ(fmq_ctx_set(ctx, THREAD_PRIORITY, -1), -EINVAL);
    CHECK_EQ(fmq_ctx_set(ctx, THREAD_PRIORITY, 0), 0);
    CHECK_EQ(fmq_ctx_set(ctx, MSG_T_SIZE, 64), -EINVAL);
    CHECK_EQ(fmq_ctx_set(ctx, 999, 1), -EINVAL);
    int64_t value;
    CHECK_EQ(fmq_ctx_get(ctx, 999, &value), -EINVAL);
    CHECK_EQ(fmq_ctx_get(ctx, AFFINITY_ADD, &value), -EINVAL);
    eng_end(ctx);
}

TEST(processors_are_added_once_and_removed)
{
    fmq_ctx *ctx = eng_ctx();
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_REMOVE, 0), -EINVAL); /* it is not there */
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, -1), -EINVAL);
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, 3), 0);
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, 3), 0);
    CHECK_EQ(ctx->cpu_count, 1);
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, 5), 0);
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_REMOVE, 3), 0);
    CHECK(ctx->cpu_count == 1 && ctx->cpus[0] == 5);
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_REMOVE, 3), -EINVAL);
    for (int cpu = 100; cpu < 163; cpu++)
        CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, cpu), 0);
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, 163), -EINVAL); /* 64 are the most */
    CHECK_EQ(fmq_ctx_set(ctx, AFFINITY_ADD, 162), 0);
    eng_end(ctx);
}

TEST(a_name_of_threads_has_a_longest_prefix)
{
    fmq_ctx *ctx = eng_ctx();
    CHECK_EQ(fmq_ctx_set_name_prefix(ctx, "12345678901234567"), -EINVAL);
    CHECK_EQ(fmq_ctx_set_name_prefix(ctx, "1234567890123456"), 0);
    CHECK_STR(ctx->name_prefix, "1234567890123456");
    CHECK_EQ(fmq_ctx_set(ctx, NAME_PREFIX, 42), 0);
    CHECK_STR(ctx->name_prefix, "42");
    CHECK_EQ(fmq_ctx_set(ctx, NAME_PREFIX, -1), -EINVAL);
    eng_end(ctx);
}

TEST(a_context_has_so_many_sockets_at_once_as_max_sockets_says)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s[2], *more;
    eng_must(fmq_ctx_set(ctx, MAX_SOCKETS, 2), "MAX_SOCKETS");
    for (int i = 0; i < 2; i++)
        s[i] = eng_socket(ctx, FMQ_PUSH);
    CHECK_EQ(fmq_socket_new(ctx, FMQ_PUSH, &more), -EMFILE);
    eng_close(s[0]);
    s[0] = eng_socket(ctx, FMQ_PULL);
    CHECK_EQ(fmq_socket_new(ctx, 77, &more), -EINVAL);
    CHECK(strstr(fmq_last_detail(), "socket type 77 is not known"));
    eng_close(s[0]);
    eng_close(s[1]);
    eng_end(ctx);
}

TEST(a_limit_in_bytes_is_first_set_before_there_are_sockets)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    CHECK_EQ(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, 1000), -EINVAL);
    CHECK(strstr(fmq_last_detail(), "before the context has sockets"));
    CHECK_EQ(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, 0), 0); /* as it is */
    CHECK_EQ(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, -1), -EINVAL);
    CHECK(strstr(fmq_last_detail(), "0 (no limit) or more"));
    eng_close(s);
    eng_end(ctx);

    ctx = eng_ctx();
    CHECK_EQ(get(ctx, ENG_MAX_QUEUED_BYTES), 0);
    CHECK_EQ(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, INT64_C(5000000000)), 0);
    CHECK_EQ(get(ctx, ENG_MAX_QUEUED_BYTES), INT64_C(5000000000));
    s = eng_socket(ctx, FMQ_PUSH);
    CHECK_EQ(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, 1000), 0);
    CHECK_EQ(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, 0), 0);
    CHECK_EQ(get(ctx, ENG_MAX_QUEUED_BYTES), 0);
    eng_close(s);
    eng_end(ctx);
}

TEST(a_sender_beyond_the_limit_in_bytes_goes_on_when_there_is_room)
{
    fmq_ctx *ctx = eng_ctx();
    eng_must(fmq_ctx_set(ctx, ENG_MAX_QUEUED_BYTES, 10), "MAX_QUEUED_BYTES");
    fmq_socket *push = eng_socket(ctx, FMQ_PUSH), *pull = eng_socket(ctx, FMQ_PULL);
    struct eng_name name = eng_bind(pull, "inproc");
    eng_connect(push, &name);
    eng_send(push, "12345678");
    CHECK_EQ(eng_try_send(push, "12345678"), -EAGAIN);
    CHECK_EQ(fmq_events(push), 0);
    eng_expect(pull, "12345678");
    eng_wait(push, FMQ_POLLOUT);
    eng_send(push, "12345678");
    eng_expect(pull, "12345678");
    eng_close(push);
    eng_close(pull);
    eng_end(ctx);
}

TEST(sockets_begin_with_what_their_context_says)
{
    fmq_ctx *ctx = eng_ctx();
    int64_t value;
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    eng_must(fmq_get_int(s, ENG_LINGER, &value), "LINGER");
    CHECK_EQ(value, -1);
    eng_must(fmq_ctx_set(ctx, BLOCKY, 0), "BLOCKY");
    eng_must(fmq_ctx_set(ctx, IPV6, 1), "IPV6");
    fmq_socket *later = eng_socket(ctx, FMQ_PUSH);
    eng_must(fmq_get_int(later, ENG_LINGER, &value), "LINGER");
    CHECK_EQ(value, 0);
    eng_must(fmq_get_int(later, IPV6, &value), "IPV6");
    CHECK_EQ(value, 1);
    eng_close(s);
    eng_close(later);
    eng_end(ctx);
}

TEST(without_io_threads_inproc_is_all_there_is)
{
    fmq_ctx *ctx = eng_ctx();
    eng_must(fmq_ctx_set(ctx, IO_THREADS, 0), "IO_THREADS");
    fmq_socket *a = eng_socket(ctx, FMQ_PAIR), *b = eng_socket(ctx, FMQ_PAIR);
    struct eng_name name = eng_bind(a, "inproc");
    eng_connect(b, &name);
    eng_send(b, "hello");
    eng_expect(a, "hello");
    CHECK_EQ(fmq_bind(a, "tcp://127.0.0.1:*"), -FMQ_EMTHREAD);
    eng_close(a);
    eng_close(b);
    eng_end(ctx);
}

TEST(what_keeps_a_context_from_ending_is_listed_and_linger_ends_it)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *open = eng_socket(ctx, FMQ_PULL), *closed = eng_socket(ctx, FMQ_PUSH);
    struct fmq_pending rows[2];
    eng_must(fmq_connect(closed, "tcp://127.0.0.1:1"), "connect");
    eng_send(closed, "unsent");
    eng_must(fmq_close(closed), "close");
    CHECK_EQ(fmq_ctx_term(ctx, 0), -EAGAIN);
    CHECK_EQ(fmq_ctx_pending(ctx, rows, 1), 2); /* all are counted, one is shown */
    CHECK_EQ(fmq_ctx_pending(ctx, rows, 2), 2);
    CHECK(rows[0].type == FMQ_PULL && rows[0].open && rows[0].messages == 0);
    CHECK(rows[1].type == FMQ_PUSH && !rows[1].open && rows[1].messages == 1);
    CHECK_EQ(rows[1].linger, -1);
    CHECK_STR(rows[1].endpoint, "tcp://127.0.0.1:1");
    fmq_socket *late;
    CHECK_EQ(fmq_socket_new(ctx, FMQ_PULL, &late), -FMQ_ETERM);
    fmq_ctx_linger(ctx, -1); /* says nothing */
    uint64_t until = eng_until(20);
    do
        CHECK_EQ(fmq_ctx_pending(ctx, rows, 2), 2);
    while (eng_left(until));
    fmq_ctx_linger(ctx, 0);
    ENG_UNTIL(fmq_ctx_pending(ctx, rows, 2) == 1);
    eng_close(open);
    fmq_socket_free(closed);
    eng_end(ctx);
}

TEST(the_thread_that_looks_names_up_ends_with_its_context)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    eng_set(s, ENG_LINGER, 0);
    eng_must(fmq_connect(s, "tcp://localhost:1"), "connect");
    eng_close(s);
    eng_end(ctx);
}

TEST(a_socket_outlives_the_handle_of_its_context)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    eng_must(fmq_close(s), "close");
    int rc;
    while ((rc = fmq_ctx_term(ctx, ENG_WAIT_MS)) == -EINTR)
        ;
    CHECK_EQ(rc, 0);
    fmq_ctx_free(ctx);
    CHECK(fmq_closed(s));
    CHECK_EQ(fmq_socket_type(s), FMQ_PUSH);
    fmq_socket_free(s);
}

TEST(a_context_that_has_ended_holds_no_descriptor)
{
    fmq_ctx *ctx = eng_ctx();
    eng_close(eng_socket(ctx, FMQ_PUSH));
    struct fmq_context_stats stats;
    CHECK_EQ(fmq_ctx_stats(ctx, &stats), 0);
    CHECK(stats.descriptors > 0); /* those of its thread */
    int rc;
    while ((rc = fmq_ctx_term(ctx, ENG_WAIT_MS)) == -EINTR)
        ;
    CHECK_EQ(rc, 0);
    CHECK_EQ(fmq_ctx_stats(ctx, &stats), 0);
    CHECK_EQ(stats.descriptors, 0);
    CHECK_EQ(fmq_ctx_term(ctx, 0), 0); /* again */
    fmq_ctx_free(ctx);
}

TEST(calls_end_with_eterm_when_their_context_is_about_to_end)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL), *t = eng_socket(ctx, FMQ_PULL);
    struct msg m;
    eng_must(fmq_close(s), "close");
    CHECK_EQ(fmq_recv_part(s, &m, NULL, 0), -ENOTSOCK);
    fmq_ctx_ending(ctx);
    eng_must(fmq_ctx_shutdown(ctx), "shutdown");
    CHECK_EQ(fmq_recv_part(t, &m, NULL, -1), -FMQ_ETERM);
    CHECK_EQ(fmq_events(t), -FMQ_ETERM);
    eng_must(fmq_close(t), "close");
    CHECK_EQ(fmq_recv_part(t, &m, NULL, -1), -ENOTSOCK); /* closed comes first */
    CHECK_EQ(fmq_close(t), -ENOTSOCK);
    fmq_socket_free(s);
    fmq_socket_free(t);
    eng_end(ctx);
}
