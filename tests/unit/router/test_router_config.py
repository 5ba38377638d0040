"""The access router's configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage import config
from moorage.config import ConfigError
from moorage.router.config import Keyless, RouterConfig
from moorage.service import ServiceType
from moorage.wire.dhcp6 import DuidUuid, decode_duid
from tests.domain import router_config

EXAMPLE = Path(__file__).parents[3] / "packaging" / "router.toml"
TEXT = EXAMPLE.read_text()


def test_the_example_is_a_configuration_and_says_the_defaults() -> None:
    example = config.load(EXAMPLE, RouterConfig)
    # Its comments are the defaults: with them as keys nothing changes.
    spelt_out = "\n".join(
        line.removeprefix("# ")
        for line in TEXT.splitlines()
        if (" = " in line and not line.startswith("# link_id")) or line.startswith(("[", "# ["))
    )
    every_key = config.parse(spelt_out, RouterConfig, "example")
    assert every_key.policy is not None
    assert every_key.policy.boot_types == {ServiceType.SESSION_LASTING}
    assert every_key.lifetimes == example.lifetimes
    assert every_key.access[0].mtu == example.access[0].mtu
    for key in (
        "core_mtu",
        "offered",
        "default",
        "grace",
        "hold",
        "keyless",
        "quota",
        "capacity",
        "new_clients",
    ):
        assert getattr(every_key, key) == getattr(example, key)
    for key in ("preference", "information_refresh_time", "declined"):
        assert getattr(every_key.dhcp, key) == getattr(example.dhcp, key)


@pytest.mark.parametrize(
    ("old", "new", "key", "allowed"),
    [
        ('id = "ar1"\n', "", "top level", "id"),
        ('id = "ar1"', 'id = ""', "id", "length >= 1"),
        ('id = "ar1"', 'id = "ar1"\nlinger = 3', "top level", "linger"),
        ('"8f1c3a5e7d902b46"', '"8f"', "domain", "0-9a-f"),
        ('"2001:db8:c:1::2"', '"localhost"', "core_address", "localhost"),
        ("# core_mtu = 1600", "core_mtu = 1300", "core_mtu", ">= 1320"),
        ('"2001:db8:a100::/40"', '"2001:db8:a100::/65"', "top level", "pool: must hold a /64"),
        ("# prefix_lengths = [64]", "prefix_lengths = []", "prefix_lengths", "length >= 1"),
        ("# prefix_lengths = [64]", "prefix_lengths = [65]", "prefix_lengths[0]", "<= 64"),
        (
            "# prefix_lengths = [64]",
            "prefix_lengths = [64, 56, 64]",
            "top level",
            "prefix_lengths: a length is named twice",
        ),
        (
            "# prefix_lengths = [64]",
            "prefix_lengths = [64, 40]",
            "top level",
            "pool: must hold a /40 for each of prefix_lengths",
        ),
        ('"2001:db8:a100::/40"', '"2001:db8::/32"', "top level", "pool: must not overlap"),
        ('down = "2001:db8:5:1::d"', 'down = "2001:db8:6::d"', "sids", "down: must lie in"),
        ('up = "2001:db8:5:1::e"', 'up = "2001:db8:5:1::d"', "sids", "up: must be another"),
        ("# grace = 60", "grace = -1", "grace", ">= 0"),
        ("# ra_interval = 30", "ra_interval = 1", "ra_interval", ">= 4"),
        ('# keyless = "after-departure"', 'keyless = "maybe"', "keyless", "maybe"),
        ("# quota = 32", 'offered = ["gold"]', "top level", "allowed: fixed, session-lasting"),
        ("# quota = 32", 'offered = ["fixed"]', "top level", "default_type: must be one of"),
        ('"2001:db8:1001::/64"', '"2001:db8:1001::/48"', "access[0]", "must be a /64"),
        ("# mtu = 1500", 'relays = [{ address = "2001:db8::1" }]', "access[0].relays[0]", "link"),
        (
            "# mtu = 1500",
            'relays = [{ address = "fe80::1" }, { address = "fe80::2", sources = ["fe80::1"] }]',
            "access[0]",
            "relays: an address is named twice",
        ),
        (
            "# autonomous = true",
            'other_sources = ["2001:db8:a100:7::/64"]',
            "top level",
            "access: 2001:db8:a100:7::/64 must not overlap the pool",
        ),
        (
            'slaac_prefix = "2001:db8:1001::/64"\n',
            "prefer_delegation = true\n",
            "access[0]",
            "prefer_delegation: needs a slaac_prefix",
        ),
        ("preference = 255", "preference = 256", "dhcp.preference", "<= 255"),
        ("preference = 255", "sol_max_rt = 10", "dhcp.sol_max_rt", ">= 60"),
        (
            "preference = 255",
            "information_refresh_time = 1",
            "dhcp.information_refresh_time",
            ">= 600",
        ),
        ("preference = 255", "exclude = 129", "dhcp.exclude", "<= 128"),
        ("# new_clients = 200", "new_clients = 0", "new_clients", "> 0"),
        ("# [limits.fixed]", "[limits.gold]", "limits", "gold"),
        ("# mtu = 1500", "mtu = 576", "access[0].mtu", ">= 1280"),
        ('"access0"', '"core0"', "top level", "core_interface"),
        ("# [lifetimes.fixed]", "[lifetimes.gold]", "lifetimes", "gold"),
        (
            "# [lifetimes.fixed]",
            "[lifetimes.fixed]\nvalid = 60",
            "lifetimes.fixed",
            "t1 <= t2 <= preferred <= valid",
        ),
        ("# [policy]", '[policy]\nboot = ["gold"]', "policy", "boot: unknown service type"),
    ],
)
def test_a_mistake_is_one_line_with_the_key_and_what_is_allowed(
    old: str, new: str, key: str, allowed: str
) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError) as error:
        config.parse(TEXT.replace(old, new), RouterConfig, "router.toml")
    text = str(error.value)
    assert text.startswith(f"router.toml: {key}: ")
    assert allowed in text
    assert "\n" not in text


def test_an_interface_is_one_link() -> None:
    twice = TEXT + '[[access]]\ninterface = "access0"\n'
    with pytest.raises(ConfigError, match="named twice"):
        config.parse(twice, RouterConfig, "router.toml")


def test_a_table_of_lifetimes_replaces_single_values() -> None:
    text = TEXT + "[lifetimes.session-lasting]\nquarantine = 1\n"
    lifetimes = config.parse(text, RouterConfig, "router.toml").lifetimes
    assert lifetimes.of(ServiceType.SESSION_LASTING).quarantine == 1
    assert lifetimes.of(ServiceType.SESSION_LASTING).valid == 7200


def test_the_routers_of_a_domain_share_a_server_duid() -> None:
    first, second = router_config(1), router_config(2)
    assert first.server_duid == second.server_duid
    assert isinstance(decode_duid(first.server_duid), DuidUuid)
    assert router_config(1, domain="ff00000000000000").server_duid != first.server_duid


def test_every_link_has_an_id_of_its_own() -> None:
    configs = [router_config(1), router_config(2)]
    ids = {each.link_id(link) for each in configs for link in each.access}
    assert len(ids) == 4
    assert {len(link_id) for link_id in ids} == {8}


def test_the_path_mtu_leaves_room_for_the_outer_header() -> None:
    link = router_config().access[0]
    assert router_config(core_mtu=1600).path_mtu(link) == 1500
    assert router_config(core_mtu=1500).path_mtu(link) == 1460


def test_keyless_clients_may_move_after_a_departure_by_default() -> None:
    assert router_config().keyless is Keyless.AFTER_DEPARTURE
