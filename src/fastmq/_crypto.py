# SPDX-License-Identifier: MIT
"""Where CURVE's primitives come from: libsodium, inside PyNaCl's extension module.

The engine gets the addresses of its C functions and calls them without the interpreter's lock.
"""

from __future__ import annotations

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

_library: Any = None  # keeps the functions in memory


def load() -> bool:
    """Hands libsodium to the engine if PyNaCl is installed; whether it is."""
    global _library
    if _library is not None:
        return True
    try:
        from nacl._sodium import ffi, lib
    except ImportError:
        return False
    if lib.sodium_init() < 0:
        return False
    try:
        addresses = {
            ours: int(ffi.cast("uintptr_t", ffi.addressof(lib, theirs)))
            for ours, theirs in FUNCTIONS.items()
        }
    except AttributeError:  # built against a libsodium without them
        return False
    set_crypto(addresses)
    _library = lib
    return True
