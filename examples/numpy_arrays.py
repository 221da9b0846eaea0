#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""numpy arrays from process to process without a copy in Python.

    pip install numpy
    python examples/numpy_arrays.py

An array goes out as two parts: what it is (dtype and shape, as JSON) and its memory, which the
kernel reads where it lies. The receiver looks at the received memory as an array, or has it put
into an array that it already has.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

import fastmq as zmq


def send_array(socket: Any, array: np.ndarray, flags: int = 0) -> zmq.MessageTracker:
    """Sends an array without copying it. Do not change it before the tracker is done."""
    array = np.ascontiguousarray(array)
    header = json.dumps({"dtype": array.dtype.str, "shape": array.shape}).encode()
    socket.send(header, flags | zmq.SNDMORE)
    tracker: zmq.MessageTracker = socket.send(array, flags, copy=False, track=True)
    return tracker


def recv_array(socket: Any) -> np.ndarray:
    """Receives an array: a view of the message's memory, which it keeps."""
    header = json.loads(socket.recv())
    frame = socket.recv(copy=False)
    array: np.ndarray = np.frombuffer(frame.buffer, dtype=header["dtype"]).reshape(header["shape"])
    return array


def recv_array_into(socket: Any, array: np.ndarray) -> None:
    """Receives an array into one of the same shape and dtype, which needs no new memory."""
    header = json.loads(socket.recv())
    if (header["dtype"], tuple(header["shape"])) != (array.dtype.str, array.shape):
        raise ValueError(f"{header} came, room is for {array.dtype.str} {array.shape}")
    socket.recv_into(array)


def double(address: str) -> None:
    """The other process: sends back twice each array, computed in place of one it keeps."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as pair:
        pair.connect(address)
        kept: dict[tuple[int, ...], np.ndarray] = {}
        while True:
            array = recv_array(pair)
            if not array.size:
                return
            out = kept.setdefault(array.shape, np.empty_like(array))
            np.multiply(array, 2, out=out)
            send_array(pair, out).wait()


def main() -> None:
    rounds = 50
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        with context.socket(zmq.PAIR) as pair:
            pair.bind(f"ipc://{folder}/arrays")
            child = subprocess.Popen([sys.executable, __file__, f"ipc://{folder}/arrays"])
            image = np.arange(1024 * 1024, dtype=np.float32).reshape(1024, 1024)
            send_array(pair, image)
            twice = recv_array(pair)
            assert np.array_equal(twice, image * 2)
            assert not twice.flags.owndata
            print("a view of the message:", twice.dtype, twice.shape)

            result = np.empty_like(image)
            start = time.perf_counter()
            for _ in range(rounds):
                send_array(pair, image)
                recv_array_into(pair, result)
            took = time.perf_counter() - start
            assert np.array_equal(result, twice)
            rate = 2 * rounds * image.nbytes / took / 1e9
            print(
                f"into an array that is there: {rounds} rounds of 4 MiB, {rate:.1f} GB/s both ways"
            )
            send_array(pair, np.empty(0))
            child.wait(10)


if __name__ == "__main__":
    double(sys.argv[1]) if len(sys.argv) > 1 else main()
