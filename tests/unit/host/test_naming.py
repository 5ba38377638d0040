"""When the host's Fixed addresses are published, and when again."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage import config
from moorage.config import ConfigError
from moorage.host.naming import DnsConfig, Naming

ONE = frozenset({IPv6Address("2001:db8::1")})
TWO = frozenset({IPv6Address("2001:db8::2")})
NONE: frozenset[IPv6Address] = frozenset()
CONFIG = DnsConfig(
    server="::1", zone="example.net", name="mn.example.net", key_name="mn", key_file="/mn.key"
)


@pytest.fixture
def naming() -> Naming:
    return Naming(CONFIG)


def test_an_address_is_published_at_once(naming: Naming) -> None:
    naming.want(ONE)
    assert naming.next_timer() == 0
    assert naming.take_due(10) == ONE


def test_nothing_is_due_twice(naming: Naming) -> None:
    naming.want(ONE)
    naming.take_due(10)
    assert naming.next_timer() is None
    assert naming.take_due(11) is None
    naming.done(ONE, True, 12)
    assert naming.next_timer() is None


def test_nothing_is_due_without_an_address(naming: Naming) -> None:
    naming.want(NONE)
    assert naming.next_timer() is None


def test_without_a_zone_nothing_is_due() -> None:
    naming = Naming(DnsConfig())
    naming.want(ONE)
    assert naming.next_timer() is None
    assert naming.take_due(10) is None


def test_an_address_that_is_gone_is_taken_back(naming: Naming) -> None:
    naming.want(ONE)
    naming.take_due(10)
    naming.done(ONE, True, 11)
    naming.want(NONE)
    assert naming.take_due(12) == NONE


def test_what_changes_meanwhile_is_published_next(naming: Naming) -> None:
    naming.want(ONE)
    naming.take_due(10)
    naming.want(TWO)
    naming.done(ONE, True, 11)
    assert naming.take_due(11) == TWO


def test_a_failure_is_repeated_with_ever_longer_pauses(naming: Naming) -> None:
    naming.want(ONE)
    now, pauses = 0.0, []
    for _ in range(15):
        assert naming.take_due(now) == ONE
        naming.done(ONE, False, now)
        due = naming.next_timer()
        assert due is not None
        assert naming.take_due(due - 0.1) is None
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [5, 10, 20]
    assert pauses[-1] == 3600


def test_another_address_waits_for_no_pause(naming: Naming) -> None:
    naming.want(ONE)
    naming.take_due(0)
    naming.done(ONE, False, 0)
    naming.want(TWO)
    assert naming.take_due(0) == TWO


@given(st.lists(st.tuples(st.sampled_from([NONE, ONE, TWO]), st.booleans()), max_size=20))
def test_in_the_end_what_is_wanted_is_published(
    steps: list[tuple[frozenset[IPv6Address], bool]],
) -> None:
    naming, name, now = Naming(CONFIG), NONE, 0.0
    for wanted, succeeds in steps:
        naming.want(wanted)
        now = max(now, naming.next_timer() or now)
        sent = naming.take_due(now)
        if sent is not None:
            name = sent if succeeds else name
            naming.done(sent, succeeds, now)
    while (due := naming.next_timer()) is not None:
        now = max(now, due)
        sent = naming.take_due(now)
        assert sent is not None
        name = sent
        naming.done(sent, True, now)
    assert name == (steps[-1][0] if steps else NONE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('zone = "example.net"', ["server, name, key_name, key_file"]),
        ("port = 0", ["1 to 65535"]),
        ("ttl = -1", ["2147483647"]),
        ('algorithm = "md5"', ["algorithm", "hmac-sha256, hmac-sha384, hmac-sha512"]),
        (
            'server="::1"\nzone="a.net"\nname="mn.b.net"\nkey_name="k"\nkey_file="/k"',
            ["name", "in the zone a.net"],
        ),
    ],
)
def test_a_wrong_table_is_one_line(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, DnsConfig, "host.toml")
    assert all(word in str(caught.value) for word in words)
