# SPDX-License-Identifier: MIT
"""A network of several hosts that multicast to each other, as a program.

Makes as many network namespaces as its argument says, with the addresses 10.88.0.1, 10.88.0.2 and
so on, each with a TUN device, and carries packets between them: multicast to all others, the rest
to the one that has the address. It loses, doubles and delays them without any help of the kernel's,
for each receiver by itself, drawn from a seed. It says where the namespaces are, then does what it
is told, a JSON object a line, and answers each with a line:

    {"loss": 0.05}                  share of packets lost
    {"double": 0.1}                 share of packets that come twice
    {"jitter": 0.02}                up to so many seconds late, so that others overtake them
    {"lose": ["10.88.0.2", true]}   nothing reaches that host
    {"count": true}                 answers with how many packets of data it has carried

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
SIOCADDRT, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x890B, 0x8914, 0x8916, 0x891C
SIOCSIFTXQLEN = 0x8943
IFF_UP, IFF_MULTICAST, RTF_UP = 1, 0x1000, 1

libc = ctypes.CDLL(None, use_errno=True)


def say(what):
    os.write(1, json.dumps(what).encode() + b"\n")


def sockaddr(address):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


class Host:
    def __init__(self, address):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.address = address
        self.namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"group", IFF_TUN | IFF_NO_PI))
        self.lost = False
        self.up(b"lo")
        for what, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.0")):
            fcntl.ioctl(self.control, what, struct.pack("16s16s8x", b"group", sockaddr(value)))
        fcntl.ioctl(self.control, SIOCSIFTXQLEN, struct.pack("16si20x", b"group", 10000))
        self.up(b"group")
        name = ctypes.create_string_buffer(b"group")
        route = struct.pack(
            "@L16s16s16sHhLPhPLLH",
            0,
            sockaddr("224.0.0.0"),
            sockaddr("0.0.0.0"),
            sockaddr("240.0.0.0"),
            RTF_UP,
            0,
            0,
            0,
            0,
            ctypes.addressof(name),
            0,
            0,
            0,
        )
        fcntl.ioctl(self.control, SIOCADDRT, route)

    def up(self, device):
        flags = IFF_UP | IFF_MULTICAST
        fcntl.ioctl(self.control, SIOCSIFFLAGS, struct.pack("16sH22x", device, flags))


class Hub:
    def __init__(self, hosts):
        self.hosts = hosts
        self.by_address = {socket.inet_aton(h.address): h for h in hosts}
        self.loss = self.double = self.jitter = 0.0
        self.dice = random.Random(1)
        self.under_way = []
        self.serial = 0
        self.data = 0

    def obey(self, order):
        answer = "done"
        for name, value in order.items():
            if name == "lose":
                self.by_address[socket.inet_aton(value[0])].lost = value[1]
            elif name == "count":
                answer = self.data
            else:
                assert name in ("loss", "double", "jitter"), name
                setattr(self, name, value)
        say(answer)

    def take(self, host):
        for _ in range(256):
            try:
                packet = os.read(host.tun, 65536)
            except OSError:
                return
            if packet[0] >> 4 != 4 or packet[9] not in (17, 113):
                continue
            if 224 <= packet[16] < 240:
                self.data += 1
                for other in self.hosts:
                    if other is not host:
                        self.carry(other, packet)
            elif packet[16:20] in self.by_address:
                self.carry(self.by_address[packet[16:20]], packet)

    def carry(self, to, packet):
        if to.lost or self.dice.random() < self.loss:
            return
        for _ in range(2 if self.dice.random() < self.double else 1):
            if not self.jitter:
                self.put(to, packet)
                continue
            self.serial += 1
            due = time.monotonic() + self.dice.random() * self.jitter
            heapq.heappush(self.under_way, (due, self.serial, to, packet))

    def put(self, to, packet):
        try:
            os.write(to.tun, packet)
        except OSError:
            pass  # full: lost

    def deliver(self):
        """What is due; how long until the next one is, or None."""
        now = time.monotonic()
        while self.under_way and self.under_way[0][0] <= now:
            _, _, to, packet = heapq.heappop(self.under_way)
            self.put(to, packet)
        return max(0.0, self.under_way[0][0] - now) if self.under_way else None


def main():
    libc.prctl(1, 9, 0, 0, 0)  # ends with the test
    try:
        hosts = [Host(f"10.88.0.{n + 1}") for n in range(int(sys.argv[1]))]
    except OSError as e:
        return say({"sorry": str(e)})
    hub = Hub(hosts)
    pid = os.getpid()
    say({h.address: f"/proc/{pid}/fd/{h.namespace}" for h in hosts})
    by_tun = {h.tun: h for h in hosts}
    while True:
        ready, _, _ = select.select([0, *by_tun], [], [], hub.deliver())
        for fd in ready:
            if fd:
                hub.take(by_tun[fd])
                continue
            line = sys.stdin.readline()
            if not line:
                return None
            hub.obey(json.loads(line))


if __name__ == "__main__":
    main()
