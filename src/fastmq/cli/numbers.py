# SPDX-License-Identifier: MIT
"""Messages of SERVER and PEER as lines: each begins with the number of its peer."""

from __future__ import annotations

import json

from fastmq.cli.formats import Format, FormatError, Parts, Values


class Numbered(Format):
    """A message of one part in another format, behind its peer's number: [number, part].

    inner: how the part is written. In json and msgpack the two are an array, in raw and hex a
    delimiter stands between them. A number is decimal digits; "#2" is the second peer that
    --connect named.
    """

    def __init__(self, inner: Format) -> None:
        super().__init__(inner.delimiter, 1, True)
        self.inner = inner

    def read_line(self, line: bytes) -> Parts:
        if not isinstance(self.inner, Values):
            number, found, text = line.partition(self.delimiter)
            if not found:
                raise FormatError("it is not NUMBER, delimiter, MESSAGE")
            return [checked(number), *self.inner.read_line(text)]
        try:
            number_, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            raise FormatError("it is not an array of NUMBER and MESSAGE") from None
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return [checked(str(number_).encode()), *self.inner.read_line(text)]

    def read(self, written: Parts) -> Parts:
        if len(written) != 2:
            raise FormatError("it is not NUMBER and MESSAGE")
        return [checked(written[0]), *self.inner.read(written[1:])]

    def write(self, parts: Parts) -> bytes:
        number, part = parts
        text = self.inner.write([part])
        if isinstance(self.inner, Values):
            return b"[" + number + b"," + text + b"]"
        return number + self.delimiter + text


def checked(number: bytes) -> bytes:
    """The number as it was written, if it can be one."""
    digits = number[1:] if number[:1] == b"#" else number
    if not digits.isdigit() or not 0 < int(digits) < 2**32:
        shown = repr(number.decode("utf-8", "backslashreplace"))
        raise FormatError(f"{shown} is no number of a peer")
    return number


def resolved(number: bytes, connected: list[int]) -> int | None:
    """The routing id that is meant; None: so many peers were not connected to."""
    if number[:1] != b"#":
        return int(number)
    nth = int(number[1:])
    return connected[nth - 1] if nth <= len(connected) else None


__all__ = ["Numbered", "checked", "resolved"]
