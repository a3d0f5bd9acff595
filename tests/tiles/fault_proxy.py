"""An HTTP proxy in front of an S3 server that goes wrong as real networks and servers do, on demand."""

import http.client
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

HOP_HEADERS = ("connection", "transfer-encoding", "date", "server")
STALL_SECONDS = 20.0


class Exchange(NamedTuple):
    """A request that goes wrong: the connection to the client, and what the server behind answered."""

    request: BaseHTTPRequestHandler
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    ended: threading.Event

    def send(self) -> None:
        """The server's answer, as it is."""
        self.send_first(len(self.body))

    def send_first(self, count: int) -> None:
        """The server's answer, but only the first `count` bytes of its body; then the connection is closed."""
        self.send_head()
        self.request.wfile.write(self.body[:count])
        self.request.close_connection = count < len(self.body)

    def send_head(self) -> None:
        """Status and headers, which promise the whole body."""
        self.request.send_response_only(self.status)
        for name, value in self.headers:
            self.request.send_header(name, value)
        self.request.end_headers()
        self.request.wfile.flush()


Fault = Callable[[Exchange], None]
Choose = Callable[[str, str], Fault | None]
"""From key and range of a GET (`bytes=0-99`, or nothing) to what goes wrong with it."""
Block = Callable[[str, str], Fault | None]
"""From method and key of any request to what becomes of it instead of reaching the server."""


class FaultProxy:
    """Stands before the server at `upstream`.

    Attributes:
        url: for AWS_ENDPOINT_URL.
        choose: decides which GETs go wrong; may be replaced at any time.
        choose_write: the same for PUTs, of which the server behind knows nothing wrong.
        block: decides which requests do not reach the server at all; may be replaced at any time.
        keep: decides, from method and key, which requests `land` brings to the server, now or once more.
        ignored_headers: in lower case; they do not reach it.
        asked: (key, range) of every GET so far, in order.
        failures: exceptions that a request raised here: mistakes of the test.
    """

    def __init__(self, upstream: str) -> None:
        self.choose: Choose = lambda key, asked: None
        self.choose_write: Choose = lambda key, asked: None
        self.block: Block = lambda method, key: None
        self.keep: Callable[[str, str], bool] = lambda method, key: False
        self.kept: list[Callable[[], object]] = []
        self.ignored_headers: tuple[str, ...] = ()
        self.asked: list[tuple[str, str]] = []
        self.failures: list[BaseException | None] = []
        self.ended = threading.Event()
        self._upstream = urlsplit(upstream).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                proxy.answer(self)

            do_HEAD = do_PUT = do_DELETE = do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                error = sys.exc_info()[1]
                if not isinstance(error, OSError | ValueError):  # a client that gave up is part of the game
                    proxy.failures.append(error)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Ends all stalls and the server."""
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        assert not self.failures, self.failures

    def land(self) -> None:
        """The server gets the requests that were kept, in order; whoever sent them has given them up by now."""
        for pass_on in self.kept:
            pass_on()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request, in a thread of its own."""
        key, asked = urlsplit(request.path).path, request.headers.get("Range", "")
        sent = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if self.keep(request.command, key):
            self.kept.append(partial(self._ask, request, sent))
        fault = self.block(request.command, key)
        if fault:
            fault(Exchange(request, 0, [], b"", self.ended))
            return
        if request.command == "GET":
            self.asked.append((key, asked))
            fault = self.choose(key, asked)
        elif request.command == "PUT":
            fault = self.choose_write(key, asked)
        exchange = self._ask(request, sent)
        (fault or Exchange.send)(exchange)

    def _ask(self, request: BaseHTTPRequestHandler, sent: bytes) -> Exchange:
        upstream = http.client.HTTPConnection(self._upstream, timeout=STALL_SECONDS)
        try:
            headers_sent = {
                name: value for name, value in request.headers.items() if name.lower() not in self.ignored_headers
            }
            upstream.request(request.command, request.path, sent or None, headers_sent)
            answer = upstream.getresponse()
            body = answer.read()
        finally:
            upstream.close()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS]
        return Exchange(request, answer.status, headers, body, self.ended)


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A running proxy; it is closed at the end of the block."""
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()


def late(seconds: float) -> Fault:
    """The right answer, but later."""

    def act(exchange: Exchange) -> None:
        exchange.ended.wait(seconds)
        exchange.send()

    return act


def reset_after(count: int) -> Fault:
    """The connection is reset (RST) in mid-body."""

    def act(exchange: Exchange) -> None:
        exchange.send_first(count)
        time.sleep(0.05)  # a reset overtakes bytes that the client has not yet read
        connection = exchange.request.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.request.rfile.close()
        connection.close()

    return act


def cut_after(count: int) -> Fault:
    """The connection is closed (FIN) in mid-body, as if that were all."""
    return lambda exchange: exchange.send_first(count)


def shortened_to(count: int) -> Fault:
    """An answer that is whole by its Content-Length, but has fewer bytes than were asked for."""

    def act(exchange: Exchange) -> None:
        headers = [(name, value) for name, value in exchange.headers if name.lower() != "content-length"]
        body = exchange.body[:count]
        exchange._replace(headers=[*headers, ("Content-Length", str(len(body)))], body=body).send()

    return act


def stalled_after(count: int) -> Fault:
    """Some bytes, then silence on an open connection."""

    def act(exchange: Exchange) -> None:
        exchange.send_first(count)
        exchange.ended.wait(STALL_SECONDS)

    return act


def dropped(exchange: Exchange) -> None:
    """The connection is closed without an answer."""
    exchange.request.close_connection = True


def silent(exchange: Exchange) -> None:
    """No answer at all on an open connection."""
    exchange.request.close_connection = True
    exchange.ended.wait(STALL_SECONDS)


def flipped(position: int) -> Fault:
    """One bit of one byte of the body is wrong, and nothing says so."""

    def act(exchange: Exchange) -> None:
        body = bytearray(exchange.body)
        body[position] ^= 1
        headers = [(name, value) for name, value in exchange.headers if "checksum" not in name.lower()]
        exchange._replace(headers=headers, body=bytes(body)).send()

    return act


def refused(status: int, code: str) -> Fault:
    """An error answer of S3's kind."""

    def act(exchange: Exchange) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        exchange._replace(status=status, headers=headers, body=body).send()

    return act


def without_range(exchange: Exchange) -> None:
    """A server that does not know ranges: 200, and no Content-Range."""
    headers = [(name, value) for name, value in exchange.headers if name.lower() != "content-range"]
    exchange._replace(status=200, headers=headers).send()
