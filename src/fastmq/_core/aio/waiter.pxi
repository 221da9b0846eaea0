# SPDX-License-Identifier: MIT
# Included by _core.pyx, first of aio/: one call of a socket whose verbs return Futures.
#
# A verb that can be done at once is done at once, and a finished Future is returned. Otherwise a
# waiter joins the queue of its event loop (loop.pxi). A message is taken from the engine only for a
# waiter that still wants it. If the task that waits is cancelled after that, before it has run, the
# message goes back to the engine (fmq_give_back) and is received anew, by whomever.
#
# A call into Python may run anything: other threads, and code that comes back to the same socket.
# "Without the interpreter lock" in docs/architecture.md has the rule that all of aio/ follows.

cdef object Future_ = None         # asyncio.Future
cdef object Pending = None         # fastmq._future.Pending: a Future that a waiter belongs to
cdef object Passing = None         # fastmq._future.Passing: done, but awaiting it takes a turn
cdef object Cancelled = None       # asyncio.CancelledError
cdef object running_loop = None    # asyncio.get_running_loop
cdef object fallback_loop = None   # called when no loop runs: warns, returns a loop or raises
cdef object deque = None
cdef object Ordered = None         # collections.OrderedDict
cdef object NoContext = None       # contextvars.Context: called, an empty one
cdef object loop_fd = None         # fastmq._future.loop_fd
cdef object copy_context = None    # contextvars.copy_context
cdef object next_message = None    # a coroutine: what __anext__ gives by the class's recv_multipart
cdef object adapters = None            # WeakValueDictionary: id of a loop -> _LoopAdapter

cdef enum:
    TAKE_PART
    TAKE_MESSAGE
    TAKE_INTO
    TAKE_MANY
    TAKE_NEXT
    SEND_PART
    SEND_MESSAGE


def set_asyncio(names):
    """Gives this module what it needs of asyncio, which it does not import by itself."""
    global Future_, Pending, Passing, Cancelled, running_loop, fallback_loop
    global deque, Ordered, NoContext, copy_context, next_message, loop_fd, adapters
    deque, Ordered = names["deque"], names["OrderedDict"]
    NoContext, copy_context = names["Context"], names["copy_context"]
    running_loop, fallback_loop = names["running_loop"], names["no_loop"]
    Pending, Passing, Cancelled = names["Pending"], names["Passing"], names["CancelledError"]
    next_message = names["next_message"]
    loop_fd = names["loop_fd"]
    adapters = WeakValueDictionary()
    Future_ = names["Future"]  # last: whoever finds it finds the others


# ---- turns of the loop ----
#
# An await that completes at once does not go through the loop, so that a task whose awaits all do
# would keep everything else of the loop from running. After so many completions of a socket in one
# turn of the loop, or when the turn has lasted so long, the next verb is done at once all the same,
# but awaiting its Future takes a turn. What serves waiters stops after that time, too, and goes on
# in the next turn. A turn begins when the loop calls its adapter, or lets the first task run that
# has awaited such a Future. All of this belongs to the thread that runs the loop.
#
# A turn costs as much as eight verbs. While the loop has nobody else to run, as far as it can be
# asked, the completions go on for LONELY_TURN_NS: what its timers and its selector have waits no
# longer.

cdef extern from *:
    """
    #ifdef _MSC_VER
    #define CORE_THREAD __declspec(thread)
    #else
    #define CORE_THREAD __thread
    #endif

    struct core_turn_state {
        uint64_t number; /* of the turn, as far as this module notices them */
        uint64_t start;  /* ns */
        uint64_t look;   /* when it was last asked how long the turn has lasted, ns */
        unsigned done;   /* about how much was completed in it */
        uint64_t spun;   /* how long receives have spun in it, ns */
        bool vain;       /* one of them has found nothing: the others do not */
    };
    static CORE_THREAD struct core_turn_state core_turn;

    static inline uint64_t core_now_ns(void)
    {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    """
    struct core_turn_state:
        uint64_t number
        uint64_t start
        uint64_t look
        unsigned done
        uint64_t spun
        bint vain
    core_turn_state core_turn
    uint64_t core_now_ns() noexcept nogil

