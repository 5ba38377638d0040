from __future__ import annotations

from pathlib import Path

import pytest

from moorage.config import ConfigError, load, parse
from moorage.host.config import HostConfig, RetireSlaac
from moorage.host.lifetimes import DailyLifetime, Lifetime
from moorage.service import ServiceType


def test_least() -> None:
    config = parse('interfaces = ["wl0"]', HostConfig, "host.toml")
    assert config == HostConfig(interfaces=["wl0"])
    assert (config.hold, config.wait, config.support_wait) == (10, 5, 1)
    assert config.unsupported_memory == 60
    assert config.types_at_boot == set()
    assert config.types_kept == {ServiceType.FIXED}
    assert config.type_by_default is None
    assert config.types_fresh == set()


def test_most() -> None:
    text = """
        interfaces = ["wl0", "wl1"]
        socket = "/tmp/host.sock"
        state = "/tmp/state"
        at_boot = ["fixed", "graceful-replacement"]
        dwell = 0.5
        retire_slaac = "deprecate"
        optimistic_dad = false

        [lifetimes.session-lasting]
        bytes = 1000

        [linger]
        session-lasting = 0.5
    """
    config = parse(text, HostConfig, "host.toml")
    assert config.socket == Path("/tmp/host.sock")
    assert config.types_at_boot == {ServiceType.FIXED, ServiceType.GRACEFUL_REPLACEMENT}
    assert config.dwell == 0.5
    assert config.retire_slaac is RetireSlaac.DEPRECATE
    assert config.lifetimes.of(ServiceType.SESSION_LASTING) == DailyLifetime(bytes=1000)
    assert config.linger.of(ServiceType.SESSION_LASTING) == 0.5
    assert config.linger.of(ServiceType.GRACEFUL_REPLACEMENT) == 30
    assert config.lifetimes.of(ServiceType.FIXED) == Lifetime(seconds=0, bytes=0)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "interfaces"),
        ("interfaces = []", "name at least one"),
        ('interfaces = "wl0"', "interfaces"),
        ('interfaces = ["wl0"]\ndwell = -1', "dwell: must not be negative"),
        ('interfaces = ["wl0"]\nwait = "long"', "wait"),
        ('interfaces = ["wl0"]\nat_boot = ["lasting"]', "session-lasting"),
        ('interfaces = ["wl0"]\nat_boot = ["non-persistent"]', "non-persistent"),
        ('interfaces = ["wl0"]\nfresh = ["non-persistent"]', "fresh: non-persistent"),
        (
            'interfaces = ["wl0"]\nkeep = ["all"]',
            "keep: unknown service type 'all'; allowed: fixed",
        ),
        ('interfaces = ["wl0"]\ndefault_type = "best"', "default_type: unknown service type"),
        ('interfaces = ["wl0"]\nnetwork_policy = "obey"', "allowed: follow, limit, ignore"),
        ('interfaces = ["wl0"]\nretire_slaac = "maybe"', "retire_slaac"),
        ('interfaces = ["wl0"]\n[[rule]]\nuser = ["root"]', "allowed: users, groups, units"),
        ('interfaces = ["wl0"]\n[[rule]]\nusers = "root"', "rule[0].users: Expected `array`"),
        (
            'interfaces = ["wl0"]\n[[rule]]\nusers = ["no one"]',
            "rule[0].users[0]: this host has no",
        ),
        ('interfaces = ["wl0"]\n[[rule]]\ngroups = ["?"]', "rule[0].groups[0]: this host has no"),
        ('interfaces = ["wl0"]\n[[rule]]\ntypes = ["best"]', "rule[0]: types: unknown"),
        (
            'interfaces = ["a"]\n[[rule]]\n[[rule]]\ntypes = ["fixed"]\ndefault = "non-persistent"',
            "rule[1]: default: must be one of the rule's types, fixed",
        ),
        ('interfaces = ["wl0"]\n[quota.users]\nrequests = 3', "allowed: application, user, all"),
        ('interfaces = ["wl0"]\n[quota.user]\nrequests = -3', "quota.user.requests: Expected"),
        ('interfaces = ["wl0"]\nlingre = 3', "lingre"),
        ('interfaces = ["wl0"]\n[lifetimes.fixed]\nseconds = -1', "lifetimes.fixed.seconds"),
        ('interfaces = ["wl0"]\n[lifetimes.fixed]\nminutes = 1', "minutes"),
        ('interfaces = ["wl0"]\n[lifetimes.steady]\nseconds = 1', "steady"),
        ("interfaces = [", "not TOML"),
    ],
)
def test_mistakes_are_told_in_one_line(text: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, HostConfig, "host.toml")
    said = str(caught.value)
    assert said.startswith("host.toml: ")
    assert what in said
    assert "\n" not in said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "host.toml"
    with pytest.raises(ConfigError, match="No such file"):
        load(path, HostConfig)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path, HostConfig)
