# SPDX-License-Identifier: MIT
# Included by _core.pyx: sockets whose verbs return asyncio Futures.
#
# A verb that can be done at once is done at once, and a finished Future is returned. Otherwise a
# waiter joins the queue of its event loop, and the socket the loop's hub (fmq_hub_watch), whose
# descriptor the loop watches; where that is not possible, the loop watches the descriptor that
# fmq_watch gives. When the loop is told of the socket everything is served that can be, in order.
# The socket stays in the hub while somebody waits and leaves it when it is told of for nobody, so
# that a socket in steady use costs no system call for it.
#
# A message is taken from the engine only for a waiter that still wants it. If the task that waits is
# cancelled after that, before it has run, the message comes back and is the next to be received.
#
# Loops of several threads may share a socket. What they share is its _Waits, with all that hangs on
# it: every way in from outside (a verb, a call of the loop, a Future's) takes its critical section,
# see _core.pyx; the functions in between stand in it.

cdef object Future_ = None         # asyncio.Future
cdef object Pending = None         # fastmq._future.Pending: a Future whose message can come back
cdef object running_loop = None    # asyncio.get_running_loop
cdef object fallback_loop = None   # called when no loop runs: warns, returns a loop or raises
cdef object deque = None
cdef object hubs = None            # WeakValueDictionary: id of a loop -> _Hub
cdef object next_message = None    # a coroutine: what __anext__ gives by the class's recv_multipart

cdef enum:
    TAKE_PART
    TAKE_MESSAGE
    TAKE_INTO
    TAKE_MANY
    TAKE_NEXT
    SEND_PART
    SEND_MESSAGE
    # Fewer finished waiters than this may stay in a queue.
    CROWD = 64
    # Sockets that a hub tells of at once, and how often in one turn of the loop.
    HUB_BATCH = 128
    HUB_ROUNDS = 8
    # See AsyncSocket.look.
    MAX_LUCK = 8
    SOBER = 64


def set_asyncio(future, pending, get_running_loop, no_loop, queue, weak_values, by_override):
    """Gives this module what it needs of asyncio, which it does not import by itself."""
    global Future_, Pending, running_loop, fallback_loop, deque, hubs, next_message
    Future_, Pending = future, pending
    running_loop, fallback_loop = get_running_loop, no_loop
    deque = queue
    hubs = weak_values()
    next_message = by_override


cdef object current_loop():
    try:
        return running_loop()
    except RuntimeError:
        return fallback_loop()


cdef object finished(object value):
    future = Future_()
    future.set_result(value)
    return future


cdef object finished_in(object loop, object value):
    future = Future_(loop=loop)
    future.set_result(value)
    return future


cdef object failed_in(object loop, object error):
    future = Future_(loop=loop)
    future.set_exception(error)
    return future


cdef object error_of(int rc):
    """The exception that fail() raises."""
    try:
        fail(rc)
    except Exception as e:
        return e


cdef object in_form(object part, bint copy):
    """A part that came back, as bytes or as a Frame."""
    cdef Frame frame
    if copy:
        return part.bytes if isinstance(part, Frame) else part
    if isinstance(part, Frame):
        return part
    return Frame(part)


@cython.final
@cython.freelist(64)
cdef class _Waiter:
    """One call that could not be done at once: what it wants, and its Future."""

    cdef object future
    cdef object timer
    cdef AsyncSocket socket  # kept alive by its waiters
    cdef int kind
    cdef int flags
    cdef bint copy
    cdef bint track
    cdef bint multipart
    cdef object what         # sending: the message; TAKE_INTO: the buffer
    cdef object options      # sending: (routing_id, group)
    cdef object load         # what is to be made of the message, or None
    cdef Py_ssize_t size     # TAKE_INTO: how much of the buffer; TAKE_MANY: how many messages
    cdef list taken          # the parts that were received for it: (part, whether more follow)
    cdef int awaiting        # how many tasks are in the Future's __await__

    def expire(self):
        """Its time is over."""
        self.timer = None
        if self.future is not None and not self.future.done():
            self.future.set_exception(make_error(-EAGAIN))

    def enter(self):
        """A task begins to await the Future."""
        self.awaiting += 1

    def abandon(self):
        """The task was cancelled while it awaited: what was received and not seen comes back."""
        self.awaiting -= 1
        with cython.critical_section(self.socket.waits):
            if self.taken is not None and self.awaiting == 0:
                self.give_back()
                self.socket.waits.serve_all()

    def delivered(self):
        """A task has the result."""
        self.taken = None

    cdef int give_back(self) except -1:
        cdef _Waits waits = self.socket.waits
        if waits.returned is None:
            waits.returned = deque()
        waits.returned.extend(self.taken)
        self.taken = None
        return 0

    cdef void remember(self, object part, bint more):
        if self.future is None and self.kind != TAKE_MANY:
            return  # it is handed over at once
        if self.taken is None:
            self.taken = []
        self.taken.append((part, more))

    cdef void leave(self):
        """It is in no queue any more."""
        cdef _Waits waits = self.socket.waits
        if self.kind >= SEND_PART:
            waits.sending -= 1
        else:
            waits.receiving -= 1
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    cdef int result(self, object value) except -1:
        """Gives the Future its value."""
        future = self.future
        self.future = None  # which refers to this
        if self.load is not None:
            try:
                value = self.load(value)
            except Exception as e:
                self.taken = None
                future.set_exception(e)
                return 0
        future.set_result(value)
        return 0

    cdef int failure(self, object error) except -1:
        future = self.future
        self.future = None
        future.set_exception(error)
        return 0


