"""Fixtures of the tiles room."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.tiles import swift_server


@pytest.fixture(scope="session")
def swift_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of a Swift server with one bucket, for the whole session."""
    import boto3

    reason = swift_server.missing()
    if reason:
        pytest.skip(reason)
    with swift_server.swift_server(tmp_path_factory.mktemp("swift")) as endpoint:
        session = boto3.session.Session(swift_server.KEY, swift_server.SECRET, region_name="us-east-1")
        client = session.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket=swift_server.BUCKET)
        client.close()
        yield endpoint


@pytest.fixture
def swift_prefix(s3: str, swift_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of this test alone in Swift's bucket, whither the AWS variables lead while it runs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", swift_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", swift_server.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", swift_server.SECRET)
    return f"s3://{swift_server.BUCKET}/{uuid4().hex}"