cdef enum:
    TURN_NS = 1000000
    # The same while nobody else is ready to run.
    LONELY_TURN_NS = 250000
    # Who asks so seldom goes by other turns than those that are noticed.
    TURN_GAP_NS = 10000000
    # Completions of one socket in one turn, between two looks at who else is ready.
    TURN_COMPLETIONS = 64
    # So many between two looks at the clock.
    CLOCK_EVERY = 8
    # Receives that have to wait may first look at the network again and again, for so long in one
    # turn, and while the loop has nobody else to run: the way through the loop takes longer.
    AWAIT_SPIN_NS = 20000
    # A receive for which the loop has been asked asks again so often.
    AWAIT_LOOK_NS = 10000
    # Where less of it is left, the next turn is waited for.
    AWAIT_SPIN_LEAST_NS = 12000
    # After so many receives that spun and found their message the loop no longer watches.
    UNWATCH_AFTER = 4
    # A loop that does not tell who is ready has nobody else, if it comes back within this time.
    FREE_TURN_NS = 20000


cdef inline void turn_begins() noexcept:
    core_turn.number += 1
    core_turn.start = core_turn.look = core_now_ns()
    core_turn.done = 0
    core_turn.spun = 0
    core_turn.vain = False


cdef inline bint turn_spent() noexcept:
    return core_now_ns() - core_turn.start > TURN_NS


def turn_number():
    """Number of the present turn of this thread's loop."""
    return core_turn.number


def turn_spun():
    """How long receives have spun in the present turn of this thread's loop, ns."""
    return core_turn.spun


cdef inline void turn_is_past(uint64_t number) noexcept:
    if core_turn.number == number:  # no other task has said so
        turn_begins()


def turn_passed(uint64_t number):
    """The loop has begun another turn than that."""
    turn_is_past(number)


# ---- Futures ----

cdef object current_loop():
    try:
        return running_loop()
    except RuntimeError:
        return fallback_loop()


cdef bint others_ready() except -1:
    """Whether the loop has others to run in its next turn; also where it does not tell."""
    try:
        loop = running_loop()
    except RuntimeError:
        return True
    return state_of(loop) != LOOP_FREE


cdef enum:
    LOOP_FREE
    LOOP_BUSY
    LOOP_UNKNOWN


cdef int state_of(object loop) except -1:
    """Whether others are ready to run, as far as the loop can be asked."""
    ready = getattr(loop, "_ready", None)
    if type(ready) is not deque:
        return LOOP_UNKNOWN
    return LOOP_BUSY if len(ready) else LOOP_FREE


cdef inline uint64_t spin_limit(fmq_socket *s) noexcept:
    """SPIN_US, ns; 0: a receive does not spin."""
    return 1000 * <uint64_t>fmq_spin_limit(s)


cdef object finished_in(object loop, object value):
    future = Future_(loop=loop)
    future.set_result(value)
    return future


cdef object failed_in(object loop, object error):
    future = Future_(loop=loop)
    future.set_exception(error)
    return future


cdef object passing_in(object loop, object value, _Waiter w):
    """A finished Future whose await goes through the loop."""
    future = Passing(loop=loop)
    future.waiter = nothing_taken if w is None else w
    future.set_result(value)
    return future


cdef object failing_in(object loop, object error):
    """A failed Future whose await goes through the loop."""
    future = Passing(loop=loop)
    future.waiter = nothing_taken
    future.set_exception(error)
    return future


def passing(loop, value):
    """A finished Future whose await lets other tasks run."""
    return passing_in(loop, value, None)


