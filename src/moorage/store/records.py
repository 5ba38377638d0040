"""Bindings and anchors as JSON, for scripts and back-ups: all as people write it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPV6LENGTH, IPv6Address, IPv6Network
from typing import Annotated, Final, Self

import msgspec

from moorage.config import ConfigError, convert
from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding, BindingState

_RouterId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_HIGHEST: Final = (1 << 63) - 1
_Time = Annotated[float, msgspec.Meta(ge=0)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `Binding` as it is written: DUID and key in hexadecimal, the type as its slug.

    Raises:
        ValueError: values that do not go together.
    """

    prefix: IPv6Network
    client: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2}){1,130}$")]
    iaid: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
    type: str
    anchor: _RouterId
    serving: _RouterId | None
    link: str | None
    next_hop: IPv6Address | None
    seq: Annotated[int, msgspec.Meta(ge=1, le=_HIGHEST)]
    key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None
    last_time: Annotated[int, msgspec.Meta(ge=0, le=_HIGHEST)]
    state: BindingState
    preferred_until: _Time
    valid_until: _Time
    reconfigurable: bool = False
    mac: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")] | None = None
    excluded: Annotated[int, msgspec.Meta(ge=1, le=IPV6LENGTH)] | None = None

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        try:
            ServiceType.from_slug(self.type)
        except ValueError as error:
            raise ValueError(f"type: {error}") from None
        if len({value is None for value in (self.serving, self.link, self.next_hop)}) > 1:
            raise ValueError("serving, link and next_hop: must be all there or all null")
        if self.next_hop is None and self.mac is not None:
            raise ValueError("mac: must be null where next_hop is")
        if (self.serving is None) is (self.state is BindingState.ACTIVE):
            raise ValueError("serving: must be there if the state is active, and only then")
        if self.excluded is not None and self.excluded <= self.prefix.prefixlen:
            raise ValueError("excluded: must be a length beyond that of the prefix, or null")

    @classmethod
    def of(cls, binding: Binding) -> Self:
        """Return what is written of a binding."""
        return cls(
            prefix=binding.prefix,
            client=binding.client.hex(),
            iaid=binding.iaid,
            type=binding.type.slug,
            anchor=binding.anchor,
            serving=binding.serving,
            link=binding.link,
            next_hop=binding.next_hop,
            seq=binding.seq,
            key=None if binding.key is None else binding.key.hex(),
            last_time=binding.last_time,
            state=binding.state,
            preferred_until=binding.preferred_until,
            valid_until=binding.valid_until,
            reconfigurable=binding.reconfigurable,
            mac=None if binding.mac is None else binding.mac.hex(),
            excluded=binding.excluded,
        )

    def binding(self) -> Binding:
        """Return the binding that is written here."""
        return Binding(
            prefix=self.prefix,
            client=bytes.fromhex(self.client),
            iaid=self.iaid,
            type=ServiceType.from_slug(self.type),
            anchor=self.anchor,
            serving=self.serving,
            link=self.link,
            next_hop=self.next_hop,
            seq=self.seq,
            key=None if self.key is None else bytes.fromhex(self.key),
            last_time=self.last_time,
            state=self.state,
            preferred_until=self.preferred_until,
            valid_until=self.valid_until,
            reconfigurable=self.reconfigurable,
            mac=None if self.mac is None else bytes.fromhex(self.mac),
            excluded=self.excluded,
        )


class AnchorRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An `Anchor` as it is written."""

    id: _RouterId
    pool: IPv6Network
    holder: _RouterId
    epoch: Annotated[int, msgspec.Meta(ge=1, le=_HIGHEST)]

    @classmethod
    def of(cls, anchor: Anchor) -> Self:
        """Return what is written of an anchor."""
        return cls(id=anchor.id, pool=anchor.pool, holder=anchor.holder, epoch=anchor.epoch)

    def anchor(self) -> Anchor:
        """Return the anchor that is written here."""
        return Anchor(self.id, self.pool, self.holder, self.epoch)


def to_line(content: Binding | Anchor) -> bytes:
    """Return a binding or an anchor as one line of JSON."""
    record = Record.of(content) if isinstance(content, Binding) else AnchorRecord.of(content)
    return msgspec.json.encode(record, enc_hook=str) + b"\n"


def from_lines(lines: Iterable[bytes], name: str) -> dict[int, Binding | Anchor]:
    """Return what stands in a file of JSON lines by line number; empty lines are passed over.

    A line with the key ``pool`` is an anchor, any other one a binding.

    Raises:
        ConfigError: a line is wrong, or says again what an earlier one has said; it names the
            file as ``name``, the line, and what is allowed.
    """
    found: dict[int, Binding | Anchor] = {}
    lines_of: dict[IPv6Network | str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            data = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{place}: not JSON: {error}") from None
        content: Binding | Anchor
        key: IPv6Network | str
        if isinstance(data, dict) and "pool" in data:
            content = convert(data, AnchorRecord, place).anchor()
            what, key = "id", content.id
        else:
            content = convert(data, Record, place).binding()
            what, key = "prefix", content.prefix
        earlier = lines_of.setdefault(key, number)
        if earlier != number:
            raise ConfigError(f"{place}: {what}: {key} is in line {earlier}, too")
        found[number] = content
    return found
