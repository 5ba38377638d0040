"""What every binding store does, whichever engine is below.

The store is the one place that routers share. A router lists the store once (``snapshot``) and
follows it from there (``watch``); it changes bindings by compare-and-swap (``commit``), so that of
two routers that act on the same binding exactly one wins.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Protocol

from moorage.store.model import Binding, Router


class StoreError(Exception):
    """The store cannot do its work: not reachable, not writable, full, closed, not ours.

    Its text is one line that names the store and the reason.
    """


class Conflict(Exception):
    """A commit's premise does not hold; nothing of the commit was done. Read again and decide anew.

    Attributes:
        prefix: the prefix of the change that did not fit.
    """

    def __init__(self, prefix: IPv6Network) -> None:
        super().__init__(f"the binding of {prefix} is not as expected")
        self.prefix = prefix


class Compacted(Exception):
    """The changes after the asked revision are no longer known. Take a new snapshot.

    Attributes:
        revision: the revision that was asked for.
    """

    def __init__(self, revision: int) -> None:
        super().__init__(f"changes after revision {revision} are not known")
        self.revision = revision


@dataclass(frozen=True, slots=True)
class Create:
    """Add a binding. Conflict: the prefix has one (of any state), or its name is held.

    Its name is (client, iaid), for prefixes and for addresses apart.
    """

    binding: Binding

    @property
    def prefix(self) -> IPv6Network:
        """The prefix whose binding this changes."""
        return self.binding.prefix


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the binding of a prefix as a whole.

    Conflict: none is there, its seq is not ``expected_seq``, or its name is held elsewhere.

    Raises:
        ValueError: the new seq is not higher than ``expected_seq``.
    """

    binding: Binding
    expected_seq: int

    def __post_init__(self) -> None:
        if self.binding.seq <= self.expected_seq:
            raise ValueError(f"seq {self.binding.seq} does not rise above {self.expected_seq}")

    @property
    def prefix(self) -> IPv6Network:
        """The prefix whose binding this changes."""
        return self.binding.prefix


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget a binding. Conflict: none is there, or its seq is not ``expected_seq``."""

    prefix: IPv6Network
    expected_seq: int


Change = Create | Update | Delete


@dataclass(frozen=True, slots=True)
class BindingChanged:
    """A binding was added or replaced; this is what it is now."""

    revision: int
    binding: Binding


@dataclass(frozen=True, slots=True)
class BindingGone:
    """The binding of a prefix was forgotten."""

    revision: int
    prefix: IPv6Network


@dataclass(frozen=True, slots=True)
class RouterChanged:
    """A router registered, for the first time or again."""

    revision: int
    router: Router


Event = BindingChanged | BindingGone | RouterChanged


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the store held at ``revision``, bindings by prefix and routers by id."""

    revision: int
    bindings: tuple[Binding, ...]
    routers: tuple[Router, ...]


class BindingStore(Protocol):
    """Bindings and routers, shared by the routers of a domain.

    Every commit and every registration has a revision, higher than all before it; the events of one
    commit share it. Every method raises `StoreError` when the store cannot answer.
    """

    async def get(self, prefix: IPv6Network) -> Binding | None:
        """Return the binding of exactly this prefix, released or not."""

    async def of_client(self, client: bytes) -> list[Binding]:
        """Return the bindings of a DUID by prefix, released ones among them."""

    async def commit(self, changes: Sequence[Change]) -> int:
        """Do all of ``changes`` in their order, or none, and return the revision.

        When it returns, the changes are durable. No changes: the revision as it is now. A
        cancelled commit may have happened.

        Raises:
            Conflict: a change does not fit what is stored.
            ValueError: two changes are about the same prefix.
        """

    async def commit_each(self, commits: Sequence[Sequence[Change]]) -> list[int | Conflict]:
        """Do each of ``commits``, none of them empty, as `commit` does, but wait once for all.

        Returns the revision or the conflict of each.

        Raises:
            ValueError: two changes of one commit are about the same prefix.
        """

    async def register(self, router: Router) -> int:
        """Add a router or replace what is known of it, and return the revision."""

    async def snapshot(self) -> Snapshot:
        """Return everything, as of one revision."""

    def watch(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event with a revision above ``after``, in order, as it happens.

        With ``after`` taken from a snapshot nothing is lost in between. Several events may share
        a revision: to go on after an interruption take a new snapshot. Ends when the store closes.

        Raises:
            Compacted: ``after`` is too old, or not from this store, or the watcher fell too far
                behind.
        """

    async def describe(self) -> dict[str, str | int]:
        """Return what the engine has to say of itself to operators, by names of its own.

        It looks whether all of its content is sound, which may take a second; `StoreError` if not.
        """

    async def close(self) -> None:
        """Finish the commits under way, end the watches, let go of the engine."""


def distinct(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the changes of one commit, checked to be about one prefix each.

    Raises:
        ValueError: two are about the same prefix.
    """
    prefixes = [change.prefix for change in changes]
    if len(set(prefixes)) != len(prefixes):
        raise ValueError("two changes of one commit are about the same prefix")
    return tuple(changes)
