# SPDX-License-Identifier: MIT
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event
from types import ModuleType
from typing import (
    Any,
    Literal,
    NoReturn,
    Protocol,
    SupportsIndex,
    TypeAlias,
    overload,
    type_check_only,
)

import typing_extensions
from typing_extensions import Self, disjoint_base

from .frame import MessageTracker

# Before Python 3.12 numpy's stubs do not say that arrays have the buffer protocol.
@type_check_only
class _NumpyArray(Protocol):
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

Buffer: TypeAlias = typing_extensions.Buffer | _NumpyArray

COPY_THRESHOLD: int
__version__: str

@disjoint_base
class Frame:
    more: bool
    tracker: MessageTracker | None
    tracker_event: Event | None
    routing_id: int
    group: str
    def __init__(
        self,
        data: Buffer | None = None,
        track: bool = False,
        copy: bool | None = None,
        copy_threshold: int | None = None,
    ) -> None: ...
    @property
    def buffer(self) -> memoryview: ...
    @property
    def bytes(self) -> bytes: ...
    def get(self, option: int | str) -> int | str: ...
    def set(self, option: str, value: int | str) -> None: ...
    def fast_copy(self) -> Self: ...
    def __getitem__(self, key: int | str, /) -> int | str: ...
    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...  # type: ignore[valid-type]
    def __copy__(self) -> Self: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@disjoint_base
class Context:
    def __init__(self, io_threads: int | Context = 1, shadow: Context | int = 0) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def underlying(self) -> int: ...
    @property
    def _forked(self) -> bool: ...
    def set(self, option: int, optval: int | str) -> None: ...
    def get(self, option: int) -> int: ...
    def shutdown(self) -> None: ...
    def pending(self) -> list[tuple[int, bool, int, str]]: ...
    def _pending(self) -> list[tuple[int, bool, int, str, int]]: ...
    def alloc(self, size: int) -> memoryview: ...
    def _stats(self) -> tuple[Any, ...]: ...
    def _ending(self) -> None: ...
    def _linger(self, ms: int) -> None: ...
    def _term(self, timeout: float | None = None) -> bool: ...

