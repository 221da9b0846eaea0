# SPDX-License-Identifier: MIT
# Included by _core.pyx: who waits for a socket, and the event loop's part in it.
#
# What waits for a socket in one loop are its _LoopWaiters, which only the thread that runs the loop
# touches. While there are any, the socket is in the loop's adapter (fmq_loop_watch), whose
# descriptor the loop watches; where that is not possible, the loop watches the descriptor that
# fmq_watch gives. When the socket is reported to the loop everything is served that can be, in
# order. The socket stays in the adapter while somebody waits and leaves it when it is reported for
# nobody, so that a socket in steady use costs no system call for it.
#
# The _SocketWaiters belong to the socket's handle and are shared by all objects over it and by all
# loops: they have a critical section.

cdef enum:
    # Fewer places than this in a queue may belong to waiters that have left.
    CROWD = 64
    # Sockets that a loop adapter reports at once.
    ADAPTER_BATCH = 64


@cython.final
cdef class _Queue:
    """Waiters in their order. One that leaves is let go of at once; its place in the row goes when
    it comes to the front, or when most places are of that kind."""

    cdef object row        # deque of _Waiter
    cdef Py_ssize_t count  # those that wait

    cdef int add(self, _Waiter w) except -1:
        self.row.append(w)
        self.count += 1
        return 0

    cdef _Waiter first(self):
        cdef _Waiter w
        while self.row:
            w = <_Waiter>self.row[0]
            if w.place is not None:
                return w
            self.row.popleft()
        return None

    cdef int left(self) except -1:
        """One of them has left."""
        cdef _Waiter w
        self.count -= 1
        if self.count == 0:
            self.row.clear()
        elif <Py_ssize_t>len(self.row) > 2 * self.count + CROWD:
            self.row = deque([w for w in self.row if w.place is not None])
        return 0


cdef _Queue new_queue():
    cdef _Queue queue = _Queue.__new__(_Queue)
    queue.row = deque()
    return queue


# ---- what a loop watches ----

@cython.final
cdef class _LoopAdapter:
    """What a loop watches for all its sockets. Called by the loop when its descriptor is readable.
    It lives while _LoopWaiters of its loop refer to it."""

    cdef object __weakref__
    cdef fmq_loop *handle
    cdef int fd
    cdef unsigned long generation  # of the process: its descriptors end at a fork
    cdef object loop
    cdef set members   # _LoopWaiters whose sockets are in it
    cdef bint watched  # by the loop, while there are members

    def __dealloc__(self):
        if self.handle is not NULL:
            fmq_loop_free(self.handle)

    def __call__(self):
        cdef void *ready[ADAPTER_BATCH]
        cdef _LoopWaiters place
        cdef list batch
        cdef int n = ADAPTER_BATCH
        cdef int i
        error = None
        if self.generation != fork_generation:  # the loop watches another file by that number
            self.unwatch()
            return
        turn_begins()
        while n == ADAPTER_BATCH and not turn_spent():
            n = fmq_loop_wait(self.handle, ready, ADAPTER_BATCH)
            if n == -FMQ_EBROKEN:
                self.unwatch()
                for place in list(self.members):
                    place.again()  # the engine has an error for all that wait
                fail(n)
            for i in range(n):
                Py_INCREF(<object>ready[i])  # before anything may run that lets one of them go
            batch = []
            for i in range(n):
                batch.append(<object>ready[i])
                Py_DECREF(<object>ready[i])
            for place in batch:
                if place.adapter is not self or not place.in_adapter:
                    continue
                try:
                    if turn_spent():  # this is reported once
                        place.again()
                    else:
                        place.serve()
                except BaseException as e:  # the others must not miss their turn
                    error = error or e
            if error is not None:
                raise error

    cdef int want(self, _LoopWaiters place, int events) except? -1:
        """Has the socket of a place watched. False if that is not possible here."""
        cdef int rc = fmq_loop_watch(self.handle, place.waits.s, events, <void *>place)
        if rc == -EBUSY:
            return False
        if rc < 0:
            fail(rc)
        if not place.in_adapter:
            place.in_adapter = True
            self.members.add(place)
            if not self.watched:
                self.watched = True
                try:
                    watch_fd(self.loop, self.fd, self)
                except BaseException:
                    self.watched = False
                    if place.in_adapter:
                        self.forget(place)
                    raise
        if rc > 0 and place.in_adapter:  # a change that has not been reported, and now will not be
            place.again()
        return True

    cdef int forget(self, _LoopWaiters place) except -1:
        fmq_loop_watch(self.handle, place.waits.s, 0, NULL)
        place.in_adapter = False
        self.members.discard(place)
        if not self.members:
            self.unwatch()
        return 0

    cdef int unwatch(self) except -1:
        if self.watched:
            self.watched = False
            if not self.loop.is_closed():
                self.loop.remove_reader(self.fd)
        return 0


