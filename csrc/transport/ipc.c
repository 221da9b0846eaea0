/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/security.h"
#include "transport/stream.h"

#define DETAIL_SIZE 200
#define PATH_MAX_LEN (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static int ipc_parse(struct address *a, const char *rest, bool bind, bool ipv6, char *detail)
{
    (void)ipv6;
    memset(a, 0, sizeof(*a));
    size_t len = strlen(rest);
    if (len > PATH_MAX_LEN) {
        snprintf(detail, DETAIL_SIZE, "an ipc path may have %zu bytes, this one has %zu",
                 PATH_MAX_LEN, len);
        return -ENAMETOOLONG;
    }
    if (strcmp(rest, "@") == 0) {
        snprintf(detail, DETAIL_SIZE, "'ipc://@' names no abstract socket: use ipc://@name");
        return -EINVAL;
    }
    if (strcmp(rest, "*") == 0 && !bind) {
        snprintf(detail, DETAIL_SIZE, "'ipc://*' can only be bound: connect to its LAST_ENDPOINT");
        return -EINVAL;
    }
    memcpy(a->host, rest, len + 1);
    struct sockaddr_un *un = (struct sockaddr_un *)&a->at[0].ss;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, rest, len);
    if (rest[0] == '@')
        un->sun_path[0] = 0;
    a->at[0].len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (rest[0] != '@'));
    a->count = 1;
    return 0;
}

/* A path of our own in a fresh private directory. */
static int make_wildcard(struct endpoint *ep, struct address *a)
{
    const char *tmp = getenv("TMPDIR");
    char dir[PATH_MAX_LEN];
    int n = snprintf(dir, sizeof(dir), "%s/fmqXXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (n < 0 || (size_t)n + 8 >= sizeof(dir))
        return -ENAMETOOLONG;
    if (!mkdtemp(dir))
        return -errno;
    ep->unlink_dir = mem_strdup(dir);
    if (!ep->unlink_dir) {
        rmdir(dir);
        return -ENOMEM;
    }
    strcat(dir, "/socket");
    char detail[DETAIL_SIZE];
    return ipc_parse(a, dir, true, false, detail);
}

/* -EADDRINUSE if a process answers on the path, 0 if not: a file that no process serves is left
 * over from one that died. Another error if that cannot be found out now. */
static int find_server(const struct net_addr *addr)
{
    int fd = net_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return fd;
    int rc = net_connect(fd, addr);
    net_close(fd);
    return rc >= 0 || rc == -EAGAIN || rc == -EPERM || rc == -EACCES ? -EADDRINUSE : 0;
}

/* A stale path: whether what another process left there may go. 0, or -EADDRINUSE with a detail. An
 * empty file is what mkstemp leaves where a name was chosen that way. */
static int may_take_over(const struct address *a, bool steal)
{
    struct stat st;
    if (lstat(a->host, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        if (S_ISREG(st.st_mode) && (steal || st.st_size == 0))
            return 0;
        detail_set(S_ISREG(st.st_mode) ? "'%.100s' is a file that is not empty; IPC_STEAL takes it"
                                       : "'%.100s' exists and is neither a socket nor a plain file",
                   a->host);
        return -EADDRINUSE;
    }
    int rc = steal ? 0 : find_server(&a->at[0]);
    if (rc == -EADDRINUSE)
        detail_set("a live server is bound to ipc path '%.100s'", a->host);
    return rc;
}

static int ipc_listen(struct endpoint *ep, struct address *a)
{
    const struct option_values *o = &ep->set->pipes.opt;
    int adopted = stream_adopted(ep);
    if (adopted != -1)
        return adopted;
    if (strcmp(a->host, "*") == 0) {
        int rc = make_wildcard(ep, a);
        if (rc)
            return rc;
    }
    int fd = stream_socket(ep, AF_UNIX);
    if (fd < 0)
        return fd;
    int rc = net_listen(fd, &a->at[0], o->backlog, false, false);
    struct stat st;
    if (rc == -EADDRINUSE && a->host[0] != '@') {
        rc = may_take_over(a, o->ipc_steal);
        if (rc == 0) {
            unlink(a->host);
            rc = net_listen(fd, &a->at[0], o->backlog, false, false);
        }
    }
    if (rc) {
        if (rc == -ENOENT)
            detail_set("the directory of '%.100s' does not exist", a->host);
        net_close(fd);
        return rc;
    }
    if (a->host[0] != '@') {
        ep->unlink_path = mem_strdup(a->host);
        if (!ep->unlink_path) {
            unlink(a->host);
            net_close(fd);
            return -ENOMEM;
        }
        if (lstat(a->host, &st) == 0) {
            ep->unlink_dev = st.st_dev;
            ep->unlink_ino = st.st_ino;
        }
    }
    return fd;
}

static int ipc_connect(struct endpoint *ep, struct address *a, int which, bool *connected)
{
    int fd = stream_socket(ep, AF_UNIX);
    if (fd < 0)
        return fd;
    int rc = net_connect(fd, &a->at[which]);
    if (rc < 0) {
        ep->io.fd = fd; /* to be reported and closed by the caller */
        return rc;
    }
    *connected = rc == 1;
    return fd;
}

static bool listed(const uint32_t *list, size_t count, uint32_t value)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == value)
            return true;
    return false;
}

static int ipc_accepted(struct endpoint *ep, int fd, const struct net_addr *peer)
{
    (void)peer;
    const struct security *sec = ep->security;
    if (sec->ipc_pid_count || sec->ipc_uid_count || sec->ipc_gid_count) {
        uint32_t pid, uid, gid;
        int rc = net_peer_cred(fd, &pid, &uid, &gid);
        if (rc)
            return rc;
        if (!listed(sec->ipc_pids, sec->ipc_pid_count, pid) &&
            !listed(sec->ipc_uids, sec->ipc_uid_count, uid) &&
            !listed(sec->ipc_gids, sec->ipc_gid_count, gid))
            return -EACCES;
    }
    stream_apply(ep, fd, AF_UNIX);
    return 0;
}

static void name_of(const struct net_addr *a, char *buf, size_t size)
{
    char text[160];
    net_addr_text(a, text, sizeof(text));
    snprintf(buf, size, "ipc://%s", text);
}

static int ipc_local_name(int fd, struct net_addr *own, char *buf, size_t size)
{
    int rc = net_local_addr(fd, own);
    if (rc)
        snprintf(buf, size, "ipc://");
    else
        name_of(own, buf, size);
    return rc;
}

static int ipc_peer_address(int fd, const struct net_addr *addr, char *buf, size_t size)
{
    (void)addr;
    uint32_t pid, uid, gid;
    int rc = net_peer_cred(fd, &pid, &uid, &gid);
    if (rc == 0)
        snprintf(buf, size, "localhost:%u:%u:%u", uid, gid, pid);
    return rc;
}

const struct transport_ops transport_ipc = {
    .scheme = "ipc",
    .parse = ipc_parse,
    .listen = ipc_listen,
    .connect = ipc_connect,
    .accepted = ipc_accepted,
    .local_name = ipc_local_name,
    .peer_name = name_of,
    .peer_address = ipc_peer_address,
};