# ---- taking messages, never waiting ----

cdef int look_part(fmq_socket *s, msg *m, meta **props, bint look) noexcept:
    cdef int rc = fmq_try_recv_part(s, m, props)
    if rc == -EBUSY or (rc == -EAGAIN and look):
        with nogil:
            rc = fmq_recv_part(s, m, props, 0)
    return -EAGAIN if rc == -EINTR else rc


cdef int look_message(fmq_socket *s, parts *p, meta **props, bint look) noexcept:
    cdef int rc = fmq_try_recv(s, p, props)
    if rc == -EBUSY or (rc == -EAGAIN and look):
        with nogil:
            rc = fmq_recv(s, p, props, 0)
    return -EAGAIN if rc == -EINTR else rc


cdef int look_many(fmq_socket *s, parts *p, uint32_t limit, bint look) noexcept:
    cdef int rc = fmq_try_recv_many(s, p, limit)
    if rc == -EBUSY or (rc == -EAGAIN and look):
        with nogil:
            rc = fmq_recv_many(s, p, limit, 0)
    return -EAGAIN if rc == -EINTR else rc


cdef object copy_into(_Waiter w, const void *data, size_t size):
    """Fills the buffer of a recv_into; returns the length of the part."""
    cdef Py_buffer buf
    PyObject_GetBuffer(w.what, &buf, PyBUF_WRITABLE)
    try:
        memcpy(buf.buf, data, min(size, <size_t>w.size))
    finally:
        PyBuffer_Release(&buf)
    return size


cdef object take_one(fmq_socket *s, _Waiter w, bint look, int *rc):
    """The next part, for TAKE_PART and TAKE_INTO. A negative rc tells that there is none."""
    cdef msg m
    cdef meta *props = NULL
    cdef bint frame = w.kind == TAKE_PART and not w.copy
    cdef bint more
    rc[0] = look_part(s, &m, &props if frame else NULL, look)
    if rc[0] < 0:
        return None
    more = (m.flags & PART_MORE) != 0
    if frame:
        part = take_frame(&m, props, w.track)
    else:
        part = take_bytes(&m)
    w.remember(part, more)
    if w.kind == TAKE_PART:
        return part
    return copy_into(w, PyBytes_AS_STRING(part), <size_t>PyBytes_GET_SIZE(part))


cdef object take_whole(fmq_socket *s, _Waiter w, bint look, int *rc):
    """The next message, for TAKE_MESSAGE and TAKE_NEXT."""
    cdef parts p
    cdef meta *props = NULL
    cdef uint32_t i
    cdef list out = []
    parts_init(&p)
    try:
        rc[0] = look_message(s, &p, NULL if w.copy else &props, look)
        if rc[0] < 0:
            return None
        for i in range(p.len):
            part = take_at(&p, i, props, w.copy, w.track)
            out.append(part)
            w.remember(part, i + 1 < p.len)
    finally:
        meta_unref(props)
        parts_fini(&p)
    return out


cdef object group_parts(list taken, bint multipart):
    """Messages from parts, as recv_many gives them."""
    cdef list out = []
    cdef list whole = None
    for part, more in taken:
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


cdef object take_batch(fmq_socket *s, _Waiter w, bint look, int *rc):
    """Messages that are there, for TAKE_MANY."""
    cdef parts p
    cdef uint32_t i
    cdef bint more
    parts_init(&p)
    try:
        rc[0] = look_many(s, &p, <uint32_t>w.size, look)
        if rc[0] < 0:
            return None
        for i in range(p.len):
            more = (p.v[i].flags & PART_MORE) != 0
            w.remember(take_at(&p, i, NULL, w.copy, False), more)
    finally:
        parts_fini(&p)
    return group_parts(w.taken, w.multipart)


