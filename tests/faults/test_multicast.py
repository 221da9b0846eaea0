# SPDX-License-Identifier: MIT
"""Multicast between networks: over which interface, how far, whether this host hears it, IPv6.

Two hosts, "a" and "b", are network namespaces that two veth pairs join, v0 and v1."""

import shutil
import sys

import pytest
from helpers import WAIT_MS
from process import START_MS
from target import IS_FASTMQ, fastmq_only, zmq

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types"),
]

HOST = """
import ctypes, json, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(1, 9, 0, 0, 0)  # ends with the test

def say(what):
    os.write(1, json.dumps(what).encode() + b"\\n")

if libc.unshare(0x40000000):
    say({"sorry": os.strerror(ctypes.get_errno())})
    sys.exit()
say({"pid": os.getpid()})
for line in sys.stdin:
    run = subprocess.run(json.loads(line), capture_output=True, text=True)
    say(run.stderr if run.returncode else "")
"""


class Hosts:
    """Commands run on them, and the paths of their namespaces."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.pid = {}
        for name, host in hosts.items():
            said = host.says("a namespace", START_MS)
            if "sorry" in said:
                pytest.skip(f"no network namespaces: {said['sorry']}")
            self.pid[name] = said["pid"]

    def run(self, name, command, may_fail=False):
        self.hosts[name].hears(command.split())
        error = self.hosts[name].says(command)
        if error and not may_fail:
            pytest.skip(f"{command}: {error.strip()}")
        return not error

    def __getitem__(self, name):
        return f"/proc/{self.pid[name]}/ns/net"


@pytest.fixture
def hosts(child):
    if not sys.platform.startswith("linux") or not shutil.which("ip"):
        pytest.skip("needs Linux and its ip command")
    made = Hosts({name: child(HOST, prelude="") for name in "ab"})
    for v in ("v0", "v1"):
        made.run("a", f"ip link add {v} type veth peer name {v} netns {made.pid['b']}")
    for number, name in enumerate("ab", 1):
        made.run(name, "ip link set lo up")
        for net, v in enumerate(("v0", "v1")):
            made.run(name, f"ip addr add 10.79.{net}.{number}/24 dev {v}")
            made.run(name, f"ip -6 addr add fd79:{net}::{number}/64 dev {v} nodad", may_fail=True)
            made.run(name, f"ip link set {v} up")
        made.run(name, "ip route add 224.0.0.0/4 dev v0")
    return made


DISH = """
dish = zmq.Context().socket(zmq.DISH)
address, ipv6, group = sys.argv[1], int(sys.argv[2]), sys.argv[3]
dish.ipv6 = ipv6
dish.join(group)
dish.bind(address)
say("bound")
while True:
    frame = dish.recv(copy=False)
    say([frame.group, frame.bytes.decode()])
"""

RADIO = """
radio = zmq.Context().socket(zmq.RADIO)
address, ipv6, hops, loop = sys.argv[1], *map(int, sys.argv[2:5])
radio.ipv6, radio.multicast_hops, radio.multicast_loop = ipv6, hops, loop
radio.connect(address)
say("connected")
while True:
    group, body = hear()
    radio.send(body.encode(), group=group)
"""

PLAIN = """
import socket, struct
group, interface, ipv6 = sys.argv[1], sys.argv[2], int(sys.argv[3])
index = socket.if_nametoindex(interface)
s = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((group, 5555, 0, index) if ipv6 else (group, 5555))
if ipv6:
    request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
else:
    request = socket.inet_aton(group) + b"\\0" * 4 + struct.pack("@I", index)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    s.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
say("bound")
while True:
    data, control, _, _ = s.recvmsg(1000, 1000)
    say([data.hex(), struct.unpack("@i", control[0][2][:4])[0]])
