# SPDX-License-Identifier: MIT
"""`python -m fastmq`."""

import sys

from fastmq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