cdef object take(fmq_socket *s, _Waiter w, bint look, int *rc):
    """What the waiter wants, if it is there: else rc is negative, -EAGAIN or an error.

    look: at the network too, after sending what is queued.
    """
    if w.kind == TAKE_PART or w.kind == TAKE_INTO:
        return take_one(s, w, look, rc)
    if w.kind == TAKE_MANY:
        return take_batch(s, w, look, rc)
    return take_whole(s, w, look, rc)


cdef object take_returned(fmq_socket *s, object returned, _Waiter w):
    """As take, from the parts that came back, of which there is one at least."""
    cdef list out = []
    cdef bint more = True
    cdef int rc = 0
    if w.kind == TAKE_PART or w.kind == TAKE_INTO:
        part, more = returned.popleft()
        w.remember(part, more)
        if w.kind == TAKE_PART:
            return in_form(part, w.copy)
        part = in_form(part, True)
        return copy_into(w, PyBytes_AS_STRING(part), <size_t>PyBytes_GET_SIZE(part))
    while returned and (more or (w.kind == TAKE_MANY and len(out) < w.size)):
        part, more = returned.popleft()
        part = in_form(part, w.copy)
        w.remember(part, more)
        out.append(part)
    if more:  # its end is still in the engine, which gives the rest of a message that was begun
        rest = take_whole(s, w, False, &rc)
        if rc == 0:
            out.extend(rest)
    if w.kind == TAKE_MANY:
        return group_parts(w.taken, w.multipart)
    return out


# ---- who waits ----

@cython.final
cdef class _Hub:
    """What a loop watches for all its sockets. Called by the loop when its descriptor is readable.
    It lives while a station of its loop refers to it."""

    cdef object __weakref__
    cdef fmq_hub *hub
    cdef object loop
    cdef set members  # stations whose sockets are in it; while there are any, the loop watches it

    def __dealloc__(self):
        if self.hub is not NULL:
            fmq_hub_free(self.hub)

    def __call__(self):
        cdef void *ready[HUB_BATCH]
        cdef _Station station
        cdef list batch
        cdef int n
        cdef int i
        error = None
        for _ in range(HUB_ROUNDS):
            n = fmq_hub_wait(self.hub, ready, HUB_BATCH)
            if n <= 0:
                break
            batch = [<object>ready[i] for i in range(n)]  # before one of them leaves
            for station in batch:
                if station.hub is not self or not station.in_hub:
                    continue
                try:
                    with cython.critical_section(station.waits):
                        station.serve()
                except BaseException as e:  # the others must not miss their turn
                    error = error or e
            if n < HUB_BATCH or error is not None:
                break
        if error is not None:
            raise error

    cdef int want(self, _Station station, int events) except? -1:
        """Has the socket of a station watched. False if that is not possible here."""
        cdef int rc = fmq_hub_watch(self.hub, station.waits.s, events, <void *>station)
        if rc == -EBUSY:
            return False
        if rc < 0:
            fail(rc)
        if not station.in_hub:
            try:
                if not self.members:
                    self.loop.add_reader(fmq_hub_fd(self.hub), self)
            except BaseException:
                fmq_hub_watch(self.hub, station.waits.s, 0, NULL)
                raise
            self.members.add(station)
            station.in_hub = True
        if rc > 0:  # a change that has not been told, and now will not be
            self.loop.call_soon_threadsafe(station)
        return True

    cdef int forget(self, _Station station) except -1:
        fmq_hub_watch(self.hub, station.waits.s, 0, NULL)
        station.in_hub = False
        self.members.discard(station)
        if not self.members and not self.loop.is_closed():
            self.loop.remove_reader(fmq_hub_fd(self.hub))
        return 0


cdef _Hub hub_of(object loop):
    """The hub of a loop, or None where the system has none."""
    cdef _Hub hub = hubs.get(id(loop))
    if hub is not None and hub.loop is loop:
        return hub
    hub = _Hub()
    if fmq_hub_new(&hub.hub) < 0:
        return None
    hub.loop = loop
    hub.members = set()
    hubs[id(loop)] = hub
    return hub


