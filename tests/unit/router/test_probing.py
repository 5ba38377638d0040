"""Which host is asked when."""

from __future__ import annotations

from ipaddress import IPv6Address

from moorage.router.paths import Place
from moorage.router.probing import Probing

HERE: Place = ("acc0", IPv6Address("fe80::1"))
THERE: Place = ("acc1", IPv6Address("fe80::1"))


def everybody(_: Place) -> bool:
    return True


def test_a_host_is_asked_again_and_again() -> None:
    probing = Probing(10)
    assert probing.next_timer is None
    probing.watch(HERE, 100)
    probing.watch(HERE, 105)
    assert probing.next_timer == 110
    assert probing.due(everybody, 109) == []
    assert probing.due(everybody, 110) == [HERE]
    assert probing.next_timer == 120


def test_a_host_that_is_not_known_is_asked_at_once() -> None:
    probing = Probing(10)
    probing.watch(HERE, 100)
    probing.watch(THERE, 100, at_once=True)
    assert probing.next_timer == 100
    assert probing.due(everybody, 100) == [THERE]
    assert probing.due(everybody, 110) == [HERE, THERE]


def test_a_host_that_is_not_expected_is_forgotten() -> None:
    probing = Probing(10)
    probing.watch(HERE, 100)
    assert probing.due(lambda place: place != HERE, 110) == []
    assert probing.next_timer is None
    probing.watch(HERE, 111)
    assert probing.due(everybody, 121) == [HERE]


def test_nobody_is_asked_where_that_is_not_wanted() -> None:
    probing = Probing(0)
    probing.watch(HERE, 100, at_once=True)
    assert probing.next_timer is None


def test_very_many_hosts_are_asked_one_after_the_other() -> None:
    probing = Probing(10)
    hosts = {("acc0", IPv6Address(number)) for number in range(1000)}
    for place in hosts:
        probing.watch(place, 0)
    asked: list[Place] = []
    now = 10.0
    while now < 14.999:
        due = probing.due(everybody, now)
        assert len(due) <= 10
        asked += due
        assert probing.next_timer is not None
        assert probing.next_timer >= now + 0.05
        now = probing.next_timer
    assert len(asked) == 1000
    assert set(asked) == hosts
