# SPDX-License-Identifier: MIT
"""Random programs of sockets in event loops, each drawn from a seed, and what must hold for all.

    python -m tests.random_loops --seeds 500            many programs, in worker processes
    python -m tests.random_loops --seed 17 --verbose    one of them again, step by step

plan.py draws a program: sockets, who sends and receives how, what is closed, how it ends. world.py
runs one in a kind of loop (kinds.py) with its tasks (tasks.py), threads and streams (others.py)
and checks it. ledger.py knows which messages must have come where, levels.py what must be back
where it was, idle.py what a quiet loop may cost. driver.py shares seeds out among processes, since
a program may crash or hang one. faults.py breaks sockets on purpose, so that tests can show that
each check finds its fault. script.py draws what differential.py compares with pyzmq.

The seed decides what a program does, not how the system schedules it: a fault that depends on
timing may take several runs of the same seed to come back (--repeat).
"""