@cython.final
cdef class _Station:
    """The waiters of one socket in one event loop. Called by the loop when the socket's descriptor
    is readable, served by the hub otherwise."""

    cdef _Waits waits
    cdef object loop
    cdef _Hub hub          # of its loop, once it has watched
    cdef bint in_hub       # the loop watches through it, else by fd
    cdef int fd
    cdef int wanted        # FMQ_POLL* that the engine shows for it; 0: not with the loop
    cdef object receivers  # deque of _Waiter
    cdef object senders
    cdef list pollers      # (events, Future)

    def __call__(self):
        with cython.critical_section(self.waits):
            self.serve()

    cdef int watch(self, int events) except -1:
        """Has the loop watch for these events, or for none."""
        cdef int before = self.wanted
        if events == before and not events & FMQ_POLLCHANGE:
            return 0
        if before == 0 and self.hub is None:
            self.hub = hub_of(self.loop)
        if self.in_hub or (before == 0 and self.hub is not None):
            if self.hub.want(self, events):
                self.wanted = events
                return 0
        self.wanted = events
        try:
            self.fd = self.waits.watch(self.fd)
            if before == 0:
                self.loop.add_reader(self.fd, self)
        except BaseException:
            self.wanted = before
            self.waits.watch(self.fd)
            raise
        return 0

    cdef int unwatch(self) except -1:
        if self.wanted == 0:
            return 0
        self.wanted = 0
        if self.in_hub:
            self.hub.forget(self)
            if fmq_closed(self.waits.s):
                self.hub = None
            return 0
        try:
            if not self.loop.is_closed():
                self.loop.remove_reader(self.fd)
        finally:
            self.waits.watch(self.fd)
        return 0

    cdef _Waiter first(self, object queue):
        """The first waiter whose Future is not done."""
        cdef _Waiter w
        while queue:
            w = <_Waiter>queue[0]
            if not w.future.done():
                return w
            queue.popleft()
            w.leave()
            w.future = None
        return None

    cdef int add(self, object queue, _Waiter w) except -1:
        """Puts a waiter at the end, and those that are done out of the way."""
        cdef _Waiter old
        cdef Py_ssize_t n
        while queue and (<_Waiter>queue[len(queue) - 1]).future.done():
            old = <_Waiter>queue.pop()
            old.leave()
            old.future = None
        n = len(queue)
        if n >= CROWD and n & (n - 1) == 0:
            for _ in range(n):
                old = <_Waiter>queue.popleft()
                if old.future.done():
                    old.leave()
                    old.future = None
                else:
                    queue.append(old)
        queue.append(w)
        if w.kind >= SEND_PART:
            self.waits.sending += 1
        else:
            self.waits.receiving += 1
        return 0

    cdef int serve(self) except -1:
        """Gives all waiters what there is for them."""
        cdef bint idle
        cdef bint nobody
        with nogil:
            fmq_watch_came(self.waits.s)
        idle = self.first(self.receivers) is None
        if not idle:
            self.serve_receivers()
        nobody = idle
        if self.first(self.senders) is not None:
            nobody = False
            self.serve_senders()
        if self.pollers:
            nobody = False
            self.serve_pollers()
        if nobody:
            return self.unwatch()
        if self.wanted:
            self.adjust(idle)
        return 0

    cdef int adjust(self, bint idle) except -1:
        """Watches for what is waited for. What was of use just now will be of use again."""
        cdef int events = self.wanted & FMQ_POLLIN
        cdef int polled = 0
        for mask, future in self.pollers:
            polled |= mask
        if idle and not polled & FMQ_POLLIN:
            events = 0
        if self.receivers or polled & FMQ_POLLIN:
            events |= FMQ_POLLIN
        if self.senders:
            events |= self.wanted & (FMQ_POLLOUT | FMQ_POLLCHANGE)
        events |= polled & (FMQ_POLLOUT | FMQ_POLLCHANGE)
        if events == 0:
            return self.unwatch()
        if events != self.wanted:
            self.watch(events)
        return 0

    cdef int serve_receivers(self) except -1:
        cdef fmq_socket *s = self.waits.s
        cdef _Waiter w
        cdef bint look = True
        cdef int rc
        while True:
            w = self.first(self.receivers)
            if w is None:
                return 0
            rc = 0
            try:
                if self.waits.returned is not None:
                    value = self.waits.take_back(w)
                else:
                    value = take(s, w, look, &rc)
            except Exception as e:
                self.receivers.popleft()
                w.leave()
                w.taken = None
                w.failure(e)
                continue
            if rc == -EAGAIN:
                return 0
            look = False
            if w.future.done():  # the lock was let go: it was ended meanwhile
                if rc >= 0:
                    w.give_back()
                continue
            self.receivers.popleft()
            w.leave()
            if rc >= 0:
                w.result(value)
            elif w.kind == TAKE_NEXT and (rc == -ENOTSOCK or rc == -FMQ_ETERM):
                w.failure(StopAsyncIteration())
            else:
                w.failure(error_of(rc))

    cdef int serve_senders(self) except -1:
        cdef _Waiter w
        cdef int events
        while True:
            events = self.waits.events()  # sends what is queued, sees what the network lets through
            while True:
                w = self.first(self.senders)
                if w is None:
                    return 0
                try:
                    value = w.socket.send_now(w)
                except Exception as e:
                    if is_again(e):
                        break
                    self.senders.popleft()
                    w.leave()
                    w.failure(e)
                else:
                    self.senders.popleft()
                    w.leave()
                    w.result(value)
            # Some types are writable although this message's peer is not: then any change counts.
            if not (events >= 0 and events & FMQ_POLLOUT):
                self.watch((self.wanted & FMQ_POLLIN) | FMQ_POLLOUT)
                return 0
            self.watch((self.wanted & FMQ_POLLIN) | FMQ_POLLCHANGE)
            try:
                value = w.socket.send_now(w)
            except Exception as e:
                if is_again(e):
                    return 0
                self.senders.popleft()
                w.leave()
                w.failure(e)
            else:
                self.senders.popleft()
                w.leave()
                w.result(value)

    cdef int serve_pollers(self) except -1:
        cdef int events = self.waits.events()
        cdef list left = []
        for mask, future in self.pollers:
            if future.done():
                continue
            if events < 0:
                future.set_exception(error_of(events))
            elif events & mask or mask & FMQ_POLLCHANGE:
                future.set_result(events & mask)
            else:
                left.append((mask, future))
        self.pollers = left
        return 0

    def end(self):
        """The socket is closed by its owner: who waits is cancelled, iterations end."""
        with cython.critical_section(self.waits):
            self.end_all()

    cdef int end_all(self) except -1:
        cdef _Waiter w
        try:
            for queue in (self.receivers, self.senders):
                while queue:
                    w = queue.popleft()
                    w.leave()
                    if w.future.done():
                        continue
                    try:
                        if w.kind == TAKE_NEXT:
                            w.failure(StopAsyncIteration())
                        else:
                            w.future.cancel()
                            w.future = None
                    except RuntimeError:  # its loop is closed: nobody will ever know
                        pass
            for _, future in self.pollers:
                try:
                    future.cancel()
                except RuntimeError:
                    pass
            self.pollers = []
        finally:
            self.unwatch()
            self.hub = None


