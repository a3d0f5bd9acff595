"""GETs whose bodies go from the socket straight into the caller's memory.

boto3's `Body.readinto` copies every byte twice (urllib3 reads into memory of its own first), and its requests cost
several times what the standard library's client takes: `BENCHMARKS.md` has the figures. So boto3 signs the url, and
this asks for it.
"""

import select
import ssl
import weakref
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit
from xml.etree import ElementTree

ERROR_BYTES = 2**16
"""Of a refusal's text, at most."""

Idle = defaultdict[str, deque[HTTPConnection]]


class Patience(NamedTuple):
    """How long S3 is waited for before a read or write is given up.

    An attempt fails that cannot connect in time, that brings no byte for the read timeout, or that is answered with
    a failure that may pass (500, 503 SlowDown, a reset, a body that breaks off). The next one follows after a pause
    of at most 0.5, 1, 2, 4, … seconds, and goes on where the bytes broke off. So an address that does not answer is
    given up after attempts · connect timeout + pauses (by default 32.5 s), a silent server after
    attempts · read timeout + pauses (157.5 s).
    """

    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 30
    attempts: int = 5


class Body(Protocol):
    """What an object's bytes are read from."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer, or as much of it as is left; how many bytes came."""


class Broken(ConnectionError):
    """No connection, silence for longer than the timeout, or a connection that ended too early."""


class Refused(Exception):
    """An answer other than the object.

    Attributes:
        status: HTTP's.
        code: S3's, say NoSuchKey; empty where the answer has none.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"HTTP status {status} {code} {message}".strip())
        self.status = status
        self.code = code


class Wire:
    """Connections that are kept open and used again; each serves one thread at a time, and there is no limit to them.

    Args:
        patience: its timeouts; nothing is tried again here.
        authorities: file of certificates that https servers are checked against.
    """

    def __init__(self, patience: Patience, authorities: str) -> None:
        self._patience = patience
        self._authorities = authorities
        self._trust: ssl.SSLContext | None = None
        self._idle: Idle = defaultdict(deque)
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        """The answer to a GET (status 2xx), its body not yet read.

        Raises:
            Refused: another status; redirections are not followed.
            Broken: whatever the network or the server did instead, also while the body is read inside the block.
        """
        scheme, host, path, query, _ = urlsplit(url)
        connection = None
        try:
            connection = self._connection(scheme, host)
            connection.request("GET", f"{path}?{query}", headers=dict(headers))
            with closing(connection.getresponse()) as answer:
                if answer.status >= 300:
                    raise _refused(answer)
                yield answer
                is_whole = answer.isclosed()
            if is_whole and connection.sock is not None:  # else it has bytes to come, or was told to hang up
                self._idle[f"{scheme}://{host}"].append(connection)
                connection = None
        except TimeoutError as error:
            connect_seconds, read_seconds, _ = self._patience
            raise Broken(f"timeout of {host} ({connect_seconds} s to connect, {read_seconds} s to read)") from error
        except (OSError, HTTPException) as error:
            raise Broken(f"{host}: {str(error) or type(error).__name__}") from error
        finally:
            if connection is not None:
                connection.close()

    def _connection(self, scheme: str, host: str) -> HTTPConnection:
        """One that was kept and is still open, else a new one."""
        idle = self._idle[f"{scheme}://{host}"]
        while idle:
            try:
                kept = idle.pop()
            except IndexError:  # another thread was faster
                break
            if not _has_ended(kept):
                return kept
            kept.close()
        made = HTTPConnection(host, timeout=self._patience.connect_timeout_seconds)
        if scheme == "https":
            made = HTTPSConnection(host, timeout=self._patience.connect_timeout_seconds, context=self._trusted())
        made.connect()
        made.sock.settimeout(self._patience.read_timeout_seconds)
        return made

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context(cafile=self._authorities)
        return self._trust


def modern_signature(signature_version: str, **_: object) -> str | None:
    """Signed urls of version 4; left to itself, botocore takes one that buckets made since 2020 do not know."""
    return "s3v4-query" if signature_version in ("v4-query", "s3v4-query") else None


def _has_ended(connection: HTTPConnection) -> bool:
    """Whether something came on a connection on which nothing was asked: its end."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(0))


def _refused(answer: HTTPResponse) -> Refused:
    try:
        told = ElementTree.fromstring(answer.read(ERROR_BYTES))
    except ElementTree.ParseError:
        return Refused(answer.status, "", answer.reason)
    return Refused(answer.status, told.findtext("Code", ""), told.findtext("Message", ""))


def _close_all(idle: Idle) -> None:
    for connections in idle.values():
        for connection in connections:
            connection.close()
