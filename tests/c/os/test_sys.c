/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <errno.h>

#include "os/net.h"
#include "os/sys.h"
#include "os/wakeup.h"

static int make_socket(void)
{
    int fd = net_socket(AF_INET, SOCK_STREAM);
    net_close(fd);
    return fd < 0 ? fd : 0;
}

TEST(the_nth_call_fails_with_the_error_that_was_chosen)
{
    int error;
    sys_fail_at(2, 0, 0);
    CHECK_EQ(make_socket(), 0);
    CHECK(!sys_failed(NULL));
    CHECK_EQ(make_socket(), -EMFILE);
    CHECK_STR(sys_failed(&error), "SOCKET");
    CHECK_EQ(error, EMFILE);
    CHECK_EQ(make_socket(), 0);
    sys_fail_at(1, 1, 0);
    CHECK_EQ(make_socket(), -ENOBUFS);
    sys_fail_at(1, 4, 0); /* counted round: it has four */
    CHECK_EQ(make_socket(), -EMFILE);
    sys_fail_at(1, 0, 0);
    sys_fail_at(0, 0, 0);
    CHECK_EQ(make_socket(), 0);
}

TEST(a_fault_that_lasts_meets_calls_of_its_kind_alone)
{
    struct wakeup w;
    sys_fail_at(1, 0, 2);
    CHECK_EQ(make_socket(), -EMFILE);
    CHECK_EQ(wakeup_init(&w), 0);
    wakeup_fini(&w);
    CHECK_EQ(make_socket(), -EMFILE);
    CHECK_EQ(make_socket(), -EMFILE);
    CHECK_EQ(make_socket(), 0);
    sys_fail_call(SYS_WAKEUP, 2, 1, 0);
    CHECK_EQ(make_socket(), 0);
    CHECK_EQ(wakeup_init(&w), 0);
    wakeup_fini(&w);
    CHECK_EQ(make_socket(), 0);
    CHECK_EQ(wakeup_init(&w), -ENFILE);
    sys_fail_at(0, 0, 0);
}
