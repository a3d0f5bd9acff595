"""Ranged GETs of one bucket through urls that boto3 signs; boto3's own GETs where those do not lead there."""

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from satgan import __version__
from satgan.errors import StoreUnreachable
from satgan.tiles.folder import READ_BYTES, too_short
from satgan.tiles.refusal import NETWORK_REMEDY, RANGES_REMEDY, is_elsewhere
from satgan.tiles.wire import Body, Refused, Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIGNED_SECONDS, SIGN_AGAIN_SECONDS = 1200, 60
"""How long a signed url is good, and is used here: so this machine's clock may be as late as S3 bears (900 s), and
credentials that renew themselves (at least ten minutes before they end) are followed."""


class SignedGets:
    """The GETs of one bucket; may be shared by threads.

    Args:
        bucket: its name.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._signed: dict[str, tuple[float, str]] = {}
        self._moved = False

    def stream(
        self, client: "S3Client", wire: Wire | None, name: str, offset: int, buffer: memoryview
    ) -> Iterator[int]:
        """One ranged GET of the object `name` into `buffer`; yields the bytes of each part that has come.

        Raises:
            StoreUnreachable: the body broke off, or the server knows no ranges.
            CorruptData: the object ends before the buffer is full.
        """
        asked = f"bytes={offset}-{offset + len(buffer) - 1}"
        place = f"s3://{self._bucket}/{name}"
        with self._answer(client, wire, name, asked) as (content_range, body):
            given, _, total_bytes = content_range.rpartition("/")
            if not given.startswith(f"bytes {offset}-"):
                found = f"asked for {asked} of {place}, the server gave {given or 'the whole object'}"
                raise StoreUnreachable(found, RANGES_REMEDY)
            if int(total_bytes) < offset + len(buffer):
                raise too_short(place, offset, len(buffer), int(total_bytes))
            filled = 0
            while filled < len(buffer):
                count = body.readinto(buffer[filled : filled + READ_BYTES])
                if not count:
                    found = f"{place}: the body ended after {filled} of {len(buffer)} bytes ({asked})"
                    raise StoreUnreachable(found, NETWORK_REMEDY)
                filled += count
                yield count

    @contextmanager
    def _answer(self, client: "S3Client", wire: Wire | None, name: str, asked: str) -> Iterator[tuple[str, Body]]:
        """Content-Range and body of a ranged GET. Where a proxy stands between (no wire), or the bucket is in
        another region, boto3 is left to deal with it."""
        try:
            if wire is not None and not self._moved:
                headers = {"Range": asked, "User-Agent": f"satgan/{__version__}"}
                with wire.get(self._url(client, name), headers) as direct:
                    yield direct.headers.get("Content-Range", ""), direct
                return
        except Refused as refused:
            if not is_elsewhere(refused.code, refused.status):
                raise
            self._moved = True
        answer = client.get_object(Bucket=self._bucket, Key=name, Range=asked)
        with closing(answer["Body"]) as body:
            yield answer.get("ContentRange", ""), body  # type: ignore[misc]  # the stubs ask for a file

    def _url(self, client: "S3Client", name: str) -> str:
        signed_at, url = self._signed.get(name, (-math.inf, ""))
        if time.monotonic() > signed_at + SIGN_AGAIN_SECONDS:
            named = {"Bucket": self._bucket, "Key": name}
            url = client.generate_presigned_url("get_object", Params=named, ExpiresIn=SIGNED_SECONDS)
            self._signed[name] = time.monotonic(), url
        return url