cdef int watch_fd(object loop, int fd, object callback) except -1:
    """Has the loop call back while a descriptor is readable. The loop keeps the context of this
    call for as long as that, so it is not one of the program's."""
    NoContext().run(loop.add_reader, fd, callback)
    return 0


cdef _LoopAdapter adapter_of(object loop):
    """The adapter of a loop, or None where the system has none."""
    cdef _LoopAdapter adapter = adapters.get(id(loop))
    if adapter is not None and adapter.loop is loop:
        if adapter.generation == fork_generation:
            return adapter
        adapter.unwatch()  # the parent's; before its number is another descriptor's
    adapter = _LoopAdapter()
    if fmq_loop_new(&adapter.handle) < 0:
        return None
    adapter.fd = fmq_loop_fd(adapter.handle)
    adapter.generation = fork_generation
    adapter.loop = loop
    adapter.members = set()
    adapters[id(loop)] = adapter
    return adapter


# ---- who waits in one loop ----

@cython.final
cdef class _LoopWaiters:
    """Those who wait for one socket in one event loop. Called by the loop when the socket's
    descriptor is readable or there is more to do, served by the adapter otherwise."""

    cdef _SocketWaiters waits
    cdef object loop
    cdef _LoopAdapter adapter          # of its loop, once it has watched
    cdef bint in_adapter       # the loop watches through it, else by fd
    cdef int fd
    cdef int wanted        # FMQ_POLL* that the engine shows for it; 0: not with the loop
    cdef bint called       # the loop will call it in the turn after this:
    cdef uint64_t turn
    cdef uint64_t called_at  # ns, where it then spins, if nobody else is ready:
    cdef uint64_t to_spin    # for so long, ns; 0: not at all
    cdef int loop_fd       # readable while the loop's own selector has something; -1: unknown
    cdef unsigned found_here  # receives in a row that spun and found their message
    cdef _Queue receivers
    cdef _Queue senders
    cdef dict addressed    # of those: how many whole messages wait for a peer, by its id
    cdef Py_ssize_t parts_waiting  # of those: parts of messages
    cdef dict pollers      # mask of events -> OrderedDict of Futures

    def __call__(self):
        if self.called:
            self.called = False
            turn_is_past(self.turn)
        try:
            if self.to_spin:
                if not self.spin():
                    self.spin_later()
                    return
                self.to_spin = 0
            self.serve()
        finally:
            if not self.called:
                self.watch_at_last()

    cdef int watch_at_last(self) except -1:
        """Receivers that have spun until now are watched, or learn that they cannot be."""
        cdef _Waiter w
        if self.receivers.count == 0 or self.wanted & FMQ_POLLIN:
            return 0
        try:
            self.watch(self.wanted | FMQ_POLLIN)
        except Exception as e:
            while not self.wanted & FMQ_POLLIN:
                w = self.receivers.first()
                if w is None:
                    break
                self.leaves(w)
                w.failure(e)
        return 0

    # -- spinning --

    cdef bint rests(self) except -1:
        """Whether a turn of the loop would find nothing to do, as far as the loop can be asked."""
        cdef list timers
        if self.loop_fd < 0 or state_of(self.loop) != LOOP_FREE:
            return False
        timers = self.loop._scheduled
        if timers and timers[0]._when <= core_now_ns() / 1e9:
            return False
        return not fmq_readable(self.loop_fd)

    cdef bint may_spin_here(self) except -1:
        """Whether a receive may spin in the turn in which it is called."""
        if core_turn.vain:
            return False
        if core_turn.spun <= AWAIT_SPIN_NS - AWAIT_SPIN_LEAST_NS:
            return True
        if not self.rests():
            return False
        core_turn.spun = 0  # a turn would change nothing
        return True

    cdef int found_while_spinning(self) except -1:
        """A receive needed no loop. If that goes on, the loop need not watch: it would be called for
        nobody, and what comes through shared memory would be signalled for it."""
        if self.wanted and self.nobody():
            self.found_here += 1
            if self.found_here >= UNWATCH_AFTER:
                self.unwatch()
        return 0

    cdef int spin_later(self) except -1:
        """Has the loop come back to it to spin."""
        self.called_at = core_now_ns()
        return self.again()

    cdef bint spin(self) except -1:
        """Spins in a turn of its own. False: it goes on in the next."""
        cdef uint64_t piece
        cdef int state = state_of(self.loop)
        if state == LOOP_UNKNOWN:
            state = LOOP_FREE if core_now_ns() - self.called_at < FREE_TURN_NS else LOOP_BUSY
        while self.receivers.count and state == LOOP_FREE:
            piece = AWAIT_SPIN_NS if self.loop_fd < 0 else AWAIT_LOOK_NS
            if self.waits.spin(piece, &self.to_spin):
                return True
            if self.to_spin == 0:
                loop_spin_failed(&self.waits.rule)
                return True
            if self.loop_fd < 0:
                return False
            if not self.rests():
                return True
        return True

    cdef int again(self) except -1:
        """Has the loop come back to it in its next turn."""
        if not self.called and not self.loop.is_closed():
            self.called = True
            self.turn = core_turn.number
            try:
                self.loop.call_soon(self)
            except BaseException:
                self.called = False
                raise
        return 0

    # -- with the loop --

    cdef int watch(self, int events) except -1:
        """Has the loop watch for these events. Who waits has joined its queue before: the socket
        may be closed while the loop is called."""
        cdef int before = self.wanted
        if events == before and not events & FMQ_POLLCHANGE:
            return 0
        self.wanted = events
        self.found_here = 0
        try:
            if before == 0 and (self.adapter is None or self.adapter.generation != fork_generation):
                self.adapter = adapter_of(self.loop)
            if self.in_adapter or (before == 0 and self.adapter is not None):
                if self.adapter.want(self, events):
                    return 0
            self.fd = self.waits.watch(self.fd)
            if before == 0:
                watch_fd(self.loop, self.fd, self)
        except BaseException:
            if self.wanted == events:
                self.wanted = before
                if not self.in_adapter:
                    self.waits.watch(self.fd)
            raise
        return 0

    cdef int unwatch(self) except -1:
        cdef int before = self.wanted
        self.wanted = 0
        try:
            if before == 0:
                pass
            elif self.in_adapter:
                self.adapter.forget(self)
            else:
                try:
                    if not self.loop.is_closed():
                        self.loop.remove_reader(self.fd)
                finally:
                    self.waits.watch(self.fd)
        finally:
            if fmq_closed(self.waits.s):
                self.waits.forget(self)
        return 0

    # -- who waits --

    cdef int joins(self, _Waiter w) except -1:
        w.place = self
        if w.kind < SEND_PART:
            self.receivers.add(w)
            self.waits.receiving += 1
            return 0
        self.senders.add(w)
        self.waits.sending += 1
        if not w.whole:
            self.parts_waiting += 1
        elif self.waits.addresses:
            peer = w.peer
            self.addressed[peer] = self.addressed.get(peer, 0) + 1
        return 0

    cdef bint leaves(self, _Waiter w) except -1:
        """Returns whether those behind it have waited for it."""
        cdef bint head = False
        timer = w.timer
        w.place = w.timer = None
        if w.kind < SEND_PART:
            self.waits.receiving -= 1
            self.receivers.left()
        else:
            self.waits.sending -= 1
            if not w.whole:
                self.parts_waiting -= 1
            elif self.waits.addresses:
                peer = w.peer
                left = self.addressed.get(peer, 0) - 1
                if left > 0:
                    self.addressed[peer] = left
                else:
                    self.addressed.pop(peer, None)
            self.senders.left()
            head = self.senders.count > 0
        if timer is not None:
            timer.cancel()
        return head

    cdef bint must_queue(self, _Waiter w):
        """Whether a message to be sent has to wait for others that do."""
        if self.senders.count == 0:
            return False
        return not (self.waits.addresses and self.parts_waiting == 0 and w.whole
                    and w.peer not in self.addressed)

    cdef int poll(self, int mask, object future) except -1:
        """Ends the Future with what the socket is ready for, when that is of the mask."""
        group = self.pollers.get(mask)
        if group is None:
            group = self.pollers[mask] = Ordered()
        group[future] = None
        try:
            self.watch(self.wanted | (mask & (FMQ_POLLIN | FMQ_POLLOUT | FMQ_POLLCHANGE)))
        except BaseException:
            self.poll_forget(mask, future)
            raise
        return 0

    cdef int poll_forget(self, int mask, object future) except -1:
        group = self.pollers.get(mask)
        if group is not None:
            group.pop(future, None)
            if not group:
                del self.pollers[mask]
        return 0

    cdef bint nobody(self):
        return self.receivers.count == 0 and self.senders.count == 0 and not self.pollers

    # -- serving them --

    cdef int serve(self) except -1:
        """Gives all waiters what there is for them."""
        cdef bint idle = self.receivers.count == 0
        cdef bint nobody = self.nobody()
        with nogil:
            fmq_watch_came(self.waits.s)
        if nobody:
            return self.unwatch()
        try:
            if not idle:
                self.serve_receivers()
        finally:
            try:
                if self.senders.count:
                    self.serve_senders()
            finally:
                try:
                    if self.pollers:
                        self.serve_pollers()
                finally:
                    if self.wanted:
                        self.adjust(idle)
        return 0

    cdef int adjust(self, bint idle) except -1:
        """Watches for what is waited for. What was of use just now will be of use again."""
        cdef int events = 0
        cdef int polled = 0
        for mask in self.pollers:
            polled |= <int>mask
        if self.receivers.count or polled & FMQ_POLLIN:
            events = FMQ_POLLIN
        elif not idle:
            events = self.wanted & FMQ_POLLIN
        if self.senders.count:
            events |= self.wanted & (FMQ_POLLOUT | FMQ_POLLCHANGE)
        events |= polled & (FMQ_POLLOUT | FMQ_POLLCHANGE)
        if events == 0:
            return self.unwatch()
        if events != self.wanted:
            self.watch(events)
        return 0

    cdef int serve_receivers(self) except -1:
        cdef _Waiter w
        cdef bint look = True
        cdef unsigned served = 0
        cdef int rc
        error = None
        while True:
            w = self.receivers.first()
            if w is None:
                break
            rc = 0
            try:
                value = take(self.waits.s, w, look, &rc)
            except Exception as e:
                w.taken = None
                if w.place is not None:
                    self.leaves(w)
                    w.failure(e)
                continue
            if may_come(w, rc):
                if rc != -EAGAIN:  # nobody has looked at what the loop was called for
                    self.waits.events()
                break
            look = False
            if self.waits.rule.began:
                loop_spin_served(&self.waits.rule, spin_limit(self.waits.s), core_now_ns())
            if w.place is None:  # it was ended while other threads ran
                w.give_back()
                continue
            self.leaves(w)
            try:
                if rc >= 0:
                    w.result(value)
                else:
                    w.failure(receive_error(w, rc))
            except BaseException as e:
                error = error or e
            served += 1
            if served % CLOCK_EVERY == 0 and turn_spent():
                self.again()
                break
        if error is not None:
            raise error
        return 0

    cdef bint try_send(self, _Waiter w) except -1:
        """False: it has to wait."""
        cdef AsyncSocket socket = w.socket
        try:
            value = socket.send_now(w)
        except Exception as e:
            if w.place is None:  # it was ended while other threads ran
                return True
            if is_again(e):
                return False
            self.leaves(w)
            w.failure(e)
            return True
        if w.place is not None:
            self.leaves(w)
            w.result(value)
        return True

    cdef bint send_waiting(self) except -1:
        """Sends what can be sent now; False: some of it cannot. Where messages name their peer, one
        that is full holds up what is for that peer; a part of a message holds up all behind it."""
        cdef _Waiter w
        cdef unsigned served = 0
        cdef set full = set()
        cdef list row
        if self.waits.addresses:
            row = [w for w in self.senders.row if w.place is not None]
            for w in row:
                if w.place is None:
                    continue
                if full and not w.whole:
                    return False
                if w.peer in full:
                    continue
                if not self.try_send(w):
                    if fmq_begun(self.waits.s):
                        return False
                    full.add(w.peer)
                served += 1
                if served % CLOCK_EVERY == 0 and turn_spent():
                    self.again()
                    return True
            return not full
        while True:
            w = self.senders.first()
            if w is None:
                return True
            if not self.try_send(w):
                return False
            served += 1
            if served % CLOCK_EVERY == 0 and turn_spent():
                self.again()
                return True

    cdef int serve_senders(self) except -1:
        cdef int events = self.waits.events()  # sends what is queued, sees what has room
        if self.send_waiting():
            return 0
        # Some types are writable although this message's peer is not: then any change counts.
        if not (events >= 0 and events & FMQ_POLLOUT):
            return self.watch((self.wanted & FMQ_POLLIN) | FMQ_POLLOUT)
        self.watch((self.wanted & FMQ_POLLIN) | FMQ_POLLCHANGE)
        self.send_waiting()
        return 0

    cdef int serve_pollers(self) except -1:
        cdef int events = self.waits.events()
        cdef unsigned served = 0
        error = None
        for mask in list(self.pollers):
            if events >= 0 and not (events | FMQ_POLLCHANGE) & <int>mask:
                continue
            group = self.pollers.pop(mask)
            while group:
                future, _ = group.popitem(False)
                try:
                    if future.done():
                        pass
                    elif events < 0:
                        future.set_exception(error_of(events))
                    else:
                        future.set_result(events & <int>mask)
                except BaseException as e:
                    error = error or e
                served += 1
                if group and served % CLOCK_EVERY == 0 and turn_spent():
                    if mask in self.pollers:  # others have come while Python ran
                        group.update(self.pollers[mask])
                    self.pollers[mask] = group
                    self.again()
                    break
        if error is not None:
            raise error
        return 0

    # -- the end --

    def end(self):
        """The socket is closed by its owner: who waits is cancelled, iterations end."""
        self.end_all()

    cdef int end_all(self) except -1:
        cdef _Waiter w
        cdef _Queue queue
        error = None
        for queue in (self.receivers, self.senders):
            while True:
                w = queue.first()
                if w is None:
                    break
                future = w.future
                self.leaves(w)
                try:
                    if w.kind == TAKE_NEXT:
                        w.failure(StopAsyncIteration())
                    else:
                        future.cancel()
                except RuntimeError:  # its loop is closed: nobody will ever know
                    pass
                except BaseException as e:
                    error = error or e
        groups, self.pollers = self.pollers, {}
        for group in groups.values():
            for future in group:
                try:
                    future.cancel()
                except RuntimeError:
                    pass
                except BaseException as e:
                    error = error or e
        self.unwatch()
        if error is not None:
            raise error
        return 0


