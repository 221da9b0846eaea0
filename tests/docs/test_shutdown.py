# SPDX-License-Identifier: MIT
"""The recipes of docs/guide/shutdown.md: SIGTERM in the middle of requests loses no reply."""

import signal

import pytest
from helpers import WAIT_MS, eventually, last_endpoint, raises_errno, recv_multipart
from target import fastmq_only
from test_docs import LIMIT_S, ROOT, Stage, read

import fastmq as zmq

pytestmark = [fastmq_only("runs the documentation"), pytest.mark.deadline(120)]

EXAMPLES = read(ROOT / "docs/guide/shutdown.md")[0]
REQUESTS = 200


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_sigterm_in_the_middle_of_requests_loses_no_reply(example, tmp_path, ctx):
    stage = Stage(example, tmp_path)
    (service,) = [program for program in example.programs if program.stays]
    (line,) = [line for line in service.blocks[0].text.splitlines() if ".bind(" in line]
    address = stage.localize(line.split('"')[1])
    with ctx.socket(zmq.DEALER) as dealer:
        dealer.connect(address)
        try:
            stage.start(service)
            ((_, child),) = stage.running
            dealer.send(b"up?")
            assert dealer.recv(timeout=LIMIT_S * 1000) == b"UP?"
            dealer.send_many([b"request %d" % n for n in range(REQUESTS)])
            eventually("requests at the service", lambda: not dealer.stats().queued_out)
            replies = [dealer.recv(timeout=WAIT_MS)]
            child.send_signal(signal.SIGTERM)
            while len(replies) < REQUESTS:
                replies.append(dealer.recv(timeout=LIMIT_S * 1000))
            assert set(replies) == {b"REQUEST %d" % n for n in range(REQUESTS)}
            out, err = child.communicate(timeout=LIMIT_S)
            assert child.returncode == 0, err
            assert "stopped, all replies are out" in out
        finally:
            for _, child in stage.running:
                child.kill()
                child.communicate()


def test_unbind_ends_connections_whose_replies_are_not_out(make):
    router, dealer = make(zmq.ROUTER, router_mandatory=1), make(zmq.DEALER)
    router.bind("tcp://127.0.0.1:*")
    address = last_endpoint(router)
    dealer.connect(address)
    dealer.send(b"request")
    client, _ = recv_multipart(router)
    router.unbind(address)
    with raises_errno(zmq.EHOSTUNREACH):
        router.send_multipart([client, b"reply"])
