/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net transport
/* ipc: paths and abstract names, what lies at a path already, and the peers' credentials. */
#include "box.h"
#include "check.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"
#include "net/endpoint.h"
#include "net/security.h"
#include "os/net.h"
#include "transport/stream.h"

#define PATH_ROOM (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* ---- a folder, and an endpoint that nothing but the transport touches ---- */

struct place {
    struct conn_set set;
    struct security *sec;
    struct endpoint ep;
    char dir[64], path[96];
};

static void begin(struct place *w)
{
    memset(w, 0, sizeof(*w));
    set_up(&w->set);
    w->set.pipes.opt.use_fd = -1;
    w->set.pipes.opt.backlog = 10;
    w->sec = security_new(&w->set.pipes.opt);
    CHECK(w->sec);
    w->ep.set = &w->set;
    w->ep.security = w->sec;
    w->ep.io.fd = -1;
    strcpy(w->dir, "/tmp/ipctestXXXXXX");
    CHECK(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
    detail_clear();
}

/* What the endpoint would do at its end. */
static void forget(struct endpoint *ep)
{
    mem_free(ep->unlink_path);
    mem_free(ep->unlink_dir);
    ep->unlink_path = ep->unlink_dir = NULL;
}

static void end(struct place *w)
{
    unlink(w->path);
    CHECK_EQ(rmdir(w->dir), 0);
    forget(&w->ep);
    security_unref(w->sec);
    tear_down(&w->set);
}

static int parse(struct address *a, const char *rest, bool bind, char *detail)
{
    detail[0] = 0;
    return transport_ipc.parse(a, rest, bind, false, detail);
}

static int listen_at(struct place *w, const char *rest)
{
    char detail[200];
    forget(&w->ep);
    CHECK_EQ(parse(&w->ep.address, rest, true, detail), 0);
    return transport_ipc.listen(&w->ep, &w->ep.address);
}

static int connect_to(struct place *w, const char *rest)
{
    char detail[200];
    struct address a;
    bool connected = false;
    CHECK_EQ(parse(&a, rest, false, detail), 0);
    int fd = transport_ipc.connect(&w->ep, &a, 0, &connected);
    CHECK(fd < 0 || connected);
    if (fd < 0 && w->ep.io.fd >= 0) {
        net_close(w->ep.io.fd);
        w->ep.io.fd = -1;
    }
    return fd;
}

/* ---- addresses ---- */

TEST(a_path_may_fill_the_systems_address_and_no_more)
{
    struct address a;
    char text[200], detail[200];
    memset(text, 'x', sizeof(text));
    text[PATH_ROOM] = 0;
    CHECK_EQ(parse(&a, text, true, detail), 0);
    CHECK_STR(a.host, text);
    CHECK_EQ(a.count, 1);
    text[PATH_ROOM] = 'x';
    text[PATH_ROOM + 1] = 0;
    CHECK_EQ(parse(&a, text, true, detail), -ENAMETOOLONG);
    char said[64];
    snprintf(said, sizeof(said), "%zu bytes, this one has %zu", PATH_ROOM, PATH_ROOM + 1);
    CHECK(strstr(detail, said));
}

TEST(a_wildcard_is_for_bind_alone_and_an_abstract_name_is_not_empty)
{
    struct address a;
    char detail[200];
    CHECK_EQ(parse(&a, "*", true, detail), 0);
    CHECK_EQ(parse(&a, "*", false, detail), -EINVAL);
    CHECK(strstr(detail, "can only be bound"));
    for (int bind = 0; bind < 2; bind++) {
        CHECK_EQ(parse(&a, "@", bind, detail), -EINVAL);
        CHECK(strstr(detail, "ipc://@name"));
    }
    CHECK_EQ(parse(&a, "@n", false, detail), 0);
}

/* ---- what lies at the path ---- */

TEST(a_file_that_no_process_serves_is_replaced)
{
    struct place w;
    begin(&w);
    int fd = listen_at(&w, w.path);
    CHECK(fd >= 0);
    struct stat before, after;
    CHECK_EQ(lstat(w.path, &before), 0);
    net_close(fd); /* as a process that dies: the file stays */
    CHECK_EQ(connect_to(&w, w.path), -ECONNREFUSED);
    fd = listen_at(&w, w.path);
    CHECK(fd >= 0);
    CHECK_EQ(lstat(w.path, &after), 0);
    CHECK_STR(w.ep.unlink_path, w.path);
    CHECK(w.ep.unlink_ino == after.st_ino && w.ep.unlink_dev == after.st_dev);
    int peer = connect_to(&w, w.path);
    CHECK(peer >= 0);
    net_close(peer);
    net_close(fd);
    end(&w);
}

TEST(a_path_that_is_served_is_refused_and_still_served)
{
    struct place w;
    begin(&w);
    int fd = listen_at(&w, w.path);
    CHECK(fd >= 0);
    CHECK_EQ(listen_at(&w, w.path), -EADDRINUSE);
    CHECK(strstr(detail_text(), "a live server is bound"));
    CHECK(w.ep.unlink_path == NULL);
    int peer = connect_to(&w, w.path);
    CHECK(peer >= 0);
    net_close(peer);
    net_close(fd);
    end(&w);
}

TEST(with_ipc_steal_a_path_that_is_served_is_taken_over)
{
    struct place w;
    begin(&w);
    int old = listen_at(&w, w.path);
    CHECK(old >= 0);
    w.set.pipes.opt.ipc_steal = 1;
    int fd = listen_at(&w, w.path);
    CHECK(fd >= 0);
    int peer = connect_to(&w, w.path);
    CHECK(peer >= 0);
    struct pollfd wait[2] = {{.fd = old, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    CHECK_EQ(poll(wait, 2, 10000), 1);
    CHECK(wait[1].revents & POLLIN); /* the new one gets it */
    net_close(peer);
    net_close(old);
    net_close(fd);
    end(&w);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    CHECK(f);
    CHECK(fputs(text, f) >= 0);
    CHECK_EQ(fclose(f), 0);
}

TEST(an_empty_file_makes_way_and_one_with_contents_only_with_ipc_steal)
{
    struct place w;
    begin(&w);
    write_file(w.path, "");
    int fd = listen_at(&w, w.path);
    CHECK(fd >= 0);
    net_close(fd);
    unlink(w.path);
    write_file(w.path, "precious");
    CHECK_EQ(listen_at(&w, w.path), -EADDRINUSE);
    CHECK(strstr(detail_text(), "is not empty; IPC_STEAL takes it"));
    struct stat st;
    CHECK_EQ(lstat(w.path, &st), 0);
    CHECK_EQ(st.st_size, 8);
    w.set.pipes.opt.ipc_steal = 1;
    fd = listen_at(&w, w.path);
    CHECK(fd >= 0);
    net_close(fd);
    end(&w);
}

TEST(a_folder_or_a_link_is_never_removed)
{
    struct place w;
    begin(&w);
    w.set.pipes.opt.ipc_steal = 1;
    CHECK_EQ(mkdir(w.path, 0700), 0);
    CHECK_EQ(listen_at(&w, w.path), -EADDRINUSE);
    CHECK(strstr(detail_text(), "neither a socket nor a plain file"));
    CHECK_EQ(rmdir(w.path), 0);
    CHECK_EQ(symlink("/nowhere", w.path), 0);
    detail_clear();
    CHECK_EQ(listen_at(&w, w.path), -EADDRINUSE);
    CHECK(strstr(detail_text(), "neither a socket nor a plain file"));
    struct stat st;
    CHECK_EQ(lstat(w.path, &st), 0);
    end(&w);
}

TEST(a_wildcard_makes_a_private_folder_and_says_what_is_to_be_removed)
{
    struct net_addr own;
    struct place w;
    begin(&w);
    CHECK_EQ(setenv("TMPDIR", w.dir, 1), 0);
    int fd = listen_at(&w, "*");
    unsetenv("TMPDIR");
    CHECK(fd >= 0);
    CHECK(strncmp(w.ep.unlink_dir, w.dir, strlen(w.dir)) == 0);
    CHECK(strncmp(w.ep.unlink_path, w.ep.unlink_dir, strlen(w.ep.unlink_dir)) == 0);
    struct stat st;
    CHECK_EQ(stat(w.ep.unlink_dir, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0700);
    char name[200];
    CHECK_EQ(transport_ipc.local_name(fd, &own, name, sizeof(name)), 0);
    CHECK_STR(name + 6, w.ep.unlink_path);
    net_close(fd);
    CHECK_EQ(unlink(w.ep.unlink_path), 0);
    CHECK_EQ(rmdir(w.ep.unlink_dir), 0);
    end(&w);
}

TEST(a_folder_that_is_not_there_leaves_nothing_behind)
{
    struct place w;
    begin(&w);
    CHECK_EQ(setenv("TMPDIR", "/nowhere/at/all", 1), 0);
    CHECK_EQ(listen_at(&w, "*"), -ENOENT);
    unsetenv("TMPDIR");
    CHECK(w.ep.unlink_dir == NULL);
    CHECK_EQ(listen_at(&w, "/nowhere/at/all/s"), -ENOENT);
    CHECK(w.ep.unlink_path == NULL);
    end(&w);
}

#ifdef __linux__
TEST(an_abstract_name_has_no_file_and_is_free_when_its_listener_closes)
{
    struct net_addr own;
    struct place w;
    begin(&w);
    char rest[64], name[100], wanted[100];
    snprintf(rest, sizeof(rest), "@%.50s", w.dir + 5);
    int fd = listen_at(&w, rest);
    CHECK(fd >= 0);
    CHECK(w.ep.unlink_path == NULL);
    CHECK_EQ(transport_ipc.local_name(fd, &own, name, sizeof(name)), 0);
    snprintf(wanted, sizeof(wanted), "ipc://%s", rest);
    CHECK_STR(name, wanted);
    w.set.pipes.opt.ipc_steal = 1; /* there is no file to take */
    CHECK_EQ(listen_at(&w, rest), -EADDRINUSE);
    int peer = connect_to(&w, rest);
    CHECK(peer >= 0);
    net_close(peer);
    net_close(fd);
    CHECK_EQ(connect_to(&w, rest), -ECONNREFUSED);
    fd = listen_at(&w, rest);
    CHECK(fd >= 0);
    net_close(fd);
    end(&w);
}
#endif

/* ---- credentials ---- */

/* What `accepted` says of a peer, which is this process. */
static int let_in_by(struct place *w, uint32_t *pid, uint32_t *uid, uint32_t *gid)
{
    int pair[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    w->sec->ipc_pids = pid;
    w->sec->ipc_pid_count = pid != NULL;
    w->sec->ipc_uids = uid;
    w->sec->ipc_uid_count = uid != NULL;
    w->sec->ipc_gids = gid;
    w->sec->ipc_gid_count = gid != NULL;
    int rc = transport_ipc.accepted(&w->ep, pair[0], NULL);
    w->sec->ipc_pids = w->sec->ipc_uids = w->sec->ipc_gids = NULL;
    w->sec->ipc_pid_count = w->sec->ipc_uid_count = w->sec->ipc_gid_count = 0;
    close(pair[0]);
    close(pair[1]);
    return rc;
}

TEST(a_peer_comes_in_when_one_of_its_credentials_is_listed)
{
    struct place w;
    begin(&w);
    uint32_t pid = (uint32_t)getpid(), uid = geteuid(), gid = getegid();
    uint32_t other_pid = pid + 1, other_uid = uid + 1, other_gid = gid + 1;
    CHECK_EQ(let_in_by(&w, NULL, NULL, NULL), 0);
    CHECK_EQ(let_in_by(&w, &pid, NULL, NULL), 0);
    CHECK_EQ(let_in_by(&w, NULL, &uid, NULL), 0);
    CHECK_EQ(let_in_by(&w, NULL, NULL, &gid), 0);
    CHECK_EQ(let_in_by(&w, &other_pid, NULL, NULL), -EACCES);
    CHECK_EQ(let_in_by(&w, NULL, &other_uid, NULL), -EACCES);
    CHECK_EQ(let_in_by(&w, NULL, NULL, &other_gid), -EACCES);
    CHECK_EQ(let_in_by(&w, &other_pid, &other_uid, &other_gid), -EACCES);
    CHECK_EQ(let_in_by(&w, &other_pid, &other_uid, &gid), 0);
    end(&w);
}

TEST(the_address_of_a_peer_is_its_user_its_group_and_its_process)
{
    int pair[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    char text[100], wanted[100];
    CHECK_EQ(transport_ipc.peer_address(pair[0], NULL, text, sizeof(text)), 0);
    snprintf(wanted, sizeof(wanted), "localhost:%u:%u:%u", (unsigned)geteuid(), (unsigned)getegid(),
             (unsigned)getpid());
    CHECK_STR(text, wanted);
    close(pair[0]);
    close(pair[1]);
    CHECK(transport_ipc.peer_address(pair[0], NULL, text, sizeof(text)) < 0);
}
