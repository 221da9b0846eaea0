# SPDX-License-Identifier: MIT
"""Prices and sums for a page in a browser, which needs no library for it (zws.js, index.html).

    python examples/browser/service.py      then open the address that it prints

The browser is a peer like any other: this program would serve ZeroMQ peers in any language at the
same two addresses. Their paths are secrets: a page of another site, which the same browser may
show, could connect to this host as well, but does not know them.
"""

import functools
import http.server
import random
import secrets
import threading
import urllib.parse
from pathlib import Path

import fastmq

HERE = Path(__file__).resolve().parent


def sum_of(parts: list[bytes]) -> str:
    try:
        a, b = (float(part) for part in parts)
    except ValueError:
        return "two numbers, please"
    return f"{a + b:g}"


def serve(pub: fastmq.Pub, rep: fastmq.Rep) -> None:
    prices = {"gold": 2380.0, "silver": 31.0, "gas": 3.0}
    while True:
        if rep.poll(10):
            rep.send_string(sum_of(rep.recv_multipart()))
        for name in prices:
            prices[name] *= random.uniform(0.999, 1.001)
            pub.send_multipart([name.encode(), f"{prices[name]:.2f}".encode()])


def serve_pages() -> http.server.ThreadingHTTPServer:
    class Pages(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Pages, directory=str(HERE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    with (
        fastmq.Context() as context,
        context.socket(fastmq.PUB) as pub,
        context.socket(fastmq.REP) as rep,
    ):
        pub.bind(f"ws://127.0.0.1:*/{secrets.token_urlsafe()}")
        rep.bind(f"ws://127.0.0.1:*/{secrets.token_urlsafe()}")
        places = {"prices": pub.last_endpoint.decode(), "sums": rep.last_endpoint.decode()}
        port = serve_pages().server_address[1]
        print(f"http://127.0.0.1:{port}/?{urllib.parse.urlencode(places)}", flush=True)
        serve(pub, rep)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
