/* SPDX-License-Identifier: MIT */
#ifdef __linux__

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "os/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/cmsg.h"
#include "os/fdset.h"
#include "os/fork.h"
#include "os/net.h"
#include "os/random.h"
#include "os/sys.h"

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BACKLOG 64
/* A bell that the system has no memory for is rung again. */
#define BELL_TRIES 1000
/* A message that brings more descriptors than one is refused; these are the most that Linux passes
 * at once, so none of them is lost sight of. */
#define FDS_MAX 253

/* ---- the memory ---- */

size_t shm_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A descriptor of so much memory that is not sealed yet. */
static int unsealed(size_t size)
{
    fdset_lock();
    int fd = fdset_finish(SYS(SHM_CREATE, memfd_create("fastmq", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
    if (fd < 0)
        return fd;
    if (SYS(SHM_SIZE, ftruncate(fd, (off_t)size)) < 0) {
        int err = errno;
        net_close(fd);
        return -err;
    }
    return fd;
}

int shm_create(size_t size)
{
    int fd = unsealed(size);
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        int err = errno;
        net_close(fd);
        return -err;
    }
    return fd;
}

int shm_check(int fd, size_t size)
{
    struct stat st;
    struct statfs fs;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW) ||
        (seals & F_SEAL_WRITE))
        return -EPROTO;
    /* Memory in huge pages has seals, too, but an access to it may fail for want of one. */
    if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
        return -EPROTO;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != (off_t)size)
        return -EPROTO;
    return 0;
}

static int map_with(int fd, size_t offset, size_t size, int prot, int flags, void **at)
{
    void *p = SYS_FAULT(SHM_MAP) ? MAP_FAILED
                                 : mmap(NULL, size, prot, flags | MAP_NORESERVE, fd, (off_t)offset);
    if (p == MAP_FAILED)
        return -errno;
    *at = p;
    return 0;
}

int shm_map(int fd, size_t offset, size_t size, void **at)
{
    int rc = map_with(fd, offset, size, PROT_READ | PROT_WRITE, MAP_SHARED, at);
    if (rc == 0)
        madvise(*at, size, MADV_DONTFORK);
    return rc;
}

int shm_create_arena(size_t size, void **at)
{
    int fd = unsealed(size);
    if (fd < 0)
        return fd;
    int rc = map_with(fd, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, at);
    /* What is mapped already stays writable; others that get the descriptor can map it no more. */
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_FUTURE_WRITE) < 0) {
        rc = errno == EINVAL ? -ENOTSUP : -errno;
        munmap(*at, size);
    }
    if (rc == 0)
        return fd;
    *at = NULL;
    net_close(fd);
    return rc;
}

int shm_map_arena(int fd, size_t size, void **at)
{
    return map_with(fd, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, at);
}

int shm_map_to_read(int fd, size_t size, void **at)
{
    return map_with(fd, 0, size, PROT_READ, MAP_SHARED, at);
}

void shm_forget(void *at, size_t size)
{
    size_t before = (uintptr_t)at & (shm_page() - 1);
    madvise((uint8_t *)at - before, size + before, MADV_DONTNEED);
}

void shm_discard(void *at, size_t size)
{
    madvise(at, size, MADV_REMOVE);
}

void shm_unmap(void *at, size_t length)
{
    if (at)
        munmap(at, length);
}

/* ---- who and where ---- */

/* The number of a namespace that the process lives in. One of the same number is the same; a user
 * id of another namespace of users may be anybody. 0: the system has none of the kind; -EIO. */
static int64_t namespace(const char *name)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    if (stat(path, &st) == 0)
        return (int64_t)st.st_ino;
    return stat("/proc/self/ns/net", &st) == 0 && errno == ENOENT ? 0 : -EIO;
}

enum { NS_NET, NS_USER, NS_PID, NS_COUNT };

/* The same, read once in a process: each costs a walk through /proc, and every connection asks for
 * them several times. A process of several threads, as one with a context is, cannot change its
 * users or its processes. A thread that moves to another network still tells the first one, so its
 * connections there stay on their sockets. */
static int64_t known_namespace(unsigned which)
{
    static const char *const names[NS_COUNT] = {"net", "user", "pid"};
    static struct {
        _Atomic int64_t number;
        atomic_uint generation; /* of the process that read it, plus 1 */
    } known[NS_COUNT];
    unsigned now = fork_generation + 1;
    if (atomic_load(&known[which].generation) == now)
        return atomic_load_explicit(&known[which].number, memory_order_relaxed);
    int64_t number = namespace(names[which]);
    if (number >= 0) {
        atomic_store_explicit(&known[which].number, number, memory_order_relaxed);
        atomic_store(&known[which].generation, now);
    }
    return number;
}

