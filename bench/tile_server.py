"""A tile set to measure on, and nginx to serve it: plain, by TLS, and as far away as S3 is."""

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from satgan.tiles.shards import pack
from satgan.tiles.tile_set import TileSet, open_tile_set

BUCKET = "bench"
SET_NAME = "set"
ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
FIRST_BYTE_SECONDS = 0.03
CONNECTION_MEGABYTES_PER_SECOND = 90

CONFIG = """
{modules}
daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  root {root};
  server {{ listen 127.0.0.1:{http}; }}
  server {{
    listen 127.0.0.1:{tls} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
  }}
  {far_server}
}}
"""

FAR_SERVER = """server {{
    listen 127.0.0.1:{far};
    location / {{ echo_sleep {seconds}; echo_exec @file; }}
    location @file {{ limit_rate {megabytes}m; }}
  }}"""


class Endpoints(NamedTuple):
    """Urls of the same files; `far` is None without nginx's echo module. `certificate` vouches for `tls`."""

    http: str
    tls: str
    far: str | None
    certificate: Path


def make_set(root: Path, tiles: int) -> TileSet:
    """The set of noise tiles `[64, 64, 3]` in `root`'s bucket; packed once."""
    folder = root / BUCKET / SET_NAME
    if not (folder / "manifest.json").exists():
        draw = np.random.default_rng(7)
        named = ((f"{number:06d}", draw.integers(0, 256, (64, 64, 3), np.uint8)) for number in range(tiles))
        pack(named, str(folder), size=64, channels=3, seed=1, source="noise", cut={})
    return open_tile_set(str(folder))


@contextmanager
def serving(root: Path) -> Iterator[Endpoints]:
    """nginx over `root` on loopback, until the end of the block.

    Raises:
        FileNotFoundError: nginx is not installed.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        raise FileNotFoundError("nginx is not installed: apt-get install nginx-light libnginx-mod-http-echo")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_certificate(folder)
        ports = {kind: _free_port() for kind in ("http", "tls", "far")}
        (folder / "nginx.conf").write_text(_config(root, folder, ports))
        command = [nginx, "-p", name, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        process = subprocess.Popen(command)
        try:
            _wait_for(ports["http"], process)
            far = f"http://127.0.0.1:{ports['far']}" if ECHO_MODULE.exists() else None
            yield Endpoints(
                f"http://127.0.0.1:{ports['http']}", f"https://127.0.0.1:{ports['tls']}", far, folder / "cert.pem"
            )
        finally:
            process.terminate()
            process.wait()


def connect(endpoint: str, certificate: Path | None) -> http.client.HTTPConnection:
    """A connection of the standard library, without retries or checks of its own."""
    kind, _, address = endpoint.partition("://")
    if kind == "https":
        return http.client.HTTPSConnection(address, context=ssl.create_default_context(cafile=certificate))
    return http.client.HTTPConnection(address)


def _config(root: Path, folder: Path, ports: dict[str, int]) -> str:
    far = modules = ""
    if ECHO_MODULE.exists():
        modules = f"load_module {ECHO_MODULE};"
        far = FAR_SERVER.format(far=ports["far"], seconds=FIRST_BYTE_SECONDS, megabytes=CONNECTION_MEGABYTES_PER_SECOND)
    return CONFIG.format(root=root.absolute(), folder=folder, modules=modules, far_server=far, **ports)


def _make_certificate(folder: Path) -> None:
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise OSError(f"nginx does not answer on port {port}; exit status {process.poll()}")
