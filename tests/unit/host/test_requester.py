from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from random import Random

import pytest

from moorage.host.outcome import (
    Association,
    Granted,
    Lost,
    NotUnderstood,
    Outcome,
    Refused,
    Released,
)
from moorage.host.requester import Requester
from moorage.host.transmission import Transmission
from moorage.identity import NO_LINK
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    ElapsedTime,
    IaPd,
    IaPrefix,
    InfMaxRt,
    Message,
    MessageType,
    NetworkPolicy,
    OnDemand,
    Option,
    OptionRequest,
    PathMtu,
    Preference,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServerId,
    ServiceTypeOf,
    Status,
    StatusCode,
    SubOption,
    TimeAndLink,
    VendorOpts,
)
from moorage.wire.errors import WireError
from tests.scripted import DOMAIN, DUID, SERVER, WL0, WL1

ROUTER = IPv6Address("fe80::a1")
PREFIX = IPv6Network("2001:db8:a0:1::/64")
OTHER = IPv6Network("2001:db8:a0:2::/64")
NEW = Association(7, ServiceType.SESSION_LASTING)
HELD = Association(7, ServiceType.SESSION_LASTING, PREFIX)
HELD_TOO = Association(8, ServiceType.FIXED, OTHER)
CLIENT = DUID + DOMAIN
LINK = b"a link 1"
TYPE = ServiceTypeOf(7, ServiceType.SESSION_LASTING)
GIVEN = IaPd(7, 600, 1200, (IaPrefix(3600, 7200, PREFIX),))
FULL = IaPd(7, 0, 0, (StatusCode(Status.NO_PREFIX_AVAIL),))
BETTER, WORSE = b"\0\3better", b"\0\3worse"


