# SPDX-License-Identifier: MIT
"""iceoryx2: publish-subscribe through shared memory, a service each way; who receives, spins.

What is sent is copied into a loaned sample and what is received out of one, as the scenarios send
and receive bytes. A full subscriber holds the publisher up, as in PUSH/PULL.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import uuid
from typing import Any

import _peer
import iceoryx2
from _peer import PULL, PUSH, REP, REQ, Unavailable

__all__ = ["PULL", "PUSH", "REP", "REQ", "VERSION", "Context", "can"]

VERSION = f"iceoryx2 {importlib.metadata.version('iceoryx2')}"
QUEUE = 1000  # samples, ZeroMQ's default high-water mark
FIRST_SAMPLE = 4096  # bytes; what is larger makes the publisher's memory grow
BESIDE = 1 << 20  # bytes of shared memory besides the samples
REFUSED = (
    iceoryx2.NodeCreationFailure,
    iceoryx2.PublishSubscribeOpenOrCreateError,
    iceoryx2.PublisherCreateError,
    iceoryx2.SubscriberCreateError,
)

iceoryx2.set_log_level(iceoryx2.LogLevel.Error)


def can(scenario: str, params: dict[str, Any]) -> bool:
    return _peer.can(scenario, params) and params["transport"] == "ipc"


class Socket(_peer.Socket):
    def listen(self, tcp: bool) -> str:
        name = f"fastmq-bench/{uuid.uuid4().hex}"
        self.connect(name)
        return name

    def connect(self, endpoint: str) -> None:
        try:
            self._open(endpoint)
        except REFUSED as error:
            raise Unavailable(f"iceoryx2 opens no service: {error!r}") from error

    def _open(self, name: str) -> None:
        """The services from client to server and back, of which PUSH and PULL need the first."""
        there, back = f"{name}/there", f"{name}/back"
        self._node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        if self.kind in (REQ, PUSH):
            self._publish(there)
        if self.kind in (REP, PULL):
            self._subscribe(there)
        if self.kind == REP:
            self._publish(back)
        if self.kind == REQ:
            self._subscribe(back)

    def _queue(self) -> int:
        # Samples of 1 MiB and more in a queue of 1000 would reserve gigabytes of shared memory.
        return QUEUE if self.kind in (PUSH, PULL) else 2

    def _service(self, name: str) -> Any:
        return (
            self._node.service_builder(iceoryx2.ServiceName.new(name))
            .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(self._queue())
            .max_publishers(1)
            .max_subscribers(1)
            .open_or_create()
        )

    def _publish(self, name: str) -> None:
        _peer.need_shared_memory(self._queue() * FIRST_SAMPLE + BESIDE)
        self._publisher = (
            self._service(name)
            .publisher_builder()
            .initial_max_slice_len(FIRST_SAMPLE)
            .allocation_strategy(iceoryx2.AllocationStrategy.PowerOfTwo)
            .backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )

    def _subscribe(self, name: str) -> None:
        self._subscriber = self._service(name).subscriber_builder().create()

    def send(self, data: bytes) -> None:
        size = len(data)
        sample = self._publisher.loan_slice_uninit(size)
        ctypes.memmove(sample.payload_ptr, data, size)
        sample.assume_init().send()

    def recv(self) -> bytes:
        receive = self._subscriber.receive
        while (sample := receive()) is None:
            pass
        return ctypes.string_at(sample.payload_ptr, sample.header.number_of_elements)


class Context(_peer.Context):
    kind = Socket
