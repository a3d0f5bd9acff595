"""Folders and buckets behind one small interface. The only place that knows boto3.

Credentials, region and endpoint come from the standard AWS environment and profile, and from nowhere else.
"""

import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from satgan import __version__
from satgan.errors import ConfigError, StoreMissing, StoreUnreachable
from satgan.tiles.folder import (
    READ_BYTES,
    FolderStore,
    Listing,
    Store,
    Taker,
    folder_errors_told,
    nobody,
    too_short,
    written_aside,
)
from satgan.tiles.refusal import NETWORK_REMEDY, RANGES_REMEDY, is_elsewhere
from satgan.tiles.s3_errors import s3_errors_told
from satgan.tiles.wire import Body, Patience, Refused, Wire, modern_signature

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["FolderStore", "Listing", "Patience", "S3Store", "Store", "open_store"]

FIRST_PAUSE_SECONDS = 0.5
DOWNLOAD_BYTES = 8 * 2**20
SIGNED_SECONDS, SIGN_AGAIN_SECONDS = 1200, 60
"""How long a signed url is good, and is used here: so this machine's clock may be as late as S3 bears (900 s), and
credentials that renew themselves (at least ten minutes before they end) are followed."""

AWS_HOSTS = ".amazonaws.com"

Answer = TypeVar("Answer")


