# SPDX-License-Identifier: MIT
"""Devices: in this thread, in one of their own, in processes; and the monitored queue."""

import multiprocessing
import pickle
import struct
import threading
import warnings
from multiprocessing import resource_tracker

import pytest
from helpers import last_endpoint, raises_errno, recv, recv_multipart, sync_subscriber, unique
from target import fastmq_only, submodule, zmq

devices = submodule("devices")

TCP = "tcp://127.0.0.1"
JOIN_S = 10


@pytest.fixture
def home():
    """The context of devices in threads, ended with them at the end."""
    context = zmq.Context()
    running = []

    def run(device):
        device.context_factory = lambda: context
        device.start()
        running.append(device)
        return device

    run.context = context
    yield run
    context.term()
    for device in running:
        device.join(JOIN_S)
        assert not device.launcher.is_alive()
        assert device.done


def connected(make, kind, port, **options):
    sock = make(kind, **options)
    sock.connect(f"{TCP}:{port}")
    return sock


def ask(make, port_in, port_out):
    """One request and its reply through a ROUTER/DEALER device."""
    req, rep = connected(make, zmq.REQ, port_in), connected(make, zmq.REP, port_out)
    req.send(b"question")
    assert recv(rep, "the request") == b"question"
    rep.send(b"answer")
    assert recv(req, "the reply") == b"answer"


def test_a_thread_device_forwards_both_ways(home, make):
    device = devices.ThreadDevice(zmq.QUEUE, zmq.ROUTER, zmq.DEALER)
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    home(device)
    ask(make, front, back)


def test_options_are_set_before_the_sockets_connect(home, make):
    sink = make(zmq.ROUTER)
    sink.bind(f"{TCP}:*")
    device = devices.ThreadDevice(zmq.STREAMER, zmq.PULL, zmq.DEALER)
    port = device.bind_in_to_random_port(TCP)
    device.setsockopt_in(zmq.RCVHWM, 5)
    device.setsockopt_out(zmq.IDENTITY, b"the device")
    device.connect_out(last_endpoint(sink))
    home(device)
    connected(make, zmq.PUSH, port).send(b"x")
    assert recv_multipart(sink, "the message") == [b"the device", b"x"]


@pytest.mark.parametrize("side", ["in", "out"])
def test_a_device_of_one_socket_answers_itself(home, make, side):
    device = devices.ThreadDevice(zmq.QUEUE, zmq.REP, -1)
    port = getattr(device, f"bind_{side}_to_random_port")(TCP)
    home(device)
    req = connected(make, zmq.REQ, port)
    for text in (b"one", b"two"):
        req.send(text)
        assert recv(req, "the echo") == text


def test_the_end_of_a_forwarder_subscribes(home, make):
    device = devices.ThreadDevice(zmq.FORWARDER, zmq.SUB, zmq.PUB)
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    device.setsockopt_in(zmq.SUBSCRIBE, b"")
    home(device)
    pub, sub = connected(make, zmq.PUB, front), connected(make, zmq.SUB, back)
    sync_subscriber(pub, sub)


def test_a_device_in_this_thread_runs_until_its_context_ends():
    device = devices.Device(zmq.QUEUE, zmq.PULL, zmq.PUSH)
    context = zmq.Context()
    device.context_factory = lambda: context
    device.bind_in(f"inproc://{unique('in')}")
    ended = threading.Thread(target=context.term)

    class Ending(devices.Device):
        def _setup_sockets(self):
            ends = super()._setup_sockets()
            ended.start()
            return ends

    device.__class__ = Ending
    assert not device.done
    device.start()
    assert device.done
    device.join(0)
    ended.join(JOIN_S)
    assert context.closed


def test_a_device_ends_with_a_destroyed_context():
    context = zmq.Context()
    device = devices.ThreadProxy(zmq.PULL, zmq.PUSH)
    device.context_factory = lambda: context
    port = device.bind_in_to_random_port(TCP)
    device.start()
    with zmq.Context() as other, other.socket(zmq.PUSH) as push:
        push.connect(f"{TCP}:{port}")
        push.send(b"x")
    context.destroy(linger=0)
    device.join(JOIN_S)
    assert not device.launcher.is_alive()


