"""Row by row: what each message may contain, and what is done when it does not.

The two tables of RFC 8415 appendix B are here as they are printed there, so that a slip in ours is
seen; what makes a message be discarded is written down from section 16.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.router.validation import (
    MESSAGES,
    OPTIONS,
    REPEATABLE,
    SERVER_UNICAST,
    UNICAST,
    Discarded,
    Unicast,
    admit,
)
from moorage.wire.dhcp6 import (
    Authentication,
    ClientId,
    ElapsedTime,
    IaAddr,
    IaNa,
    IaPd,
    IaPrefix,
    IaTa,
    InfMaxRt,
    InformationRefreshTime,
    InterfaceId,
    Message,
    MessageType,
    Option,
    OptionRequest,
    Preference,
    PrefixExclude,
    RapidCommit,
    ReconfigureAccept,
    ReconfigureMessage,
    RelayMessageOption,
    ServerId,
    SolMaxRt,
    StatusCode,
    UnknownOption,
    UserClass,
    VendorClass,
    VendorOpts,
    decode_message,
)

US = b"\x00\x04the server of this link"
CLIENT = ClientId(b"\x00\x03\x00\x01client")
OURS, ANOTHERS = ServerId(US), ServerId(b"\x00\x03another")

ROWS = {
    "Solicit": MessageType.SOLICIT,
    "Advert.": MessageType.ADVERTISE,
    "Request": MessageType.REQUEST,
    "Confirm": MessageType.CONFIRM,
    "Renew": MessageType.RENEW,
    "Rebind": MessageType.REBIND,
    "Decline": MessageType.DECLINE,
    "Release": MessageType.RELEASE,
    "Reply": MessageType.REPLY,
    "Reconf.": MessageType.RECONFIGURE,
    "Inform.": MessageType.INFORMATION_REQUEST,
}

APPENDIX_B = (
    (
        "Client Server IA_NA IA_TA IA_PD ORO Pref Elapsed Relay Auth Unicast",
        """
        Solicit   *  .  *  *  *  *  .  *  .  .  .
        Advert.   *  *  *  *  *  .  *  .  .  .  .
        Request   *  *  *  *  *  *  .  *  .  .  .
        Confirm   *  .  *  *  .  .  .  *  .  .  .
        Renew     *  *  *  *  *  *  .  *  .  .  .
        Rebind    *  .  *  *  *  *  .  *  .  .  .
        Decline   *  *  *  *  *  .  .  *  .  .  .
        Release   *  *  *  *  *  .  .  *  .  .  .
        Reply     *  *  *  *  *  .  .  .  .  *  *
        Reconf.   *  *  .  .  .  .  .  .  .  *  .
        Inform.   *  *  .  .  .  *  .  *  .  .  .
        """,
    ),
    (
        "Status Rapid User Vendor VendorOpts Interface ReconfMsg ReconfAccept Refresh Sol Inf",
        """
        Solicit   .  *  *  *  *  .  .  *  .  .  .
        Advert.   *  .  *  *  *  .  .  *  .  *  .
        Request   .  .  *  *  *  .  .  *  .  .  .
        Confirm   .  .  *  *  *  .  .  .  .  .  .
        Renew     .  .  *  *  *  .  .  *  .  .  .
        Rebind    .  .  *  *  *  .  .  *  .  .  .
        Decline   .  .  *  *  *  .  .  .  .  .  .
        Release   .  .  *  *  *  .  .  .  .  .  .
        Reply     *  *  *  *  *  .  .  *  *  *  *
        Reconf.   .  .  .  .  .  .  *  .  .  .  .
        Inform.   .  .  *  *  *  .  .  *  .  .  .
        """,
    ),
)

SAMPLES: dict[str, Option] = {
    "Client": CLIENT,
    "Server": OURS,
    "IA_NA": IaNa(1, 0, 0),
    "IA_TA": IaTa(1),
    "IA_PD": IaPd(1, 0, 0),
    "ORO": OptionRequest((17,)),
    "Pref": Preference(1),
    "Elapsed": ElapsedTime(0),
    "Relay": RelayMessageOption(b""),
    "Auth": Authentication(3, 1, 0, 0, b""),
    "Unicast": UnknownOption(SERVER_UNICAST, bytes(16)),
    "Status": StatusCode(0),
    "Rapid": RapidCommit(),
    "User": UserClass((b"u",)),
    "Vendor": VendorClass(1, (b"v",)),
    "VendorOpts": VendorOpts(1, ()),
    "Interface": InterfaceId(b"i"),
    "ReconfMsg": ReconfigureMessage(5),
    "ReconfAccept": ReconfigureAccept(),
    "Refresh": InformationRefreshTime(600),
    "Sol": SolMaxRt(60),
    "Inf": InfMaxRt(60),
}

NEEDS: dict[MessageType, tuple[Option, ...]] = {
    MessageType.SOLICIT: (CLIENT,),
    MessageType.REQUEST: (CLIENT, OURS),
    MessageType.CONFIRM: (CLIENT,),
    MessageType.RENEW: (CLIENT, OURS),
    MessageType.REBIND: (CLIENT,),
    MessageType.DECLINE: (CLIENT, OURS),
    MessageType.RELEASE: (CLIENT, OURS),
    MessageType.INFORMATION_REQUEST: (),
}
"""Section 16: without any of these a server discards the message."""

FATAL: dict[MessageType, tuple[str, ...]] = {
    MessageType.SOLICIT: ("Server",),
    MessageType.CONFIRM: ("Server",),
    MessageType.REBIND: ("Server",),
    MessageType.INFORMATION_REQUEST: ("IA_NA", "IA_TA", "IA_PD"),
}
"""Section 16: with any of these, too."""


def cells() -> list[tuple[MessageType, str, bool]]:
    """Message, option, and whether appendix B has a star there."""
    found = []
    for heading, rows in APPENDIX_B:
        for row in rows.strip().splitlines():
            name, *stars = row.split()
            for option, star in zip(heading.split(), stars, strict=True):
                found.append((ROWS[name], option, star == "*"))
    return found


FOR_SERVERS = [cell for cell in cells() if cell[0] in MESSAGES]


def judge(kind: MessageType, *options: Option) -> Message | None:
    """What is left of a message; None: it is discarded."""
    try:
        return admit(Message(kind, 1, options), US)
    except Discarded:
        return None


@pytest.mark.parametrize(
    ("kind", "name", "allowed"), FOR_SERVERS, ids=[f"{k.name}-{n}" for k, n, _ in FOR_SERVERS]
)
def test_every_cell(kind: MessageType, name: str, allowed: bool) -> None:
    option = SAMPLES[name]
    others = tuple(each for each in NEEDS[kind] if each.option_code != option.option_code)
    left = judge(kind, *others, option)
    if name in FATAL.get(kind, ()):
        assert left is None
    elif allowed:
        assert left == Message(kind, 1, (*others, option))
    else:
        assert left == Message(kind, 1, others)


def test_the_table_has_every_option_and_message_of_the_appendix() -> None:
    assert {SAMPLES[name].option_code for _, name, _ in cells()} == set(OPTIONS)
    assert {len(verdicts) for verdicts in OPTIONS.values()} == {len(MESSAGES)}
    assert set(UNICAST) == set(NEEDS) == set(MESSAGES)


@pytest.mark.parametrize(
    "kind", [kind for kind in ROWS.values() if kind not in MESSAGES], ids=lambda kind: kind.name
)
def test_messages_of_servers_are_discarded(kind: MessageType) -> None:
    assert judge(kind, CLIENT, OURS) is None


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.name)
def test_what_is_needed(kind: MessageType) -> None:
    needed = NEEDS[kind]
    assert judge(kind, *needed) is not None
    for missing in needed:
        assert judge(kind, *(each for each in needed if each is not missing)) is None


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.name)
def test_another_server_is_meant(kind: MessageType) -> None:
    assert judge(kind, CLIENT, ANOTHERS) is None


def test_an_information_request_may_name_us_or_nobody() -> None:
    kind = MessageType.INFORMATION_REQUEST
    assert judge(kind) is not None
    assert judge(kind, CLIENT) is not None
    assert judge(kind, OURS) is not None


@pytest.mark.parametrize("name", SAMPLES)
def test_what_may_come_once_and_what_more_often(name: str) -> None:
    option = SAMPLES[name]
    others: dict[str, Option] = {"IA_NA": IaNa(2, 0, 0), "IA_TA": IaTa(2), "IA_PD": IaPd(2, 0, 0)}
    again = others.get(name, option)
    left = judge(MessageType.REQUEST, *NEEDS[MessageType.REQUEST], option, again)
    starred = ("REQUEST", name, True) in {(k.name, n, a) for k, n, a in cells()}
    if starred:
        assert (left is not None) == (option.option_code in REPEATABLE)
    else:
        assert left == Message(MessageType.REQUEST, 1, NEEDS[MessageType.REQUEST])


@pytest.mark.parametrize("kind", [IaNa, IaPd])
def test_two_associations_of_one_name(kind: type[IaNa] | type[IaPd]) -> None:
    assert judge(MessageType.SOLICIT, CLIENT, kind(1, 0, 0), kind(1, 0, 0)) is None
    assert judge(MessageType.SOLICIT, CLIENT, kind(1, 0, 0), kind(2, 0, 0)) is not None
    assert judge(MessageType.SOLICIT, CLIENT, IaTa(1), IaTa(1)) is None
    # Addresses and prefixes have names of their own.
    assert judge(MessageType.SOLICIT, CLIENT, IaNa(1, 0, 0), IaPd(1, 0, 0)) is not None


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.name)
def test_what_nobody_knows_is_no_reason_to_discard(kind: MessageType) -> None:
    unknown = (UnknownOption(65_000, b"?"), UnknownOption(65_000, b"?"), VendorOpts(99, ()))
    assert judge(kind, *NEEDS[kind], *unknown) is not None


@pytest.mark.parametrize(
    ("kind", "fate"),
    [
        # Section 16.
        (MessageType.SOLICIT, Unicast.DISCARDED),
        (MessageType.CONFIRM, Unicast.DISCARDED),
        (MessageType.REBIND, Unicast.DISCARDED),
        (MessageType.INFORMATION_REQUEST, Unicast.DISCARDED),
        # Section 18.4.
        (MessageType.REQUEST, Unicast.USE_MULTICAST),
        (MessageType.RENEW, Unicast.USE_MULTICAST),
        (MessageType.RELEASE, Unicast.USE_MULTICAST),
        (MessageType.DECLINE, Unicast.USE_MULTICAST),
    ],
)
def test_sent_to_one_server_alone(kind: MessageType, fate: Unicast) -> None:
    assert UNICAST[kind] is fate


_ADDRESS = IaAddr(IPv6Address("::1"), 0, 0)
_PREFIX = IaPrefix(0, 0, IPv6Network("::/64"))
_INSIDE: list[Option] = [*SAMPLES.values(), _ADDRESS, _PREFIX, PrefixExclude(72, b"\xff")]

APPENDIX_C: dict[str, tuple[type[Option], ...]] = {
    "IA_NA": (IaAddr, StatusCode),
    "IA_PD": (IaPrefix, StatusCode),
    "IAADDR": (StatusCode,),
    "IAPREFIX": (StatusCode, PrefixExclude),
}
"""Which options are understood inside which (and RFC 6603 section 4.2)."""


@pytest.mark.parametrize("place", APPENDIX_C)
@pytest.mark.parametrize("option", _INSIDE, ids=lambda option: f"{option.option_code}")
def test_inside_other_options(place: str, option: Option) -> None:
    outer: dict[str, Option] = {
        "IA_NA": IaNa(1, 0, 0, (option,)),
        "IA_PD": IaPd(1, 0, 0, (option,)),
        "IAADDR": IaNa(1, 0, 0, (IaAddr(_ADDRESS.address, 0, 0, (option,)),)),
        "IAPREFIX": IaPd(1, 0, 0, (IaPrefix(0, 0, _PREFIX.prefix, (option,)),)),
    }
    message = Message(MessageType.SOLICIT, 1, (CLIENT, outer[place]))
    decoded = decode_message(message.encode())
    understood = isinstance(option, (*APPENDIX_C[place], UnknownOption))
    assert (decoded == message) == understood
