# SPDX-License-Identifier: MIT
"""Sockets: the conveniences above `_core.Socket`, and one class a socket type."""

from __future__ import annotations

import errno
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from . import _core
from ._attributes import is_annotated, plain, unknown_option
from .constants import Event, SocketOption, SocketType
from .error import ZMQBindError, ZMQError
from .options import SocketOptions
from .poll import Poller

if TYPE_CHECKING:
    from typing_extensions import Self
    from typing_extensions import TypeVar as _DefaultTypeVar

    from ._core import Buffer
    from .context import Context
    from .frame import Frame, MessageTracker
    from .stats import Peer, SocketStats

    # What recv returns: Socket[bytes] receives at once, Socket[Future[Any]] later.
    _ReturnT = _DefaultTypeVar("_ReturnT", default=Any, covariant=True)
else:
    _ReturnT = TypeVar("_ReturnT", covariant=True)

_T = TypeVar("_T")
_SocketT = TypeVar("_SocketT", bound="Socket[Any]")

_monitor_numbers = itertools.count(1)
# What send takes by keyword, as against the arguments of a serializer.
# pickle.DEFAULT_PROTOCOL, which is imported when it is needed, as json is.
_PICKLE_PROTOCOL = 5 if sys.version_info >= (3, 14) else 4
_SEND_KEYWORDS = ("copy", "track", "routing_id", "group", "timeout")


# What other verbs stand on: they call the object's own where it has one.
_BUILT_UPON = frozenset(("send", "recv", "send_multipart", "recv_multipart", "_poller_class"))


class _SocketContext(Generic[_SocketT]):
    """What bind and connect return: a with statement undoes them at its end."""

    def __init__(self, socket: _SocketT, kind: str, addr: str) -> None:
        self.socket = socket
        self.kind = kind
        self.addr = addr

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.kind}={self.addr!r})>"

    def __enter__(self) -> _SocketT:
        return self.socket

    def __exit__(self, *args: object) -> None:
        if self.socket.closed:
            return
        undo = self.socket.unbind if self.kind == "bind" else self.socket.disconnect
        undo(self.addr)


