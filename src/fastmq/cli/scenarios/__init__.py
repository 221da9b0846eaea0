# SPDX-License-Identifier: MIT
"""The scenarios that `fastmq perf suite` measures; bench/scenarios/ holds the others.

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
SWEEP, if it is there
    the parameter that grows from case to case. A sweep takes long: it is measured when its scenario
    is named, or with bench/run.py --growth

A case whose parameters say "beside": [[program, argument...]...] is run by bench/run.py with those
programs of bench/c/ beside, which get the seconds as their last argument and print JSON.

and imports nothing of fastmq, because it also runs in processes that measure another module.
"""
