"""What a server's refusal means, and what the user can do about it. S3-compatible servers differ in their codes."""

from satgan.errors import CorruptData, SatganError, StoreForbidden, StoreFull, StoreMissing, StoreUnreachable

AGAIN = "if the command has ended, give it again"
"""A run bears most failures of its store, and the same words are said to commands that ended."""
CREDENTIALS_REMEDY = (
    "check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the bucket's policy "
    "(without s3:ListBucket, S3 answers 'forbidden' for missing objects too)"
)
EXPIRED_REMEDY = (
    f"the credentials have run out: renew them (say `aws sso login`); {AGAIN}: a run resumes from its newest "
    "checkpoint; a role or AWS_PROFILE that renews itself does not run out"
)
CLOCK_REMEDY = (
    "this machine's clock differs from the server's by more than signatures allow (15 minutes on S3): "
    f"set it (`timedatectl set-ntp true`); {AGAIN}"
)
NETWORK_REMEDY = f"check the network and AWS_ENDPOINT_URL; {AGAIN}"
REGION_REMEDY = "set AWS_DEFAULT_REGION to the bucket's region, and AWS_ENDPOINT_URL if it is not on AWS"
NAME_REMEDY = "check the spelling of the url, AWS_ENDPOINT_URL and AWS_PROFILE (another account has other buckets)"
QUOTA_REMEDY = f"raise the bucket's quota or free some space; {AGAIN}"
RANGES_REMEDY = "take a store that answers ranged GETs, or copy the data to a local folder"

EXPIRED_CODES = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
CLOCK_CODES = ("RequestTimeTooSkewed", "RequestInTheFuture")
LATE = "Request has expired"
"""S3's words, under the code AccessDenied, for a url whose time is over. Ours are used for a minute."""
ELSEWHERE_CODES = ("AuthorizationHeaderMalformed", "AuthorizationQueryParametersError")
BUSY_CODES = ("SlowDown", "RequestTimeout", "RequestTimeoutException", "RequestLimitExceeded", "BandwidthLimitExceeded")


def is_elsewhere(code: str, status: int) -> bool:
    """Whether the answer says that the bucket is in another region than the one that was asked, or signed for."""
    return status in (301, 307) or code in ELSEWHERE_CODES


def refusal(found: str, code: str, status: int) -> SatganError:
    """The error that an answer stands for. The HTTP status decides where it can.

    Args:
        found: what was asked, of whom, and the answer.
        code: S3's, say NoSuchKey; empty where the answer has no body.
        status: HTTP's.

    Returns:
        StoreUnreachable for what may pass when it is tried again, and for nothing else.
    """
    if code == "InvalidRange":
        return CorruptData(found + " (the object is truncated)", "copy or pack it again from where it came")
    if is_elsewhere(code, status):
        return StoreMissing(found, REGION_REMEDY)
    if status == 404 or code in ("NoSuchKey", "NoSuchBucket"):
        return StoreMissing(found, NAME_REMEDY)
    if status == 507 or "Quota" in code or "StorageFull" in code:
        return StoreFull(found, QUOTA_REMEDY)
    if status >= 500 or status == 429 or code in BUSY_CODES or code.startswith("Throttl"):
        return StoreUnreachable(found, NETWORK_REMEDY)
    return StoreForbidden(found, _forbidden_remedy(code, found))


def _forbidden_remedy(code: str, found: str) -> str:
    if code in EXPIRED_CODES:
        return EXPIRED_REMEDY
    return CLOCK_REMEDY if code in CLOCK_CODES or LATE in found else CREDENTIALS_REMEDY
