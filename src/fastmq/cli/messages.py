# SPDX-License-Identifier: MIT
"""A socket at the terminal: fastmq pub, sub, req, rep, push, pull, dealer, router and so on.

What is sent are arguments or lines, what arrives is printed, a line a message.
"""

from __future__ import annotations

import argparse
import itertools
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple

from fastmq.cli import arguments, formats, numbers
from fastmq.cli.arguments import PASSWORD_VARIABLE
from fastmq.cli.terminal import FAILURE, OK, TIMED_OUT, USAGE, Notes, Problem

BOTH_WAYS = ("dealer", "router", "client", "server", "channel", "peer", "dgram")
ENVELOPES = ("dealer", "router")
SENDS_ALL = ("pub", "push", "req", "scatter", "radio")  # and ends then
# Messages have one part.
SINGLE = ("scatter", "gather", "channel", "client", "server", "peer", "radio", "dish")
NAMED = ("router", "dgram")  # messages are led by the name or the address of a peer
NUMBERED = ("server", "peer")  # and each is led by the number of its peer
TOGETHER = 1000  # messages received before they are printed, if they are there already


class Pattern(NamedTuple):
    """What a command does with its socket."""

    about: str
    sends: bool
    waits: str
    examples: tuple[str, ...]
    note: str = ""


