# SPDX-License-Identifier: MIT
"""The decorators that give a function a context or a socket."""

import pytest
from target import submodule, zmq

decorators = submodule("decorators")


def test_a_context_comes_last_and_ends_with_the_function():
    seen = []

    @decorators.context()
    def use(first, ctx):
        assert first == 1
        assert isinstance(ctx, zmq.Context) and not ctx.closed
        seen.append(ctx)
        return "result"

    assert use(1) == "result"
    assert seen[0].closed


def test_a_name_makes_it_a_keyword():
    @decorators.context("ctx")
    @decorators.socket("pull", zmq.PULL, context_name="ctx")
    def use(*, ctx, pull):
        assert pull.type == zmq.PULL
        assert pull.context is ctx
        return pull

    assert use().closed


def test_a_socket_is_closed_when_the_function_raises():
    seen = []

    @decorators.context()
    @decorators.socket(zmq.PUSH)
    def use(ctx, push):
        assert push.context is ctx
        seen.append(push)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        use()
    assert seen[0].closed


def test_a_keyword_given_twice_is_refused():
    @decorators.context("ctx")
    def use(ctx):
        pytest.fail("it was called")

    with pytest.raises(TypeError):
        use(ctx=None)


@pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")
def test_draft_types_are_injected_too():
    @decorators.context()
    @decorators.socket(zmq.SERVER)
    @decorators.socket(zmq.CLIENT)
    def ask(context, server, client):
        server.bind("inproc://decorated")
        client.connect("inproc://decorated")
        client.send(b"question")
        server.send(server.recv(copy=False))
        return client.recv()

    assert ask() == b"question"
