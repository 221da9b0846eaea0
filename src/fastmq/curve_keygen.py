# SPDX-License-Identifier: MIT
"""A pair of CURVE keys: python -m fastmq.curve_keygen [--json] [--secret SECRET]"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from . import curve_keypair, curve_public
from .error import ZMQError


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fastmq.curve_keygen",
        description="Prints a new pair of CURVE keys in Z85.",
    )
    parser.add_argument("--json", action="store_true", help="as an object of JSON")
    parser.add_argument("--secret", help="the public key of this secret one instead of a new pair")
    args = parser.parse_args(argv)
    try:
        if args.secret is None:
            public, secret = curve_keypair()
        else:
            secret = args.secret.encode("utf-8")
            public = curve_public(secret)
    except (ZMQError, ValueError) as e:
        print(f"python -m fastmq.curve_keygen: {e}", file=sys.stderr)
        return 1
    keys = {"public": public.decode("ascii"), "secret": secret.decode("ascii")}
    if args.json:
        print(json.dumps(keys, indent=1))
    else:
        print("\n\n".join(f"== CURVE {n.upper()} KEY ==\n{key}" for n, key in keys.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
