"""What the host daemon shows of itself, its metrics, and why, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network

import pytest
from msgspec.structs import replace
from prometheus_client import generate_latest

from moorage.host import view, why
from moorage.host.caller import Caller
from moorage.host.events import AddressServed, LinkAttached
from moorage.host.metrics import HostMetrics
from moorage.host.survey import SocketView
from moorage.kernel.processes import Process
from moorage.management.metrics import new_registry
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType
from tests.scripted import CALLER, FIXED, LASTING, USER, WL0, WL1, Host, config, slaac

HERE, THERE = b"link-001", b"link-002"
SLAAC = IPv6Network("2001:db8:1::/64")
NOTHING: Mapping[IPv6Address, int] = {}


@pytest.fixture
def host() -> Host:
    made = Host()
    made.attach(WL0, heard=HERE)
    return made


def socket_on(address: IPv6Address, cookie: int) -> SocketView:
    process = Process(CALLER.pid, CALLER.uid, "a program")
    return SocketView("", "tcp", "bound", address, 4711, "", 0, [process], cookie)


def test_links_are_shown_in_the_order_of_the_configuration(host: Host) -> None:
    host.ask(LASTING)
    host.advance(5)
    [first, second] = view.links(host.core.known, host.now)
    assert (first.interface, first.state, first.service) == ("wl0", "serving", "yes")
    assert first.attached_for == 5
    assert first.link_id == HERE.hex()
    assert first.offered == sorted(kind.slug for kind in ServiceType)
    assert (second.interface, second.state) == ("wl1", "detached")


def test_an_address_is_shown_with_its_lifetimes_and_its_bytes(host: Host) -> None:
    address = host.ask(LASTING).address
    host.advance(100)
    [shown] = view.addresses(host.core.known, [], {address: 42}, host.now)
    assert (shown.address, shown.type, shown.state) == (address, LASTING.slug, "in use")
    assert (shown.reach, shown.interface, shown.mtu) == ("served", "wl0", 1400)
    assert (shown.sockets, shown.sent, shown.kept) == (1, 42, False)
    assert (shown.preferred_for, shown.valid_for) == (3500, 7100)
    assert shown.released_in is None
    host.close(1)
    host.advance(10)
    [shown] = view.addresses(host.core.known, [], NOTHING, host.now)
    assert (shown.state, shown.released_in, shown.sent) == ("lingering", 20, None)


def test_what_the_network_has_not_answered_is_shown_without_an_address(host: Host) -> None:
    host.network.silent = {WL0}
    host.setsc(FIXED)
    [shown] = view.addresses(host.core.known, [], NOTHING, host.now)
    assert (shown.address, shown.type, shown.state) == (None, "fixed", "requested")
    assert view.status(host.core.known, 0.0, host.now, Counter()).waiting == 1


def test_an_ordinary_address_is_shown_as_the_kernel_has_it_now(host: Host) -> None:
    host.do(host.core.address_changed(slaac(WL0, SLAAC), host.now))
    now = slaac(WL0, SLAAC, valid=1234)
    [shown] = view.addresses(host.core.known, [now], NOTHING, host.now)
    assert (shown.address, shown.state, shown.valid_for) == (now.address, "ordinary", 1234)
    assert view.status(host.core.known, 0.0, host.now, {}).addresses["non-persistent"] == 1


def test_a_handoff_counts_once_from_the_link_to_the_first_reply(host: Host) -> None:
    metrics = HostMetrics(host.core.known, dict, {})
    served = [
        AddressServed(SLAAC[1], kind, SLAAC, "wl1", SLAAC[2], True, 1.0, 2.0)
        for kind in (FIXED, LASTING)
    ]
    metrics.told(LinkAttached("wl1"), 10.0)
    for event in served:
        metrics.told(event, 10.003)
    metrics.told(served[0], 99.0)  # for longer, on the same link
    text = generate_latest(new_registry(metrics.look)).decode()
    assert "moorage_host_handoff_seconds_count 1.0" in text
    assert 'moorage_host_handoff_seconds_bucket{le="0.005"} 1.0' in text


def test_metrics_show_what_is_and_what_was_counted(host: Host) -> None:
    address = host.ask(LASTING).address
    metrics = HostMetrics(host.core.known, lambda: {address: 7}, {"nonsense": 3})
    metrics.answered(Reason.NONE)
    metrics.answered(Reason.HOST_QUOTA)
    metrics.sent(MessageType.SOLICIT)
    metrics.received(MessageType.REPLY)
    shown = generate_latest(new_registry(metrics.look)).decode().splitlines()
    for line in (
        'moorage_host_addresses{state="in use",type="session-lasting"} 1.0',
        'moorage_host_sockets{type="session-lasting"} 1.0',
        'moorage_host_sockets{type="fixed"} 0.0',
        'moorage_host_sent_bytes{type="session-lasting"} 7.0',
        'moorage_host_requests_total{result="granted"} 1.0',
        'moorage_host_requests_total{result="host-quota"} 1.0',
        'moorage_host_dhcp_messages_total{direction="sent",type="solicit"} 1.0',
        'moorage_host_dhcp_messages_total{direction="received",type="reply"} 1.0',
        'moorage_host_dropped_total{kind="nonsense"} 3.0',
    ):
        assert line in shown


def nobody(_: int) -> None:
    """No process is of a program with a type by default."""


def test_why_joins_a_socket_with_its_address_and_its_request(host: Host) -> None:
    address = host.ask(LASTING, 5).address
    host.advance(3)
    addresses = view.addresses(host.core.known, [], NOTHING, host.now)
    asked, bound = socket_on(address, 5), socket_on(address, 6)
    shown = why.of_sockets(host.core.known, [asked, bound], addresses, nobody, host.now)
    [with_request, without] = shown.uses
    assert with_request.request is not None
    assert (with_request.request.pid, with_request.request.ago) == (CALLER.pid, 3)
    assert with_request.request.answer == why.AnswerView(address, 7200, "")
    assert without.request is None


def test_why_knows_who_was_run_with_addresses_by_default(host: Host) -> None:
    reply = host.run("sh", LASTING)
    assert reply is not None
    addresses = view.addresses(host.core.known, [], NOTHING, host.now)
    child = Process(4713, CALLER.uid, "curl")
    theirs = replace(socket_on(reply.address, 6), processes=[child])
    others = socket_on(reply.address, 7)

    def program_of(pid: int) -> Caller | None:
        return CALLER if pid == child.pid else None

    shown = why.of_sockets(host.core.known, [theirs, others], addresses, program_of, host.now)
    [chosen, bound] = shown.uses
    assert chosen.request is not None
    assert (chosen.request.pid, chosen.request.cookie) == (CALLER.pid, None)
    assert bound.request is None


def test_why_tells_a_process_what_it_may_have_and_what_became_of_its_requests() -> None:
    host = Host(config=config())
    host.attach(WL0, heard=HERE)
    assert host.ask(FIXED, 9, caller=USER).reason is Reason.HOST_NOT_AUTHORISED
    process = Process(USER.pid, USER.uid, "a program")
    shown = why.of_process(host.core.known, process, USER, [], [], nobody, host.now)
    assert "fixed" not in shown.permitted
    assert [step.about for step in shown.policy][:2] == ["rule", "type"]
    [request] = shown.requests
    assert request.steps[-1].refused
    assert request.answer is not None
    assert "this host does not allow it" in request.answer.error


def test_why_knows_a_later_process_with_the_same_number(host: Host) -> None:
    host.ask(LASTING, None)
    later = CALLER.__class__(CALLER.pid, 2, CALLER.uid, CALLER.gids)
    process = Process(CALLER.pid, CALLER.uid, "another program")
    assert why.of_process(host.core.known, process, later, [], [], nobody, host.now).requests == []


def test_a_requested_address_on_a_newer_link_is_tried_there(host: Host) -> None:
    host.ask(LASTING)
    host.network.silent = {WL1}
    host.advance(5)
    host.attach(WL1, heard=THERE)
    states = {link.interface: link.state for link in view.links(host.core.known, host.now)}
    assert states == {"wl0": "serving", "wl1": "trying"}
