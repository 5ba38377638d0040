"""Whatever a neighbour sends, the host acts or complains; it never fails."""

from __future__ import annotations

from ipaddress import IPv6Network

from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.wire import dhcp6, nd
from moorage.wire.dhcp6 import (
    IaPd,
    IaPrefix,
    OnDemand,
    Preference,
    Refusal,
    RefusalReason,
    Status,
    StatusCode,
    TimeAndLink,
)
from moorage.wire.errors import WireError
from tests.scripted import FIXED, GRACEFUL, LASTING, WL0, Host, Network, advertisement

PREFIX = IPv6Network("2001:db8:1001::/64")
ADVERTISEMENT = advertisement(b"link one", PREFIX).encode()

Edits = list[tuple[int, int, bytes]]
edits = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=3)),
    max_size=4,
)


def edited(data: bytes, changes: Edits, start: int) -> bytes:
    """Return ``data`` with some bytes behind ``start`` replaced, removed or added."""
    for position, removed, inserted in changes:
        at = start + position % (len(data) - start + 1)
        data = data[:at] + inserted + data[at + removed :]
    return data


def busy_host() -> Host:
    """Return a host with an address in use that asks for two more."""
    host = Host(Network())
    host.attach(heard=b"link one")
    host.ask(LASTING, 1)
    host.network.silent = {WL0}
    host.setsc(FIXED, 2)
    host.setsc(GRACEFUL, 3)
    return host


def extended(answer: dhcp6.Message) -> dhcp6.Message:
    """Return ``answer`` with everything else in it that a server might say."""
    service = OnDemand.of(answer)
    assert service is not None
    [ia] = answer.every(IaPd)
    more = (
        *service.sub_options,
        Refusal(ia.iaid + 1, RefusalReason.SIGNATURE_OR_TIME),
        TimeAndLink(1, b"link two"),
    )
    others = tuple(option for option in answer.options if option != service.to_option())
    another = IaPd(ia.iaid + 1, 9, 5, (IaPrefix(9, 5, PREFIX), StatusCode(Status.NO_BINDING)))
    body = (*others, another, Preference(255), OnDemand(more).to_option())
    return dhcp6.Message(answer.type, answer.transaction_id, body)


def receive(host: Host, data: bytes) -> None:
    """Take in a datagram as the daemon does."""
    try:
        message = dhcp6.decode_message(data)
        if isinstance(message, dhcp6.Message):
            host.answer(WL0, message)
    except WireError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1), edits, edits, st.booleans(), st.sampled_from([2, 7]))
def test_mutated_replies(which: int, first: Edits, second: Edits, more: bool, kind: int) -> None:
    host = busy_host()
    interface, asked = host.network.heard[-1 - which]
    host.network.silent = set()
    answer = host.network.answer(interface, asked)
    assert answer is not None
    if more:
        answer = extended(answer)
    # Transaction id and client id stay, or nothing further would be looked at.
    good = bytes([kind]) + answer.encode()[1:]
    for changes in (first, second):
        receive(host, edited(good, changes, 26))
    host.advance(100)


@settings(max_examples=200, deadline=None)
@given(edits, edits)
def test_mutated_advertisements(first: Edits, second: Edits) -> None:
    host = busy_host()
    for changes in (first, second):
        try:
            message = nd.decode_message(edited(ADVERTISEMENT, changes, 4))
        except WireError:
            continue
        if isinstance(message, nd.RouterAdvertisement):
            host.hear(message)
    host.advance(100)
