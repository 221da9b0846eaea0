# SPDX-License-Identifier: MIT
"""`fastmq why`: in words, why a message may not be there."""

from __future__ import annotations

import argparse
import errno
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastmq.cli import arguments
from fastmq.cli.looking import (
    ALL_PEERS,
    Place,
    clock,
    listed,
    look,
    look_at_all,
    messages,
    name_of,
    places,
    same_endpoint,
    span,
    target,
    text_of,
    thread_name,
)
from fastmq.cli.terminal import OK, USAGE, Notes, Problem, coloured
from fastmq.inspect import Failure, PeerView, Snapshot, SocketView
from fastmq.utils.printable import printable_json

FITS = {
    "PAIR": ("PAIR",),
    "PUB": ("SUB", "XSUB"),
    "SUB": ("PUB", "XPUB"),
    "XPUB": ("SUB", "XSUB"),
    "XSUB": ("PUB", "XPUB"),
    "REQ": ("REP", "ROUTER"),
    "REP": ("REQ", "DEALER"),
    "DEALER": ("REP", "DEALER", "ROUTER"),
    "ROUTER": ("REQ", "DEALER", "ROUTER"),
    "PUSH": ("PULL",),
    "PULL": ("PUSH",),
    "SERVER": ("CLIENT",),
    "CLIENT": ("SERVER",),
    "RADIO": ("DISH",),
    "DISH": ("RADIO",),
    "SCATTER": ("GATHER",),
    "GATHER": ("SCATTER",),
    "PEER": ("PEER",),
    "CHANNEL": ("CHANNEL",),
}
"""Which types of sockets talk to each other."""
PUBLISHERS = ("PUB", "XPUB", "RADIO")
SUBSCRIBERS = ("SUB", "XSUB", "DISH")
MOST = 3
"""Peers, or other endpoints, that are named for one reason."""
RECENT_S = 60
"""What failed so lately at a bound endpoint is a reason; before that, it is told and no more."""
LOOK_AGAIN_S = 0.3
"""Between two looks, to see what moves."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say why a message may not be there, from what the engine of each program knows: nobody is "
        "subscribed, a queue is full, a connection is refused, a key is not known ... Programs are "
        "looked at that run as the same user on this host with FASTMQ_INSPECT=1."
    )
    arguments.examples(
        parser,
        "fastmq why tcp://127.0.0.1:5555",
        "fastmq why tcp://127.0.0.1:5555 --topic weather.berlin",
        "fastmq why 4711                       # all sockets of a process",
        "fastmq why                            # all sockets that something is wrong with",
        note="An endpoint is looked for in all programs, so both of its ends are seen.",
    )
    parser.add_argument(
        "targets",
        nargs="*",
        type=target,
        metavar="ENDPOINT|PID",
        help="an endpoint, the number of a process, or both: that endpoint in that process; "
        "default: all processes, and only what is wrong there",
    )
    parser.add_argument(
        "--topic", metavar="TOPIC", help="a topic, or a group, that messages are missed of"
    )
    parser.add_argument("--json", action="store_true", help="print an object of JSON a socket")


@dataclass
class Answer:
    """What was found out about a socket at an endpoint."""

    place: Place
    reasons: list[str] = field(default_factory=list)
    """Why a message may not be there."""
    facts: list[str] = field(default_factory=list)
    """What is good to know and keeps no message."""


def run(options: argparse.Namespace) -> int:
    """Print what was found; 0."""
    topic = None if options.topic is None else options.topic.encode()
    if topic is not None and len(topic) > 256:
        raise Problem("--topic: at most 256 bytes", USAGE)
    pids = [int(word) for word in options.targets if word.isdecimal()]
    endpoints = [word for word in options.targets if not word.isdecimal()]
    before = gathered(pids, topic)
    time.sleep(LOOK_AGAIN_S)
    after = gathered(pids, topic, Notes("why"))
    answers = explain(before, after, endpoints, topic)
    if not answers:
        raise Problem(nothing_there(endpoints, after))
    if options.targets:
        show(answers, options.json)
        return OK
    show([answer for answer in answers if answer.reasons], options.json)
    fine = [answer for answer in answers if not answer.reasons]
    if fine and not options.json:
        count = f"{len(fine):,} {'other ' if len(fine) < len(answers) else ''}endpoint"
        print(f"nothing stands in the way at {count}{'' if len(fine) == 1 else 's'}")
    return OK


def gathered(
    pids: list[int], topic: bytes | None, notes: Notes | None = None
) -> dict[int, Snapshot]:
    """Snapshots of the processes that were named, or of all."""
    if pids:
        return {pid: look(pid, topic, ALL_PEERS) for pid in pids}
    return look_at_all(topic, ALL_PEERS, notes)


def nothing_there(endpoints: list[str], after: dict[int, Snapshot]) -> str:
    """Why there is nothing to say."""
    pids = sorted(after)
    seen = ", ".join(str(pid) for pid in pids[:10])
    if not endpoints:
        return f"process {seen} has no socket that is bound or connected"
    used = dict.fromkeys(p.endpoint for pid in pids for p in places(after[pid]))
    there = f", only to {listed(used)}" if used else ""
    return (
        f"no socket is bound or connected to {' or '.join(endpoints)} in what can be looked at "
        f"(process {seen}){there}; is the other program started with FASTMQ_INSPECT=1?"
    )


def explain(
    before: dict[int, Snapshot],
    after: dict[int, Snapshot],
    endpoints: list[str],
    topic: bytes | None,
) -> list[Answer]:
    """What is to be said about each socket that is at one of the endpoints; none: at any."""
    everywhere = [place for snapshot in after.values() for place in places(snapshot)]
    wanted = [
        place
        for place in everywhere
        if not endpoints or any(same_endpoint(place.endpoint, text) for text in endpoints)
    ]
    earlier = {
        (snapshot["pid"], place.socket["id"]): place.socket
        for snapshot in before.values()
        for place in places(snapshot)
    }
    wanted.sort(key=lambda place: (not place.bound, place.pid, place.socket["id"]))
    return [
        examine(place, earlier.get((place.pid, place.socket["id"])), everywhere, topic)
        for place in wanted
    ]


def examine(
    place: Place, earlier: SocketView | None, everywhere: list[Place], topic: bytes | None
) -> Answer:
    """All that keeps messages of one socket."""
    answer = Answer(place)
    others = [
        other
        for other in everywhere
        if other.bound != place.bound and same_endpoint(other.endpoint, place.endpoint)
    ]
    if place.socket["state"] != "open":
        told = {
            "closed": "the program has closed it, and it only sends what is left",
            "broken": "another part of the program has closed its descriptors",
        }
        answer.reasons.append(told.get(place.socket["state"], place.socket["state"]))
    answer.reasons += ends(place, others, everywhere)
    for is_reason, text in failures(place):
        (answer.reasons if is_reason else answer.facts).append(text)
    answer.reasons += kinds(place, others)
    answer.reasons += queues(place, earlier, others)
    answer.reasons += list(subscriptions(place.socket, topic)) or unmatched(place)
    for is_reason, text in turns(place):
        (answer.reasons if is_reason else answer.facts).append(text)
    answer.facts += elsewhere(place, others, everywhere)
    answer.facts += facts(place, topic)
    return answer


def ready(place: Place) -> list[PeerView]:
    return [p for p in peers_at(place) if p["state"] == "ready"]


def peers_at(place: Place) -> list[PeerView]:
    """The peers that this endpoint led to; of an inproc name, all within the process."""
    if place.view is None:
        return [p for p in place.socket["peers"] if p["endpoint"].startswith("inproc:")]
    return [p for p in place.socket["peers"] if p["endpoint"] == place.endpoint]


def ends(place: Place, others: list[Place], everywhere: list[Place]) -> Iterator[str]:
    """Whether there is another end, and whether it can be reached."""
    if ready(place):
        return
    inproc = place.endpoint.startswith("inproc:")
    here = [o for o in others if (o.pid, o.context) == (place.pid, place.context)]
    if inproc and others and not here:
        other = others[0]
        where = "another context of this process" if other.pid == place.pid else name_of(other.pid)
        yield (
            f"the other end is in {where}: inproc connects sockets of one context; between "
            "processes use ipc or tcp"
        )
    elif place.bound and not others and not unfinished(place):
        yield "nobody is connected to it"
    elif place.bound and not unfinished(place) and not failing(place, others):
        yield "somebody connects to this endpoint, but no connection has come about"
    elif not place.bound and not others and not refusals(place):
        if inproc:
            yield "nobody binds there in this context"
        elif place.view is not None and place.view["state"] in ("connecting", "resolving"):
            yield f"not connected: {place.view['state']}, no answer yet"
        elif place.view is not None and place.view["state"] == "handshaking":
            yield "connected, but the other end has not said yet who it is (does it speak ZMTP?)"


def elsewhere(place: Place, others: list[Place], everywhere: list[Place]) -> Iterator[str]:
    """Sockets that would fit and found nobody either: one of the endpoints may be misspelt."""
    if others or ready(place) or place.socket["type"] not in FITS:
        return
    found = [
        other
        for other in everywhere
        if other.bound != place.bound
        and other.socket["type"] in FITS[place.socket["type"]]
        and not peers_in(other.socket, "ready", "handshaking")
        and (other.pid == place.pid or not other.endpoint.startswith("inproc:"))
    ]
    for other in found[:MOST]:
        at = "is bound to" if other.bound else "connects to"
        yield (
            f"another endpoint? a {other.socket['type']} without a peer {at} "
            f"{text_of(other.endpoint)}, in {name_of(other.pid)}"
        )


def peers_in(socket: SocketView, *states: str) -> bool:
    return any(peer["state"] in states for peer in socket["peers"])


def failing(place: Place, others: list[Place]) -> bool:
    """Whether something else says already why the two ends do not come together."""
    return any(of(f, end) for end in [place, *others] for f in end.socket["failures"])


def unfinished(place: Place) -> list[PeerView]:
    return [p for p in peers_at(place) if p["state"] == "handshaking"]


def refusals(place: Place) -> list[Failure]:
    """What still fails at this endpoint."""
    return [f for f in place.socket["failures"] if of(f, place) and f["over"] is None]


def of(failure: Failure, place: Place) -> bool:
    return failure["bound"] == place.bound and failure["endpoint"] == place.endpoint


def failures(place: Place) -> Iterator[tuple[bool, str]]:
    """What went wrong with connections: whether it still does, and in words."""
    now = time.time()
    for failure in sorted(place.socket["failures"], key=lambda f: -f["last"]):
        if not of(failure, place):
            continue
        current = failure["over"] is None
        if failure["bound"]:
            current = now - failure["last"] < RECENT_S
        times = f"{failure['count']:,} times" if failure["count"] > 1 else "once"
        when = f"since {clock(failure['since'])}, {times}"
        if not current:
            over = failure["over"]
            end = f"until {clock(over)}" if over else f"last at {clock(failure['last'])}"
            when = f"from {clock(failure['since'])}, {end}, {times}"
        text = f"{cause(failure, place.socket['type'])} ({when})"
        if current and place.view is not None and place.view["retry_in"]:
            text += f"; the next attempt is in {span(place.view['retry_in'])}"
        yield current, text


def cause(failure: Failure, kind: str) -> str:
    """A failure in words."""
    from fastmq.cli import events

    said, code = failure["text"] or "", failure["code"]
    address = failure["address"] if failure["bound"] else ""
    peer = f"the peer {address}" if address else "a peer" if failure["bound"] else "the other end"
    link = f"the connection from {address}" if address else "the connection"
    fits = " and ".join(FITS.get(kind, ()))
    if failure["kind"] == "connect":
        if code == errno.ENOENT and not failure["endpoint"].startswith("ipc:"):
            return "the host's name is not found"
        hint = {
            errno.ECONNREFUSED: ": nobody is bound there",
            errno.ENOENT: ": nobody is bound there",
            errno.ETIMEDOUT: ": the host does not answer, or a firewall drops what is sent",
        }.get(code, "")
        return f"{said[:1].lower()}{said[1:]}{hint}"
    if failure["kind"] == "type":
        return f"{peer} is a {said}, and a {kind} talks to {fits} only: it was refused"
    if failure["kind"] == "authentication":
        return (
            f"{peer if failure['bound'] else 'this socket'} was refused by the authenticator "
            f"({code}): its CURVE key is not known there, or its name or password is wrong"
        )
    if failure["kind"] in ("protocol", "violation"):
        return f"{link} was ended: {events.protocol_words(code)}"
    if failure["kind"] == "handshake":
        if code == errno.ETIMEDOUT:
            return f"the handshake with {peer} timed out: it does not speak ZMTP, or is stuck"
        if code == errno.EFAULT:
            return f"there is no authenticator to ask about {peer}: it was refused"
        reason = f": {said}" if code else ""
        return (
            f"{peer} closed the connection before the handshake was done{reason}; is "
            "the key of the server right, and the type of the other socket?"
        )
    if failure["kind"] == "refused":
        return f"{peer} has no place: {'identity in use' if said else 'there is one already'}"
    if failure["kind"] == "lost":
        if code == errno.ETIMEDOUT:
            return "the connection was lost: no heartbeat came"
        return f"the connection was lost{': ' + said if said else ', the other end closed it'}"
    return f"an incoming connection was not accepted: {said}"


def kinds(place: Place, others: list[Place]) -> Iterator[str]:
    """Sockets at both ends that do not go together."""
    mine = place.socket["type"]
    for other in others:
        theirs = other.socket["type"]
        if mine in FITS and theirs in FITS and theirs not in FITS[mine]:
            yield (
                f"the other end, in {name_of(other.pid)}, is a {theirs}: a {mine} talks to "
                f"{' and '.join(FITS[mine])} only"
            )
        elif place.view and other.view and place.view["mechanism"] != other.view["mechanism"]:
            yield (
                f"here {place.view['mechanism']}, at the other end, in {name_of(other.pid)}, "
                f"{other.view['mechanism']}: both sides need the same mechanism"
            )


def queues(place: Place, earlier: SocketView | None, others: list[Place]) -> Iterator[str]:
    """Queues that are full, or that nobody empties."""
    socket = place.socket
    for peer in peers_at(place):
        where = peer["address"] or peer["endpoint"]
        if peer["full"]:
            yield (
                f"HWM reached: {messages(peer['queued_out'], 'wait')} for {where} "
                f"(SNDHWM {socket['options']['SNDHWM']})"
                + (": it receives too slowly or not at all" if peer["state"] == "ready" else "")
            )
        elif peer["queued_out"] and peer["state"] == "connecting":
            yield f"{messages(peer['queued_out'], 'wait')} for a connection to {where}"
        if peer["paused"]:
            yield (
                f"the program does not receive: {messages(peer['queued_in'], 'wait')} here, from "
                f"{where} (RCVHWM {socket['options']['RCVHWM']}), and no more is read from it"
            )
        elif peer["queued_in"] and earlier and stands(earlier, socket):
            yield (
                f"{messages(peer['queued_in'], 'wait')} to be received, from {where}, and none was "
                f"within {LOOK_AGAIN_S:g} s"
            )
    drops = socket["drops"]
    if drops["full"]:
        told = "for subscribers that were too slow" if socket["type"] in PUBLISHERS else ""
        yield f"{messages(drops['full'])} dropped for want of room (SNDHWM) {told}".rstrip()
    if drops["unrouted"]:
        yield f"{messages(drops['unrouted'])} dropped: no peer had that routing id"
    if drops["gone"]:
        yield f"{messages(drops['gone'])} dropped that were queued for peers that went"
    if drops["rules"]:
        yield f"{messages(drops['rules'])} dropped: the peer sent them against the rules"
    if not socket["options"]["CONFLATE"] and drops["replaced"]:
        yield f"{messages(drops['replaced'])} dropped: newer ones took their place"


def stands(earlier: SocketView, now: SocketView) -> bool:
    """Whether nothing was received by the program between two looks."""
    came = now["messages_received"] - earlier["messages_received"]
    return now["queued_in"] - earlier["queued_in"] == came


def subscriptions(socket: SocketView, topic: bytes | None) -> Iterator[str]:
    """Whether messages have takers."""
    what = "group" if socket["type"] in ("RADIO", "DISH") else "topic"
    if socket["type"] in PUBLISHERS and socket["peers_ready"]:
        have = [t for p in socket["peers"] for t in p.get("topics", [])]
        if not socket["subscriptions"]:
            yield f"no subscriber: the peers are subscribed to no {what}"
        elif topic is not None and socket["reaches"] == 0:
            yield (
                f"no subscriber for the {what} '{text_of(topic.decode('latin-1'))}': subscribed "
                f"are {listed(dict.fromkeys(have))}"
            )
    if socket["type"] in SUBSCRIBERS:
        if not socket["subscriptions"]:
            call = "join(GROUP)" if socket["type"] == "DISH" else "subscribe(b'')"
            yield f"it is subscribed to nothing: {call} is missing"
        elif topic is not None and socket["wants"] is False:
            more = socket["subscriptions"] - len(socket["topics"])
            yield (
                f"it is not subscribed to '{text_of(topic.decode('latin-1'))}', but to "
                f"{listed(socket['topics'], left_off=more)}"
            )


def unmatched(place: Place) -> Iterator[str]:
    """Peers that nothing was sent to although they are subscribed: as a publisher sends only what
    matches, nothing did."""
    socket = place.socket
    found = [p for p in ready(place) if not p["queued_out"] and not p["queued_in"]]
    if socket["type"] in PUBLISHERS:
        for peer in [p for p in found if p["subscriptions"] and not p["messages_sent"]][:MOST]:
            topics = listed(peer.get("topics", []))
            yield (
                f"nothing that was sent matches what {peer['address'] or peer['endpoint']} is "
                f"subscribed to ({topics})"
            )
    elif socket["type"] in SUBSCRIBERS and socket["subscriptions"]:
        for peer in [p for p in found if not p["messages_received"]][:MOST]:
            yield (
                f"{peer['address'] or peer['endpoint']} has sent nothing that matches since it "
                "connected"
            )


def turns(place: Place) -> Iterator[tuple[bool, str]]:
    """REQ and REP take turns; who waits."""
    socket = place.socket
    calls = {wait["call"]: wait for wait in socket["waits"]}
    watched = socket["watched"]
    listens = "receive" in calls or "poll" in calls or watched["poll_set"]
    listens = listens or watched["loop_receive"]
    if socket["type"] == "REQ" and socket["turn"] == "receive":
        yield True, "a request is out and has no reply yet; another send is out of step until then"
    if socket["type"] == "REP" and socket["turn"] == "send":
        yield True, "it has received a request and not answered: it receives no other before"
    elif socket["type"] in ("SUB", "PULL", "REP", "GATHER", "DISH") and not listens:
        yield False, "no thread waits to receive now"
    for wait in calls.values():
        if wait["seconds"] < 1:
            continue
        who = thread_name(place.pid, wait["thread"]) if wait["thread"] else "a thread"
        yield (
            wait["call"] in ("send", "subscribers"),
            f"{who} waits in {VERBS[wait['call']]} for {span(wait['seconds'])}",
        )


VERBS = {
    "receive": "recv",
    "send": "send",
    "poll": "poll",
    "subscribers": "wait_for_subscribers",
}


def facts(place: Place, topic: bytes | None) -> Iterator[str]:
    """What works."""
    socket = place.socket
    found = ready(place)
    if found:
        types = ", ".join(sorted({p["type"] or "?" for p in found}))
        since = max(p["since"] or 0 for p in found)
        yield f"connected: {len(found):,} peer{'' if len(found) == 1 else 's'} ({types})"
        if socket["type"] in SUBSCRIBERS and since:
            yield f"what was published before {clock(since)} did not reach it"
    if topic is None and socket["subscriptions"]:
        yield subscribed(socket)
    if topic is not None and socket["reaches"]:
        count = socket["reaches"]
        yield f"a message of that topic reaches {count:,} peer{'' if count == 1 else 's'}"
    yield (
        f"sent {socket['messages_sent']:,}, received {socket['messages_received']:,}, "
        f"dropped {socket['dropped']:,}"
    )


def subscribed(socket: SocketView) -> str:
    """What a subscriber, or the peers of a publisher, are subscribed to."""
    option = "--topic GROUP" if socket["type"] in ("RADIO", "DISH") else "--topic TOPIC"
    if socket["type"] in PUBLISHERS:
        topics = list(dict.fromkeys(t for p in socket["peers"] for t in p.get("topics", [])))
        who, more = "its peers are subscribed", 0
    else:
        topics = socket["topics"]
        who, more = "subscribed", max(0, (socket["subscriptions"] or 0) - len(topics))
    if not topics:
        what = f"{socket['subscriptions']:,} topics"
    else:
        what = "everything" if topics == [""] else listed(topics, left_off=more)
    return f"{who} to {what}; {option} says whether a message passes"


def show(answers: list[Answer], as_json: bool) -> None:
    """Print what was found, a socket at a time."""
    for answer in answers:
        place = answer.place
        if as_json:
            told = {
                "pid": place.pid,
                "socket": place.socket["id"],
                "type": place.socket["type"],
                "bound": place.bound,
                "endpoint": place.endpoint,
                "reasons": answer.reasons,
                "facts": answer.facts,
            }
            print(printable_json(json.dumps(told)))
            continue
        at = "bound to" if place.bound else "connected to"
        print(
            f"{place.socket['type']} {at} {text_of(place.endpoint)}, socket "
            f"{place.socket['id']} of {name_of(place.pid)}"
        )
        for text in answer.reasons:
            print(coloured(wrapped(f"  - {text}"), "red", sys.stdout))
        if not answer.reasons:
            print(coloured("  nothing stands in the way here", "green", sys.stdout))
        for text in answer.facts:
            print(coloured(wrapped(f"    {text}"), "grey", sys.stdout))


def wrapped(text: str) -> str:
    """As lines that are no longer than the terminal is wide, if it is one."""
    if not sys.stdout.isatty():
        return text
    width = max(shutil.get_terminal_size((100, 0)).columns - 1, 40)
    return textwrap.fill(
        text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
