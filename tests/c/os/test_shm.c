/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "os/net.h"
#include "os/shm.h"
#include "os/sys.h"

#ifdef __linux__

#define SIZE (4 * shm_page())

TEST(memory_is_zero_and_keeps_its_size)
{
    void *at;
    int fd = shm_create(SIZE);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(shm_check(fd, SIZE), 0);
    CHECK_EQ(shm_check(fd, 2 * SIZE), -EPROTO);
    CHECK_EQ(ftruncate(fd, 0), -1);
    CHECK_EQ(ftruncate(fd, (off_t)(8 * SIZE)), -1);
    CHECK_EQ(shm_map(fd, 0, SIZE, &at), 0);
    for (size_t i = 0; i < SIZE; i++)
        CHECK_EQ(((uint8_t *)at)[i], 0);
    shm_unmap(at, SIZE);
    net_close(fd);
}

TEST(what_may_shrink_is_no_memory_of_ours)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQ(ftruncate(fd, (off_t)SIZE), 0);
    CHECK_EQ(shm_check(fd, SIZE), -EPROTO);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_EQ(shm_check(fd, SIZE), -EPROTO);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_EQ(shm_check(fd, SIZE), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    CHECK_EQ(shm_check(fd, SIZE), -EPROTO);
    close(fd);
}

