# SPDX-License-Identifier: MIT
"""A zprocess.Process talks with its child, which runs in an interpreter of its own."""

import zmq
from zprocess import Process, ProcessTree


class Adder(Process):
    """Answers with the sum of what it gets, and the name of its zmq."""

    def run(self) -> None:
        while True:
            numbers = self.from_parent.get(timeout=20)
            if not numbers:
                break
            self.to_parent.put((sum(numbers), zmq.__name__))


def main() -> None:
    tree = ProcessTree(allow_insecure=True)
    child = Adder(tree)
    to_child, from_child = child.start()
    for count in range(20):
        to_child.put(list(range(count + 1)))
        total, name = from_child.get(timeout=20)
        assert total == count * (count + 1) // 2, total
    to_child.put([])
    child.child.wait(20)
    print(zmq.__name__, name, child.child.returncode)


if __name__ == "__main__":
    main()
