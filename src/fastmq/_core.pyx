# SPDX-License-Identifier: MIT
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
# cython: freethreading_compatible=True, subinterpreters_compatible=no
"""The one extension module: the engine's handles as Python classes.

Rules of this file. What a send or a receive does on its way is a method of the cdef class itself,
in C types. The interpreter lock is kept for the engine's fmq_try_* calls and let go for every call
that may wait. A wait is ended by a signal with -EINTR: handlers run, and what is left of the time
is computed from one deadline. Negative results become exceptions in `fail` and nowhere else.

Where there is no interpreter lock, the engine's own locks do for what goes into the engine; what
this module keeps beside it and several threads may change has a critical section of the object it
belongs to. With an interpreter lock these are nothing. See "Without the interpreter lock" in
docs/architecture.md.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_Check, PyBytes_CheckExact, PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport (
    EAGAIN, EBUSY, EFAULT, EINTR, EINVAL, ENOMEM, ENOTSOCK,
)
from libc.stdint cimport INT32_MAX, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from fastmq._engine cimport *

import os
import threading
import sys
import warnings
from operator import index
from threading import Event
from weakref import WeakValueDictionary, ref as weak_reference

cdef extern from *:
    """
    #include <errno.h>
    #include <time.h>

    #ifndef ENOTSUP
    #define ENOTSUP EOPNOTSUPP
    #endif

    static inline int64_t core_now_ms(void)
    {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    }

    static void core_ref(void *object) /* with the interpreter lock held, see msg.h */
    {
        Py_INCREF((PyObject *)object);
    }

    static inline void *core_owner(const struct msg *m)
    {
        return m->u.x.owner;
    }
    """
    int64_t core_now_ms() nogil
    void core_ref(void *object) nogil
    void *core_owner(const msg *m) nogil
    const int ENOTSUP

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*func)(void *) except -1, void *arg) noexcept nogil
    ctypedef struct _Raw "PyObject":
        void *ob_type
    void *PyThreadState_GetDict()

cdef enum:
    # Beyond this many bytes a send copies for longer than letting the interpreter lock go takes.
    BIG = 65536
    STACK_PARTS = 16
    # How many messages a batch sends before it gives other threads a turn.
    TURN = 1024

COPY_THRESHOLD = 65536

cdef str shown_name = "fastmq"  # what texts call the package: zmq while fastmq.compat is installed

# The header's: told there and nowhere else.
__version__ = f"{FMQ_VERSION_MAJOR}.{FMQ_VERSION_MINOR}.{FMQ_VERSION_PATCH}"

cdef bint exiting = False
cdef int last_errno = 0
cdef object errors = None       # fastmq.error
cdef object tracker_class = None
cdef object done_tracker = None
cdef object live_contexts = WeakValueDictionary()  # address -> _ContextHandle
cdef object live_sockets = WeakValueDictionary()   # address -> _SocketHandle
cdef list orphans = []          # addresses of contexts that nobody refers to and that still send


# ---- objects that the engine lets go of ----

cdef int pending_drain(void *arg) except -1:
    drain()
    return 0


cdef void *held_type = NULL


cdef void hook_release(void *ob) noexcept nogil:
    # Plain bytes may wait for the next call into this module; a lent buffer has an owner who waits.
    # Once pushed the object may be gone at any time, another thread drains.
    cdef bint lent = (<_Raw *>ob).ob_type == held_type
    cdef bint many = decref_queue_push(ob)
    if (many or lent) and not exiting:
        Py_AddPendingCall(pending_drain, NULL)


cdef void release_held(void *data, void *hint) noexcept nogil:
    hook_release(hint)


@cython.final
cdef class _Held:
    """A buffer lent to the engine: released, and its tracker told, when the engine is done."""

    cdef Py_buffer buf
    cdef bint held
    cdef object event

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buf)


held_type = <void *>_Held


cdef int drain() except -1:
    """Ends what the engine has let go of. A signal's handler may raise meanwhile: that is passed on
    when all is done, so that no tracker waits in vain."""
    cdef void *some[64]
    cdef size_t n, i
    cdef _Held h
    cdef object failure = None
    while True:
        n = decref_queue_take(some, 64)
        if n == 0:
            break
        for i in range(n):
            ob = <object>some[i]
            Py_DECREF(ob)
            if type(ob) is _Held:
                h = <_Held>ob
                if h.held:
                    h.held = False
                    PyBuffer_Release(&h.buf)
                if h.event is not None:
                    try:
                        h.event.set()
                    except BaseException as e:
                        failure = e
                        h.event.set()
                h = None
            ob = None
    if failure is not None:
        raise failure
    return 0


def wait_released(int timeout_ms):
    """Waits until the engine has let go of something (or for timeout_ms), and ends it."""
    with nogil:
        decref_queue_wait(timeout_ms)
    drain()
    PyErr_CheckSignals()


# ---- errors ----

# Nothing is imported when an error is made: that may be in __del__ or atexit, when the interpreter
# does not import any more. The modules come here when they are imported.

def set_errors(module):
    """fastmq.error gives itself."""
    global errors
    errors = module


def set_trackers(cls, finished):
    """fastmq.frame gives MessageTracker, and the one that is done."""
    global tracker_class, done_tracker
    tracker_class, done_tracker = cls, finished


cdef object make_error(int rc, object text=None):
    """The exception for a negative errno; `text`, if any, replaces the system's."""
    global last_errno
    cdef int err = -rc
    last_errno = err
    if err == EAGAIN:
        return errors.Again(msg=text)
    if err == FMQ_ETERM:
        return errors.ContextTerminated(msg=text)
    if err == EINTR:
        return errors.InterruptedSystemCall(msg=text)
    if err == ENOMEM:
        return MemoryError(text or "the engine is out of memory")
    return errors.ZMQError(err, text)


cdef int fail(int rc) except -1:
    if rc == -ENOTSUP:  # the engine has just said what is not supported on which type
        return fail_detail(rc, None)
    if rc == -ENOTSOCK:
        raise make_error(rc, "Socket operation on non-socket: the socket is closed")
    if rc == -FMQ_EFSM:
        raise make_error(rc, "Operation cannot be accomplished in current state: REQ sends and then "
                             "receives the whole reply, REP receives the whole request and then "
                             "sends")
    raise make_error(rc)


cdef str option_name(object option):
    """A constant as its name, any other number as it is."""
    return getattr(option, "name", None) or repr(option)


cdef int fail_about(int rc, object what) except -1:
    """As fail, with what the call was about: for calls that leave no words of the engine (those of
    an earlier call may still be there)."""
    cdef bytes system = fmq_strerror(-rc)
    raise make_error(rc, f"{system.decode('utf-8', 'replace')} ({what})")


cdef int fail_detail(int rc, object what) except -1:
    """As fail, with the engine's own words and what the call was about."""
    cdef bytes detail = fmq_last_detail()
    cdef bytes system = fmq_strerror(-rc)
    text = system.decode("utf-8", "replace")
    if what:
        text = f"{text} ({what})"
    if detail:
        text = f"{text}: {detail.decode('utf-8', 'replace')}"
    raise make_error(rc, text)


cdef int unusable() except -1:
    raise make_error(-ENOTSOCK, "this socket was never opened: its __init__ was not called")


cdef int64_t deadline_of(int timeout) noexcept nogil:
    return core_now_ms() + timeout if timeout > 0 else 0


# A signal that comes while a waiting thread works or spins ends no sleep, and only the main thread
# runs handlers: it never waits for longer than this before it looks.
cdef enum:
    SIGNALS_MS = 200

cdef unsigned long main_thread = threading.main_thread().ident


cdef unsigned long fork_generation = 0


def _after_fork():
    global main_thread, fork_generation
    fork_generation += 1
    main_thread = PyThread_get_thread_ident()


os.register_at_fork(after_in_child=_after_fork)


cdef inline int step_of(int timeout) noexcept:
    """How much of a timeout may pass before signals are looked for."""
    if 0 <= timeout <= SIGNALS_MS or PyThread_get_thread_ident() != main_thread:
        return timeout
    return SIGNALS_MS


cdef int interrupted(int64_t deadline, int timeout) except -2:
    """Runs signal handlers; returns what is left of the timeout."""
    cdef int64_t left
    PyErr_CheckSignals()
    if timeout <= 0:
        return timeout
    left = deadline - core_now_ms()
    return <int>left if left > 0 else 0


