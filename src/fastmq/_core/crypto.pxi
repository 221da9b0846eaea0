# SPDX-License-Identifier: MIT
# Part of _core.pyx: keys, and the functions of libsodium.


def set_crypto(addresses):
    """Gives the engine the primitives of CURVE: addresses of C functions by name (fmq_crypto); of
    the last four all, or none."""
    cdef uintptr_t in_order[12]
    cdef fmq_crypto table
    in_order[0] = addresses["box_keypair"]
    in_order[1] = addresses["scalarmult_base"]
    in_order[2] = addresses["box_beforenm"]
    in_order[3] = addresses["box_easy_afternm"]
    in_order[4] = addresses["box_open_easy_afternm"]
    in_order[5] = addresses["secretbox_easy"]
    in_order[6] = addresses["secretbox_open_easy"]
    in_order[7] = addresses["random"]
    in_order[8] = addresses.get("core_hsalsa20", 0)
    in_order[9] = addresses.get("stream_salsa20_xor", 0)
    in_order[10] = addresses.get("onetimeauth_poly1305", 0)
    in_order[11] = addresses.get("onetimeauth_poly1305_verify", 0)
    assert sizeof(table) == sizeof(in_order)
    memcpy(&table, in_order, sizeof(table))
    fmq_set_crypto(&table)


cdef bint have_crypto() except -1:
    """Whether there is CURVE: libsodium is looked for when it is first asked for."""
    if fmq_has("curve") > 0:
        return True
    from ._crypto import load
    return load()


cdef int need_crypto() except -1:
    if not have_crypto():
        raise make_error(-ENOTSUP, "Operation not supported: CURVE needs libsodium, which comes "
                                   "with PyNaCl: pip install PyNaCl")


def z85_encode(rawbytes):
    """Bytes, a multiple of four of them, as Z85 (ZeroMQ RFC 32): five characters for four bytes.

    ValueError: another length.
    """
    cdef const uint8_t[::1] view = rawbytes
    cdef size_t size = <size_t>view.shape[0]
    if size % 4:
        raise ValueError(f"length must be multiple of 4, not {size}")
    cdef bytearray out = bytearray(size // 4 * 5)
    if size:
        fmq_z85_encode(<char *>out, &view[0], size)
    return bytes(out)


def z85_decode(z85bytes):
    """The bytes that Z85 text, bytes or str, stands for: four for five characters.

    ValueError: the length is no multiple of five, a character is none of Z85, or five of them stand
    for more than four bytes can hold.
    """
    if isinstance(z85bytes, str):
        try:
            z85bytes = z85bytes.encode("ascii")
        except UnicodeEncodeError:
            raise ValueError("Z85 is made of ASCII characters") from None
    cdef const uint8_t[::1] view = z85bytes
    cdef size_t size = <size_t>view.shape[0]
    if size % 5:
        raise ValueError(f"Z85 length must be multiple of 5, not {size}")
    cdef bytearray out = bytearray(size // 5 * 4)
    if size and fmq_z85_decode(<char *>out, <const char *>&view[0], size) < 0:
        raise ValueError("not Z85: a character outside its 85, or a group above 2**32 - 1")
    return bytes(out)


def curve_keypair():
    """A new pair of CURVE keys, (public, secret), each 40 bytes of Z85.

    ZMQError(ENOTSUP): libsodium is missing: PyNaCl brings it.
    """
    cdef uint8_t public_key[32]
    cdef uint8_t secret_key[32]
    need_crypto()
    cdef int rc = fmq_curve_keypair(public_key, secret_key)
    if rc < 0:
        fail(rc)
    try:
        return z85_encode(public_key[:32]), z85_encode(secret_key[:32])
    finally:
        secret_wipe(secret_key, 32)


def curve_public(secret_key):
    """The public key that belongs to a secret one; both are 40 bytes of Z85 (str is taken, too).

    ValueError: not the Z85 form of a key. ZMQError(ENOTSUP): as for curve_keypair.
    """
    cdef uint8_t public_key[32]
    need_crypto()
    if len(secret_key) != 40:
        raise ValueError("secret key must be a 40 byte z85 encoded string")
    cdef bytes raw = z85_decode(secret_key)
    cdef int rc = fmq_curve_public(public_key, <const uint8_t *><const char *>raw)
    if rc < 0:
        fail(rc)
    return z85_encode(public_key[:32])


def option_table():
    """All rows of the option table: (id, name, is bytes, readable, settable, min, max)."""
    cdef const fmq_option_info *info
    cdef int i = 0
    cdef list rows = []
    while True:
        info = fmq_option_at(i)
        if info is NULL:
            return rows
        rows.append((info.id, option_text(info), bool(is_text(info)),
                     bool(info.access & FMQ_OPT_GET), bool(info.access & FMQ_OPT_SET),
                     info.min, info.max))
        i += 1