#define BOOT_ID 36 /* bytes of text */

/* What identifies the boot. It is read once in a process: every connection asks for it, and the
 * file is the most expensive part of the answer. Threads that read it at the same time store the
 * same. 0 or a negative errno. */
static int boot_id(char text[BOOT_ID + 1])
{
    static _Atomic uint64_t words[(BOOT_ID + 7) / 8];
    static atomic_bool known;
    uint64_t copy[sizeof(words) / sizeof(words[0])] = {0};
    const size_t count = sizeof(copy) / sizeof(copy[0]);
    if (atomic_load(&known)) {
        for (size_t i = 0; i < count; i++)
            copy[i] = atomic_load_explicit(&words[i], memory_order_relaxed);
        memcpy(text, copy, BOOT_ID);
        text[BOOT_ID] = 0;
        return 0;
    }
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, BOOT_ID);
    close(fd);
    if (n != BOOT_ID)
        return -EIO;
    text[BOOT_ID] = 0;
    memcpy(copy, text, BOOT_ID);
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&words[i], copy[i], memory_order_relaxed);
    atomic_store(&known, true);
    return 0;
}

int shm_host(bool unix_socket, char text[SHM_HOST_MAX])
{
    char boot[BOOT_ID + 1];
    int64_t net = known_namespace(NS_NET), user = known_namespace(NS_USER);
    int64_t pid = unix_socket ? known_namespace(NS_PID) : 0;
    int rc = boot_id(boot);
    if (rc)
        return rc;
    if (net < 0 || user < 0 || pid < 0)
        return -EIO;
    snprintf(text, SHM_HOST_MAX, "%s/%" PRIx64 "/%" PRIx64 "/%" PRIx64, boot, (uint64_t)net,
             (uint64_t)user, (uint64_t)pid);
    return 0;
}

uint32_t shm_user(void)
{
    return (uint32_t)geteuid();
}

uint32_t shm_process(void)
{
    return (uint32_t)getpid();
}

/* ---- the two ends of a connection ---- */

/* The port of an address; 0: none. */
static uint16_t port_of(const struct net_addr *a)
{
    if (a->ss.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
    return a->ss.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port)
                                       : 0;
}

