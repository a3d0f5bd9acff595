"""Folders and buckets behind one small interface. The only place that knows boto3.

Credentials, region and endpoint come from the standard AWS environment and profile, and from nowhere else.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgan.errors import (
    ConfigError,
    CorruptData,
    SatganError,
    StoreForbidden,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
)
from satgan.tiles.folder import FolderStore, Listing, Store, folder_errors_told, too_short, written_aside

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

__all__ = ["FolderStore", "Listing", "S3Store", "Store", "open_store"]

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 60
ATTEMPTS = 5
RESUMPTIONS = 5
RESUMPTION_PAUSE_SECONDS = 0.2
DOWNLOAD_BYTES = 8 * 2**20
READ_BYTES = 2**20
"""Bytes taken from a body at a time: at most so many that had arrived are lost when the connection is reset."""

CREDENTIALS_REMEDY = (
    "check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the bucket's policy "
    "(without s3:ListBucket, S3 answers 'forbidden' for missing objects too)"
)
NETWORK_REMEDY = "check the network and AWS_ENDPOINT_URL, then run the same command again"
REGION_REMEDY = "set AWS_DEFAULT_REGION to the bucket's region, and AWS_ENDPOINT_URL if it is not on AWS"
NAME_REMEDY = "check the spelling of the url, AWS_ENDPOINT_URL and AWS_PROFILE (another account has other buckets)"
QUOTA_REMEDY = "raise the bucket's quota or free some space, then run the same command again"


def open_store(url: str, connections: int = 16) -> Store:
    """The store behind `url`: a local folder, which need not exist yet, or `s3://bucket/prefix`. Touches nothing yet.

    For S3, one attempt may take 5 s to connect and 60 s without a byte; there are 5, with pauses of 15 s at most
    in all. So an address that never answers is given up after 40 s, a server that stays silent after 340 s; a body
    that breaks off is taken up again from there 5 times.

    Args:
        url: path or S3 url.
        connections: how many threads will use it at the same time.

    Raises:
        ConfigError: another scheme than s3://, or no bucket.
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        if not bucket:
            raise ConfigError(f"no bucket in {url!r}", "write s3://bucket/prefix")
        return S3Store(bucket, prefix, connections)
    if not url or ":/" in url:
        raise ConfigError(f"{url!r} is neither a folder nor an S3 url", "write a path, or s3://bucket/prefix")
    return FolderStore(Path(url).expanduser())


