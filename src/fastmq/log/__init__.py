# SPDX-License-Identifier: MIT
"""Logging over PUB sockets: `handlers` for the sending side, `python -m fastmq.log` to watch."""