@disjoint_base
class Socket:
    copy_threshold: int
    context: Any
    def __init__(
        self,
        context: Context | None = None,
        socket_type: int = -1,
        *,
        shadow: Socket | int = 0,
        copy_threshold: int | None = None,
    ) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def _closed(self) -> bool: ...
    @property
    def underlying(self) -> int: ...
    @property
    def _number(self) -> int: ...
    @property
    def _sends_by_part(self) -> bool: ...
    def _note_verbs(self) -> None: ...
    def _drop_begun(self) -> tuple[int, str]: ...
    def _close(self, linger: int | None = None) -> None: ...
    def _bind(self, addr: str | bytes) -> None: ...
    def _connect(self, addr: str | bytes) -> None: ...
    def unbind(self, addr: str | bytes) -> None: ...
    def disconnect(self, addr: str | bytes) -> None: ...
    def monitor(
        self, addr: str | bytes | None, events: int = 0xFFFF, *, version: int = 1, type: int = 0
    ) -> None: ...
    def monitor_stats(self) -> None: ...
    def set(self, option: int, optval: int | Buffer) -> None: ...
    def get(self, option: int) -> Any: ...
    @overload
    def send(
        self,
        data: Buffer | Frame,
        flags: int = ...,
        copy: bool = ...,
        *,
        track: Literal[True],
        routing_id: int | None = ...,
        group: str | None = ...,
        timeout: float | None = ...,
    ) -> MessageTracker: ...
    @overload
    def send(
        self,
        data: Buffer | Frame,
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        routing_id: int | None = ...,
        group: str | None = ...,
        *,
        timeout: float | None = ...,
    ) -> MessageTracker | None: ...
    @overload
    def send_multipart(
        self,
        msg_parts: Iterable[Buffer | Frame],
        flags: int = ...,
        *,
        copy: Literal[False],
        track: Literal[True],
        routing_id: int | None = ...,
        group: str | None = ...,
        timeout: float | None = ...,
    ) -> MessageTracker: ...
    @overload
    def send_multipart(
        self,
        msg_parts: Iterable[Buffer | Frame],
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        *,
        routing_id: int | None = ...,
        group: str | None = ...,
        timeout: float | None = ...,
    ) -> MessageTracker | None: ...
    def send_many(
        self,
        messages: Iterable[Buffer | Frame | Sequence[Buffer | Frame]],
        flags: int = 0,
        *,
        timeout: float | None = None,
    ) -> int: ...
    def flush(self) -> None: ...
    @overload
    def recv(
        self,
        flags: int = ...,
        copy: Literal[True] = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> bytes: ...
    @overload
    def recv(
        self,
        flags: int = ...,
        *,
        copy: Literal[False],
        track: bool = ...,
        timeout: float | None = ...,
    ) -> Frame: ...
    @overload
    def recv(
        self,
        flags: int,
        copy: Literal[False],
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Frame: ...
    @overload
    def recv(
        self,
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> bytes | Frame: ...
    @overload
    def recv_multipart(
        self,
        flags: int = ...,
        copy: Literal[True] = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> list[bytes]: ...
    @overload
    def recv_multipart(
        self,
        flags: int = ...,
        *,
        copy: Literal[False],
        track: bool = ...,
        timeout: float | None = ...,
    ) -> list[Frame]: ...
    @overload
    def recv_multipart(
        self,
        flags: int,
        copy: Literal[False],
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> list[Frame]: ...
    @overload
    def recv_multipart(
        self,
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> list[bytes] | list[Frame]: ...
    def recv_into(
        self,
        buffer: Buffer,
        /,
        *,
        nbytes: SupportsIndex = 0,
        flags: int = 0,
        timeout: float | None = None,
    ) -> int: ...
    @overload
    def recv_many(
        self,
        max: int = ...,
        *,
        multipart: Literal[True],
        timeout: float | None = ...,
        copy: Literal[True] = ...,
        flags: int = ...,
    ) -> list[list[bytes]]: ...
    @overload
    def recv_many(
        self,
        max: int = ...,
        *,
        multipart: Literal[True],
        copy: Literal[False],
        timeout: float | None = ...,
        flags: int = ...,
    ) -> list[list[Frame]]: ...
    @overload
    def recv_many(
        self,
        max: int = ...,
        *,
        timeout: float | None = ...,
        copy: bool = ...,
        multipart: bool = ...,
        flags: int = ...,
    ) -> list[Any]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> list[bytes]: ...
    def poll(self, timeout: float | None = None, flags: int = 1) -> int: ...
    def connect_peer(self, addr: str | bytes) -> int: ...
    def disconnect_peer(self, routing_id: int) -> None: ...
    def join(self, group: str | bytes) -> None: ...
    def leave(self, group: str | bytes) -> None: ...
    def peer_state(self, peer: Buffer) -> int: ...
    def _peers(self) -> list[tuple[Any, ...]]: ...
    def _stats(self) -> tuple[Any, ...]: ...
    def wait_for_subscribers(
        self, n: int = 1, topic: str | Buffer = b"", timeout: float | None = None
    ) -> int: ...

@disjoint_base
class AsyncSocket(Socket):
    @overload  # type: ignore[override]
    def send(  # pyright: ignore[reportOverlappingOverload]
        self,
        data: Buffer | Frame,
        flags: int = ...,
        copy: bool = ...,
        *,
        track: Literal[True],
        routing_id: int | None = ...,
        group: str | None = ...,
        timeout: float | None = ...,
    ) -> Future[MessageTracker]: ...
    @overload
    def send(
        self,
        data: Buffer | Frame,
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        routing_id: int | None = ...,
        group: str | None = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[MessageTracker | None]: ...
    @overload  # type: ignore[override]
    def send_multipart(  # pyright: ignore[reportOverlappingOverload]
        self,
        msg_parts: Iterable[Buffer | Frame],
        flags: int = ...,
        *,
        copy: Literal[False],
        track: Literal[True],
        routing_id: int | None = ...,
        group: str | None = ...,
        timeout: float | None = ...,
    ) -> Future[MessageTracker]: ...
    @overload
    def send_multipart(
        self,
        msg_parts: Iterable[Buffer | Frame],
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        *,
        routing_id: int | None = ...,
        group: str | None = ...,
        timeout: float | None = ...,
    ) -> Future[MessageTracker | None]: ...
    @overload  # type: ignore[override]
    def recv(
        self,
        flags: int = ...,
        copy: Literal[True] = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[bytes]: ...
    @overload
    def recv(
        self,
        flags: int = ...,
        *,
        copy: Literal[False],
        track: bool = ...,
        timeout: float | None = ...,
    ) -> Future[Frame]: ...
    @overload
    def recv(
        self,
        flags: int,
        copy: Literal[False],
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[Frame]: ...
    @overload
    def recv(
        self,
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[bytes] | Future[Frame]: ...
    @overload  # type: ignore[override]
    def recv_multipart(
        self,
        flags: int = ...,
        copy: Literal[True] = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[list[bytes]]: ...
    @overload
    def recv_multipart(
        self,
        flags: int = ...,
        *,
        copy: Literal[False],
        track: bool = ...,
        timeout: float | None = ...,
    ) -> Future[list[Frame]]: ...
    @overload
    def recv_multipart(
        self,
        flags: int,
        copy: Literal[False],
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[list[Frame]]: ...
    @overload
    def recv_multipart(
        self,
        flags: int = ...,
        copy: bool = ...,
        track: bool = ...,
        *,
        timeout: float | None = ...,
    ) -> Future[list[bytes]] | Future[list[Frame]]: ...
    def recv_into(  # type: ignore[override]
        self,
        buffer: Buffer,
        /,
        *,
        nbytes: SupportsIndex = 0,
        flags: int = 0,
        timeout: float | None = None,
    ) -> Future[int]: ...
    @overload  # type: ignore[override]
    def recv_many(
        self,
        max: int = ...,
        *,
        multipart: Literal[True],
        timeout: float | None = ...,
        copy: Literal[True] = ...,
        flags: int = ...,
    ) -> Future[list[list[bytes]]]: ...
    @overload
    def recv_many(
        self,
        max: int = ...,
        *,
        timeout: float | None = ...,
        copy: bool = ...,
        multipart: bool = ...,
        flags: int = ...,
    ) -> Future[list[Any]]: ...
    def __iter__(self) -> NoReturn: ...
    def __next__(self) -> NoReturn: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[list[bytes]]: ...
    def _send_batch(
        self, source: Iterator[Any]
    ) -> tuple[int, tuple[Any] | None, Exception | None, bool]: ...
    def _may_complete(self) -> bool: ...
    def _spins(self) -> tuple[int, int]: ...
    def poll(  # type: ignore[override]
        self, timeout: float | None = None, flags: int = 1
    ) -> Future[int]: ...
    def _first_use(self) -> None: ...
    def _end_waits(self) -> None: ...

@disjoint_base
class PollSet:
    def __init__(self) -> None: ...
    def add(self, key: Any, events: int) -> None: ...
    def modify(self, key: Any, events: int) -> None: ...
    def remove(self, key: Any) -> None: ...
    def wait(self, timeout: float | None = None) -> list[tuple[Any, int]]: ...

def run_proxy(
    frontend: Socket,
    backend: Socket,
    capture: Socket | None = None,
    control: Socket | None = None,
    prefix_in: bytes | None = None,
    prefix_out: bytes | None = None,
    swap_ids: bool = False,
) -> None: ...
def wait_released(timeout_ms: int) -> None: ...
def orphans_sending() -> bool: ...
def is_exiting() -> bool: ...
def at_exit() -> None: ...
def set_asyncio(names: dict[str, Any]) -> None: ...
def turn_number() -> int: ...
def turn_spun() -> int: ...
def turn_passed(number: int) -> None: ...
def passing(loop: AbstractEventLoop, value: Any) -> Future[Any]: ...
def set_errors(module: ModuleType) -> None: ...
def set_library_verbs(cls: type[Any]) -> None: ...
def set_trackers(cls: type[MessageTracker], finished: MessageTracker) -> None: ...
def orphans_pending() -> list[tuple[int, bool, int, str, int]]: ...
def poll_later(socket: Socket, flags: int, future: Any, loop: Any) -> None: ...
def poll_no_more(
    socket: Socket, flags: int, future: Any, loop: Any, leave: bool = False
) -> None: ...
def poll_end(socket: Socket) -> None: ...
async def load_later(awaitable: Any, load: Callable[[Any], Any]) -> Any: ...
def load_into(future: Future[Any], load: Callable[[Any], Any]) -> Future[Any]: ...
def whole(value: Any, name: str) -> int: ...
def strerror(errno: int) -> str: ...
def zmq_errno() -> int: ...
def has(capability: str) -> bool: ...
def package_name() -> str: ...
def set_package_name(name: str) -> None: ...
def shown_class(cls: type) -> str: ...
def carrier_reason(number: int) -> str | None: ...
def poller_name() -> str: ...
def inspect_serve() -> str: ...
def inspect_path() -> str: ...
def inspect_stop() -> None: ...
def snapshot(query: str) -> bytes: ...
def open_fds() -> int: ...
def live_blocks() -> int: ...
def set_crypto(addresses: dict[str, int]) -> None: ...
def z85_encode(rawbytes: Buffer) -> bytes: ...
def z85_decode(z85bytes: str | Buffer) -> bytes: ...
def curve_keypair() -> tuple[bytes, bytes]: ...
def curve_public(secret_key: str | bytes) -> bytes: ...
def option_table() -> list[tuple[int, str, bool, bool, bool, int, int]]: ...
