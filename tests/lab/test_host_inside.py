"""Looking into a host daemon while it works: the command line, HTTP by curl, and what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from moorage.service import ServiceType
from tests.conformance.scene import Scene, eventually, open_scene
from tests.lab.inside import curl, follow, metrics, moorage, moorage_json

pytestmark = pytest.mark.netns

SESSION = ServiceType.SESSION_LASTING

SERVER = """
import os, socket, sys, moorage
with socket.socket(socket.AF_INET6) as sock:
    address = moorage.setsc(sock, moorage.ServiceType.SESSION_LASTING)
    sock.bind((str(address), 4711))
    sock.listen()
    child = os.fork()
    if child:
        print(address, os.getpid(), child, flush=True)
        sys.stdin.read()
        os.waitpid(child, 0)
    else:
        sys.stdin.read()
"""

BOUND = """
import os, socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.bind((sys.argv[1], 0))
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""

REFUSED = """
import os, socket, sys, moorage
os.setresuid(65534, 65534, 65534)
with socket.socket(socket.AF_INET6) as sock:
    try:
        moorage.setsc(sock, moorage.ServiceType.FIXED)
    except moorage.RequiredIPFailed:
        print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Its daemon is always asked: what the kernel's hooks answer it does not hear of."""
    with open_scene(tmp_path_factory.mktemp("store"), host={"hooks": False}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)
        yield scene


@contextmanager
def server(scene: Scene) -> Iterator[tuple[str, list[int]]]:
    """A program with a listening socket, its address, and the two processes that have it open."""
    command = [sys.executable, "-c", SERVER, "a server of ours"]
    pipe = subprocess.PIPE
    inside = {**os.environ, "MOORAGE_SOCKET": "/run/moorage/host.sock"}
    with scene.host.popen(command, stdin=pipe, stdout=pipe, env=inside) as process:
        assert process.stdout is not None
        address, *pids = process.stdout.readline().decode().split()
        yield address, [int(pid) for pid in pids]


def test_the_command_and_http_say_the_same(scene: Scene) -> None:
    for name in ("status", "addresses", "sockets"):
        told = moorage_json(scene.host, name)
        shown = json.loads(curl(scene.host, "host", f"/{name}"))
        assert shape(told) == shape(shown)


