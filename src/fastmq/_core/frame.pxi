# SPDX-License-Identifier: MIT
# Part of _core.pyx: messages: what goes into the engine and what comes out; Frame.


cdef object copy_bytes(msg *m):
    """A copy of the message's bytes."""
    cdef size_t size = msg_size(m)
    if size < PAGES_LARGE:
        return PyBytes_FromStringAndSize(<const char *>msg_data(m), <Py_ssize_t>size)
    cdef object copied = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    pages_fill_soon(PyBytes_AS_STRING(copied), size)
    memcpy(PyBytes_AS_STRING(copied), msg_data(m), size)
    return copied


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
        return copy_bytes(m)
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
    if track:
        msg_watch(m)
    Py_INCREF(h)
    return h.event


cdef uint32_t as_routing_id(object value) except? 0:
    if not isinstance(value, int):
        raise TypeError(f"routing_id must be int, not {type(value).__name__}")
    if not 0 < value < 2**32:
        raise make_error(-EINVAL, f"routing_id must be between 1 and 4294967295, not {value}")
    return <uint32_t>value


cdef bytes group_bytes(object name):
    """A group's name as it is on the wire. Bytes that are no UTF-8 come and go as surrogates."""
    if isinstance(name, str):
        name = name.encode("utf-8", "surrogateescape")
    elif not isinstance(name, bytes):
        raise TypeError(f"group must be str or bytes, not {type(name).__name__}")
    if len(name) > GROUP_MAX:
        raise make_error(-EINVAL, f"group must have at most {GROUP_MAX} bytes, not {len(name)}")
    return name


cdef str group_text(bytes name):
    return name.decode("utf-8", "surrogateescape")


cdef int join_group(msg *m, bytes name) except -1:
    cdef int rc = msg_join_group(m, PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name))
    if rc < 0:
        fail(rc)
    return 0


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
        # Large bodies may be copied for peers of the host, once for all that this call sends to.
        if msg_size(&frame.m) < MSG_LARGE:
            rc = msg_dup(m, &frame.m)
        else:
            rc = msg_dup_apart(m, &frame.m)
        if rc < 0:
            fail(rc)
        m.flags = 0
        m.routing_id = 0  # Socket.address has it, where it counts
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
    """One part of a message, with its memory and the properties of its connection.

    data: bytes-like; kept by reference if copy is False, or by default if it has at least
        copy_threshold bytes. track: .tracker is then done when the memory may be used again.
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
                              <Py_ssize_t>msg_size(&self.m), not msg_expose(&self.m), flags)
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
        """A memoryview of the content, which keeps the frame alive; the same one while it exists.
        Writable if the memory is not shared, as over tcp and ipc; read-only for bytes objects,
        messages over inproc and copies of a frame."""
        with cython.critical_section(self):
            found = self.view() if self.view is not None else None
            if found is None:
                found = memoryview(self)
                self.view = weak_reference(found)
            return found

    @property
    def bytes(self):
        """The content as bytes: copied at the first access, the same object afterwards."""
        with cython.critical_section(self):
            if self.content is None:
                self.content = copy_bytes(&self.m)
            return self.content

    @property
    def routing_id(self):
        """The number of the peer, on SERVER and PEER sockets; 0 otherwise."""
        return self.m.routing_id

    @routing_id.setter
    def routing_id(self, value):
        self.set("routing_id", value)

    @property
    def group(self):
        """The group of a RADIO or DISH message; empty otherwise."""
        return self.group_name or ""

    @group.setter
    def group(self, value):
        self.set("group", value)

    def get(self, option):
        """The value of a MessageOption, or by name: a property of the frame's connection
        ("Peer-Address", "Socket-Type", "User-Id", "Routing-Id", "X-...") as str, "routing_id"
        or "group". ZMQError(EINVAL): there is no such property."""
        cdef const uint8_t *value = NULL
        cdef size_t size = 0
        if isinstance(option, int):
            if option == MESSAGE_MORE:
                return int(self.more)
            if option == MESSAGE_SRCFD:
                return -1
            if option == MESSAGE_SHARED:
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
        """Sets "routing_id" (int, 1 to 4294967295) or "group" (str or bytes, at most 255 bytes),
        to which SERVER and PEER, or RADIO, send the frame."""
        if option == "routing_id":
            self.m.routing_id = as_routing_id(value)
        elif option == "group":
            self.group_name = group_text(group_bytes(value))
        else:
            raise make_error(-EINVAL, f"{option!r} of a frame cannot be set")

    def __getitem__(self, key):
        return self.get(key)

    def __reduce__(self):
        raise TypeError("a Frame cannot be pickled: send its bytes")


cdef Frame take_frame(msg *m, meta *props, bint track):
    """The message as a Frame; message and metadata reference are consumed."""
    cdef Frame frame
    cdef const uint8_t *name
    cdef size_t size
    cdef int rc = msg_detach(m)
    if rc < 0:
        msg_drop(m)
        meta_unref(props)
        fail(rc)
    frame = Frame.__new__(Frame)
    if m.kind == MSG_GROUPED:
        name = msg_group(m, &size)
        try:
            frame.group_name = group_text(
                PyBytes_FromStringAndSize(<const char *>name, <Py_ssize_t>size))
        finally:
            msg_leave_group(m)
    frame.m = m[0]
    frame.props = props
    frame.more = (m.flags & PART_MORE) != 0
    if track:
        frame.tracker = finished_tracker()
    return frame
