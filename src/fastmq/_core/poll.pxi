# SPDX-License-Identifier: MIT
# Part of _core.pyx: PollSet.


cdef class PollSet:
    """A set of sockets and descriptors whose readiness is waited for together.

    Keys are Socket objects, ints, or objects with fileno(); every key once. Several keys may stand
    for the same socket (shadows) or descriptor: the engine watches that once, for what all of them
    want.
    """

    cdef fmq_pollset *p
    cdef dict entries      # key -> (serial, target, events); a target is a handle or a descriptor
    cdef dict members      # target -> its keys
    cdef dict targets      # serial of a target's first key -> target
    cdef dict firsts       # target -> that serial
    cdef dict singles      # that serial -> the key, where a target has one alone
    cdef size_t serial

    def __cinit__(self):
        cdef int rc
        self.entries = {}
        self.members = {}
        self.targets = {}
        self.firsts = {}
        self.singles = {}
        rc = fmq_pollset_new(&self.p)
        if rc < 0:
            fail(rc)

    def __dealloc__(self):
        if self.p is not NULL:
            fmq_pollset_free(self.p)

    cdef int change(self, object target, int events) except? -1:
        """Has the engine watch for this; what it answers."""
        if isinstance(target, _SocketHandle):
            return fmq_pollset_modify(self.p, (<_SocketHandle>target).s, events)
        return fmq_pollset_modify_fd(self.p, target, events)

    cdef int wanted(self, object target) except? -1:
        """The events that the keys of a target want."""
        cdef int events = 0
        for key in self.members[target]:
            events |= <int>self.entries[key][2]
        return events

    def add(self, key, int events):
        """Watches key for events. TypeError: it is neither socket, int, nor has fileno()."""
        cdef int rc
        if isinstance(key, Socket):
            target = (<Socket>key).handle
            if target is None:
                unusable()
        else:
            target = descriptor(key)
        with cython.critical_section(self):
            self.serial += 1
            if target in self.members:
                rc = self.change(target, self.wanted(target) | events)
            elif isinstance(target, _SocketHandle):
                rc = fmq_pollset_add(self.p, (<_SocketHandle>target).s, events,
                                     <void *>self.serial)
            else:
                rc = fmq_pollset_add_fd(self.p, target, events, <void *>self.serial)
            if rc < 0:
                fail_about(rc, f"{key!r}")
            self.entries[key] = (self.serial, target, events)
            if target in self.members:
                self.members[target].append(key)
                self.singles.pop(self.firsts[target], None)
            else:
                self.members[target] = [key]
                self.targets[self.serial] = target
                self.firsts[target] = self.serial
                self.singles[self.serial] = key

    def modify(self, key, int events):
        """Changes what a key is watched for. KeyError: it is not in the set."""
        cdef int rc
        with cython.critical_section(self):
            before = self.entries[key]
            self.entries[key] = (before[0], before[1], events)
            rc = self.change(before[1], self.wanted(before[1]))
            if rc < 0:
                self.entries[key] = before
                fail(rc)

    def remove(self, key):
        """Forgets a key. KeyError: it is not in the set."""
        with cython.critical_section(self):
            target = self.entries.pop(key)[1]
            keys = self.members[target]
            keys.remove(key)
            if keys:
                self.change(target, self.wanted(target))
                if len(keys) == 1:
                    self.singles[self.firsts[target]] = keys[0]
                return
            serial = self.firsts.pop(target)
            del self.members[target]
            del self.targets[serial]
            self.singles.pop(serial, None)
            if isinstance(target, _SocketHandle):
                fmq_pollset_remove(self.p, (<_SocketHandle>target).s)
            else:
                fmq_pollset_remove_fd(self.p, target)

    cdef list found(self, fmq_pollevent *v, int n):
        """Rows of (serial, key, events) for what the engine tells of."""
        cdef int i, events, err = FMQ_POLLERR
        cdef list out = []
        cdef list keys
        for i in range(n):
            target = self.targets.get(<size_t>v[i].data)
            keys = self.members.get(target)  # None: removed by another thread
            if keys is None:
                continue
            for key in keys:
                serial, _, wants = self.entries[key]
                events = v[i].events & (<int>wants | err)
                if events:
                    out.append((serial, key, events))
        return out

    def wait(self, timeout=None):
        """The ready ones as a list of (key, events) in the order of adding; empty after timeout
        (ms, None for ever)."""
        cdef fmq_pollevent few[32]
        cdef fmq_pollevent *v = few
        cdef int ms = as_timeout(timeout)
        cdef int step
        cdef int64_t deadline = deadline_of(ms)
        cdef int size = len(self.entries)
        cdef int rc
        cdef list out
        if size > 32:
            v = <fmq_pollevent *>PyMem_Malloc(<size_t>size * sizeof(fmq_pollevent))
            if v is NULL:
                raise MemoryError()
        elif size == 0:
            size = 1
        try:
            while True:
                step = step_of(ms)
                with nogil:
                    rc = fmq_pollset_wait(self.p, v, size, step)
                if rc != -EINTR and (rc != 0 or step == ms):
                    break
                ms = interrupted(deadline, ms)
            if rc < 0:
                fail(rc)
            if rc == 1:  # what nearly every program waits for
                only = self.singles.get(<size_t>v[0].data)
                if only is not None:
                    return [(only, v[0].events)]
            with cython.critical_section(self):
                out = self.found(v, rc)
        finally:
            if v is not few:
                PyMem_Free(v)
        if len(out) > 1:
            out.sort()  # by their serials, which all differ
        return [(key, events) for _, key, events in out]


cdef int descriptor(object key) except -1:
    """The descriptor of an int or of what has fileno()."""
    if not isinstance(key, int):
        fileno = getattr(key, "fileno", None)
        if fileno is None:
            raise TypeError(f"{key!r} is neither a socket, an int, nor has it a fileno() method")
        key = fileno()
    if not 0 <= key < 2**31:
        raise ValueError(f"{key!r} is no file descriptor")
    return key
