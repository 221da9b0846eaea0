# SPDX-License-Identifier: MIT
# Part of _core.pyx: what options are called, and what is wrong with a value.


cdef object option_text(const fmq_option_info *info):
    cdef bytes name = info.name
    return name.decode()


cdef bint is_text(const fmq_option_info *info):
    return info.kind == FMQ_OPT_BYTES or info.kind == FMQ_OPT_STRING


cdef int bad_option(int rc, int option, object value) except -1:
    """Raises the error of an option, naming what is allowed if the engine did not."""
    cdef const fmq_option_info *info = fmq_option_find(option)
    cdef bytes detail = fmq_last_detail()
    if info is NULL:
        raise make_error(rc, f"Invalid argument: there is no socket option {option}")
    name = option_text(info)
    if detail:
        return fail_detail(rc, None)
    if rc != -EINVAL:
        return fail_detail(rc, name)
    if value is None:
        if not info.access & FMQ_OPT_GET:
            raise make_error(rc, f"Invalid argument: option {name} can only be set")
        raise make_error(rc, f"Invalid argument: this socket has no option {name} to read")
    if not info.access & FMQ_OPT_SET:
        raise make_error(rc, f"Invalid argument: option {name} can only be read")
    if is_text(info):
        if not info.min <= len(value) <= info.max:
            raise make_error(rc, f"Invalid argument: {name} takes {info.min} to {info.max} bytes, "
                                 f"not {len(value)}")
    elif not info.min <= value <= info.max:
        raise make_error(rc, f"Invalid argument: {name} takes {info.min} to {info.max}, "
                             f"not {int(value)}")
    raise make_error(rc, f"Invalid argument: {name} cannot be set to {value!r} on this socket")
