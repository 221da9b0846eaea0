# SPDX-License-Identifier: MIT
"""The helpers beside sockets: Z85, JSON, addresses, and what is kept for old programs."""

import ctypes
import importlib
import json
import pickle
import re
import subprocess
import sys
import threading
import unicodedata

import pytest
from target import MODULE, fastmq_only, submodule, zmq

z85 = submodule("utils.z85")

BIDI_CONTROLS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def test_z85_tells_its_characters():
    assert len(z85.Z85CHARS) == 85
    assert z85.Z85MAP[ord("0")] == 0
    assert all(z85.Z85CHARS[value] == character for character, value in z85.Z85MAP.items())


def test_jsonapi_speaks_bytes():
    jsonapi = submodule("utils.jsonapi")
    data = jsonapi.dumps({"a": "é"}, sort_keys=True)
    assert isinstance(data, bytes)
    assert json.loads(data) == jsonapi.loads(data) == jsonapi.loads(data.decode()) == {"a": "é"}
    assert jsonapi.loads('"é"'.encode()) == "é"
    assert jsonapi.loads(b"1.5", parse_float=str) == "1.5"
    with pytest.raises(ValueError):
        jsonapi.loads(b"{")


@fastmq_only("has no such helper")
@pytest.mark.parametrize("copy", [True, False])
def test_pickle5_sends_buffers_as_parts_of_their_own(make, copy):
    pickle5 = submodule("utils.pickle5")
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind("inproc://pickle5")
    b.connect("inproc://pickle5")
    large, small = bytearray(100_000), bytearray(b"abc")
    batch = {"name": "batch", "data": [pickle.PickleBuffer(large), pickle.PickleBuffer(small)]}
    a.send_serialized(batch, pickle5.dumps, copy=copy)
    a.send_serialized(batch, pickle5.dumps, copy=copy)
    head, *buffers = b.recv_multipart()
    assert len(head) < 200 and buffers == [large, small]
    same = b.recv_serialized(pickle5.loads, copy=copy)
    assert same["name"] == "batch" and [bytes(d) for d in same["data"]] == [large, small]
    with pytest.raises(pickle.UnpicklingError):
        pickle5.loads([head])


@fastmq_only("has no such helper")
def test_pickle5_takes_arrays_without_a_copy(make):
    np = pytest.importorskip("numpy")
    pickle5 = submodule("utils.pickle5")
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind("inproc://pickle5-arrays")
    b.connect("inproc://pickle5-arrays")
    array = np.arange(100_000)
    a.send_serialized({"x": array, "y": array[::2]}, pickle5.dumps, copy=False)
    same = b.recv_serialized(pickle5.loads, copy=False)
    assert np.array_equal(same["x"], array) and np.array_equal(same["y"], array[::2])
    assert np.shares_memory(same["x"], array)
    assert not same["x"].flags.writeable


def test_addresses_are_numbers():
    cast = submodule("utils.interop").cast_int_addr
    assert cast(12345) == 12345
    for wrong in ("7", None, 1.5, b"7"):
        with pytest.raises(ValueError):
            cast(wrong)


@fastmq_only("knows cffi's pointers only")
def test_addresses_of_ctypes_are_numbers():
    cast = submodule("utils.interop").cast_int_addr
    assert cast(ctypes.c_void_p(12345)) == 12345


@fastmq_only("has a thread for it")
def test_the_garbage_collector_keeps_objects_and_tells():
    garbage = submodule("utils.garbage")
    collector = garbage.GarbageCollector()
    collector.start()
    assert collector.is_alive()
    event = threading.Event()
    kept, other = collector.store(b"kept", event), collector.store(b"other")
    assert kept != other
    assert collector.refs[kept].obj == b"kept"
    assert len(collector) == 2
    collector.release(kept)
    assert event.is_set()
    collector.release(kept)
    collector.stop()
    assert len(collector) == 0
    assert isinstance(garbage.gc, garbage.GarbageCollector)


@fastmq_only("does not tell where it is imported")
def test_strtypes_are_deprecated_and_work():
    name = f"{MODULE}.utils.strtypes"
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match="strtypes"):
        strtypes = importlib.import_module(name)
    for function in (strtypes.b, strtypes.asbytes, strtypes.cast_bytes):
        assert function("é") == function(b"\xc3\xa9") == b"\xc3\xa9"
    for function in (strtypes.u, strtypes.cast_unicode):
        assert function("é") == function(b"\xc3\xa9") == "é"
    assert strtypes.unicode is str and strtypes.bytes is bytes
    for function in (strtypes.b, strtypes.u):
        with pytest.raises(TypeError):
            function(5)


def test_allow_interrupt_passes_exceptions_on():
    allow_interrupt = submodule("utils.win32").allow_interrupt
    called = []
    with allow_interrupt(lambda: called.append(1)):
        pass
    with pytest.raises(KeyError), allow_interrupt():
        raise KeyError
    assert not called


def test_versions_are_those_whose_behaviour_it_has():
    assert zmq.zmq_version() == "4.3.5"
    assert zmq.zmq_version_info() == (4, 3, 5)
    assert zmq.pyzmq_version_info()[:1] == (27,)
    assert zmq.pyzmq_version().startswith("27.")
    assert zmq.sugar.version.VERSION_MAJOR == 27


@fastmq_only("its own version is pyzmq's")
def test_the_version_is_fastmqs_own_and_that_of_pyzmqs_paths_pyzmqs():
    assert zmq.__version__ != zmq.pyzmq_version() == zmq.sugar.__version__


@fastmq_only("lacks names of its own list")
def test_the_backend_is_below():
    assert issubclass(zmq.Context, zmq.backend.Context)
    assert issubclass(zmq.Socket, zmq.backend.Socket)
    select = submodule("backend.select")
    found = select.select_backend(f"{MODULE}.backend.cython")
    assert found["strerror"] is zmq.strerror
    with pytest.raises(ImportError):
        select.select_backend("json")


def test_the_watchers_and_generators_show_their_help():
    for name in ("log", "curve_keygen"):
        done = subprocess.run(
            [sys.executable, "-m", f"{MODULE}.{name}", "--help"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage:")


@fastmq_only("has no such function")
def test_what_a_peer_said_is_printable():
    printable = submodule("utils.printable")
    text = "".join(map(chr, range(0x110000)))
    safe = printable.printable(text)
    unsafe = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    unsafe += [c for c in text if unicodedata.bidirectional(c) in BIDI_CONTROLS]
    unsafe += "\u061c\u200e\u200f"
    # A set of each character would take long where every allocation is watched.
    found = re.compile("[" + "".join(map(re.escape, unsafe)) + "]")
    assert found.search(text) and not found.search(safe)
    assert printable.printable(safe) == safe
    plain = "r\u00e9sum\u00e9 \u65e5\u672c \U0001f469\u200d\U0001f52c \\"
    assert printable.printable(plain) == printable.printable(plain.encode()) == plain
    assert printable.printable("a\tb\nc", keep="\t") == "a\tb\\nc"
    assert printable.printable(b"\x1b\xff\xc2\x9b") == "\\x1b\\xff\\x9b"
    value = {text: [text]}
    for indent in (None, 1):
        written = printable.printable_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(written) == json.loads(json.dumps(value))
        assert not found.search(written.replace("\n", ""))
