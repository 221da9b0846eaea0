# SPDX-License-Identifier: MIT
# Part of _core.pyx: Context, and contexts whose handle is gone.


@cython.final
cdef class _ContextHandle:
    """Owns an engine context; shared by a Context and its shadows, and kept by every socket."""

    cdef fmq_ctx *h
    cdef bint ended
    cdef object __weakref__

    def __dealloc__(self):
        cdef int rc
        if self.h is NULL or exiting:
            return
        if not self.ended and not fmq_ctx_forked(self.h):
            with nogil:
                rc = fmq_ctx_term(self.h, 0)
            if rc != 0:
                orphans.append(<uintptr_t>self.h)  # still sends; see reap_orphans
                return
        with nogil:
            fmq_ctx_free(self.h)


@cython.final
cdef class _Block:
    """Memory that Context.alloc has given; lives as long as a buffer of it."""

    cdef fmq_block b

    def __dealloc__(self):
        fmq_block_free(&self.b)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.b.data, <Py_ssize_t>self.b.size, 0, flags)


cdef list pending_of(fmq_ctx *h):
    """Rows of (type, open, messages to send, last endpoint, LINGER)."""
    cdef fmq_pending rows[64]
    cdef int n = fmq_ctx_pending(h, rows, 64)
    cdef int i
    if n < 0:
        fail(n)
    return [
        (rows[i].type, bool(rows[i].open), rows[i].messages,
         (<bytes>rows[i].endpoint).decode("utf-8", "replace"), rows[i].linger)
        for i in range(min(n, 64))
    ]


cdef void reap_orphans():
    """Frees the contexts without owner that have sent what they had."""
    cdef fmq_ctx *h
    cdef int rc
    cdef list sending = []
    while True:
        try:
            address = orphans.pop()  # no other thread has it from here on
        except IndexError:
            break
        h = <fmq_ctx *><void *><uintptr_t>address
        with nogil:
            rc = 0 if fmq_ctx_forked(h) else fmq_ctx_term(h, 0)
        if rc == 0:
            with nogil:
                fmq_ctx_free(h)
        else:
            sending.append(address)
    orphans.extend(sending)


