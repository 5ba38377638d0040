from __future__ import annotations

import pytest

from moorage.host.attachments import Attachments
from moorage.host.config import HostConfig
from moorage.host.lanes import Lanes
from moorage.host.serving import Lane
from tests.scripted import (
    CONFIG,
    DOMAIN,
    FIXED,
    LASTING,
    ROUTERS,
    WL0,
    WL1,
    advertisement,
    config,
    link,
    link_local,
)

OURS, TO_BE_ASKED = Lane(DOMAIN, LASTING), Lane(None, LASTING)
FIXED_LANE = Lane(DOMAIN, FIXED)


class Bench:
    """Two interfaces, and lanes over them."""

    def __init__(self) -> None:
        self.config: HostConfig = CONFIG
        self.attachments = Attachments(["wl0", "wl1"])
        self.lanes = Lanes(self.attachments, lambda: self.config)

    def attach(self, interface: int, now: float, domain: bytes | None = None) -> None:
        self.attachments.link_changed(link(interface), now)
        self.attachments.link_local_changed(link_local(interface), now)
        if domain is not None:
            message = advertisement(b"link %d" % interface, domain=domain)
            self.attachments.advertised(interface, ROUTERS[interface], message, now)

    def links(self, lane: Lane) -> list[int]:
        return [attachment.interface for attachment in self.lanes.links(lane)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_newest_link_is_preferred(bench: Bench) -> None:
    bench.attach(WL0, 1.0)
    bench.attach(WL1, 2.0)
    assert bench.links(OURS) == bench.links(TO_BE_ASKED) == [WL1, WL0]


def test_policy_names_the_interfaces_of_a_type(bench: Bench) -> None:
    bench.config = config(serving={"fixed": ["wl0"], "session-lasting": ["wl0", "wl1"]})
    bench.attach(WL0, 1.0)
    bench.attach(WL1, 2.0)
    assert bench.links(FIXED_LANE) == [WL0]
    assert bench.links(OURS) == [WL0, WL1]
    bench.config = config(serving={"fixed": []})
    assert bench.links(FIXED_LANE) == []
    assert bench.links(OURS) == [WL1, WL0]


def test_other_networks_do_not_serve_our_prefixes(bench: Bench) -> None:
    bench.attach(WL0, 1.0, DOMAIN)
    bench.attach(WL1, 2.0, b"stranger")
    assert bench.links(OURS) == [WL0]
    assert bench.links(Lane(b"stranger", LASTING)) == [WL1]
    assert bench.links(Lane(b"", LASTING)) == [WL1, WL0]


def test_a_link_that_has_not_said_may_be_of_any_network(bench: Bench) -> None:
    bench.attach(WL0, 1.0, DOMAIN)
    bench.attach(WL1, 2.0)
    assert bench.links(OURS) == [WL1, WL0]


def test_new_prefixes_are_asked_for_where_the_service_is_known(bench: Bench) -> None:
    bench.attach(WL0, 1.0, DOMAIN)
    bench.attach(WL1, 2.0)
    assert bench.links(TO_BE_ASKED) == [WL0, WL1]
    assert bench.lanes.service_known(LASTING)


def test_lanes_are_served_each_for_itself(bench: Bench) -> None:
    bench.attach(WL0, 1.0, DOMAIN)
    bench.attach(WL1, 2.0, b"stranger")
    stranger = Lane(b"stranger", LASTING)
    assert bench.lanes.choose(OURS, 3.0) == WL0
    assert bench.lanes.choose(stranger, 3.0) == WL1
    assert bench.lanes.state(WL0) == "trying"
    bench.lanes.answered([OURS], WL0, 3.1)
    assert (bench.lanes.state(WL0), bench.lanes.state(WL1)) == ("serving", "trying")
    bench.lanes.forget_others([OURS])
    assert bench.lanes.state(WL1) == ""


def test_a_lane_moves_away_from_a_link_that_turns_out_to_be_of_others(bench: Bench) -> None:
    bench.attach(WL1, 1.0)
    assert bench.lanes.choose(OURS, 1.0) == WL1
    bench.attach(WL1, 1.0, b"stranger")
    assert bench.lanes.choose(OURS, 1.1) is None
    bench.attach(WL0, 2.0)
    assert bench.lanes.choose(OURS, 2.0) == WL0
