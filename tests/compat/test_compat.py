# SPDX-License-Identifier: MIT
"""`import zmq` means fastmq: in this process, in programs run so, and in their children.

What changes an interpreter runs in one of its own.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from target import fastmq_only, submodule, zmq

pytestmark = fastmq_only("makes zmq mean fastmq")

compat = submodule("compat")

SAY = "import zmq, sys; print(zmq.__name__, zmq.Context.__module__)"


def run(code, *arguments, **options):
    """Runs code in a fresh interpreter; it must succeed. What it printed."""
    command = [sys.executable, *arguments]
    if code is not None:
        command += ["-c", textwrap.dedent(code)]
    options.setdefault("env", clean())
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=25, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def clean(**more):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return env | more


def test_every_module_becomes_the_same_object():
    run("""
        import importlib, pkgutil, sys, warnings
        warnings.simplefilter("ignore")
        import fastmq, fastmq.compat
        fastmq.compat.install()
        import zmq
        assert zmq is not fastmq and zmq.Socket is fastmq.Socket
        assert set(fastmq.__all__) == set(zmq.__all__) and dir(zmq) == dir(fastmq)
        seen = 0
        for found in pkgutil.walk_packages(fastmq.__path__, "fastmq."):
            name = found.name
            if name.endswith("__main__") or name.startswith("fastmq.compat.path"):
                continue
            try:
                own = importlib.import_module(name)
            except ImportError:
                continue  # what it needs is not installed
            spec = own.__spec__
            other = importlib.import_module("zmq" + name.removeprefix("fastmq"))
            assert other is own, name
            assert own.__spec__ is spec and spec.name == own.__name__, name
            seen += 1
        assert seen > 40, seen
    """)


def test_the_forms_of_import_agree():
    run("""
        import fastmq.compat
        fastmq.compat.install()
        import zmq.sugar.socket as a
        from zmq.sugar import socket as b
        from zmq import Socket, utils
        import zmq.backend.cython, zmq.utils.monitor
        from zmq.error import ZMQError
        import fastmq, fastmq.sugar.socket
        assert a is b is fastmq.sugar.socket
        assert Socket is a.Socket is fastmq.Socket
        assert zmq.utils.monitor is utils.monitor
        assert issubclass(zmq.Again, ZMQError)
    """)


def test_what_fastmq_lacks_is_no_module_even_beside_pyzmq():
    run("""
        import fastmq.compat
        fastmq.compat.install()
        try:
            import zmq.nothing
        except ModuleNotFoundError as e:
            assert e.name == "zmq.nothing" and "zmq.nothing" in str(e)
        else:
            raise AssertionError
        import importlib.util
        assert importlib.util.find_spec("zmq.nothing") is None
        assert importlib.util.find_spec("zmq.utils.nothing") is None
        assert importlib.util.find_spec("zmq.utils.z85") is not None
    """)


def test_install_is_idempotent_and_can_be_undone():
    run("""
        import os, sys
        import fastmq.compat as compat
        os.environ["PYTHONPATH"] = "/elsewhere"
        before = list(sys.meta_path), list(sys.path)
        assert not compat.installed()
        for _ in range(3):
            compat.install(children=True)
        assert compat.installed()
        assert os.environ["PYTHONPATH"] == os.pathsep.join([compat.PATH, "/elsewhere"])
        import zmq.utils.z85
        compat.uninstall()
        assert not compat.installed()
        assert (list(sys.meta_path), list(sys.path)) == before
        assert os.environ["PYTHONPATH"] == "/elsewhere"
        assert not [name for name in sys.modules if name.split(".")[0] == "zmq"]
        compat.uninstall()
        compat.install()
        import zmq
        assert zmq.__name__ == "zmq" and zmq.Context.__module__ == "fastmq.context"
    """)


def test_after_uninstall_the_real_one_is_found():
    pytest.importorskip("zmq", reason="pyzmq is not installed")
    run("""
        import fastmq.compat
        fastmq.compat.install()
        import zmq
        fastmq.compat.uninstall()
        import zmq, fastmq
        assert zmq is not fastmq and zmq.__name__ == "zmq"
    """)


def test_under_the_name_zmq_all_texts_are_those_of_pyzmq():
    run("""
        import logging, os, warnings
        import fastmq.compat
        fastmq.compat.install()
        import zmq, zmq.asyncio, zmq.auth, zmq.sugar, fastmq
        from zmq.sugar.version import __version__ as version
        assert zmq.__version__ == version == zmq.pyzmq_version() != fastmq.__version__
        assert zmq.sugar.__version__ == zmq.__version__
        with zmq.Context() as ctx, ctx.socket(zmq.PUSH) as push:
            assert repr(ctx).startswith("<zmq.Context(1 socket) at 0x"), ctx
            assert repr(push).startswith("<zmq.Socket(zmq.PUSH) at 0x"), push
            shadow = zmq.asyncio.Socket.shadow(push)
            assert repr(shadow).startswith("<zmq.asyncio.Socket(zmq.PUSH) at 0x"), shadow

            class Own(zmq.Socket):
                pass

            assert repr(Own.shadow(push)).startswith("<__main__.Own(zmq.PUSH) at"), push
            Own._repr_cls = "own.Name"
            assert repr(Own.shadow(push)).startswith("<own.Name(zmq.PUSH) at"), push
            assert zmq.auth.Authenticator(ctx).log.name == "zmq.auth"
        assert repr(zmq.Frame(b"0123456789abcdef")) == "<zmq.Frame(b'0123456789abcdef')>"
        for size, text in ((17, "17B"), (2500, "2kB"), (3_000_000, "3MB")):
            assert repr(zmq.Frame(bytes(size))).endswith(f"x00'...{text})>"), size
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            import zmq.auth.ioloop
        assert "zmq.auth.ioloop is deprecated" in str(told[0].message), told
        assert [os.path.basename(name) for name in zmq.get_library_dirs()] == ["zmq"]
        assert os.path.basename(zmq.get_includes()[1]) == "utils"
        fastmq.compat.uninstall()
        assert repr(fastmq.Frame(b"x")) == "<fastmq.Frame(b'x')>"
        assert repr(fastmq.Context()).startswith("<fastmq.Context() at")
    """)


def test_what_a_program_sets_in_zmq_stays_there():
    run("""
        import fastmq.compat
        fastmq.compat.install()
        import zmq, fastmq
        zmq.Context = None
        assert fastmq.Context is not None
        fastmq.later = 1
        assert zmq.later == 1
        try:
            zmq.nothing
        except AttributeError as e:
            assert str(e) == "module 'zmq' has no attribute 'nothing'", e
        else:
            raise AssertionError
    """)


def test_green_sockets_warn_of_timeouts_that_pyzmqs_ignore():
    pytest.importorskip("gevent")
    run("""
        import sys, warnings
        import fastmq, fastmq.compat
        import fastmq.green as green
        for name, count in (("fastmq", 0), ("zmq", 2)):
            if name == "zmq":
                fastmq.compat.install()
            with warnings.catch_warnings(record=True) as told, green.Context() as ctx:
                warnings.simplefilter("always")
                with ctx.socket(green.REQ) as sock:
                    sock.rcvtimeo = 5
                    assert sock.rcvtimeo == 5
                told = [row for row in told if row.category is UserWarning]
                assert len(told) == count, (name, told)
    """)


def test_another_zmq_that_was_imported_is_refused(tmp_path):
    (tmp_path / "zmq.py").write_text("")
    told = run(
        """
        import zmq, fastmq.compat
        try:
            fastmq.compat.install()
        except RuntimeError as e:
            print(e)
        assert not fastmq.compat.installed()
        """,
        cwd=tmp_path,
    )
    assert "zmq.py" in told and "before the first import" in told


def test_the_metadata_tells_of_a_pyzmq():
    run("""
        import importlib.metadata as metadata
        import fastmq.compat, fastmq
        fastmq.compat.install()
        assert metadata.version("pyzmq") == fastmq.pyzmq_version()
        assert metadata.version("PyZMQ") == fastmq.pyzmq_version()
        assert metadata.metadata("pyzmq")["Summary"].endswith("see fastmq.compat")
        names = [d.metadata["Name"] for d in metadata.distributions()]
        assert "pyzmq" in names and len(names) > 1
        try:
            metadata.version("surely-not-there")
        except metadata.PackageNotFoundError:
            pass
        else:
            raise AssertionError
    """)
    found = re.fullmatch(r"pyzmq-(.*)\.dist-info", next(Path(compat.PATH).glob("*.dist-info")).name)
    assert found[1] == zmq.pyzmq_version()
    metadata = Path(compat.PATH, found[0], "METADATA").read_text()
    assert f"Version: {zmq.pyzmq_version()}\n" in metadata


# -- programs --


def test_a_script_runs_as_it_would_by_itself(tmp_path):
    (tmp_path / "beside.py").write_text("there = True\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import beside, sys, __main__, zmq\n"
        "assert __name__ == '__main__' and __main__.__file__ == __file__\n"
        "print(sys.argv[1:], zmq.__name__, __file__)\n"
        "sys.exit(0)\n"
    )
    out = run(None, "-m", "fastmq.compat", str(script), "-x", "a b")
    assert out == f"['-x', 'a b'] zmq {script}\n"
    out = run(None, "-O", "-m", "fastmq.compat", "-c", f"{SAY}; print(__debug__, sys.argv)", "-m")
    assert out == "zmq fastmq.context\nFalse ['-c', '-m']\n"


def test_a_module_runs_as_it_would_by_itself(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"from . import __name__ as own\nprint(own)\n{SAY}\n")
    out = run(None, "-m", "fastmq.compat", "-m", "package", cwd=tmp_path)
    assert out == "package\nzmq fastmq.context\n"


@pytest.mark.parametrize("module", ["log", "curve_keygen"])
def test_modules_of_zmq_run_as_programs(module):
    told = run(None, "-m", "fastmq.compat", "-m", f"zmq.{module}", "--help")
    assert f"usage: python3 -m zmq.{module} " in told
    assert f"usage: python3 -m fastmq.{module} " in run(None, "-m", f"fastmq.{module}", "--help")


def test_the_exit_status_is_the_programs():
    command = [sys.executable, "-m", "fastmq.compat", "-c", "import sys; sys.exit(7)"]
    assert subprocess.run(command, timeout=20, check=False).returncode == 7


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "usage:"),
        (["-m"], "needs an argument"),
        (["-x", "y"], "unknown option -x"),
    ],
)
def test_a_wrong_call_shows_the_usage(arguments, told):
    command = [sys.executable, "-m", "fastmq.compat", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode in (1, 2)
    assert told in done.stderr and "Traceback" not in done.stderr


def test_an_isolated_interpreter_is_refused():
    command = [sys.executable, "-E", "-m", "fastmq.compat", "-c", "pass"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "PYTHONPATH" in done.stderr and "install()" in done.stderr


# -- children --

CHILDREN = """\
import multiprocessing, subprocess, sys, importlib.metadata

