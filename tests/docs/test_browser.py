# SPDX-License-Identifier: MIT
"""The page of examples/browser: its JavaScript, run by Node.js, as the client of its service."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from target import IS_FASTMQ, zmq

pytestmark = pytest.mark.skipif(not IS_FASTMQ, reason="fastmq's own example")

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "browser"
NODE = [shutil.which("node") or "", "--experimental-websocket"]
"""Version 20 wants to be asked for WebSocket; later ones have it anyhow."""

CLIENT = """
const { Sub, Req, textOf } = require(process.argv[1]);
const [prices, sums] = process.argv.slice(2);
const seen = {};
const text = (parts) => parts.map(textOf);
(async () => {
  const got = new Promise((done) => {
    const sub = new Sub(prices, (parts) => {
      const [topic, price] = text(parts);
      seen[topic] = (seen[topic] || 0) + 1;
      if (topic === "gold" && seen.gold === 3) sub.unsubscribe("gold");
      if (seen.silver > 20) {
        sub.close();
        done(price);
      }
    });
    sub.subscribe("gold");
    sub.subscribe("silver");
  });
  const req = new Req(sums);
  const answers = await Promise.all([req.ask("2", "3"), req.ask("x"), req.ask("0.5", "1e300")]);
  const price = await got;
  req.close();
  console.log(JSON.stringify({ seen, price, answers: answers.map(text) }));
})();
"""

LOSS = """
const { Req, textOf } = require(process.argv[1]);
const req = new Req(process.argv[2]);
(async () => {
  for (;;) {
    try {
      console.log(textOf((await req.ask("a"))[0]));
    } catch (error) {
      console.log(error.message);
    }
  }
})();
"""

PAGE = """
const [script, page, query] = process.argv.slice(1);
const fs = require("fs");
const element = () => ({
  children: [],
  appendChild(child) {
    this.children.push(child);
    return child;
  },
});
const elements = {};
globalThis.location = { search: query };
globalThis.document = {
  getElementById: (id) => (elements[id] ??= element()),
  createElement: element,
};
const inline = /<script>(.*?)<[/]script>/s.exec(fs.readFileSync(page, "utf8"))[1];
require("vm").runInThisContext(fs.readFileSync(script, "utf8") + inline);
elements.a = { value: "2" };
elements.b = { value: "40" };
const answered = elements.form.onsubmit({ preventDefault() {} });
const look = setInterval(async () => {
  if (document.getElementById("prices").children.length < 2) return;
  clearInterval(look);
  await answered;
  const rows = elements.prices.children.map((row) => row.textContent).sort();
  console.log(JSON.stringify({ rows, sum: elements.sum.textContent }));
  process.exit(0);
}, 10);
"""


@pytest.fixture
def node():
    if not NODE[0]:
        pytest.skip("there is no Node.js")
    asked = [*NODE, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("this Node.js has no WebSocket")


@pytest.fixture
def service():
    process = subprocess.Popen(
        [sys.executable, str(FOLDER / "service.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_the_page_is_served_with_its_script(service):
    page = urllib.request.urlopen(service[1], timeout=10).read().decode()
    assert page == (FOLDER / "index.html").read_text()
    script = urllib.parse.urljoin(service[1], "zws.js")
    assert urllib.request.urlopen(script, timeout=10).read() == (FOLDER / "zws.js").read_bytes()
    service[0].send_signal(signal.SIGINT)
    assert service[0].wait(10) == 0


@pytest.mark.slow
def test_the_script_subscribes_and_asks(node, service):
    places = urllib.parse.parse_qs(urllib.parse.urlsplit(service[1]).query)
    command = [*NODE, "-e", CLIENT, str(FOLDER / "zws.js"), places["prices"][0], places["sums"][0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["answers"] == [["5"], ["two numbers, please"], ["1e+300"]]
    assert set(told["seen"]) == {"gold", "silver"}
    assert told["seen"]["gold"] < told["seen"]["silver"]
    assert 20 < float(told["price"]) < 45


@pytest.mark.slow
def test_the_page_shows_prices_and_sums(node, service):
    query = "?" + urllib.parse.urlsplit(service[1]).query
    command = [*NODE, "-e", PAGE, str(FOLDER / "zws.js"), str(FOLDER / "index.html"), query]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sum"] == "42"
    assert [row.split(":")[0] for row in told["rows"]] == ["gold", "silver"]


@pytest.mark.slow
def test_the_script_connects_again(node, make):
    rep = make(zmq.REP)
    rep.bind("ws://127.0.0.1:*/again")
    end = rep.last_endpoint.decode()
    client = subprocess.Popen(
        [*NODE, "-e", LOSS, str(FOLDER / "zws.js"), end], stdout=subprocess.PIPE, text=True
    )
    try:
        assert rep.recv(timeout=10_000) == b"a"
        rep.send(b"first")
        assert client.stdout.readline() == "first\n"
        assert rep.recv(timeout=10_000) == b"a"
        rep.close()
        assert client.stdout.readline() == "the connection was lost\n"
        rep = make(zmq.REP)
        rep.bind(end)
        assert rep.recv(timeout=10_000) == b"a"
        rep.send(b"second")
        assert client.stdout.readline() == "second\n"
    finally:
        client.kill()
        client.communicate()
