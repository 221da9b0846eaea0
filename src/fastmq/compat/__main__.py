# SPDX-License-Identifier: MIT
"""python -m fastmq.compat: see fastmq.compat."""

from . import main

main()
