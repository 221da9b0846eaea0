/* SPDX-License-Identifier: MIT */
#include "os/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_ROOM 24 /* for a name in the directory */

uint32_t place_user(void)
{
    return (uint32_t)geteuid();
}

uint32_t place_process(void)
{
    return (uint32_t)getpid();
}

void place_remove(const char *path)
{
    unlink(path);
}

/* Whether the directory is there in the end and this user's alone. */
static int make(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) ? 0 : -EPERM;
}

int place_open(char path[PLACE_MAX])
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    int n = base && base[0] == '/' ? snprintf(path, PLACE_MAX, "%s/fastmq", base) : PLACE_MAX;
    if (n < PLACE_MAX - NAME_ROOM) {
        int rc = make(path);
        if (rc == 0 || rc == -EPERM)
            return rc;
    }
    /* Another user's program, or a service, has no such variable, or not the directory. */
    snprintf(path, PLACE_MAX, "/tmp/fastmq-%u", (unsigned)place_user());
    return make(path);
}