class Bench:
    """A requester on a clock turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.requester = Requester(lambda domain: DUID + domain, Random(4))

    def start(self, kind: MessageType, *which: Association, server: bytes | None = None) -> Message:
        self.requester.start(kind, WL0, which, self.now, urgent=True, server=server, domain=DOMAIN)
        return self.sent()

    def poll(self) -> list[Transmission]:
        return self.requester.poll(self.now)

    def sent(self) -> Message:
        [transmission] = self.poll()
        return transmission.message

    def wait(self) -> Transmission:
        """Return what is sent next, when it is due."""
        due = self.requester.next_timer()
        assert due is not None
        assert due > self.now
        self.now = due
        assert self.requester.settle(due) == []
        [transmission] = self.poll()
        return transmission

    def settle(self) -> list[Outcome]:
        """Return what is decided when the time to collect offers is over."""
        due = self.requester.next_timer()
        assert due is not None
        assert due > self.now
        self.now = due
        return self.requester.settle(self.now)

    def receive(self, message: Message, interface: int = WL0) -> list[Outcome]:
        return self.requester.receive(interface, ROUTER, message, self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def answer(
    to: Message,
    *options: Option,
    ours: tuple[SubOption, ...] | None = (TYPE,),
    kind: MessageType = MessageType.REPLY,
) -> Message:
    service: list[Option] = [] if ours is None else [OnDemand(ours).to_option()]
    if kind is MessageType.REPLY and to.first(RapidCommit) is not None:
        service.append(RapidCommit())
    return Message(
        kind, to.transaction_id, (ClientId(CLIENT), ServerId(SERVER), *options, *service)
    )


def advertise(
    solicit: Message,
    server: bytes,
    *options: Option,
    preference: int = 0,
    ours: tuple[SubOption, ...] | None = (TYPE,),
) -> Message:
    message = answer(
        solicit, *options, Preference(preference), ours=ours, kind=MessageType.ADVERTISE
    )
    return replace(message, options=(ClientId(CLIENT), ServerId(server), *message.options[2:]))


def test_solicit(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    assert solicit.type is MessageType.SOLICIT
    assert solicit.first(ClientId) == ClientId(CLIENT)
    assert solicit.first(ElapsedTime) == ElapsedTime(0)
    assert solicit.first(RapidCommit) is not None
    assert solicit.first(ServerId) is None
    wanted = solicit.first(OptionRequest)
    assert wanted is not None
    assert VendorOpts.option_code in wanted.codes
    hint = IaPrefix(0, 0, IPv6Network("::/64"))
    assert solicit.every(IaPd) == (IaPd(7, 0, 0, (hint,)),)
    assert OnDemand.of(solicit) == OnDemand((TYPE,))


def test_reply_to_solicit(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    reply = answer(solicit, GIVEN, ours=(TYPE, PathMtu(7, 1400)))
    assert bench.receive(reply) == [
        Granted(
            NEW,
            WL0,
            ROUTER,
            SERVER,
            PREFIX,
            preferred=3600,
            valid=7200,
            t1=600,
            t2=1200,
            type=ServiceType.SESSION_LASTING,
            mtu=1400,
        )
    ]
    assert bench.requester.next_timer() is None
    assert bench.receive(reply) == []


def test_advertise_with_the_highest_preference_is_requested_at_once(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    offer = answer(solicit, GIVEN, Preference(255), kind=MessageType.ADVERTISE)
    assert bench.receive(offer) == []
    request = bench.sent()
    assert request.type is MessageType.REQUEST
    assert request.first(ServerId) == ServerId(SERVER)
    assert request.first(RapidCommit) is None
    [granted] = bench.receive(answer(request, GIVEN))
    assert isinstance(granted, Granted)


def test_other_advertises_are_collected_for_the_first_timeout(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    for server, preference in ((SERVER, 0), (BETTER, 9), (WORSE, 8)):
        assert bench.receive(advertise(solicit, server, GIVEN, preference=preference)) == []
        assert bench.poll() == []
    request = bench.wait().message
    assert request.type is MessageType.REQUEST
    assert request.first(ServerId) == ServerId(BETTER)
    assert request.transaction_id != solicit.transaction_id


def test_an_advertise_after_the_first_timeout_is_taken_at_once(bench: Bench) -> None:
    bench.start(MessageType.SOLICIT, NEW)
    again = bench.wait().message
    assert bench.receive(advertise(again, SERVER, GIVEN)) == []
    assert bench.sent().type is MessageType.REQUEST


def test_a_server_that_knows_us_is_taken_before_one_that_is_preferred(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    bench.receive(advertise(solicit, BETTER, GIVEN, preference=255, ours=None))
    assert bench.poll() == []
    bench.receive(advertise(solicit, SERVER, GIVEN))
    assert bench.wait().message.first(ServerId) == ServerId(SERVER)


def test_a_refusal_is_no_end_while_others_may_give(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    assert bench.receive(advertise(solicit, BETTER, FULL, preference=255)) == []
    bench.receive(advertise(solicit, SERVER, GIVEN))
    assert bench.wait().message.first(ServerId) == ServerId(SERVER)


def test_nobody_gives(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    assert bench.receive(advertise(solicit, BETTER, GIVEN, ours=None)) == []
    assert bench.receive(advertise(solicit, SERVER, FULL)) == []
    assert bench.settle() == [Refused(NEW, WL0, RefusalReason.POOL_FULL)]
    assert bench.requester.next_timer() is None


def test_nobody_knows_the_service(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    assert bench.receive(advertise(solicit, BETTER, GIVEN, preference=255, ours=None)) == []
    assert bench.settle() == [NotUnderstood(NEW, WL0, BETTER, None, alone=True)]
    assert bench.requester.next_timer() is None


def test_somebody_else_on_the_link_knows_the_service(bench: Bench) -> None:
    bench.requester.link_heard(WL0, LINK, bench.now)
    solicit = bench.start(MessageType.SOLICIT, NEW)
    bench.receive(advertise(solicit, BETTER, GIVEN, ours=None))
    assert bench.settle() == []
    assert bench.sent().type is MessageType.SOLICIT


def test_request_without_an_answer_goes_back_to_solicit(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    bench.receive(answer(solicit, GIVEN, Preference(255), kind=MessageType.ADVERTISE))
    kinds = [bench.sent().type]
    while kinds[-1] is MessageType.REQUEST:
        kinds.append(bench.wait().message.type)
    assert kinds == [MessageType.REQUEST] * 10 + [MessageType.SOLICIT]


def test_rebind_carries_all_and_answers_may_come_in_parts(bench: Bench) -> None:
    rebind = bench.start(MessageType.REBIND, HELD, HELD_TOO)
    assert [ia.prefixes[0].prefix for ia in rebind.every(IaPd)] == [PREFIX, OTHER]
    assert rebind.first(ServerId) is None
    [first] = bench.receive(answer(rebind, GIVEN))
    assert first.association == HELD
    again = bench.wait().message
    assert again.transaction_id == rebind.transaction_id
    assert [ia.iaid for ia in again.every(IaPd)] == [8]


def test_lost_reply(bench: Bench) -> None:
    rebind = bench.start(MessageType.REBIND, HELD)
    started = bench.now
    again = bench.wait().message
    assert again.type is MessageType.REBIND
    assert again.transaction_id == rebind.transaction_id
    elapsed = again.first(ElapsedTime)
    assert elapsed == ElapsedTime(int((bench.now - started) * 100))
    assert bench.now - started <= 0.11
    [granted] = bench.receive(answer(again, GIVEN))
    assert isinstance(granted, Granted)


def test_release_ends_after_four_without_an_answer(bench: Bench) -> None:
    count = 1
    bench.requester.start(MessageType.RELEASE, WL0, [HELD], bench.now, server=SERVER, domain=DOMAIN)
    assert bench.sent().first(ServerId) == ServerId(SERVER)
    outcomes: list[Outcome] = []
    while (due := bench.requester.next_timer()) is not None:
        bench.now = due
        outcomes += bench.requester.settle(due)
        count += len(bench.poll())
    assert count == 4
    assert outcomes == [Released(HELD, WL0)]


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.NO_BINDING])
def test_release_ends_with_any_answer(bench: Bench, status: Status) -> None:
    release = bench.start(MessageType.RELEASE, HELD, server=SERVER)
    gone = IaPd(7, 0, 0, (StatusCode(status),))
    assert bench.receive(answer(release, gone, StatusCode(status))) == [Released(HELD, WL0)]
    assert bench.requester.next_timer() is None


def test_refusal_for_the_signature_is_signed_again_at_once_and_once(bench: Bench) -> None:
    rebind = bench.start(MessageType.REBIND, HELD)
    refused = answer(
        rebind,
        IaPd(7, 0, 0, (StatusCode(Status.NO_PREFIX_AVAIL),)),
        ours=(
            TYPE,
            Refusal(7, RefusalReason.SIGNATURE_OR_TIME),
            TimeAndLink(5_000_000, LINK),
        ),
    )
    assert bench.receive(refused) == []
    [again] = bench.poll()
    assert again.link_id == LINK
    assert again.network_time is not None
    assert (again.network_time.time, again.network_time.heard) == (5_000_000, bench.now)
    assert bench.receive(answer(rebind, GIVEN)) == []  # of another router, which serves no longer
    refused = replace(refused, transaction_id=again.message.transaction_id)
    assert bench.receive(refused) == [Refused(HELD, WL0, RefusalReason.SIGNATURE_OR_TIME)]
    assert bench.poll() == []


def test_refusal_for_another_reason(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    refused = answer(solicit, ours=(TYPE, Refusal(7, RefusalReason.QUOTA)))
    assert bench.receive(refused) == [Refused(NEW, WL0, RefusalReason.QUOTA)]


@pytest.mark.parametrize(
    ("body", "forgotten"),
    [((StatusCode(Status.NO_BINDING),), True), ((IaPrefix(0, 0, PREFIX),), False)],
    ids=["NoBinding", "lifetimes 0"],
)
def test_lost(bench: Bench, body: tuple[Option, ...], forgotten: bool) -> None:
    bench.requester.link_heard(WL0, LINK, bench.now)
    rebind = bench.start(MessageType.REBIND, HELD)
    assert bench.receive(answer(rebind, IaPd(7, 0, 0, body))) == [Lost(HELD, WL0, forgotten)]


def test_a_loss_is_not_believed_before_the_network_says_which_one_it_is(bench: Bench) -> None:
    rebind = bench.start(MessageType.REBIND, HELD_TOO, HELD)
    gone = IaPd(7, 0, 0, (StatusCode(Status.NO_BINDING),))
    served = IaPd(8, 600, 1200, (IaPrefix(3600, 7200, OTHER),))
    [granted] = bench.receive(answer(rebind, gone, served))
    assert granted.association == HELD_TOO
    bench.requester.link_heard(WL0, LINK, bench.now)
    again = bench.sent()
    assert bench.receive(answer(again, gone)) == [Lost(HELD, WL0, forgotten=True)]


def test_another_prefix_gone_beside_ours(bench: Bench) -> None:
    rebind = bench.start(MessageType.REBIND, HELD)
    body = (IaPrefix(0, 0, OTHER), IaPrefix(3600, 7200, PREFIX))
    [granted] = bench.receive(answer(rebind, IaPd(7, 1, 2, body)))
    assert isinstance(granted, Granted)
    assert granted.prefix == PREFIX


def test_reply_without_our_option(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    found = bench.receive(answer(solicit, GIVEN, ours=None))
    assert found == [NotUnderstood(NEW, WL0, SERVER, PREFIX, alone=True)]


def test_no_binding_without_our_option_is_no_loss(bench: Bench) -> None:
    """A plain DHCPv6 server on a foreign link must not end what another network gave."""
    rebind = bench.start(MessageType.REBIND, HELD)
    nothing = IaPd(7, 0, 0, (StatusCode(Status.NO_BINDING),))
    found = bench.receive(answer(rebind, nothing, ours=None))
    assert found == [NotUnderstood(HELD, WL0, SERVER, None, alone=True)]
    [granted] = bench.receive(answer(rebind, GIVEN))
    assert isinstance(granted, Granted)


def test_prefix_of_a_plain_server_beside_ours_is_handed_back(bench: Bench) -> None:
    bench.requester.link_heard(WL0, LINK, bench.now)
    solicit = bench.start(MessageType.SOLICIT, NEW)
    found = bench.receive(answer(solicit, GIVEN, ours=None))
    assert found == [NotUnderstood(NEW, WL0, SERVER, PREFIX, alone=False)]
    bench.requester.hand_back(WL0, DOMAIN, HELD, BETTER, bench.now)
    assert bench.sent().type is MessageType.RELEASE
    assert bench.requester.pending(7) == (MessageType.SOLICIT, WL0)
    [granted] = bench.receive(answer(solicit, GIVEN))
    assert isinstance(granted, Granted)


def test_reply_to_a_solicit_without_rapid_commit_is_ignored(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    reply = answer(solicit, GIVEN)
    assert bench.receive(replace(reply, options=reply.options[:-1])) == []
    assert len(bench.receive(reply)) == 1


def test_what_is_not_for_us_is_ignored(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    good = answer(solicit, GIVEN)
    due = bench.requester.next_timer()
    wrong_id = replace(good, transaction_id=good.transaction_id ^ 1)
    other_client = replace(good, options=(ClientId(CLIENT + b"x"), *good.options[1:]))
    no_client = replace(good, options=good.options[1:])
    no_server = replace(good, options=(good.options[0], *good.options[2:]))
    not_an_answer = replace(good, type=MessageType.SOLICIT)
    for message in (wrong_id, other_client, no_client, no_server, not_an_answer):
        assert bench.receive(message) == []
    assert bench.receive(good, WL1) == []
    assert bench.requester.next_timer() == due
    assert len(bench.receive(good)) == 1


def test_reply_about_other_associations_only(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    assert bench.receive(answer(solicit, replace(GIVEN, iaid=99))) == []
    assert bench.requester.pending(7) == (MessageType.SOLICIT, WL0)


def test_malformed_option_of_ours(bench: Bench) -> None:
    solicit = bench.start(MessageType.SOLICIT, NEW)
    twice = answer(solicit, GIVEN, OnDemand(()).to_option())
    with pytest.raises(WireError):
        bench.receive(twice)


def test_an_association_is_in_one_exchange_only(bench: Bench) -> None:
    bench.start(MessageType.REBIND, HELD, HELD_TOO)
    renew = bench.start(MessageType.RENEW, HELD, server=SERVER)
    assert bench.requester.pending(7) == (MessageType.RENEW, WL0)
    assert bench.requester.pending(8) == (MessageType.REBIND, WL0)
    bench.requester.cancel([7])
    assert bench.requester.pending(7) is None
    assert bench.receive(answer(renew, GIVEN)) == []


def test_signatures_name_the_link_that_was_heard_and_never_the_one_before(bench: Bench) -> None:
    bench.requester.link_heard(WL0, LINK, bench.now)
    bench.requester.start(MessageType.REBIND, WL0, [HELD], bench.now, domain=DOMAIN)
    assert [t.link_id for t in bench.poll()] == [LINK]
    bench.requester.link_lost(WL0)
    assert bench.requester.pending(7) is None
    bench.requester.start(MessageType.REBIND, WL0, [HELD], bench.now, domain=DOMAIN)
    assert [t.link_id for t in bench.poll()] == [NO_LINK]


def test_never_more_than_ten_a_second_on_a_link(bench: Bench) -> None:
    for number in range(25):
        association = Association(number, ServiceType.FIXED)
        bench.requester.start(MessageType.SOLICIT, WL0, [association], bench.now, domain=DOMAIN)
    assert len(bench.poll()) == 10
    bench.requester.start(
        MessageType.SOLICIT, WL1, [Association(99, ServiceType.FIXED)], bench.now, domain=DOMAIN
    )
    assert [t.interface for t in bench.poll()] == [WL1]
    due = bench.requester.next_timer()
    assert due is not None
    assert due > bench.now


# ---- what the network dictates ------------------------------------------------------------------

DICTATED = NetworkPolicy(frozenset({ServiceType.FIXED}), frozenset(), ServiceType.FIXED)


def asked(bench: Bench) -> Message:
    bench.requester.ask_policy(WL0, DOMAIN, bench.now)
    return bench.sent()


def test_a_question_for_policy_is_an_information_request(bench: Bench) -> None:
    assert not bench.requester.policy_known(WL0)
    message = asked(bench)
    assert message.type is MessageType.INFORMATION_REQUEST
    assert message.every(IaPd) == ()
    request = message.first(OptionRequest)
    assert request is not None
    assert request.codes == (VendorOpts.option_code, InfMaxRt.option_code)
    assert OnDemand.of(message) == OnDemand(())
    assert bench.receive(answer(message, ours=(DICTATED,))) == []
    assert bench.requester.policy_known(WL0)
    assert bench.requester.policy(WL0) == DICTATED
    assert bench.requester.next_timer() is None


def test_it_is_repeated_until_somebody_answers_who_knows_the_service(bench: Bench) -> None:
    message = asked(bench)
    bench.receive(answer(message, ours=None))
    assert not bench.requester.policy_known(WL0)
    again = bench.wait().message
    assert again.type is MessageType.INFORMATION_REQUEST
    bench.receive(answer(again, ours=()))
    assert bench.requester.policy_known(WL0)
    assert bench.requester.policy(WL0) is None


def test_no_question_is_asked_while_another_answer_will_say_it(bench: Bench) -> None:
    message = bench.start(MessageType.SOLICIT, NEW)
    bench.requester.ask_policy(WL0, DOMAIN, bench.now)
    assert bench.poll() == []
    bench.receive(answer(message, RapidCommit(), GIVEN, ours=(TYPE, DICTATED)))
    assert bench.requester.policy(WL0) == DICTATED


def test_a_question_stands_beside_whatever_is_asked_later(bench: Bench) -> None:
    question = asked(bench)
    bench.start(MessageType.SOLICIT, NEW)
    bench.receive(answer(question, ours=(DICTATED,)))
    assert bench.requester.policy(WL0) == DICTATED
    assert bench.requester.pending(7) == (MessageType.SOLICIT, WL0)


def test_the_last_answer_counts_until_the_link_is_lost(bench: Bench) -> None:
    bench.receive(answer(asked(bench), ours=(DICTATED,)))
    bench.receive(answer(bench.start(MessageType.REBIND, HELD), GIVEN))
    assert bench.requester.policy_known(WL0)
    assert bench.requester.policy(WL0) is None
    bench.requester.link_lost(WL0)
    assert not bench.requester.policy_known(WL0)
