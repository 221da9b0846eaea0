# SPDX-License-Identifier: MIT
# Part of _core.pyx: error codes as exceptions; timeouts, deadlines and signals of calls that wait.


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


cdef object timed_out(bint sending, int ms):
    """What a call raises whose time is over."""
    what = "nothing could be sent" if sending else "nothing was received"
    return make_error(-EAGAIN, f"Resource temporarily unavailable: {what} within {ms} ms")


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


cdef int fail_send(int rc) except -1:
    """As fail, of a send or a proxy: the engine has just said what the type does not take."""
    if rc == -EINVAL or rc == -EMSGSIZE or rc == -EHOSTUNREACH:
        return fail_detail(rc, None)
    return fail(rc)


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
    if rc == -ENOTSOCK:
        return fail(rc)
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
    """Milliseconds from what callers give: None and negatives wait for ever. A part of one counts as
    a whole one: a call that may wait does not become one that may not."""
    if timeout is None:
        return -1
    try:
        if isinstance(timeout, (str, bytes, bytearray)):
            raise TypeError  # int() would read them
        if isinstance(timeout, float):
            if timeout < 0:
                return -1
            if timeout >= INT32_MAX:
                return INT32_MAX
            ms = int(timeout)
            return ms + (ms < timeout)
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
    if flags & FLAG_DONTWAIT:
        return 0
    return option if timeout is None else as_timeout(timeout)