def shape(value: object) -> object:
    """A JSON value without what changes as time goes by."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case list():
            return [shape(item) for item in value]
        case float() | int():
            return "a number"
        case _:
            return value


def test_status_shows_links_and_counts(scene: Scene) -> None:
    status = moorage_json(scene.host, "status")
    [serving, spare] = status["links"]
    assert (serving["interface"], serving["state"], serving["service"]) == ("wl0", "serving", "yes")
    assert serving["prefixes"] == [str(scene.slaac_prefix(scene.here))]
    assert (spare["interface"], spare["state"]) == ("wl1", "detached")
    assert status["addresses"]["session-lasting"] == 1
    text = moorage(scene.host, "status")
    assert "wl0   serving" in text
    assert "1 session-lasting, 1 non-persistent" in text


def test_addresses_are_those_of_the_kernel(scene: Scene) -> None:
    shown = {view["address"]: view["type"] for view in moorage_json(scene.host, "addresses")}
    typed = dict.fromkeys(map(str, scene.typed()), "session-lasting")
    ordinary = dict.fromkeys(map(str, scene.ordinary()), "non-persistent")
    assert shown == typed | ordinary
    text = moorage(scene.host, "addresses")
    assert all(address in text for address in shown)


def test_sockets_tell_who_uses_which_address(scene: Scene) -> None:
    assert moorage(scene.host, "sockets") == "no socket uses an address of this host\n"
    with server(scene) as (address, pids):
        [found] = moorage_json(scene.host, "sockets")
        assert (found["type"], found["protocol"], found["state"]) == (SESSION.slug, "tcp", "listen")
        assert (found["address"], found["port"]) == (address, 4711)
        assert [process["pid"] for process in found["processes"]] == sorted(pids)
        assert all("a server of ours" in process["command"] for process in found["processes"])
        lines = moorage(scene.host, "sockets").splitlines()
        assert len(lines) == 1 + len(pids)
        [view] = [x for x in moorage_json(scene.host, "addresses") if x["address"] == address]
        assert (view["state"], view["sockets"]) == ("in use", 1)


def test_why_tells_what_was_looked_at_for_a_socket(scene: Scene) -> None:
    with server(scene) as (address, pids):
        view = moorage_json(scene.host, "why", f"[{address}]:4711")
        [use] = view["uses"]
        request = use["request"]
        assert (use["socket"]["port"], use["address"]["type"]) == (4711, SESSION.slug)
        assert request["pid"] == min(pids)
        abouts = [step["about"] for step in request["steps"]]
        assert abouts[:5] == ["rule", "type", "host", "network", "address"]
        assert not any(step["refused"] for step in request["steps"])
        assert request["answer"]["address"] == address
        text = moorage(scene.host, "why", address)
        assert "session-lasting, named by the application" in text
        assert f"answer    {address}, valid for" in text


def test_why_tells_what_a_process_may_have_and_what_it_has(scene: Scene) -> None:
    with server(scene) as (_, pids):
        for pid in pids:  # the child has the socket that its parent asked for
            view = moorage_json(scene.host, "why", str(pid))
            assert view["process"]["pid"] == pid
            assert view["permitted"] == sorted(kind.slug for kind in ServiceType)
            [use] = view["uses"]
            assert use["request"]["pid"] == min(pids)


def test_why_tells_of_a_socket_that_nobody_asked_for(scene: Scene) -> None:
    command = [sys.executable, "-c", BOUND, str(next(iter(scene.typed())))]
    with scene.host.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        [use] = moorage_json(scene.host, "why", str(pid))["uses"]
        assert use["request"] is None
        assert "nobody asked the daemon" in moorage(scene.host, "why", str(pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's identity")
def test_why_tells_of_a_refusal(scene: Scene) -> None:
    command = [sys.executable, "-c", REFUSED]
    inside = {**os.environ, "MOORAGE_SOCKET": "/run/moorage/host.sock"}
    pipe = subprocess.PIPE
    with scene.host.popen(command, stdin=pipe, stdout=pipe, env=inside) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        [request] = moorage_json(scene.host, "why", str(pid))["requests"]
        assert request["steps"][-1]["refused"]
        assert "this host does not allow it" in request["answer"]["error"]
        assert "fixed (refused)" in moorage(scene.host, "why", str(pid))


@pytest.mark.parametrize(
    ("subject", "status", "text"),
    [
        ("999999", 1, "Error: there is no process 999999\n"),
        ("2001:db8::dead", 1, "Error: no socket of this host is at 2001:db8::dead\n"),
        ("mast", 2, "allowed: a process id, ADDRESS, or [ADDRESS]:PORT"),
    ],
)
def test_why_of_what_is_not_there_is_one_line(
    scene: Scene, subject: str, status: int, text: str
) -> None:
    assert text in moorage(scene.host, "why", subject, status=status)


def test_a_move_is_told_as_it_happens_and_counted(scene: Scene) -> None:
    before = metrics(scene.host, "host")
    with follow(scene.host, "events", "--follow", "--json") as watcher:
        assert watcher.stdout is not None
        for _ in curl(scene.host, "host", "/events").splitlines():
            watcher.stdout.readline()
        scene.move()
        told: list[dict[str, Any]] = []
        while not told or told[-1]["event"] != "address-served":
            told.append(json.loads(watcher.stdout.readline()))
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait() == 130
        assert watcher.stderr is not None
        assert watcher.stderr.read() == b""
    assert [event["event"] for event in told if event.get("interface") == "wl0"] == [
        "link-left",
        "link-attached",
        "address-served",
    ]
    assert told[-1]["moved"] is True
    assert told[-1]["address"] in map(str, scene.typed())
    after = metrics(scene.host, "host")

    def rise(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert rise("moorage_host_handoff_seconds_count") == 1
    assert rise('moorage_host_dhcp_messages_total{direction="sent",type="rebind"}') >= 1
    assert rise('moorage_host_dhcp_messages_total{direction="received",type="reply"}') >= 1
    assert after['moorage_host_addresses{state="ready",type="session-lasting"}'] == 1


def test_requests_of_applications_are_counted_by_result(scene: Scene) -> None:
    name = 'moorage_host_requests_total{result="granted"}'
    before = metrics(scene.host, "host").get(name, 0.0)
    scene.setsc(SESSION)
    assert metrics(scene.host, "host")[name] == before + 1


def test_a_configuration_that_is_refused_is_an_event_with_its_reason(scene: Scene) -> None:
    file = scene.host.folder / "host.toml"
    text = file.read_text()
    try:
        file.write_text(f'default_type = "best"\n{text}')
        with follow(scene.host, "events", "--follow", "--json") as watcher:
            assert watcher.stdout is not None
            pid = scene.lab.status().nodes["mn"].daemon
            scene.host.run(["sh", "-c", f"kill -HUP {pid}"])
            told: dict[str, Any] = {}
            while told.get("event") != "configuration-refused":
                told = json.loads(watcher.stdout.readline())
            watcher.send_signal(signal.SIGINT)
    finally:
        file.write_text(text)
    assert "default_type" in told["why"]
    assert "session-lasting" in told["why"]


def test_without_a_daemon_every_command_says_so_in_one_line(scene: Scene) -> None:
    with follow(scene.host, "events", "--follow") as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        scene.lab.daemon("mn").stop()
        assert watcher.wait() == 1
        assert watcher.stderr is not None
        assert watcher.stderr.read() == b"Error: the host daemon has ended\n"
    try:
        for command in ("status", "addresses", "sockets", "events"):
            assert moorage(scene.host, command, status=3) == (
                "Error: no host daemon runs here:"
                " nobody listens at /run/moorage/host-management.sock\n"
            )
    finally:
        scene.lab.daemon("mn").start()


def test_the_socket_is_gone_with_the_daemon_and_its_mode_is_right(scene: Scene) -> None:
    socket = Path(scene.host.folder) / "host-management.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    scene.lab.daemon("mn").stop()
    try:
        assert not socket.exists()
    finally:
        scene.lab.daemon("mn").start()
