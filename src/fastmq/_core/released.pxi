# SPDX-License-Identifier: MIT
# Part of _core.pyx: objects that the engine releases.


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
    """A buffer lent to the engine: released, and its tracker notified, when the engine is done."""

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