cdef int as_timeout(object timeout) except -2:
    """Milliseconds from what callers give: None and negatives wait for ever."""
    if timeout is None:
        return -1
    try:
        if isinstance(timeout, (str, bytes, bytearray)):
            raise TypeError  # int() would read them
        ms = int(timeout)
    except (TypeError, ValueError):
        raise TypeError(
            f"timeout must be milliseconds as a number or None, not {type(timeout).__name__}"
        ) from None
    if ms < 0:
        return -1
    return ms if ms < INT32_MAX else INT32_MAX


cpdef object whole(object value, str name):
    """An int from any number, as pyzmq takes them: what has decimals loses them."""
    if isinstance(value, int):
        return value
    if not isinstance(value, (str, bytes, bytearray)):
        try:
            return int(value)
        except (TypeError, ValueError):
            try:
                return index(value)
            except TypeError:
                pass
    raise TypeError(f"{name} must be a number, not {type(value).__name__}")


cdef int limit_of(int flags, object timeout, int option) except -2:
    """How long one send or receive may wait, in ms: DONTWAIT, its own timeout, or the option."""
    if flags & 1:
        return 0
    return option if timeout is None else as_timeout(timeout)


# ---- messages ----

cdef object take_bytes(msg *m):
    """The message's bytes as an object; the message is consumed. An object that came by reference
    is handed on itself."""
    cdef void *owner
    cdef size_t size = msg_size(m)
    if m.kind == MSG_OBJECT:
        owner = core_owner(m)
        if PyBytes_CheckExact(<object>owner) and <size_t>PyBytes_GET_SIZE(<object>owner) == size:
            whole = <object>owner
            Py_DECREF(whole)  # the message's reference: `whole` holds its own
            return whole
    try:
        return PyBytes_FromStringAndSize(<const char *>msg_data(m), <Py_ssize_t>size)
    finally:
        msg_drop(m)


cdef object not_bytes(object data, str name):
    if isinstance(data, str):
        return TypeError(f"{name} must be bytes-like, not str; use send_string() or encode it")
    return TypeError(f"{name} must be bytes-like, not {type(data).__name__}")


cdef object hold(msg *m, object data, bint track):
    """Makes m a reference to the buffer of `data`, kept alive until the engine is done. Returns the
    event that is set then, or None."""
    cdef _Held h = _Held()
    cdef int rc
    PyObject_GetBuffer(data, &h.buf, PyBUF_ANY_CONTIGUOUS)
    h.held = True
    if track:
        h.event = Event()
    rc = msg_init_foreign(m, h.buf.buf, <size_t>h.buf.len, release_held, <void *>h)
    if rc < 0:
        fail(rc)
    Py_INCREF(h)
    return h.event


cdef object build(msg *m, object data, bint copy, bint track, Py_ssize_t threshold, str name):
    """One part from what the caller gave: on success m is to be sent or dropped. Bytes are
    borrowed, see msg_own. Returns what a tracker has to watch: an Event, a tracked Frame, or
    None."""
    cdef Py_buffer buf
    cdef Frame frame
    cdef int rc
    if PyBytes_Check(data):
        if track and not copy and PyBytes_GET_SIZE(data) >= threshold:
            return hold(m, data, True)
        msg_init_borrowed(m, PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), <void *>data)
        return None
    if isinstance(data, Frame):
        frame = <Frame>data
        rc = msg_dup(m, &frame.m)
        if rc < 0:
            fail(rc)
        m.flags = 0
        if track and frame.tracker is None:
            msg_drop(m)
            raise ValueError("Not a tracked message")
        return frame if track else None
    if isinstance(data, str):
        raise not_bytes(data, name)
    try:
        PyObject_GetBuffer(data, &buf, PyBUF_ANY_CONTIGUOUS)
    except TypeError:
        raise not_bytes(data, name) from None
    try:
        if not copy and buf.len >= threshold:
            return hold(m, data, track)
        rc = msg_init_copy(m, buf.buf, <size_t>buf.len)
        if rc < 0:
            fail(rc)
        return None
    finally:
        PyBuffer_Release(&buf)


cdef inline object finished_tracker():
    return done_tracker


cdef object tracker_of(list watched):
    finished = finished_tracker()
    return tracker_class(*watched) if watched else finished


cdef int own_copy(msg *m) noexcept:
    """As msg_own, but what is borrowed is copied, not referenced."""
    if m.kind == MSG_BORROWED:
        m.flags |= PART_NOREF
    return msg_own(m)


cdef object loaded_modules = sys.modules


cdef Py_ssize_t default_threshold() except -1:
    """COPY_THRESHOLD of the package, which a program may set."""
    package = loaded_modules.get(shown_name)
    return COPY_THRESHOLD if package is None else vars(package).get("COPY_THRESHOLD", COPY_THRESHOLD)


@cython.freelist(32)
cdef class Frame:
    """One part of a message, with its memory and what is known about where it came from.

    data: bytes-like; kept by reference when copy is False, or by default from copy_threshold bytes
        on. track: .tracker then tells when the engine is done with the memory.
    """

    cdef msg m
    cdef meta *props
    cdef object content      # the bytes, once they were asked for
    cdef object view         # a weak reference to the buffer, once it was asked for
    cdef public object tracker
    cdef public object tracker_event
    cdef public bint more  # further parts of the message follow
    cdef str group_name
    cdef Py_ssize_t exports  # buffers of it that are in use
    cdef object __weakref__

    def __cinit__(self):
        msg_init(&self.m)

    def __init__(self, data=None, track=False, copy=None, copy_threshold=None):
        cdef Py_ssize_t threshold = default_threshold() if copy_threshold is None else copy_threshold
        cdef msg fresh
        cdef int rc
        if data is None:
            data = b""
        if isinstance(data, str):
            raise TypeError("data must be bytes-like, not str: encode it first")
        if copy is None:
            copy = memoryview(data).nbytes < threshold
        if track and not copy:
            self.tracker_event = hold(&fresh, data, True)
            finished_tracker()
            self.tracker = tracker_class(self.tracker_event)
        else:
            build(&fresh, data, copy, False, threshold, "data")
            rc = own_copy(&fresh) if copy else msg_own(&fresh)
            if rc < 0:
                fail(rc)
            if track:
                self.tracker = finished_tracker()
        with cython.critical_section(self):
            if self.exports > 0:
                msg_drop(&fresh)
                raise BufferError("the frame cannot be made anew: a buffer of it is in use")
            msg_drop(&self.m)
            self.m = fresh
            self.content = None
            self.view = None

    def __dealloc__(self):
        msg_drop(&self.m)
        meta_unref(self.props)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        with cython.critical_section(self):
            PyBuffer_FillInfo(buffer, self, <void *>msg_data(&self.m),
                              <Py_ssize_t>msg_size(&self.m), not msg_is_sole(&self.m), flags)
            self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        with cython.critical_section(self):
            self.exports -= 1

    def __len__(self):
        return <Py_ssize_t>msg_size(&self.m)

    def __bytes__(self):
        return self.bytes

    def __repr__(self):
        cdef Py_ssize_t size = <Py_ssize_t>msg_size(&self.m)
        cdef bytes start = <bytes>PyBytes_FromStringAndSize(
            <const char *>msg_data(&self.m), size if size <= 16 else 12)
        more = "" if size <= 16 else f"...{size_text(size)}"
        return f"<{shown_class(type(self))}({start!r}{more})>"

    def __copy__(self):
        return self.fast_copy()

    def fast_copy(self):
        """Another Frame over the same memory."""
        cdef Frame other = Frame.__new__(type(self))
        cdef msg m
        cdef int rc = msg_dup(&m, &self.m)
        if rc < 0:
            fail(rc)
        other.m = m
        other.props = self.props
        if other.props is not NULL:
            meta_ref(other.props)
        with cython.critical_section(self):
            other.content = self.content
        other.tracker = self.tracker
        other.tracker_event = self.tracker_event
        other.more = self.more
        other.group_name = self.group_name
        return other

    @property
    def buffer(self):
        """A memoryview of the content, which keeps the frame alive; the same one as long as there
        is one. Writable where the memory is the frame's alone, as of all that came over tcp or ipc;
        read-only where others may see it: a bytes object, what inproc hands on, a frame's copies."""
        with cython.critical_section(self):
            found = self.view() if self.view is not None else None
            if found is None:
                found = memoryview(self)
                self.view = weak_reference(found)
            return found

    @property
    def bytes(self):
        """The content as bytes: copied when first asked for, the same object from then on."""
        with cython.critical_section(self):
            if self.content is None:
                self.content = PyBytes_FromStringAndSize(
                    <const char *>msg_data(&self.m), <Py_ssize_t>msg_size(&self.m))
            return self.content

    @property
    def routing_id(self):
        """Number of the peer, on SERVER and PEER sockets; 0 otherwise."""
        return self.m.routing_id

    @routing_id.setter
    def routing_id(self, value):
        self.set("routing_id", value)

    @property
    def group(self):
        """Group of a RADIO or DISH message; empty otherwise."""
        return self.group_name or ""

    @group.setter
    def group(self, value):
        self.set("group", value)

    def get(self, option):
        """A MessageOption's number, or by name: a property of the connection the frame came from
        ("Peer-Address", "Socket-Type", "User-Id", "Routing-Id", "X-...") as str, "routing_id"
        or "group". ZMQError(EINVAL) when there is none."""
        cdef const uint8_t *value = NULL
        cdef size_t size = 0
        if isinstance(option, int):
            if option == 1:
                return int(self.more)
            if option == 2:
                return -1
            if option == 3:
                return int(self.m.kind != MSG_INLINE)
            raise make_error(-EINVAL, f"{option} is no MessageOption")
        if isinstance(option, bytes):
            option = option.decode()
        if not isinstance(option, str):
            raise TypeError(f"option must be int or str, not {type(option).__name__}")
        if option == "routing_id":
            return self.m.routing_id
        if option == "group":
            return self.group
        name = option.encode()
        if self.props is NULL or meta_get(self.props, name, &value, &size) < 0:
            raise make_error(-EINVAL, f"the frame has no property {option!r}")
        return PyBytes_FromStringAndSize(<const char *>value, <Py_ssize_t>size).decode(
            "utf-8", "replace")

    def set(self, option, value):
        """Sets "routing_id" (a positive int) or "group" (str of at most 255 bytes)."""
        if option == "routing_id":
            if not isinstance(value, int):
                raise TypeError(f"routing_id must be int, not {type(value).__name__}")
            if not 0 < value < 2**32:
                raise make_error(-EINVAL, "routing_id must be between 1 and 4294967295")
            self.m.routing_id = value
        elif option == "group":
            if isinstance(value, bytes):
                value = value.decode()
            if not isinstance(value, str):
                raise TypeError(f"group must be str, not {type(value).__name__}")
            if len(value.encode()) > 255:
                raise make_error(-EINVAL, "group must have at most 255 bytes")
            self.group_name = value
        else:
            raise make_error(-EINVAL, f"{option!r} of a frame cannot be set")

    def __getitem__(self, key):
        return self.get(key)

    def __reduce__(self):
        raise TypeError("a Frame cannot be pickled: send its bytes")