cdef object error_of(int rc):
    """The exception that fail() raises."""
    try:
        fail(rc)
    except Exception as e:
        return e


cdef object receive_error(_Waiter w, int rc):
    """What a receive ends with: an iteration over a socket that is no more ends."""
    if w.kind == TAKE_NEXT and (rc == -ENOTSOCK or rc == -FMQ_ETERM):
        return StopAsyncIteration()
    return error_of(rc)


cdef inline bint may_come(_Waiter w, int rc) noexcept:
    """Whether a receive that got nothing waits. It also does where the socket's state or type does
    not allow it: another task's send may be what it waits for."""
    return rc == -EAGAIN or (rc < 0 and (rc == -FMQ_EFSM or rc == -ENOTSUP) and not w.flags & 1)


cdef bint is_again(object error):
    return isinstance(error, errors.Again)


cdef int load_result(object future, object load, object context, object value,
                     _Waiter w) except -1:
    """Gives a Future load(value), called in the context of the caller of the verb; what it raises
    does to the Future what a Task's coroutine would do to the Task. The waiter's message is then
    received for good."""
    try:
        value = context.run(load, value)
    except BaseException as e:
        if w is not None:
            w.taken = None
        if future.done():
            pass
        elif isinstance(e, Cancelled):
            future.cancel()
        elif isinstance(e, StopIteration):
            error = RuntimeError(f"{load!r} raised StopIteration")
            error.__cause__ = e
            future.set_exception(error)
        else:
            future.set_exception(e)
        if isinstance(e, (KeyboardInterrupt, SystemExit)):
            raise
        return 0
    if not future.done():
        future.set_result(value)
    return 0


# ---- what was taken ----

@cython.final
@cython.freelist(64)
cdef class _Taken:
    """What one receive took from the engine, as long as it may have to go back."""

    cdef fmq_receipt receipt
    cdef list rows   # (part, whether more follow)
    cdef list beside # of each part the routing id or the group; None: there was none of any

    def __dealloc__(self):
        meta_unref(self.receipt.meta)

    cdef int give_back(self, fmq_socket *s) except -1:
        cdef parts p
        cdef msg m
        cdef Frame frame
        cdef Py_ssize_t i = 0
        cdef int rc = 0
        parts_init(&p)
        try:
            for part, more in self.rows:
                if isinstance(part, Frame):
                    frame = <Frame>part
                    rc = msg_dup(&m, &frame.m)
                else:
                    msg_init_borrowed(&m, PyBytes_AS_STRING(part),
                                      <size_t>PyBytes_GET_SIZE(part), <void *>part)
                    rc = msg_own(&m)
                if rc < 0:
                    fail(rc)
                m.flags = PART_MORE if more else 0
                m.routing_id = 0
                rc = 0 if self.beside is None else say_beside(&m, self.beside[i])
                i += 1
                if rc == 0:
                    rc = parts_push(&p, &m)
                if rc < 0:
                    msg_drop(&m)
                    fail(rc)
            with nogil:
                rc = fmq_give_back(s, &self.receipt, &p)
            self.receipt.meta = NULL
        finally:
            parts_fini(&p)
        if rc == -ENOMEM:
            fail(rc)
        return 0  # a socket that is closed receives nothing any more