@fastmq_only("pyzmq's thread prints a traceback")
@pytest.mark.parametrize("end", ["term", "destroy"])
def test_a_device_whose_context_ends_before_it_begins_ends_in_silence(monkeypatch, end):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    context = zmq.Context()
    device = devices.ThreadDevice(zmq.QUEUE, zmq.PULL, zmq.PUSH)
    device.context_factory = lambda: context
    getattr(context, end)()
    device.start()
    device.join(JOIN_S)
    assert not device.launcher.is_alive() and device.done
    assert told == []


def test_the_types_must_be_told():
    for arguments in ((), (zmq.QUEUE,), (zmq.QUEUE, zmq.PULL), (zmq.QUEUE, None, zmq.PUSH)):
        with pytest.raises(TypeError, match=r"(in|out)_type must be specified"):
            devices.Device(*arguments)


def test_random_ports_come_from_the_range_and_end():
    device = devices.Device(zmq.QUEUE, zmq.PULL, zmq.PUSH)
    ports = {device.bind_in_to_random_port(TCP, min_port=21000, max_port=21050) for _ in range(3)}
    assert len(ports) == 3
    assert ports <= set(range(21000, 21050))
    with zmq.Context() as context, context.socket(zmq.PULL) as taken:
        port = taken.bind_to_random_port(TCP)
        with pytest.raises(zmq.ZMQBindError):
            device.bind_out_to_random_port(TCP, min_port=port, max_port=port + 1, max_tries=2)


def test_a_proxy_copies_to_its_monitor(home, make):
    device = devices.ThreadProxy(zmq.PULL, zmq.PUSH, zmq.PUSH)
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    monitor = device.bind_mon_to_random_port(TCP)
    device.setsockopt_mon(zmq.SNDHWM, 10)
    home(device)
    push, pull = connected(make, zmq.PUSH, front), connected(make, zmq.PULL, back)
    copies = connected(make, zmq.PULL, monitor)
    push.send_multipart([b"a", b"b"])
    assert recv_multipart(pull, "the message") == [b"a", b"b"]
    assert recv_multipart(copies, "its copy") == [b"a", b"b"]


def test_a_steerable_proxy_counts_and_terminates(make):
    context = zmq.Context()
    device = devices.ThreadProxySteerable(zmq.PULL, zmq.PUSH, zmq.PUB, zmq.PAIR)
    device.context_factory = lambda: context
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    control = device.bind_ctrl_to_random_port(TCP)
    device.setsockopt_ctrl(zmq.LINGER, 0)
    device.start()
    push, pull = connected(make, zmq.PUSH, front), connected(make, zmq.PULL, back)
    steer = connected(make, zmq.PAIR, control)
    push.send(b"four")
    assert recv(pull, "the message") == b"four"
    steer.send(b"STATISTICS")
    counts = [struct.unpack("=Q", part)[0] for part in recv_multipart(steer, "statistics")]
    assert counts == [1, 4, 0, 0, 0, 0, 1, 4]
    steer.send(b"TERMINATE")
    device.join(JOIN_S)
    assert device.done
    context.term()


def test_routers_of_a_monitored_queue_exchange_ids(home, make):
    device = devices.ThreadMonitoredQueue(zmq.ROUTER, zmq.ROUTER, zmq.PUSH, b"there", b"back")
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    monitor = device.bind_mon_to_random_port(TCP)
    device.setsockopt_in(zmq.ROUTER_MANDATORY, 1)
    home(device)
    client = connected(make, zmq.DEALER, front, identity=b"client")
    server = connected(make, zmq.DEALER, back, identity=b"server")
    copies = connected(make, zmq.PULL, monitor)
    server.send_multipart([b"client", b"I am here"])
    assert recv_multipart(client, "the server's message") == [b"server", b"I am here"]
    assert recv_multipart(copies, "a copy") == [b"back", b"client", b"server", b"I am here"]
    client.send_multipart([b"server", b"", b"hello"])
    assert recv_multipart(server, "the client's message") == [b"client", b"", b"hello"]
    assert recv_multipart(copies, "a copy") == [b"there", b"server", b"client", b"", b"hello"]


