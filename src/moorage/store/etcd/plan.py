"""What etcd is asked to compare and to write. No I/O.

The first transaction of a commit goes by what is likely: a binding is to be new, or is held under
the name that it is to have. Almost always that is so, and the commit is one round trip; where it is
not, the answer says what is stored, and the next transaction goes by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from typing import Any

from aetcd import rpc

from moorage.store.etcd.layout import (
    Layout,
    epoch_of,
    pack_anchor,
    pack_binding,
    pack_number,
    pack_prefix,
    pack_router,
)
from moorage.store.model import Binding, BindingState, Router
from moorage.store.protocol import (
    Change,
    Conflict,
    Create,
    Delete,
    Fenced,
    Hold,
    Mismatch,
    Update,
)

KeyValue = Any
"""A ``mvccpb.KeyValue``: key, value, mod_revision and so on."""

Values = Mapping[bytes, bytes | None]
"""Values by key; None: there is no such key."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The changes of one commit, and the transactions that do them or read what they are about."""

    layout: Layout
    changes: tuple[Change, ...]

    def likely(self) -> Any:
        """Return the transaction that does the commit if all is as it usually is."""
        stored: dict[IPv6Network, Binding | None] = {}
        holders: dict[bytes, bytes | None] = {}
        fences = self._fences()
        premises = [
            each for name, epoch in fences for each in _is_at(self.layout.anchor(name), epoch)
        ]
        for change in self.changes:
            key = self.layout.binding(change.prefix)
            match change:
                case Create(binding, _):
                    stored[binding.prefix] = None
                    premises.append(_absent(key))
                    if binding.held:
                        holders.setdefault(self.layout.name(binding), None)
                case Update(binding, expected_seq):
                    before = replace(binding, seq=expected_seq, state=BindingState.ACTIVE)
                    stored[binding.prefix] = before
                    premises += _has_number(key, expected_seq)
                    holders[self.layout.name(before)] = pack_prefix(binding.prefix)
                case Delete():
                    return self._transaction([_NEVER], {})  # its name has to be read
        premises += [
            _absent(name) if place is None else _is(name, place) for name, place in holders.items()
        ]
        try:
            return self._transaction(premises, self._effects(stored, holders, dict(fences)))
        except Conflict:
            return self._transaction([_NEVER], {})

    def exact(self, answer: Any) -> Any:
        """Return the transaction that does the commit if all is as an earlier answer said.

        Raises:
            Conflict: upon that, it cannot be done.
            RowError: what is stored is damaged.
        """
        found = _found(answer)
        stored = {}
        for change in self.changes:
            key = self.layout.binding(change.prefix)
            kv = found.get(key)
            stored[change.prefix] = None if kv is None else self.layout.binding_of(key, kv.value)
        holders = {name: found[name].value for name in self._names() if name in found}
        premises = [
            _unchanged(key, found[key].mod_revision if key in found else 0) for key in self._keys()
        ]
        epochs = {
            name: epoch_of(found[key].value)
            for name, _ in self._fences()
            if (key := self.layout.anchor(name)) in found
        }
        return self._transaction(premises, self._effects(stored, holders, epochs))

    def revision_if_done(self, answer: Any) -> int | None:
        """Return at which revision all changes were made, if an answer shows that they were."""
        found = _found(answer)
        stored = [found.get(self.layout.binding(change.prefix)) for change in self.changes]
        for change, kv in zip(self.changes, stored, strict=True):
            if (None if kv is None else kv.value) != _value(change):
                return None
        revisions: list[int] = [kv.mod_revision for kv in stored if kv is not None]
        return max(revisions, default=answer.header.revision)

    def _effects(
        self,
        stored: Mapping[IPv6Network, Binding | None],
        holders: Values,
        epochs: Mapping[str, int],
    ) -> Values:
        """Return the keys that the changes, done in their order, leave different.

        Raises:
            Conflict: one of them does not fit.
        """
        held = dict(holders)
        effects: dict[bytes, bytes | None] = {}
        for change in self.changes:
            before, after = stored[change.prefix], _after(change)
            place = pack_prefix(change.prefix)
            match change:
                case Create(binding, int(epoch)) if epoch != epochs.get(binding.anchor, 0):
                    raise Fenced(binding.anchor)
            if not _fits(change, before):
                raise Mismatch(change.prefix)
            if before is not None and before.held:
                held[self.layout.name(before)] = None
            if after is not None and after.held:
                if held.get(self.layout.name(after)) is not None:
                    raise Mismatch(change.prefix)
                held[self.layout.name(after)] = place
            effects[self.layout.binding(change.prefix)] = _value(change)
            old = None if before is None else self.layout.entry(before)
            new = None if after is None else self.layout.entry(after)
            if old != new:
                if old is not None:
                    effects[old] = None
                if new is not None:
                    effects[new] = place
        return effects

    def _names(self) -> list[bytes]:
        """Return the keys of the names that are to be held."""
        bindings = [_after(change) for change in self.changes]
        return [self.layout.name(each) for each in bindings if each is not None and each.held]

    def _fences(self) -> list[tuple[str, int]]:
        """Return the anchors that have to be at an epoch, with it."""
        return list(
            dict.fromkeys(
                (change.binding.anchor, change.epoch)
                for change in self.changes
                if isinstance(change, Create) and change.epoch is not None
            )
        )

    def _keys(self) -> list[bytes]:
        """Return the keys that decide what becomes of the commit."""
        bindings = [self.layout.binding(change.prefix) for change in self.changes]
        anchors = [self.layout.anchor(name) for name, _ in self._fences()]
        return [*dict.fromkeys([*bindings, *self._names(), *anchors])]

    def _transaction(self, premises: Sequence[Any], effects: Values) -> Any:
        """Return the transaction that has ``effects`` under ``premises``, and otherwise reads."""
        return rpc.TxnRequest(
            compare=premises,
            success=[_write(key, value) for key, value in effects.items()],
            failure=[_read(key) for key in self._keys()],
        )


