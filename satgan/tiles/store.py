"""Folders and buckets behind one small interface. The only place that knows boto3.

Credentials, region and endpoint come from the standard AWS environment and profile, and from nowhere else.
"""

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from satgan.errors import ConfigError, StoreMissing, StoreUnreachable
from satgan.tiles.aside import written_aside
from satgan.tiles.folder import Check, FolderStore, Listing, Store, Taker, allowed, folder_errors_told, nobody
from satgan.tiles.s3_errors import s3_errors_told
from satgan.tiles.sent import Sent
from satgan.tiles.signed import SignedGets
from satgan.tiles.wire import Patience, Wire, modern_signature

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

__all__ = ["Check", "FolderStore", "Listing", "Patience", "S3Store", "Store", "allowed", "open_store"]

FIRST_PAUSE_SECONDS = 0.5
DOWNLOAD_BYTES = 8 * 2**20
AWS_HOSTS = ".amazonaws.com"
CHANGED_CODES = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
"""Answers to a conditional PUT: the object is not, or not any more, what was expected."""

Answer = TypeVar("Answer")


def open_store(
    url: str, connections: int = 16, patience: Patience = Patience(), check: Check = allowed,  # noqa: B008  # immutable
) -> Store:  # fmt: skip
    """The store behind `url`: a local folder, which need not exist yet, or `s3://bucket/prefix`. Touches nothing yet.

    Args:
        url: path or S3 url.
        connections: how many threads will use it at the same time.
        patience: with S3.
        check: asked before anything is changed; with S3 before each attempt at that, and every second while bytes are
            sent. What it raises prevents the change: for whoever may lose the right to write.

    Raises:
        ConfigError: another scheme than s3://, or no bucket.
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        if not bucket:
            raise ConfigError(f"no bucket in {url!r}", "write s3://bucket/prefix")
        return S3Store(bucket, prefix, connections, patience, check)
    if not url or ":/" in url:
        raise ConfigError(f"{url!r} is neither a folder nor an S3 url", "write a path, or s3://bucket/prefix")
    return FolderStore(Path(url).expanduser(), check)


class S3Store(Store):
    """A bucket, or what lies below a prefix of it."""

    def __init__(self, bucket: str, prefix: str, connections: int, patience: Patience, check: Check) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.connections = connections
        self.patience = patience
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._check = check
        self._lock = threading.Lock()
        self._made: tuple[S3Client, Wire | None] | None = None
        self._gets = SignedGets(bucket)

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Store, (self.bucket, self.prefix, self.connections, self.patience, self._check)

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

    def _changed(self, what: str, act: Callable[["S3Client"], Answer]) -> Answer:
        """`_tried`, where `act` changes something."""

        def checked(client: "S3Client") -> Answer:
            self._check()
            return act(client)

        return self._tried(what, checked)

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
            wire = self._access()[1]
            for count in self._gets.stream(client, wire, self._name(key), offset + filled, buffer[filled:]):
                taker(buffer[filled : filled + count])
                filled += count

        if len(buffer):
            self._tried(f"read {key}", go_on)

    def write(self, key: str, data: bytes) -> None:
        self._send(key, BytesIO(data))

    def _send(self, key: str, file: BinaryIO) -> None:
        def put(client: "S3Client") -> None:
            file.seek(0)
            body: Any = Sent(file, self._check)
            client.put_object(Bucket=self.bucket, Key=self._name(key), Body=body)

        self._changed(f"write {key}", put)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="satgan-") as scratch:
            path = Path(scratch, key.rpartition("/")[2])
            with folder_errors_told(f"write {path.name}", scratch):
                yield path
            self.upload(path, key)

    def upload(self, path: Path, key: str) -> None:
        reading = folder_errors_told(f"read {path.name}", str(path.parent))
        with reading, path.open("rb") as file:
            self._send(key, file)

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
        self._changed(f"delete {key}", lambda client: client.delete_object(Bucket=self.bucket, Key=self._name(key)))

    def swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        named = {"Bucket": self.bucket, "Key": self._name(key)}

        def put(client: "S3Client") -> bool:
            found, tag = _read_tagged(client, named)
            if found != expected:
                return False
            condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
            try:
                client.put_object(**named, Body=data, **condition)  # type: ignore[arg-type]
            except client.exceptions.ClientError as error:
                code = error.response["Error"].get("Code", "")
                if code in CHANGED_CODES:
                    return False
                if code != "NotImplemented":
                    raise
                client.put_object(**named, Body=data)  # type: ignore[arg-type]
            return True

        return self._changed(f"write {key}", put)

    def move(self, key: str, to: str) -> None:
        source: CopySourceTypeDef = {"Bucket": self.bucket, "Key": self._name(key)}
        self._changed(
            f"copy {key} to {to}",
            lambda client: client.copy_object(Bucket=self.bucket, Key=self._name(to), CopySource=source),
        )
        self.delete(key)

    def modified(self, key: str) -> float:
        return self._tried(
            f"look up {key}",
            lambda client: client.head_object(Bucket=self.bucket, Key=self._name(key))["LastModified"].timestamp(),
        )

    def unfinished(self) -> Listing:
        return []  # an upload that was not finished is no object

    def sweep(self) -> int:
        return 0

    def child(self, name: str) -> Store:
        return S3Store(self.bucket, self._name(name), self.connections, self.patience, self._check)


def _read_tagged(client: "S3Client", named: dict[str, str]) -> tuple[bytes | None, str]:
    """An object and its tag; None and nothing where there is none."""
    try:
        answer = client.get_object(**named)  # type: ignore[arg-type]
    except client.exceptions.NoSuchKey:
        return None, ""
    with closing(answer["Body"]) as body:
        return body.read(), answer["ETag"]


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
