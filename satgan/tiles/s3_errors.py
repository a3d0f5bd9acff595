"""What botocore's errors, and the wire's, mean in ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from satgan.errors import SatganError, StoreForbidden, StoreMissing, StoreUnreachable
from satgan.tiles.refusal import AGAIN, CREDENTIALS_REMEDY, NAME_REMEDY, NETWORK_REMEDY, refusal
from satgan.tiles.wire import Refused

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


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
    if isinstance(error, aws.FlexibleChecksumError):  # other bytes came than the server sent
        return StoreUnreachable(found, f"{AGAIN}; if it happens again, write the object anew")
    if isinstance(error, (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError, HTTPError)):
        return StoreUnreachable(found, NETWORK_REMEDY)
    if isinstance(error, (ConnectionError, ValueError)):  # ValueError: an AWS_ENDPOINT_URL that is no url
        return StoreUnreachable(found, NETWORK_REMEDY)
    return StoreForbidden(found, CREDENTIALS_REMEDY) if isinstance(error, aws.BotoCoreError) else None


def _status(error: "ClientError") -> int:
    return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
