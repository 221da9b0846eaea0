# SPDX-License-Identifier: MIT
"""Agents of osBrain, processes of their own, push, publish and ask each other."""

import os
import tempfile
import time

# Where its agents have their ipc endpoints: a path in a test's directory would be too long.
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp()

import osbrain
import Pyro4
import zmq
from osbrain import run_agent, run_nameserver

COUNT = 20


def keep(agent, message):
    agent.kept.append(message)


def answer(agent, message):
    return f"{agent.name} got {message}"


def zmq_module(agent):
    return type(agent._context).__module__.partition(".")[0]


def main() -> None:
    osbrain.config["LINGER"] = 5.0
    # The answers to broadcasts, which nobody here asks with, stay on this machine.
    Pyro4.config.NS_BCHOST, Pyro4.config.NS_BCPORT = "127.0.0.1", 0
    server = run_nameserver()
    try:
        talk()
    finally:
        server.shutdown(timeout=30)


def talk() -> None:
    alice = run_agent("alice")
    bob = run_agent("bob")
    bob.set_attr(kept=[])
    alice.connect(bob.bind("PULL", handler=keep), alias="push")
    alice.connect(bob.bind("REP", handler=answer), alias="ask")
    news = alice.bind("PUB", alias="news")
    bob.connect(news, handler=keep)
    for number in range(COUNT):
        alice.send("push", number)
    alice.send("ask", "hello")
    assert alice.recv("ask") == "bob got hello"

    def kept(wanted: object, timeout: float = 30) -> bool:
        end = time.monotonic() + timeout
        while wanted not in bob.get_attr("kept"):
            if time.monotonic() > end:
                return False
            alice.send("news", "the news")  # what comes before the subscription is lost
            time.sleep(0.02)
        return True

    assert kept("the news")
    assert kept(COUNT - 1)
    pushed = [one for one in bob.get_attr("kept") if one != "the news"]
    assert pushed == list(range(COUNT)), pushed
    alice.set_method(zmq_module)
    module = alice.zmq_module()
    alice.close_all(linger=0.0)
    print(zmq.__name__, module, len(pushed))


if __name__ == "__main__":
    main()