static bool same_address(const struct net_addr *a, const struct net_addr *b)
{
    const struct sockaddr_in *a4 = (const void *)&a->ss, *b4 = (const void *)&b->ss;
    const struct sockaddr_in6 *a6 = (const void *)&a->ss, *b6 = (const void *)&b->ss;
    if (a->ss.ss_family != b->ss.ss_family)
        return false;
    return a->ss.ss_family == AF_INET
               ? a4->sin_addr.s_addr == b4->sin_addr.s_addr
               : memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

/* 0: a connection over an IP address ends at this host. Or a negative errno. */
static int ends_here(int fd, const struct net_addr *peer)
{
    struct net_addr own;
    if (peer->ss.ss_family != AF_INET && peer->ss.ss_family != AF_INET6)
        return -EHOSTUNREACH;
    if (net_is_loopback(peer))
        return 0;
    int rc = net_local_addr(fd, &own);
    return rc ? rc : same_address(&own, peer) ? 0 : -EHOSTUNREACH;
}

int64_t shm_peer_number(int fd, const struct net_addr *peer)
{
    uint32_t pid, uid, gid;
    int rc;
    if (peer->ss.ss_family != AF_UNIX) {
        rc = ends_here(fd, peer);
        return rc ? rc : port_of(peer);
    }
    rc = net_peer_cred(fd, &pid, &uid, &gid);
    if (rc)
        return rc;
    return uid != shm_user() ? -EACCES : pid ? (int64_t)pid : -EHOSTUNREACH;
}

int64_t shm_own_number(const struct net_addr *own)
{
    return own->ss.ss_family == AF_UNIX ? (int64_t)getpid() : (int64_t)port_of(own);
}

/* Where there is no room for another byte, the other end has some to read already. */
void shm_ring_bell(int fd)
{
    for (int i = 0; i < BELL_TRIES; i++)
        if (send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ||
            (errno != EINTR && errno != ENOBUFS && errno != ENOMEM))
            return;
}

bool shm_hush_bell(int fd, int *end)
{
    uint8_t dropped[512];
    bool rung = false;
    *end = 0;
    for (;;) {
        ssize_t n = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
        if (n > 0) {
            rung = true;
            if (n == (ssize_t)sizeof(dropped))
                continue;
            return true;
        }
        if (n == 0)
            *end = 1;
        else if (errno == EINTR)
            continue;
        else if (errno != EAGAIN && errno != EWOULDBLOCK)
            *end = -errno;
        return rung;
    }
}

/* ---- the meeting point ---- */

static socklen_t abstract(struct sockaddr_un *un, const char *name)
{
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    size_t len = strlen(name);
    if (len > sizeof(un->sun_path) - 1)
        len = sizeof(un->sun_path) - 1;
    memcpy(un->sun_path + 1, name, len);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

int shm_listen(char name[SHM_NAME_MAX])
{
    uint8_t random[16];
    struct sockaddr_un un;
    random_bytes(random, sizeof(random));
    int at = snprintf(name, SHM_NAME_MAX, "fastmq-");
    for (size_t i = 0; i < sizeof(random); i++)
        at += snprintf(name + at, SHM_NAME_MAX - (size_t)at, "%02x", random[i]);
    socklen_t len = abstract(&un, name);
    int fd = net_socket(AF_UNIX, SOCK_SEQPACKET);
    if (fd < 0)
        return fd;
    if (SYS(BIND, bind(fd, (const struct sockaddr *)&un, len)) < 0 ||
        SYS(LISTEN, listen(fd, BACKLOG)) < 0) {
        int err = errno;
        net_close(fd);
        return -err;
    }
    return fd;
}

/* True when the process at the other end is of this user. */
static bool is_own(int fd)
{
    uint32_t pid, uid, gid;
    return net_peer_cred(fd, &pid, &uid, &gid) == 0 && uid == shm_user();
}

int shm_accept(int listen_fd)
{
    int fd = net_accept(listen_fd, NULL);
    if (fd >= 0 && !is_own(fd)) {
        net_close(fd);
        return -EACCES;
    }
    return fd;
}

/* The descriptors of a message: up to `max` stay, and are registered; of more none does. Their
 * number, or -ENOMEM. The set's lock is held. */
static int take_fds(struct msghdr *msg, int *memory, int max)
{
    int count = 0, rc = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = cmsg_next(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++, count++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (count < max)
                memory[count] = fd;
            else
                close(fd);
        }
    }
    for (int i = 0; i < max && i < count; i++) {
        if (count <= max && rc == 0 && fdset_note(memory[i]) >= 0)
            continue;
        rc = count <= max ? -ENOMEM : 0;
        close(memory[i]);
        memory[i] = -1;
    }
    return rc ? rc : count;
}

static void close_all(int *memory, int max)
{
    for (int i = 0; i < max; i++) {
        net_close(memory[i]);
        memory[i] = -1;
    }
}

ssize_t shm_receive_all(int fd, void *message, size_t size, int *memory, int max, int *count)
{
    struct iovec iov = {message, size};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    for (int i = 0; i < max; i++)
        memory[i] = -1;
    *count = 0;
    fdset_lock();
    ssize_t n = SYS(RECV, recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    int err = n < 0 ? errno : 0;
    int fds = n < 0 ? 0 : take_fds(&msg, memory, max);
    fdset_unlock();
    if (n < 0)
        return err == EINTR || err == EWOULDBLOCK ? -EAGAIN : -err;
    if (fds >= 0 && fds <= max && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        *count = fds;
        return n;
    }
    close_all(memory, max);
    return fds < 0 ? fds : -EPROTO;
}

ssize_t shm_receive(int fd, void *message, size_t size, int *memory)
{
    int count;
    return shm_receive_all(fd, message, size, memory, 1, &count);
}

int shm_leave_there(int fd, const void *message, size_t len, const int *memory, int count)
{
    struct iovec iov = {(void *)(uintptr_t)message, len};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * SHM_FDS_MAX)];
    } control;
    size_t bytes = (size_t)count * sizeof(int);
    memset(&control, 0, sizeof(control));
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space};
    msg.msg_controllen = (__typeof__(msg.msg_controllen))CMSG_SPACE(bytes); /* musl's is shorter */
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = (__typeof__(c->cmsg_len))CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), memory, bytes);
    if (SYS(SEND, sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    return 0;
}

int shm_visit(const char *name)
{
    struct sockaddr_un un;
    socklen_t un_len = abstract(&un, name);
    int fd = net_socket(AF_UNIX, SOCK_SEQPACKET);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (SYS(CONNECT, connect(fd, (const struct sockaddr *)&un, un_len)) < 0)
        rc = -errno;
    else if (!is_own(fd))
        rc = -EACCES;
    if (rc == 0)
        return fd;
    net_close(fd);
    return rc;
}

int shm_hand_over(const char *name, const void *message, size_t len, int memory)
{
    int fd = shm_visit(name);
    if (fd < 0)
        return fd;
    int rc = shm_leave_there(fd, message, len, &memory, 1);
    net_close(fd);
    return rc;
}

#else
typedef int shm_linux_unused;
#endif
