from __future__ import annotations

from itertools import product

import pytest

from moorage.host.lease import Lease
from moorage.host.lifecycle import TABLE, Event, IllegalTransitionError, State, after
from moorage.service import ServiceType

ILLEGAL = [pair for pair in product(State, Event) if pair not in TABLE]


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {State.REQUESTED}
    for _ in State:
        reached |= {after for (before, _), after in TABLE.items() if before in reached}
    assert reached == set(State)


def test_every_state_can_end() -> None:
    ends = {State.ENDED}
    for _ in State:
        ends |= {before for (before, _), after in TABLE.items() if after in ends}
    assert ends == set(State)


def test_nothing_follows_the_end() -> None:
    assert not any(before is State.ENDED for before, _ in TABLE)


def test_what_retires_never_takes_part_again() -> None:
    follows = {after for (before, _), after in TABLE.items() if before is State.RETIRING}
    assert follows == {State.RETIRING, State.ENDED}


def test_an_address_in_use_does_not_end_by_lingering() -> None:
    assert (State.IN_USE, Event.LINGER_END) not in TABLE


@pytest.mark.parametrize(("state", "event"), TABLE)
def test_legal_transition(state: State, event: Event) -> None:
    lease = Lease(1, ServiceType.FIXED, kept=False, state=state)
    lease.step(event)
    assert lease.state is after(state, event) is TABLE[state, event]


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_illegal_transition_raises_and_changes_nothing(state: State, event: Event) -> None:
    lease = Lease(1, ServiceType.FIXED, kept=False, state=state)
    with pytest.raises(IllegalTransitionError, match=f"{event.name} in state {state.name}"):
        lease.step(event)
    assert lease.state is state
