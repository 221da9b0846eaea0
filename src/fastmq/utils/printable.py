# SPDX-License-Identifier: MIT
"""What a peer said, as text that is safe to print."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), line and paragraph separators, marks that turn the direction of
# the text around them, and halves of surrogate pairs, which no stream can encode.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(said: str | bytes, keep: str = "") -> str:
    """The text with all that a terminal obeys, or that shows it in another order, as an escape.

    A terminal obeys escape sequences, a log is read line by line: whoever prints what a peer sent
    (topics, texts, routing ids, addresses, errors) passes it through this. Characters are written
    as in Python: `\\x1b`, `\\n`, `\\u202e`. bytes: UTF-8; what is none is written so, too.
    keep: characters to leave as they are, such as "\\t".
    """
    text = said if isinstance(said, str) else said.decode("utf-8", "backslashreplace")
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def printable_json(text: str) -> str:
    """JSON without unsafe characters in its strings; it means the same."""
    # JSON has no C0 controls in strings; those that stand between its tokens stay.
    return _UNSAFE.sub(lambda f: f[0] if f[0] < " " else f"\\u{ord(f[0]):04x}", text)


def _escape(char: str) -> str:
    number = ord(char)
    return _SHORT.get(char) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


__all__ = ["printable", "printable_json"]
