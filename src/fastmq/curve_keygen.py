# SPDX-License-Identifier: MIT
"""New CURVE keys from the command line: `python -m fastmq curve-keygen`, or this module itself."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import curve_keypair, curve_public
from ._core import package_name
from .auth import create_certificates
from .cli.arguments import examples, with_keys
from .error import ZMQError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.description = "Create a pair of CURVE keys; print it, or write certificate files."
    examples(
        parser,
        "fastmq curve-keygen",
        "fastmq curve-keygen --dir keys server       # keys/server.key and keys/server.key_secret",
    )
    parser.add_argument(
        "name",
        nargs="?",
        help="write NAME.key and NAME.key_secret (readable only by you) instead of printing",
    )
    parser.add_argument("--dir", default=".", help="the directory of the files; created if missing")
    parser.add_argument(
        "--force", action="store_true", help="replace existing files; their keys are lost"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--secret", help="print this secret key and its public one; no new pair")


def run(options: argparse.Namespace) -> int:
    """Print a pair of keys, or write it to files; the exit status."""
    try:
        if options.name and (options.json or options.secret is not None):
            raise ValueError("--json and --secret print; NAME writes files of a new pair")
        if options.name:
            Path(options.dir).mkdir(parents=True, exist_ok=True)
            for suffix in () if options.force else ("key", "key_secret"):
                path = Path(options.dir) / f"{options.name}.{suffix}"
                if path.exists():
                    raise FileExistsError(f"{path} exists; --force replaces its keys")
            for written in create_certificates(options.dir, options.name):
                print(written)
            return 0
        if options.secret is None:
            public, secret = curve_keypair()
        else:
            secret = options.secret.encode()
            public = curve_public(secret)
    except (OSError, ValueError, ZMQError) as e:
        print(f"curve-keygen: {e}", file=sys.stderr)
        return 1
    keys = {"public": public.decode(), "secret": secret.decode()}
    if options.json:
        print(json.dumps(keys, indent=1))
    else:
        # The words that scripts written for pyzmq look for.
        print("\n\n".join(f"== CURVE {name.upper()} KEY ==\n{key}" for name, key in keys.items()))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The module as a program; the exit status."""
    parser = argparse.ArgumentParser(prog=f"python3 -m {package_name()}.curve_keygen")
    add_arguments(parser)
    words = sys.argv[1:] if arguments is None else arguments
    return run(parser.parse_args(with_keys(words)))


if __name__ == "__main__":
    sys.exit(main())
