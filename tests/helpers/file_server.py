"""A host of one file on this machine, that behaves as it is told: for downloads without a network."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Host:
    """What is served, and what was asked for.

    ``cuts``: after how many bytes each of the next answers breaks off. ``busy``: how many times it says 503 first.
    ``ranges``: whether it answers a Range. ``stated``: a Content-Length that is not true. ``kind``: its content type.
    ``tag``: its entity tag. ``leads_to``: every path but that one is redirected there. ``loops``: that one too.
    """

    content: bytes
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    busy: int = 0
    status: int = 200
    stated: int | None = None
    kind: str = "application/octet-stream"
    tag: str = '"one"'
    leads_to: str = ""
    loops: bool = False
    hold: threading.Event | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    """The path and the Range of every request."""
    address: str = ""


@contextmanager
def serving(host: Host) -> Iterator[Host]:
    """``host`` at ``host.address`` while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, host)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    host.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, host: Host) -> None:
    wanted = request.headers.get("Range", "")
    host.asked.append((request.path, wanted))
    request.close_connection = True
    if host.loops or (host.leads_to and request.path != host.leads_to.removeprefix(host.address)):
        _head(request, 302, {"Location": host.leads_to, "Content-Length": "0"})
        return
    if host.busy:
        host.busy -= 1
        _head(request, 503, {"Content-Length": "0"})
        return
    if host.status != 200:
        _head(request, host.status, {"Content-Length": "0"})
        return
    whole, start = host.content, 0
    found = re.fullmatch(r"bytes=(\d+)-", wanted)
    same = request.headers.get("If-Range") in (None, host.tag)
    if found and host.ranges and same:
        start = int(found[1])
        if start >= len(whole):
            _head(request, 416, {"Content-Range": f"bytes */{len(whole)}", "Content-Length": "0"})
            return
    body = whole[start:]
    headers = {"Content-Type": host.kind, "Content-Length": str(host.stated or len(body))}
    headers |= {"ETag": host.tag} if host.tag else {}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
    _head(request, 206 if start else 200, headers)
    cut = host.cuts.pop(0) if host.cuts else None
    if host.hold is not None:
        request.wfile.write(body[:1])
        request.wfile.flush()
        host.hold.wait(20)
        body = body[1:]
    request.wfile.write(body[:cut])


def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Connection", "close")
    request.end_headers()