PATTERNS = {
    "pub": Pattern(
        "Publish messages. Waits for a first subscriber, because a publisher drops messages "
        "without a subscriber.",
        True,
        "a subscriber, or for delivery",
        (
            "fastmq pub --bind 'tcp://*:5556' 'hello'",
            "fastmq pub --bind 'tcp://*:5556' --topic north '21.5 C'    # two parts",
            "vmstat 1 | fastmq pub --connect tcp://collector:5556 --wait-subscribers 0",
            "yes tick | fastmq pub --bind 'tcp://*:5556' --rate 1",
        ),
    ),
    "sub": Pattern(
        "Print published messages: all, or those of the given topics.",
        False,
        "the next message",
        (
            "fastmq sub --connect tcp://127.0.0.1:5556",
            "fastmq sub --connect tcp://127.0.0.1:5556 --topic north --topic south",
            "fastmq sub --connect tcp://127.0.0.1:5556 --format json | jq .[1].temperature",
            "fastmq sub --bind 'tcp://*:5556' --count 1 --timeout 5 || echo nothing arrived",
        ),
    ),
    "push": Pattern(
        "Send each message to one of the peers, in turn.",
        True,
        "a peer with room, or for delivery",
        (
            "fastmq push --connect tcp://127.0.0.1:5557 'do this' 'do that'",
            "find . -name '*.jpg' | fastmq push --bind 'tcp://*:5557'",
            "fastmq push --connect tcp://127.0.0.1:5557 --whole --file picture.jpg",
        ),
    ),
    "pull": Pattern(
        "Print the messages that peers push.",
        False,
        "the next message",
        (
            "fastmq pull --bind 'tcp://*:5557'",
            "fastmq pull --connect tcp://127.0.0.1:5557 | xargs -n 1 convert-one",
            "fastmq pull --bind 'tcp://*:5557' --count 1 --no-newline > picture.jpg",
        ),
    ),
    "req": Pattern(
        "Send requests one after the other, and print each reply.",
        True,
        "a peer, or for a reply",
        (
            "fastmq req --connect tcp://127.0.0.1:5555 'what time is it?'",
            'fastmq req --connect tcp://127.0.0.1:5555 --format json \'{"method": "ping"}\'',
            "fastmq req --connect tcp://127.0.0.1:5555 --timeout 2 hello || echo no reply",
        ),
    ),
    "rep": Pattern(
        "Print requests, and reply to them: with the request itself, with a fixed MESSAGE, with "
        "the next line of a file, or with the output of a command.",
        True,
        "the next request",
        (
            "fastmq rep --bind 'tcp://*:5555'                        # an echo",
            "fastmq rep --bind 'tcp://*:5555' 'not today'",
            "fastmq rep --bind 'tcp://*:5555' --exec 'tr a-z A-Z'",
            "fastmq rep --bind 'tcp://*:5555' --file -               # replies from stdin",
        ),
    ),
    "dealer": Pattern(
        "Send messages to the peers in turn, and print those that arrive. Ends after --count "
        "messages have arrived, or after --timeout without any.",
        True,
        "the next message, a peer with room, or for delivery",
        (
            "fastmq dealer --connect tcp://127.0.0.1:5558 --count 2 'first' 'second'",
            "fastmq dealer --connect tcp://127.0.0.1:5555 --envelope -n 1 'hello'    # to a REP",
        ),
    ),
    "router": Pattern(
        "Print the messages that arrive, each after the name of its peer. A line that begins with "
        "such a name is sent to that peer.",
        True,
        "the next message",
        (
            "fastmq router --bind 'tcp://*:5558'",
            "fastmq router --bind 'tcp://*:5555' --envelope       # for REQ: hides the empty part",
        ),
        "A line is NAME<TAB>MESSAGE. Names that are not printable are written as 0x and\n"
        "hexadecimal digits. A message to an unknown peer is reported; then the status is 1.",
    ),
    "client": Pattern(
        "Send messages to the servers in turn, and print those that arrive. Ends after --count "
        "messages have arrived, or after --timeout without any.",
        True,
        "the next message, a server with room, or for delivery",
        (
            "fastmq client --connect tcp://127.0.0.1:5559 --count 1 'hello'",
            "fastmq client --connect tcp://127.0.0.1:5559 < questions",
        ),
    ),
    "server": Pattern(
        "Print the messages that arrive, each after the number of its client. A line that begins "
        "with such a number is sent to that client.",
        True,
        "the next message",
        ("fastmq server --bind 'tcp://*:5559'",),
        "A line is NUMBER<TAB>MESSAGE. A message to an unknown peer is reported; then the status\n"
        "is 1.",
    ),
    "scatter": Pattern(
        "Send each message to one of the peers, in turn: as push, with messages of one part.",
        True,
        "a peer with room, or for delivery",
        (
            "fastmq scatter --connect tcp://127.0.0.1:5560 'do this' 'do that'",
            "find . -name '*.jpg' | fastmq scatter --bind 'tcp://*:5560'",
        ),
    ),
    "gather": Pattern(
        "Print the messages that peers scatter: as pull, with messages of one part.",
        False,
        "the next message",
        ("fastmq gather --bind 'tcp://*:5560'",),
    ),
    "channel": Pattern(
        "Send messages to the only peer, and print those that arrive. Ends after --count messages "
        "have arrived, or after --timeout without any.",
        True,
        "the next message, the peer, or for delivery",
        (
            "fastmq channel --bind 'tcp://*:5561'",
            "fastmq channel --connect tcp://127.0.0.1:5561 --count 1 'hello'",
        ),
    ),
    "peer": Pattern(
        "Print the messages that arrive, each after the number of its peer. A line that begins "
        "with such a number is sent to that peer. #1 is the peer of the first --connect.",
        True,
        "the next message",
        (
            "fastmq peer --bind 'tcp://*:5562'",
            "fastmq peer --connect tcp://127.0.0.1:5562 --count 1 '#1' 'hello'",
        ),
        "A line is NUMBER<TAB>MESSAGE. A message to an unknown peer is reported; then the status\n"
        "is 1.",
    ),
    "radio": Pattern(
        "Send messages to a group. Waits for a first peer of the group, because a radio drops "
        "messages to a group without peers. Over udp it does not wait.",
        True,
        "a peer of the group, or for delivery",
        (
            "fastmq radio --connect udp://192.168.1.20:5563 --group weather '21 C'",
            "fastmq radio --connect 'udp://eth0;239.1.2.3:5563' --group weather '21 C'",
            "vmstat 1 | fastmq radio --bind 'tcp://*:5563' --group load",
        ),
    ),
    "dish": Pattern(
        "Print the messages that radios send to the given groups.",
        False,
        "the next message",
        (
            "fastmq dish --bind 'udp://*:5563' --group weather",
            "fastmq dish --bind 'udp://eth0;239.1.2.3:5563' --group weather --group news --led",
            "fastmq dish --connect tcp://127.0.0.1:5563 --group load",
        ),
    ),
    "dgram": Pattern(
        "Print the datagrams that arrive, each after the address of its sender. A line that begins "
        "with an address is sent there.",
        True,
        "the next datagram",
        (
            "fastmq dgram --bind 'udp://*:5564'",
            "fastmq dgram --bind 'udp://*:*' -n 1 --multipart 127.0.0.1:5564 'hello'",
        ),
        "A line is ADDRESS<TAB>MESSAGE, such as 127.0.0.1:5564<TAB>hello or [::1]:5564<TAB>hello.\n"
        "An invalid address is reported; then the status is 1.",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    command = parser.get_default("command")
    pattern = PATTERNS[command]
    parser.description = pattern.about
    arguments.examples(parser, *pattern.examples, note=pattern.note)
    arguments.add_endpoints(parser)
    group = parser.add_argument_group("messages")
    if pattern.sends:
        parser.add_argument(
            "message",
            nargs="*",
            metavar="MESSAGE",
            help="the reply to every request"
            if command == "rep"
            else "what to send; by default, each line of stdin is a message",
        )
        given = group.add_mutually_exclusive_group() if command == "rep" else group
        given.add_argument(
            "--file",
            metavar="FILE",
            help="reply with its lines, one after the other (-: stdin)"
            if command == "rep"
            else "read from there instead of stdin",
        )
        if command == "rep":
            given.add_argument(
                "--exec",
                metavar="COMMAND",
                help="reply with the output of this shell command; the request is its stdin",
            )
        else:
            group.add_argument(
                "--whole", action="store_true", help="all of the input is one message"
            )
            group.add_argument(
                "--rate",
                type=arguments.number_from(0.0001, 1e9),
                metavar="N",
                help="send at most N messages a second",
            )
    group.add_argument(
        "-f",
        "--format",
        choices=formats.NAMES,
        default="raw",
        help="the format of lines: raw; json (a value, which is checked); hex (digits); msgpack "
        "(written as JSON)",
    )
    if command not in SINGLE:
        group.add_argument(
            "-m",
            "--multipart",
            action="store_true",
            help="the arguments are the parts of one message, or a line has all parts, separated "
            "by delimiters, or in json and msgpack as an array",
        )
    if command not in SINGLE or command in NUMBERED:
        what = "the number and the message" if command in NUMBERED else "parts"
        group.add_argument(
            "--delimiter",
            default="\t",
            metavar="TEXT",
            help=f"the text between {what}, in raw and hex (a TAB)",
        )
    group.add_argument(
        "--no-newline", action="store_true", help="print nothing between raw messages"
    )
    group.add_argument(
        "-n",
        "--count",
        type=arguments.whole_from(0 if command in BOTH_WAYS else 1, 10**15),
        metavar="N",
        help=_count_help(command),
    )
    if command == "req":
        group.add_argument(
            "--resend",
            type=arguments.whole_from(1, 2**31 - 1),
            metavar="MS",
            help="send a request again, to the next server, when the connection is lost or there "
            "is no reply for MS ms",
        )
    if command == "pub":
        group.add_argument(
            "--keep-last",
            type=arguments.whole_from(1, 2**31 - 1),
            metavar="N",
            help="keep the last message of up to N topics for late subscribers",
        )
    if command == "sub":
        group.add_argument(
            "-t",
            "--topic",
            action="append",
            metavar="TEXT",
            help="print messages that begin with TEXT; may be given several times (default: all)",
        )
    if command == "radio":
        group.add_argument(
            "-g", "--group", metavar="TEXT", default="", help='the group of all messages ("")'
        )
    if command == "dish":
        group.add_argument(
            "-g",
            "--group",
            action="append",
            metavar="TEXT",
            help='print messages of this group; may be given several times ("")',
        )
        group.add_argument(
            "--led", action="store_true", help="print the group and a TAB before each message"
        )
    if command == "pub":
        group.add_argument(
            "-t", "--topic", metavar="TEXT", help="add this first part to each message"
        )
    if command in ("pub", "radio"):
        group.add_argument(
            "--wait-subscribers",
            type=arguments.whole_from(0, 10**6),
            default=1,
            metavar="N",
            help="start when N peers have "
            + ("subscribed to the topic" if command == "pub" else "joined the group")
            + " (1; 0: at once)",
        )
    if command in ENVELOPES:
        group.add_argument(
            "--envelope",
            action="store_true",
            help="add the empty part that REQ and REP expect before the message, and remove it "
            "from those that arrive",
        )
    arguments.add_socket(parser, pattern.waits)
    arguments.add_security(parser)
    arguments.add_quiet(parser)


def _count_help(command: str) -> str:
    if command in SENDS_ALL:
        return "send N messages, repeating the arguments (default: all messages, once)"
    if command in BOTH_WAYS:
        return "end after N messages have arrived (0: when all are sent)"
    return "end after N requests" if command == "rep" else "end after N messages have arrived"


def run(options: argparse.Namespace) -> int:
    """One of the commands; its exit status."""
    import fastmq
    from fastmq.cli import sockets

    command = options.command
    talk = Talk(options, Notes(command, options.quiet))

    def prepare(socket: Any) -> None:
        if command == "sub":
            for topic in options.topic or [""]:
                socket.subscribe(topic)
        elif command == "dish":
            for group in options.group or [""]:
                socket.join(group)
        elif command == "router":
            socket.router_mandatory = 1  # or messages to nobody would get lost in silence

    def connect(socket: Any, endpoint: str) -> None:
        if command == "peer":
            talk.connected.append(socket.connect_peer(endpoint))
        else:
            socket.connect(endpoint)

    kind = fastmq.SocketType[command.upper()]
    says_so_itself = command == "pub" and options.wait_subscribers
    waits = None if says_so_itself else talk.notes
    with sockets.opened(options, kind, talk.notes, prepare, connect, waits) as socket:
        try:
            COMMANDS[command](talk, socket)
        except fastmq.Again:
            raise Problem(
                f"no {_missing(command)} within {options.timeout:g} s", TIMED_OUT
            ) from None
    return talk.status


def _missing(command: str) -> str:
    return {
        "pub": "subscriber",
        "radio": "peer of the group",
        "push": "peer with room",
        "scatter": "peer with room",
        "req": "reply",
        "rep": "request",
    }.get(command, "message")


class Talk:
    """What a command reads and prints."""

    def __init__(self, options: argparse.Namespace, notes: Notes) -> None:
        self.options = options
        self.notes = notes
        self.status = OK
        if sys.stdout is None:
            raise Problem("stdout is closed")
        self.out: IO[bytes] = sys.stdout.buffer
        self.numbered = options.command in NUMBERED
        self.connected: list[int] = []
        """PEER: the numbers of the peers that were connected to."""
        self.of_groups = options.command == "dish" and options.led
        self.datagrams = options.command == "dgram"
        named = options.command in NAMED
        screen = sys.stdout.isatty()
        delimiter = os.fsencode(getattr(options, "delimiter", "\t"))
        if not delimiter:
            raise Problem("--delimiter must not be empty", USAGE)
        split = -1 if getattr(options, "multipart", False) else int(named)
        self.format = formats.make(options.format, delimiter, split, named, screen)
        if isinstance(self.format, formats.Values):
            self.format.unreadable = self.went_wrong
        if self.numbered:
            self.format = numbers.Numbered(self.format)
        self._end = b"" if options.no_newline and options.format == "raw" else b"\n"
        envelope = getattr(options, "envelope", False)
        self._empty_at = (1 if named else 0) if envelope else None

    def went_wrong(self, text: str) -> None:
        """A message could not be treated as it should; the status will tell, too."""
        self.notes.warn(text)
        self.status = FAILURE

    # -- out --

    def show(self, messages: Iterable[list[bytes]]) -> None:
        """Print messages, and see to it that whoever reads has them now."""
        for parts in messages:
            at = self._empty_at
            if at is not None and len(parts) > at + 1 and not parts[at]:
                parts = parts[:at] + parts[at + 1 :]
            self.out.write(self.format.write(parts) + self._end)
        self.out.flush()

    # -- in --

    def messages(self) -> Iterator[list[bytes]]:
        """What is to be sent, not faster than --rate allows."""
        found = self._given() if self.options.message else self._read()
        if self.options.command in SENDS_ALL:
            found = itertools.islice(found, self.options.count)
        rate = getattr(self.options, "rate", None)
        start = time.monotonic()
        for number, parts in enumerate(found):
            if rate:
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
            if self._empty_at is not None:
                parts = [*parts[: self._empty_at], b"", *parts[self._empty_at :]]
            yield parts

    def _given(self) -> Iterator[list[bytes]]:
        """The arguments: each a message, or with --multipart each a part; again and again if
        --count asks for more."""
        words = [os.fsencode(word) for word in self.options.message]
        lots = [words] if self.format.split else [[word] for word in words]
        if self.format.named and len(words) < 2:
            name = "NUMBER" if self.numbered else "NAME"
            kind = self.options.command.upper()
            raise Problem(f"a {kind} sends to whom? Give {name} MESSAGE", USAGE)
        try:
            found = [self.format.read(lot) for lot in lots]
        except formats.FormatError as error:
            raise Problem(str(error), USAGE) from None
        again = self.options.command in SENDS_ALL and self.options.count
        yield from itertools.cycle(found) if again else found

    def _read(self) -> Iterator[list[bytes]]:
        name = self.options.file
        if name in (None, "-"):
            if sys.stdin is None:
                raise Problem("stdin is closed")
            if sys.stdin.isatty():
                self.notes.say("each line is a message; Ctrl-D ends")
            yield from self._lines(sys.stdin.fileno(), "stdin")
            return
        with open(name, "rb", buffering=0) as file:
            yield from self._lines(file.fileno(), name)

    def _lines(self, descriptor: int, name: str) -> Iterator[list[bytes]]:
        if getattr(self.options, "whole", False):
            lines: Iterable[bytes] = [b"".join(chunks(descriptor))]
        else:
            lines = split_lines(chunks(descriptor))
        for number, line in enumerate(lines, 1):
            try:
                parts = self.format.read_line(line)
                if self.format.named and len(parts) < 2:
                    raise formats.FormatError("it is not NAME, delimiter, MESSAGE")
            except formats.FormatError as error:
                self.went_wrong(f"{name}, line {number} is left out: {error}")
            else:
                yield parts

    # -- waiting --

    def arriving(
        self,
        socket: Any,
        together: int = TOGETHER,
        also: tuple[int, Callable[[], None]] | None = None,
    ) -> Iterator[list[list[bytes]]]:
        """What arrives, until --count messages did: all that is there, `together` at most. Again
        after --timeout.

        also: a descriptor, and what is called once when it can be read
        """
        import fastmq

        poller = fastmq.Poller()
        poller.register(socket, fastmq.POLLIN)
        # Who reads our output may go away while nothing arrives.
        reader = self.out.fileno()
        if stat.S_ISFIFO(os.fstat(reader).st_mode):
            poller.register(reader, fastmq.POLLERR)
        if also:
            poller.register(also[0], fastmq.POLLIN)
        timeout = self.options.timeout
        left = sys.maxsize if self.options.count is None else self.options.count
        while left:
            ready = dict(poller.poll(None if timeout is None else timeout * 1000))
            if not ready:
                raise fastmq.Again
            if reader in ready:
                raise BrokenPipeError
            if also and also[0] in ready:
                poller.unregister(also[0])
                also[1]()
            if socket in ready:
                try:
                    lot = self.received(socket, min(left, together))
                except fastmq.Again:
                    continue
                left -= len(lot)
                yield lot

    def received(self, socket: Any, most: int) -> list[list[bytes]]:
        """Up to so many messages that are there. Again: none is."""
        import fastmq

        if not self.numbered and not self.of_groups:
            lot: list[list[bytes]] = socket.recv_many(most, multipart=True, flags=fastmq.DONTWAIT)
            if self.datagrams:  # the NUL behind an address is of no use here
                return [[address.rstrip(b"\0"), body] for address, body in lot]
            return lot
        frames = socket.recv_many(most, copy=False, flags=fastmq.DONTWAIT)
        if self.of_groups:
            return [[frame.group.encode(errors="surrogateescape"), frame.bytes] for frame in frames]
        return [[b"%d" % frame.routing_id, frame.bytes] for frame in frames]


def chunks(descriptor: int) -> Iterator[bytes]:
    """What can be read from a descriptor, as it comes. Not by a buffered file, whose lock a thread
    would hold that waits for a terminal when the process ends."""
    while chunk := os.read(descriptor, 1 << 16):
        yield chunk


def split_lines(found: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends, each as soon as it is there."""
    rest = b""
    for chunk in found:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


# ---- the commands ----


def publish(talk: Talk, socket: Any) -> None:
    options = talk.options
    topic = None if options.topic is None else options.topic.encode()
    await_subscribers(talk, socket, topic or b"")
    for parts in talk.messages():
        socket.send_multipart(parts if topic is None else [topic, *parts])


def await_subscribers(talk: Talk, socket: Any, topic: bytes) -> None:
    import fastmq
    from fastmq.cli import sockets

    n, timeout = talk.options.wait_subscribers, talk.options.timeout
    if not n:
        return
    patience = sockets.PATIENCE
    if timeout is None or timeout > patience:
        try:
            socket.wait_for_subscribers(n, topic, timeout=patience * 1000)
            return
        except fastmq.Again:
            talk.notes.say(f"waiting for {n} subscriber(s); --wait-subscribers 0 does not")
        timeout = None if timeout is None else timeout - patience
    socket.wait_for_subscribers(n, topic, timeout=None if timeout is None else timeout * 1000)


def radio(talk: Talk, socket: Any) -> None:
    group = talk.options.group
    await_subscribers(talk, socket, group.encode())
    for (part,) in talk.messages():
        socket.send(part, group=group)


def push(talk: Talk, socket: Any) -> None:
    for parts in talk.messages():
        socket.send_multipart(parts)


def receive(talk: Talk, socket: Any) -> None:
    for lot in talk.arriving(socket):
        talk.show(lot)


def request(talk: Talk, socket: Any) -> None:
    for parts in talk.messages():
        socket.send_multipart(parts)
        talk.show([socket.recv_multipart()])


def reply(talk: Talk, socket: Any) -> None:
    answer = answers(talk)
    for lot in talk.arriving(socket, together=1):
        talk.show(lot)
        socket.send_multipart(answer(lot[0]))


def answers(talk: Talk) -> Callable[[list[bytes]], list[bytes]]:
    """What a request is answered with."""
    options = talk.options
    if options.message:
        if options.file or options.exec:
            raise Problem("either MESSAGE, --file or --exec says what to answer", USAGE)
        fixed = list(talk.messages())
        if len(fixed) > 1:
            raise Problem("one answer, please; --multipart makes it one of several parts", USAGE)
        return lambda parts: fixed[0]
    if options.exec:
        return lambda parts: executed(talk, parts)
    if options.file is None:
        return lambda parts: parts
    lines = talk.messages()

    def next_line(parts: list[bytes]) -> list[bytes]:
        line = next(lines, None)
        if line is None:
            raise Problem(f"no more answers in {options.file}")
        return line

    return next_line


def executed(talk: Talk, parts: list[bytes]) -> list[bytes]:
    """The output of --exec for a request, without its last newline."""
    env = {name: value for name, value in os.environ.items() if name != PASSWORD_VARIABLE}
    done = subprocess.run(
        talk.options.exec,
        shell=True,
        input=talk.format.delimiter.join(parts),
        stdout=subprocess.PIPE,
        env=env,
        check=False,
    )
    if done.returncode:
        talk.went_wrong(f"status {done.returncode} of {talk.options.exec!r}")
    output = done.stdout.removesuffix(b"\n")
    return output.split(talk.format.delimiter) if talk.format.split else [output]


def converse(talk: Talk, socket: Any) -> None:
    """Both ways at once: a thread sends what there is to send, this one prints what arrives."""
    if talk.options.count == 0:
        send_all(talk, socket)
        return
    ended, end = os.pipe()
    raised: list[BaseException] = []

    def send() -> None:
        try:
            send_all(talk, socket)
        except BaseException as error:
            raised.append(error)
        finally:
            os.close(end)

    def check() -> None:
        if raised:
            raise raised[0]

    threading.Thread(target=send, name="fastmq-send", daemon=True).start()
    try:
        for lot in talk.arriving(socket, also=(ended, check)):
            talk.show(lot)
    finally:
        os.close(ended)


def send_all(talk: Talk, socket: Any) -> None:
    import fastmq

    for parts in talk.messages():
        try:
            if talk.numbered:
                send_numbered(talk, socket, *parts)
            else:
                socket.send_multipart(parts)
        except fastmq.Again:
            raise Problem(
                f"no peer with room within {talk.options.timeout:g} s", TIMED_OUT
            ) from None
        except fastmq.ZMQError as error:
            if talk.datagrams and error.errno in (fastmq.EINVAL, fastmq.EMSGSIZE):
                talk.went_wrong(str(error))
                continue
            if error.errno != fastmq.EHOSTUNREACH:
                raise
            talk.went_wrong(f"there is no peer {formats.shown_name(parts[0]).decode()}")


def send_numbered(talk: Talk, socket: Any, number: bytes, part: bytes) -> None:
    routing_id = numbers.resolved(number, talk.connected)
    if routing_id is None:
        talk.went_wrong(f"there is no peer {number.decode()}")
    else:
        socket.send(part, routing_id=routing_id)


COMMANDS: dict[str, Callable[[Talk, Any], None]] = {
    "pub": publish,
    "sub": receive,
    "push": push,
    "pull": receive,
    "req": request,
    "rep": reply,
    "dealer": converse,
    "router": converse,
    "client": converse,
    "server": converse,
    "scatter": push,
    "gather": receive,
    "channel": converse,
    "peer": converse,
    "radio": radio,
    "dish": receive,
    "dgram": converse,
}
