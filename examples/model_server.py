#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A front end for a model: tensors come in and go out without copies, requests are batched.

    pip install numpy
    python examples/model_server.py

A model answers 32 questions at once in little more time than one. The server takes what has come
(recv_many, up to MAX_BATCH), computes once, and sends each client its slice of the result: the
slices are sent where they lie, since nobody changes the result any more. The model here is two
matrix products; a real one (torch, onnxruntime) takes the place of `Model`.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

import fastmq as zmq

FEATURES, CLASSES, MAX_BATCH = 256, 16, 32
ADDRESS = "tcp://127.0.0.1:*"


class Model:
    """Anything that maps (n, FEATURES) to (n, CLASSES)."""

    def __init__(self) -> None:
        weights = np.random.default_rng(1)
        self.first = weights.standard_normal((FEATURES, 512), dtype=np.float32)
        self.second = weights.standard_normal((512, CLASSES), dtype=np.float32)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return np.maximum(batch @ self.first, 0) @ self.second


def serve(router: Any, model: Model, batches: list[int]) -> None:
    """Answers [client, request number, tensor] with [client, request number, tensor] until the
    socket is closed."""
    inputs = np.empty((MAX_BATCH, FEATURES), dtype=np.float32)
    while True:
        try:
            requests = router.recv_many(MAX_BATCH, copy=False, multipart=True)
        except zmq.ZMQError:
            return
        envelopes: list[tuple[Any, Any]] = []
        for client, *request in requests:
            if len(request) != 2:
                continue  # nobody who wants an answer sends that
            number, tensor = request
            if len(tensor) != inputs[0].nbytes:  # it would spoil the others' batch
                router.send_multipart([client, number, b""])
                continue
            inputs[len(envelopes)] = np.frombuffer(tensor.buffer, dtype=np.float32)
            envelopes.append((client, number))
        if not envelopes:
            continue
        outputs = model(inputs[: len(envelopes)])
        batches.append(len(envelopes))
        for (client, number), output in zip(envelopes, outputs, strict=True):
            router.send_multipart([client, number, output], copy=False)


class Client:
    """Keeps several requests under way."""

    def __init__(self, context: zmq.Context[Any], address: str, in_flight: int = 16) -> None:
        self.dealer = context.socket(zmq.DEALER)
        self.dealer.connect(address)
        self.in_flight = in_flight

    def classify(self, tensors: np.ndarray) -> np.ndarray:
        """A row of results a row of `tensors`."""
        results = np.empty((len(tensors), CLASSES), dtype=np.float32)
        sent = 0
        for received in range(len(tensors)):
            while sent < len(tensors) and sent - received < self.in_flight:
                self.dealer.send_multipart([b"%d" % sent, tensors[sent]], copy=False)
                sent += 1
            number, output = self.dealer.recv_multipart(copy=False, timeout=10_000)
            if not len(output):
                raise ValueError(f"the server refused row {int(number.bytes)}")
            results[int(number.bytes)] = np.frombuffer(output.buffer, dtype=np.float32)
        return results


def main() -> None:
    clients, rows = 4, 500
    model = Model()
    batches: list[int] = []
    tensors = np.random.default_rng(2).standard_normal((clients, rows, FEATURES), dtype=np.float32)
    results = np.empty((clients, rows, CLASSES), dtype=np.float32)
    with zmq.Context() as context:
        router = context.socket(zmq.ROUTER)
        router.bind(ADDRESS)
        address = router.last_endpoint.rstrip(b"\0").decode()
        server = threading.Thread(target=serve, args=(router, model, batches))
        server.start()

        def ask(n: int) -> None:
            client = Client(context, address)
            results[n] = client.classify(tensors[n])
            client.dealer.close()

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - start
        router.close()
        server.join()
    assert np.allclose(
        results, model(tensors.reshape(-1, FEATURES)).reshape(results.shape), atol=1e-2
    )
    assert sum(batches) == clients * rows
    print(f"{sum(batches)} answers in {len(batches)} batches", end=", ")
    print(f"{sum(batches) / took:,.0f} a second from {clients} clients, all as computed alone")


if __name__ == "__main__":
    main()