TEST(files_and_pipes_and_sockets_are_no_memory_of_ours)
{
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(shm_check(fds[0], SIZE), -EPROTO);
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(shm_check(fds[0], SIZE), -EPROTO);
    close(fds[0]);
    close(fds[1]);
    int file = open("/proc/self/exe", O_RDONLY);
    CHECK_EQ(shm_check(file, SIZE), -EPROTO);
    close(file);
    CHECK_EQ(shm_check(-1, SIZE), -EPROTO);
    int huge = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (huge >= 0) {
        CHECK_EQ(ftruncate(huge, 2 << 20), 0);
        CHECK_EQ(fcntl(huge, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
        CHECK_EQ(shm_check(huge, 2 << 20), -EPROTO);
        close(huge);
    }
}

TEST(a_child_of_a_fork_does_not_have_the_mapping)
{
    void *at;
    int fd = shm_create(SIZE), status;
    CHECK_EQ(shm_map(fd, 0, SIZE, &at), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(msync(at, SIZE, MS_ASYNC) == -1 && errno == ENOMEM ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    shm_unmap(at, SIZE);
    net_close(fd);
}

TEST(a_host_is_known_by_its_name)
{
    char one[SHM_HOST_MAX], two[SHM_HOST_MAX];
    CHECK_EQ(shm_host(true, one), 0);
    CHECK_EQ(shm_host(true, two), 0);
    CHECK_STR(one, two);
    CHECK_EQ(shm_host(false, two), 0);
    CHECK(strcmp(one, two) != 0);
    CHECK(strlen(one) > 36);
    CHECK(!strchr(one, ' '));
}

TEST(the_name_of_the_host_takes_no_descriptor_once_it_is_known)
{
    char one[SHM_HOST_MAX], two[SHM_HOST_MAX];
    struct rlimit before;
    CHECK_EQ(shm_host(true, one), 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {0, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = shm_host(true, two);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(rc, 0);
    CHECK_STR(one, two);
}

TEST(both_ends_of_a_connection_within_the_host_know_it_by_the_same_number)
{
    struct net_addr at, peer, own;
    const char *const hosts[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        if (net_resolve(hosts[i], 0, true, true, &at, 1) != 1)
            continue;
        int listener = net_socket(at.ss.ss_family, SOCK_STREAM), fd;
        if (listener < 0 || net_listen(listener, &at, 4, true, false))
            continue; /* no IPv6 here */
        CHECK_EQ(net_local_addr(listener, &at), 0);
        int client = net_socket(at.ss.ss_family, SOCK_STREAM);
        CHECK(net_connect(client, &at) >= 0);
        while ((fd = net_accept(listener, &peer)) == -EAGAIN)
            ;
        CHECK(fd >= 0);
        CHECK_EQ(net_local_addr(client, &own), 0);
        CHECK(shm_own_number(&own) > 0);
        CHECK_EQ(shm_peer_number(fd, &peer), shm_own_number(&own));
        CHECK_EQ(shm_peer_number(client, &at), shm_own_number(&at));
        net_close(client);
        net_close(fd);
        net_close(listener);
    }
    /* An address that is neither a loopback one nor this end's own. */
    CHECK_EQ(net_resolve("192.0.2.1", 5555, false, true, &peer, 1), 1);
    int fd = net_socket(AF_INET, SOCK_STREAM), fds[2];
    CHECK_EQ(shm_peer_number(fd, &peer), -EHOSTUNREACH);
    net_close(fd);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    memset(&own, 0, sizeof(own));
    own.ss.ss_family = AF_UNIX;
    CHECK_EQ(shm_peer_number(fds[0], &own), getpid());
    CHECK_EQ(shm_own_number(&own), getpid());
    close(fds[0]);
    close(fds[1]);
}

TEST(memory_is_handed_over_with_a_message)
{
    char name[SHM_NAME_MAX], text[SHM_MESSAGE_MAX];
    void *mine, *theirs;
    int memory, listener = shm_listen(name);
    CHECK(listener >= 0);
    CHECK_EQ(shm_accept(listener), -EAGAIN);
    int fd = shm_create(SIZE);
    CHECK_EQ(shm_map(fd, 0, SIZE, &mine), 0);
    CHECK_EQ(shm_hand_over(name, "hello", 5, fd), 0);
    int visitor = shm_accept(listener);
    CHECK(visitor >= 0);
    CHECK_EQ(shm_receive(visitor, text, sizeof(text), &memory), 5);
    CHECK_MEM(text, "hello", 5);
    CHECK(memory >= 0 && memory != fd);
    CHECK(fcntl(memory, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(shm_check(memory, SIZE), 0);
    CHECK_EQ(shm_map(memory, 0, SIZE, &theirs), 0);
    strcpy(mine, "shared");
    CHECK_STR((char *)theirs, "shared");
    shm_unmap(mine, SIZE);
    shm_unmap(theirs, SIZE);
    net_close(memory);
    CHECK_EQ(shm_receive(visitor, text, sizeof(text), &memory), 0);
    CHECK_EQ(memory, -1);
    net_close(fd);
    net_close(visitor);
    net_close(listener);
}

TEST(a_meeting_point_that_is_gone_or_crowded_is_told_at_once)
{
    char name[SHM_NAME_MAX];
    int listener = shm_listen(name), fd = shm_create(SIZE), rc = 0, count = 0;
    while ((rc = shm_hand_over(name, "x", 1, fd)) == 0)
        CHECK(++count < 1000);
    CHECK_EQ(rc, -EAGAIN);
    CHECK(count >= 16);
    net_close(listener);
    CHECK_EQ(shm_hand_over(name, "x", 1, fd), -ECONNREFUSED);
    net_close(fd);
}

static int visit(const char *name)
{
    struct sockaddr_un {
        sa_family_t family;
        char path[108];
    } un = {.family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    memcpy(un.path + 1, name, strlen(name));
    socklen_t len = (socklen_t)(sizeof(sa_family_t) + 1 + strlen(name));
    CHECK_EQ(connect(fd, (void *)&un, len), 0);
    return fd;
}

static void send_fds(int to, size_t len, int count)
{
    static char text[70000];
    struct iovec iov = {text, len};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 253)];
    } control;
    memset(&control, 0, sizeof(control));
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count) {
        msg.msg_control = control.space;
        msg.msg_controllen =
            (__typeof__(msg.msg_controllen))CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = (__typeof__(c->cmsg_len))CMSG_LEN(sizeof(int) * (size_t)count);
        for (int i = 0; i < count; i++)
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &to, sizeof(int));
    }
    CHECK_EQ(sendmsg(to, &msg, 0), (ssize_t)len);
}

TEST(a_visitor_with_many_descriptors_leaves_none_of_them)
{
    char name[SHM_NAME_MAX], text[SHM_MESSAGE_MAX];
    int listener = shm_listen(name), memory;
    int there = visit(name);
    int visitor = shm_accept(listener);
    int before = check_count_fds();
    CHECK_EQ(shm_receive(visitor, text, sizeof(text), &memory), -EAGAIN);
    send_fds(there, 10, 0);
    CHECK_EQ(shm_receive(visitor, text, sizeof(text), &memory), 10);
    CHECK_EQ(memory, -1);
    static const int counts[] = {2, 3, 64, 253};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        send_fds(there, 10, counts[i]);
        CHECK_EQ(shm_receive(visitor, text, sizeof(text), &memory), -EPROTO);
        CHECK_EQ(memory, -1);
        CHECK_EQ(check_count_fds(), before);
    }
    send_fds(there, 5000, 1); /* longer than any message */
    CHECK_EQ(shm_receive(visitor, text, sizeof(text), &memory), -EPROTO);
    CHECK_EQ(check_count_fds(), before);
    close(there);
    net_close(visitor);
    net_close(listener);
}

#ifdef FMQ_DEBUG /* only there can calls be made to fail */
TEST(what_fails_on_the_way_leaves_no_descriptor)
{
    void *at;
    char name[SHM_NAME_MAX];
    int before = check_count_fds();
    static const enum sys_call meeting[] = {SYS_SOCKET, SYS_BIND, SYS_LISTEN};
    static const enum sys_call making[] = {SYS_SHM_CREATE, SYS_SHM_SIZE};
    static const enum sys_call going[] = {SYS_SOCKET, SYS_CONNECT, SYS_SEND};
    for (int i = 0; i < 3; i++) {
        sys_fail_call(meeting[i], 1, 0, 0);
        CHECK(shm_listen(name) < 0);
    }
    for (int i = 0; i < 2; i++) {
        sys_fail_call(making[i], 1, 0, 0);
        CHECK(shm_create(SIZE) < 0);
    }
    sys_fail_at(0, 0, 0);
    int fd = shm_create(SIZE), listener = shm_listen(name);
    sys_fail_call(SYS_SHM_MAP, 1, 0, 0);
    CHECK_EQ(shm_map(fd, 0, SIZE, &at), -ENOMEM);
    for (int i = 0; i < 3; i++) {
        sys_fail_call(going[i], 1, 0, 0);
        CHECK(shm_hand_over(name, "x", 1, fd) < 0);
    }
    sys_fail_at(0, 0, 0);
    net_close(listener);
    net_close(fd);
    CHECK_EQ(check_count_fds(), before);
}
#endif

#else

TEST(there_is_none_of_it_here)
{
    void *at;
    CHECK_EQ(shm_create(shm_page()), -ENOTSUP);
    CHECK_EQ(shm_map(0, 0, shm_page(), &at), -ENOTSUP);
}

#endif