cdef Frame take_frame(msg *m, meta *props, bint track):
    """The message as a Frame; message and metadata reference are consumed."""
    cdef Frame frame
    cdef int rc = msg_detach(m)
    if rc < 0:
        msg_drop(m)
        meta_unref(props)
        fail(rc)
    frame = Frame.__new__(Frame)
    frame.m = m[0]
    frame.props = props
    frame.more = (m.flags & PART_MORE) != 0
    if track:
        frame.tracker = finished_tracker()
    return frame


# ---- contexts ----

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
        if isinstance(optval, (str, bytes)) and number == 9:
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
        """What is still there: a list of (socket type, open, messages to send, last endpoint)."""
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
                None if stats.queued_bytes < 0 else stats.queued_bytes)


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


# ---- options ----

cdef object option_text(const fmq_option_info *info):
    cdef bytes name = info.name
    return name.decode()


cdef bint is_text(const fmq_option_info *info):
    return info.kind == FMQ_OPT_BYTES or info.kind == FMQ_OPT_STRING


cdef int bad_option(int rc, int option, object value) except -1:
    """Raises the error of an option, naming what is allowed if the engine did not."""
    cdef const fmq_option_info *info = fmq_option_find(option)
    cdef bytes detail = fmq_last_detail()
    if info is NULL:
        raise make_error(rc, f"Invalid argument: there is no socket option {option}")
    name = option_text(info)
    if detail:
        return fail_detail(rc, None)
    if rc != -EINVAL:
        return fail_detail(rc, name)
    if value is None:
        if not info.access & FMQ_OPT_GET:
            raise make_error(rc, f"Invalid argument: option {name} can only be set")
        raise make_error(rc, f"Invalid argument: this socket has no option {name} to read")
    if not info.access & FMQ_OPT_SET:
        raise make_error(rc, f"Invalid argument: option {name} can only be read")
    if is_text(info):
        if not info.min <= len(value) <= info.max:
            raise make_error(rc, f"Invalid argument: {name} takes {info.min} to {info.max} bytes, "
                                 f"not {len(value)}")
    elif not info.min <= value <= info.max:
        raise make_error(rc, f"Invalid argument: {name} takes {info.min} to {info.max}, "
                             f"not {int(value)}")
    raise make_error(rc, f"Invalid argument: {name} cannot be set to {value!r} on this socket")


# ---- sockets ----

@cython.final
@cython.no_gc_clear  # the socket has to end before its context
cdef class _SocketHandle:
    """Owns an engine socket; shared by a Socket and its shadows."""

    cdef fmq_socket *s
    cdef _ContextHandle context
    cdef unsigned long begun_by  # the thread that last sent with SNDMORE: it knows; see _Begun
    cdef object waits        # _SocketWaiters, once an event loop has to do with it; see aio/
    cdef object __weakref__

    def __dealloc__(self):
        if self.s is not NULL and not exiting:
            with nogil:
                fmq_socket_free(self.s)


# ---- messages that were begun and not finished ----

@cython.final
cdef class _Begun:
    """The sockets to which a thread has sent with SNDMORE. It is in the thread's own dict, and so
    ends with the thread: what was not finished by then never will be."""

    cdef object handles  # WeakValueDictionary: address -> _SocketHandle

    def __dealloc__(self):
        cdef _SocketHandle handle
        cdef uint32_t parts
        cdef int count
        if self.handles is None or exiting:
            return
        for handle in list(self.handles.values()):
            handle.begun_by = 0
            with nogil:
                count = fmq_drop_begun(handle.s, False, &parts)
            if count:
                warn_unfinished(describe(handle.s), count, parts, "its thread ended")


cdef int note_begun(_SocketHandle handle) except -1:
    """The calling thread has sent the beginning of a message."""
    cdef unsigned long thread = PyThread_get_thread_ident()
    cdef void *state
    cdef _Begun begun
    if handle.begun_by == thread:
        return 0
    state = PyThreadState_GetDict()
    if state is NULL:
        return 0
    mine = <dict>state
    begun = mine.get("fastmq")
    if begun is None:
        begun = _Begun()
        begun.handles = WeakValueDictionary()
        mine["fastmq"] = begun
    begun.handles[<uintptr_t>handle.s] = handle
    handle.begun_by = thread
    return 0


cdef str describe(fmq_socket *s):
    """A socket's type and last endpoint."""
    cdef char buf[512]
    cdef size_t size = sizeof(buf)
    name = errors._type_name(fmq_socket_type(s))
    if fmq_get_bytes(s, 32, buf, &size) < 0:
        return f"{name} socket"
    endpoint = buf[:size].rstrip(b"\0").decode("utf-8", "replace")
    return f"{name} socket at {endpoint}" if endpoint else f"{name} socket"


cdef int warn_unfinished(str socket, int count, uint32_t parts, str why) except -1:
    """A message whose last part never came is not sent."""
    warnings.warn(
        f"{socket}: {count_of(count, 'message')} begun with SNDMORE and not finished "
        f"({count_of(parts, 'part')}) when {why}", RuntimeWarning, stacklevel=2)
    return 0


cdef str count_of(object n, str what):
    return f"{n} {what}{'' if n == 1 else 's'}"


# ---- verbs that a subclass overrides ----

cdef enum:
    OWN_SEND = 1
    OWN_RECV = 2
    OWN_SEND_MULTIPART = 4
    OWN_RECV_MULTIPART = 8
    OWN_POLLER = 16

cdef dict OWN_BITS = {"send": OWN_SEND, "recv": OWN_RECV, "send_multipart": OWN_SEND_MULTIPART,
                      "recv_multipart": OWN_RECV_MULTIPART, "_poller_class": OWN_POLLER}
cdef dict library_verbs = {}  # id -> what this library's classes have under these names


