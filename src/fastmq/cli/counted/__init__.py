# SPDX-License-Identifier: MIT
"""What `fastmq perf lat` and `fastmq perf thr` measure: so many messages of a size.

The files are scenarios, see fastmq.cli.scenarios, whose CASES `perf` fills in; the functions that
take sockets are also the roles that meet a peer of another program.
"""