cdef class Context:
    """Base of fastmq.Context: the handle, its own options and its end."""

    cdef _ContextHandle handle
    cdef object __weakref__

    def __init__(self, io_threads=1, shadow=0):
        cdef _ContextHandle handle
        cdef int rc
        if self.handle is not None:
            return
        if isinstance(io_threads, Context):
            shadow, io_threads = io_threads, 1
        if isinstance(shadow, Context):
            self.handle = (<Context>shadow).handle
            return
        if shadow:
            self.handle = live_contexts.get(int(shadow))
            if self.handle is None:
                raise make_error(-EFAULT, f"{shadow:#x} is not the address of a fastmq context")
            return
        io_threads = whole(io_threads, "io_threads")
        if orphans:
            reap_orphans()
        handle = _ContextHandle()
        rc = fmq_ctx_new(&handle.h)
        if rc < 0:
            fail(rc)
        self.handle = handle
        if io_threads != 1:
            self.set(1, io_threads)
        live_contexts[<uintptr_t>handle.h] = handle
        fmq_inspect_if_wanted()

    cdef fmq_ctx *need(self) except NULL:
        if self.handle is None or self.handle.ended:
            raise RuntimeError("Context has been destroyed")
        return self.handle.h

    @property
    def closed(self):
        """Whether the context was terminated."""
        return self.handle is None or self.handle.ended

    @property
    def underlying(self):
        """The handle's address as an int, for Context.shadow; 0 once terminated."""
        return 0 if self.closed else <uintptr_t>self.handle.h

    @property
    def _forked(self):
        return self.handle is not None and fmq_ctx_forked(self.handle.h)

    def set(self, option, optval):
        """Sets a ContextOption; THREAD_NAME_PREFIX also takes str of at most 16 bytes."""
        cdef fmq_ctx *h = self.need()
        cdef int number = option
        cdef int rc
        if isinstance(optval, (str, bytes)) and number == CONTEXT_THREAD_NAME_PREFIX:
            name = optval.encode() if isinstance(optval, str) else optval
            rc = fmq_ctx_set_name_prefix(h, name)
        elif isinstance(optval, int):
            if not -2**63 <= optval < 2**63:
                fail_about(-EINVAL, f"context option {option_name(option)} = {optval!r}")
            rc = fmq_ctx_set(h, number, optval)
            if rc < 0:
                fail_detail(rc, f"context option {option_name(option)} = {optval!r}")
        else:
            raise TypeError(f"context option {option_name(option)} takes int, not {type(optval).__name__}")
        if rc < 0:
            fail_about(rc, f"context option {option_name(option)} = {optval!r}")

    def get(self, option):
        """The value of a ContextOption."""
        cdef fmq_ctx *h = self.need()
        cdef int64_t value = 0
        cdef int rc = fmq_ctx_get(h, option, &value)
        if rc < 0:
            fail_about(rc, f"context option {option_name(option)}")
        return value

    def shutdown(self):
        """Makes every call on the context's sockets fail with ContextTerminated. Never waits."""
        cdef int rc
        if not self.closed and not self._forked:
            rc = fmq_ctx_shutdown(self.handle.h)
            if rc < 0:
                fail(rc)

    def _ending(self):
        """Who waits on a socket when it is closed gets ContextTerminated from now on."""
        if not self.closed:
            fmq_ctx_ending(self.handle.h)

    def _linger(self, int ms):
        """Sockets that were closed and still have something to send give up after ms from now."""
        if not self.closed:
            with nogil:
                fmq_ctx_linger(self.handle.h, ms)

    def _term(self, timeout=None):
        """Waits for the end. False when timeout (ms) passed first."""
        cdef fmq_ctx *h
        cdef int ms = as_timeout(timeout)
        cdef int64_t deadline = deadline_of(ms)
        cdef int rc
        if self.closed:
            return True
        if fmq_ctx_forked(self.handle.h):
            self.handle.ended = True
            return True
        h = self.handle.h
        while True:
            with nogil:
                rc = fmq_ctx_term(h, ms)
            if rc != -EINTR:
                break
            ms = interrupted(deadline, ms)
        if rc == 0:
            self.handle.ended = True
        drain()
        if rc == -EAGAIN:
            return False
        if rc < 0:
            fail(rc)
        return True

    def pending(self):
        """Sockets that are not done: a list of (type, open, messages to send, last endpoint)."""
        return [row[:4] for row in self._pending()]

    def _pending(self):
        """Rows as those of pending, with LINGER as a fifth."""
        if self.closed or self._forked:
            return []
        return pending_of(self.handle.h)

    def _stats(self):
        """The fields of fastmq.ContextStats."""
        cdef fmq_ctx *h = self.need()
        cdef fmq_context_stats stats
        cdef int rc
        with nogil:
            rc = fmq_ctx_stats(h, &stats)
        if rc < 0:
            fail(rc)
        return (*counters(&stats.count), stats.send_waits, stats.sockets, stats.peers,
                stats.descriptors, stats.pool_bytes, stats.pool_spare,
                None if stats.queued_bytes < 0 else stats.queued_bytes,
                stats.shm_connections, stats.shm_bytes, stats.arena_bytes, stats.arena_blocks,
                stats.arena_lent, stats.arena_fallbacks)

    def alloc(self, size):
        """Writable memory for a message, as a memoryview of `size` bytes whose content is not set.
        It can be sent, whole or in part, like any buffer. With copy=False, peers on this host that
        share memory with the context get it without a copy if it lies in the context's arena: from
        256 KiB on, while SHM_ARENA_BYTES has room; else it is ordinary memory. What was sent must
        not be changed until the peers have released it: track=True tells when. The memory is free
        again when nothing refers to it, here or at a peer. MemoryError where there is none."""
        cdef fmq_ctx *h = self.need()
        cdef Py_ssize_t count = whole(size, "size")
        cdef _Block block = _Block()
        cdef int rc
        if count < 0:
            raise ValueError(f"size must be 0 or more, not {count}")
        with nogil:
            rc = fmq_ctx_alloc(h, <size_t>count, &block.b)
        if rc == -ENOMEM:
            raise MemoryError(f"no memory for {count} bytes")
        if rc < 0:
            fail(rc)
        return memoryview(block)


def orphans_sending():
    """Frees what has ended of the contexts without owner; True while one is left."""
    reap_orphans()
    return bool(orphans)


def orphans_pending():
    """What the contexts without owner still have to send: rows as those of Context._pending."""
    cdef list rows = []
    for address in list(orphans):
        if not fmq_ctx_forked(<fmq_ctx *><void *><uintptr_t>address):
            rows += pending_of(<fmq_ctx *><void *><uintptr_t>address)
    return rows


def is_exiting():
    """Whether the interpreter is ending."""
    return exiting


def at_exit():
    """From now on no object is ended by the engine's threads, and no context is waited for."""
    global exiting
    exiting = True
    drain()