class Socket(_core.Socket, SocketOptions, Generic[_ReturnT]):
    """A socket of any type. Context.socket creates one of the class of its type.

    ctx_or_socket: the Context, or another socket whose handle is shared. socket_type: a SocketType.
    copy_threshold: with copy=False, buffers of at least this many bytes are kept instead of copied.
    Other keywords are options: Socket(ctx, fastmq.REQ, linger=0).

    Several threads may use a socket at the same time: messages of several senders are never mixed,
    and each receiver gets whole messages. A with statement closes the socket at its end. A for
    statement receives until the socket is closed or its context ends.
    """

    _type: ClassVar[int | None] = None
    _shadow: bool = False
    _shadow_obj: Any = None
    _monitor_socket: Any = None
    _poller_class: Any = Poller

    def __init__(
        self,
        ctx_or_socket: Context[Any] | Socket[Any] | None = None,
        socket_type: int | None = None,
        *,
        shadow: Socket[Any] | int = 0,
        copy_threshold: int | None = None,
        **options: Any,
    ) -> None:
        if isinstance(ctx_or_socket, _core.Socket):
            shadow, ctx_or_socket = ctx_or_socket, None
        own = type(self)._type
        if socket_type is None:
            socket_type = int(SocketType.PAIR) if own is None else own
        elif own is not None and socket_type != own and not shadow:
            raise ValueError(
                f"{type(self).__name__} is of type {SocketType(own).name}, not {socket_type!r}"
            )
        if ctx_or_socket is None and not shadow:
            if own is None:
                raise TypeError("context must be specified")
            from .context import Context

            ctx_or_socket = Context.instance()
        super().__init__(ctx_or_socket, socket_type, shadow=shadow, copy_threshold=copy_threshold)
        if shadow:
            self._shadow = True
            self._shadow_obj = shadow
            return
        context: Any = ctx_or_socket  # not self.context: a subclass may have another
        context._add_socket(self)
        if context.sockopts or options:
            try:
                context._apply_defaults(self, options)
            except BaseException:
                self.close(0)
                raise

    # -- life --

    def __del__(self) -> None:
        if self._shadow or self.closed:
            return
        warnings.warn(f"Unclosed socket {self!r}", ResourceWarning, stacklevel=2, source=self)
        if not _core.is_exiting():
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __copy__(self, memo: Any = None) -> Self:
        return type(self).shadow(self)

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        name = _core.shown_class(type(self))
        kind = (
            f"{_core.package_name()}.{SocketType(self._number).name}" if self._number >= 0 else ""
        )
        return f"<{name}({kind}) at {hex(id(self))}{' closed' if self.closed else ''}>"

    @classmethod
    def shadow(cls, address: int | Socket[Any]) -> Self:
        """A socket over the handle of another one; closing either closes both."""
        return cls(shadow=address)

    def close(self, linger: int | None = None) -> None:
        """Closes the socket. Queued messages are sent in the background for at most LINGER ms, or
        `linger` ms if given. Calls of other threads raise ZMQError(ENOTSOCK). It may be called more
        than once."""
        self._close(linger)
        forget = getattr(self.context, "_rm_socket", None)  # it may be anything by now
        if forget is not None:
            forget(self)

    # -- endpoints --

    def bind(self: _SocketT, addr: str | bytes) -> _SocketContext[_SocketT]:
        """Listens at an endpoint (`tcp://*:5555`, `ipc:///tmp/x`, `inproc://name`). With `*` as
        port the system chooses one, which LAST_ENDPOINT holds. The result can be used in a with
        statement, which unbinds. ZMQError: EADDRINUSE, EADDRNOTAVAIL, EINVAL, EPROTONOSUPPORT ...;
        the text names the address."""
        self._bind(addr)
        return _SocketContext(self, "bind", os.fsdecode(self.get(SocketOption.LAST_ENDPOINT)))

    def connect(self: _SocketT, addr: str | bytes) -> _SocketContext[_SocketT]:
        """Connects to an endpoint in the background, and reconnects when the connection is lost.
        The result can be used in a with statement, which disconnects. ZMQError: EINVAL,
        EPROTONOSUPPORT ..."""
        self._connect(addr)
        return _SocketContext(self, "connect", addr if isinstance(addr, str) else os.fsdecode(addr))

    def bind_to_random_port(
        self, addr: str | bytes, min_port: int = 49152, max_port: int = 65536, max_tries: int = 100
    ) -> int:
        """Binds to a free port of the range (which excludes max_port) and returns it.

        addr: `tcp://interface`, without a port. With inproc and ipc the number is appended to the
        name: `inproc://name:50123`. ZMQBindError: max_tries ports were in use.
        """
        if isinstance(addr, bytes):
            addr = addr.decode()
        has_ports = not addr.startswith(("ipc:", "inproc:"))
        if has_ports and (min_port, max_port) == (49152, 65536):
            self.bind(f"{addr}:*")
            return int(self.get(SocketOption.LAST_ENDPOINT).decode().rstrip("/").rpartition(":")[2])
        from random import randrange

        for _ in range(max_tries):
            port = randrange(int(min_port), int(max_port))
            try:
                self.bind(f"{addr}:{port}")
            except ZMQError as e:
                if e.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                return port
        raise ZMQBindError(f"no free port at {addr} in {max_tries} tries")

    # -- options --

    @plain
    def type(self) -> SocketType:
        """The socket's type."""
        return SocketType(self._number)

    TYPE = type

    @property
    def socket_type(self) -> int:
        """Deprecated name of `type`."""
        warnings.warn("Socket.socket_type is now Socket.type", DeprecationWarning, stacklevel=2)
        return self.type

    @property
    def fd(self) -> int:
        """The socket's descriptor; when it is readable, read EVENTS."""
        return int(self.get(SocketOption.FD))

    FD = fd

    def fileno(self) -> int:
        """The socket's descriptor, for event loops."""
        return int(self.get(SocketOption.FD))

    setsockopt = _core.Socket.set
    getsockopt = _core.Socket.get

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _BUILT_UPON:
            object.__setattr__(self, name, value)
            self._note_verbs()
        elif name in ("subscribe", "unsubscribe"):
            getattr(self, name)(value)
        elif name.startswith("_") or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        elif name.upper() in SocketOption.__members__:
            object.__setattr__(self, name.lower(), value)
        elif is_annotated(type(self), name):
            object.__setattr__(self, name, value)
        else:
            raise unknown_option("Socket", name, SocketOption.__members__)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *SocketOption.__members__})

    def set_string(self, option: int, optval: str, encoding: str = "utf-8") -> None:
        """Sets an option of type bytes from a str."""
        if not isinstance(optval, str):
            raise TypeError(f"optval must be str, not {optval.__class__.__name__}: {optval!r}")
        self.set(option, optval.encode(encoding))

    def get_string(self, option: int, encoding: str = "utf-8") -> str:
        """The value of an option of type bytes, as str."""
        value = self.get(option)
        if not isinstance(value, bytes):
            raise TypeError(f"option {option!r} is not a string: its value is {value!r}")
        return value.decode(encoding)

    setsockopt_string = setsockopt_unicode = set_string
    getsockopt_string = getsockopt_unicode = get_string

    def get_hwm(self) -> int:
        """The high-water mark for sending."""
        return int(self.get(SocketOption.SNDHWM))

    def set_hwm(self, value: int) -> None:
        """Sets SNDHWM and RCVHWM, in messages per peer; 0: no limit."""
        self.set(SocketOption.SNDHWM, value)
        self.set(SocketOption.RCVHWM, value)

    @property
    def hwm(self) -> int:
        """Both high-water marks; reads as the one for sending."""
        return self.get_hwm()

    @hwm.setter
    def hwm(self, value: int) -> None:
        self.set_hwm(value)

    def subscribe(self, topic: str | bytes) -> None:
        """SUB: also receive messages that begin with topic."""
        self.set(SocketOption.SUBSCRIBE, topic.encode() if isinstance(topic, str) else topic)

    def unsubscribe(self, topic: str | bytes) -> None:
        """SUB: undo one subscribe to the same topic."""
        self.set(SocketOption.UNSUBSCRIBE, topic.encode() if isinstance(topic, str) else topic)

    # -- monitoring --

    def get_monitor_socket(self, events: int | None = None, addr: str | None = None) -> Any:
        """A PAIR that receives the events of the socket, see fastmq.utils.monitor. Every call
        returns the same one, until disable_monitor.

        events: a mask of Event, ALL by default; with one that is above ALL, as LINK is, the
        messages are those of version 2. addr: the inproc endpoint to use.
        """
        if self._monitor_socket is not None:
            if not self._monitor_socket.closed:
                return self._monitor_socket
            self.disable_monitor()
        if addr is None:
            addr = f"inproc://monitor.{os.getpid()}.{next(_monitor_numbers)}"
        mask = int(Event.ALL if events is None else events)
        self.monitor(addr, mask, version=1 if mask <= Event.ALL else 2)
        self._monitor_socket = self.context.socket(SocketType.PAIR)
        self._monitor_socket.connect(addr)
        return self._monitor_socket

    def disable_monitor(self) -> None:
        """Ends monitoring: MONITOR_STOPPED is the last event."""
        self._monitor_socket = None
        self.monitor(None, 0)

    # -- looking inside --

    def peers(self) -> list[Peer]:
        """All peers of the socket, connected or not, with their queues and counters. Cheap enough
        to call every second; does not read the network."""
        from .stats import make_peer

        return [make_peer(fields) for fields in self._peers()]

    def stats(self) -> SocketStats:
        """Counters of what the socket has sent, received and dropped, and what it holds now."""
        from .stats import SocketStats

        return SocketStats(*self._stats())

    # -- messages in other forms --

    def _deserialize(self, recvd: _T, load: Callable[[_T], Any]) -> Any:
        """Applies load to what was received."""
        return load(recvd)

    def send_serialized(
        self,
        msg: Any,
        serialize: Callable[[Any], Sequence[Buffer | Frame]],
        flags: int = 0,
        copy: bool = True,
        **kwargs: Any,
    ) -> MessageTracker | None:
        """Sends serialize(msg), a sequence of parts."""
        tracker: MessageTracker | None = self.send_multipart(
            serialize(msg), flags=flags, copy=copy, **kwargs
        )
        return tracker

    def recv_serialized(
        self,
        deserialize: Callable[[list[Any]], Any],
        flags: int = 0,
        copy: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Receives a message and returns deserialize(its list of parts)."""
        return self._deserialize(self.recv_multipart(flags=flags, copy=copy, **kwargs), deserialize)

    def send_string(
        self, u: str, flags: int = 0, copy: bool = True, encoding: str = "utf-8", **kwargs: Any
    ) -> MessageTracker | None:
        """Sends a str."""
        if not isinstance(u, str):
            raise TypeError(f"u must be str, not {u.__class__.__name__}")
        tracker: MessageTracker | None = self.send(
            u.encode(encoding), flags=flags, copy=copy, **kwargs
        )
        return tracker

    def recv_string(self, flags: int = 0, encoding: str = "utf-8", **kwargs: Any) -> str:
        """Receives a part and decodes it."""
        result: str = self._deserialize(
            self.recv(flags=flags, **kwargs), lambda data: data.decode(encoding)
        )
        return result

    send_unicode = send_string
    recv_unicode = recv_string

    def send_pyobj(
        self,
        obj: Any,
        flags: int = 0,
        protocol: int = _PICKLE_PROTOCOL,
        **kwargs: Any,
    ) -> MessageTracker | None:
        """Sends a pickled object."""
        import pickle

        tracker: MessageTracker | None = self.send(
            pickle.dumps(obj, protocol), flags=flags, **kwargs
        )
        return tracker

    def recv_pyobj(self, flags: int = 0, **kwargs: Any) -> Any:
        """Receives a part and unpickles it. A pickle can run any code: use it only with trusted
        peers."""
        import pickle

        return self._deserialize(self.recv(flags, **kwargs), pickle.loads)

    def send_json(self, obj: Any, flags: int = 0, **kwargs: Any) -> MessageTracker | None:
        """Sends an object as JSON. Keywords that send does not have go to json.dumps."""
        import json

        sending = {name: kwargs.pop(name) for name in _SEND_KEYWORDS if name in kwargs}
        kwargs.setdefault("ensure_ascii", False)
        data = json.dumps(obj, **kwargs).encode("utf-8")
        tracker: MessageTracker | None = self.send(data, flags=flags, **sending)
        return tracker

    def recv_json(self, flags: int = 0, **kwargs: Any) -> Any:
        """Receives a part and parses it as JSON. Keywords except timeout go to json.loads."""
        import json

        receiving = {"timeout": kwargs.pop("timeout")} if "timeout" in kwargs else {}
        return self._deserialize(
            self.recv(flags, **receiving), lambda data: json.loads(data, **kwargs)
        )


if TYPE_CHECKING:
    # What a type of socket lacks raises ZMQError, and is typed so.

    class _NoRecv(Socket[bytes]):
        def recv(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_multipart(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_into(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_many(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_string(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_unicode(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_json(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_pyobj(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def recv_serialized(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def __next__(self) -> NoReturn: ...

    class _NoSend(Socket[bytes]):
        def send(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_multipart(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_many(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_string(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_unicode(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_json(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_pyobj(self, *args: Any, **kwargs: Any) -> NoReturn: ...
        def send_serialized(self, *args: Any, **kwargs: Any) -> NoReturn: ...

    class _NoTopics(Socket[bytes]):
        def subscribe(self, topic: str | bytes) -> NoReturn: ...
        def unsubscribe(self, topic: str | bytes) -> NoReturn: ...

    class _NoSubscribers(Socket[bytes]):
        def wait_for_subscribers(self, *args: Any, **kwargs: Any) -> NoReturn: ...

    class _NoPeerState(Socket[bytes]):
        def peer_state(self, peer: Buffer) -> NoReturn: ...

    class _NoGroups(Socket[bytes]):
        def join(self, group: str | bytes) -> NoReturn: ...
        def leave(self, group: str | bytes) -> NoReturn: ...

    class _NoConnectPeer(Socket[bytes]):
        def connect_peer(self, addr: str | bytes) -> NoReturn: ...

    class _NoRoutingIds(_NoConnectPeer):
        def disconnect_peer(self, routing_id: int) -> NoReturn: ...

    # Of the verbs beside sending and receiving: none, and those of one kind.

    class _BothWays(_NoTopics, _NoSubscribers, _NoPeerState, _NoGroups, _NoRoutingIds): ...

    class _PublishesBothWays(_NoPeerState, _NoGroups, _NoRoutingIds): ...

    class _Routes(_NoTopics, _NoSubscribers, _NoGroups, _NoRoutingIds): ...

    class _Serves(_NoTopics, _NoSubscribers, _NoPeerState, _NoGroups, _NoConnectPeer): ...

    class _NumbersPeers(_NoTopics, _NoSubscribers, _NoPeerState, _NoGroups): ...

    class _JoinsBothWays(_NoTopics, _NoSubscribers, _NoPeerState, _NoRoutingIds): ...

    class _OnlySends(_BothWays, _NoRecv): ...

    class _OnlyReceives(_BothWays, _NoSend): ...

    class _Publishes(_NoRecv, _NoTopics, _NoPeerState, _NoGroups, _NoRoutingIds): ...

    class _Subscribes(_NoSend, _NoSubscribers, _NoPeerState, _NoGroups, _NoRoutingIds): ...

    class _Joins(_JoinsBothWays, _NoSend): ...

else:
    _BothWays = _OnlySends = _OnlyReceives = Socket
    _Publishes = _PublishesBothWays = _Subscribes = _Routes = Socket
    _Serves = _NumbersPeers = _Joins = Socket


class Pair(_BothWays):
    """Has exactly one peer; sends and receives in any order.

    Peers: PAIR. A bound PAIR refuses a second peer. send waits while there is no peer or its queue
    is full.
    """

    _type = SocketType.PAIR


class Pub(_Publishes):
    """Sends every message to all peers that subscribed to a prefix of it.

    Peers: SUB, XSUB. send never waits: a message is dropped if no peer has subscribed to it, and
    for each peer whose queue is full. Receiving raises ZMQError(ENOTSUP).
    """

    _type = SocketType.PUB


class Sub(_Subscribes):
    """Receives messages that match its subscriptions, fairly from all peers.

    Peers: PUB, XPUB. Nothing arrives before subscribe(prefix); b"" subscribes to everything.
    Sending raises ZMQError(ENOTSUP).
    """

    _type = SocketType.SUB


class Req(_BothWays):
    """Sends a request, then receives its reply, alternately.

    Peers: REP, ROUTER. Requests go round robin to the peers; send waits while there is none. A call
    out of order raises ZMQError(EFSM). With REQ_RELAXED a new request replaces the pending one;
    with REQ_CORRELATE only the reply to the last request is received.
    """

    _type = SocketType.REQ


class Rep(_BothWays):
    """Receives a request, then sends its reply, alternately.

    Peers: REQ, DEALER. Requests are received fairly from all peers. The reply goes to the peer of
    the request; if that has disconnected, it is dropped. A call out of order raises ZMQError(EFSM).
    """

    _type = SocketType.REP


class Dealer(_BothWays):
    """Sends round robin to its peers and receives fairly from all, in any order.

    Peers: ROUTER, REP, DEALER. send waits while no peer has room. A message to a REP must begin
    with an empty part.
    """

    _type = SocketType.DEALER


class Router(_Routes):
    """Receives fairly from all peers, with the peer's routing id as the first part of each message.
    Sends to the peer whose routing id is the first part.

    Peers: DEALER, REQ, ROUTER. A message to an unknown or full peer is dropped. With
    ROUTER_MANDATORY, send raises ZMQError(EHOSTUNREACH) for an unknown peer and waits for a full
    one.
    """

    _type = SocketType.ROUTER


class Pull(_OnlyReceives):
    """Receives fairly from all peers.

    Peers: PUSH. Sending raises ZMQError(ENOTSUP).
    """

    _type = SocketType.PULL


class Push(_OnlySends):
    """Sends each message to one peer, round robin among those with room.

    Peers: PULL. send waits while no peer has room. Receiving raises ZMQError(ENOTSUP).
    """

    _type = SocketType.PUSH


class XPub(_PublishesBothWays):
    """A PUB that receives its peers' subscriptions: a byte 1 (or 0: unsubscribed) and the topic.

    Peers: SUB, XSUB. XPUB_VERBOSE, XPUB_VERBOSER, XPUB_MANUAL, XPUB_NODROP and XPUB_WELCOME_MSG
    change what is received and what is dropped.
    """

    _type = SocketType.XPUB


class XSub(_BothWays):
    """A SUB that subscribes by sending messages: a byte 1 (or 0: unsubscribe) and the topic.

    Peers: PUB, XPUB. Other messages go to all peers unchanged.
    """

    _type = SocketType.XSUB


class Stream(_BothWays):
    """Raw TCP: every message is the routing id of a connection and a piece of its bytes.

    Peers: any TCP program. An empty piece is received when a connection is made or lost
    (STREAM_NOTIFY); sending one closes the connection. Sending to an unknown id raises
    ZMQError(EHOSTUNREACH).
    """

    _type = SocketType.STREAM


class Server(_Serves):
    """Receives fairly from all peers, and sends to the peer with the message's routing id.

    Peers: CLIENT. The routing id is a number and not part of the message: recv(copy=False) returns
    a Frame with .routing_id; send(reply, routing_id=...) or send(frame) replies. A message has one
    part. Sending to an unknown id raises ZMQError(EHOSTUNREACH); for a full peer, send waits.
    """

    _type = SocketType.SERVER


class Client(_BothWays):
    """Sends round robin to its peers and receives fairly from all, in any order.

    Peers: SERVER. A message has one part. send waits while no peer has room.
    """

    _type = SocketType.CLIENT


class Gather(_OnlyReceives):
    """Receives fairly from all peers.

    Peers: SCATTER. A message has one part. Sending raises ZMQError(ENOTSUP).
    """

    _type = SocketType.GATHER


class Scatter(_OnlySends):
    """Sends each message to one peer, round robin among those with room.

    Peers: GATHER. A message has one part. send waits while no peer has room. Receiving raises
    ZMQError(ENOTSUP).
    """

    _type = SocketType.SCATTER


class PeerSocket(_NumbersPeers):
    """As Server, but for equal peers. connect_peer returns the routing id of the new peer.

    Peers: PEER. (fastmq.Peer is the class of the items of Socket.peers().)
    """

    _type = SocketType.PEER


class Channel(_BothWays):
    """As Pair, but messages have one part: has exactly one peer; sends and receives in any order.

    Peers: CHANNEL. A bound CHANNEL refuses a second peer. send waits while there is no peer or its
    queue is full.
    """

    _type = SocketType.CHANNEL


class Radio(_Publishes):
    """Sends each message to the peers that joined its group: send(data, group="weather").

    Peers: DISH. A message has one part and belongs to one group of at most 255 bytes, "" by
    default. send never waits: a peer whose queue is full misses the message. wait_for_subscribers
    waits for peers of a group. Receiving raises ZMQError(ENOTSUP).

    Over udp a RADIO connects, and sends every message as a datagram, whatever its group. A message
    that does not fit into a datagram raises ZMQError(EMSGSIZE).
    """

    _type = SocketType.RADIO


class Dish(_Joins):
    """Receives the messages of the groups that it has joined; a group is matched as a whole.

    Peers: RADIO. Joining a group twice, or leaving one that is not joined, raises ZMQError(EINVAL).
    recv(copy=False) returns a Frame with .group. Over udp a DISH binds, and receives from any
    number of RADIOs. Sending raises ZMQError(ENOTSUP).
    """

    _type = SocketType.DISH


class Dgram(_BothWays):
    """Plain UDP: every message is [address, body], a datagram from or to that address.

    Peers: any UDP program. Binds one udp address. An address is b"1.2.3.4:5" or b"[::1]:5"; a
    received one ends in a NUL byte, as in libzmq, and can be used to reply. A message that does not
    have two parts raises ZMQError(EINVAL), a body that does not fit into a datagram
    ZMQError(EMSGSIZE).
    """

    _type = SocketType.DGRAM


_core.set_library_verbs(Socket)

SOCKET_CLASSES: dict[int, type[Socket[Any]]] = {
    SocketType.PAIR: Pair,
    SocketType.PUB: Pub,
    SocketType.SUB: Sub,
    SocketType.REQ: Req,
    SocketType.REP: Rep,
    SocketType.DEALER: Dealer,
    SocketType.ROUTER: Router,
    SocketType.PULL: Pull,
    SocketType.PUSH: Push,
    SocketType.XPUB: XPub,
    SocketType.XSUB: XSub,
    SocketType.STREAM: Stream,
    SocketType.SERVER: Server,
    SocketType.CLIENT: Client,
    SocketType.GATHER: Gather,
    SocketType.SCATTER: Scatter,
    SocketType.PEER: PeerSocket,
    SocketType.CHANNEL: Channel,
    SocketType.RADIO: Radio,
    SocketType.DISH: Dish,
    SocketType.DGRAM: Dgram,
}

__all__ = [
    "Channel",
    "Client",
    "Dealer",
    "Dgram",
    "Dish",
    "Gather",
    "Pair",
    "PeerSocket",
    "Pub",
    "Pull",
    "Push",
    "Radio",
    "Rep",
    "Req",
    "Router",
    "Scatter",
    "Server",
    "Socket",
    "Stream",
    "Sub",
    "XPub",
    "XSub",
]