# ---- who waits for one socket ----

@cython.final
cdef class _SocketWaiters:
    """All that wait for one socket of the engine, whichever objects and loops they came from."""

    cdef _SocketHandle handle
    cdef fmq_socket *s
    cdef bint addresses     # each of its messages is for one peer, which may be full by itself
    cdef bint numbers       # the peer is named by a number beside the message, not in its first part
    cdef _LoopWaiters here  # of the loop that was used last
    cdef list places        # of all loops
    cdef int receiving      # waiters in all queues
    cdef int sending
    cdef int probe_score    # > 0: looks at the network before waiting have found something
    cdef loop_spin rule     # whether receives spin before they wait for the loop

    cdef _LoopWaiters known(self, object loop):
        cdef _LoopWaiters place
        with cython.critical_section(self):
            if self.here is not None and self.here.loop is loop:
                return self.here
            for place in self.places:
                if place.loop is loop:
                    self.here = place
                    return place
        return None

    cdef _LoopWaiters place_in(self, object loop):
        cdef _LoopWaiters place = self.known(loop)
        cdef list others
        if place is not None:
            return place
        with cython.critical_section(self):
            others = list(self.places)
        for place in others:
            if place.loop.is_closed():
                self.forget(place)
                place.end_all()
        place = _LoopWaiters.__new__(_LoopWaiters)
        place.waits = self
        place.loop = loop
        place.fd = -1
        place.loop_fd = loop_fd(loop)
        place.receivers = new_queue()
        place.senders = new_queue()
        place.addressed = {}
        place.pollers = {}
        with cython.critical_section(self):
            self.places.append(place)
            self.here = place
        return place

    cdef int forget(self, _LoopWaiters place) except -1:
        with cython.critical_section(self):
            if self.here is place:
                self.here = None
            self.places = [other for other in self.places if other is not place]
        return 0

    cdef int watch(self, int fd) except? -1:
        """Tells the engine what the places want that are in no adapter. The descriptor, or fd if
        nothing is wanted."""
        cdef _LoopWaiters place
        cdef list others
        cdef int events = 0
        cdef int rc
        with cython.critical_section(self):
            others = list(self.places)
            for place in others:
                if not place.in_adapter:
                    events |= place.wanted
            rc = fmq_watch(self.s, events, &fd)
        if rc < 0 and events:
            fail(rc)
        if rc > 0:  # a change that has not been shown, and now will not be: whoever waits looks
            for place in others:
                if place.wanted & FMQ_POLLCHANGE and not place.loop.is_closed():
                    place.loop.call_soon_threadsafe(place)
        return fd

    cdef uint64_t spin_budget(self):
        """Asked once a wait: how long it may spin, ns."""
        cdef uint64_t limit = spin_limit(self.s)
        if limit == 0:
            return 0
        return loop_spin_budget(&self.rule, limit, core_now_ns() if self.rule.resume else 0)

    cdef bint spin(self, uint64_t piece, uint64_t *budget) except -1:
        """Waits for a message without sleeping, for a piece of what is left of a wait's budget, and
        takes it off. Whether there is one, or an error."""
        cdef int rc
        cdef int gave_way = False
        cdef int *give_way = &gave_way if self.rule.share else NULL
        cdef uint64_t start = core_now_ns()
        cdef uint64_t took
        piece = min(piece, budget[0])
        with nogil:
            rc = fmq_spin(self.s, <uint32_t>piece, give_way)
        took = core_now_ns() - start
        core_turn.spun += took
        budget[0] -= piece
        if loop_spin_lost(&self.rule, took, start + took):
            budget[0] = 0
        if rc:
            loop_spin_found(&self.rule, gave_way)
        return rc != 0

    cdef int events(self):
        """What the socket is ready for, or a negative errno; polls it."""
        cdef int rc
        with nogil:
            rc = fmq_events(self.s)
        return rc

    cdef int closed(self) except -1:
        """The socket was closed, by whomever. The engine notifies what waits; what nobody
        needs goes now, without waiting for the garbage collector."""
        cdef _LoopWaiters place
        with cython.critical_section(self.handle):
            if self.handle.waits is self:
                self.handle.waits = None
        with cython.critical_section(self):
            self.places = [place for place in self.places if place.wanted]
            self.here = None
        return 0

    cdef int end(self) except -1:
        """It is closed by its owner."""
        cdef _LoopWaiters place
        cdef list others
        try:
            here = running_loop()
        except RuntimeError:
            here = None
        with cython.critical_section(self):
            others = list(self.places)
        for place in others:
            if place.loop is not here and not place.loop.is_closed() and place.loop.is_running():
                place.loop.call_soon_threadsafe(place.end)
            else:
                place.end_all()
        return 0