@cython.final
cdef class _Waits:
    """All that wait for one socket of the engine, whichever objects and loops they came from."""

    cdef _SocketHandle handle
    cdef fmq_socket *s
    cdef _Station here      # of the loop that was used last
    cdef list stations
    cdef int receiving      # waiters in all queues
    cdef int sending
    cdef int luck           # > 0: looks at the network before waiting have found something
    cdef object returned    # deque of (part, whether more follow) to be received first, or None

    cdef _Station station(self):
        """The one of the running loop."""
        return self.station_in(current_loop())

    cdef _Station station_in(self, object loop):
        cdef _Station found
        if self.here is not None and self.here.loop is loop:
            return self.here
        for found in list(self.stations):
            if found.loop is loop:
                self.here = found
                return found
            if found.loop.is_closed():
                self.stations.remove(found)
                found.end_all()
        found = _Station()
        found.waits = self
        found.loop = loop
        found.fd = -1
        found.receivers = deque()
        found.senders = deque()
        found.pollers = []
        self.stations.append(found)
        self.here = found
        return found

    cdef int watch(self, int fd) except? -1:
        """Tells the engine what all stations want. The descriptor, or fd if none is wanted."""
        cdef _Station station
        cdef int events = 0
        cdef int rc
        for station in self.stations:
            if not station.in_hub:
                events |= station.wanted
        rc = fmq_watch(self.s, events, &fd)
        if rc < 0 and events:
            fail(rc)
        if rc > 0:  # a change that has not been shown, and now will not be: whoever waits looks
            for station in self.stations:
                if station.wanted & FMQ_POLLCHANGE and not station.loop.is_closed():
                    station.loop.call_soon_threadsafe(station)
        return fd

    cdef int closed(self) except -1:
        """The socket was closed, by whomever: hubs that it does not need any more are let go."""
        cdef _Station station
        with cython.critical_section(self):
            for station in self.stations:
                if not station.in_hub:
                    station.hub = None
        return 0

    cdef int events(self):
        """What the socket is ready for, or a negative errno; drives it."""
        cdef int rc
        with nogil:
            rc = fmq_events(self.s)
        if rc >= 0 and self.returned is not None:
            rc |= FMQ_POLLIN
        return rc

    cdef object take_back(self, _Waiter w):
        value = take_returned(self.s, self.returned, w)
        if not self.returned:
            self.returned = None
        return value

    cdef int serve_all(self) except -1:
        """Something came back: whoever waits gets it."""
        cdef _Station station
        try:
            here = running_loop()
        except RuntimeError:
            here = None
        for station in list(self.stations):
            if station.loop is here:
                station.serve_receivers()
                if station.pollers:
                    station.serve_pollers()
            elif (station.receivers or station.pollers) and not station.loop.is_closed():
                station.loop.call_soon_threadsafe(station)
        return 0

    cdef int end(self) except -1:
        cdef _Station station
        try:
            here = running_loop()
        except RuntimeError:
            here = None
        for station in list(self.stations):
            if station.loop is not here and not station.loop.is_closed() \
                    and station.loop.is_running():
                station.loop.call_soon_threadsafe(station.end)
            else:
                station.end_all()
        return 0


