# SPDX-License-Identifier: MIT
"""The command line: `python -m fastmq`, also installed as `fastmq`."""
