"""A stock HTTP server and curl, which know nothing of mobility, while the host moves."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Final

import click

from moorage.lab.lab import Lab
from moorage.lab.network import NODE_FOLDER
from moorage.lab.programs import path_of, server, typed_address
from moorage.lab.scenarios import ScenarioFailed, move_on, scenario
from moorage.service import ServiceType

SIZE: Final = 200_000_000
"""Bytes that are transferred."""
MOVES: Final = 10

_RATE: Final = 25_000_000
"""Bytes a second, so few that the transfer lasts longer than the moves."""
_PIECE: Final = 1_000_000
_HOST: Final = "mn"
_SERVER: Final = "cn"
_PLACE: Final = "http"
"""Folder of the server, in its node's folder."""
_FILE: Final = "file"

# One process, which keeps the user that started it: there is no other in some user namespaces.
_NGINX: Final = Template(
    """\
daemon off;
master_process off;
error_log stderr notice;
pid $folder/pid;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen [$address]:80;
        root $folder/files;
        limit_rate $rate;
        client_max_body_size 0;
        dav_methods PUT;
    }
}
"""
)


class _Progress:
    """Counts the bytes of a transfer and moves the host at even parts of it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._hash = hashlib.sha256()
        self.count = 0
        self.moves = 0

    @property
    def digest(self) -> str:
        """SHA-256 of what has passed."""
        return self._hash.hexdigest()

    def passed(self, data: bytes) -> None:
        """Take note of bytes that have passed."""
        self._hash.update(data)
        self.count += len(data)
        while self.moves < MOVES and self.count >= SIZE * (self.moves + 1) // (MOVES + 1):
            self.moves += 1
            router = move_on(self._lab, _HOST)
            click.echo(f"move {self.moves}: {_HOST} is at {router} after {self.count:,} bytes")


@scenario("two-routers", needs=("curl", "nginx"))
def http_download(lab: Lab) -> None:
    """curl downloads 200 MB over a Session-lasting address while the host moves ten times."""
    files = _folder(lab)
    with (files / _FILE).open("wb") as file:
        for piece in _pieces():
            file.write(piece)
    progress = _Progress(lab)
    with _transfer(lab, []) as curl:
        assert curl.stdout is not None
        while data := os.read(curl.stdout.fileno(), _PIECE):
            progress.passed(data)
    _check(progress, files / _FILE)


@scenario("two-routers", needs=("curl", "nginx"))
def http_upload(lab: Lab) -> None:
    """curl uploads 200 MB over a Session-lasting address while the host moves ten times."""
    files = _folder(lab)
    progress = _Progress(lab)
    with _transfer(lab, ["--upload-file", "-", "--limit-rate", str(_RATE)]) as curl:
        assert curl.stdin is not None
        for piece in _pieces():
            curl.stdin.write(piece)
            progress.passed(piece)
        curl.stdin.close()
    _check(progress, files / _FILE)


def _folder(lab: Lab) -> Path:
    files = lab.node(_SERVER).folder / _PLACE / "files"
    files.mkdir(parents=True)
    return files


def _pieces() -> Iterator[bytes]:
    source = random.Random(1)
    for _ in range(SIZE // _PIECE):
        yield source.randbytes(_PIECE)


@contextmanager
def _transfer(lab: Lab, options: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, and curl with more options, from a Session-lasting address.

    Raises:
        ScenarioFailed: curl failed, or used more than one connection or another address.
    """
    destination = lab.topology().correspondents[_SERVER].core.address
    place = NODE_FOLDER / _PLACE
    settings = _NGINX.substitute(folder=place, address=destination, rate=_RATE)
    (lab.node(_SERVER).folder / _PLACE / "conf").write_text(settings)
    nginx = [path_of("nginx"), "-p", str(place), "-c", str(place / "conf"), "-e", "stderr"]
    host = lab.node(_HOST)
    address = typed_address(host, ServiceType.SESSION_LASTING)
    click.echo(f"curl --interface {address}, {SIZE:,} bytes")
    curl = [path_of("curl"), "--interface", address, "--globoff", "--fail", "--no-progress-meter"]
    report = ["--write-out", "%{stderr}%{local_ip} %{num_connects}"]
    url = f"http://[{destination}]/{_FILE}"
    pipe = subprocess.PIPE
    with (
        server(lab.node(_SERVER), nginx, "event method"),
        host.popen([*curl, *report, *options, url], stdin=pipe, stdout=pipe, stderr=pipe) as client,
    ):
        try:
            yield client
        except BrokenPipeError:  # curl says why
            pass
        except BaseException:
            client.kill()
            raise
        assert client.stderr is not None
        said = client.stderr.read().decode().strip()
        if client.wait() or said != f"{address} 1":
            raise ScenarioFailed(f"curl: status {client.returncode}: {said}")


def _check(progress: _Progress, file: Path) -> None:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if (progress.count, progress.moves, progress.digest) != (SIZE, MOVES, digest):
        raise ScenarioFailed(
            f"{progress.count:,} bytes, {progress.moves} moves,"
            f" SHA-256 {progress.digest} instead of {digest}"
        )
    click.echo(f"SHA-256 is right: {digest}")
