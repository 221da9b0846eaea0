# SPDX-License-Identifier: MIT
import copy
import gc
import pickle
import sys
import threading
import weakref

import pytest
import wire
from helpers import (
    WAIT_MS,
    eventually,
    free_port,
    last_endpoint,
    recv,
    recv_multipart,
    wait_readable,
)
from target import fastmq_only, zmq

Frame = zmq.Frame


@pytest.mark.parametrize("data", [b"", b"x", b"abc" * 100, bytes(100_000)], ids=len)
def test_a_frame_holds_bytes(data):
    f = Frame(data)
    assert f.bytes == bytes(f) == data
    assert len(f) == len(data)
    assert bytes(f.buffer) == data
    assert memoryview(f).nbytes == len(data)


@pytest.mark.parametrize(
    "data", [bytearray(b"abc"), memoryview(b"abc"), b"abc"], ids=["bytearray", "view", "bytes"]
)
def test_frames_of_any_buffer(data):
    assert Frame(data).bytes == b"abc"


@pytest.mark.parametrize("wrong", ["text", 5, [1], object()])
def test_frames_refuse_what_is_no_buffer(wrong):
    with pytest.raises(TypeError):
        Frame(wrong)


def test_an_empty_frame():
    f = Frame()
    assert f.bytes == b"" and len(f) == 0 and not f.more


def test_the_text_of_a_frame_shows_its_bytes():
    assert "abc" in str(Frame(b"abc"))


def test_copy_makes_an_equal_frame():
    f = Frame(b"data" * 50)
    g = copy.copy(f)
    assert g is not f and g.bytes == f.bytes


