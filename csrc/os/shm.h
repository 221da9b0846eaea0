/* SPDX-License-Identifier: MIT */
/*
 * Memory that two processes of one host share, and passing it to the other process. The other
 * process cannot make an access fail: the memory is ordinary memory and cannot be made smaller. A
 * system without such memory returns -ENOTSUP.
 */
#ifndef OS_SHM_H
#define OS_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct net_addr;

#define SHM_NAME_MAX 48     /* of a meeting point, with its end */
#define SHM_HOST_MAX 96     /* of the host's id, with its end */
#define SHM_MESSAGE_MAX 256 /* bytes that go with a descriptor */
#define SHM_FDS_MAX 2       /* descriptors that go together */

/* ---- the memory ---- */

/* Memory of `size` bytes that are 0, which can no more change its size. Its descriptor, registered
 * (os/net.h), or a negative errno. `size` is a multiple of shm_page(). */
int shm_create(size_t size);
/* Takes a descriptor that another process gave: 0 when it is memory as shm_create makes it, of this
 * size; -EPROTO, or a negative errno. */
int shm_check(int fd, size_t size);
size_t shm_page(void);

/* Maps `size` bytes from `offset`. A child of a fork does not have the mapping. 0 or a negative
 * errno. */
int shm_map(int fd, size_t offset, size_t size, void **at);
void shm_unmap(void *at, size_t length);

/* Memory that this process alone can write to, and those that it is handed to can read: its
 * descriptor, registered, and its only writable mapping, which a child of a fork shares. -ENOTSUP
 * where the system cannot promise that; or a negative errno. */
int shm_create_arena(size_t size, void **at);
/* Maps such memory of another process, which shm_check has found to be in order. What is written
 * through the mapping nobody else sees; from then on these pages show no more what the other
 * process writes, until shm_forget. A child of a fork has the mapping, too. 0 or a negative errno.
 */
int shm_map_arena(int fd, size_t size, void **at);
/* The same to be read only: it shows what the other process has written, always. */
int shm_map_to_read(int fd, size_t size, void **at);
/* These whole pages of memory that shm_map mapped are used by nobody any more: the system has them
 * back. */
void shm_discard(void *at, size_t size);
/* Drops what was written to these bytes through such a mapping, and to all on the same pages. */
void shm_forget(void *at, size_t size);

/* ---- the two ends of a connection ---- */

/* A number by which the process at the other end knows itself: its process, or the port of its end,
 * whose address is `peer`, as accept gave it or connect was told. -EHOSTUNREACH when the connection
 * leaves the host or the process cannot be seen, -EACCES when the other end is of another user, as
 * far as that can be seen, or a negative errno. */
int64_t shm_peer_number(int fd, const struct net_addr *peer);
/* The same of this end, whose address is `own`: what the other end's shm_peer_number says, unless
 * somebody stands in between. */
int64_t shm_own_number(const struct net_addr *own);
/* Has the poller at the other end of the connection report it. Never waits. */
void shm_ring_bell(int fd);
/* Takes what bells have left. True: there was one. *end: 0; 1 when the other end is closed, or a
 * negative errno. */
bool shm_hush_bell(int fd, int *end);

/* ---- handing it over ---- */

/* What tells this host from others, as text: its present boot, its network and its users, and where
 * the connection is one of a unix socket its processes, too, because shm_peer_number tells of one.
 * 0 or -errno. */
int shm_host(bool unix_socket, char text[SHM_HOST_MAX]);
/* The user whose memory this process may share, and the process. */
uint32_t shm_user(void);
uint32_t shm_process(void);

/* A place where other processes of the host can meet this one: a listening descriptor and its name,
 * which nobody can guess. Descriptor or a negative errno. */
int shm_listen(char name[SHM_NAME_MAX]);
/* Who comes: a descriptor, -EAGAIN, or a negative errno. -EACCES: somebody of another user, who was
 * sent away. */
int shm_accept(int listen_fd);
/* What the visitor brought: the length of the message, with *fd the descriptor that came with it
 * (registered) or -1; 0: it left; -EAGAIN; -EPROTO: too much; or a negative errno. */
ssize_t shm_receive(int fd, void *message, size_t size, int *memory);
/* The same with up to `max` descriptors, all or none of them; *count: how many. */
ssize_t shm_receive_all(int fd, void *message, size_t size, int *memory, int max, int *count);
/* Goes to a meeting point of this user: a descriptor, registered. -EAGAIN when it is crowded,
 * -EACCES when it belongs to another user, or a negative errno. Never waits. */
int shm_visit(const char *name);
/* Leaves a message and descriptors there. 0 or a negative errno. */
int shm_leave_there(int fd, const void *message, size_t len, const int *memory, int count);
/* All of that for one descriptor: visits, leaves it there, and goes. */
int shm_hand_over(const char *name, const void *message, size_t len, int memory);

#endif
