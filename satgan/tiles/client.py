"""boto3's client of S3 as this program wants it, and what its errors mean."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from satgan.errors import CorruptData, SatganError, StoreForbidden, StoreMissing, StoreUnreachable
from satgan.tiles.refusal import CREDENTIALS_REMEDY, NAME_REMEDY, NETWORK_REMEDY, refusal
from satgan.tiles.wire import Patience, Refused, Wire, modern_signature

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

AWS_HOSTS = ".amazonaws.com"


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


@contextmanager
def s3_errors_told(what: str, url: str) -> Iterator[None]:
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
    from urllib3.exceptions import HTTPError

    if isinstance(error, aws.ClientError):
        return refusal(found, error.response["Error"].get("Code", ""), _status(error))
    if isinstance(error, Refused):
        return refusal(found, error.code, error.status)
    if isinstance(error, aws.ParamValidationError):
        return StoreMissing(found, NAME_REMEDY)
    if isinstance(error, aws.FlexibleChecksumError):
        return CorruptData(found, "run the same command again; if it happens again, write the object anew")
    if isinstance(error, (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError, HTTPError)):
        return StoreUnreachable(found, NETWORK_REMEDY)
    if isinstance(error, (ConnectionError, ValueError)):  # ValueError: an AWS_ENDPOINT_URL that is no url
        return StoreUnreachable(found, NETWORK_REMEDY)
    return StoreForbidden(found, CREDENTIALS_REMEDY) if isinstance(error, aws.BotoCoreError) else None


def _status(error: "ClientError") -> int:
    return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
