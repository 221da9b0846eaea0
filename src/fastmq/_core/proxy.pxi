# SPDX-License-Identifier: MIT
# Part of _core.pyx: the loop of proxies.


cdef fmq_socket *proxied(object sock, str name, bint optional) except? NULL:
    if sock is None and optional:
        return NULL
    if not isinstance(sock, Socket):
        raise TypeError(f"{name} must be a Socket, not {type(sock).__name__}")
    if (<Socket>sock).s is NULL:
        unusable()
    return (<Socket>sock).s


def run_proxy(frontend, backend, capture=None, control=None, bytes prefix_in=None,
              bytes prefix_out=None, bint swap_ids=False):
    """Forwards messages both ways until TERMINATE comes on control; see fastmq.proxy.

    The prefixes are first frames for the copies that go to capture. swap_ids exchanges the first
    two frames of every message.
    """
    cdef fmq_socket *f = proxied(frontend, "frontend", False)
    cdef fmq_socket *b = proxied(backend, "backend", False)
    cdef fmq_socket *cap = proxied(capture, "capture", True)
    cdef fmq_socket *ctl = proxied(control, "control", True)
    cdef fmq_proxy_state state
    cdef int rc
    memset(&state, 0, sizeof(state))
    state.swap_ids = swap_ids
    if prefix_in is not None:
        state.prefix_in.data = PyBytes_AS_STRING(prefix_in)
        state.prefix_in.size = len(prefix_in)
    if prefix_out is not None:
        state.prefix_out.data = PyBytes_AS_STRING(prefix_out)
        state.prefix_out.size = len(prefix_out)
    try:
        while True:
            with nogil:
                rc = fmq_proxy(f, b, cap, ctl, &state)
            if rc != -EINTR:
                break
            PyErr_CheckSignals()
    finally:
        fmq_proxy_end(&state)
    drain()
    if rc < 0:
        fail_send(rc)