def open_store(url: str, connections: int = 16, patience: Patience = Patience()) -> Store:  # noqa: B008  # immutable
    """The store behind `url`: a local folder, which need not exist yet, or `s3://bucket/prefix`. Touches nothing yet.

    Args:
        url: path or S3 url.
        connections: how many threads will use it at the same time.
        patience: with S3.

    Raises:
        ConfigError: another scheme than s3://, or no bucket.
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        if not bucket:
            raise ConfigError(f"no bucket in {url!r}", "write s3://bucket/prefix")
        return S3Store(bucket, prefix, connections, patience)
    if not url or ":/" in url:
        raise ConfigError(f"{url!r} is neither a folder nor an S3 url", "write a path, or s3://bucket/prefix")
    return FolderStore(Path(url).expanduser())


class S3Store(Store):
    """A bucket, or what lies below a prefix of it."""

    def __init__(self, bucket: str, prefix: str, connections: int, patience: Patience) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.connections = connections
        self.patience = patience
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._lock = threading.Lock()
        self._made: tuple[S3Client, Wire | None] | None = None
        self._signed: dict[str, tuple[float, str]] = {}
        self._moved = False

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Store, (self.bucket, self.prefix, self.connections, self.patience)

    @property
    def _client(self) -> "S3Client":
        return self._access()[0]

    def _access(self) -> "tuple[S3Client, Wire | None]":
        with self._lock:  # boto3's clients may be shared by threads, their making may not
            if self._made is None:
                self._made = make_client(self.connections, self.patience)
            return self._made

    @property
    def endpoint_url(self) -> str:
        """Where requests go, as found in the environment or the profile."""
        return self._client.meta.endpoint_url

    @property
    def region(self) -> str:
        """The region, as found in the environment or the profile."""
        return self._client.meta.region_name

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _tried(self, what: str, act: Callable[["S3Client"], Answer]) -> Answer:
        """What `act` returns, tried again as long as the failure may pass; `what` completes "could not …".

        botocore's own retries end with an answer's head; ours know the body too, so that one count bounds both.
        """
        with s3_errors_told(what, self.url):
            client = self._client
        for attempt in range(1, self.patience.attempts + 1):
            try:
                with s3_errors_told(what, self.url):
                    return act(client)
            except StoreUnreachable as error:
                if attempt == self.patience.attempts:
                    found = f"{error.found} (attempt {attempt} of {attempt})"
                    raise StoreUnreachable(found, error.remedy) from error
            # Uneven, so that clients who were refused together do not come back together.
            time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1))
        raise AssertionError("the last attempt neither returned nor raised")

    def list(self, prefix: str = "") -> Listing:
        above = len(self._name(""))

        def listed(client: "S3Client") -> Listing:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._name(prefix))
            return sorted((item["Key"][above:], item["Size"]) for page in pages for item in page.get("Contents", ()))

        return self._tried(f"list {prefix or 'the objects'}", listed)

    def exists(self, key: str) -> bool:
        try:
            self._size_bytes(key)
        except StoreMissing:
            return False
        return True

    def _size_bytes(self, key: str) -> int:
        return self._tried(
            f"look up {key}",
            lambda client: client.head_object(Bucket=self.bucket, Key=self._name(key))["ContentLength"],
        )

    def read(self, key: str) -> bytes:
        def whole(client: "S3Client") -> bytes:
            with closing(client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"]) as body:
                return body.read()

        return self._tried(f"read {key}", whole)

    def read_range_into(self, key: str, offset: int, buffer: memoryview, taker: Taker = nobody) -> None:
        filled = 0

        def go_on(client: "S3Client") -> None:
            nonlocal filled
            for count in self._stream(key, offset + filled, buffer[filled:]):
                taker(buffer[filled : filled + count])
                filled += count

        if len(buffer):
            self._tried(f"read {key}", go_on)

    def _stream(self, key: str, offset: int, buffer: memoryview) -> Iterator[int]:
        """One ranged GET into `buffer`; yields the bytes of each part that has come."""
        asked = f"bytes={offset}-{offset + len(buffer) - 1}"
        with self._answer(key, asked) as (content_range, body):
            given, _, total_bytes = content_range.rpartition("/")
            if not given.startswith(f"bytes {offset}-"):
                found = f"asked for {asked} of {self.url}/{key}, the server gave {given or 'the whole object'}"
                raise StoreUnreachable(found, RANGES_REMEDY)
            if int(total_bytes) < offset + len(buffer):
                raise too_short(f"{self.url}/{key}", offset, len(buffer), int(total_bytes))
            filled = 0
            while filled < len(buffer):
                count = body.readinto(buffer[filled : filled + READ_BYTES])
                if not count:
                    found = f"{self.url}/{key}: the body ended after {filled} of {len(buffer)} bytes ({asked})"
                    raise StoreUnreachable(found, NETWORK_REMEDY)
                filled += count
                yield count

    @contextmanager
    def _answer(self, key: str, asked: str) -> Iterator[tuple[str, Body]]:
        """Content-Range and body of a ranged GET. Where a proxy stands between, or the bucket is in another
        region, boto3 is left to deal with it."""
        client, wire = self._access()
        try:
            if wire is not None and not self._moved:
                headers = {"Range": asked, "User-Agent": f"satgan/{__version__}"}
                with wire.get(self._signed_url(client, key), headers) as direct:
                    yield direct.headers.get("Content-Range", ""), direct
                return
        except Refused as refused:
            if not is_elsewhere(refused.code, refused.status):
                raise
            self._moved = True
        answer = client.get_object(Bucket=self.bucket, Key=self._name(key), Range=asked)
        with closing(answer["Body"]) as body:
            yield answer.get("ContentRange", ""), body  # type: ignore[misc]  # the stubs ask for a file

    def _signed_url(self, client: "S3Client", key: str) -> str:
        signed_at, url = self._signed.get(key, (-math.inf, ""))
        if time.monotonic() > signed_at + SIGN_AGAIN_SECONDS:
            named = {"Bucket": self.bucket, "Key": self._name(key)}
            url = client.generate_presigned_url("get_object", Params=named, ExpiresIn=SIGNED_SECONDS)
            self._signed[key] = time.monotonic(), url
        return url

    def write(self, key: str, data: bytes) -> None:
        self._tried(
            f"write {key}", lambda client: client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data)
        )

    def upload(self, path: Path, key: str) -> None:
        reading = folder_errors_told(f"read {path.name}", str(path.parent))
        with reading, path.open("rb") as file:

            def put(client: "S3Client") -> None:
                file.seek(0)
                client.put_object(Bucket=self.bucket, Key=self._name(key), Body=file)

            self._tried(f"write {key}", put)

    def download(self, key: str, path: Path) -> None:
        size_bytes = self._size_bytes(key)
        buffer = memoryview(bytearray(min(size_bytes, DOWNLOAD_BYTES)))
        writing = folder_errors_told(f"write {path.name}", str(path.parent))
        with writing, written_aside(path) as aside, aside.open("wb") as file:
            for offset in range(0, size_bytes, DOWNLOAD_BYTES):
                part = buffer[: size_bytes - offset]
                self.read_range_into(key, offset, part)
                file.write(part)

    def delete(self, key: str) -> None:
        self._tried(f"delete {key}", lambda client: client.delete_object(Bucket=self.bucket, Key=self._name(key)))

    def child(self, name: str) -> Store:
        return S3Store(self.bucket, self._name(name), self.connections, self.patience)


def make_client(connections: int, patience: Patience) -> "tuple[S3Client, Wire | None]":
    """boto3's client, and what large bodies are read through: None where the way leads through a proxy."""
    import boto3
    from botocore.config import Config
    from botocore.httpsession import get_cert_path
    from botocore.session import get_session
    from botocore.utils import get_environ_proxies

    config = Config(
        connect_timeout=patience.connect_timeout_seconds,
        read_timeout=patience.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=connections,
    )
    settings = get_session()
    session = boto3.session.Session(botocore_session=settings)
    client = session.client("s3", config=config)
    if AWS_HOSTS in client.meta.endpoint_url:
        # Else urls are signed for the host of all regions, which sends newer ones and new buckets elsewhere.
        client = session.client("s3", config=config.merge(Config(s3={"addressing_style": "virtual"})))
    client.meta.events.register_first("choose-signer.s3", modern_signature)  # type: ignore[arg-type]  # it may answer
    endpoint = client.meta.endpoint_url
    if endpoint.partition(":")[0] in get_environ_proxies(endpoint):
        return client, None
    authorities = settings.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return client, Wire(patience, authorities or get_cert_path(True) or "")
