"""The bench of the stream: loaders read every tile from nginx, all processes' CPU counts, goals are judged."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import tiles
from bench.tile_loaders import LOADERS, MARK, Options, cpu_seconds, timed
from bench.tile_server import ECHO_MODULE, make_set, serving
from bench.tile_table import Row, goals, markdown

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
TILES = 640


def row(name: str, server: str, seconds: float, cpu: float, first: float = 0.1) -> Row:
    return Row(name, server, 100_000, [first], [3 * seconds, seconds, seconds / 3], [3 * cpu, cpu, 0.0])


def verdicts(*rows: Row) -> list[bool]:
    known = {(one.name, one.server): one for one in rows}
    return [reached for _, reached in goals(rows[0], known)]


def test_figures_are_medians() -> None:
    assert row("ours", "http", 2.0, 1.5).tiles_per_second == 50_000
    assert row("ours", "http", 2.0, 1.5).cpu_per_unit == 1.5


def test_goals_are_judged() -> None:
    raw = row("raw", "http", 1.0, 1.0)
    assert verdicts(row("ours", "http", 2.0, 2.0), raw) == [True, True]
    assert verdicts(row("ours", "http", 2.5, 2.1), raw) == [False, False]
    assert verdicts(row("ours", "http", 2.0, 2.0)) == []
    assert verdicts(row("ours", "far", 1.6, 1.0, first=0.3)) == [True, True]
    assert verdicts(row("ours", "far", 1.7, 1.0, first=0.4)) == [False, False]
    assert verdicts(row("ours", "tls", 1.0, 3.2)) == [True]
    assert verdicts(row("ours", "tls", 1.0, 3.3)) == [False]
    ours = row("ours", "http", 1.0, 1.0)
    assert verdicts(row("webdataset", "http", 15.0, 4.0), ours) == [True, True]
    assert verdicts(row("webdataset", "http", 14.0, 3.9), ours) == [False, False]
    assert verdicts(row("s3torchconnector", "http", 4.0, 4.0), ours) == [True, True]
    assert verdicts(row("ray data", "http", 19.0, 4.0), ours) == [False, True]


def test_the_table_has_a_row_per_loader() -> None:
    rows = {(one.name, one.server): one for one in (row("ours", "http", 2, 2), row("raw", "http", 1, 1))}
    lines = markdown(rows, 0.02).splitlines()
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert "missed (2.00%)" in lines[-1]
    assert "CPU ≤ 2.0× raw (2.00×): reached" in lines[2]


@pytest.mark.parametrize("mark", ["of-this-test", "of-another"])
def test_cpu_of_marked_processes_counts_wherever_they_hang(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(1, flush=True)\ninput()"
    monkeypatch.setenv(MARK, "of-this-test")
    before, own = cpu_seconds(), time.process_time()
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        env={**os.environ, MARK: mark},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        others = cpu_seconds() - before - (time.process_time() - own)
        process.kill()
    assert (others >= 0.45) == (mark == "of-this-test")


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light libnginx-mod-http-echo")
@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("server", ["http", "tls", "far"])
def test_a_loader_reads_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, server: str) -> None:
    if server == "far" and not ECHO_MODULE.exists():
        pytest.skip("nginx has no echo module: apt-get install libnginx-mod-http-echo")
    make_set(tmp_path, TILES)
    with serving(tmp_path) as endpoints:
        endpoint = getattr(endpoints, server)
        for variable, value in tiles.ENVIRONMENT.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(endpoints.certificate))
        found = timed(LOADERS[name], Options(str(tmp_path), endpoint, str(endpoints.certificate), TILES, 2))
    assert len(found.wall_seconds) == len(found.cpu_seconds) == 2
    assert found.first_batch_seconds > (0.03 if server == "far" else 0)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light libnginx-mod-http-echo")
def test_the_command_prints_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(tmp_path), "--tiles", str(TILES), "--rounds", "1", "--no-training"]
    monkeypatch.setattr(tiles, "peer_python", lambda folder: folder / "nowhere")
    assert tiles.main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n| ours |") == (3 if ECHO_MODULE.exists() else 2)
    for peer in tiles.PEERS:
        assert f"left out: {peer}" in printed.err


def test_without_nginx_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert tiles.main(["--root", str(tmp_path), "--tiles", "64"]) == 1
    assert "apt-get install nginx-light" in capsys.readouterr().err