cdef bint is_again(object error):
    return isinstance(error, errors.Again)


cdef _Waits waits_of(Socket socket):
    """What is shared by all that wait for this socket, through whichever object."""
    cdef _Waits waits
    if socket.s is NULL:
        unusable()
    with cython.critical_section(socket.handle):
        if socket.handle.waits is None:
            if Future_ is None:
                from fastmq import _future  # it calls set_asyncio
            waits = _Waits()
            waits.handle = socket.handle
            waits.s = socket.s
            waits.stations = []
            waits.luck = MAX_LUCK // 2
            socket.handle.waits = waits
        return socket.handle.waits


def poll_later(Socket socket, int flags, future, loop):
    """Gives a Future its result, an event mask, when the socket is ready for one of flags, or with
    FMQ_POLLCHANGE among them when anything about it may have changed since this call. The loop and
    the Future may be of another kind than asyncio's that has the same methods."""
    cdef _Waits waits = waits_of(socket)
    cdef _Station station
    with cython.critical_section(waits):
        station = waits.station_in(loop)
        station.pollers = [row for row in station.pollers if not row[1].done()]
        if flags & FMQ_POLLIN and waits.returned is not None:  # no descriptor will show that
            if not future.done():
                future.set_result(FMQ_POLLIN)
            return
        station.pollers.append((flags, future))
        station.watch(station.wanted | (flags & (FMQ_POLLIN | FMQ_POLLOUT | FMQ_POLLCHANGE)))


def poll_returned(members):
    """Which of the members of a poller, (socket or anything else, flags), are sockets watched for
    POLLIN to which a cancelled task gave a message back; the engine does not know of those."""
    cdef Socket socket
    cdef list found = []
    for member, flags in members:
        if flags & FMQ_POLLIN and isinstance(member, Socket):
            socket = member
            if socket.s is not NULL and socket.handle.waits is not None \
                    and (<_Waits>socket.handle.waits).returned is not None:
                found.append(socket)
    return found


def poll_no_more(Socket socket, loop):
    """Forgets the Futures of poll_later that are done, and lets the descriptor go if nobody is
    left."""
    cdef _Station station
    if socket.s is NULL or socket.handle.waits is None:
        return
    with cython.critical_section(socket.handle.waits):
        for station in list((<_Waits>socket.handle.waits).stations):
            if station.loop is loop:
                if loop.is_closed():
                    station.end_all()
                station.pollers = [row for row in station.pollers if not row[1].done()]
                if not station.pollers and station.first(station.receivers) is None \
                        and station.first(station.senders) is None:
                    station.unwatch()


def poll_end(Socket socket):
    """The socket was closed: whoever waits for it in a loop of this thread is told."""
    cdef _Station station
    if socket.s is NULL or socket.handle.waits is None:
        return
    with cython.critical_section(socket.handle.waits):
        for station in list((<_Waits>socket.handle.waits).stations):
            station.end_all()


# ---- sockets ----

