# SPDX-License-Identifier: MIT
"""The scenarios that `python -m fastmq perf` measures; bench/scenarios/ holds the others.

A scenario is a file that defines

CASES
    name -> parameters, which the roles find as attributes of their `task`
METRICS
    name -> (unit, "lower" or "higher": which is better)
server(zmq, task), client(zmq, task)
    the two roles, each run in a process of its own with the module under test as `zmq`; the client
    gives the measured values by metric
solo(zmq, task)
    instead of both, for the cases whose parameters say "solo": True

and imports nothing of fastmq, because it also runs in processes that measure another module.
"""