"""


def start(child, hosts, where, code, *args):
    one = child(code, *args, network=hosts[where])
    one.says("socket", START_MS)
    return one


def dish_at(child, hosts, where, address, ipv6=0, group="g"):
    return start(child, hosts, where, DISH, address, ipv6, group)


def radio_at(child, hosts, where, address, ipv6=0, hops=1, loop=1):
    return start(child, hosts, where, RADIO, address, ipv6, hops, loop)


def heard(radio, *dishes, tries=50):
    """Sends until each has heard: an interface that came up just now may lose the first."""
    left = list(dishes)
    for n in range(tries):
        radio.hears(["g", str(n)])
        for dish in list(left):
            try:
                group, body = dish.said.get(timeout=0.1)
            except Exception:
                continue
            assert group == "g" and int(body) <= n
            left.remove(dish)
        if not left:
            return True
    return False


def silent(dish):
    while not dish.said.empty():
        dish.said.get()
    try:
        dish.said.get(timeout=0.3)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("interface", ["10.79.0.{}", "v0", "*", None])
def test_multicast_over_an_interface(hosts, child, interface):
    """By its address, by its name, and as the routes have it."""
    where = [f"{interface.format(n)};" if interface else "" for n in (1, 2)]
    dish = dish_at(child, hosts, "b", f"udp://{where[1]}239.79.0.1:5555")
    radio = radio_at(child, hosts, "a", f"udp://{where[0]}239.79.0.1:5555")
    assert heard(radio, dish)


def test_the_interface_is_the_one_that_was_named(hosts, child):
    first = dish_at(child, hosts, "b", "udp://10.79.0.2;239.79.0.1:5555")
    second = dish_at(child, hosts, "b", "udp://10.79.1.2;239.79.0.2:5555")
    by_first = radio_at(child, hosts, "a", "udp://v0;239.79.0.1:5555")
    by_second = radio_at(child, hosts, "a", "udp://v1;239.79.0.2:5555")
    assert heard(by_first, first) and heard(by_second, second)
    # To the group of the second, but over the wrong interface.
    wrong = radio_at(child, hosts, "a", "udp://v0;239.79.0.2:5555")
    assert not heard(wrong, second, tries=5)


@fastmq_only("hears every group of the port")
def test_a_dish_hears_its_own_multicast_address_alone(hosts, child):
    first = dish_at(child, hosts, "b", "udp://v0;239.79.0.1:5555")
    second = dish_at(child, hosts, "b", "udp://v0;239.79.0.2:5555")
    radio = radio_at(child, hosts, "a", "udp://v0;239.79.0.1:5555")
    assert heard(radio, first)
    assert silent(second)


@pytest.mark.parametrize("hops", [1, 7])
@pytest.mark.parametrize("ipv6", [0, 1])
def test_multicast_hops_is_the_time_to_live(hosts, child, hops, ipv6):
    if ipv6 and not IS_FASTMQ:
        pytest.skip("sets the option of IPv4")
    group = "ff15::79" if ipv6 else "239.79.0.1"
    plain = start(child, hosts, "b", PLAIN, group, "v0", ipv6)
    to = f"udp://v0;[{group}]:5555" if ipv6 else f"udp://v0;{group}:5555"
    radio = radio_at(child, hosts, "a", to, ipv6=ipv6, hops=hops)
    for _ in range(50):
        radio.hears(["group", "body"])
        try:
            assert plain.said.get(timeout=0.1) == [b"\x05groupbody".hex(), hops]
            return
        except AssertionError:
            raise
        except Exception:
            continue
    pytest.fail("nothing came")


@pytest.mark.parametrize("loop", [0, 1])
@pytest.mark.parametrize("address", ["udp://v0;239.79.0.1:5555", "udp://v0;[ff15::79]:5555"])
def test_multicast_loop_says_whether_this_host_hears_it(hosts, child, loop, address):
    ipv6 = int("[" in address)
    here = dish_at(child, hosts, "a", address, ipv6)
    there = dish_at(child, hosts, "b", address, ipv6)
    radio = radio_at(child, hosts, "a", address, ipv6, loop=loop)
    assert heard(radio, there, *([here] if loop else []))
    if not loop:
        assert silent(here)


@pytest.mark.parametrize("group", ["ff02::7979", "ff15::79"])
def test_ipv6_multicast(hosts, child, group):
    dish = dish_at(child, hosts, "b", f"udp://v0;[{group}]:5555", 1)
    radio = radio_at(child, hosts, "a", f"udp://v0;[{group}]:5555", 1)
    assert heard(radio, dish)


def test_all_dishes_on_all_hosts_hear_all_radios(hosts, child):
    address = "udp://v0;239.79.0.1:5555"
    dishes = [dish_at(child, hosts, where, address) for where in "abb"]
    radios = [radio_at(child, hosts, where, address) for where in "ab"]
    for radio in radios:
        assert heard(radio, *dishes)


@fastmq_only("has no such option here")
def test_bindtodevice_chooses_the_interface(hosts, child):
    code = """
radio = zmq.Context().socket(zmq.RADIO)
radio.setsockopt(zmq.BINDTODEVICE, b"v1")
radio.connect("udp://239.79.0.1:5555")
say("connected")
while True:
    group, body = hear()
    radio.send(body.encode(), group=group)
"""
    first = dish_at(child, hosts, "b", "udp://v0;239.79.0.1:5555")
    second = dish_at(child, hosts, "b", "udp://v1;239.79.0.1:5555")
    radio = start(child, hosts, "a", code)
    assert heard(radio, second)
    assert silent(first)


@fastmq_only("stays lost")
def test_a_radio_goes_on_when_its_address_and_its_route_come_back(hosts, child):
    dish = dish_at(child, hosts, "b", "udp://10.79.0.2:5555")
    radio = radio_at(child, hosts, "a", "udp://10.79.0.2:5555")
    assert heard(radio, dish)
    hosts.run("a", "ip link set v0 down")
    hosts.run("a", "ip addr del 10.79.0.1/24 dev v0")
    assert not heard(radio, dish, tries=3)
    hosts.run("a", "ip addr add 10.79.0.9/24 dev v0")
    hosts.run("a", "ip link set v0 up")
    assert heard(radio, dish, tries=WAIT_MS // 100)


@fastmq_only("never tries again")
def test_a_radio_waits_for_a_network_that_is_not_up_yet(hosts, child):
    dish = dish_at(child, hosts, "b", "udp://10.79.0.2:5555")
    hosts.run("a", "ip link set v0 down")
    radio = radio_at(child, hosts, "a", "udp://10.79.0.2:5555")
    radio.hears(["g", "0"])
    hosts.run("a", "ip link set v0 up")
    assert heard(radio, dish, tries=WAIT_MS // 100)


def test_loss_doubling_and_reordering_cost_messages_and_nothing_else(hosts, child):
    if not hosts.run("a", "tc qdisc add dev v0 root netem delay 1ms 1ms", may_fail=True):
        pytest.skip("no netem")
    hosts.run("a", "tc qdisc change dev v0 root netem delay 2ms 2ms loss 20% duplicate 20%")
    dish = dish_at(child, hosts, "b", "udp://v0;239.79.0.1:5555")
    radio = radio_at(child, hosts, "a", "udp://v0;239.79.0.1:5555")
    for n in range(2000):
        radio.hears(["g" if n % 2 else "other", str(n)])
    hosts.run("a", "tc qdisc del dev v0 root")
    got = []
    while True:
        radio.hears(["g", "end"])
        group, body = dish.says("a message")
        assert group == "g"
        if body == "end":
            break
        got.append(int(body))
    assert 500 < len(got) < 1500
    assert all(n % 2 for n in got) and len(set(got)) > 500
