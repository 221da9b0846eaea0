/* SPDX-License-Identifier: MIT */
/* Where processes share no memory: connections stay on their sockets. */
#ifndef __linux__

#include "os/shm.h"

#include <errno.h>
#include <unistd.h>

int shm_create(size_t size)
{
    (void)size;
    return -ENOTSUP;
}

int shm_check(int fd, size_t size)
{
    (void)fd;
    (void)size;
    return -ENOTSUP;
}

size_t shm_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int shm_map(int fd, size_t offset, size_t size, void **at)
{
    (void)fd;
    (void)offset;
    (void)size;
    *at = NULL;
    return -ENOTSUP;
}

int shm_create_arena(size_t size, void **at)
{
    return shm_map(-1, 0, size, at);
}

int shm_map_arena(int fd, size_t size, void **at)
{
    return shm_map(fd, 0, size, at);
}

int shm_map_to_read(int fd, size_t size, void **at)
{
    return shm_map(fd, 0, size, at);
}

void shm_discard(void *at, size_t size)
{
    (void)at;
    (void)size;
}

void shm_forget(void *at, size_t size)
{
    (void)at;
    (void)size;
}

void shm_unmap(void *at, size_t length)
{
    (void)at;
    (void)length;
}

int shm_host(bool unix_socket, char text[SHM_HOST_MAX])
{
    (void)unix_socket;
    text[0] = 0;
    return -ENOTSUP;
}

uint32_t shm_user(void)
{
    return (uint32_t)geteuid();
}

uint32_t shm_process(void)
{
    return (uint32_t)getpid();
}

int64_t shm_peer_number(int fd, const struct net_addr *peer)
{
    (void)fd;
    (void)peer;
    return -ENOTSUP;
}

int64_t shm_own_number(const struct net_addr *own)
{
    (void)own;
    return -ENOTSUP;
}

void shm_ring_bell(int fd)
{
    (void)fd;
}

bool shm_hush_bell(int fd, int *end)
{
    (void)fd;
    *end = 0;
    return false;
}

int shm_listen(char name[SHM_NAME_MAX])
{
    name[0] = 0;
    return -ENOTSUP;
}

int shm_accept(int listen_fd)
{
    (void)listen_fd;
    return -ENOTSUP;
}

ssize_t shm_receive(int fd, void *message, size_t size, int *memory)
{
    (void)fd;
    (void)message;
    (void)size;
    *memory = -1;
    return -ENOTSUP;
}

int shm_hand_over(const char *name, const void *message, size_t len, int memory)
{
    (void)name;
    (void)message;
    (void)len;
    (void)memory;
    return -ENOTSUP;
}

ssize_t shm_receive_all(int fd, void *message, size_t size, int *memory, int max, int *count)
{
    (void)fd;
    (void)message;
    (void)size;
    (void)memory;
    (void)max;
    *count = 0;
    return -ENOTSUP;
}

int shm_visit(const char *name)
{
    (void)name;
    return -ENOTSUP;
}

int shm_leave_there(int fd, const void *message, size_t len, const int *memory, int count)
{
    (void)fd;
    (void)message;
    (void)len;
    (void)memory;
    (void)count;
    return -ENOTSUP;
}

#else
typedef int shm_none_unused;
#endif
