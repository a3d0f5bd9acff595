"""How large bodies come: on connections that are used again, over TLS that is checked, and through proxies."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from satgan.errors import StoreUnreachable
from satgan.tiles import signed
from satgan.tiles.store import Patience, Store, make_client, open_store

BODY = bytes(range(256)) * 40
ONCE = Patience(connect_timeout_seconds=5, read_timeout_seconds=5, attempts=1)


class Server(ThreadingHTTPServer):
    """Answers ranged GETs with parts of BODY. It notes what was asked, and closes a connection after `most` answers.
    Signed urls are refused with the code `elsewhere`, where there is one."""

    daemon_threads = True

    def __init__(self, most: int = 10**6, trust: ssl.SSLContext | None = None, elsewhere: str = "") -> None:
        self.connections: list[object] = []
        self.asked: list[str] = []
        self.closed = threading.Semaphore(0)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                self.left = most
                server.connections.append(self)

            def do_GET(self) -> None:
                server.asked.append(self.path)
                if elsewhere and "X-Amz-Signature" in self.path:
                    text = f"<Error><Code>{elsewhere}</Code></Error>".encode()
                    self.send_response(400)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                    return
                first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
                self.send_response(206)
                self.send_header("Content-Length", str(last - first + 1))
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(BODY)}")
                self.end_headers()
                self.wfile.write(BODY[first : last + 1])
                self.left -= 1
                self.close_connection = not self.left

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        if trust:
            self.socket = trust.wrap_socket(self.socket, server_side=True)

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)  # type: ignore[arg-type]  # the stubs know sockets only
        self.closed.release()

    def handle_error(self, *_: object) -> None:
        """A client that does not trust the server hangs up."""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def point_to(server: Server, patch: pytest.MonkeyPatch, scheme: str = "http") -> None:
    patch.setenv("AWS_ENDPOINT_URL", f"{scheme}://127.0.0.1:{server.server_port}")


def read(store: Store, count: int = 100) -> None:
    buffer = bytearray(count)
    store.read_range_into("x", 7, memoryview(buffer))
    assert buffer == BODY[7 : 7 + count]


def test_a_connection_is_used_again_and_never_by_two_threads(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Server()) as server:
        point_to(server, monkeypatch)
        store = open_store("s3://bucket/p", patience=ONCE)
        for _ in range(20):
            read(store)
        assert len(server.connections) == 1
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: read(store, 5000), range(80)))
        assert len(server.connections) <= 4
    # What is kept open is closed with the store: a warning about a forgotten socket would fail the test.


def test_a_connection_that_the_server_closed_meanwhile_is_not_tried(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a single attempt, so it would be an error."""
    with serving(Server(most=1)) as server:
        point_to(server, monkeypatch)
        store = open_store("s3://bucket/p", patience=ONCE)
        for _ in range(5):
            read(store)
            assert server.closed.acquire(timeout=10)
        assert len(server.connections) == 5


def test_urls_are_signed_by_version_4_and_again_after_a_while(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Server()) as server:
        point_to(server, monkeypatch)
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        store = open_store("s3://bucket/p", patience=ONCE)
        read(store)
        read(store)
        assert server.asked[0] == server.asked[1]
        monkeypatch.setattr(signed, "SIGN_AGAIN_SECONDS", 0)
        monkeypatch.setattr(signed, "SIGNED_SECONDS", 1000)
        read(store)
    queries = [parse_qs(urlsplit(path).query) for path in server.asked]
    assert queries[0]["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert queries[0]["X-Amz-Security-Token"] == ["token"]
    assert [query["X-Amz-Expires"] for query in queries] == [["1200"], ["1200"], ["1000"]]
    assert urlsplit(server.asked[0]).path == "/bucket/p/x"


def test_a_server_that_nobody_vouches_for_is_refused(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the certificate, is not installed")
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(Server(trust=trust)) as server:
        point_to(server, monkeypatch, "https")
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with pytest.raises(StoreUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            read(open_store("s3://bucket/p", patience=ONCE))
        assert not server.asked
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        read(open_store("s3://bucket/p", patience=ONCE), 5000)


def test_a_proxy_is_asked_where_there_is_one(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(Server()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.nowhere.invalid")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
        read(open_store("s3://bucket/p", patience=ONCE), 5000)
        assert server.asked == ["http://s3.nowhere.invalid/bucket/p/x"]


@pytest.mark.parametrize("region", ["us-west-2", "eu-south-1", "me-central-1", "cn-north-1"])
def test_urls_of_aws_are_signed_for_the_regions_own_host(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of all regions sends newer regions and new buckets elsewhere, or refuses them."""
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", region)):
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client, _ = make_client(1, ONCE)
    url = client.generate_presigned_url("get_object", Params={"Bucket": "my-bucket", "Key": "x"})
    assert urlsplit(url).netloc.startswith(f"my-bucket.s3.{region}.amazonaws.com")


@pytest.mark.parametrize("code", ["AuthorizationQueryParametersError", "AuthorizationHeaderMalformed"])
def test_a_bucket_in_another_region_is_left_to_boto3(s3: str, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with serving(Server(elsewhere=code)) as server:
        point_to(server, monkeypatch)
        store = open_store("s3://bucket/p", patience=ONCE)
        read(store)
        read(store)
    assert ["X-Amz-Signature" in path for path in server.asked] == [True, False, False]