def set_library_verbs(cls):
    """What the class has under the names of verbs is the library's: it overrides nothing."""
    for name in OWN_BITS:
        verb = getattr(cls, name, None)
        library_verbs[id(verb)] = verb


cdef int own_verbs(Socket socket):
    """OWN_ bits of the verbs that its class, or one that derives from, overrides, or the object."""
    cdef int own = 0
    cdef object cls = type(socket)
    cdef object mine = getattr(socket, "__dict__", ())
    for name, bit in OWN_BITS.items():
        if name in mine or id(getattr(cls, name, None)) not in library_verbs:
            own |= bit
    return own


cdef bytes address_bytes(object addr):
    if isinstance(addr, str):
        addr = addr.encode("utf-8")
    elif not isinstance(addr, bytes):
        raise TypeError(f"addr must be str, not {type(addr).__name__}: {addr!r}")
    if b"\0" in addr:
        raise make_error(-EINVAL, f"Invalid argument (addr={addr!r}): it contains a NUL character")
    return addr


@cython.no_gc_clear  # `s` is of `handle`
cdef class Socket:
    """Base of fastmq.Socket: what is on the way of messages, and the handle."""

    cdef fmq_socket *s      # of `handle`; valid, closed or not, as long as that lives
    cdef _SocketHandle handle
    cdef public object context
    cdef Py_ssize_t threshold
    cdef int own            # OWN_ bits: the forms built on these verbs call the class's
    cdef object __weakref__

    def __init__(self, context=None, socket_type=-1, *, shadow=0, copy_threshold=None):
        cdef _SocketHandle handle
        cdef fmq_ctx *ctx
        cdef int kind = whole(socket_type, "socket_type")
        cdef int rc
        if self.handle is not None:  # another thread may be in a call on it
            raise RuntimeError("the socket is open already: its __init__ was called before")
        if copy_threshold is None:
            self.threshold = default_threshold()
        else:
            self.threshold = whole(copy_threshold, "copy_threshold")
        if isinstance(shadow, Socket):
            self.handle = (<Socket>shadow).handle
            context = (<Socket>shadow).context if context is None else context
        elif shadow:
            self.handle = live_sockets.get(int(shadow))
            if self.handle is None:
                raise make_error(-EFAULT, f"{shadow:#x} is not the address of a fastmq socket")
        else:
            if not isinstance(context, Context):
                raise TypeError(f"context must be a Context, not {type(context).__name__}")
            if kind < 0:
                raise TypeError("socket_type must be specified")
            if (<Context>context).closed:
                raise make_error(-ENOTSUP, "Operation not supported: the context is closed")
            handle = _SocketHandle()
            handle.context = (<Context>context).handle
            ctx = handle.context.h
            with nogil:
                rc = fmq_socket_new(ctx, kind, &handle.s)
            if rc < 0:
                fail_detail(rc, f"socket type {kind}")
            self.handle = handle
            live_sockets[<uintptr_t>handle.s] = handle
        self.context = context
        self._note_verbs()
        self.s = self.handle.s

    def _drop_begun(self):
        """Drops what was begun with SNDMORE and not finished: how many messages, and of what."""
        cdef uint32_t parts
        cdef int begun
        if self.s is NULL or fmq_closed(self.s):
            return 0, ""
        with nogil:
            begun = fmq_drop_begun(self.s, True, &parts)
        return begun, describe(self.s) if begun else ""

    def _note_verbs(self):
        """Finds out which verbs the class or the object has of its own."""
        cdef int own = own_verbs(self)
        if isinstance(self, AsyncSocket):  # its forms stand on no verb but this one
            (<AsyncSocket>self).own_messages = (own & OWN_RECV_MULTIPART) != 0
        else:
            self.own = own

    @property
    def _sends_by_part(self):
        return (self.own & OWN_SEND) != 0

    # -- life --

    @property
    def closed(self):
        """Whether the socket was closed."""
        return self.s is NULL or fmq_closed(self.s)

    @property
    def _closed(self):
        return self.s is NULL or fmq_closed(self.s)

    @property
    def _number(self):
        return -1 if self.s is NULL else fmq_socket_type(self.s)

    @property
    def underlying(self):
        """The handle's address as an int, for Socket.shadow; 0 once closed."""
        return 0 if self.closed else <uintptr_t>self.s

    @property
    def copy_threshold(self):
        """Bytes from which copy=False keeps the buffer instead of copying."""
        return self.threshold

    @copy_threshold.setter
    def copy_threshold(self, value):
        self.threshold = whole(value, "copy_threshold")

    def _close(self, linger=None):
        """Closes; linger in ms replaces the option. Closing twice is harmless."""
        cdef int64_t value
        cdef uint32_t parts
        cdef int begun
        cdef int rc
        if self.s is NULL:
            return
        if linger is not None:
            linger = whole(linger, "linger")
            if not -2**63 <= linger < 2**63:
                bad_option(-EINVAL, 17, linger)
            value = linger
            rc = fmq_set_int(self.s, 17, value)
            if rc < 0 and rc != -ENOTSOCK and rc != -FMQ_ETERM and rc != -FMQ_EFORKED:
                bad_option(rc, 17, linger)
        with nogil:
            begun = fmq_drop_begun(self.s, True, &parts)
        socket = describe(self.s) if begun else None
        with nogil:
            rc = fmq_close(self.s)
        waits = self.handle.waits
        if waits is not None:
            (<_SocketWaiters>waits).closed()
        drain()
        if begun:
            warn_unfinished(socket, begun, parts, "it was closed")
        if rc < 0 and rc != -ENOTSOCK and rc != -FMQ_EFORKED:
            fail(rc)

    # -- endpoints --

    cdef int at_endpoint(self, int (*call)(fmq_socket *, const char *) noexcept nogil,
                         object addr) except -1:
        cdef bytes a = address_bytes(addr)
        cdef const char *p = a
        cdef int rc
        if self.s is NULL:
            unusable()
        with nogil:
            rc = call(self.s, p)
        if rc < 0:
            fail_detail(rc, f"addr={addr!r}")
        if rc > 0:
            warnings.warn(
                fmq_last_detail().decode("utf-8", "replace"), RuntimeWarning, stacklevel=2
            )
        return 0

    def _bind(self, addr):
        self.at_endpoint(fmq_bind, addr)

    def _connect(self, addr):
        self.at_endpoint(fmq_connect, addr)

    def unbind(self, addr):
        """Stops listening at addr (as LAST_ENDPOINT gives it) and ends the connections accepted
        there; what they sent is still received. Over inproc they go on. An endpoint that was
        connected is disconnected. ZMQError(ENOENT): there is none of that name."""
        self.at_endpoint(fmq_unbind, addr)

    def disconnect(self, addr):
        """Ends all connections made by connect(addr). What is queued for the peer is sent within
        LINGER, what it sent and was not received is dropped. An endpoint that was bound is
        unbound. ZMQError(ENOENT): there is none of that name."""
        self.at_endpoint(fmq_disconnect, addr)

    def monitor(self, addr, events=0xFFFF, *, int version=1, int type=0):
        """Sends the events of the mask to a PAIR bound at addr ("inproc://..."); None stops.

        version 2 has 64-bit events with several values, and type may then be PUB or PUSH too.
        """
        cdef bytes a = None if addr is None else address_bytes(addr)
        cdef const char *p = NULL
        cdef uint64_t mask = events
        cdef int rc
        if self.s is NULL:
            unusable()
        if a is not None:
            p = a
        with nogil:
            rc = fmq_monitor(self.s, p, mask, version, type)
        if rc < 0:
            fail_detail(rc, f"addr={addr!r}")

    def monitor_stats(self):
        """Asks for a PIPES_STATS event on the version 2 monitor."""
        cdef int rc
        if self.s is NULL:
            unusable()
        rc = fmq_monitor_stats(self.s)
        if rc < 0:
            fail(rc)

    # -- options --

    def set(self, option, optval):
        """Sets a SocketOption. Numbers take int, the others bytes; see fastmq.SocketOption.

        TypeError: not what the option takes. ZMQError(EINVAL): unknown, out of range, or not for
        this socket now; the text says which and what is allowed.
        """
        cdef const fmq_option_info *info
        cdef const char *p
        cdef int number = option
        cdef int64_t n
        cdef int rc
        cdef size_t size
        if self.s is NULL:
            unusable()
        info = fmq_option_find(number)
        if info is NULL:
            if fmq_closed(self.s):
                fail(-ENOTSOCK)
            if not isinstance(optval, int):
                raise TypeError(f"there is no socket option {number}, and an unknown one takes "
                                f"int, not {type(optval).__name__}")
            bad_option(-EINVAL, number, optval)
        if 47 <= number <= 50:  # CURVE_SERVER to CURVE_SERVERKEY; the engine says what is missing
            have_crypto()
        name = option_text(info)
        if is_text(info):
            if isinstance(optval, str):
                raise TypeError(f"{name} takes bytes, not str: use set_string()")
            try:
                data = optval if PyBytes_CheckExact(optval) else memoryview(optval).tobytes()
            except TypeError:
                raise TypeError(f"{name} takes bytes, not {type(optval).__name__}") from None
            p = <const char *><bytes>data
            size = <size_t>len(data)
            with nogil:
                rc = fmq_set_bytes(self.s, number, p, size)
            optval = data
        else:
            if not isinstance(optval, int):
                raise TypeError(f"{name} takes int, not {type(optval).__name__}: {optval!r}")
            if not -2**63 <= optval < 2**63:
                bad_option(-EINVAL, number, optval)
            n = optval
            with nogil:
                rc = fmq_set_int(self.s, number, n)
        if rc < 0:
            bad_option(rc, number, optval)

    def get(self, option):
        """The value of a SocketOption: int, or bytes for names, addresses and keys."""
        cdef const fmq_option_info *info
        cdef char buf[1025]
        cdef size_t size = 1025
        cdef int number = option
        cdef int64_t n = 0
        cdef int rc
        if self.s is NULL:
            unusable()
        info = fmq_option_find(number)
        if info is NULL:
            if fmq_closed(self.s):
                fail(-ENOTSOCK)
            bad_option(-EINVAL, number, None)
        if is_text(info):
            rc = fmq_get_bytes(self.s, number, buf, &size)
            if rc < 0:
                bad_option(rc, number, None)
            if info.kind == FMQ_OPT_STRING and size > 0 and buf[size - 1] == 0:
                size -= 1
            return PyBytes_FromStringAndSize(buf, <Py_ssize_t>size)
        with nogil:
            rc = fmq_get_int(self.s, number, &n)
        if rc < 0:
            bad_option(rc, number, None)
        return n

    # -- sending --

    cdef int transmit(self, msg *v, uint32_t n, int flags, object timeout, bint big) except -1:
        """Sends n parts as one message (or its beginning). They are the caller's if it raises."""
        cdef bint more = (flags & 2) != 0
        cdef int64_t deadline
        cdef uint32_t i
        cdef bint again = False
        cdef int ms, step
        cdef int rc
        if more:
            note_begun(self.handle)
        if not big:
            rc = fmq_try_send(self.s, v, n, more)
            if rc >= 0:
                return 0
            if rc != -EBUSY and (rc != -EAGAIN or flags & 1):
                fail(rc)
        for i in range(n):
            rc = msg_own(&v[i])
            if rc < 0:
                fail(rc)
        ms = limit_of(flags, timeout, fmq_sndtimeo(self.s))
        deadline = deadline_of(ms)
        while True:
            step = step_of(ms)
            with nogil:
                if again:
                    rc = fmq_send_again(self.s, v, n, more, step)
                else:
                    rc = fmq_send(self.s, v, n, more, step)
            if rc != -EINTR and (rc != -EAGAIN or step == ms):
                break
            again = True
            ms = interrupted(deadline, ms)
        if rc < 0:
            fail(rc)
        return 0

    cdef object send_one(self, object data, int flags, bint copy, bint track, object routing_id,
                         object group, object timeout, str name):
        cdef msg m
        watched = build(&m, data, copy, track and not copy, self.threshold, name)
        try:
            if routing_id is not None:
                if not isinstance(routing_id, int) or not 0 < routing_id < 2**32:
                    raise make_error(-EINVAL, "routing_id must be between 1 and 4294967295")
                m.routing_id = routing_id
            if routing_id is not None:
                raise make_error(-ENOTSUP, "Operation not supported: this socket type has no "
                                           "routing ids beside the message")
            if group is not None:
                raise make_error(-ENOTSUP, "Operation not supported: only RADIO sockets send to "
                                           "groups")
            self.transmit(&m, 1, flags, timeout, msg_size(&m) > BIG)
        except BaseException:
            msg_drop(&m)
            raise
        if copy:
            return None
        if isinstance(data, Frame):
            return (<Frame>data).tracker
        if track:
            return tracker_of([] if watched is None else [watched])
        return finished_tracker() if watched is None and m.kind == MSG_INLINE else None

    def send(self, data, int flags=0, bint copy=True, bint track=False, routing_id=None, group=None,
             *, timeout=None):
        """Sends one part; with SNDMORE in flags further parts of the same message follow.

        data: bytes-like or a Frame. flags: DONTWAIT, SNDMORE. copy=False: a buffer of at least
        copy_threshold bytes is not copied and must not change until it was sent; track=True
        returns a MessageTracker that tells. timeout: ms, instead of SNDTIMEO.
        Raises Again when no peer could take it in time, ContextTerminated, ZMQError.
        """
        cdef Py_ssize_t size
        cdef int rc
        if decref_queue_count():
            drain()
        if self.s is NULL:
            unusable()
        if PyBytes_CheckExact(data) and routing_id is None and group is None and not track:
            size = PyBytes_GET_SIZE(data)
            if size <= BIG:
                rc = fmq_try_send_bytes(self.s, PyBytes_AS_STRING(data), <size_t>size,
                                        <void *>data, (flags & 2) != 0)
                if rc >= 0:
                    if flags & 2:
                        note_begun(self.handle)
                    return None if copy else finished_tracker()
                if rc != -EBUSY and (rc != -EAGAIN or flags & 1):
                    fail(rc)
        return self.send_one(data, flags, copy, track, routing_id, group, timeout, "data")

    def send_multipart(self, msg_parts, int flags=0, bint copy=True, bint track=False, *,
                       routing_id=None, group=None, timeout=None):
        """Sends a sequence of parts as one message, whole or not at all.

        Parameters and errors as for send; the returned tracker watches every part.
        """
        cdef msg few[STACK_PARTS]
        cdef msg *v = few
        cdef Py_ssize_t n
        cdef Py_ssize_t done = 0
        cdef size_t total = 0
        cdef bint sent = False
        cdef list watched = []
        if decref_queue_count():
            drain()
        if self.s is NULL:
            unusable()
        # A tuple, and until the end: it holds the objects that the messages borrow from, even
        # if the caller's list changes, or its iterator makes them as it goes.
        msg_parts = tuple(msg_parts)
        n = len(msg_parts)
        if n == 0:
            raise IndexError("msg_parts is empty: a message has at least one part")
        if self.own & OWN_SEND:
            return self.send_by_part(msg_parts, flags, copy, track, routing_id, group, timeout)
        if routing_id is not None or group is not None:
            if n > 1:
                raise make_error(-EINVAL, "messages with a routing_id or group have one part")
            return self.send_one(msg_parts[0], flags, copy, track, routing_id, group, timeout,
                                 "msg_parts[0]")
        if n > STACK_PARTS:
            v = <msg *>PyMem_Malloc(<size_t>n * sizeof(msg))
            if v is NULL:
                raise MemoryError()
        try:
            for part in <tuple>msg_parts:
                if PyBytes_CheckExact(part) and not track:
                    msg_init_borrowed(&v[done], PyBytes_AS_STRING(part),
                                      <size_t>PyBytes_GET_SIZE(part), <void *>part)
                else:
                    w = build(&v[done], part, copy, track and not copy, self.threshold,
                              f"msg_parts[{done}]")
                    if w is not None:
                        watched.append(w)
                total += msg_size(&v[done])
                done += 1
            self.transmit(v, <uint32_t>done, flags, timeout, total > BIG)
            sent = True
        finally:
            if not sent:
                while done > 0:
                    done -= 1
                    msg_drop(&v[done])
            if v is not few:
                PyMem_Free(v)
        if copy:
            return None
        return tracker_of(watched)

    cdef object send_by_part(self, tuple msg_parts, int flags, bint copy, bint track,
                             object routing_id, object group, object timeout):
        """Sends the parts by the class's own `send`. What it has not finished when that raises is
        dropped, so that the message may be sent again."""
        cdef Py_ssize_t n = len(msg_parts)
        cdef uint32_t before, dropped
        for i, part in enumerate(msg_parts):
            if not isinstance(part, (bytes, Frame)):
                try:
                    memoryview(part)
                except TypeError:
                    raise not_bytes(part, f"msg_parts[{i}]") from None
        given = {"copy": copy, "track": track}
        for name, value in (("routing_id", routing_id), ("group", group), ("timeout", timeout)):
            if value is not None:
                given[name] = value
        before = fmq_begun(self.s)
        try:
            for part in msg_parts[:n - 1]:
                self.send(part, 2 | flags, **given)
            return self.send(msg_parts[n - 1], flags, **given)
        except BaseException:
            if before == 0:
                fmq_drop_begun(self.s, False, &dropped)
            raise

    def send_many(self, messages, int flags=0, *, timeout=None):
        """Sends each of an iterable of messages and returns how many they were.

        A message is bytes-like, or a list or tuple of parts. timeout: ms for the whole batch,
        instead of SNDTIMEO for each. If it ends early the error is a BatchError whose `sent`
        counts the messages that are on their way; an error of the iterable, or a TypeError, gets
        the same attribute.
        """
        cdef Py_ssize_t sent = 0
        cdef Py_ssize_t size
        cdef int64_t deadline = 0
        cdef int64_t left
        cdef int total = 0
        cdef int rc
        cdef object limit = None
        if self.s is NULL:
            unusable()
        if timeout is not None:
            total = as_timeout(timeout)
            deadline = deadline_of(total)
        try:
            for item in messages:
                if PyBytes_CheckExact(item) and not self.own & OWN_SEND:
                    size = PyBytes_GET_SIZE(item)
                    if size <= BIG:
                        rc = fmq_try_send_bytes(self.s, PyBytes_AS_STRING(item), <size_t>size,
                                                <void *>item, False)
                        if rc >= 0:
                            sent += 1
                            if sent % TURN == 0:
                                PyErr_CheckSignals()
                                if decref_queue_count():
                                    drain()
                                with nogil:
                                    pass
                            continue
                        if rc != -EBUSY and (rc != -EAGAIN or flags & 1):
                            fail(rc)
                if timeout is not None:
                    left = deadline - core_now_ms() if total > 0 else total
                    limit = left if left > 0 or total < 0 else 0
                if isinstance(item, (list, tuple)):
                    if limit is None:
                        self.send_multipart(item, flags & 1)
                    else:
                        self.send_multipart(item, flags & 1, timeout=limit)
                elif self.own & OWN_SEND:
                    if limit is None:
                        self.send(item, flags & 1)
                    else:
                        self.send(item, flags & 1, timeout=limit)
                else:
                    self.send_one(item, flags & 1, True, False, None, None, limit,
                                  f"messages[{sent}]")
                sent += 1
        except errors.ZMQError as e:
            raise errors.batch_error(e, sent) from e
        except BaseException as e:  # KeyboardInterrupt too
            try:
                e.sent = sent
            except AttributeError:
                pass
            raise
        return sent

    def flush(self):
        """Writes out now what was queued to go out with later messages."""
        cdef int rc
        if self.s is NULL:
            unusable()
        with nogil:
            rc = fmq_flush(self.s)
        if rc < 0:
            fail(rc)

    # -- receiving --

    cdef int wait_receive(self, msg *m, parts *p, uint32_t many, meta **props, int rc, int flags,
                          object timeout) except -1:
        """The rest of a receive whose try gave rc: of one part into m, of up to `many` messages into
        p, or of one message into p (many: 0). What the engine answered."""
        cdef int64_t deadline
        cdef int ms, step
        if rc != -EBUSY and (rc != -EAGAIN or flags & 1):
            fail(rc)
        ms = limit_of(flags, timeout, fmq_rcvtimeo(self.s))
        deadline = deadline_of(ms)
        while True:
            step = step_of(ms)
            with nogil:
                if p is NULL:
                    rc = fmq_recv_part(self.s, m, props, step)
                elif many:
                    rc = fmq_recv_many(self.s, p, many, step)
                else:
                    rc = fmq_recv(self.s, p, props, step)
            if rc != -EINTR and (rc != -EAGAIN or step == ms):
                break
            ms = interrupted(deadline, ms)
        if rc < 0:
            fail(rc)
        return rc

    def recv(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """Receives the next part: bytes, or with copy=False a Frame.

        flags: DONTWAIT. timeout: ms, instead of RCVTIMEO. Raises Again when nothing came in time,
        ContextTerminated, ZMQError.
        """
        cdef msg m
        cdef meta *props = NULL
        cdef int rc
        if decref_queue_count():
            drain()
        if self.s is NULL:
            unusable()
        if copy:
            rc = fmq_try_recv_part(self.s, &m, NULL)
            if rc < 0:
                self.wait_receive(&m, NULL, 0, NULL, rc, flags, timeout)
            return take_bytes(&m)
        rc = fmq_try_recv_part(self.s, &m, &props)
        if rc < 0:
            self.wait_receive(&m, NULL, 0, &props, rc, flags, timeout)
        return take_frame(&m, props, track)

    def recv_multipart(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """Receives all parts of the next message: a list of bytes, or with copy=False of Frames."""
        cdef parts p
        cdef meta *props = NULL
        cdef meta **want = NULL if copy else &props
        cdef uint32_t i
        cdef int rc
        cdef list out = []
        if decref_queue_count():
            drain()
        if self.s is NULL:
            unusable()
        if self.own & OWN_RECV:
            return self.recv_by_part(flags, copy, track, timeout)
        parts_init(&p)
        try:
            rc = fmq_try_recv(self.s, &p, want)
            if rc < 0:
                self.wait_receive(NULL, &p, 0, want, rc, flags, timeout)
            for i in range(p.len):
                out.append(take_at(&p, i, props, copy, track))
        finally:
            meta_unref(props)
            parts_fini(&p)
        return out

    cdef list recv_by_part(self, int flags, bint copy, bint track, object timeout):
        """Receives a message by the class's own `recv` and `getsockopt`."""
        cdef dict given = {"copy": copy, "track": track}
        cdef list out
        if timeout is not None:
            given["timeout"] = timeout
        out = [self.recv(flags, **given)]
        while self.getsockopt(13):  # RCVMORE
            out.append(self.recv(flags, **given))
        return out

    cdef list recv_many_by_message(self, Py_ssize_t limit, int flags, bint copy, bint multipart,
                                   object timeout):
        """As recv_many, by the class's own `recv_multipart` or what that stands on."""
        cdef dict given = {"copy": copy}
        cdef list out = []
        if timeout is not None:
            given["timeout"] = timeout
        while len(out) < limit:
            try:
                whole = self.recv_multipart(flags, **given)
            except errors.Again:
                if not out:
                    raise
                break
            out.append(whole if multipart or len(whole) != 1 else whole[0])
            flags |= 1
            given.pop("timeout", None)
        return out

    def recv_into(self, buffer, /, *, nbytes=0, int flags=0, timeout=None):
        """Receives the next part into a writable buffer and returns its length in bytes.

        nbytes: how much of the buffer may be used, 0 for all. What does not fit is lost, as a
        returned length above nbytes tells. flags, timeout and errors as for recv.
        """
        cdef Py_buffer buf
        cdef msg m
        cdef Py_ssize_t room = whole(nbytes, "nbytes")
        cdef size_t size
        cdef int rc
        if self.s is NULL:
            unusable()
        PyObject_GetBuffer(buffer, &buf, PyBUF_WRITABLE)
        try:
            if room < 0 or room > buf.len:
                raise ValueError(f"nbytes must be between 0 and the buffer's {buf.len}, "
                                 f"not {nbytes}")
            if room == 0:
                room = buf.len
            rc = fmq_try_recv_part(self.s, &m, NULL)
            if rc < 0:
                self.wait_receive(&m, NULL, 0, NULL, rc, flags, timeout)
            size = msg_size(&m)
            memcpy(buf.buf, msg_data(&m), min(size, <size_t>room))
            msg_drop(&m)
            return size
        finally:
            PyBuffer_Release(&buf)

    def recv_many(self, max=1000, *, timeout=None, bint copy=True, bint multipart=False,
                  int flags=0):
        """Receives up to `max` messages that are there, waiting only for the first.

        A list of bytes for messages of one part and lists of bytes for others; multipart=True:
        always lists; copy=False: Frames. timeout: ms, instead of RCVTIMEO. Raises Again when
        nothing came.
        """
        cdef parts p
        cdef uint32_t i
        cdef uint32_t limit
        cdef int rc
        cdef bint more
        cdef list out = []
        cdef list whole = None
        if decref_queue_count():
            drain()
        if self.s is NULL:
            unusable()
        if not isinstance(max, int):
            raise TypeError(f"max must be int, not {type(max).__name__}")
        if max < 1:
            raise ValueError(f"max must be at least 1, not {max}")
        limit = <uint32_t>(max if max < INT32_MAX else INT32_MAX)
        if self.own & (OWN_RECV | OWN_RECV_MULTIPART):
            return self.recv_many_by_message(limit, flags, copy, multipart, timeout)
        parts_init(&p)
        try:
            rc = fmq_try_recv_many(self.s, &p, limit)
            if rc < 0:
                self.wait_receive(NULL, &p, limit, NULL, rc, flags, timeout)
            for i in range(p.len):
                more = (p.v[i].flags & PART_MORE) != 0
                part = take_at(&p, i, NULL, copy, False)
                if whole is not None:
                    whole.append(part)
                elif more or multipart:
                    whole = [part]
                else:
                    out.append(part)
                if whole is not None and not more:
                    out.append(whole)
                    whole = None
        finally:
            parts_fini(&p)
        return out

    def __iter__(self):
        """Messages as they come: `for parts in socket`."""
        return self

    def __next__(self):
        """The next message: the list of its parts, each bytes. The iteration ends when the socket
        is closed or its context terminated. Again when RCVTIMEO passes."""
        cdef parts p
        cdef uint32_t i
        cdef int rc
        if decref_queue_count():
            drain()
        if self.s is NULL:
            unusable()
        parts_init(&p)
        try:
            if self.own & (OWN_RECV | OWN_RECV_MULTIPART):
                return self.recv_multipart()
            rc = fmq_try_recv(self.s, &p, NULL)
            if rc < 0:
                self.wait_receive(NULL, &p, 0, NULL, rc, 0, None)
            return [take_at(&p, i, NULL, True, False) for i in range(p.len)]
        except errors.ZMQError as e:
            if e.errno == ENOTSOCK or e.errno == FMQ_ETERM:
                raise StopIteration from None
            raise
        finally:
            parts_fini(&p)

    # -- readiness --

    def poll(self, timeout=None, int flags=1):
        """Waits until the socket is ready for one of flags (POLLIN, POLLOUT); returns which, 0 when
        timeout (ms, None for ever) passed."""
        cdef int ms = as_timeout(timeout)
        cdef int step
        cdef int64_t deadline
        cdef int rc
        if decref_queue_count():
            drain()
        if self.s is NULL or fmq_closed(self.s):
            raise make_error(-ENOTSUP, "Operation not supported: the socket is closed")
        if self.own & OWN_POLLER:
            poller = self._poller_class()
            poller.register(self, flags)
            return dict(poller.poll(timeout)).get(self, 0)
        deadline = deadline_of(ms)
        while True:
            step = step_of(ms)
            with nogil:
                rc = fmq_poll_one(self.s, flags, step)
            if rc != -EINTR and ((rc != 0 and rc != -EAGAIN) or step == ms):
                break
            ms = interrupted(deadline, ms)
        if rc == -EAGAIN:
            return 0
        if rc < 0:
            fail(rc)
        return rc

    def peer_state(self, peer):
        """ROUTER: what the peer of that routing id is ready for, POLLIN | POLLOUT.
        ZMQError(EHOSTUNREACH): there is none."""
        cdef bytes name = bytes(peer)
        cdef int rc
        if self.s is NULL:
            unusable()
        rc = fmq_peer_state(self.s, PyBytes_AS_STRING(name), <size_t>len(name))
        if rc < 0:
            fail(rc)
        return rc


    # -- looking inside --

    def _peers(self):
        """A list of the fields of fastmq.Peer."""
        cdef fmq_peer *rows
        cdef int room = 16
        cdef int n, i
        if self.s is NULL:
            unusable()
        while True:
            rows = <fmq_peer *>PyMem_Malloc(<size_t>room * sizeof(fmq_peer))
            if rows is NULL:
                raise MemoryError()
            try:
                with nogil:
                    n = fmq_peers(self.s, rows, room)
                if n < 0:
                    fail(n)
                if n <= room:
                    return [peer_fields(&rows[i]) for i in range(n)]
                room = n + 16  # others may come meanwhile
            finally:
                PyMem_Free(rows)

    def _stats(self):
        """The fields of fastmq.SocketStats."""
        cdef fmq_socket_stats stats
        cdef int rc
        if self.s is NULL:
            unusable()
        with nogil:
            rc = fmq_stats(self.s, &stats)
        if rc < 0:
            fail(rc)
        return (*counters(&stats.count), stats.send_waits, stats.peers,
                None if stats.subscriptions < 0 else stats.subscriptions, stats.descriptors)

    def wait_for_subscribers(self, n=1, topic=b"", timeout=None):
        """PUB and XPUB: waits until a message of `topic` would reach at least n connected peers,
        and returns how many it would reach, each peer counted once.

        A peer is reached when one of its subscriptions is a prefix of topic; with an empty topic
        every peer that has a subscription counts, whatever it is for. n 0: the count as it is.
        timeout: ms, None for ever. Raises Again when there were too few in time,
        ContextTerminated, ZMQError.
        """
        cdef bytes name = topic_bytes(topic)
        cdef const char *p = name
        cdef size_t size = <size_t>len(name)
        cdef uint32_t wanted
        cdef int ms = as_timeout(timeout)
        cdef int step
        cdef int64_t deadline
        cdef int rc
        if self.s is NULL:
            unusable()
        if not isinstance(n, int):
            raise TypeError(f"n must be int, not {type(n).__name__}")
        if not 0 <= n <= INT32_MAX:
            raise ValueError(f"n must be between 0 and {INT32_MAX}, not {n}")
        wanted = n
        deadline = deadline_of(ms)
        while True:
            step = step_of(ms)
            with nogil:
                rc = fmq_wait_subscribers(self.s, p, size, wanted, step)
            if rc != -EINTR and (rc != -EAGAIN or step == ms):
                break
            ms = interrupted(deadline, ms)
        if rc < 0:
            fail(rc)
        return rc


cdef bytes topic_bytes(object topic):
    if isinstance(topic, str):
        return topic.encode()
    try:
        return topic if PyBytes_CheckExact(topic) else memoryview(topic).tobytes()
    except TypeError:
        raise TypeError(f"topic must be bytes or str, not {type(topic).__name__}") from None


cdef tuple counters(fmq_counters *c):
    return (c.msgs_sent, c.msgs_recvd, c.bytes_sent, c.bytes_recvd, c.drops, c.queued_to_send,
            c.queued_to_recv, c.bytes_to_send, c.bytes_to_recv, c.reconnects)


cdef tuple peer_fields(fmq_peer *p):
    return (
        (<bytes>p.endpoint).decode("utf-8", "replace"),
        (<bytes>p.address).decode("utf-8", "replace"),
        p.accepted != 0,
        <int>p.link,
        p.type,
        PyBytes_FromStringAndSize(<const char *>p.identity, p.identity_len),
        None if p.since_ns == 0 else p.since_ns / 1e9,
        None if p.rtt_ns == 0 else p.rtt_ns / 1e6,
        None if p.subscriptions < 0 else p.subscriptions,
        *counters(&p.count),
    )


cdef object take_at(parts *p, uint32_t i, meta *props, bint copy, bint track):
    """Part i as an object; its place in p is left empty, for parts_fini to pass over."""
    cdef msg m = p.v[i]
    msg_init(&p.v[i])
    if copy:
        return take_bytes(&m)
    if props is not NULL:
        meta_ref(props)
    return take_frame(&m, props, track)


# ---- polling ----

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


# ---- proxies ----

cdef fmq_socket *proxied(object sock, str name, bint optional) except? NULL:
    if sock is None and optional:
        return NULL
    if not isinstance(sock, Socket):
        raise TypeError(f"{name} must be a Socket, not {type(sock).__name__}")
    if (<Socket>sock).s is NULL:
        unusable()
    return (<Socket>sock).s


def run_proxy(frontend, backend, capture=None, control=None, bytes prefix_in=None,
              bytes prefix_out=None, bint swap_ids=False):
    """Forwards messages both ways until TERMINATE comes on control; see fastmq.proxy.

    The prefixes are first frames for the copies that go to capture. swap_ids exchanges the first
    two frames of every message.
    """
    cdef fmq_socket *f = proxied(frontend, "frontend", False)
    cdef fmq_socket *b = proxied(backend, "backend", False)
    cdef fmq_socket *cap = proxied(capture, "capture", True)
    cdef fmq_socket *ctl = proxied(control, "control", True)
    cdef fmq_proxy_state state
    cdef int rc
    memset(&state, 0, sizeof(state))
    state.swap_ids = swap_ids
    if prefix_in is not None:
        state.prefix_in.data = PyBytes_AS_STRING(prefix_in)
        state.prefix_in.size = len(prefix_in)
    if prefix_out is not None:
        state.prefix_out.data = PyBytes_AS_STRING(prefix_out)
        state.prefix_out.size = len(prefix_out)
    try:
        while True:
            with nogil:
                rc = fmq_proxy(f, b, cap, ctl, &state)
            if rc != -EINTR:
                break
            PyErr_CheckSignals()
    finally:
        fmq_proxy_end(&state)
    drain()
    if rc < 0:
        fail(rc)


# ---- the library ----

def strerror(int errno):
    """Text for an error number, ZeroMQ's own included."""
    cdef bytes text = fmq_strerror(errno)
    return text.decode("utf-8", "replace")


def zmq_errno():
    """Number of the last error that a call of this module raised; 0 when there was none."""
    return last_errno


def has(capability):
    """Whether the engine has a transport or mechanism: "ipc", "inproc", "curve", "draft" ..."""
    if not isinstance(capability, (str, bytes)):
        raise TypeError(f"capability must be str, not {type(capability).__name__}")
    cdef bytes name = capability.encode() if isinstance(capability, str) else capability
    return have_crypto() if name == b"curve" else fmq_has(name) > 0


def poller_name():
    """What waits for descriptors: "epoll", "kqueue" or "poll"."""
    cdef bytes name = fmq_poller_name()
    return name.decode()


def package_name():
    """What texts call the package: "fastmq", or "zmq" while fastmq.compat is installed."""
    return shown_name


def set_package_name(str name not None):
    """Sets package_name()."""
    global shown_name
    shown_name = name


def shown_class(cls):
    """How a repr names a class: the package's own ones by the name under which programs find them;
    a class may name itself, by `_repr_cls` in its body."""
    cdef str name
    given = cls.__dict__.get("_repr_cls")
    if isinstance(given, str):
        return given
    package, _, module = cls.__module__.partition(".")
    if package != "fastmq":
        return f"{cls.__module__}.{cls.__name__}"
    if module == "green.core":
        module = "green"
    elif module in ("_core", "context", "frame", "socket"):
        module = ""
    name = "Socket" if module == "" and issubclass(cls, Socket) else cls.__name__
    return ".".join(part for part in (shown_name, module, name) if part)


cdef str size_text(Py_ssize_t size):
    """A number of bytes in its largest whole unit."""
    if size >= 1_000_000_000:
        return f"{size // 1_000_000_000}GB"
    if size >= 1024 * 1024:
        return f"{size // 1_000_000}MB"
    if size >= 1000:
        return f"{size // 1000}kB"
    return f"{size}B"


def open_fds():
    """Descriptors that the engine holds now."""
    return fmq_open_fds()


def live_blocks():
    """Allocations of the engine that are alive; 0 unless built with FASTMQ_DEBUG."""
    return fmq_live_blocks()


# ---- keys ----

def set_crypto(addresses):
    """Gives the engine the primitives of CURVE: addresses of C functions by name (fmq_crypto); of
    the last four all, or none."""
    cdef uintptr_t in_order[12]
    cdef fmq_crypto table
    in_order[0] = addresses["box_keypair"]
    in_order[1] = addresses["scalarmult_base"]
    in_order[2] = addresses["box_beforenm"]
    in_order[3] = addresses["box_easy_afternm"]
    in_order[4] = addresses["box_open_easy_afternm"]
    in_order[5] = addresses["secretbox_easy"]
    in_order[6] = addresses["secretbox_open_easy"]
    in_order[7] = addresses["random"]
    in_order[8] = addresses.get("core_hsalsa20", 0)
    in_order[9] = addresses.get("stream_salsa20_xor", 0)
    in_order[10] = addresses.get("onetimeauth_poly1305", 0)
    in_order[11] = addresses.get("onetimeauth_poly1305_verify", 0)
    assert sizeof(table) == sizeof(in_order)
    memcpy(&table, in_order, sizeof(table))
    fmq_set_crypto(&table)


cdef bint have_crypto() except -1:
    """Whether there is CURVE: libsodium is looked for when it is first asked for."""
    if fmq_has("curve") > 0:
        return True
    from ._crypto import load
    return load()


cdef int need_crypto() except -1:
    if not have_crypto():
        raise make_error(-ENOTSUP, "Operation not supported: CURVE needs libsodium, which comes "
                                   "with PyNaCl: pip install PyNaCl")


def z85_encode(rawbytes):
    """Bytes, a multiple of four of them, as Z85 (ZeroMQ RFC 32): five characters for four bytes.

    ValueError: another length.
    """
    cdef const uint8_t[::1] view = rawbytes
    cdef size_t size = <size_t>view.shape[0]
    if size % 4:
        raise ValueError(f"length must be multiple of 4, not {size}")
    cdef bytearray out = bytearray(size // 4 * 5)
    if size:
        fmq_z85_encode(<char *>out, &view[0], size)
    return bytes(out)


def z85_decode(z85bytes):
    """The bytes that Z85 text, bytes or str, stands for: four for five characters.

    ValueError: the length is no multiple of five, a character is none of Z85, or five of them stand
    for more than four bytes can hold.
    """
    if isinstance(z85bytes, str):
        try:
            z85bytes = z85bytes.encode("ascii")
        except UnicodeEncodeError:
            raise ValueError("Z85 is made of ASCII characters") from None
    cdef const uint8_t[::1] view = z85bytes
    cdef size_t size = <size_t>view.shape[0]
    if size % 5:
        raise ValueError(f"Z85 length must be multiple of 5, not {size}")
    cdef bytearray out = bytearray(size // 5 * 4)
    if size and fmq_z85_decode(<char *>out, <const char *>&view[0], size) < 0:
        raise ValueError("not Z85: a character outside its 85, or a group above 2**32 - 1")
    return bytes(out)


def curve_keypair():
    """A new pair of CURVE keys, (public, secret), each 40 bytes of Z85.

    ZMQError(ENOTSUP): libsodium is missing: PyNaCl brings it.
    """
    cdef uint8_t public_key[32]
    cdef uint8_t secret_key[32]
    need_crypto()
    cdef int rc = fmq_curve_keypair(public_key, secret_key)
    if rc < 0:
        fail(rc)
    try:
        return z85_encode(public_key[:32]), z85_encode(secret_key[:32])
    finally:
        secret_wipe(secret_key, 32)


def curve_public(secret_key):
    """The public key that belongs to a secret one; both are 40 bytes of Z85 (str is taken, too).

    ValueError: not the Z85 form of a key. ZMQError(ENOTSUP): as for curve_keypair.
    """
    cdef uint8_t public_key[32]
    need_crypto()
    if len(secret_key) != 40:
        raise ValueError("secret key must be a 40 byte z85 encoded string")
    cdef bytes raw = z85_decode(secret_key)
    cdef int rc = fmq_curve_public(public_key, <const uint8_t *><const char *>raw)
    if rc < 0:
        fail(rc)
    return z85_encode(public_key[:32])


def option_table():
    """All rows of the option table: (id, name, is bytes, readable, settable, min, max)."""
    cdef const fmq_option_info *info
    cdef int i = 0
    cdef list rows = []
    while True:
        info = fmq_option_at(i)
        if info is NULL:
            return rows
        rows.append((info.id, option_text(info), bool(is_text(info)),
                     bool(info.access & FMQ_OPT_GET), bool(info.access & FMQ_OPT_SET),
                     info.min, info.max))
        i += 1


include "_core/aio/waiter.pxi"  # one call that waits, and the Future that it ends
include "_core/aio/loop.pxi"    # those who wait for a socket in an event loop
include "_core/aio/socket.pxi"  # sockets whose verbs return Futures


set_library_verbs(Socket)
set_library_verbs(AsyncSocket)


msg_set_object_hooks(core_ref, hook_release)
if fmq_setup() < 0:
    raise ImportError("fastmq's engine could not be set up")
