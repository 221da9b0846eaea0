/* SPDX-License-Identifier: MIT */
/* A directory for the sockets by which processes of this user, and of no other, reach each other.
 */
#ifndef OS_PLACE_H
#define OS_PLACE_H

#include <stddef.h>
#include <stdint.h>

#define PLACE_MAX 104 /* of a path in it, with its end: what every system takes for a socket */

/* Makes it if need be, and looks whether it belongs to this user alone: 0, -EPERM where it does
 * not, -ENAMETOOLONG, -ENOTSUP where there is no such thing, or a negative errno. `path` is its
 * name, when it fails, too. */
int place_open(char path[PLACE_MAX]);
/* Removes a socket that was bound there. */
void place_remove(const char *path);
/* The user whose processes are let in, and this process. */
uint32_t place_user(void);
uint32_t place_process(void);

#endif