def child(answers):
    import zmq
    answers.put((zmq.__name__, importlib.metadata.version("pyzmq")))

if __name__ == "__main__":
    for method in sys.argv[1:]:
        ways = multiprocessing.get_context(method)
        answers = ways.Queue()
        process = ways.Process(target=child, args=(answers,))
        process.start()
        print(method, *answers.get())
        process.join()
    say = "import zmq; print(zmq.__name__)"
    for options in ([], ["-P"] if sys.version_info >= (3, 11) else [], ["-s"]):
        subprocess.run([sys.executable, *options, "-c", say], check=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["program", "install"])
def test_children_inherit_it(tmp_path, how):
    script = tmp_path / "script.py"
    methods = ("fork", "spawn", "forkserver")
    if how == "program":
        script.write_text(CHILDREN)
        out = run(None, "-m", "fastmq.compat", str(script), *methods)
    else:
        script.write_text(
            CHILDREN.replace(
                '"__main__":\n',
                '"__main__":\n    import fastmq.compat\n    fastmq.compat.install(children=True)\n',
            )
        )
        out = run(None, str(script), *methods)
    version = zmq.pyzmq_version()
    expected = "".join(f"{method} zmq {version}\n" for method in methods) + "zmq\n" * 3
    assert sorted(out.splitlines()) == sorted(expected.splitlines())