cdef _SocketWaiters waits_of(Socket socket):
    """What is shared by all that wait for this socket, through whichever object."""
    cdef _SocketWaiters waits
    if socket.s is NULL:
        unusable()
    if Future_ is None:
        from fastmq import _future  # it calls set_asyncio
    with cython.critical_section(socket.handle):
        if socket.handle.waits is not None:
            return socket.handle.waits
    if fmq_closed(socket.s):
        fail(-ENOTSOCK)
    waits = _SocketWaiters()
    waits.handle = socket.handle
    waits.s = socket.s
    waits.numbers = fmq_addressing(socket.s) == FMQ_BY_ROUTING_ID
    waits.addresses = waits.numbers or fmq_socket_type(socket.s) in (FMQ_ROUTER, FMQ_STREAM)
    waits.places = []
    waits.probe_score = PROBE_BEST // 2
    with cython.critical_section(socket.handle):
        if socket.handle.waits is None:  # no other thread was faster
            socket.handle.waits = waits
        return socket.handle.waits


def poll_later(Socket socket, int flags, future, loop):
    """Gives a Future its result, an event mask, when the socket is ready for one of flags, or with
    FMQ_POLLCHANGE among them when anything about it may have changed since this call. The loop and
    the Future may be of another kind than asyncio's that has the same methods. Whoever gives the
    Future up calls poll_no_more."""
    waits_of(socket).place_in(loop).poll(flags, future)


def poll_no_more(Socket socket, int flags, future, loop, bint leave=False):
    """Forgets a Future of poll_later. leave: releases the descriptor if nobody is left; otherwise
    that is done when the socket is reported to the loop for nobody."""
    cdef _SocketWaiters waits
    cdef _LoopWaiters place
    if socket.s is NULL or socket.handle.waits is None:
        return
    waits = socket.handle.waits
    place = waits.known(loop)
    if place is None:
        return
    place.poll_forget(flags, future)
    if loop.is_closed():
        place.end_all()
    elif leave and place.nobody():
        place.unwatch()


def poll_end(Socket socket):
    """The socket is to be closed: what waits for it in a loop is notified."""
    cdef _SocketWaiters waits
    if socket.s is not NULL and socket.handle.waits is not None:
        waits = socket.handle.waits
        waits.end()
