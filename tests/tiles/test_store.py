"""Folders and buckets keep the same promises, and every failure has its name."""

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from satgan.errors import (
    ConfigError,
    CorruptData,
    RunLost,
    SatganError,
    StoreForbidden,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
)
from satgan.tiles import sent, signed
from satgan.tiles import store as store_module
from satgan.tiles.aside import UNFINISHED_SUFFIX, written_aside
from satgan.tiles.store import FolderStore, Patience, Store, open_store
from tests.tiles.fault_proxy import Fault, dropped, fault_proxy

BODY = bytes(range(256)) * 40


@pytest.fixture(params=["folder", "s3", pytest.param("swift", marks=pytest.mark.swift)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The tests run with an empty folder, and with an empty prefix of a lenient and of a strict server; this is it."""
    if request.param == "folder":
        return str(tmp_path / "place")
    return str(request.getfixturevalue(f"{request.param}_prefix"))


def test_what_was_written_is_read(place: str, tmp_path: Path) -> None:
    store = open_store(place)
    store.write("a/b.bin", BODY)
    store.write("a/empty", b"")
    store.write("a/b.bin", BODY + b"!")
    assert store.read("a/b.bin") == BODY + b"!"
    assert store.read("a/empty") == b""
    assert store.list() == [("a/b.bin", len(BODY) + 1), ("a/empty", 0)]
    assert store.list("a/b") == [("a/b.bin", len(BODY) + 1)]
    assert store.list("nothing/") == []
    assert store.exists("a/b.bin")
    assert not store.exists("a")
    assert store.child("a").read("b.bin") == BODY + b"!"
    assert store.child("a").list() == [("b.bin", len(BODY) + 1), ("empty", 0)]


def test_files_travel_both_ways(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "DOWNLOAD_BYTES", 1000)
    store = open_store(place)
    (tmp_path / "here").write_bytes(BODY)
    store.upload(tmp_path / "here", "deep/there")
    store.download("deep/there", tmp_path / "new folder" / "back")
    assert (tmp_path / "new folder" / "back").read_bytes() == BODY
    store.write("empty", b"")
    store.download("empty", tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


def test_what_is_written_bit_by_bit_is_there_when_it_is_through_and_not_before(place: str) -> None:
    store = open_store(place)
    with store.writing("deep/a") as path:
        path.write_bytes(b"one")
        assert not store.exists("deep/a")
    assert store.read("deep/a") == b"one"
    with suppress(ZeroDivisionError), store.writing("deep/a") as path:
        path.write_bytes(b"two")
        print(1 / 0)
    assert store.read("deep/a") == b"one"
    assert store.list() == [("deep/a", 3)]
    assert not path.exists()
    assert store.unfinished() == []


def test_ranges_fill_the_buffer(place: str) -> None:
    store = open_store(place)
    store.write("x", BODY)
    for offset, count in ((0, 1), (7, 1000), (len(BODY) - 3, 3), (5, 0), (0, len(BODY))):
        buffer = bytearray(count)
        store.read_range_into("x", offset, memoryview(buffer))
        assert buffer == BODY[offset : offset + count]


@pytest.mark.parametrize("offset", [len(BODY) - 3, len(BODY) + 10])
def test_a_range_beyond_the_end_is_a_truncated_object(place: str, offset: int) -> None:
    store = open_store(place)
    store.write("x", BODY)
    with pytest.raises(CorruptData, match="truncated") as told:
        store.read_range_into("x", offset, memoryview(bytearray(4)))
    assert f"{place}" in str(told.value)


def refuse() -> None:
    raise RunLost("it is another's", "let it be")


def test_nothing_is_changed_against_an_objection(place: str, tmp_path: Path) -> None:
    """Which is asked for when all is ready, so an object may have been read and written to by then."""
    mine, theirs = open_store(place, check=refuse).child("a"), open_store(place).child("a")
    (tmp_path / "here").write_bytes(BODY)
    theirs.write("x", BODY)

    def writing() -> None:
        with mine.writing("x") as path:
            path.write_bytes(b"other")

    changes: list[Callable[[], object]] = [
        lambda: mine.write("x", b"other"), lambda: mine.write("y/z", b"new"), lambda: mine.delete("x"),
        lambda: mine.upload(tmp_path / "here", "y"), lambda: mine.move("x", "y"), writing,
        lambda: mine.swap("x", BODY, b"other"),
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(RunLost):
            change()
        assert theirs.list() == [("x", len(BODY))]
        assert theirs.read("x") == mine.read("x") == BODY
    assert theirs.unfinished() == []


def test_what_is_unfinished_stays_against_an_objection(tmp_path: Path) -> None:
    with open_store(str(tmp_path)).writing("x") as path:
        path.write_bytes(BODY)
        with pytest.raises(RunLost):
            open_store(str(tmp_path), check=refuse).sweep()
    assert (tmp_path / "x").read_bytes() == BODY


def test_an_attempt_is_asked_for_like_the_first(s3: str, s3_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is allowed no more is not tried again, though the first attempt was, and failed."""
    monkeypatch.setattr(store_module, "FIRST_PAUSE_SECONDS", 0.01)
    asked: list[str] = []

    def check() -> None:
        if asked:
            refuse()

    def block(method: str, key: str) -> Fault:
        asked.append(method)
        return dropped

    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        store = open_store(s3_prefix, patience=Patience(attempts=3), check=check)
        proxy.block = block
        with pytest.raises(RunLost):
            store.write("x", BODY)
    assert asked == ["PUT"]


def test_an_object_does_not_come_to_be_that_is_objected_to_while_it_is_sent(
    s3_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent, "ASK_SECONDS", 0.0)
    big, asked, most = bytes(2**22), 0, 10**9

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked >= most:
            refuse()

    store = open_store(s3_prefix, patience=Patience(attempts=1), check=check)
    store.write("x", b"first")
    asked = 0
    store.write("y", big)
    most, asked = asked - 1, 0  # not the last piece, but so late that nearly all has been sent
    with pytest.raises(StoreUnreachable, match="it is another's"):
        store.write("x", big)
    assert asked == most
    most = 10**9
    assert store.list() == [("x", 5), ("y", len(big))]
    assert store.read("x") == b"first"
    store.write("x", b"second")
    assert store.read("x") == b"second"


def test_deleting_twice_is_no_error(place: str) -> None:
    store = open_store(place)
    store.write("x", BODY)
    store.delete("x")
    store.delete("x")
    assert not store.exists("x")


def test_of_several_who_swap_at_the_same_time_one_succeeds(place: str, request: pytest.FixtureRequest) -> None:
    """The server of the lenient bucket looks and writes in two steps, so there the strangers come one by one."""
    store = open_store(place)
    strangers = 8 if not place.startswith("s3://") else 1
    assert not store.swap("a/lease", b"none", b"new")
    for before, turn in ((None, 1), (b"1", 2), (b"2", 3)):
        with ThreadPoolExecutor(strangers) as threads:
            written = list(threads.map(lambda _: store.swap("a/lease", before, b"%d" % turn), range(8)))  # noqa: B023
        assert sum(written) == 1
        assert store.read("a/lease") == b"%d" % turn
    store.delete("a/lease")
    assert not store.swap("a/lease", b"3", b"4")
    assert store.list() == []


@pytest.mark.parametrize(
    ("server", "before"), [("s3", None), ("s3", b"1"), pytest.param("swift", None, marks=pytest.mark.swift)]
)
def test_a_server_keeps_what_came_between_look_and_write(
    server: str, before: bytes | None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swift heeds If-None-Match, but no If-Match: there the first renewal finds the stranger."""
    store = open_store(str(request.getfixturevalue(f"{server}_prefix")))
    read_tagged = store_module._read_tagged

    def overtaken(*given: Any) -> tuple[bytes | None, str]:
        found = read_tagged(*given)
        store.write("lease", b"stranger")
        return found

    if before:
        store.write("lease", before)
    monkeypatch.setattr(store_module, "_read_tagged", overtaken)
    assert not store.swap("lease", before, b"2")
    assert store.read("lease") == b"stranger"


def test_a_moved_object_has_its_new_name_only(place: str) -> None:
    store = open_store(place)
    before_seconds = time.time()
    store.write("a/b/x", BODY)
    store.write("c/x", b"old")
    store.move("a/b/x", "c/x")
    assert store.list() == [("c/x", len(BODY))]
    assert store.read("c/x") == BODY
    assert abs(store.modified("c/x") - before_seconds) < 60
    with pytest.raises(StoreMissing):
        store.move("a/b/x", "c/x")
    with pytest.raises(StoreMissing):
        store.modified("a/b/x")


def test_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a/x", BODY)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f".x.1234{UNFINISHED_SUFFIX}").write_bytes(b"half")
    assert store.sweep() == 8
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "x"]


def test_a_store_can_be_pickled_and_shared_by_threads(place: str) -> None:
    store = open_store(place)
    store.write("x", BODY)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.url == store.url == place
    with ThreadPoolExecutor(8) as threads:
        assert all(data == BODY for data in threads.map(copy.read, ["x"] * 32))


@pytest.mark.parametrize(
    "action",
    [
        lambda store, path: store.read("missing"),
        lambda store, path: store.read_range_into("missing", 0, memoryview(bytearray(1))),
        lambda store, path: store.download("missing", path),
    ],
)
def test_a_missing_object_is_told(place: str, tmp_path: Path, action: Callable[..., None]) -> None:
    store = open_store(place)
    store.write("x", BODY)
    with pytest.raises(StoreMissing, match="missing") as told:
        action(store, tmp_path / "file")
    assert place in told.value.found
    assert not (tmp_path / "file").exists()


def test_a_missing_folder_or_bucket_is_told(s3: str, tmp_path: Path) -> None:
    for url in (str(tmp_path / "none"), "s3://no-such-bucket-here/set", "s3://Not_A_Bucket"):
        with pytest.raises(StoreMissing) as told:
            open_store(url).list()
        assert url in told.value.found
        assert not open_store(url).exists("x")


@pytest.mark.parametrize("url", ["s3://", "gs://bucket/x", "s3:/bucket/x", ""])
def test_an_impossible_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", ""])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreForbidden):
        FolderStore(tmp_path / "store").write(key, b"x")


def test_a_broken_write_leaves_the_old_object_and_no_other_name(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("x", b"old")
    with suppress(KeyboardInterrupt), written_aside(tmp_path / "x") as aside:
        aside.write_bytes(b"ne")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert store.read("x") == b"old"


def test_a_reader_never_sees_half_an_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    wholes = [bytes([number]) * 2_000_000 for number in range(2)]
    store.write("x", wholes[0])
    with ThreadPoolExecutor(1) as threads:
        for turn in range(20):
            writing = threads.submit(store.write, "x", wholes[turn % 2])
            while not writing.done():
                assert store.read("x") in wholes


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / f".x.1234{UNFINISHED_SUFFIX}").write_bytes(b"half")
    assert FolderStore(tmp_path).list() == []


def test_a_full_disk_is_told_and_left_clean(tiny_disk: Path, s3_prefix: str) -> None:
    big = b"x" * 200_000
    with pytest.raises(StoreFull, match="No space left") as told:
        FolderStore(tiny_disk).write("big", big)
    assert str(tiny_disk) in told.value.found
    bucket = open_store(s3_prefix)
    bucket.write("big", big)
    with pytest.raises(StoreFull):
        bucket.download("big", tiny_disk / "big")
    assert list(tiny_disk.iterdir()) == []


def test_permissions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(StoreForbidden, match="Permission denied"):
        FolderStore(tmp_path).read("x")


Answer = Callable[[BaseHTTPRequestHandler], None]
QUICK = Patience(attempts=2)


@pytest.fixture
def faulty_server(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Answer]]:
    """AWS_ENDPOINT_URL leads to a server that gives these answers in turn, the last one for ever."""
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        do_HEAD = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(store_module, "FIRST_PAUSE_SECONDS", 0.0)
    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(status: int, code: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body if request.command != "HEAD" else b"")

    return answer


def breaking_after(count: int) -> Answer:
    """Serves BODY (ranged or whole) and drops the connection after `count` bytes of it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = request.headers["Range"]
        first, last = map(int, asked.removeprefix("bytes=").split("-")) if asked else (0, len(BODY) - 1)
        request.send_response(206 if asked else 200)
        request.send_header("Content-Length", str(last - first + 1))
        request.send_header("Content-Range", f"bytes {first}-{last}/{len(BODY)}")
        request.end_headers()
        request.wfile.write(BODY[first : min(last + 1, first + count)])

    return answer


def test_a_body_that_breaks_off_is_resumed_from_there(
    faulty_server: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(answer: Answer) -> Answer:
        def note(request: BaseHTTPRequestHandler) -> None:
            asked.append(str(request.headers["Range"]))
            answer(request)

        return note

    monkeypatch.setattr(signed, "READ_BYTES", 100)
    faulty_server[:] = [noted(breaking_after(1000)), noted(breaking_after(250)), noted(breaking_after(10**6))]
    buffer = bytearray(5000)
    open_store("s3://bucket/p").read_range_into("x", 10, memoryview(buffer))
    assert buffer == BODY[10:5010]
    assert asked == ["bytes=10-5009", "bytes=1010-5009", "bytes=1260-5009"]


def test_a_whole_read_that_breaks_off_is_read_again(faulty_server: list[Answer]) -> None:
    faulty_server[:] = [breaking_after(1000), breaking_after(10**6)]
    assert open_store("s3://bucket/p").read("x") == BODY


def test_a_body_that_always_breaks_off_is_given_up(faulty_server: list[Answer]) -> None:
    faulty_server[:] = [breaking_after(0)]
    store = open_store("s3://bucket/p")
    for read in (lambda: store.read("x"), lambda: store.read_range_into("x", 0, memoryview(bytearray(9)))):
        with pytest.raises(StoreUnreachable, match="attempt 5 of 5"):
            read()


@pytest.mark.parametrize(
    ("status", "code", "expected", "remedy"),
    [
        (403, "AccessDenied", StoreForbidden, "AWS_PROFILE"),
        (403, "InvalidAccessKeyId", StoreForbidden, "AWS_PROFILE"),
        (403, "SignatureDoesNotMatch", StoreForbidden, "AWS_PROFILE"),
        (400, "ExpiredToken", StoreForbidden, "renew"),
        (403, "RequestTimeTooSkewed", StoreForbidden, "clock"),
        (404, "NoSuchBucket", StoreMissing, "AWS_ENDPOINT_URL"),
        (400, "AuthorizationHeaderMalformed", StoreMissing, "AWS_DEFAULT_REGION"),
        (416, "InvalidRange", CorruptData, "again"),
        (507, "InsufficientCapacity", StoreFull, "space"),
        (400, "XMinioStorageFull", StoreFull, "space"),
        (403, "QuotaExceeded", StoreFull, "quota"),
        (503, "SlowDown", StoreUnreachable, "AWS_ENDPOINT_URL"),
        (500, "InternalError", StoreUnreachable, "AWS_ENDPOINT_URL"),
    ],
)
def test_refusals_have_their_names(
    faulty_server: list[Answer], status: int, code: str, expected: type[SatganError], remedy: str
) -> None:
    faulty_server[:] = [refusal(status, code)]
    with pytest.raises(expected) as told:
        open_store("s3://bucket/p", patience=QUICK).write("x", b"1")
    assert "s3://bucket/p" in told.value.found
    assert code in told.value.found
    assert remedy in told.value.remedy


def test_a_failure_that_passes_is_not_seen_and_attempts_are_counted(faulty_server: list[Answer]) -> None:
    faulty_server[:] = [refusal(503, "SlowDown"), breaking_after(10**6)]
    assert open_store("s3://bucket/p", patience=QUICK).read("x") == BODY
    faulty_server[:] = [refusal(503, "SlowDown")] * 2 + [breaking_after(10**6)]
    with pytest.raises(StoreUnreachable, match="SlowDown"):
        open_store("s3://bucket/p", patience=QUICK).read("x")
    assert len(faulty_server) == 1


def test_an_address_that_does_not_answer_is_told(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for endpoint in (f"http://127.0.0.1:{port}", "no url"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreUnreachable, match=endpoint) as told:
            open_store("s3://bucket/p", patience=Patience(attempts=1)).list()
        assert "AWS_ENDPOINT_URL" in told.value.remedy


def test_a_silent_server_is_given_up(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(StoreUnreachable, match="timeout"):
            open_store("s3://bucket/p", patience=Patience(read_timeout_seconds=0.2, attempts=1)).read("x")


def test_missing_credentials_are_told(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreForbidden, match="credentials") as told:
        open_store(s3).list()
    assert "AWS_PROFILE" in told.value.remedy
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreForbidden, match="nobody"):
        open_store(s3).list()


ACTIONS: list[Callable[[Store], object]] = [
    lambda store: store.read_range_into("x", 1, memoryview(bytearray(9))),
    lambda store: store.read("x"),
    lambda store: store.write("y", b"1"),
    lambda store: store.list(),
    lambda store: store.delete("x"),
]


@pytest.mark.swift
@pytest.mark.parametrize("action", ACTIONS)
def test_a_wrong_secret_is_refused(
    swift_prefix: str, monkeypatch: pytest.MonkeyPatch, action: Callable[[Store], object]
) -> None:
    store = open_store(swift_prefix)
    store.write("x", BODY)
    action(store)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreForbidden, match="SignatureDoesNotMatch") as told:
        action(open_store(swift_prefix))
    assert swift_prefix in told.value.found
    assert "AWS_SECRET_ACCESS_KEY" in told.value.remedy


@pytest.mark.swift
@pytest.mark.parametrize("action", ACTIONS)
def test_a_clock_that_is_late_by_an_hour_is_told(
    swift_prefix: str, monkeypatch: pytest.MonkeyPatch, action: Callable[[Store], object]
) -> None:
    store = open_store(swift_prefix)
    store.write("x", BODY)
    late = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: late.replace(tzinfo=None))
    with pytest.raises(StoreForbidden) as told:
        action(store)
    assert "clock" in told.value.remedy


def test_deleting_the_last_file_leaves_no_empty_folder(tmp_path: Path) -> None:
    """As in a bucket; the store's own folder and files beside it stay."""
    store = open_store(str(tmp_path / "store"))
    for key in ("a/b/one", "a/two"):
        store.write(key, b"x")
    store.delete("a/b/one")
    assert sorted(path.name for path in (tmp_path / "store" / "a").iterdir()) == ["two"]
    store.delete("a/two")
    assert list((tmp_path / "store").iterdir()) == []
    store.delete("never/was")
