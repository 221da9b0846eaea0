# SPDX-License-Identifier: MIT
"""Where CURVE's primitives come from: libsodium, inside PyNaCl's extension module.

The engine gets the addresses of its C functions and calls them without the interpreter's lock.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._core import set_crypto

# The engine's name (fmq_crypto in csrc/include/fastmq.h) and libsodium's.
FUNCTIONS = {
    "box_keypair": "crypto_box_keypair",
    "scalarmult_base": "crypto_scalarmult_base",
    "box_beforenm": "crypto_box_beforenm",
    "box_easy_afternm": "crypto_box_easy_afternm",
    "box_open_easy_afternm": "crypto_box_open_easy_afternm",
    "secretbox_easy": "crypto_secretbox_easy",
    "secretbox_open_easy": "crypto_secretbox_open_easy",
    "random": "randombytes",
}
# What its boxes are made of, which PyNaCl has no use for.
PARTS = {
    "core_hsalsa20": "crypto_core_hsalsa20",
    "stream_salsa20_xor": "crypto_stream_salsa20_xor",
    "onetimeauth_poly1305": "crypto_onetimeauth_poly1305",
    "onetimeauth_poly1305_verify": "crypto_onetimeauth_poly1305_verify",
}

_library: Any = None  # keeps the functions in memory


def load() -> bool:
    """Hands libsodium to the engine if PyNaCl is installed; whether it is."""
    global _library
    if _library is not None:
        return True
    try:
        sodium = importlib.import_module("nacl._sodium")
    except ImportError:
        return False
    ffi, lib = sodium.ffi, sodium.lib
    if lib.sodium_init() < 0:
        return False
    try:
        addresses = {
            ours: int(ffi.cast("uintptr_t", ffi.addressof(lib, theirs)))
            for ours, theirs in FUNCTIONS.items()
        }
    except AttributeError:  # built against a libsodium without them
        return False
    set_crypto({**addresses, **parts(getattr(sodium, "__file__", None))})
    _library = lib
    return True


def parts(path: str | None) -> dict[str, int]:
    """The addresses of PARTS in a shared library, or in one that it needs; none if one is hidden,
    or the library is no file: a message then costs more."""
    if not path:  # CDLL would look in the whole program
        return {}
    try:
        import ctypes  # not every Python was built with it

        library = ctypes.CDLL(path)
        return {
            ours: ctypes.cast(library[theirs], ctypes.c_void_p).value or 0
            for ours, theirs in PARTS.items()
        }
    except (ImportError, OSError, AttributeError):
        return {}
