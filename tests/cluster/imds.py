"""A stand-in for EC2's metadata service: IMDSv2, so every question needs a token that was asked for before."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from tests.cluster.serving import QuietHandler, serving


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

    class Handler(QuietHandler):
        def do_PUT(self) -> None:
            if self.path != "/latest/api/token" or "X-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
                self.answer(400)
                return
            token = uuid4().hex
            imds.tokens.add(token)
            self.answer(200, token.encode())

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") not in imds.tokens:
                self.answer(401)
            elif self.path in imds.told:
                self.answer(200, json.dumps(imds.told[self.path]).encode())
            else:
                self.answer(404)

    with serving(Handler) as imds.url:
        yield imds


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
