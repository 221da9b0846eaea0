# SPDX-License-Identifier: MIT
# Part of _core.pyx: what concerns the library as a whole.


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


def carrier_reason(number):
    """Why a connection is not in shared memory, in words: the low half of a LINK event's value. ""
    for 0, None for no such number."""
    cdef const char *text = fmq_carrier_reason(number)
    return None if text is NULL else (<bytes>text).decode()


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


def inspect_serve():
    """Opens the window into this process: its path."""
    cdef int rc
    with nogil:
        rc = fmq_inspect_serve()
    if rc < 0:
        fail_detail(rc, "inspect")
        fail_about(rc, "inspect")
    return inspect_path()


def inspect_path():
    """Where the window is; "" while there is none."""
    cdef char path[104]
    fmq_inspect_path(path)
    return os.fsdecode(<bytes>path)


def inspect_stop():
    """Closes the window."""
    with nogil:
        fmq_inspect_stop()


def snapshot(str query not None):
    """What the window would answer to the line `query`, as JSON."""
    cdef bytes line = query.encode()
    cdef const char *c = line
    cdef char *text = NULL
    cdef size_t size = 0
    cdef int rc
    with nogil:
        rc = fmq_snapshot(c, &text, &size)
    if rc < 0:
        fail_about(rc, f"snapshot {query!r}")
    try:
        return text[:size]
    finally:
        fmq_snapshot_free(text)


def open_fds():
    """Descriptors that the engine holds now."""
    return fmq_open_fds()


def live_blocks():
    """Allocations of the engine that are alive; 0 unless built with FASTMQ_DEBUG."""
    return fmq_live_blocks()