def registration(layout: Layout, router: Router, lease: int) -> Any:
    """Return the transaction that registers a router, which is there as long as its lease lasts."""
    presence = rpc.PutRequest(key=layout.presence(router.id), lease=lease)
    return rpc.TxnRequest(
        success=[
            _write(layout.router(router.id), pack_router(router)),
            rpc.RequestOp(request_put=presence),
        ]
    )


def holding(layout: Layout, hold: Hold) -> Any:
    """Return the transaction that says who holds a pool, or else reads the anchor."""
    key = layout.anchor(hold.anchor.id)
    premises = _is_at(key, hold.expected_epoch)
    if hold.gone is not None:
        premises.append(_absent(layout.presence(hold.gone)))
    return rpc.TxnRequest(
        compare=premises, success=[_write(key, pack_anchor(hold.anchor))], failure=[_read(key)]
    )


def _after(change: Change) -> Binding | None:
    return None if isinstance(change, Delete) else change.binding


def _value(change: Change) -> bytes | None:
    return None if isinstance(change, Delete) else pack_binding(change.binding)


def _fits(change: Change, before: Binding | None) -> bool:
    match change:
        case Create():
            return before is None
        case Update(_, expected_seq) | Delete(_, expected_seq):
            return before is not None and before.seq == expected_seq


def _found(answer: Any) -> dict[bytes, KeyValue]:
    """Return what a transaction whose premises failed has read, by key."""
    return {kv.key: kv for each in answer.responses for kv in each.response_range.kvs}


def _write(key: bytes, value: bytes | None) -> Any:
    if value is None:
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value))


def _read(key: bytes) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key))


def _absent(key: bytes) -> Any:
    return rpc.Compare(target=rpc.Compare.VERSION, result=rpc.Compare.EQUAL, key=key, version=0)


def _is(key: bytes, value: bytes) -> Any:
    return rpc.Compare(target=rpc.Compare.VALUE, result=rpc.Compare.EQUAL, key=key, value=value)


def _unchanged(key: bytes, revision: int) -> Any:
    """Compare with the revision of the key's last change; 0: there is no such key."""
    return rpc.Compare(
        target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, key=key, mod_revision=revision
    )


def _has_number(key: bytes, number: int) -> list[Any]:
    """Compare with the number that a value begins with: values are ordered as bytes."""
    return [
        rpc.Compare(target=rpc.Compare.VALUE, result=result, key=key, value=pack_number(bound))
        for result, bound in ((rpc.Compare.GREATER, number), (rpc.Compare.LESS, number + 1))
    ]


def _is_at(anchor: bytes, epoch: int) -> list[Any]:
    return _has_number(anchor, epoch) if epoch else [_absent(anchor)]


_NEVER = rpc.Compare(target=rpc.Compare.VERSION, result=rpc.Compare.LESS, key=b"\0", version=0)
"""A premise that is never true: the transaction only reads."""