def test_install_without_children_leaves_them_alone(tmp_path):
    (tmp_path / "zmq.py").write_text("")
    out = run(
        f"""
        import os, subprocess, sys
        import fastmq.compat
        fastmq.compat.install()
        subprocess.run([sys.executable, "-c", "import zmq; print(zmq.__name__)"], check=True)
        env = fastmq.compat.environ()
        assert "PYTHONPATH" not in os.environ
        os.chdir("/")
        subprocess.run([sys.executable, "-c", {SAY!r}], env=env, check=True)
        """,
        cwd=tmp_path,
    )
    assert out == "zmq\nzmq fastmq.context\n"


def test_a_sitecustomize_goes_on_working(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.customized = True\n")
    out = run(
        None,
        *("-m", "fastmq.compat", "-c", f"import sys; print(sys.customized); {SAY}"),
        env=clean(PYTHONPATH=str(tmp_path)),
    )
    assert out == "True\nzmq fastmq.context\n"


def test_an_interpreter_without_fastmq_gets_the_zmq_that_it_has(tmp_path):
    (tmp_path / "zmq.py").write_text("its_own = True\n")
    # -S: without site-packages, so without fastmq.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import zmq; assert zmq.its_own; import zmq as again"],
        capture_output=True,
        text=True,
        env=compat.environ({"PYTHONPATH": str(tmp_path)}),
        cwd="/",
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fastmq is not installed" in done.stderr


def test_pickles_of_pyzmq_are_understood():
    run("""
        import pickle
        import fastmq.compat
        fastmq.compat.install()
        import zmq
        # A SocketType as pyzmq pickles it.
        data = b"\\x80\\x04\\x8c\\rzmq.constants\\x8c\\nSocketType\\x93K\\x03\\x85R."
        assert pickle.loads(data) is zmq.REQ
        again = pickle.loads(pickle.dumps(zmq.ContextTerminated()))
        assert isinstance(again, zmq.error.ContextTerminated) and again.errno == zmq.ETERM
    """)


def test_the_shim_is_part_of_the_package():
    shim = Path(compat.PATH)
    assert (shim / "zmq" / "__init__.py").is_file()
    # Nothing else may be found there by accident.
    assert {path.name for path in shim.iterdir()} - {"__pycache__"} == {
        "zmq",
        f"pyzmq-{zmq.pyzmq_version()}.dist-info",
    }
