from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.host.quota import (
    ApplicationLimits,
    Holder,
    HostLimits,
    Quotas,
    QuotaTable,
    Standing,
    TokenBucket,
    UserLimits,
)

BROWSER = Holder(1000, "/usr/bin/browser")
MAIL = Holder(1000, "/usr/bin/mail")
ROOT = Holder(0, None)


def limits(application: int, user: int, together: int) -> QuotaTable:
    return QuotaTable(
        application=ApplicationLimits(addresses=application, requests=application),
        user=UserLimits(addresses=user, requests=user),
        all=HostLimits(addresses=together, requests=together),
    )


def used(standings: tuple[Standing, ...]) -> tuple[int, ...]:
    return tuple(standing.used for standing in standings)


def refused_by(standings: tuple[Standing, ...]) -> list[str]:
    return [standing.party for standing in standings if standing.exhausted]


def test_a_bucket_fills_up_in_a_minute() -> None:
    bucket = TokenBucket(6, 0.0)
    for _ in range(6):
        bucket.take(0.0)
    assert bucket.tokens(0.0) == 0
    assert bucket.tokens(10.0) == 1
    assert not bucket.full(59.0)
    assert bucket.full(60.0)
    assert bucket.tokens(600.0) == 6


@given(st.integers(1, 20), st.lists(st.floats(0, 30), max_size=200))
def test_in_no_time_more_is_taken_than_a_burst_and_the_rate(size: int, pauses: list[float]) -> None:
    bucket, now, taken = TokenBucket(size, 0.0), 0.0, []
    for pause in pauses:
        now += pause
        if bucket.tokens(now) >= 1:
            bucket.take(now)
            taken.append(now)
    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= size + math.ceil((end - begin) * size / 60)


@given(st.lists(st.tuples(st.sampled_from([BROWSER, MAIL, ROOT]), st.floats(0, 5)), max_size=100))
def test_requests_of_one_use_up_only_what_is_his(asked: list[tuple[Holder, float]]) -> None:
    """A limit refuses only those whose own requests have used it up."""
    quotas, now = Quotas(limits(3, 5, 7)), 0.0
    taken: dict[Holder, int] = {BROWSER: 0, MAIL: 0, ROOT: 0}
    for holder, pause in asked:
        now += pause
        parties = refused_by(quotas.requests(holder, now))
        if not parties:
            quotas.take(holder, now)
            taken[holder] += 1
        if taken[holder] < 3:
            assert "application" not in parties
        if sum(count for other, count in taken.items() if other.uid == holder.uid) < 5:
            assert "user" not in parties
        if sum(taken.values()) < 7:
            assert "all" not in parties


def test_a_lease_counts_for_all_who_have_sockets_on_it() -> None:
    quotas = Quotas(limits(1, 2, 3))
    quotas.caused(1, BROWSER)
    assert used(quotas.addresses(BROWSER, [1])) == (1, 1, 1)
    assert used(quotas.addresses(MAIL, [1])) == (0, 1, 1)
    assert used(quotas.addresses(ROOT, [1])) == (0, 0, 1)
    quotas.opened(1, 77, ROOT)
    assert used(quotas.addresses(BROWSER, [1])) == (0, 0, 1)
    assert used(quotas.addresses(ROOT, [1])) == (1, 1, 1)
    quotas.opened(1, 78, MAIL)
    quotas.closed(77)
    assert used(quotas.addresses(ROOT, [1])) == (0, 0, 1)
    assert refused_by(quotas.addresses(MAIL, [1])) == ["application"]
    assert quotas.holds(1, MAIL)
    quotas.closed(78)
    assert quotas.holds(1, MAIL)
    assert not quotas.holds(1, BROWSER)


def test_a_user_counts_a_lease_once() -> None:
    quotas = Quotas(limits(5, 5, 5))
    quotas.opened(1, 77, BROWSER)
    quotas.opened(1, 78, BROWSER)
    quotas.opened(1, 79, MAIL)
    assert used(quotas.addresses(BROWSER, [1])) == (1, 1, 1)
    quotas.closed(77)
    assert used(quotas.addresses(BROWSER, [1])) == (1, 1, 1)


def test_one_socket_may_have_had_several_addresses() -> None:
    quotas = Quotas(limits(5, 5, 5))
    quotas.opened(1, 77, BROWSER)
    quotas.opened(2, 77, BROWSER)
    assert used(quotas.addresses(BROWSER, [1, 2])) == (2, 2, 2)
    quotas.closed(77)
    assert used(quotas.addresses(BROWSER, [1, 2])) == (2, 2, 2)
    quotas.opened(1, 78, ROOT)
    assert used(quotas.addresses(BROWSER, [1, 2])) == (1, 1, 2)


def test_a_lease_that_has_ended_counts_for_nobody() -> None:
    quotas = Quotas(limits(5, 5, 5))
    quotas.caused(1, BROWSER)
    quotas.opened(2, 77, BROWSER)
    assert used(quotas.addresses(BROWSER, [])) == (0, 0, 0)
    quotas.closed(77)
    assert not quotas.holds(1, BROWSER)
    assert not quotas.holds(2, BROWSER)


@pytest.mark.parametrize("now", [0.0, 1e6])
def test_a_limit_of_zero_is_always_exhausted(now: float) -> None:
    quotas = Quotas(limits(0, 0, 0))
    assert refused_by(quotas.requests(ROOT, now)) == ["application", "user", "all"]
    assert refused_by(quotas.addresses(ROOT, [])) == ["application", "user", "all"]


def test_other_limits_hold_at_once() -> None:
    quotas = Quotas(limits(1, 1, 1))
    quotas.opened(1, 77, ROOT)
    quotas.take(ROOT, 0.0)
    assert refused_by(quotas.requests(ROOT, 0.0)) == ["application", "user", "all"]
    quotas.change(limits(2, 2, 2))
    assert refused_by(quotas.requests(ROOT, 0.0)) == []
    assert refused_by(quotas.addresses(ROOT, [1])) == []