class S3Store(Store):
    """A bucket, or what lies below a prefix of it."""

    def __init__(self, bucket: str, prefix: str, connections: int) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.connections = connections
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._lock = threading.Lock()
        self._made: S3Client | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Store, (self.bucket, self.prefix, self.connections)

    @property
    def _client(self) -> "S3Client":
        with self._lock:  # boto3's clients may be shared by threads, their making may not
            if self._made is None:
                self._made = _make_client(self.connections)
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

    def list(self, prefix: str = "") -> Listing:
        above = len(self._name(""))
        with _s3_errors_told(f"list {prefix or 'the objects'}", self.url):
            listing = self._client.get_paginator("list_objects_v2")
            pages = listing.paginate(Bucket=self.bucket, Prefix=self._name(prefix))
            return sorted((item["Key"][above:], item["Size"]) for page in pages for item in page.get("Contents", ()))

    def exists(self, key: str) -> bool:
        try:
            self._size_bytes(key)
        except StoreMissing:
            return False
        return True

    def _size_bytes(self, key: str) -> int:
        with _s3_errors_told(f"look up {key}", self.url):
            return self._client.head_object(Bucket=self.bucket, Key=self._name(key))["ContentLength"]

    def read(self, key: str) -> bytes:
        for resumption in range(RESUMPTIONS + 1):
            time.sleep(resumption * RESUMPTION_PAUSE_SECONDS)
            with _s3_errors_told(f"read {key}", self.url):
                body = self._client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"]
                try:
                    return body.read()
                except _broken_off():
                    body.close()
        raise self._gave_up(key)

    def read_range_into(self, key: str, offset: int, buffer: memoryview) -> None:
        filled = 0
        for resumption in range(RESUMPTIONS + 1):
            if filled == len(buffer):
                return
            time.sleep(resumption * RESUMPTION_PAUSE_SECONDS)
            with _s3_errors_told(f"read {key}", self.url):
                filled += self._stream(key, offset + filled, buffer[filled:])
        if filled < len(buffer):
            raise self._gave_up(key)

    def _stream(self, key: str, offset: int, buffer: memoryview) -> int:
        """Bytes that one ranged GET brought into `buffer`: fewer than asked for where the body broke off."""
        asked = f"bytes={offset}-{offset + len(buffer) - 1}"
        answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key), Range=asked)
        total_bytes = int(answer["ContentRange"].rpartition("/")[2])
        if total_bytes < offset + len(buffer):
            answer["Body"].close()
            raise too_short(f"{self.url}/{key}", offset, len(buffer), total_bytes)
        filled, count = 0, -1
        try:
            while count and filled < len(buffer):
                part = buffer[filled : filled + READ_BYTES]
                count = answer["Body"].readinto(part)  # type: ignore[arg-type]  # the stubs ask for a file
                filled += count
        except _broken_off():
            pass
        answer["Body"].close()
        return filled

    def _gave_up(self, key: str) -> StoreUnreachable:
        return StoreUnreachable(f"{self.url}/{key}: the body broke off {RESUMPTIONS + 1} times", NETWORK_REMEDY)

    def write(self, key: str, data: bytes) -> None:
        with _s3_errors_told(f"write {key}", self.url):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data)

    def upload(self, path: Path, key: str) -> None:
        reading = folder_errors_told(f"read {path.name}", str(path.parent))
        with reading, path.open("rb") as file, _s3_errors_told(f"write {key}", self.url):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=file)

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
        with _s3_errors_told(f"delete {key}", self.url):
            self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def child(self, name: str) -> Store:
        return S3Store(self.bucket, self._name(name), self.connections)


def _make_client(connections: int) -> "S3Client":
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=connections,
    )
    return boto3.session.Session().client("s3", config=config)


def _broken_off() -> tuple[type[Exception], ...]:
    """What a body raises that ends too early; the answer's head had come."""
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    return IncompleteReadError, ReadTimeoutError, ResponseStreamingError, ConnectionError


@contextmanager
def _s3_errors_told(what: str, url: str) -> Iterator[None]:
    """Turns botocore's exceptions into the StoreError that they mean; `what` completes "could not …"."""
    try:
        yield
    except SatganError:
        raise
    except Exception as error:
        told = _s3_error(f"could not {what} in {url}: {error}", error)
        if told is None:
            raise
        raise told from error


def _s3_error(found: str, error: Exception) -> SatganError | None:
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        return _refusal(found, error.response["Error"].get("Code", ""), _status(error))
    if isinstance(error, aws.ParamValidationError):
        return StoreMissing(found, NAME_REMEDY)
    if isinstance(error, aws.FlexibleChecksumError):
        return CorruptData(found, "run the same command again; if it happens again, write the object anew")
    if isinstance(error, (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError, ValueError)):
        return StoreUnreachable(found, NETWORK_REMEDY)  # ValueError: an AWS_ENDPOINT_URL that is no url
    return StoreForbidden(found, CREDENTIALS_REMEDY) if isinstance(error, aws.BotoCoreError) else None


def _status(error: "ClientError") -> int:
    return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))


def _refusal(found: str, code: str, status: int) -> SatganError:
    """What a server's answer means. S3-compatible servers differ in codes, so the HTTP status decides where it can."""
    if code == "InvalidRange":
        return CorruptData(found + " (the object is truncated)", "copy or pack it again from where it came")
    if status in (301, 307) or code == "AuthorizationHeaderMalformed":
        return StoreMissing(found, REGION_REMEDY)
    if status == 404 or code in ("NoSuchKey", "NoSuchBucket"):
        return StoreMissing(found, NAME_REMEDY)
    if status == 507 or "Quota" in code or "StorageFull" in code:
        return StoreFull(found, QUOTA_REMEDY)
    if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout"):
        return StoreUnreachable(found, NETWORK_REMEDY)
    return StoreForbidden(found, CREDENTIALS_REMEDY)
