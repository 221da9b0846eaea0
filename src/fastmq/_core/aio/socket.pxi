# SPDX-License-Identifier: MIT
# Included by _core.pyx, last of aio/: sockets whose verbs return asyncio Futures.

cdef enum:
    # See AsyncSocket.probe.
    PROBE_BEST = 8
    PROBE_COOLDOWN = 64
    # A batch lets other tasks run after so many messages, if not before for the time it took.
    BATCH_TURN = 1000


cdef class AsyncSocket(Socket):
    """Base of fastmq.asyncio.Socket: verbs that return Futures."""

    cdef _SocketWaiters waits
    cdef bint own_messages     # the class has a recv_multipart of its own
    cdef unsigned completions  # verbs that were done at once in a turn of the loop
    cdef uint64_t turn         # which
    cdef bint missed           # the last recv found nothing at once, and so may the next

    cdef _SocketWaiters join(self):
        cdef _SocketWaiters waits
        with cython.critical_section(self):
            waits = self.waits
        if waits is None:
            waits = waits_of(self)
            with cython.critical_section(self):
                self.waits = waits
            self._first_use()
        return waits

    def _first_use(self):
        """Is called by the first verb that is used on this object."""

    def _spins(self):
        """How many receives have spun and found a message, and how many in vain."""
        cdef _SocketWaiters waits = self.join()
        return waits.rule.found, waits.rule.failed

    # -- what is done at once --

    cdef inline bint may_complete(self) except -1:
        """Whether awaiting what is done at once need not go through the loop."""
        return self.completions % CLOCK_EVERY != 0 or self.may_go_on()

    cdef bint may_go_on(self) except -1:
        cdef uint64_t now = core_now_ns()
        if now - core_turn.look > TURN_GAP_NS:
            core_turn.start = now
            core_turn.done = 0
        core_turn.look = now
        if self.turn != core_turn.number:
            self.turn = core_turn.number
            self.completions = 0
        core_turn.done += self.completions + 1
        if self.completions >= TURN_COMPLETIONS:
            if now - core_turn.start > LONELY_TURN_NS:
                return False
            if self.completions % TURN_COMPLETIONS == 0 and others_ready():
                return False
        # Time counts only where it is spent on such completions.
        return core_turn.done < CLOCK_EVERY or now - core_turn.start <= TURN_NS

    def _may_complete(self):
        """Whether a verb that was done at once may end without letting other tasks run."""
        if not self.may_complete():
            return False
        self.completions += 1
        return True

    cdef object failed(self, object loop, object error):
        """A Future of what failed at once: awaiting failures starves nobody either."""
        if not self.may_complete():
            return failing_in(loop, error)
        self.completions += 1
        return failed_in(loop, error)

    # -- receiving --

    cdef object receive(self, _Waiter w, object timeout):
        """Takes what is wanted now, or queues for it."""
        cdef _SocketWaiters waits
        cdef _LoopWaiters place
        cdef int rc = 0
        cdef uint64_t to_spin = 0
        cdef int ms
        loop = current_loop()
        if self.s is NULL:
            unusable()
        if fmq_closed(self.s):
            return self.failed(loop, receive_error(w, -ENOTSOCK))
        waits = self.join()
        place = waits.place_in(loop)
        w.socket = self
        if place.receivers.count == 0:
            w.keeps = not self.may_complete()
            try:
                value = take(self.s, w, False, &rc)
                if rc == -EAGAIN:
                    value = self.look(waits, place, w, timeout, &to_spin, &rc)
            except Exception as e:
                return self.failed(loop, e)
            if rc >= 0:
                return self.found(loop, w, value)
            if not may_come(w, rc):
                return self.failed(loop, receive_error(w, rc))
        ms = limit_of(w.flags, timeout, fmq_rcvtimeo(self.s))
        if ms == 0:
            return self.failed(loop, make_error(-EAGAIN))
        if place.receivers.count == 0:
            loop_spin_waits(&waits.rule, core_now_ns())
        return self.wait(place, w, ms, FMQ_POLLIN, to_spin)

    cdef object look(self, _SocketWaiters waits, _LoopWaiters place, _Waiter w, object timeout,
                     uint64_t *to_spin, int *rc):
        """Looks at the network for a receive, for a while where that pays. What it found, or how
        long it may still spin while it waits."""
        cdef uint64_t most
        cdef int state
        if limit_of(w.flags, timeout, fmq_rcvtimeo(self.s)) == 0:
            return self.probe(waits, w, rc)
        most = waits.spin_budget()
        state = state_of(place.loop) if most else LOOP_BUSY
        if state == LOOP_BUSY:
            return self.probe(waits, w, rc)
        if state == LOOP_FREE and place.may_spin_here():
            if waits.spin(AWAIT_SPIN_NS - core_turn.spun, &most):
                place.found_while_spinning()  # first: it calls the loop
                value = take(self.s, w, False, rc)
                if rc[0] != -EAGAIN:
                    return value
            core_turn.vain = True
            if most == 0:
                loop_spin_failed(&waits.rule)
        else:
            with nogil:
                fmq_flush(self.s)
        to_spin[0] = most
        return None

    cdef object found(self, object loop, _Waiter w, object value):
        """A finished Future of what was received."""
        self.missed = False
        if w.keeps:
            w.let_go()
            return passing_in(loop, value, w)
        self.completions += 1
        return finished_in(loop, value)

    cdef object probe(self, _SocketWaiters waits, _Waiter w, int *rc):
        """Looks at the network, which costs a system call, only while that often saves the way
        through the loop; but what is queued to be sent must not wait longer than this."""
        if waits.probe_score > 0:
            value = take(self.s, w, True, rc)
            if rc[0] >= 0:
                waits.probe_score = min(waits.probe_score + 2, PROBE_BEST)
            else:
                waits.probe_score -= 1
                if waits.probe_score == 0:
                    waits.probe_score = -PROBE_COOLDOWN
            return value
        waits.probe_score += 1
        if waits.probe_score == 0:
            waits.probe_score = 1
        with nogil:
            fmq_flush(self.s)
        return None

    cdef object wait(self, _LoopWaiters place, _Waiter w, int ms, int events, uint64_t to_spin=0):
        """to_spin: for so long (ns) it first spins, and is watched after that."""
        future = Pending(loop=place.loop)
        future.waiter = w
        w.future = future
        w.keeps = True
        place.joins(w)
        try:
            if to_spin and not place.loop.is_closed():
                place.to_spin = to_spin
                place.spin_later()
            else:
                place.watch(place.wanted | events)
            if ms > 0 and w.place is not None:
                w.limit = ms
                w.timer = place.loop.call_later(ms / 1000.0, w.expire, context=NoContext())
        except Exception as e:
            if w.place is not None:
                place.leaves(w)
                w.failure(e)
        return future

    def recv(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """A Future of the next part: bytes, or with copy=False a Frame.

        flags: DONTWAIT. timeout: ms, instead of RCVTIMEO. The Future raises Again when nothing
        arrived in time, ContextTerminated, ZMQError. Cancelling it loses no message.
        """
        cdef msg m
        cdef _Waiter w
        cdef int rc
        if decref_queue_count():
            drain()
        if self.waits is None:
            self.join()
        if copy and not self.missed and self.waits.receiving == 0 and self.may_complete():
            future = Future_()  # first: without a loop no message is taken
            rc = fmq_try_recv_part(self.s, &m, NULL)
            if rc >= 0:
                self.completions += 1
                future.set_result(take_bytes(&m))
                return future
            self.missed = True
        w = _Waiter.__new__(_Waiter)
        w.kind = TAKE_PART
        w.flags = flags
        w.copy = copy
        w.track = track
        return self.receive(w, timeout)

    def recv_multipart(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """A Future of all parts of the next message: a list of bytes, or with copy=False of
        Frames."""
        cdef _Waiter w = _Waiter.__new__(_Waiter)
        if decref_queue_count():
            drain()
        w.kind = TAKE_MESSAGE
        w.flags = flags
        w.copy = copy
        w.track = track
        return self.receive(w, timeout)

    def recv_into(self, buffer, /, *, nbytes=0, int flags=0, timeout=None):
        """A Future of the length of the next part, which is received into a writable buffer.

        nbytes: how much of the buffer may be used, 0 for all. The rest of a longer part is lost;
        the returned length is then greater than nbytes.
        """
        cdef _Waiter w = _Waiter.__new__(_Waiter)
        cdef Py_buffer buf
        if decref_queue_count():
            drain()
        PyObject_GetBuffer(buffer, &buf, PyBUF_WRITABLE)
        size = buf.len
        PyBuffer_Release(&buf)
        nbytes = whole(nbytes, "nbytes")
        if nbytes < 0 or nbytes > size:
            raise ValueError(f"nbytes must be between 0 and the buffer's {size}, not {nbytes}")
        w.kind = TAKE_INTO
        w.flags = flags
        # A view holds the buffer: it must not be resized before the message is in it.
        w.what = memoryview(buffer)
        w.size = nbytes if nbytes else size
        return self.receive(w, timeout)

    def recv_many(self, max=1000, *, timeout=None, bint copy=True, bint multipart=False,
                  int flags=0):
        """A Future of up to `max` messages that have arrived; it waits only for the first.

        A list of bytes for messages of one part and lists of bytes for others; multipart=True:
        always lists; copy=False: Frames. timeout: ms, instead of RCVTIMEO.
        """
        cdef _Waiter w = _Waiter.__new__(_Waiter)
        if decref_queue_count():
            drain()
        if not isinstance(max, int):
            raise TypeError(f"max must be int, not {type(max).__name__}")
        if max < 1:
            raise ValueError(f"max must be at least 1, not {max}")
        w.kind = TAKE_MANY
        w.flags = flags
        w.copy = copy
        w.multipart = multipart
        w.size = max if max < INT32_MAX else INT32_MAX
        return self.receive(w, timeout)

    def __iter__(self):
        raise TypeError("this socket is iterated with `async for`")

    def __next__(self):
        raise TypeError("this socket is iterated with `async for`")

    def __aiter__(self):
        """Messages as they come: `async for parts in socket`."""
        return self

    def __anext__(self):
        """A Future of the next message: the list of its parts, each bytes. The iteration ends when
        the socket is closed or its context terminated."""
        cdef _Waiter w
        if decref_queue_count():
            drain()
        if self.own_messages:
            return next_message(self)
        w = _Waiter.__new__(_Waiter)
        w.kind = TAKE_NEXT
        w.copy = True
        return self.receive(w, None)

    # -- sending --

    cdef object send_now(self, _Waiter w):
        """Sends a waiter's message or raises Again."""
        cdef int flags = w.flags | 1
        routing_id, group = w.options
        if w.kind == SEND_MESSAGE:
            return Socket.send_multipart(self, w.what, flags, w.copy, w.track,
                                         routing_id=routing_id, group=group)
        return Socket.send(self, w.what, flags, w.copy, w.track, routing_id, group)

    cdef object dispatch(self, _Waiter w, object timeout):
        """Sends now, or queues until there is room."""
        cdef _SocketWaiters waits
        cdef _LoopWaiters place
        cdef int ms
        loop = current_loop()
        if self.s is NULL:
            unusable()
        if fmq_closed(self.s):
            return self.failed(loop, error_of(-ENOTSOCK))
        waits = self.join()
        place = waits.place_in(loop)
        w.socket = self
        w.whole = (w.kind == SEND_MESSAGE or waits.numbers) and not w.flags & 2
        if waits.numbers:
            w.peer = number_of(w)
        elif waits.addresses:
            w.peer = address_of(w.what[0] if w.kind == SEND_MESSAGE and w.what else w.what)
        if not place.must_queue(w):
            try:
                value = self.send_now(w)
            except Exception as e:
                if not is_again(e) or w.flags & 1:
                    return self.failed(loop, e)
            else:
                if not self.may_complete():
                    return passing_in(loop, value, None)
                self.completions += 1
                return finished_in(loop, value)
        elif w.flags & 1:
            return self.failed(loop, make_error(-EAGAIN))
        ms = fmq_sndtimeo(self.s) if timeout is None else as_timeout(timeout)
        if ms == 0:
            return self.failed(loop, make_error(-EAGAIN))
        future = self.wait(place, w, ms, FMQ_POLLOUT)
        if place.senders.count == 1 or waits.addresses:
            place.serve_senders()
            if place.wanted:
                place.adjust(False)
        return future

    def send(self, data, int flags=0, bint copy=True, bint track=False, routing_id=None, group=None,
             *, timeout=None):
        """A Future that is done when the part is on its way: of a MessageTracker, or of None.

        Parameters as for fastmq.Socket.send. The data must not change before the Future is done.
        A send that was cancelled before it was done has sent nothing.
        """
        cdef _Waiter w
        cdef Py_ssize_t size
        cdef int rc
        if decref_queue_count():
            drain()
        if self.waits is None:
            self.join()
        if PyBytes_CheckExact(data) and routing_id is None and group is None and not track \
                and self.waits.sending == 0:
            size = PyBytes_GET_SIZE(data)
            if size <= BIG:
                # First: without a loop nothing is sent.
                if self.may_complete():
                    future = Future_()
                    self.completions += 1
                else:
                    future = Passing()
                    future.waiter = nothing_taken
                rc = fmq_try_send_bytes(self.s, PyBytes_AS_STRING(data), <size_t>size,
                                        <void *>data, (flags & 2) != 0)
                if rc >= 0:
                    if flags & 2:
                        note_begun(self.handle)
                    future.set_result(None if copy else finished_tracker())
                    return future
        w = _Waiter.__new__(_Waiter)
        w.kind = SEND_PART
        w.flags = flags
        w.copy = copy
        w.track = track
        w.what = data
        w.options = (routing_id, group)
        return self.dispatch(w, timeout)

    def send_multipart(self, msg_parts, int flags=0, bint copy=True, bint track=False, *,
                       routing_id=None, group=None, timeout=None):
        """A Future that is done when the parts are on their way, as one message, whole or not at
        all. Parameters as for send."""
        cdef _Waiter w = _Waiter.__new__(_Waiter)
        if decref_queue_count():
            drain()
        w.kind = SEND_MESSAGE
        w.flags = flags
        w.copy = copy
        w.track = track
        w.what = msg_parts if isinstance(msg_parts, (list, tuple)) else tuple(msg_parts)
        w.options = (routing_id, group)
        return self.dispatch(w, timeout)

    def _send_batch(self, source):
        """Sends messages of an iterator for a turn of the loop, as far as there is room: how many,
        a tuple of the first that has to wait, and the error that ended it, both None otherwise;
        and whether the iterator has come to its end."""
        cdef _SocketWaiters waits = self.join()
        cdef uint64_t start = core_now_ns()
        cdef Py_ssize_t sent = 0
        cdef Py_ssize_t bytes_since = 0
        cdef Py_ssize_t size
        cdef int rc
        if decref_queue_count():
            drain()
        try:
            while sent < BATCH_TURN:
                if sent % CLOCK_EVERY == 0 and sent and core_now_ns() - start > TURN_NS:
                    break
                try:
                    item = next(source)
                except StopIteration:
                    return sent, None, None, True
                if waits.sending:
                    return sent, (item,), None, False
                if PyBytes_CheckExact(item) and PyBytes_GET_SIZE(item) <= BIG:
                    rc = fmq_try_send_bytes(self.s, PyBytes_AS_STRING(item),
                                            <size_t>PyBytes_GET_SIZE(item), <void *>item, False)
                    if rc == -EAGAIN:
                        return sent, (item,), None, False
                    if rc >= 0:
                        sent += 1
                        continue
                    if rc != -EBUSY:
                        fail_send(rc)
                try:
                    if isinstance(item, (list, tuple)):
                        Socket.send_multipart(self, item, 1)
                    else:
                        self.send_one(item, 1, True, False, None, None, None, f"messages[{sent}]")
                except errors.Again:
                    return sent, (item,), None, False
                sent += 1
        except Exception as e:
            return sent, None, e, False
        return sent, None, None, False

    # -- readiness --

    def poll(self, timeout=None, int flags=1):
        """A Future of which of flags (POLLIN, POLLOUT) the socket is ready for; 0 when timeout (ms,
        None for ever) passed. A message that came counts until a task has it, also when one waits
        for it already. Awaiting it always lets other tasks run."""
        cdef int ms = as_timeout(timeout)
        cdef int events
        cdef _SocketWaiters waits
        cdef _Poll w
        if self.s is NULL or fmq_closed(self.s):
            raise make_error(-ENOTSUP, "Operation not supported: the socket is closed")
        loop = current_loop()
        waits = self.join()
        events = waits.events()
        if events < 0:
            return self.failed(loop, error_of(events))
        if ms == 0:
            return passing_in(loop, events & flags, None)
        future = Pending(loop=loop)
        w = _Poll.__new__(_Poll)
        w.future = future
        w.mask = flags
        future.waiter = w
        try:
            if events & flags:
                loop.call_soon(w.ready, events & flags)
                return future
            w.place = waits.place_in(loop)
            if ms > 0:
                w.timer = loop.call_later(ms / 1000.0, w.expire, context=NoContext())
                future.add_done_callback(w.finished)
            w.place.poll(flags, future)
        except Exception as e:
            if not future.done():
                future.set_exception(e)
        return future

    # -- life --

    def _end_waits(self):
        """Cancels all that wait for the socket and takes it away from its loops."""
        poll_end(self)


cdef object number_of(_Waiter w):
    """The routing id that a message of one part goes to, or None."""
    number = w.options[0]
    part = w.what[0] if w.kind == SEND_MESSAGE and w.what else w.what
    if number is None and isinstance(part, Frame):
        return (<Frame>part).m.routing_id
    return number if isinstance(number, int) else None  # sending says what is wrong with it


cdef object address_of(object part):
    """The id of a peer as a message's first part has it, or None."""
    if PyBytes_CheckExact(part):
        return part
    try:
        return memoryview(part).tobytes()
    except Exception:  # sending says what is wrong with it
        return None


@cython.final
cdef class _Poll:
    """A call of AsyncSocket.poll that waits; its Future treats it as a waiter."""

    cdef object future
    cdef object timer
    cdef _LoopWaiters place
    cdef int mask

    def ready(self, int events):
        future, self.future = self.future, None
        if future is not None and not future.done():
            future.set_result(events)

    def expire(self):
        self.timer = None
        self.cancelled_in_place()
        self.ready(0)

    def finished(self, _):
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()
        self.future = None

    cdef int cancelled_in_place(self) except -1:
        if self.place is not None and self.future is not None:
            self.place.poll_forget(self.mask, self.future)
        return 0

    def cancelled(self):
        self.cancelled_in_place()
        self.finished(None)

    def enter(self):
        pass

    def abandon(self):
        pass

    def delivered(self):
        pass


def load_into(future, load):
    """A Future of load(what is received): of the Future that a receive returned, or of whatever
    else is awaited for it. It is called in the context of this call."""
    cdef _Waiter w = None
    if type(future) is Pending and not future.done():
        w = future.waiter
        if w.load is None and w.kind < SEND_PART:
            w.load = load
            w.context = copy_context()
            return future
    elif isinstance(future, Future_) and future.done():
        if future.cancelled() or future.exception() is not None:
            return future
        if type(future) is Passing:
            w = future.waiter
            loaded = Passing(loop=future.get_loop())
            loaded.waiter = w
        else:
            loaded = Future_(loop=future.get_loop())
        load_result(loaded, load, copy_context(), future.result(), w)
        return loaded
    return current_loop().create_task(load_later(future, load))


async def load_later(awaitable, load):
    """load(what is awaited)"""
    return load(await awaitable)
