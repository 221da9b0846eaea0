# SPDX-License-Identifier: MIT
"""Draws a program from a seed. A plan is data: printed, it says all that the program will do.

Each actor has a generator of its own for the details (which verb next, cancelled after how long),
seeded with the plan's seed and the actor's name, so that it draws the same whatever the others do.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

KINDS = ("asyncio", "uvloop", "tornado", "asyncio-debug", "asyncio-eager")
"""Kinds of loops. A seed stands for one of them, so that the number alone names a program."""
TRANSPORTS = ("inproc", "ipc", "tcp")

TASK, SHADOW, STREAM, POLLER, ITERATE = "task", "shadow", "stream", "poller", "iterate"
"""Ways to use a socket: a task awaits its verbs, a thread has a blocking shadow of it, a ZMQStream
calls back, a task polls it with a Poller, `async for`."""


@dataclass
class SocketPlan:
    name: str
    type: str
    options: dict[str, int | bytes] = field(default_factory=dict)
    binds: bool = False
    peers: list[str] = field(default_factory=list)  # whom it connects to
    transport: str = "inproc"


@dataclass
class Actor:
    name: str
    role: str  # "send", "receive", "serve", "ask"
    way: str
    socket: str
    flow: str
    loop: int = 0
    count: int = 0  # messages to send
    restless: float = 0.0  # how many of its waits are cut short, from 0 to 1
    pause: float = 0.0  # how many of its steps are followed by a pause
    alone: bool = True  # no other actor does the same on this socket
    ordered: bool = True  # it sees each sender's messages in order
    after: str = ""  # it begins when this flow is complete
    to: bytes = b""  # sending: the peer of a ROUTER
    back: str = ""  # serving and asking: the flow of the answers


@dataclass
class FlowPlan:
    name: str
    senders: list[str]
    addresses: list[str]
    most_parts: int = 1
    sizes: tuple[int, ...] = (1,)
    lossy: bool = False


@dataclass
class Closing:
    """A socket is closed while the program runs."""

    socket: str
    after: int  # messages that came in the flow
    flow: str
    by: str  # "loop", "thread", "shadow"


@dataclass
class Fork:
    after: float  # seconds
    by: str  # "loop", "thread"
    child: str  # "exits", "closes", "works"; "fails" in tests


@dataclass
class Plan:
    seed: int
    kind: str
    loops: int = 1
    sockets: dict[str, SocketPlan] = field(default_factory=dict)
    actors: list[Actor] = field(default_factory=list)
    flows: dict[str, FlowPlan] = field(default_factory=dict)
    closings: list[Closing] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=list)
    end: str = "close"  # "close", "thread", "cancel", "shutdown", "shadow"

    def __str__(self) -> str:
        rows = [f"seed {self.seed}: {self.kind}, {self.loops} loop(s), ends by {self.end}"]
        for title, things in (
            ("socket", self.sockets.values()),
            ("flow", self.flows.values()),
            ("actor", self.actors),
            ("closing", self.closings),
            ("fork", self.forks),
        ):
            rows += [f"  {title} {_told(thing)}" for thing in things]
        return "\n".join(rows)


def _told(thing: Any) -> str:
    """What is not as by default."""
    return ", ".join(
        f"{row.name} {getattr(thing, row.name)!r}"
        for row in fields(thing)
        if getattr(thing, row.name) != row.default and getattr(thing, row.name) not in ({}, [])
    )


class Draw:
    """Draws one plan."""

    def __init__(self, seed: int, kind: str | None = None) -> None:
        self.rng = random.Random(f"plan {seed}")
        self.plan = Plan(seed, kind or KINDS[seed % len(KINDS)])
        self.serial = 0

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def name(self, what: str) -> str:
        self.serial += 1
        return f"{what.lower()}{self.serial}"

    def whole(self) -> Plan:
        plan, rng = self.plan, self.rng
        if self.chance(0.2):
            plan.loops = rng.choice((2, 2, 3))
        groups = (
            (self.pipeline, 4),
            (self.both_ways, 2),
            (self.requests, 2),
            (self.routed_requests, 3),
            (self.published, 2),
            (self.addressed, 2),
        )
        draws, weights = zip(*groups, strict=True)
        for _ in range(rng.choice((1, 1, 2, 3))):
            rng.choices(draws, weights)[0]()
        plan.end = rng.choice(("close", "close", "thread", "cancel", "shutdown", "shadow"))
        if self.chance(0.3):
            self.close_early()
        if self.chance(0.08):
            plan.forks.append(
                Fork(
                    rng.choice((0.0, 0.003, 0.02)),
                    rng.choice(("loop", "thread")),
                    rng.choice(("exits", "closes", "works")),
                )
            )
        return plan

    # -- parts of a program --

    def limits(self) -> dict[str, int | bytes]:
        """Options that decide how soon a socket is full."""
        rng = self.rng
        options: dict[str, int | bytes] = {}
        if self.chance(0.6):
            options["SNDHWM"] = rng.choice((1, 2, 7, 1000))
            options["RCVHWM"] = rng.choice((1, 2, 7, 1000))
        if self.chance(0.2):
            options["SNDHWM_BYTES"] = rng.choice((40, 2000, 100_000))
        if self.chance(0.15):
            options["RCVHWM_BYTES"] = rng.choice((40, 2000, 100_000))
        if self.chance(0.15):
            options["SNDBUF"] = options["RCVBUF"] = 4096
        return options

    def socket(self, type: str, **options: int | bytes) -> SocketPlan:
        made = SocketPlan(self.name(type), type, {**self.limits(), **options})
        self.plan.sockets[made.name] = made
        return made

    def link(self, one: Sequence[SocketPlan], many: Sequence[SocketPlan]) -> None:
        """One side binds, the other connects: the side that has one socket binds, and of two sides
        with one each, either."""
        transport = self.rng.choice(TRANSPORTS)
        if len(one) > 1 or (len(many) == 1 and self.chance(0.5)):
            one, many = many, one
        assert len(one) == 1
        one[0].binds = True
        one[0].transport = transport
        for socket in many:
            socket.peers.append(one[0].name)
            socket.transport = transport

    def flow(self, what: str, single: bool = False) -> FlowPlan:
        rng = self.rng
        flow = FlowPlan(self.name(what), [], [])
        flow.most_parts = 1 if single or self.chance(0.5) else rng.choice((3, 6))
        flow.sizes = rng.choice(((0, 3, 30), (0, 3, 30), (10, 300, 5000), (100, 70_000)))
        self.plan.flows[flow.name] = flow
        return flow

    def ways(self, role: str) -> str:
        kind = self.plan.kind
        ways = [(TASK, 6.0), (SHADOW, 1.0), (STREAM, 4.0 if kind == "tornado" else 0.3)]
        if role == "receive":
            ways += [(POLLER, 1.5), (ITERATE, 1.0)]
        names, weights = zip(*ways, strict=True)
        return str(self.rng.choices(names, weights)[0])

    def actor(self, role: str, socket: SocketPlan, flow: FlowPlan, way: str = "") -> Actor:
        rng = self.rng
        made = Actor(self.name(role), role, way or self.ways(role), socket.name, flow.name)
        made.loop = rng.randrange(self.plan.loops)
        made.restless = rng.choice((0.0, 0.2, 0.5, 0.9))
        made.pause = rng.choice((0.0, 0.0, 0.1, 0.5))
        if made.way == STREAM:
            made.loop = 0
        self.plan.actors.append(made)
        return made

    def sender(self, socket: SocketPlan, flow: FlowPlan, most: int = 60, way: str = "") -> Actor:
        made = self.actor("send", socket, flow, way)
        made.count = self.rng.randrange(1, most)
        if max(flow.sizes) > 10_000:
            made.count = min(made.count, 15)
        flow.senders.append(made.name)
        return made

    def senders(self, socket: SocketPlan, flow: FlowPlan, most: int = 60) -> None:
        made = [self.sender(socket, flow, most) for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]
        for actor in made:
            actor.alone = len(made) == 1

    def receivers(self, socket: SocketPlan, flow: FlowPlan) -> None:
        made = [self.actor("receive", socket, flow) for _ in range(self.rng.choice((1, 1, 2, 3)))]
        if len(made) > 1 and self.chance(0.5):
            for actor in made:
                actor.restless = 0.0
        calm = all(actor.restless == 0 for actor in made)
        for actor in made:
            actor.alone = len(made) == 1
            # What one receiver gives back another may get after what came later.
            actor.ordered = actor.alone or calm

    def servers(self, socket: SocketPlan, flow: FlowPlan, back: FlowPlan, count: int) -> None:
        made = [self.actor("serve", socket, flow, TASK) for _ in range(count)]
        for actor in made:
            actor.back = back.name
            actor.alone = count == 1
            actor.ordered = count == 1 or all(other.restless == 0 for other in made)

    # -- groups of sockets --

    def pipeline(self) -> None:
        """Messages one way, shared among the receivers."""
        rng = self.rng
        pushers, pullers = rng.choice(((1, 1), (1, 1), (3, 1), (1, 2), (2, 1)))
        kinds = rng.choice((("PUSH", "PULL"), ("PUSH", "PULL"), ("DEALER", "DEALER")))
        sources = [self.socket(kinds[0]) for _ in range(pushers)]
        sinks = [self.socket(kinds[1]) for _ in range(pullers)]
        self.link(sources, sinks)
        flow = self.flow("work")
        flow.addresses.append(flow.name)
        for socket in sources:
            self.senders(socket, flow)
        for socket in sinks:
            self.receivers(socket, flow)

    def both_ways(self) -> None:
        kind = self.rng.choice(("PAIR", "DEALER"))
        a, b = self.socket(kind), self.socket(kind)
        self.link([a], [b])
        for source, sink in ((a, b), (b, a)):
            flow = self.flow("way")
            flow.addresses.append(flow.name)
            self.senders(source, flow)
            self.receivers(sink, flow)

    def requests(self) -> None:
        """REQ, each of which asks and waits; REP or ROUTER answers with the same."""
        rng = self.rng
        server = self.socket(rng.choice(("REP", "ROUTER")), ROUTER_MANDATORY=1)
        if server.type == "REP":
            del server.options["ROUTER_MANDATORY"]
        relaxed = self.chance(0.4)
        clients = [
            self.socket("REQ", **({"REQ_RELAXED": 1, "REQ_CORRELATE": 1} if relaxed else {}))
            for _ in range(rng.choice((1, 2, 3)))
        ]
        for socket in (server, *clients):
            socket.options = {
                name: value for name, value in socket.options.items() if "HWM" not in name
            }
        self.link([server], clients)
        flow = self.flow("asked")
        back = self.flow("told")
        # A REQ that asks anew gives up its last question: that may be lost on its way.
        flow.lossy = back.lossy = relaxed
        back.most_parts, back.sizes = flow.most_parts, flow.sizes
        flow.addresses.append(flow.name)
        for socket in clients:
            asker = self.actor("ask", socket, flow, TASK)
            asker.count = rng.randrange(1, 25)
            asker.back = back.name
            flow.senders.append(asker.name)
        back.senders = list(flow.senders)
        back.addresses.append(back.name)
        count = 1 if server.type == "REP" else rng.choice((1, 2))
        self.servers(server, flow, back, count)

    def routed_requests(self) -> None:
        """DEALERs that send as they like; a ROUTER answers each message with the same."""
        rng = self.rng
        router = self.socket("ROUTER", ROUTER_MANDATORY=1)
        clients = [self.socket("DEALER") for _ in range(rng.choice((1, 2, 3)))]
        self.link([router], clients)
        flow = self.flow("asked")
        flow.addresses.append(flow.name)
        back = self.flow("told")
        back.most_parts, back.sizes = flow.most_parts, flow.sizes
        for socket in clients:
            asker = self.sender(socket, flow, 40)
            reader = self.actor("receive", socket, back)
            reader.to = asker.name.encode()
        back.senders = list(flow.senders)
        back.addresses.append(back.name)
        count = rng.choice((1, 1, 2, 3))
        self.servers(router, flow, back, count)
        for actor in self.plan.actors:
            if actor.flow == back.name:
                actor.ordered = count == 1

    def published(self) -> None:
        rng = self.rng
        source = self.socket(rng.choice(("PUB", "XPUB")), XPUB_NODROP=1)
        flow = self.flow("news")
        sinks = [self.socket(rng.choice(("SUB", "XSUB"))) for _ in range(rng.choice((1, 2, 3)))]
        self.link([source], sinks)
        self.sender(source, flow, way=rng.choice((TASK, TASK, SHADOW)))
        for socket in sinks:
            flow.addresses.append(socket.name)
            self.receivers(socket, flow)

    def addressed(self) -> None:
        """A ROUTER sends to DEALERs by name. One of them reads only when the others have all: a
        full peer does not hold up sends to others."""
        rng = self.rng
        router = self.socket("ROUTER", ROUTER_MANDATORY=1)
        count = rng.choice((2, 3))
        dealers = [self.socket("DEALER", ROUTING_ID=b"peer%d" % n) for n in range(count)]
        self.link([router], dealers)
        first = ""
        for n, socket in enumerate(dealers):
            flow = self.flow("post")
            flow.addresses.append(flow.name)
            sender = self.sender(router, flow, way=TASK)
            sender.to = b"peer%d" % n
            sender.alone = False
            self.receivers(socket, flow)
            if n == count - 1 and self.chance(0.6):
                for actor in self.plan.actors:
                    if actor.flow == flow.name and actor.role == "receive":
                        actor.after = first
            first = flow.name

    def close_early(self) -> None:
        """A socket that only sends or only receives is closed before all is done."""
        plan, rng = self.plan, self.rng
        chosen = [
            actor
            for actor in plan.actors
            if plan.sockets[actor.socket].type in ("PUSH", "PULL", "PUB", "SUB", "PAIR")
        ]
        if not chosen:
            return
        actor = rng.choice(chosen)
        flow = plan.flows[actor.flow]
        closing = Closing(
            actor.socket, rng.randrange(0, 20), flow.name, rng.choice(("loop", "thread", "shadow"))
        )
        plan.closings.append(closing)
        for other in plan.actors:
            if other.socket == actor.socket and other.role == "receive":
                plan.flows[other.flow].lossy = True


def draw(seed: int, kind: str | None = None) -> Plan:
    """The program of a seed, in its own kind of loop or in another."""
    return Draw(seed, kind).whole()