@cython.final
@cython.freelist(64)
cdef class _Waiter:
    """One call that could not be done at once, or may have to be undone: what it wants, and its
    Future."""

    cdef object future       # None: it has what it gets
    cdef object timer
    cdef AsyncSocket socket  # kept alive by its waiters
    cdef _LoopWaiters place  # in whose queue it is; None: in none
    cdef int kind
    cdef int flags
    cdef bint copy
    cdef bint track
    cdef bint multipart
    cdef bint keeps          # what it receives may have to go back
    cdef object what         # sending: the message; TAKE_INTO: the buffer
    cdef object options      # sending: (routing_id, group)
    cdef bint whole          # sending: a message, and not the beginning or the rest of one
    cdef object peer         # sending: whom it is for, where the message's first part says so
    cdef object load         # what is to be made of the message, or None
    cdef object context      # in which `load` is called
    cdef Py_ssize_t size     # TAKE_INTO: how much of the buffer; TAKE_MANY: how many messages
    cdef list taken          # _Taken: what was received for it
    cdef int awaiting        # how many tasks are in the Future's __await__
    cdef uint64_t turn       # in which its Future was done
    cdef int limit           # how long it may wait, ms

    def expire(self):
        """Its time is over."""
        cdef _LoopWaiters place = self.place
        self.timer = None
        if place is None:
            return
        head = place.leaves(self)
        self.failure(timed_out(self.kind >= SEND_PART, self.limit))
        if head:
            place.again()

    def cancelled(self):
        """Its Future was cancelled: nothing is held any longer."""
        cdef _LoopWaiters place = self.place
        self.future = None
        if place is not None:
            head = place.leaves(self)
            self.let_go()
            if head and not place.loop.is_closed():
                place.again()

    def enter(self):
        """A task begins to await the Future: the number of the turn."""
        self.awaiting += 1
        return core_turn.number

    def abandon(self):
        """The task was cancelled while it awaited: what was received and not seen goes back."""
        self.awaiting -= 1
        if self.awaiting == 0:
            self.give_back()

    def delivered(self):
        """A task has the result, in another turn than that in which it was found."""
        self.taken = None
        self.socket = None
        turn_is_past(self.turn)

    def passed(self, uint64_t number):
        """A task has the result, in another turn than that."""
        self.taken = None
        self.socket = None
        turn_is_past(number)

    cdef int give_back(self) except -1:
        cdef _Taken taken
        cdef list all = self.taken
        self.taken = None
        if all is not None:
            for taken in all:
                taken.give_back(self.socket.s)
        return 0

    cdef void let_go(self):
        """It needs nothing of the call any more."""
        self.what = self.options = self.load = self.context = self.peer = None
        if self.taken is None:
            self.socket = None

    cdef int result(self, object value) except -1:
        """Gives the Future its value; the waiter is in no queue any more."""
        future, load, context = self.future, self.load, self.context
        self.future = None
        self.turn = core_turn.number
        self.let_go()
        if load is not None:
            load_result(future, load, context, value, self)
        elif not future.done():
            future.set_result(value)
        else:  # cancelled while it was on its way
            self.give_back()
        return 0

    cdef int failure(self, object error) except -1:
        future = self.future
        self.future = self.taken = None
        self.turn = core_turn.number
        self.let_go()
        if not future.done():
            future.set_exception(error)
        return 0


cdef _Waiter nothing_taken = _Waiter()  # of Futures that have nothing to give back


# ---- taking messages, never waiting ----

cdef int look_for(fmq_socket *s, uint32_t limit, parts *p, fmq_receipt *receipt,
                  bint look) noexcept:
    cdef int rc = fmq_try_take(s, limit, p, receipt)
    if rc == -EBUSY or (rc == -EAGAIN and look):
        with nogil:
            rc = fmq_take(s, limit, p, receipt, 0)
    return -EAGAIN if rc == -EINTR else rc


cdef object copy_into(_Waiter w, bytes part):
    """Fills the buffer of a recv_into; returns the length of the part."""
    cdef Py_buffer buf
    cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
    PyObject_GetBuffer(w.what, &buf, PyBUF_WRITABLE)
    try:
        memcpy(buf.buf, PyBytes_AS_STRING(part), <size_t>min(size, w.size))
    finally:
        PyBuffer_Release(&buf)
    return size