def test_received_frames_know_more(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send_multipart([b"a", b"b"])
    wait_readable(pull, "message")
    a = pull.recv(copy=False)
    b = pull.recv(copy=False)
    assert (a.bytes, b.bytes) == (b"a", b"b")
    assert a.more and not b.more
    assert a.get(zmq.MORE) == 1 and b.get(zmq.MORE) == 0


def test_recv_multipart_without_copy_gives_frames(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send_multipart([b"a", bytes(100_000)])
    wait_readable(pull, "message")
    frames = pull.recv_multipart(copy=False)
    assert all(isinstance(f, Frame) for f in frames)
    assert [f.bytes for f in frames] == [b"a", bytes(100_000)]


def test_frames_can_be_sent_again(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    f = Frame(b"again" * 1000)
    for _ in range(3):
        b.send(f)
        assert recv(a) == b"again" * 1000
    b.send(f, copy=False)
    b.send_multipart([f, b"x", f])
    assert recv(a) == f.bytes
    assert recv_multipart(a) == [f.bytes, b"x", f.bytes]


def test_a_received_frame_can_be_forwarded(make, name):
    a, b, c = make(zmq.PAIR), make(zmq.PAIR), make(zmq.PULL)
    one, two = name(), name()
    push = make(zmq.PUSH)
    a.bind(one)
    b.connect(one)
    c.bind(two)
    push.connect(two)
    for size in (10, 100_000):
        a.send(bytes(size))
        wait_readable(b, "message")
        push.send(b.recv(copy=False), copy=False)
        assert recv(c) == bytes(size)


@pytest.mark.parametrize("side", [4, 400])
@pytest.mark.parametrize("copy", [True, False])
def test_arrays_in_one_piece_are_sent_as_their_memory_lies(pair_of, side, copy):
    np = pytest.importorskip("numpy")
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    array = np.arange(side * side).reshape(side, side)
    push.send(array, copy=copy)
    push.send(np.asfortranarray(array), copy=copy)
    for expected in (array, array.T):
        came = np.frombuffer(recv(pull), array.dtype).reshape(side, side)
        assert np.array_equal(came, expected)
    with pytest.raises((ValueError, BufferError)):
        push.send(array[:, ::2], copy=copy)


@pytest.mark.parametrize("size", [0, 10, 1000, 70_000, 1 << 20])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sending_any_buffer_with_and_without_copy(pair_of, size, kind):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    data = bytes(i % 251 for i in range(min(size, 5000))) * (size // 5000 or 1)
    push.send(kind(data))
    push.send(kind(data), copy=False)
    assert recv(pull) == data
    assert recv(pull) == data


def test_a_view_in_the_middle_of_a_buffer(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    data = bytes(range(256)) * 1000
    push.send(memoryview(data)[1000:200_000], copy=False)
    assert recv(pull) == data[1000:200_000]


def test_copied_data_may_change_after_send(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    data = bytearray(b"a" * 100_000)
    push.send(data)
    data[:] = b"b" * 100_000
    assert recv(pull) == b"a" * 100_000


def test_arrays_are_sent_as_their_bytes(pair_of):
    import array

    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    numbers = array.array("d", range(20_000))
    push.send(numbers, copy=False)
    got = recv(pull)
    assert array.array("d", got) == numbers


def test_a_tracker_is_done_when_the_message_is_gone(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    tracker = push.send(b"x" * 1_000_000, copy=False, track=True)
    assert isinstance(tracker, zmq.MessageTracker)
    assert recv(pull) == b"x" * 1_000_000
    tracker.wait(WAIT_MS / 1000)
    assert tracker.done


def test_a_tracker_that_is_not_done_says_so(make):
    push = make(zmq.PUSH)
    push.connect("tcp://127.0.0.1:9")
    tracker = push.send(bytearray(1_000_000), copy=False, track=True)
    assert not tracker.done
    with pytest.raises(zmq.NotDone):
        tracker.wait(0.01)
    push.close()
    tracker.wait(WAIT_MS / 1000)
    assert tracker.done


def test_a_copied_message_is_done_at_once(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    tracker = push.send(b"x", copy=True, track=True)
    assert tracker is None or tracker.done
    assert recv(pull) == b"x"


def test_send_multipart_tracks_all_parts(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    tracker = push.send_multipart([b"x" * 100_000, b"y" * 100_000], copy=False, track=True)
    assert len(recv_multipart(pull)) == 2
    tracker.wait(WAIT_MS / 1000)
    assert tracker.done


def test_trackers_wait_for_events_and_trackers():
    e = threading.Event()
    t = zmq.MessageTracker(e)
    both = zmq.MessageTracker(t)
    assert not both.done
    e.set()
    assert t.done and both.done
    both.wait(1)
    with pytest.raises(TypeError):
        zmq.MessageTracker("x")


def test_an_untracked_frame_has_no_tracker():
    assert Frame(b"x").tracker is None or Frame(b"x").tracker.done
    assert isinstance(Frame(b"x" * 100_000, track=True).tracker, zmq.MessageTracker)


def test_the_buffer_of_a_sent_object_is_given_back(pair_of):
    """A bytearray cannot be resized while someone holds its buffer."""
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    data = bytearray(1_000_000)
    push.send(data, copy=False)
    assert len(recv(pull)) == 1_000_000

    def free():
        gc.collect()
        try:
            data.append(1)
        except BufferError:
            return False
        return True

    eventually("the buffer is free", free)


def test_references_to_sent_bytes_are_given_back(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    data = b"z" * 500_000
    before = sys.getrefcount(data)
    for _ in range(5):
        push.send(data, copy=False)
        assert len(recv(pull)) == 500_000

    def back():
        push.poll(0, zmq.POLLOUT)
        gc.collect()
        return sys.getrefcount(data) <= before

    eventually("references are back", back)


def test_poll_is_enough_to_get_a_reference_back(make):
    push = make(zmq.PUSH)
    push.bind("tcp://127.0.0.1:*")
    data = b"z" * 5_000_000
    before = sys.getrefcount(data)
    with wire.connect(last_endpoint(push)) as w:
        w.handshake("PULL")
        push.send(data, copy=False)
        assert [len(part) for part in w.read_message()] == [len(data)]
        eventually(
            "the reference is back",
            lambda: push.poll(0, zmq.POLLOUT) and sys.getrefcount(data) <= before,
        )


def test_a_received_frame_outlives_its_socket(make, name):
    address = name()
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind(address)
    b.connect(address)
    b.send(bytes(range(256)) * 400)
    wait_readable(a, "message")
    frame = a.recv(copy=False)
    view = frame.buffer
    a.close()
    b.close()
    del frame
    gc.collect()
    assert bytes(view) == bytes(range(256)) * 400


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_frame_properties(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER, None, {"routing_id": b"me"})
    dealer.send(b"x")
    wait_readable(router, "message")
    frame = router.recv_multipart(copy=False)[-1]
    assert frame["Socket-Type"] == frame.get("Socket-Type") == "DEALER"
    assert frame["Peer-Address"] == "127.0.0.1"
    assert frame.get("Identity") == "me"
    with pytest.raises(zmq.ZMQError):
        frame.get("No-Such-Property")


@pytest.mark.parametrize("size", [0, 5, 1000, 1_000_000])
def test_a_received_frame_can_be_written_to(pair_of, size):
    push, pull = pair_of(zmq.PUSH, zmq.PULL)
    by_reference = last_endpoint(pull).startswith("inproc")
    push.send(bytes(size))
    assert pull.poll(WAIT_MS)
    frame = pull.recv(copy=False)
    if by_reference and zmq.__name__ == "fastmq":  # the very object that was sent
        assert frame.buffer.readonly
        return
    assert not frame.buffer.readonly and not memoryview(frame).readonly
    frame.buffer[:] = b"x" * size
    assert frame.bytes == b"x" * size
    array = pytest.importorskip("numpy").frombuffer(frame, "u1") if size else None
    assert array is None or array.flags.writeable


def test_a_frame_is_writable_only_while_its_memory_is_its_own():
    frame = Frame(b"x" * 100)
    assert not memoryview(frame).readonly
    other = copy.copy(frame)
    if zmq.__name__ == "fastmq":
        assert memoryview(frame).readonly and memoryview(other).readonly
        assert memoryview(Frame(b"x" * 100, copy=False)).readonly
        del other
        gc.collect()
    assert not memoryview(frame).readonly


def test_the_buffer_is_the_same_object_each_time_and_no_cycle():
    frame = Frame(b"abc")
    assert frame.buffer is frame.buffer
    view = frame.buffer
    gone = weakref.ref(frame)
    del frame
    assert bytes(view) == b"abc"
    del view
    assert gone() is None


@pytest.mark.parametrize("size", [2, 100, 70_000])
@pytest.mark.parametrize("how", [None, True, False])
def test_the_bytes_of_a_frame_are_a_copy_made_once(size, how):
    data = b"x" * size
    frame = Frame(data, copy=how)
    assert frame.bytes == data and frame.bytes is not data
    assert frame.bytes is frame.bytes


def test_the_packages_threshold_is_that_of_new_sockets_and_frames(make, monkeypatch):
    monkeypatch.setattr(zmq, "COPY_THRESHOLD", 3)
    assert make(zmq.PUSH).copy_threshold == 3
    assert Frame(b"ab", track=True).tracker.done
    assert not Frame(b"abc", track=True).tracker.done
    monkeypatch.undo()
    assert make(zmq.PUSH).copy_threshold == 65536


def tracked(sock, data, how):
    send = sock.send_multipart if how == "parts" else sock.send
    return send([data, data] if how == "parts" else data, copy=False, track=True)


@pytest.mark.parametrize("how", ["one", "parts"])
@pytest.mark.parametrize("size", [1, 100, 20_000])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_tracker_is_pending_while_the_buffer_is_lent(make, kind, size, how):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    push.copy_threshold = 0
    address = f"tcp://127.0.0.1:{free_port()}"
    push.connect(address)
    tracker = tracked(push, kind(size), how)
    assert not tracker.done
    with pytest.raises(zmq.NotDone):
        tracker.wait(0.05)
    pull.bind(address)
    assert recv_multipart(pull) == [bytes(size)] * (2 if how == "parts" else 1)
    tracker.wait(WAIT_MS / 1000)
    assert tracker.done
    push.copy_threshold = 65536
    assert tracked(push, kind(size), how).done


def test_a_tracked_frame_is_pending_as_long_as_it_is_there(make, tcp_address):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    pull.bind(tcp_address)
    push.connect(last_endpoint(pull))
    frame = Frame(b"again", copy=False, track=True)
    trackers = [push.send(frame, copy=False) for _ in range(2)]
    for _ in range(2):
        assert recv(pull) == b"again"
    assert not frame.tracker.done and not any(tracker.done for tracker in trackers)
    del frame
    for tracker in trackers:
        tracker.wait(WAIT_MS / 1000)


def test_a_lent_body_reaches_every_subscriber_before_it_is_done(make, tcp_address):
    pub = make(zmq.PUB)
    pub.bind(tcp_address)
    pub.copy_threshold = 0
    subs = [make(zmq.SUB) for _ in range(3)]
    for sub in subs:
        sub.subscribe(b"")
        sub.connect(last_endpoint(pub))
    greeted = set()

    def all_hear():
        pub.send(b"hello")
        greeted.update(i for i, sub in enumerate(subs) if sub.poll(10))
        return len(greeted) == len(subs)

    eventually("all are subscribed", all_hear)
    data = bytearray(b"lent")
    tracker = pub.send(data, copy=False, track=True)
    for sub in subs:
        while recv(sub) != b"lent":
            pass
    tracker.wait(WAIT_MS / 1000)


@fastmq_only("keeps the receive buffer alive")
def test_a_small_frame_does_not_pin_a_receive_chunk(make, tcp_address):
    """Two thousand frames kept out of a stream of larger ones stay small."""
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(tcp_address)
    push.connect(pull.getsockopt(zmq.LAST_ENDPOINT).decode())

    def rss():
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * 4096

    kept = []
    before = rss()
    for _ in range(2000):
        for _ in range(5):
            push.send(bytes(60_000))
        push.send(b"small")
        for _ in range(5):
            recv(pull)
        wait_readable(pull, "message")
        kept.append(pull.recv(copy=False))
    assert rss() - before < 100 << 20
    assert all(f.bytes == b"small" for f in kept)


def test_frames_cannot_be_pickled_by_accident():
    with pytest.raises(TypeError):
        pickle.dumps(Frame(b"x"))


def test_message_is_the_old_name():
    assert zmq.Message is Frame


@fastmq_only("makes the frame anew under the buffer")
def test_a_frame_is_not_made_anew_while_a_buffer_of_it_is_in_use():
    f = Frame(bytearray(b"old" * 1000))
    view = f.buffer
    with pytest.raises(BufferError):
        f.__init__(b"new")
    assert view[:3] == b"old"
    view.release()
    f.__init__(b"new")
    assert f.bytes == b"new"


@fastmq_only("tells trackers from a thread of its own")
def test_an_exception_while_trackers_are_told_reaches_the_caller_and_stops_none(
    make, name, monkeypatch
):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    address = name()
    pull.bind(address)
    push.connect(address)
    trackers = [push.send(bytearray(100_000), copy=False, track=True) for _ in range(5)]
    frames = pull.recv_many(copy=False)
    plain = threading.Event.set
    calls = []

    def interrupted(event):
        calls.append(event)
        if len(calls) == 1:
            raise KeyboardInterrupt
        plain(event)

    monkeypatch.setattr(threading.Event, "set", interrupted)
    with pytest.raises(KeyboardInterrupt):
        del frames
        for tracker in trackers:
            tracker.wait(WAIT_MS / 1000)
    for tracker in trackers:
        tracker.wait(WAIT_MS / 1000)
    assert len(calls) == 6
