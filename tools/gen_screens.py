# SPDX-License-Identifier: MIT
"""Draws pictures of `fastmq top` and `fastmq why`, as a terminal shows them, into docs/img.

Programs run, the commands run in tmux beside them, and what its pane shows becomes a picture: needs
tmux. The picture is of the moment, so it is made by hand and not compared.

    python tools/gen_screens.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 104, 20
CELL, LINE, PAD = 8.4, 19, 16
TEXT, GROUND = "#e6edf3", "#0d1117"
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "39": TEXT, "90": "#8b949e"}
SERVICE = """
import fastmq as zmq, time
context = zmq.Context()
news, orders = context.socket(zmq.PUB), context.socket(zmq.ROUTER)
jobs, audit = context.socket(zmq.PUSH), context.socket(zmq.PUSH)
news.bind("tcp://127.0.0.1:5556")
orders.bind("tcp://127.0.0.1:5555")
jobs.bind("tcp://127.0.0.1:5557")
audit.connect("tcp://127.0.0.1:5559")
while True:
    for _ in range(20):
        news.send(b"news.berlin 21")
        try:
            jobs.send(b"x" * 20_000, zmq.DONTWAIT)
        except zmq.Again:
            pass
    while orders.poll(0):
        orders.send_multipart(orders.recv_multipart())
    time.sleep(0.005)
"""
CLIENT = """
import fastmq as zmq, threading, time
context = zmq.Context()
reader, asker = context.socket(zmq.SUB), context.socket(zmq.DEALER)
worker = context.socket(zmq.PULL)
wrong = context.socket(zmq.REQ)
reader.subscribe("news."); reader.connect("tcp://127.0.0.1:5556")
asker.routing_id = b"shop-1"; asker.connect("tcp://127.0.0.1:5555")
worker.connect("tcp://127.0.0.1:5557")
wrong.connect("tcp://127.0.0.1:5556")
def read():
    while True: reader.recv()
threading.Thread(target=read, daemon=True).start()
while True:
    asker.send(b"order"); asker.recv(); time.sleep(0.01)
"""


def main() -> None:
    if not shutil.which("tmux"):
        raise SystemExit("gen_screens.py: tmux is not installed")
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "FASTMQ_INSPECT": "1", "XDG_RUNTIME_DIR": folder}
        programs = []
        for name, text in (("service.py", SERVICE), ("shop.py", CLIENT)):
            (Path(folder) / name).write_text(text)
            programs.append(subprocess.Popen([sys.executable, name], cwd=folder, env=env))
            time.sleep(1)
        try:
            time.sleep(3)
            service = programs[0].pid
            draw("top", f"top {service}", folder, 6)
            draw("why", "why tcp://127.0.0.1:5556 --topic weather.berlin", folder, 4)
            draw("top-socket", f"top {service} --socket 1", folder, 4)
        finally:
            for program in programs:
                program.kill()
                program.wait()


def draw(name: str, words: str, folder: str, seconds: float) -> None:
    """The pane of a command after so many seconds, as docs/img/NAME.svg."""
    socket = f"{folder}/tmux-{name}"

    def tmux(*arguments: str) -> str:
        ran = subprocess.run(
            ["tmux", "-S", socket, *arguments], capture_output=True, text=True, check=True
        )
        return ran.stdout

    shell = f"cd {folder}; XDG_RUNTIME_DIR={folder} PS1='$ ' exec sh"
    tmux("-f", "/dev/null", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), shell)
    try:
        tmux("set", "status", "off")
        tmux("send-keys", "-l", f"alias fastmq='{sys.executable} -m fastmq'; clear")
        tmux("send-keys", "Enter")
        time.sleep(0.5)
        tmux("send-keys", "-l", f"fastmq {words}")
        tmux("send-keys", "Enter")
        time.sleep(seconds)
        text = tmux("capture-pane", "-e", "-p")
    finally:
        tmux("kill-server")
    (ROOT / "docs" / "img" / f"{name}.svg").write_text(picture(text.rstrip("\n")), encoding="utf-8")


def picture(text: str) -> str:
    """What a pane shows, with its colours, as SVG."""
    lines = text.split("\n")
    width, height = WIDTH * CELL + 2 * PAD, len(lines) * LINE + 2 * PAD
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">',
        '<rect width="100%" height="100%" rx="8" fill="' + GROUND + '"/>',
    ]
    colour, bold, reverse = TEXT, False, False
    for row, line in enumerate(lines):
        column = 0
        y = PAD + row * LINE
        for code, said in re.findall(r"(?:\x1b\[([\d;]*)m)?([^\x1b]*)", line):
            for part in code.split(";") if code else ():
                if part == "0":
                    colour, bold, reverse = TEXT, False, False
                elif part in ("1", "7"):
                    bold, reverse = bold or part == "1", reverse or part == "7"
                elif part in COLOURS:
                    colour = COLOURS[part]
            if not said:
                continue
            x = PAD + column * CELL
            length = len(said) * CELL
            shown = colour
            if reverse:
                area = f'width="{length:.1f}" height="{LINE}"'
                out.append(f'<rect x="{x:.1f}" y="{y}" {area} fill="{colour}"/>')
                shown = GROUND
            weight = ' font-weight="bold"' if bold else ""
            out.append(
                f'<text x="{x:.1f}" y="{y + 14}" textLength="{length:.1f}" fill="{shown}"{weight} '
                f'xml:space="preserve">{escape(said)}</text>'
            )
            column += len(said)
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
