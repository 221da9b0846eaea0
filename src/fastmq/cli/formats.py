# SPDX-License-Identifier: MIT
"""Messages as lines of text and back: raw, hex, json, msgpack."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastmq._extras import load
from fastmq.cli.terminal import Problem
from fastmq.utils.printable import printable, printable_json

Parts = list[bytes]

NAMES = ("raw", "json", "hex", "msgpack")


class FormatError(ValueError):
    """The text says what cannot be written or read that way."""


class Format:
    """How a message is written: `raw`, each part as it is.

    delimiter: what stands between the parts. split: at how many of them a line is split, 0: it is
    one part, -1: at all. named: the first part is a ROUTER's name of a peer.
    """

    def __init__(self, delimiter: bytes, split: int, named: bool) -> None:
        self.delimiter = delimiter
        self.split = split
        self.named = named

    def read_line(self, line: bytes) -> Parts:
        """The message that a line stands for. FormatError: it stands for none."""
        return self.read(line.split(self.delimiter, self.split))

    def read(self, written: Parts) -> Parts:
        """The message whose parts are given as they are written."""
        parts = [self._part(part) for part in written]
        if self.named:
            parts[0] = _name(written[0])
        return parts

    def write(self, parts: Parts) -> bytes:
        """The line for a message."""
        shown = [self._shown(part) for part in parts]
        if self.named and parts:
            shown[0] = shown_name(parts[0], self.delimiter)
        return self.delimiter.join(shown)

    def _part(self, written: bytes) -> bytes:
        return written

    def _shown(self, part: bytes) -> bytes:
        return part


class Screen(Format):
    """Raw on a terminal: what would move the cursor or ring a bell is shown as an escape."""

    def _shown(self, part: bytes) -> bytes:
        return printable(part, keep="\t").encode()


class Hex(Format):
    """The bytes of each part as hexadecimal digits."""

    def read(self, written: Parts) -> Parts:
        return [self._part(part) for part in written]

    def write(self, parts: Parts) -> bytes:
        return self.delimiter.join(part.hex().encode() for part in parts)

    def _part(self, written: bytes) -> bytes:
        return _from_hex(written.decode("ascii", "replace"))


class Values(Format):
    """A line of JSON for each message, whose last part is a value in some encoding.

    A message of several parts is an array: the parts before the last one are text, or
    {"hex": "00ff"} where they are not UTF-8.

    encode: the value's part, of the value and its JSON. decode: the value of a part. name: of the
    encoding.
    """

    def __init__(
        self,
        delimiter: bytes,
        split: int,
        named: bool,
        name: str,
        encode: Callable[[Any, bytes], bytes],
        decode: Callable[[bytes], Any],
    ) -> None:
        super().__init__(delimiter, split, named)
        self._name = name
        self._encode = encode
        self._decode = decode
        self.unreadable: Callable[[str], None] = lambda text: None
        """Is told of parts that are no value; they are shown as text."""

    def read_line(self, line: bytes) -> Parts:
        value = _from_json(line)
        if not self.split:
            return [self._encode(value, line.strip())]
        if not isinstance(value, list) or not value:
            raise FormatError(f"not an array of parts: {_short(line)}")
        *leading, last = value
        return [*map(_from_text, leading), self._encode(last, _to_json(last))]

    def read(self, written: Parts) -> Parts:
        *leading, last = written
        return [*leading, self._encode(_from_json(last), last.strip())]

    def write(self, parts: Parts) -> bytes:
        *leading, last = parts

        def line(value: Any) -> bytes:
            whole = [*map(_to_text, leading), value] if leading or self.split else value
            return _to_json(whole)

        try:
            return line(self._decode(last))
        except (ValueError, TypeError, RecursionError) as error:
            # Decoding takes less depth than encoding does, so either may find too much of it.
            self.unreadable(f"not {self._name}: {_short(last)} ({error})")
            return line(_to_text(last))


def make(
    name: str, delimiter: bytes, split: int = 0, named: bool = False, screen: bool = False
) -> Format:
    """The format of that name. Problem: it needs a library that is not there.

    screen: what is written goes to a terminal.
    """
    if name == "json":
        return Values(delimiter, split, named, "JSON", lambda value, text: text, _from_json)
    if name == "msgpack":
        try:
            msgpack = load("msgpack", "cli")
        except ImportError as error:
            raise Problem(str(error)) from None

        def decode(part: bytes) -> Any:
            return _plain(msgpack.unpackb(part, strict_map_key=False))

        def encode(value: Any, text: bytes) -> bytes:
            try:
                packed: bytes = msgpack.packb(value)
            except (ValueError, OverflowError) as error:
                raise FormatError(f"not for msgpack: {_short(text)} ({error})") from None
            return packed

        return Values(delimiter, split, named, "msgpack", encode, decode)
    if name == "hex":
        return Hex(delimiter, split, named)
    return (Screen if screen else Format)(delimiter, split, named)


# ---- names of peers ----


def _name(written: bytes) -> bytes:
    return _from_hex(written[2:].decode("ascii", "replace")) if written[:2] == b"0x" else written


def shown_name(name: bytes, delimiter: bytes = b"\t") -> bytes:
    """Readable names as they are; others, such as those that a ROUTER makes up, as 0x and hex."""
    readable = name.isascii() and name.decode().isprintable() and name[:2] != b"0x"
    return name if readable and delimiter not in name else b"0x" + name.hex().encode()


# ---- pieces ----


def _short(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise FormatError(f"not pairs of hexadecimal digits: {_short(text.encode())}") from None


def _from_json(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {_short(text)} ({error})") from None


def _to_json(value: Any) -> bytes:
    return printable_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def _to_text(part: bytes) -> str | dict[str, str]:
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": part.hex()}


def _from_text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and list(value) == ["hex"] and isinstance(value["hex"], str):
        return _from_hex(value["hex"])
    raise FormatError(
        f'not a part before the last one, which is text or {{"hex": "00ff"}}: '
        f"{_short(_to_json(value))}"
    )


def _plain(value: Any) -> Any:
    """What msgpack knows and JSON does not, in JSON."""
    if isinstance(value, dict):
        return {k if isinstance(k, str) else str(_plain(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