def test_monitored_queue_prefixes_both_ways(home, make):
    device = devices.ThreadMonitoredQueue(zmq.PAIR, zmq.PAIR, zmq.PUSH)
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    monitor = device.bind_mon_to_random_port(TCP)
    home(device)
    a, b = connected(make, zmq.PAIR, front), connected(make, zmq.PAIR, back)
    copies = connected(make, zmq.PULL, monitor)
    a.send_multipart([b"1", b"2"])
    assert recv_multipart(b) == [b"1", b"2"]
    assert recv_multipart(copies) == [b"in", b"1", b"2"]
    b.send(b"3")
    assert recv(a) == b"3"
    assert recv_multipart(copies) == [b"out", b"3"]


def test_monitored_queue_refuses_what_it_cannot_use(make):
    a, b, mon = make(zmq.PULL), make(zmq.PUSH), make(zmq.PUB)
    for arguments in ((1, b, mon), (a, 2, mon), (a, b, None), (a, b, 3)):
        with pytest.raises(TypeError):
            devices.monitored_queue(*arguments)
    with pytest.raises(TypeError, match="bytes"):
        devices.monitored_queue(a, b, mon, "in")


@fastmq_only("does not look at the monitor before there is a message")
def test_monitored_queue_refuses_a_closed_monitor(make):
    a, b, mon = make(zmq.PULL), make(zmq.PUSH), make(zmq.PUB)
    mon.close()
    with raises_errno(zmq.ENOTSOCK):
        devices.monitored_queue(a, b, mon)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@fastmq_only("pyzmq's devices cannot be spawned")
@pytest.mark.slow
def test_a_process_device_forwards_and_obeys(make, monkeypatch, method):
    ways = multiprocessing.get_context(method)
    monkeypatch.setattr(devices.ProcessProxySteerable, "_launch_class", ways.Process)
    device = devices.ProcessProxySteerable(zmq.ROUTER, zmq.DEALER)
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    control = device.bind_ctrl_to_random_port(TCP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads
        device.start()
    try:
        ask(make, front, back)
        assert not device.done
        connected(make, zmq.PAIR, control).send(b"TERMINATE")
        device.join(JOIN_S)
        assert device.done
        assert device.launcher.exitcode == 0
    finally:
        device.launcher.kill()
        device.launcher.join()
        device.launcher.close()
        if method == "spawn":
            resource_tracker._resource_tracker._stop()


@fastmq_only("pyzmq's devices cannot be pickled once they ran")
def test_a_device_is_pickled_with_its_notes():
    device = devices.ProcessProxy(zmq.PULL, zmq.PUSH)
    device.bind_in("tcp://127.0.0.1:5555")
    device.setsockopt_mon(zmq.LINGER, 0)
    again = pickle.loads(pickle.dumps(device))
    assert again._ends["in"].binds == ["tcp://127.0.0.1:5555"]
    assert again._ends["mon"].options == [(zmq.LINGER, 0)]
    assert again.context_factory is zmq.Context


@fastmq_only("says so in its documentation only")
def test_device_is_a_deprecated_proxy(ctx, make):
    a, b = make(zmq.PULL), make(zmq.PUSH)
    a.close()
    with pytest.warns(DeprecationWarning, match="proxy"), raises_errno(zmq.ENOTSOCK):
        zmq.device(zmq.STREAMER, a, b)


@pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")
def test_a_device_forwards_what_is_scattered(home, make):
    device = devices.ThreadDevice(zmq.STREAMER, zmq.GATHER, zmq.SCATTER)
    front = device.bind_in_to_random_port(TCP)
    back = device.bind_out_to_random_port(TCP)
    home(device)
    scatter, gather = connected(make, zmq.SCATTER, front), connected(make, zmq.GATHER, back)
    for i in range(10):
        scatter.send(b"%d" % i)
    assert [recv(gather) for _ in range(10)] == [b"%d" % i for i in range(10)]
