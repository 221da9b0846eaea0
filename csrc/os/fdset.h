/* SPDX-License-Identifier: MIT */
/*
 * The set of the descriptors that the engine owns. os/ opens and adds, and removes and closes, a
 * descriptor under the set's lock. A fork takes the lock as well, so in the child every open
 * descriptor is in the set.
 */
#ifndef OS_FDSET_H
#define OS_FDSET_H

void fdset_lock(void);
void fdset_unlock(void);

/* With the lock held. fd, or -ENOMEM with the fd still the caller's. Noting twice is harmless. */
int fdset_note(int fd);

/*
 * With the lock held: takes the result of a call that makes a descriptor (-1 and errno on failure),
 * notes it and gives up the lock. fd or a negative errno; the descriptor is closed on -ENOMEM.
 */
int fdset_finish(int fd);

/* Drops and closes; -1 is ignored. Takes the lock itself. */
void fdset_close(int fd);
long fdset_count(void);

/* In a child whose parent held the lock while it forked: closes all and gives up the lock. */
void fdset_close_all_after_fork(void);

#endif
