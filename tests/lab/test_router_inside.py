"""Looking into router daemons while a host moves: the command line, HTTP by curl, metrics."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from moorage import RequiredIPNotSupported
from moorage.lab.lab import Node
from moorage.service import ServiceType
from tests.conformance.scene import Scene, eventually, open_scene
from tests.lab.inside import curl, follow, metrics, moorage, moorage_json

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "packaging" / "grafana" / "moorage.json"
REFERENCE = ROOT / "docs" / "reference" / "management.md"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    limits = {"fixed": {"per_host": 1}}
    folder = tmp_path_factory.mktemp("store")
    with open_scene(folder, routers={"limits": limits}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)
        yield scene


def path(node: Node, prefix: IPv6Network) -> dict[str, Any]:
    [found] = moorage_json(node, "router", "paths", "--prefix", str(prefix))
    assert isinstance(found, dict)
    return found


def test_the_command_and_http_say_the_same(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    shown = json.loads(curl(router, "router", "/status"))
    told = moorage_json(router, "router", "status")
    assert told.keys() == shown.keys()
    assert told["bindings"] == shown["bindings"]
    assert moorage_json(router, "router", "paths") == json.loads(curl(router, "router", "/paths"))


def test_status_shows_links_bindings_pool_and_routers(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    status = moorage_json(router, "router", "status")
    assert status["id"] == scene.here
    [link] = status["links"]
    assert (link["interface"], link["served"], status["hosts"]) == ("acc0", True, 1)
    assert [peer["id"] for peer in status["routers"]] == [scene.elsewhere]
    assert status["given"] == 1
    assert status["bindings"]["session-lasting"]["here"] == 1
    text = moorage(router, "router", "status")
    assert re.search(r"^acc0 +served +1500 ", text, re.MULTILINE)
    assert re.search(r"^session-lasting +1 +0 +0 +0 +0$", text, re.MULTILINE)


def test_a_move_is_seen_from_both_routers(scene: Scene) -> None:
    [binding] = scene.of_type(ServiceType.SESSION_LASTING)
    anchor, other = scene.lab.node(scene.here), scene.lab.node(scene.elsewhere)
    assert path(anchor, binding.prefix)["place"] == "here"
    before = metrics(other, "router")
    with follow(other, "router", "events", "--follow", "--json") as watcher:
        assert watcher.stdout is not None
        scene.move()
        event: dict[str, Any] = {}
        while event.get("event") != "host-moved":
            event = json.loads(watcher.stdout.readline())
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait() == 130
    assert (event["prefix"], event["type"]) == (str(binding.prefix), "session-lasting")
    assert (event["host"], event["at"]) == (binding.client.hex(), other.name)
    away, visiting = path(anchor, binding.prefix), path(other, binding.prefix)
    topology = scene.topology.routers
    assert (away["place"], away["via"]) == ("away", other.name)
    assert away["segment"] == str(topology[other.name].down_sid)
    assert (visiting["place"], visiting["via"]) == ("visiting", anchor.name)
    assert visiting["segment"] == str(topology[anchor.name].up_sid)
    assert (visiting["link"], visiting["next_hop"]) == (
        "acc0",
        str(scene.binding(binding.prefix[1]).next_hop),
    )
    after = metrics(other, "router")
    assert after["moorage_router_handoffs_total"] == before["moorage_router_handoffs_total"] + 1
    for phase in ("decide", "commit", "kernel", "reply"):
        name = f'moorage_router_phase_seconds_count{{phase="{phase}"}}'
        assert after[name] > before[name]
    assert after['moorage_router_bindings{place="visiting",type="session-lasting"}'] == 1


def test_a_refusal_is_told_and_counted(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    scene.setsc(ServiceType.FIXED)
    with pytest.raises(OSError, match="quota"):
        scene.setsc(ServiceType.FIXED, on_net=True)
    assert metrics(router, "router")['moorage_router_refusals_total{reason="quota"}'] >= 1
    assert re.search(
        r"a fixed prefix refused to [0-9a-f]+ on acc0: quota\n", moorage(router, "router", "events")
    )


def test_what_is_not_there_is_one_line(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    for arguments, status, text in (
        (["paths", "--prefix", "2001:db8:dead::/64"], 1, "nobody has 2001:db8:dead::/64"),
        (["paths", "--prefix", "mast"], 1, "mast: allowed: a prefix or an address"),
        (["paths", "--host", "0001"], 1, "no host 0001 has a prefix"),
        (["paths", "--host", "xyz"], 1, "xyz: allowed: a DUID in hexadecimal"),
    ):
        assert moorage(router, "router", *arguments, status=status) == f"Error: {text}\n"
    assert "no host daemon runs here" in moorage(router, "status", status=3)
    assert "no router daemon runs here" in moorage(scene.host, "router", "status", status=3)
    assert "only to run a router" in moorage(router, "router", "--config", "x", "status", status=2)


def exported(scene: Scene) -> set[str]:
    """The names of all metrics of both daemons, with and without a value yet."""
    names: set[str] = set()
    for node, daemon in ((scene.lab.node(scene.here), "router"), (scene.host, "host")):
        names |= {name.partition("{")[0] for name in metrics(node, daemon)}
        names |= set(re.findall(r"^# TYPE (\w+)", curl(node, daemon, "/metrics"), re.MULTILINE))
    return names


def whole(names: set[str]) -> set[str]:
    """The names of our metrics; a histogram has one, not one for each of its parts."""
    parts = re.compile(r"_(?:bucket|count|sum)$")
    return {parts.sub("", name) for name in names if name.startswith("moorage_")}


def test_the_dashboard_shows_the_metrics_that_there_are(scene: Scene) -> None:
    asked = set(re.findall(r"\b(?:moorage|process)_\w+", DASHBOARD.read_text()))
    there = exported(scene)
    assert asked <= there
    assert whole(asked) == whole(there)


def test_the_reference_names_the_metrics_that_there_are(scene: Scene) -> None:
    named = set(re.findall(r"`(moorage_\w+?)(?:\{[^`]*)?`", REFERENCE.read_text()))
    assert named == whole(exported(scene))


@contextmanager
def rewritten(scene: Scene, *lines: str) -> Iterator[dict[str, Any]]:
    """What a router says when it reads its file again, with other lines for some keys."""
    router = scene.lab.node(scene.here)
    file = router.folder / "router.toml"
    before = file.read_text()
    keys = {line.partition(" = ")[0] for line in lines}
    kept = [x for x in before.splitlines() if x.partition(" = ")[0].strip('"') not in keys]
    file.write_text("\n".join([*kept, *lines]) + "\n")
    try:
        yield reread(scene, router)
    finally:
        file.write_text(before)
        reread(scene, router)


def reread(scene: Scene, router: Node) -> dict[str, Any]:
    """Have a router read its file again, and return the event that follows."""
    with follow(router, "router", "events", "--follow", "--json") as watcher:
        assert watcher.stdout is not None
        for _ in curl(router, "router", "/events").splitlines():
            watcher.stdout.readline()
        pid = scene.lab.status().nodes[router.name].daemon
        router.run(["sh", "-c", f"kill -HUP {pid}"])
        while True:
            event = json.loads(watcher.stdout.readline())
            if event["event"].startswith("configuration-"):
                watcher.send_signal(signal.SIGINT)
                watcher.wait()
                assert isinstance(event, dict)
                return event


def test_another_configuration_is_taken_over_while_hosts_are_served(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    with scene.connect(ServiceType.SESSION_LASTING) as connection:
        with rewritten(scene, 'offered = ["session-lasting"]', "grace = 5") as event:
            assert (event["event"], event["changed"]) == (
                "configuration-taken",
                ["offered", "grace"],
            )
            assert moorage_json(router, "router", "status")["offered"] == ["session-lasting"]
            # Hosts hear of it by a router advertisement.
            eventually(lambda: offered(scene) == ["session-lasting"])
            with pytest.raises(RequiredIPNotSupported):
                scene.setsc(ServiceType.GRACEFUL_REPLACEMENT)
            assert connection.works()
        eventually(lambda: len(offered(scene)) == 4)
        scene.setsc(ServiceType.GRACEFUL_REPLACEMENT)
        assert connection.works()


def offered(scene: Scene) -> list[str]:
    """What the host has heard that the network offers."""
    found = moorage_json(scene.host, "status")["links"][0]["offered"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('pool = "2001:db8:a900::/40"', "pool: another value needs a restart"),
        ("quota = 0", "quota: Expected `int` >= 1"),
        ("quota = [", "not TOML"),
    ],
)
def test_a_wrong_configuration_changes_nothing(scene: Scene, line: str, why: str) -> None:
    router = scene.lab.node(scene.here)
    with rewritten(scene, line, "grace = 1") as event:
        assert event["event"] == "configuration-refused"
        assert why in event["why"]
        assert moorage_json(router, "router", "status")["pool"] == str(scene.pool(scene.here))
    assert moorage(router, "router", "events").splitlines()[-1].endswith("changed: nothing")
