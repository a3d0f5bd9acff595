"""EC2 that has no spot machines: every request is passed on to a stand-in but those, which are refused as EC2 does."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.cluster.serving import QuietHandler, serving

XML = "text/xml"
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

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if b"Action=RunInstances" in body and b"MarketType=spot" in body and refuses():
                refusing.refused += 1
                self.answer(500, REFUSAL, XML)
                return
            request = urllib.request.Request(endpoint + self.path, body, dict(self.headers.items()))
            try:
                with urllib.request.urlopen(request, timeout=60) as told:
                    self.answer(told.status, told.read(), XML)
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read(), XML)

    with serving(Handler, host, port) as refusing.url:
        yield refusing
