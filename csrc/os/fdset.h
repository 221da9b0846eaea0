/* SPDX-License-Identifier: MIT */
/*
 * The descriptors that the engine owns, as a set. Within os/ a descriptor is made and noted under
 * the set's lock, and dropped and closed under it, so that a fork (which takes the lock) sees each
 * one either noted or not there.
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
