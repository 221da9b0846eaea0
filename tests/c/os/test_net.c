/* SPDX-License-Identifier: MIT */
// needs: base os
#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "os/net.h"

static const struct net_stream_opts no_opts = {.sndbuf = -1,
                                               .rcvbuf = -1,
                                               .tos = -1,
                                               .priority = -1,
                                               .keepalive = -1,
                                               .keepalive_cnt = -1,
                                               .keepalive_idle = -1,
                                               .keepalive_intvl = -1,
                                               .maxrt_ms = -1,
                                               .busy_poll = -1};

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    CHECK_EQ(poll(&p, 1, -1), 1);
}

static struct net_addr literal(const char *host, uint16_t port)
{
    struct net_addr a;
    CHECK_EQ(net_resolve(host, port, true, true, &a, 1), 1);
    return a;
}

static struct net_addr unix_addr(const char *path, size_t len)
{
    struct net_addr a;
    memset(&a, 0, sizeof(a));
    struct sockaddr_un *un = (struct sockaddr_un *)&a.ss;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return a;
}

static int listen_at(struct net_addr *addr)
{
    int fd = net_socket(addr->ss.ss_family, SOCK_STREAM);
    CHECK(fd >= 0);
    CHECK_EQ(net_listen(fd, addr, 10, true, false), 0);
    CHECK_EQ(net_local_addr(fd, addr), 0);
    return fd;
}