cdef list beside_of(parts *p):
    """Of each part what it is addressed by, for say_beside; None where no part has that."""
    cdef list beside = []
    cdef const uint8_t *name
    cdef size_t size
    cdef uint32_t i
    for i in range(p.len):
        if p.v[i].routing_id or p.v[i].kind == MSG_GROUPED:
            break
    else:
        return None
    for i in range(p.len):
        name = msg_group(&p.v[i], &size)
        if p.v[i].kind == MSG_GROUPED:
            beside.append(PyBytes_FromStringAndSize(<const char *>name, <Py_ssize_t>size))
        else:
            beside.append(p.v[i].routing_id)
    return beside


cdef int say_beside(msg *m, object beside) except *:
    """Gives the message back what beside_of found: 0 or -ENOMEM."""
    if isinstance(beside, bytes):
        return msg_join_group(m, PyBytes_AS_STRING(beside), <size_t>PyBytes_GET_SIZE(beside))
    m.routing_id = <uint32_t>beside
    return 0


cdef list rows_of(parts *p, meta *props, _Waiter w):
    """The parts as objects: a list of (part, whether more follow)."""
    cdef list rows = []
    cdef uint32_t i
    cdef bint more
    for i in range(p.len):
        more = (p.v[i].flags & PART_MORE) != 0
        rows.append((take_at(p, i, props, w.copy or w.kind == TAKE_INTO, w.track), more))
    return rows


cdef object group_parts(list rows, bint multipart):
    """Messages from parts, as recv_many gives them."""
    cdef list out = []
    cdef list whole = None
    for part, more in rows:
        if whole is not None:
            whole.append(part)
        elif more or multipart:
            whole = [part]
        else:
            out.append(part)
        if whole is not None and not more:
            out.append(whole)
            whole = None
    if whole is not None:
        out.append(whole)
    return out


cdef object take(fmq_socket *s, _Waiter w, bint look, int *rc):
    """What the waiter wants, if it is there: else rc is negative, -EAGAIN or an error.

    look: at the network too, after sending what is queued.
    """
    cdef parts p
    cdef fmq_receipt receipt
    cdef fmq_receipt *wanted = &receipt if w.keeps or not w.copy else NULL
    cdef uint32_t limit = 0
    cdef uint32_t count = 0
    cdef int more = 0
    cdef _Taken taken
    cdef list rows = None
    cdef list some
    cdef list beside
    cdef uint32_t i
    if w.kind == TAKE_MESSAGE or w.kind == TAKE_NEXT:
        limit = 1
    elif w.kind == TAKE_MANY:
        limit = <uint32_t>w.size
    receipt.meta = NULL
    parts_init(&p)
    try:
        rc[0] = more = look_for(s, limit, &p, wanted, look)
        if more > 0 and not w.keeps and w.kind != TAKE_MANY and limit == 1:
            some = []
            for i in range(p.len):
                some.append(take_at(&p, i, receipt.meta, w.copy, w.track))
            return some
        while more > 0:
            # One receipt is for what came of one peer: there may be more.
            beside = beside_of(&p) if w.keeps else None
            some = rows_of(&p, NULL if w.kind == TAKE_MANY else receipt.meta, w)
            p.len = 0  # all are empty
            rows = some if rows is None else rows + some
            if w.keeps:
                taken = _Taken.__new__(_Taken)
                taken.receipt = receipt
                receipt.meta = NULL
                taken.rows = some
                taken.beside = beside
                if w.taken is None:
                    w.taken = []
                w.taken.append(taken)
            elif wanted is not NULL:
                meta_unref(receipt.meta)
                receipt.meta = NULL
            count += <uint32_t>more
            if wanted is NULL or count >= limit:
                break
            more = look_for(s, limit - count, &p, wanted, False)
    finally:
        meta_unref(receipt.meta)
        parts_fini(&p)
    if rc[0] < 0:
        return None
    if w.kind == TAKE_MANY:
        return group_parts(rows, w.multipart)
    if w.kind == TAKE_PART:
        return rows[0][0]
    if w.kind == TAKE_INTO:
        return copy_into(w, rows[0][0])
    return [row[0] for row in rows]
