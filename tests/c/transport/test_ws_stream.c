/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net transport
/* The stream of a WebSocket on a descriptor: what a write that fails, or is long, counts as sent.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/sys.h"
#include "transport/ws_stream.h"
#include "wire/frame.h"
#include "wire/ws_upgrade.h"

#define MSGS_MAX ((size_t)400000)

/* An accepting side that is open, and the descriptor of its peer. */
struct ends {
    struct stream *st;
    int fd, peer;
};

static size_t drain(int fd, uint8_t *out, size_t room)
{
    size_t len = 0;
    ssize_t n;
    while (len < room && (n = read(fd, out + len, room - len)) > 0)
        len += (size_t)n;
    return len;
}

static struct ends ends_new(void)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: ZWS2.0\r\n\r\n";
    static const struct ws_terms terms = {
        .host = "x", .path = "/", .offers = WS_PLAIN_ZWS, .max_gathered = 1000, .max_before = 1000};
    uint8_t buf[WS_TEXT_MAX];
    struct ends e;
    int fds[2], size = 200000; /* a stage goes at once */
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    e.fd = fds[0];
    e.peer = fds[1];
    CHECK_EQ(ws_stream_new(&e.st, e.fd, false, &terms), 0);
    CHECK_EQ(write(e.peer, request, sizeof(request) - 1), (ssize_t)sizeof(request) - 1);
    CHECK(stream_read(e.st, e.fd, buf, sizeof(buf)) > 0); /* the subprotocol's name */
    CHECK(drain(e.peer, buf, sizeof(buf)) > 0);
    return e;
}

static void ends_close(struct ends *e)
{
    e->st->ops->close(e->st);
    close(e->fd); /* net_close knows only those of the engine */
    close(e->peer);
}

/* So many messages of `size` bytes, as the connection writes them. */
static struct iovec messages(int count, size_t size)
{
    static uint8_t data[MSGS_MAX];
    size_t len = 0;
    while (count--) {
        len += frame_build_v2(data + len, 0, size);
        CHECK(len + size <= sizeof(data));
        memset(data + len, 'a' + count % 26, size);
        len += size;
    }
    return (struct iovec){data, len};
}

TEST(what_went_before_a_send_that_fails_counts_as_sent)
{
    static uint8_t got[MSGS_MAX];
    struct ends e = ends_new();
    struct iovec iov = messages(3, 40000);
    sys_fail_call(SYS_SEND, 2, 0, 0);
    ssize_t n = stream_write(e.st, e.fd, &iov, 1);
    sys_fail_at(0, 0, 0);
    CHECK(n > 40009 && n < 2 * 40009);
    CHECK_EQ(stream_write(e.st, e.fd, &iov, 1), -EPIPE);
    /* A message that was cut is followed by no close frame. A header is shorter by 4. */
    stream_end_writing(e.st, e.fd);
    CHECK_EQ(drain(e.peer, got, sizeof(got)), (size_t)n - 8);
    ends_close(&e);
}

TEST(nothing_that_may_have_gone_is_sent_again_after_a_send_that_fails)
{
    struct ends e = ends_new();
    struct iovec iov = messages(40, 1000);
    int size = 4000;
    CHECK_EQ(setsockopt(e.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    sys_fail_call(SYS_SEND, 2, 3, 0);
    /* The last message has not gone as a whole. */
    CHECK_EQ(stream_write(e.st, e.fd, &iov, 1), (ssize_t)iov.iov_len - 1);
    sys_fail_at(0, 0, 0);
    CHECK_EQ(stream_write(e.st, e.fd, &iov, 1), -ECONNRESET);
    ends_close(&e);
}

TEST(a_first_send_that_fails_sends_nothing)
{
    struct ends e = ends_new();
    struct iovec iov = messages(1, 10);
    sys_fail_call(SYS_SEND, 1, 0, 0);
    CHECK_EQ(stream_write(e.st, e.fd, &iov, 1), -EPIPE);
    sys_fail_at(0, 0, 0);
    ends_close(&e);
}

TEST(what_is_staged_when_a_send_fails_is_not_counted_twice)
{
    struct ends e = ends_new();
    struct iovec iov = messages(1, 1000);
    sys_fail_call(SYS_SEND, 1, 1, 0);
    CHECK_EQ(stream_write(e.st, e.fd, &iov, 1), (ssize_t)iov.iov_len - 1);
    struct iovec last = {(uint8_t *)iov.iov_base + iov.iov_len - 1, 1};
    sys_fail_call(SYS_SEND, 1, 3, 0);
    CHECK_EQ(stream_write(e.st, e.fd, &last, 1), -ECONNRESET);
    sys_fail_at(0, 0, 0);
    ends_close(&e);
}

TEST(a_write_ends_after_some_stages_although_the_kernel_takes_more)
{
    static uint8_t got[MSGS_MAX];
    struct ends e = ends_new();
    struct iovec iov = messages(1, 100000);
    size_t at = 0, len = 0, most = 0;
    int calls = 0;
    mem_fail_from(1, 1000); /* the stage is 512 bytes */
    while (at < iov.iov_len) {
        struct iovec rest = {(uint8_t *)iov.iov_base + at, iov.iov_len - at};
        ssize_t n = stream_write(e.st, e.fd, &rest, 1);
        CHECK(n > 0);
        at += (size_t)n;
        most = (size_t)n > most ? (size_t)n : most;
        len += drain(e.peer, got + len, sizeof(got) - len);
        calls++;
    }
    mem_fail_at(0);
    CHECK(most <= (size_t)17 * 512);
    CHECK(calls > 10);
    CHECK_EQ(len, iov.iov_len + 2);
    CHECK_MEM(got + 11, (uint8_t *)iov.iov_base + 9, 100000);
    ends_close(&e);
}
