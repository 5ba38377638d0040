"""The management interface over real sockets, with resources made up for the test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter

from moorage.config import ConfigError
from moorage.host.events import LinkLeft
from moorage.management import server
from moorage.management.client import Management as Client
from moorage.management.client import ManagementError, NoDaemon, NotAllowed, Refused, decode
from moorage.management.config import HostManagement, Management
from moorage.management.journal import Journal
from moorage.management.server import BadQuery, ManagementServer, NotFound, Query


class Thing(msgspec.Struct):
    address: IPv6Address
    name: str


async def thing(query: Query) -> Thing:
    return Thing(IPv6Address("2001:db8::1"), query.get("name", "nobody"))


async def many(query: Query) -> Iterator[int]:
    return iter(range(int(query["count"])))


async def missing(query: Query) -> object:
    raise NotFound("there is no such thing")


async def wrong(query: Query) -> object:
    raise BadQuery("name: must be short")


async def broken(query: Query) -> object:
    raise OSError(5, "the disk is gone")


RESOURCES = {
    "/thing": thing,
    "/many": many,
    "/missing": missing,
    "/wrong": wrong,
    "/broken": broken,
}


@asynccontextmanager
async def serving(config: Management, journal: Journal) -> AsyncIterator[Client]:
    registry = CollectorRegistry()
    Counter("moorage_test", "Things.", registry=registry).inc(3)
    management = ManagementServer(config, journal, registry, RESOURCES)
    await management.start()
    try:
        yield Client(config.socket, "test daemon")
    finally:
        await management.close()


@pytest.fixture
def config(tmp_path: Path) -> Management:
    return HostManagement(socket=tmp_path / "run" / "management.sock")


async def get(client: Client, resource: str, **query: str) -> bytes:
    return await asyncio.to_thread(client.get, resource, **query)


async def test_a_resource_is_json(config: Management) -> None:
    async with serving(config, Journal(1)) as client:
        data = await get(client, "/thing", name="anchor & chain")
    assert decode(data, Thing) == Thing(IPv6Address("2001:db8::1"), "anchor & chain")


@pytest.mark.parametrize("count", [0, 1, 50, 51, 1000])
async def test_a_long_list_is_the_same_json_in_pieces(config: Management, count: int) -> None:
    async with serving(config, Journal(1)) as client:
        assert decode(await get(client, "/many", count=str(count)), list[int]) == [*range(count)]


async def test_the_root_lists_what_there_is(config: Management) -> None:
    async with serving(config, Journal(1)) as client:
        listed = msgspec.json.decode(await get(client, "/"))["resources"]
    assert listed == sorted([*RESOURCES, "/events", "/metrics"])


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ("/missing", "there is no such thing"),
        ("/wrong", "name: must be short"),
        ("/broken", "[Errno 5] the disk is gone"),
        ("/nothing", "GET /nothing: Not Found"),
    ],
)
async def test_what_cannot_be_answered_is_one_line(
    config: Management, resource: str, text: str
) -> None:
    async with serving(config, Journal(1)) as client:
        with pytest.raises(Refused) as caught:
            await get(client, resource)
    assert str(caught.value) == text


async def test_metrics_are_served(config: Management) -> None:
    async with serving(config, Journal(1)) as client:
        assert b"moorage_test_total 3.0" in await get(client, "/metrics")


async def test_the_loopback_port_serves_metrics_and_nothing_else(config: Management) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
        port = free.getsockname()[1]
    open_to_all = msgspec.structs.replace(config, metrics_port=port)
    async with serving(open_to_all, Journal(1)):
        for host in ("::1", "127.0.0.1"):
            answers = []
            for path in ("/metrics", "/thing"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answers.append(await reader.read())
                writer.close()
            assert b"moorage_test_total 3.0" in answers[0]
            assert answers[1].startswith(b"HTTP/1.0 404")


async def test_events_come_as_they_happen(config: Management) -> None:
    journal = Journal(10)
    journal.append(LinkLeft("wlan0"), 0.0)
    async with serving(config, journal) as client:
        assert (await get(client, "/events")).count(b"\n") == 1
        lines = client.lines("/events", follow="")
        interfaces = []
        for name in ("wlan1", "wlan2"):
            line = await asyncio.to_thread(next, lines)
            interfaces.append(msgspec.json.decode(line)["interface"])
            journal.append(LinkLeft(name), 0.0)
        line = await asyncio.to_thread(next, lines)
        interfaces.append(msgspec.json.decode(line)["interface"])
    assert interfaces == ["wlan0", "wlan1", "wlan2"]
    assert list(lines) == []  # the daemon has ended, and so has the stream


async def test_a_reader_that_is_too_slow_is_told_so_and_dropped(
    config: Management, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_GATHER", 0)
    journal = Journal(10)
    async with serving(config, journal):
        reader, writer = await asyncio.open_unix_connection(config.socket, limit=1 << 10)
        writer.write(b"GET /events?follow HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        # Its buffers, and the kernel's, hold less than this.
        for number in range(1000):
            journal.append(LinkLeft("w" * 2000), float(number))
            for _ in range(5):
                await asyncio.sleep(0)
        lines = (await reader.read()).splitlines()
        writer.close()
    notice = msgspec.json.decode(lines[-1])
    assert notice["event"] == "too-slow"
    assert len(lines) > 1
    assert len(lines) - 1 + notice["missed"] == journal.oldest - 1


async def test_one_that_went_away_is_forgotten(
    config: Management, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(10)
    forgotten = asyncio.Event()
    async with serving(config, journal):
        listen = journal.listen

        def spied(listener: Callable[[], None]) -> Callable[[], None]:
            forget = listen(listener)

            def forget_and_say_so() -> None:
                forget()
                forgotten.set()

            return forget_and_say_so

        monkeypatch.setattr(journal, "listen", spied)
        reader, writer = await asyncio.open_unix_connection(config.socket)
        writer.write(b"GET /events?follow HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await asyncio.wait_for(forgotten.wait(), 10)


async def test_whoever_speaks_no_http_is_told_so(
    config: Management, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving(config, Journal(1)) as client:
        reader, writer = await asyncio.open_unix_connection(config.socket)
        writer.write(os.urandom(100) + b"\r\n\r\n")
        assert b"400" in await reader.readline()
        writer.close()
        assert await get(client, "/thing")
    out, err = capfd.readouterr()
    assert out + err == ""


async def test_the_socket_is_for_root_alone(config: Management) -> None:
    async with serving(config, Journal(1)):
        found = config.socket.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert not config.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_the_socket_is_for_a_group_if_the_configuration_says_so(config: Management) -> None:
    async with serving(msgspec.structs.replace(config, group="daemon"), Journal(1)):
        found = config.socket.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, 1)


async def test_a_group_that_does_not_exist_is_one_line(config: Management) -> None:
    wrong = msgspec.structs.replace(config, group="no-such")
    management = ManagementServer(wrong, Journal(1), CollectorRegistry(), {})
    with pytest.raises(ConfigError, match=r"^management\.group: .*'no-such'"):
        await management.start()


async def test_a_socket_that_an_earlier_life_left_is_replaced(config: Management) -> None:
    config.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(config.socket))
    async with serving(config, Journal(1)) as client:
        assert await get(client, "/thing")


async def test_a_socket_that_somebody_listens_on_is_not_taken(config: Management) -> None:
    async with serving(config, Journal(1)):
        second = ManagementServer(config, Journal(1), CollectorRegistry(), {})
        with pytest.raises(OSError, match=f"in use: '{config.socket}'"):
            await second.start()
        await second.close()
        assert config.socket.exists()


def test_without_a_daemon_the_error_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "management.sock"
    with pytest.raises(NoDaemon, match=f"^no host daemon runs here: nobody listens at {path}$"):
        Client(path, "host daemon").get("/status")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's identity")
def test_without_the_right_the_error_is_one_line(passable: Path) -> None:
    path = passable / "management.sock"
    with socket.socket(socket.AF_UNIX) as private:
        private.bind(str(path))
        path.chmod(0o600)
        private.listen()
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                os.setresuid(65534, 65534, 65534)
                try:
                    Client(path, "host daemon").get("/status")
                except NotAllowed as error:
                    status = 0 if "you may not look into the host daemon" in str(error) else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_daemon_of_another_version_is_one_line() -> None:
    with pytest.raises(ManagementError, match=r"^the daemon does not fit this program: "):
        decode(b'{"address": 3}', Thing)
