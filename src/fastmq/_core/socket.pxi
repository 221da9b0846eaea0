# SPDX-License-Identifier: MIT
# Part of _core.pyx: Socket, and what its verbs share.


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

    # As pyzmq's classes have it, for subclasses that read it.
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
        """With copy=False, buffers of at least this many bytes are kept instead of copied."""
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
                bad_option(-EINVAL, OPT_LINGER, linger)
            value = linger
            rc = fmq_set_int(self.s, OPT_LINGER, value)
            if rc < 0 and rc != -ENOTSOCK and rc != -FMQ_ETERM and rc != -FMQ_EFORKED:
                bad_option(rc, OPT_LINGER, linger)
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
        """Stops listening at addr (as in LAST_ENDPOINT) and ends its connections, except over
        inproc. Messages that have arrived can still be received. A connected endpoint is
        disconnected. ZMQError(ENOENT): there is no such endpoint."""
        self.at_endpoint(fmq_unbind, addr)

    def disconnect(self, addr):
        """Ends all connections made by connect(addr). Messages queued for the peer are sent within
        LINGER; messages of the peer that were not received are dropped. A bound endpoint is
        unbound. ZMQError(ENOENT): there is no such endpoint."""
        self.at_endpoint(fmq_disconnect, addr)

    def monitor(self, addr, events=0xFFFF, *, int version=1, int type=0):
        """Sends the events of the mask to a PAIR bound at addr ("inproc://..."); None stops.

        version 2 has 64-bit events with several values; type may then also be PUB or PUSH.
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
        """Sets a SocketOption. The value is int or bytes; see fastmq.SocketOption.

        TypeError: a value of the wrong type. ZMQError(EINVAL): an unknown option, a value out of
        range, or not for this socket now; the text says which, and what is allowed.
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
                hint = ""
                if optval is None and name == "CURVE_SECRETKEY":
                    hint = ": it is in the .key_secret file of a certificate, not in the .key file"
                raise TypeError(
                    f"{name} takes bytes, not {type(optval).__name__}{hint}"
                ) from None
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
        cdef bint more = (flags & FLAG_SNDMORE) != 0
        cdef int64_t deadline
        cdef uint32_t i
        cdef bint again = False
        cdef int total, ms, step
        cdef int rc
        if more:
            note_begun(self.handle)
        if not big:
            rc = fmq_try_send(self.s, v, n, more)
            if rc >= 0:
                return 0
            if rc != -EBUSY and (rc != -EAGAIN or flags & FLAG_DONTWAIT):
                fail_send(rc)
        for i in range(n):
            rc = msg_own(&v[i])
            if rc < 0:
                fail_send(rc)
        total = ms = limit_of(flags, timeout, fmq_sndtimeo(self.s))
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
        if rc == -EAGAIN and total > 0:
            raise timed_out(True, total)
        if rc < 0:
            fail_send(rc)
        return 0

    cdef int address(self, msg *m, object data, object routing_id, object group) except -1:
        """Says to whom the message goes, on types that say so beside its parts: what the caller
        gave, or else what the Frame has that it is made of."""
        cdef int by = fmq_addressing(self.s)
        cdef Frame frame = <Frame>data if isinstance(data, Frame) else None
        if routing_id is not None:
            if by != FMQ_BY_ROUTING_ID:
                raise make_error(-ENOTSUP, "Operation not supported: only SERVER and PEER sockets "
                                           "send to routing ids beside the message")
            m.routing_id = as_routing_id(routing_id)
        elif by == FMQ_BY_ROUTING_ID and frame is not None:
            m.routing_id = frame.m.routing_id
        if group is not None:
            if by != FMQ_BY_GROUP:
                raise make_error(-ENOTSUP, "Operation not supported: only RADIO sockets send to "
                                           "groups")
            join_group(m, group_bytes(group))
        elif by == FMQ_BY_GROUP and frame is not None and frame.group_name:
            join_group(m, group_bytes(frame.group_name))
        return 0

    cdef object send_one(self, object data, int flags, bint copy, bint track, object routing_id,
                         object group, object timeout, str name):
        cdef msg m
        watched = build(&m, data, copy, track and not copy, self.threshold, name)
        try:
            if routing_id is not None or group is not None or isinstance(data, Frame):
                self.address(&m, data, routing_id, group)
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
        """Sends one part; with SNDMORE in flags more parts of the same message follow.

        data: bytes-like or a Frame. flags: DONTWAIT, SNDMORE. copy=False: a buffer of at least
        copy_threshold bytes is not copied and must not change until it is sent; track=True
        returns a MessageTracker for that. timeout: ms, instead of SNDTIMEO.
        Raises Again when no peer had room in time, ContextTerminated, ZMQError.
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
                                        <void *>data, (flags & FLAG_SNDMORE) != 0)
                if rc >= 0:
                    if flags & FLAG_SNDMORE:
                        note_begun(self.handle)
                    return None if copy else finished_tracker()
                if rc != -EBUSY and (rc != -EAGAIN or flags & FLAG_DONTWAIT):
                    fail_send(rc)
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
            if n == 1 and isinstance(msg_parts[0], Frame):
                self.address(&v[0], msg_parts[0], None, None)
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
        """Sends all messages of an iterable and returns their number.

        A message is bytes-like, or a list or tuple of parts. timeout: ms for the whole batch,
        instead of SNDTIMEO for each. If it ends early, it raises a BatchError whose `sent` counts
        the messages that were sent; an error of the iterable, or a TypeError, has the same
        attribute.
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
                        if rc != -EBUSY and (rc != -EAGAIN or flags & FLAG_DONTWAIT):
                            fail_send(rc)
                if timeout is not None:
                    left = deadline - core_now_ms() if total > 0 else total
                    limit = left if left > 0 or total < 0 else 0
                if isinstance(item, (list, tuple)):
                    if limit is None:
                        self.send_multipart(item, flags & FLAG_DONTWAIT)
                    else:
                        self.send_multipart(item, flags & FLAG_DONTWAIT, timeout=limit)
                elif self.own & OWN_SEND:
                    if limit is None:
                        self.send(item, flags & FLAG_DONTWAIT)
                    else:
                        self.send(item, flags & FLAG_DONTWAIT, timeout=limit)
                else:
                    self.send_one(item, flags & FLAG_DONTWAIT, True, False, None, None, limit,
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
        """Writes queued messages to the network now, instead of together with later ones."""
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
        cdef int total, ms, step
        if rc != -EBUSY and (rc != -EAGAIN or flags & FLAG_DONTWAIT):
            fail(rc)
        total = ms = limit_of(flags, timeout, fmq_rcvtimeo(self.s))
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
        if rc == -EAGAIN and total > 0:
            raise timed_out(False, total)
        if rc < 0:
            fail(rc)
        return rc

    def recv(self, int flags=0, bint copy=True, bint track=False, *, timeout=None):
        """Receives the next part: bytes, or with copy=False a Frame.

        flags: DONTWAIT. timeout: ms, instead of RCVTIMEO. Raises Again when nothing arrived in
        time, ContextTerminated, ZMQError.
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

        nbytes: how much of the buffer may be used, 0 for all. The rest of a longer part is lost;
        the returned length is then greater than nbytes. flags, timeout and errors as for recv.
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
        """Receives up to `max` messages that have arrived, waiting only for the first.

        Returns a list: bytes for messages of one part, lists of bytes for others. multipart=True:
        always lists; copy=False: Frames. timeout: ms, instead of RCVTIMEO. Raises Again when
        nothing arrived.
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
        """Iterates over received messages: `for parts in socket`."""
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
        """Waits until the socket is ready for one of flags (POLLIN, POLLOUT) and returns those; 0
        when timeout (ms, None: for ever) passed."""
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

    def connect_peer(self, addr):
        """PEER: connects to addr and returns the routing id of that peer. It stays valid over
        reconnections, and messages may be sent to it at once.

        ZMQError: EFAULT with IMMEDIATE set, ENOTSUP on other types, and the errors of connect."""
        cdef bytes a = address_bytes(addr)
        cdef const char *p = a
        cdef uint32_t number = 0
        cdef int rc
        if self.s is NULL:
            unusable()
        with nogil:
            rc = fmq_connect_peer(self.s, p, &number)
        if rc < 0:
            fail_detail(rc, f"addr={addr!r}")
        if rc > 0:
            warnings.warn(
                fmq_last_detail().decode("utf-8", "replace"), RuntimeWarning, stacklevel=2
            )
        return number

    def disconnect_peer(self, routing_id):
        """SERVER and PEER: ends the connection to the peer of that routing id. Messages queued for
        it are sent within LINGER; its messages that were not received are dropped.

        ZMQError: EHOSTUNREACH if there is no such peer, ENOTSUP on other types."""
        cdef uint32_t number = as_routing_id(routing_id)
        cdef int rc
        if self.s is NULL:
            unusable()
        with nogil:
            rc = fmq_disconnect_peer(self.s, number)
        if rc < 0:
            fail_detail(rc, f"routing_id={number}")

    def join(self, group):
        """DISH: receive the messages of the group (str or bytes, at most 255 bytes).

        ZMQError: EINVAL if it is too long or already joined, ENOTSUP on other types."""
        self.change_group(fmq_join, group)

    def leave(self, group):
        """DISH: stop receiving the messages of the group.

        ZMQError: EINVAL if it is not joined, ENOTSUP on other types."""
        self.change_group(fmq_leave, group)

    cdef int change_group(self, int (*call)(fmq_socket *, const void *, size_t) noexcept nogil,
                          object group) except -1:
        cdef bytes name = group_bytes(group)
        cdef const char *p = name
        cdef size_t size = <size_t>len(name)
        cdef int rc
        if self.s is NULL:
            unusable()
        with nogil:
            rc = call(self.s, p, size)
        if rc < 0:
            fail_detail(rc, f"group={group!r}")
        return 0

    def peer_state(self, peer):
        """ROUTER: the readiness of the peer with that routing id, POLLIN | POLLOUT.
        ZMQError(EHOSTUNREACH): there is no such peer."""
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
                None if stats.subscriptions < 0 else stats.subscriptions, stats.descriptors,
                stats.resent, stats.kept, stats.kept_bytes, stats.kept_given, stats.kept_dropped)

    def wait_for_subscribers(self, n=1, topic=b"", timeout=None):
        """PUB and XPUB: waits until a message with `topic` would reach at least n connected peers,
        and returns the number of such peers. RADIO: a message of the group `topic`.

        Peers with a subscription that is a prefix of topic count, once each; with an empty topic,
        all peers with any subscription. n 0: returns the current number. timeout: ms, None: for
        ever. Raises Again when there were too few in time, ContextTerminated, ZMQError.
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
            c.queued_to_recv, c.bytes_to_send, c.bytes_to_recv, c.reconnects, c.packets_lost)


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
        p.routing_id or None,
        p.connect_error or None,
        p.carrier,
        (<bytes>p.carrier_why).decode(),
        p.carrier_error,
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
