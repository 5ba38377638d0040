from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from moorage.host.admission import Admission
from moorage.host.waiting import Waiter, Waiting, refusal
from moorage.numbers import EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
from moorage.service import ServiceType
from moorage.wire.app import Reason
from tests.scripted import CALLER, CONFIG, LASTING

ADDRESS = IPv6Address("2001:db8::1")


def waiter(number: int, iaid: int | None = 7, *, deadline: float = 5.0) -> Waiter:
    judgement = Admission(CONFIG).judge(CALLER, 100 + number, LASTING, None, 0.0)
    return Waiter(f"app {number}", number, judgement, LASTING, 1.0, deadline, iaid=iaid)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_error_code_of_each_reason(reason: Reason) -> None:
    unsupported = reason in (Reason.TYPE_NOT_OFFERED, Reason.NO_SERVICE, Reason.NO_HOOKS)
    answer = refusal("app", 3, reason)
    assert answer.reply.status == (
        EAI_REQUIREDIPNOTSUPPORTED if unsupported else EAI_REQUIREDIPFAILED
    )
    assert (answer.client, answer.reply.id, answer.reply.reason) == ("app", 3, reason)


@pytest.mark.parametrize(
    ("valid", "said"),
    [(60.9, 60), (0.0, 0), (-1.0, 0), (float("inf"), 0xFFFF_FFFF), (2.0**33, 0xFFFF_FFFF)],
)
def test_how_long_an_address_is_valid(valid: float, said: int) -> None:
    reply = waiter(1).granted(ADDRESS, valid).reply
    assert (reply.status, reply.address, reply.valid_for) == (0, ADDRESS, said)
    reply.encode()


def test_those_who_wait_for_one_lease_are_taken_once() -> None:
    waiting = Waiting()
    one, two, other = waiter(1), waiter(2), waiter(3, iaid=8)
    for each in (one, two, other):
        waiting.add(each)
    assert waiting.take(7) == [one, two]
    assert waiting.take(7) == []
    assert waiting.awaits(8)
    assert not waiting.awaits(7)


def test_client_and_socket_that_are_gone() -> None:
    waiting = Waiting()
    for number in (1, 2, 3):
        waiting.add(waiter(number))
    waiting.forget("app 1")
    waiting.socket_closed(102)
    assert [left.id for left in waiting.take(7)] == [3]


def nobody_knows(_: ServiceType | None) -> bool:
    return False


def everybody_knows(_: ServiceType | None) -> bool:
    return True


def test_a_network_that_knows_the_service_has_the_whole_time() -> None:
    waiting = Waiting()
    waiting.add(waiter(1))
    assert waiting.next_timer(everybody_knows) == 5.0
    assert waiting.expired(4.9, everybody_knows) == []
    assert waiting.expired(5.0, everybody_knows) == [(waiter(1), Reason.TIMEOUT)]
    assert waiting.next_timer(everybody_knows) is None


def test_one_that_gives_no_sign_of_it_has_less() -> None:
    waiting = Waiting()
    waiting.add(waiter(1))
    assert waiting.next_timer(nobody_knows) == 1.0
    assert waiting.expired(0.9, nobody_knows) == []
    assert waiting.expired(1.0, nobody_knows) == [(waiter(1), Reason.NO_SERVICE)]


def test_who_waits_for_an_ordinary_address_needs_no_service() -> None:
    waiting = Waiting()
    waiting.add(waiter(1, iaid=None))
    assert waiting.next_timer(nobody_knows) == 5.0
    assert waiting.expired(1.0, nobody_knows) == []
    assert waiting.expired(5.0, nobody_knows) == [(waiter(1, iaid=None), Reason.TIMEOUT)]


def test_who_gives_up_before_the_network_could_answer() -> None:
    waiting = Waiting()
    waiting.add(waiter(1, deadline=0.2))
    assert waiting.next_timer(nobody_knows) == 0.2
    hasty = waiter(1, deadline=0.2)
    assert waiting.expired(0.2, nobody_knows) == [(hasty, Reason.TIMEOUT)]
