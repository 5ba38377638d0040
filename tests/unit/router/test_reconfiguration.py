"""Another configuration in the place of one that is in force."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.config import ConfigError, changed
from moorage.router.advertising import MIN_DELAY_BETWEEN_RAS, Advertiser, advertisement
from moorage.router.probing import Probing
from moorage.router.settings import Dhcp
from tests.domain import router_config

BEFORE = router_config()
PLACE = ("acc0", IPv6Address("fe80::1"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, False),
        ({"offered": ["session-lasting"]}, True),
        ({"grace": 1}, True),
        ({"dhcp": Dhcp(preference=3)}, True),
        ({"quota": 1}, False),
        ({"hold": 0.5, "probe_interval": 0.0}, False),
    ],
)
def test_what_may_change_changes(changes: dict[str, Any], told: bool) -> None:
    after = router_config(**changes)
    after.check_takes_over(BEFORE)
    assert changed(BEFORE, after) == list(changes)
    assert after.tells_other_than(BEFORE) is told


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "ar9"},
        {"pool": IPv6Network("2001:db8:a900::/40")},
        {"store": "sqlite:elsewhere.db"},
        {"core_mtu": 1500},
        {"access": BEFORE.access[:1]},
        {"grace": 1, "sids": msgspec.structs.replace(BEFORE.sids, up=BEFORE.sids.block[77])},
    ],
)
def test_what_counts_at_the_start_needs_a_restart(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{list(changes)[-1]}: another value needs a restart"):
        router_config(**changes).check_takes_over(BEFORE)


def test_the_secret_of_reconfigure_keys_needs_a_restart() -> None:
    with pytest.raises(ConfigError, match=r"^dhcp\.secret: another value needs a restart"):
        router_config(dhcp=Dhcp(secret=Path("/etc/other"))).check_takes_over(BEFORE)


def test_everybody_is_told_soon_but_not_too_often() -> None:
    link = BEFORE.access[0]
    advertiser = Advertiser(advertisement(BEFORE, link, b""), BEFORE.ra_interval)
    advertiser.timer(0.0)
    after = router_config(offered=["session-lasting"])
    message = advertisement(after, link, b"")
    advertiser.change(message, after.ra_interval, 1.0)
    assert advertiser.next_timer == MIN_DELAY_BETWEEN_RAS
    [sent] = advertiser.timer(MIN_DELAY_BETWEEN_RAS)
    assert sent.message == message


def test_probing_can_begin_and_end() -> None:
    probing = Probing(0)
    probing.watch(PLACE, 0.0)
    assert probing.next_timer is None
    probing.interval = 5
    probing.watch(PLACE, 0.0)
    assert probing.due(lambda _: True, 5.0) == [PLACE]
    probing.interval = 0
    assert probing.due(lambda _: True, 10.0) == []
    assert probing.next_timer is None
