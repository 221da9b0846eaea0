# SPDX-License-Identifier: MIT
"""CURVE certificates: key pairs in text files of ZPL, as czmq and pyzmq write and read them."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path
from typing import Union

from .. import curve_keypair

StrPath = Union[str, "os.PathLike[str]"]

_PUBLIC_NOTE = """\
#   CURVE public key, created by fastmq on {date}
#   Anyone may have it. Who gets it has to be sure that it is yours: pass it on by a way that
#   nobody else can change.

"""
_SECRET_NOTE = """\
#   CURVE secret key, created by fastmq on {date}
#   Keep it secret: anyone who has it can act as its owner.

"""


def _quoted(value: str) -> str:
    if '"' in value or "\n" in value or "\r" in value:
        raise ValueError(f"metadata must not contain quotes or line breaks: {value!r}")
    return f'"{value}"'


def _text(note: str, keys: dict[str, bytes], metadata: dict[str, str] | None) -> str:
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [note.format(date=date), "metadata\n"]
    for name, value in (metadata or {}).items():
        if not name or any(c in name for c in ' \t\r\n"=#'):
            raise ValueError(f"not a name for metadata: {name!r}")
        lines.append(f"    {name} = {_quoted(str(value))}\n")
    lines.append("curve\n")
    lines += [f'    {name} = "{key.decode()}"\n' for name, key in keys.items()]
    return "".join(lines)


def _write(path: Path, text: str, mode: int) -> None:
    """Anew, with its permissions from the first byte on: an old file's are not trusted."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)


def create_certificates(
    key_dir: StrPath, name: str, metadata: dict[str, str] | None = None
) -> tuple[str, str]:
    """Create a key pair and write it to name.key (public) and name.key_secret (both keys).

    The secret file is readable only by its owner. Returns both paths. OSError: as from the system.
    ValueError: metadata that such a file cannot hold. ZMQError(ENOTSUP): PyNaCl is not installed.
    """
    public, secret = curve_keypair()
    folder = Path(key_dir)
    public_text = _text(_PUBLIC_NOTE, {"public-key": public}, metadata)
    secret_text = _text(_SECRET_NOTE, {"public-key": public, "secret-key": secret}, metadata)
    public_path = folder / f"{name}.key"
    secret_path = folder / f"{name}.key_secret"
    _write(public_path, public_text, 0o644)
    _write(secret_path, secret_text, 0o600)
    return str(public_path), str(secret_path)


def load_certificate(filename: StrPath) -> tuple[bytes, bytes | None]:
    """The keys in a certificate file, as 40 bytes of Z85: (public, secret or None).

    FileNotFoundError: no such file. ValueError: no public key in it.
    """
    path = Path(filename)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "There is no such certificate file", str(path))
    keys: dict[str, bytes] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        name = name.strip()
        if equals and name in ("public-key", "secret-key"):
            # What is not ASCII stays longer than a key: it must not become another one.
            keys[name] = value.strip().strip("\"'").encode("ascii", "backslashreplace")
    for name, key in keys.items():
        if len(key) != 40:
            raise ValueError(f"{name} in {path} is not a key: 40 characters of Z85 are")
    if "public-key" not in keys:
        raise ValueError(f"No public key found in {path}")
    return keys["public-key"], keys.get("secret-key")


def load_certificates(directory: StrPath = ".") -> dict[bytes, bool]:
    """The public keys of all `*.key` files of a directory, as {key: True}.

    FileNotFoundError, NotADirectoryError: there is no such directory.
    ValueError: a file without a public key.
    """
    folder = Path(directory)
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "There is no such directory", str(folder))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory of certificates", str(folder))
    return {load_certificate(path)[0]: True for path in sorted(folder.glob("*.key"))}


__all__ = ["create_certificates", "load_certificate", "load_certificates"]