cdef class AsyncSocket(Socket):
    """Base of fastmq.asyncio.Socket: verbs that return Futures."""

    cdef _Waits waits
    cdef bint own_messages  # the class has a recv_multipart of its own

    cdef _Waits join(self):
        with cython.critical_section(self):
            if self.waits is None:
                self.waits = waits_of(self)
        return self.waits

    # -- receiving --

    cdef object give(self, object value, bint more):
        """The finished Future for a part that was received."""
        try:
            return finished(value)
        except BaseException:  # no event loop: the message is not lost
            with cython.critical_section(self.waits):
                if self.waits.returned is None:
                    self.waits.returned = deque()
                self.waits.returned.append((value, more))
            raise

    cdef object receive(self, _Waiter w, object timeout):
        """Takes what is wanted now, or queues for it."""
        cdef _Waits waits = self.join()
        w.socket = self
        with cython.critical_section(waits):
            return self.receive_in(waits, w, timeout)

    cdef object receive_in(self, _Waits waits, _Waiter w, object timeout):
        cdef _Station station = waits.station()
        cdef int rc = 0
        cdef int ms
        if station.first(station.receivers) is None:
            if waits.returned is not None:
                return finished_in(station.loop, waits.take_back(w))
            try:
                value = self.look(waits, w, &rc)
            except Exception as e:
                return failed_in(station.loop, e)
            if rc >= 0:
                return finished_in(station.loop, value)
            if rc != -EAGAIN:
                if w.kind == TAKE_NEXT and (rc == -ENOTSOCK or rc == -FMQ_ETERM):
                    return failed_in(station.loop, StopAsyncIteration())
                return failed_in(station.loop, error_of(rc))
        ms = limit_of(w.flags, timeout, fmq_rcvtimeo(self.s))
        if ms == 0:
            return failed_in(station.loop, make_error(-EAGAIN))
        return self.wait(station, station.receivers, w, ms, FMQ_POLLIN)

    cdef object look(self, _Waits waits, _Waiter w, int *rc):
        """As take. It looks at the network, which costs a system call, only while that often saves
        the way through the loop; but what is queued to be sent must not wait longer than this."""
        value = take(self.s, w, False, rc)
        if rc[0] != -EAGAIN:
            return value
        if waits.luck > 0:
            value = take(self.s, w, True, rc)
            if rc[0] >= 0:
                waits.luck = min(waits.luck + 2, MAX_LUCK)
            else:
                waits.luck -= 1
                if waits.luck == 0:
                    waits.luck = -SOBER
            return value
        waits.luck += 1
        if waits.luck == 0:
            waits.luck = 1
        with nogil:
            fmq_flush(self.s)
        return None

    cdef object wait(self, _Station station, object queue, _Waiter w, int ms, int events):
        w.future = Pending(loop=station.loop)
        w.future.waiter = w
        try:
            station.watch(station.wanted | events)
        except Exception as e:
            return failed_in(station.loop, e)
        if ms > 0:
            w.timer = station.loop.call_later(ms / 1000.0, w.expire)
        station.add(queue, w)
        return w.future

    def recv(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """A Future of the next part: bytes, or with copy=False a Frame.

        flags: DONTWAIT. timeout: ms, instead of RCVTIMEO. The Future ends with Again when nothing
        came in time, ContextTerminated, ZMQError; cancelling it loses nothing.
        """
        cdef msg m
        cdef _Waiter w
        cdef bint more
        cdef int rc
        if decref_queue_count():
            drain()
        if self.waits is None:
            self.join()
        if copy and self.waits.receiving == 0 and self.waits.returned is None:
            rc = fmq_try_recv_part(self.s, &m, NULL)
            if rc >= 0:
                more = (m.flags & PART_MORE) != 0
                return self.give(take_bytes(&m), more)
        w = _Waiter()
        w.kind = TAKE_PART
        w.flags = flags
        w.copy = copy
        w.track = track
        return self.receive(w, timeout)

    def recv_multipart(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """A Future of all parts of the next message: a list of bytes, or with copy=False of
        Frames."""
        cdef _Waiter w = _Waiter()
        if decref_queue_count():
            drain()
        w.kind = TAKE_MESSAGE
        w.flags = flags
        w.copy = copy
        w.track = track
        return self.receive(w, timeout)

    def recv_into(self, buffer, /, *, nbytes=0, int flags=0, timeout=None):
        """A Future of the length of the next part, which is received into a writable buffer.

        nbytes: how much of the buffer may be used, 0 for all. What does not fit is lost, as a
        returned length above nbytes tells.
        """
        cdef _Waiter w = _Waiter()
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
        """A Future of up to `max` messages that are there; it waits only for the first.

        A list of bytes for messages of one part and lists of bytes for others; multipart=True:
        always lists; copy=False: Frames. timeout: ms, instead of RCVTIMEO.
        """
        cdef _Waiter w = _Waiter()
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
        w = _Waiter()
        w.kind = TAKE_NEXT
        w.copy = True
        return self.receive(w, None)

    # -- sending --

    cdef bint owes(self):
        """A REQ or REP whose last message came back has not received it yet."""
        cdef int kind
        if self.waits.returned is None:
            return False
        kind = fmq_socket_type(self.s)
        return kind == 3 or kind == 4

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
        cdef _Waits waits = self.join()
        w.socket = self
        with cython.critical_section(waits):
            return self.dispatch_in(waits, w, timeout)

    cdef object dispatch_in(self, _Waits waits, _Waiter w, object timeout):
        cdef _Station station = waits.station()
        cdef int ms
        if self.owes():
            return failed_in(station.loop, error_of(-FMQ_EFSM))
        if station.first(station.senders) is None:
            try:
                return finished_in(station.loop, self.send_now(w))
            except Exception as e:
                if not is_again(e) or w.flags & 1:
                    return failed_in(station.loop, e)
        elif w.flags & 1:
            return failed_in(station.loop, make_error(-EAGAIN))
        ms = fmq_sndtimeo(self.s) if timeout is None else as_timeout(timeout)
        if ms == 0:
            return failed_in(station.loop, make_error(-EAGAIN))
        future = self.wait(station, station.senders, w, ms, FMQ_POLLOUT)
        if len(station.senders) == 1:
            station.serve_senders()
            station.adjust(False)
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
        if PyBytes_CheckExact(data) and routing_id is None and group is None \
                and self.waits.sending == 0 and self.waits.returned is None:
            size = PyBytes_GET_SIZE(data)
            if size <= BIG:
                rc = fmq_try_send_bytes(self.s, PyBytes_AS_STRING(data), <size_t>size,
                                        <void *>data, (flags & 2) != 0)
                if rc >= 0:
                    if flags & 2:
                        note_begun(self.handle)
                    return finished(None if copy else finished_tracker())
        w = _Waiter()
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
        cdef _Waiter w = _Waiter()
        if decref_queue_count():
            drain()
        w.kind = SEND_MESSAGE
        w.flags = flags
        w.copy = copy
        w.track = track
        w.what = msg_parts if isinstance(msg_parts, (list, tuple)) else tuple(msg_parts)
        w.options = (routing_id, group)
        return self.dispatch(w, timeout)

    def _send_batch(self, source, Py_ssize_t limit, int flags):
        """Sends up to limit messages of an iterator, as far as there is room: how many, a tuple of
        the first that has to wait, and the error that ended it; both None otherwise."""
        cdef _Waits waits = self.join()
        cdef Py_ssize_t sent = 0
        cdef int rc
        if decref_queue_count():
            drain()
        try:
            while sent < limit:
                try:
                    item = next(source)
                except StopIteration:
                    break
                if waits.sending or waits.returned is not None:
                    return sent, (item,), None
                if PyBytes_CheckExact(item) and PyBytes_GET_SIZE(item) <= BIG:
                    rc = fmq_try_send_bytes(self.s, PyBytes_AS_STRING(item),
                                            <size_t>PyBytes_GET_SIZE(item), <void *>item, False)
                    if rc == -EAGAIN:
                        return sent, (item,), None
                    if rc >= 0:
                        sent += 1
                        continue
                    if rc != -EBUSY:
                        fail(rc)
                try:
                    if isinstance(item, (list, tuple)):
                        Socket.send_multipart(self, item, 1)
                    else:
                        self.send_one(item, 1, True, False, None, None, None, f"messages[{sent}]")
                except errors.Again:
                    return sent, (item,), None
                sent += 1
        except Exception as e:
            return sent, None, e
        return sent, None, None

    # -- readiness --

    def poll(self, timeout=None, int flags=1):
        """A Future of which of flags (POLLIN, POLLOUT) the socket is ready for; 0 when timeout (ms,
        None for ever) passed. A message that came counts until a task has it, also when one waits
        for it already."""
        cdef int ms = as_timeout(timeout)
        cdef int events
        cdef _Waits waits
        cdef _Station station
        if self.s is NULL or fmq_closed(self.s):
            raise make_error(-ENOTSUP, "Operation not supported: the socket is closed")
        waits = self.join()
        with cython.critical_section(waits):
            station = waits.station()
            events = waits.events()
        if events < 0:
            return failed_in(station.loop, error_of(events))
        if events & flags or ms == 0:
            return finished_in(station.loop, events & flags)
        future = Future_(loop=station.loop)
        try:
            poll_later(self, flags, future, station.loop)
        except Exception as e:
            return failed_in(station.loop, e)
        if ms > 0:
            timer = station.loop.call_later(ms / 1000.0, poll_expired, future)
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def get(self, option):
        """The value of a SocketOption: int, or bytes for names, addresses and keys."""
        value = Socket.get(self, option)
        if option == 15 and self.waits is not None and self.waits.returned is not None:
            value |= FMQ_POLLIN
        return value

    # -- life --

    def _end_waits(self):
        """Cancels all that wait for the socket and takes it away from its loops."""
        cdef _Waits waits
        if self.s is not NULL and self.handle.waits is not None:
            waits = self.handle.waits
            with cython.critical_section(waits):
                waits.end()


def poll_expired(future):
    """The time of a poll is over."""
    if not future.done():
        future.set_result(0)


def load_into(future, load):
    """Has the Future of a receive end with load(what was received)."""
    cdef _Waiter w
    if not future.done():
        w = future.waiter
        w.load = load
        return future
    if future.cancelled() or future.exception() is not None:
        return future
    loop = future.get_loop()
    try:
        return finished_in(loop, load(future.result()))
    except Exception as e:
        return failed_in(loop, e)
