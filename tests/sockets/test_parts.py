# SPDX-License-Identifier: MIT
"""Messages received and sent part by part, by several threads."""

import asyncio
import gc
import threading
import warnings

import pytest
from helpers import eventually, recv, unique
from target import fastmq_only, zmq


def in_thread(call):
    """What call() returns or raises in a thread that then ends."""
    out = []

    def run():
        try:
            out.append(call())
        except BaseException as e:
            out.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(out[0], BaseException):
        raise out[0]
    return out[0]


def test_one_thread_goes_on_receiving_where_another_left_off(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    for _ in range(2):
        push.send_multipart([b"1", b"2", b"3"])
    assert recv(pull) == b"1"
    assert in_thread(lambda: pull.getsockopt(zmq.RCVMORE)) == 1
    assert in_thread(lambda: pull.poll(0)) == zmq.POLLIN
    assert in_thread(pull.recv) == b"2"
    assert in_thread(pull.recv) == b"3"
    assert pull.getsockopt(zmq.RCVMORE) == 0
    assert in_thread(pull.recv) == b"1"
    assert pull.recv_multipart() == [b"2", b"3"]


def test_threads_of_an_executor_receive_all_parts_of_a_message(pair_of):
    """The way of loop.run_in_executor: each part by whichever thread is free."""
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    messages = [[b"%d.%d" % (m, n) for n in range(m % 4 + 1)] for m in range(60)]
    for parts in messages:
        push.send_multipart(parts)

    async def main():
        loop = asyncio.get_running_loop()
        got = []
        for _ in messages:
            parts = [await loop.run_in_executor(None, pull.recv)]
            while pull.getsockopt(zmq.RCVMORE):
                parts.append(await loop.run_in_executor(None, pull.recv))
            got.append(parts)
        return got

    assert asyncio.run(main()) == messages


@fastmq_only("sockets of libzmq belong to one thread")
@pytest.mark.parametrize("way", ["recv_multipart", "recv_many", "iteration"])
def test_whole_messages_stay_whole_however_many_threads_receive(pair_of, way):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    count, threads = 600, 4
    got = []

    def take():
        if way == "iteration":
            for parts in pull:
                if parts == [b"end"]:
                    return
                got.append(parts)
        while way == "recv_multipart":
            parts = pull.recv_multipart()
            if parts == [b"end"]:
                return
            got.append(parts)
        while way == "recv_many":
            for parts in pull.recv_many(1, multipart=True):
                if parts == [b"end"]:
                    return
                got.append(parts)

    takers = [threading.Thread(target=take) for _ in range(threads)]
    for taker in takers:
        taker.start()
    for n in range(count):
        push.send_multipart([b"%d" % n] * (n % 5 + 1))
    for _ in takers:
        push.send(b"end")
    for taker in takers:
        taker.join()
    assert sorted(got) == sorted([b"%d" % n] * (n % 5 + 1) for n in range(count))


@fastmq_only("libzmq has no such report")
class TestBegunAndNotFinished:
    def test_the_end_of_the_thread_is_reported_and_drops_it(self, pair_of):
        pull, push = pair_of(zmq.PULL, zmq.PUSH)
        endpoint = pull.last_endpoint.decode()
        with pytest.warns(RuntimeWarning, match="PUSH socket at .*its thread ended") as told:
            in_thread(lambda: [push.send(b"left", zmq.SNDMORE), push.send(b"behind", zmq.SNDMORE)])
            eventually("the thread's own dict is gone", lambda: told)
        assert len(told) == 1
        text = str(told[0].message)
        assert "1 message begun" in text and "2 parts" in text and endpoint in text
        # A later thread may have the number of the one that ended: nothing of that is left.
        for n in range(20):
            in_thread(lambda n=n: push.send(b"%d" % n))
            assert pull.recv_multipart() == [b"%d" % n]

    def test_closing_the_socket_is_reported(self, pair_of):
        _, push = pair_of(zmq.PULL, zmq.PUSH)
        push.send(b"1", zmq.SNDMORE)
        with pytest.warns(RuntimeWarning, match="PUSH socket at .*when it was closed"):
            push.close()
        assert push.closed

    def test_several_threads_and_forms_are_counted(self, make, name):
        address = name()
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        pull.bind(address)
        push.connect(address)
        go, done = threading.Event(), threading.Event()
        ready = []

        def begin(send):
            send()
            ready.append(1)
            go.wait()

        forms = (
            lambda: push.send_multipart([b"1", b"2"], zmq.SNDMORE),
            lambda: push.send(bytearray(b"3"), zmq.SNDMORE),
            lambda: push.send_string("4", zmq.SNDMORE),
        )
        threads = [threading.Thread(target=begin, args=(form,)) for form in forms]
        for thread in threads:
            thread.start()
        eventually("all have begun", lambda: len(ready) == 3)
        with pytest.warns(RuntimeWarning, match=r"3 messages begun .*\(4 parts\)"):
            push.close()
        go.set()
        for thread in threads:
            thread.join()
        done.set()

    def test_what_was_finished_is_not_reported(self, pair_of):
        pull, push = pair_of(zmq.PULL, zmq.PUSH)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            in_thread(lambda: [push.send(b"1", zmq.SNDMORE), push.send(b"2")])
            push.send(b"3", zmq.SNDMORE)
            push.send(b"4")
            assert pull.recv_multipart() == [b"1", b"2"]
            assert pull.recv_multipart() == [b"3", b"4"]
            push.close()
            gc.collect()

    def test_asyncio_reports_too(self):
        async def main():
            with zmq.asyncio.Context() as ctx, ctx.socket(zmq.PUSH) as push:
                push.bind(f"inproc://{unique('begun')}")
                with ctx.socket(zmq.PULL) as pull:
                    pull.connect(push.last_endpoint.decode())
                    await push.send(b"1", zmq.SNDMORE)
                    with pytest.warns(RuntimeWarning, match="when it was closed"):
                        push.close()

        import fastmq.asyncio  # noqa: F401

        asyncio.run(main())
