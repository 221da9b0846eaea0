/* SPDX-License-Identifier: MIT */
// needs: engine
/* The window into a process: opened, looked through and closed, also where something fails. */
#include "check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine.h"

static char folder[64];

static void own_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/fmqXXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    CHECK_EQ(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
}

static void remove_folder(void)
{
    char path[80];
    snprintf(path, sizeof(path), "%s/fastmq", folder);
    rmdir(path);
    CHECK_EQ(rmdir(folder), 0); /* nothing was left in it */
}

TEST(a_window_opens_once_and_closes_without_a_trace)
{
    own_folder();
    long fds = fmq_open_fds();
    char path[104], again[104];
    fmq_inspect_path(path);
    CHECK_STR(path, "");
    eng_must(fmq_inspect_serve(), "serve");
    fmq_inspect_path(path);
    eng_must(fmq_inspect_serve(), "serve again");
    fmq_inspect_path(again);
    CHECK_STR(path, again);
    CHECK_EQ(access(path, F_OK), 0);
    fmq_inspect_stop();
    fmq_inspect_stop();
    CHECK(access(path, F_OK) != 0);
    CHECK_EQ(fmq_open_fds(), fds);
    remove_folder();
}

TEST(a_child_of_a_fork_opens_a_window_of_its_own_and_leaves_its_parents)
{
    own_folder();
    char path[104], own[104];
    eng_must(fmq_inspect_serve(), "serve");
    fmq_inspect_path(path);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fmq_inspect_path(own);
        int status = own[0] ? 1 : 0;
        status |= fmq_inspect_serve() ? 2 : 0;
        fmq_inspect_path(own);
        status |= access(own, F_OK) ? 4 : 0;
        status |= strcmp(own, path) == 0 ? 8 : 0;
        fmq_inspect_stop();
        status |= access(own, F_OK) ? 0 : 16;
        _exit(status);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    fmq_inspect_path(own);
    CHECK_STR(own, path);
    CHECK_EQ(access(path, F_OK), 0);
    fmq_inspect_stop();
    remove_folder();
}

#ifdef FMQ_DEBUG
TEST(a_window_that_finds_no_memory_leaves_nothing_open)
{
    own_folder();
    long fds = fmq_open_fds(), blocks = mem_live();
    bool failed = true;
    for (long nth = 1; failed; nth++) {
        mem_fail_at(nth);
        int rc = fmq_inspect_serve();
        failed = mem_failed() > 0;
        mem_fail_at(0);
        CHECK(rc == 0 || failed);
        if (rc == 0)
            fmq_inspect_stop();
        CHECK_EQ(fmq_open_fds(), fds);
        CHECK_EQ(mem_live(), blocks);
        CHECK(nth < 1000);
    }
    remove_folder();
}

TEST(a_snapshot_that_finds_no_memory_is_refused_or_says_what_it_left_off)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *pull = eng_socket(ctx, FMQ_PULL), *push = eng_socket(ctx, FMQ_PUSH);
    struct eng_name name = eng_bind(pull, "tcp");
    eng_connect(push, &name);
    eng_send(push, "x");
    eng_expect(pull, "x");
    bool failed = true;
    for (long nth = 1; failed; nth++) {
        char *text = NULL;
        size_t len = 0;
        mem_fail_at(nth);
        int rc = fmq_snapshot("snapshot", &text, &len);
        failed = mem_failed() > 0;
        mem_fail_at(0);
        CHECK(rc == 0 || (rc == -ENOMEM && failed));
        if (rc == 0) {
            CHECK(len > 2 && text[0] == '{' && text[len - 1] == '}');
            fmq_snapshot_free(text);
        }
        CHECK(nth < 1000);
    }
    eng_close(pull);
    eng_close(push);
    eng_end(ctx);
}
#endif

TEST(what_is_no_query_is_refused)
{
    static const char *const wrong[] = {"", "snap", "snapshot x", "snapshot topic=g0",
                                        "snapshot peers=-1"};
    char *text = NULL;
    size_t len;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_EQ(fmq_snapshot(wrong[i], &text, &len), -EINVAL);
}
