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
    EAGAIN, EBUSY, EFAULT, EHOSTUNREACH, EINTR, EINVAL, EMSGSIZE, ENOMEM, ENOTSOCK,
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
    # Flags of send and recv, and options that are known here: ZeroMQ's numbers.
    FLAG_DONTWAIT = 1
    FLAG_SNDMORE = 2
    OPT_LINGER = 17
    CONTEXT_THREAD_NAME_PREFIX = 9
    MESSAGE_MORE = 1
    MESSAGE_SRCFD = 2
    MESSAGE_SHARED = 3
    # Beyond this many bytes a send copies for longer than letting the interpreter lock go takes.
    BIG = 65536
    STACK_PARTS = 16
    # How many messages a batch sends before it gives other threads a turn.
    TURN = 1024

COPY_THRESHOLD = 65536

cdef str shown_name = "fastmq"  # what texts call the package: zmq while fastmq.compat is installed

# The header's: told there and nowhere else.
__version__ = (
    f"{FMQ_VERSION_MAJOR}.{FMQ_VERSION_MINOR}.{FMQ_VERSION_PATCH}{FMQ_VERSION_SUFFIX.decode('ascii')}"
)

cdef bint exiting = False
cdef int last_errno = 0
cdef object errors = None       # fastmq.error
cdef object tracker_class = None
cdef object done_tracker = None
cdef object live_contexts = WeakValueDictionary()  # address -> _ContextHandle
cdef object live_sockets = WeakValueDictionary()   # address -> _SocketHandle
cdef list orphans = []          # addresses of contexts that nobody refers to and that still send

include "_core/released.pxi"    # objects that the engine releases
include "_core/errors.pxi"      # error codes as exceptions; timeouts, deadlines and signals of calls that wait
include "_core/frame.pxi"       # messages: what goes into the engine and what comes out; Frame
include "_core/context.pxi"     # Context, and contexts whose handle is gone
include "_core/options.pxi"     # what options are called, and what is wrong with a value
include "_core/socket.pxi"      # Socket, and what its verbs share
include "_core/poll.pxi"        # PollSet
include "_core/proxy.pxi"       # the loop of proxies
include "_core/library.pxi"     # what concerns the library as a whole
include "_core/crypto.pxi"      # keys, and the functions of libsodium
include "_core/aio/waiter.pxi"  # one call that waits, and the Future that it ends
include "_core/aio/loop.pxi"    # those who wait for a socket in an event loop
include "_core/aio/socket.pxi"  # sockets whose verbs return Futures


set_library_verbs(Socket)
set_library_verbs(AsyncSocket)


msg_set_object_hooks(core_ref, hook_release)
if fmq_setup() < 0:
    raise ImportError("fastmq's engine could not be set up")
