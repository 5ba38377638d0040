"""What the hooks may give by themselves, and to whom: not plainly allowed is not offered."""

from __future__ import annotations

import pytest

from moorage import config
from moorage.host.config import HostConfig
from moorage.host.policy import Policy
from moorage.kernel.hooks import Rights
from moorage.service import ServiceType
from moorage.wire.dhcp6 import NetworkPolicy

EVERY = frozenset(ServiceType)
FIXED, SESSION = ServiceType.FIXED, ServiceType.SESSION_LASTING
ORDINARY = ServiceType.NON_PERSISTENT
NOTHING: frozenset[ServiceType] = frozenset()
SEVEN = '[[rule]]\nusers = ["7"]\n'


def policy(text: str = "") -> Policy:
    return Policy(config.parse(f'interfaces = ["wl0"]\n{text}', HostConfig, "host.toml"))


def test_without_rules_of_ones_own() -> None:
    mine = policy()
    every_day = EVERY - {FIXED}
    assert mine.rights(None) == {None: Rights(every_day, every_day), 0: Rights(EVERY, EVERY)}
    assert mine.restricted(None) == {FIXED}


@pytest.mark.parametrize("key", ["groups", "units", "cgroups", "executables"])
def test_what_a_user_does_not_decide_is_not_sure(key: str) -> None:
    """The daemon is asked by everybody whom such a rule may be about, and refuses no user alone."""
    maybe = f'[[rule]]\n{key} = ["7"]\ntypes = ["fixed"]'
    mine = policy(f'{maybe}\n[[rule]]\ntypes = ["session-lasting", "fixed"]')
    assert mine.rights(None) == {None: Rights(frozenset({FIXED}), frozenset({FIXED, SESSION}))}


def test_the_first_rule_about_a_user_decides() -> None:
    mine = policy(f'{SEVEN}types = ["fixed"]\n[[rule]]\ntypes = ["session-lasting"]')
    assert mine.rights(None) == {
        None: Rights(frozenset({SESSION}), frozenset({SESSION})),
        7: Rights(frozenset({FIXED}), frozenset({FIXED})),
    }
    assert mine.restricted(None) == EVERY


def test_users_whom_no_rule_fits() -> None:
    mine = policy(SEVEN)
    assert mine.rights(None)[None] == Rights(frozenset({ORDINARY}), frozenset({ORDINARY}))


def test_fresh_addresses_are_the_daemons() -> None:
    mine = policy(f'fresh = ["fixed"]\n{SEVEN}fresh = ["session-lasting"]\n[[rule]]\n')
    assert mine.rights(None) == {
        None: Rights(EVERY - {FIXED}, EVERY),
        7: Rights(EVERY - {SESSION}, EVERY),
    }
    assert mine.restricted(None) == NOTHING


def test_what_the_network_forbids() -> None:
    network = NetworkPolicy(frozenset({FIXED}), NOTHING, None)
    assert policy("[[rule]]").rights(network)[None] == Rights(frozenset({FIXED, ORDINARY}), EVERY)


def test_authority_of_sockets() -> None:
    mine = policy('authority = "socket"\n[[rule]]')
    assert mine.rights(None)[None] == Rights(EVERY, NOTHING)
    assert mine.restricted(None) == EVERY
