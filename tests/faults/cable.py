# SPDX-License-Identifier: MIT
"""Two networks and the cable between them, as a program.

It makes two network namespaces, "a" (10.77.0.1) and "b" (10.77.0.2), each with a TUN device, and
carries the packets from one to the other itself: it can delay, lose and hold them back without any
help of the kernel's. It says where the namespaces are, then does what it is told, a JSON object a
line, and answers each with a line:

    {"delay": 0.05}                 one way, seconds
    {"loss": 0.1}                   share of packets lost
    {"cut": true}                   nothing gets through, nobody is told
    {"link": ["b", false]}          the device of one side goes down
    {"address": ["b", "10.77.0.3"]} one side has this address from now on, and not the one before
    {"reject": true}                what comes from a is answered with "host unreachable"

Linux, and the right to make namespaces; says {"sorry": why} where that is missing.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFDSTADDR = 0x8914, 0x8916, 0x8918
IFF_UP = 1
ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2"}
UNREACHABLE, HOST = 3, 1

libc = ctypes.CDLL(None, use_errno=True)


def say(what):
    os.write(1, json.dumps(what).encode() + b"\n")


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Side:
    """A namespace with its end of the cable."""

    def __init__(self, name):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"cable", IFF_TUN | IFF_NO_PI))
        self.up(b"lo", True)
        self.other = ADDRESSES["b" if name == "a" else "a"]
        self.address(ADDRESSES[name])

    def up(self, device, up):
        fcntl.ioctl(self.control, SIOCSIFFLAGS, struct.pack("16sH22x", device, IFF_UP * up))

    def _set(self, what, address):
        sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(self.control, what, struct.pack("16s16s8x", b"cable", sockaddr))

    def address(self, address):
        self.up(b"cable", False)
        self._set(SIOCSIFADDR, address)
        self._set(SIOCSIFDSTADDR, self.other)
        self.up(b"cable", True)

    def link(self, up):
        self.up(b"cable", up)
        if up:  # the route went with it
            self._set(SIOCSIFDSTADDR, self.other)


class Cable:
    def __init__(self, sides):
        self.sides = sides
        self.delay = self.loss = 0.0
        self.cut = self.reject = False
        self.dice = random.Random(1)
        self.under_way = []
        self.serial = 0

    def obey(self, order):
        for name, value in order.items():
            if name in ("link", "address"):
                getattr(self.sides[value[0]], name)(value[1])
            else:
                assert hasattr(self, name), name
                setattr(self, name, value)

    def take(self, name):
        """Packets that one side sends."""
        side = self.sides[name]
        for _ in range(64):
            try:
                packet = os.read(side.tun, 65536)
            except BlockingIOError:
                return
            except OSError:
                return  # its device is down
            if packet[0] >> 4 != 4 or self.cut:
                continue
            if self.reject and name == "a":
                self.put("a", self.unreachable(packet))
            elif self.dice.random() >= self.loss:
                self.serial += 1
                due = time.monotonic() + self.delay
                to = "b" if name == "a" else "a"
                heapq.heappush(self.under_way, (due, self.serial, to, packet))

    def put(self, name, packet):
        try:
            os.write(self.sides[name].tun, packet)
        except OSError:
            pass  # its device is down, or full: lost

    def unreachable(self, packet):
        body = struct.pack(">BBHI", UNREACHABLE, HOST, 0, 0) + packet[:28]
        body = body[:2] + struct.pack(">H", checksum(body)) + body[4:]
        head = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, packet[16:20], packet[12:16]
        )
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        return head + body

    def deliver(self):
        """What is due; how long until the next one is, or None."""
        now = time.monotonic()
        while self.under_way and self.under_way[0][0] <= now:
            _, _, name, packet = heapq.heappop(self.under_way)
            if not self.cut:
                self.put(name, packet)
        return max(0.0, self.under_way[0][0] - now) if self.under_way else None


def main():
    libc.prctl(1, 9, 0, 0, 0)  # ends with the test
    try:
        cable = Cable({name: Side(name) for name in ADDRESSES})
    except OSError as e:
        return say({"sorry": str(e)})
    pid = os.getpid()
    say({name: f"/proc/{pid}/fd/{side.namespace}" for name, side in cable.sides.items()})
    by_tun = {side.tun: name for name, side in cable.sides.items()}
    while True:
        ready, _, _ = select.select([0, *by_tun], [], [], cable.deliver())
        for fd in ready:
            if fd:
                cable.take(by_tun[fd])
                continue
            line = sys.stdin.readline()
            if not line:
                return None
            cable.obey(json.loads(line))
            say("done")


if __name__ == "__main__":
    main()
