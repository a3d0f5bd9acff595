"""A stand-in for EC2's metadata service: IMDSv2, so every question needs a token that was asked for before."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4


class Imds:
    """What the service has to tell; nothing at first."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens: set[str] = set()
        self.told: dict[str, Any] = {}

    def interrupt(self, at: datetime) -> None:
        """The machine will be terminated."""
        self.told["/latest/meta-data/spot/instance-action"] = {"action": "terminate", "time": _stamp(at)}

    def recommend(self, at: datetime) -> None:
        """The machine may be taken soon."""
        self.told["/latest/meta-data/events/recommendations/rebalance"] = {"noticeTime": _stamp(at)}


@contextmanager
def imds_running() -> Iterator[Imds]:
    """The service on a port of its own."""
    imds = Imds()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if self.path != "/latest/api/token" or "X-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
                self._answer(400)
                return
            token = uuid4().hex
            imds.tokens.add(token)
            self._answer(200, token)

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") not in imds.tokens:
                self._answer(401)
            elif self.path in imds.told:
                self._answer(200, json.dumps(imds.told[self.path]))
            else:
                self._answer(404)

        def _answer(self, status: int, text: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    imds.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield imds
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