static void check_flags(int fd)
{
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* A connected pair over `addr`; the listener is closed again. */
static void connect_over(struct net_addr *addr, int *client, int *server)
{
    struct net_addr peer, local;
    char a[128], b[128];
    int listener = listen_at(addr);
    CHECK_EQ(net_accept(listener, &peer), -EAGAIN);
    *client = net_socket(addr->ss.ss_family, SOCK_STREAM);
    int result = net_connect(*client, addr);
    CHECK(result == 0 || result == 1);
    wait_for(listener, POLLIN);
    *server = net_accept(listener, &peer);
    CHECK(*server >= 0);
    wait_for(*client, POLLOUT);
    CHECK_EQ(net_connect_result(*client), 0);
    check_flags(listener);
    check_flags(*client);
    check_flags(*server);
    CHECK_EQ(net_local_addr(*client, &local), 0);
    net_addr_text(&peer, a, sizeof(a));
    net_addr_text(&local, b, sizeof(b));
    CHECK_STR(a, b);
    net_close(listener);
}

static void check_stream(int client, int server)
{
    char buf[64];
    CHECK_EQ(net_recv(server, buf, sizeof(buf)), -EAGAIN);
    CHECK_EQ(net_send(client, "hello ", 6), 6);
    struct iovec iov[3] = {{"wor", 3}, {"", 0}, {"ld", 2}};
    CHECK_EQ(net_sendv(client, iov, 3), 5);
    size_t have = 0;
    while (have < 11) {
        wait_for(server, POLLIN);
        ssize_t n = net_recv(server, buf + have, sizeof(buf) - have);
        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK_MEM(buf, "hello world", 11);
    net_close(client);
    wait_for(server, POLLIN);
    CHECK_EQ(net_recv(server, buf, sizeof(buf)), 0);
    /* Writing to who has gone ends in an error and in no signal. */
    void (*old)(int) = signal(SIGPIPE, SIG_DFL);
    ssize_t n;
    do {
        n = net_send(server, "x", 1);
    } while (n > 0);
    CHECK(n == -EPIPE || n == -ECONNRESET);
    CHECK_EQ(net_sendv(server, iov, 3), -EPIPE);
    signal(SIGPIPE, old);
    net_close(server);
}

TEST(tcp_carries_bytes_both_families)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 2; i++) {
        struct net_addr addr = literal(hosts[i], 0);
        int client, server;
        int probe = net_socket(addr.ss.ss_family, SOCK_STREAM);
        if (probe < 0 || net_listen(probe, &addr, 1, true, false) < 0) {
            net_close(probe);
            continue; /* a machine without that family */
        }
        net_close(probe);
        connect_over(&addr, &client, &server);
        net_nodelay(client);
        int value = 0;
        socklen_t len = sizeof(value);
        CHECK_EQ(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
        CHECK(value);
        check_stream(client, server);
    }
}

TEST(unix_sockets_carry_bytes_and_credentials)
{
    char dir[] = "/tmp/fmq-net-XXXXXX";
    char path[64];
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    struct net_addr addr = unix_addr(path, strlen(path) + 1);
    int client, server;
    connect_over(&addr, &client, &server);
    unlink(path);
    rmdir(dir);
    char text[128];
    net_addr_text(&addr, text, sizeof(text));
    CHECK_STR(text, path);
    uint32_t pid, uid, gid;
    CHECK_EQ(net_peer_cred(server, &pid, &uid, &gid), 0);
    CHECK_EQ(pid, getpid());
    CHECK_EQ(uid, geteuid());
    CHECK_EQ(gid, getegid());
    CHECK(net_peer_cred(-1, &pid, &uid, &gid) < 0);
    check_stream(client, server);
}

#ifdef __linux__
/* The system does not know it any more: what accept says is all there is. */
TEST(accept_tells_the_address_of_a_connection_that_was_reset)
{
    struct net_addr addr = literal("127.0.0.1", 0), local, peer;
    int listener = listen_at(&addr);
    int client = net_socket(AF_INET, SOCK_STREAM);
    CHECK(net_connect(client, &addr) >= 0);
    wait_for(listener, POLLIN);
    CHECK_EQ(net_local_addr(client, &local), 0);
    struct linger reset = {1, 0};
    CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    net_close(client);
    int server = net_accept(listener, &peer);
    CHECK(server >= 0);
    socklen_t len = sizeof(peer.ss);
    CHECK(getpeername(server, (struct sockaddr *)&local.ss, &len) < 0);
    char a[128], b[128];
    net_addr_text(&peer, a, sizeof(a));
    net_addr_text(&local, b, sizeof(b));
    CHECK_STR(a, b);
    net_close(server);
    net_close(listener);
}

TEST(abstract_unix_sockets_work)
{
    char name[64];
    name[0] = 0;
    int n = snprintf(name + 1, sizeof(name) - 1, "fmq-net-%d", (int)getpid());
    struct net_addr addr = unix_addr(name, (size_t)n + 1);
    int client, server;
    connect_over(&addr, &client, &server);
    char text[128];
    name[0] = '@';
    net_addr_text(&addr, text, sizeof(text));
    CHECK_STR(text, name);
    check_stream(client, server);
}
#endif

TEST(a_refused_connection_is_told)
{
    struct net_addr addr = literal("127.0.0.1", 0);
    net_close(listen_at(&addr)); /* its port is free again */
    int fd = net_socket(AF_INET, SOCK_STREAM);
    int result = net_connect(fd, &addr);
    if (result == 0) {
        wait_for(fd, POLLOUT);
        result = net_connect_result(fd);
    }
    CHECK_EQ(result, -ECONNREFUSED);
    net_close(fd);
}

TEST(an_address_in_use_is_told)
{
    struct net_addr addr = literal("127.0.0.1", 0);
    int listener = listen_at(&addr);
    int other = net_socket(AF_INET, SOCK_STREAM);
    CHECK_EQ(net_listen(other, &addr, 10, true, false), -EADDRINUSE);
    net_close(other);
    net_close(listener);
}

TEST(a_full_buffer_does_not_block)
{
    int fds[2];
    char block[65536];
    memset(block, 'x', sizeof(block));
    /* Made outside and blocking, as USE_FD brings it. */
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(net_recv(fds[0], block, sizeof(block)), -EAGAIN);
    ssize_t n;
    do {
        n = net_send(fds[0], block, sizeof(block));
    } while (n > 0);
    CHECK_EQ(n, -EAGAIN);
    struct iovec iov = {block, sizeof(block)};
    CHECK_EQ(net_sendv(fds[0], &iov, 1), -EAGAIN);
    close(fds[0]);
    close(fds[1]);
}

TEST(more_vectors_than_the_system_takes_are_sent_in_part)
{
    static struct iovec iov[3000];
    int fds[2];
    for (int i = 0; i < 3000; i++)
        iov[i] = (struct iovec){"x", 1};
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ssize_t n = net_sendv(fds[0], iov, 3000);
    CHECK(n > 0 && n <= 3000);
    close(fds[0]);
    close(fds[1]);
}

static int get_int(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    CHECK_EQ(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

TEST(options_reach_the_socket)
{
    struct net_stream_opts opts = no_opts;
    int fd = net_socket(AF_INET, SOCK_STREAM);
    int sndbuf = get_int(fd, SOL_SOCKET, SO_SNDBUF);
    CHECK_EQ(net_apply(fd, AF_INET, &opts), 0);
    CHECK_EQ(get_int(fd, SOL_SOCKET, SO_SNDBUF), sndbuf);
    CHECK_EQ(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    opts.sndbuf = 30000;
    opts.rcvbuf = 40000;
    opts.tos = 0x28;
    opts.keepalive = 1;
    opts.keepalive_cnt = 3;
    opts.keepalive_intvl = 7;
    opts.keepalive_idle = 11;
    CHECK_EQ(net_apply(fd, AF_INET, &opts), 0);
    CHECK(get_int(fd, SOL_SOCKET, SO_SNDBUF) >= 30000);
    CHECK(get_int(fd, SOL_SOCKET, SO_RCVBUF) >= 40000);
    CHECK_EQ(get_int(fd, IPPROTO_IP, IP_TOS), 0x28);
    CHECK(get_int(fd, SOL_SOCKET, SO_KEEPALIVE));
    CHECK_EQ(get_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    CHECK_EQ(get_int(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
#ifdef __linux__
    CHECK_EQ(get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 11);
    opts.maxrt_ms = 1234;
    opts.priority = 3;
    CHECK_EQ(net_apply(fd, AF_INET, &opts), 0);
    CHECK_EQ(get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
    CHECK_EQ(get_int(fd, SOL_SOCKET, SO_PRIORITY), 3);
#endif
    opts.bind_to_device = "no-such-device";
    CHECK(net_apply(fd, AF_INET, &opts) < 0);
    net_close(fd);
    /* None of it means anything to a unix socket. */
    fd = net_socket(AF_UNIX, SOCK_STREAM);
    CHECK_EQ(net_apply(fd, AF_UNIX, &opts), 0);
    net_close(fd);
}

static void check_text(const char *host, uint16_t port, const char *want)
{
    struct net_addr a = literal(host, port);
    char text[80];
    net_addr_text(&a, text, sizeof(text));
    CHECK_STR(text, want);
}

TEST(addresses_have_a_text)
{
    char text[80];
    struct net_addr none = {.len = 0};
    check_text("1.2.3.4", 5, "1.2.3.4:5");
    check_text("::1", 65535, "[::1]:65535");
    check_text("::", 0, "[::]:0");
    check_text("fe80::1%lo", 9, "[fe80::1%lo]:9");
    check_text("fe80::1%1", 9, "[fe80::1%lo]:9");
    net_addr_text(&none, text, sizeof(text));
    CHECK_STR(text, "");
    char long_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    memset(long_path, 'p', sizeof(long_path));
    struct net_addr full = unix_addr(long_path, sizeof(long_path));
    char buf[200];
    net_addr_text(&full, buf, sizeof(buf));
    CHECK_EQ(strlen(buf), sizeof(long_path));
    net_addr_text(&full, text, sizeof(text));
    CHECK_EQ(strlen(text), sizeof(text) - 1);
}

TEST(a_name_is_not_a_number)
{
    struct net_addr a[4];
    CHECK_EQ(net_resolve("localhost", 1, false, true, a, 4), -ENOENT);
    CHECK_EQ(net_resolve("localhost", 1, true, true, a, 4), -ENOENT);
    CHECK_EQ(net_resolve("1.2.3.4.5", 1, true, true, a, 4), -ENOENT);
    CHECK_EQ(net_resolve("::1", 1, false, true, a, 4), -ENOENT);
    CHECK_EQ(net_resolve("", 1, false, true, a, 4), -ENOENT);
}

TEST(localhost_resolves)
{
    struct net_addr a[4];
    int n = net_resolve("localhost", 77, false, false, a, 4);
    CHECK(n >= 1 && n <= 4);
    for (int i = 0; i < n; i++)
        CHECK_EQ(a[i].ss.ss_family, AF_INET);
    char text[80];
    net_addr_text(&a[0], text, sizeof(text));
    CHECK_STR(text, "127.0.0.1:77");
    CHECK(net_resolve("localhost", 77, true, false, a, 4) >= 1);
    CHECK_EQ(net_resolve("localhost", 77, true, false, a, 1), 1);
}

TEST(the_loopback_interface_has_an_address)
{
#ifdef __linux__
    static const char name[] = "lo";
#else
    static const char name[] = "lo0";
#endif
    struct net_addr a;
    char text[80];
    CHECK_EQ(net_interface_addr(name, 5, false, &a), 0);
    net_addr_text(&a, text, sizeof(text));
    CHECK_STR(text, "127.0.0.1:5");
    CHECK_EQ(net_interface_addr(name, 5, true, &a), 0);
    CHECK_EQ(net_interface_addr("no-such-interface", 5, false, &a), -ENODEV);
}

TEST(descriptors_are_counted)
{
    long before = net_fd_count();
    int fd = net_socket(AF_INET, SOCK_STREAM);
    CHECK_EQ(net_fd_count(), before + 1);
    int pipe_fds[2];
    CHECK_EQ(pipe(pipe_fds), 0);
    CHECK_EQ(net_fd_adopt(pipe_fds[0]), pipe_fds[0]);
    CHECK_EQ(net_fd_adopt(pipe_fds[0]), pipe_fds[0]);
    CHECK_EQ(net_fd_count(), before + 2);
    net_close(pipe_fds[0]);
    net_close(pipe_fds[1]); /* never adopted: not ours to close */
    CHECK(fcntl(pipe_fds[1], F_GETFD) != -1);
    close(pipe_fds[1]);
    net_close(fd);
    net_close(-1);
    CHECK_EQ(net_fd_count(), before);
}

TEST(the_count_is_right_again_after_a_time_of_high_descriptors)
{
    enum { HIGH = 9000 };
    struct rlimit old, more;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    more = old;
    more.rlim_cur = old.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &more), 0);
    int low = net_socket(AF_INET, SOCK_STREAM);
    int high = fcntl(low, F_DUPFD_CLOEXEC, HIGH);
    if (high >= 0)
        CHECK_EQ(net_fd_adopt(high), high);
    net_close(low);
    net_close(high);
    CHECK_EQ(net_fd_count(), 0);
    /* The same low number once more: it must not look as if it were noted still. */
    low = net_socket(AF_INET, SOCK_STREAM);
    CHECK_EQ(net_fd_count(), 1);
    net_close(low);
    CHECK_EQ(net_fd_count(), 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

TEST(high_descriptors_are_counted)
{
    enum { HIGH = 9000 };
    struct rlimit old, more;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    more = old;
    more.rlim_cur = old.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &more), 0);
    int low = net_socket(AF_INET, SOCK_STREAM);
    int fd = fcntl(low, F_DUPFD_CLOEXEC, HIGH);
    if (fd >= 0) {
        long before = net_fd_count();
        mem_fail_at(1);
        int result = net_fd_adopt(fd);
        mem_fail_at(0);
        if (result < 0) { /* a build with the hook */
            CHECK_EQ(result, -ENOMEM);
            CHECK(fcntl(fd, F_GETFD) != -1);
            CHECK_EQ(net_fd_count(), before);
        }
        CHECK_EQ(net_fd_adopt(fd), fd);
        CHECK_EQ(net_fd_count(), before + 1);
        net_close(fd);
        CHECK_EQ(fcntl(fd, F_GETFD), -1);
    }
    net_close(low);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

TEST(a_forked_child_closes_what_is_registered)
{
    int mine = net_socket(AF_INET, SOCK_STREAM);
    int foreign = dup(mine);
    CHECK(foreign >= 0);
    net_fork_prepare();
    pid_t pid = fork();
    if (pid == 0) {
        net_close_all_after_fork();
        bool ok =
            fcntl(mine, F_GETFD) == -1 && fcntl(foreign, F_GETFD) != -1 && net_fd_count() == 0;
        /* The child can go on with sockets of its own. */
        int fd = net_socket(AF_INET, SOCK_STREAM);
        ok = ok && fd >= 0 && net_fd_count() == 1;
        net_close(fd);
        _exit(ok ? 0 : 1);
    }
    net_fork_parent();
    CHECK(pid > 0);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK(fcntl(mine, F_GETFD) != -1);
    net_close(mine);
    close(foreign);
}

TEST(without_descriptors_a_socket_is_an_error)
{
    struct net_addr addr = literal("127.0.0.1", 0);
    int listener = listen_at(&addr);
    int client = net_socket(AF_INET, SOCK_STREAM);
    CHECK(net_connect(client, &addr) >= 0);
    wait_for(listener, POLLIN);
    struct rlimit old, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int made = net_socket(AF_INET, SOCK_STREAM);
    int accepted = net_accept(listener, NULL);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(made, -EMFILE);
    CHECK_EQ(accepted, -EMFILE);
    accepted = net_accept(listener, NULL); /* it waited */
    CHECK(accepted >= 0);
    net_close(accepted);
    net_close(client);
    net_close(listener);
}
