# SPDX-License-Identifier: MIT
"""Z85 (ZeroMQ RFC 32): four bytes as five printable characters."""

from __future__ import annotations

Z85CHARS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
"""The characters, each at the place of its value."""
Z85MAP = {character: value for value, character in enumerate(Z85CHARS)}
"""The value of each character."""


def encode(rawbytes: bytes | bytearray | memoryview) -> bytes:
    """Bytes as Z85. ValueError: their number is no multiple of 4."""
    raw = bytes(rawbytes)
    if len(raw) % 4:
        raise ValueError(f"length must be multiple of 4, not {len(raw)}")
    out = bytearray()
    for start in range(0, len(raw), 4):
        value = int.from_bytes(raw[start : start + 4], "big")
        digits = []
        for _ in range(5):
            value, digit = divmod(value, 85)
            digits.append(Z85CHARS[digit])
        out += bytes(reversed(digits))
    return bytes(out)


def decode(z85bytes: str | bytes | bytearray | memoryview) -> bytes:
    """The bytes that Z85 text stands for. ValueError: it is none."""
    if isinstance(z85bytes, str):
        try:
            text = z85bytes.encode("ascii")
        except UnicodeEncodeError:
            raise ValueError("Z85 is ASCII") from None
    else:
        text = bytes(z85bytes)
    if len(text) % 5:
        raise ValueError(f"Z85 length must be multiple of 5, not {len(text)}")
    out = bytearray()
    for start in range(0, len(text), 5):
        group = text[start : start + 5]
        value = 0
        for character in group:
            digit = Z85MAP.get(character)
            if digit is None:
                raise ValueError(f"{bytes([character])!r} is no character of Z85")
            value = value * 85 + digit
        if value >= 1 << 32:
            raise ValueError(f"{group!r} stands for more than four bytes")
        out += value.to_bytes(4, "big")
    return bytes(out)


__all__ = ["Z85CHARS", "Z85MAP", "decode", "encode"]
