# SPDX-License-Identifier: MIT
"""Text from a peer, escaped so that it is safe to print."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), line and paragraph separators, marks that turn the direction of
# the text around them, and halves of surrogate pairs, which no stream can encode.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(said: str | bytes, keep: str = "") -> str:
    """The text with control characters, and those that change its direction, as escapes.

    Use it before you print data from a peer (topics, texts, routing ids, addresses, errors): a
    terminal executes escape sequences, and a line break looks like a new entry in a log. Escapes
    are those of Python: `\\x1b`, `\\n`, `\\u202e`. bytes: UTF-8; invalid bytes are escaped.
    keep: characters to leave unchanged, such as "\\t".
    """
    text = said if isinstance(said, str) else said.decode("utf-8", "backslashreplace")
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def printable_json(text: str) -> str:
    """JSON with unsafe characters in its strings escaped; its meaning is the same."""
    # JSON has no C0 controls in strings; those that stand between its tokens stay.
    return _UNSAFE.sub(lambda f: f[0] if f[0] < " " else f"\\u{ord(f[0]):04x}", text)


def _escape(char: str) -> str:
    number = ord(char)
    return _SHORT.get(char) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


__all__ = ["printable", "printable_json"]
