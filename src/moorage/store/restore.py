"""Puts what was exported back into a store, without undoing what happened since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from itertools import count
from typing import Final

from moorage.config import ConfigError
from moorage.store.model import Anchor, Binding
from moorage.store.protocol import (
    MOST_CHANGES,
    BindingStore,
    Conflict,
    Create,
    Hold,
    Update,
)

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the lines of a file, in numbers.

    Attributes:
        written: the store has them now.
        present: the store had them.
        kept: the store has something else, that is newer or another client's, and keeps it.
    """

    written: int
    present: int
    kept: int


async def restore(
    store: BindingStore,
    wanted: Mapping[int, Binding | Anchor],
    name: str,
    *,
    overwrite: bool = False,
) -> Restored:
    """Bring bindings and anchors into the store; what is written is decided before anything is.

    The store keeps a binding whose seq is as high or higher, a prefix that another client has, and
    whoever holds a pool, unless ``overwrite`` is set. Doing it again changes nothing; so does what
    was interrupted go on.

    Args:
        store: the store.
        wanted: what the lines say, by their number.
        name: stands for the file in errors.
        overwrite: let the file win; ``seq`` and epoch rise all the same.

    Raises:
        ConfigError: a client would hold one IAID twice; nothing was written.
        Conflict: others change the same bindings all the time; a part may be written.
        StoreError: the store failed; a part may be written.
    """
    bindings = {line: each for line, each in wanted.items() if isinstance(each, Binding)}
    anchors = [each for each in wanted.values() if isinstance(each, Anchor)]
    written = 0
    for attempt in count(1):
        snapshot = await store.snapshot()
        stored = {binding.prefix: binding for binding in snapshot.bindings}
        held = {anchor.id: anchor for anchor in snapshot.anchors}
        changes = {
            line: change
            for line, binding in bindings.items()
            if (change := _change(stored.get(binding.prefix), binding, overwrite)) is not None
        }
        _check_names(stored, changes, name)
        holds = [
            hold
            for anchor in anchors
            if (hold := _hold(held.get(anchor.id), anchor, overwrite)) is not None
        ]
        try:
            # What is given back goes first, as another line may have its name.
            for portion in _portions(sorted(changes.values(), key=lambda each: each.binding.held)):
                await store.commit(portion)
                written += len(portion)
            for hold in holds:
                await store.hold(hold)
                written += 1
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
        else:
            break
    differing = sum(_differs(stored.get(each.prefix), each) for each in bindings.values())
    differing += sum(not _is_held(held.get(each.id), each) for each in anchors)
    kept = differing - len(changes) - len(holds)
    return Restored(written, len(wanted) - written - kept, kept)


def _change(stored: Binding | None, wanted: Binding, overwrite: bool) -> Create | Update | None:
    """Return what makes the store have ``wanted``; None: it has it, or keeps what it has."""
    if stored is None:
        return Create(wanted)
    if not _differs(stored, wanted):
        return None
    if overwrite:
        return Update(replace(wanted, seq=max(stored.seq + 1, wanted.seq)), stored.seq)
    follows = stored.name == wanted.name and stored.seq < wanted.seq
    return Update(wanted, stored.seq) if follows else None


def _hold(stored: Anchor | None, wanted: Anchor, overwrite: bool) -> Hold | None:
    """Return what makes the store have ``wanted``; None: it has it, or keeps what it has."""
    if stored is None:
        return Hold(wanted, 0)
    if not overwrite or _is_held(stored, wanted):
        return None
    return Hold(replace(wanted, epoch=max(stored.epoch + 1, wanted.epoch)), stored.epoch)


def _is_held(stored: Anchor | None, wanted: Anchor) -> bool:
    """Whether the pool is held as the file says, however often that has changed."""
    return stored is not None and replace(stored, epoch=wanted.epoch) == wanted


def _differs(stored: Binding | None, wanted: Binding) -> bool:
    """Whether the store lacks what the file says, however often it was changed to that."""
    if stored is None:
        return True
    return stored.seq < wanted.seq or replace(stored, seq=wanted.seq) != wanted


def _check_names(
    stored: Mapping[IPv6Network, Binding], changes: Mapping[int, Create | Update], name: str
) -> None:
    """Check that no client would hold one IAID twice."""
    replaced = {change.prefix for change in changes.values()}
    holders = {
        binding.name: binding.prefix
        for binding in stored.values()
        if binding.held and binding.prefix not in replaced
    }
    for line, change in changes.items():
        binding = change.binding
        if not binding.held:
            continue
        holder = holders.setdefault(binding.name, binding.prefix)
        if holder != binding.prefix:
            raise ConfigError(
                f"{name}:{line}: iaid: the client holds {holder} by {binding.iaid} already"
            )


def _portions(changes: list[Create | Update]) -> Iterable[list[Create | Update]]:
    for start in range(0, len(changes), MOST_CHANGES):
        yield changes[start : start + MOST_CHANGES]
