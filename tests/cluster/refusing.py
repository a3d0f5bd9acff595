"""EC2 that has no spot machines: every request is passed on to a stand-in but those, which are refused as EC2 does."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSAL = (
    b'<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>InsufficientInstanceCapacity</Code><Message>'
    b"There is no Spot capacity available that matches your request.</Message></Error></Errors>"
    b"<RequestID>0</RequestID></Response>"
)


class Refusing:
    """What was asked of it.

    Attributes:
        url: where it answers.
        refused: how many requests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.refused = 0


@contextmanager
def refusing_spot(
    endpoint: str, refuses: Callable[[], bool] = lambda: True, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Refusing]:
    """It before the stand-in at `endpoint`, as long as `refuses` says so; by default on a port of its own."""
    refusing = Refusing()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if b"Action=RunInstances" in body and b"MarketType=spot" in body and refuses():
                refusing.refused += 1
                self._answer(500, REFUSAL)
                return
            request = urllib.request.Request(endpoint + self.path, body, dict(self.headers.items()))
            try:
                with urllib.request.urlopen(request, timeout=60) as told:
                    self._answer(told.status, told.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((host, port), Handler)
    refusing.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield refusing
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
