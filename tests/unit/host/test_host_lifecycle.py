from __future__ import annotations

from enum import StrEnum
from itertools import product

import pytest

from moorage.host import lifecycle, reach
from moorage.host.lifecycle import Event, State
from moorage.host.machine import IllegalTransitionError, after
from moorage.host.reach import Change, Reach
from moorage.host.typed import TypedAddress
from moorage.service import ServiceType

LIFE = lifecycle.TABLE
ENDS = {State.RELEASED, State.GONE}


@pytest.mark.parametrize(
    ("states", "table", "first"),
    [(State, LIFE, State.REQUESTED), (Reach, reach.TABLE, Reach.REFUSED)],
)
def test_every_state_can_be_reached_from_the_first(
    states: type[StrEnum], table: dict[tuple[StrEnum, StrEnum], StrEnum], first: StrEnum
) -> None:
    reached = {first}
    for _ in states:
        reached |= {after for (before, _), after in table.items() if before in reached}
    assert reached == set(states)


def test_every_event_has_a_place() -> None:
    assert {event for _, event in LIFE} == set(Event)
    assert {change for _, change in reach.TABLE} == set(Change)


def test_every_state_can_end() -> None:
    assert {before for before, event in LIFE if event is Event.END} == set(State) - ENDS


def test_nothing_follows_the_end() -> None:
    assert not any(before in ENDS for before, _ in LIFE)


def test_what_retires_never_takes_part_again() -> None:
    follows = {after for (before, _), after in LIFE.items() if before is State.RETIRING}
    assert follows == {State.RETIRING, *ENDS}


def test_only_what_lingers_is_released() -> None:
    released = {before for (before, _), after in LIFE.items() if after is State.RELEASED}
    assert released == {State.LINGERING, State.RETIRING}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_transitions(state: State, event: Event) -> None:
    address = TypedAddress(type=ServiceType.FIXED, state=state)
    if (state, event) in LIFE:
        address.step(event)
        assert address.state is after(LIFE, state, event) is LIFE[state, event]
    else:
        with pytest.raises(IllegalTransitionError, match=f"{event.name} in state {state.name}"):
            address.step(event)
        assert address.state is state
