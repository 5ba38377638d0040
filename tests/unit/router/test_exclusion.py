"""Prefix Exclude (RFC 6603): a part of the prefix stays with the link to its client."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from moorage.numbers import ROUTER_DOWN_TABLE
from moorage.router.anchors import Anchors
from moorage.router.inbox import Arrival
from moorage.router.mirror import Known
from moorage.router.paths import MAIN_TABLE, Paths
from moorage.router.settings import Dhcp
from moorage.store.model import BindingState
from moorage.wire.dhcp6 import (
    IaPd,
    IaPrefix,
    Message,
    MessageType,
    OptionRequest,
    PrefixExclude,
    RapidCommit,
    Status,
    decode_message,
)
from tests.domain import SOURCE, Client, Domain, association, ia, lease, two_routers

WISH = OptionRequest((PrefixExclude.option_code,))
HINT = IPv6Network("::/56")
INTERFACES = {"core0": 1, "acc0": 2}


def domain_of(exclude: int | None = 64, lengths: tuple[int, ...] = (64, 56)) -> Domain:
    return two_routers(dhcp=Dhcp(exclude=exclude), prefix_lengths=[*lengths], keyless="always")


def plain(domain: Domain) -> Client:
    return Client(domain.clock, None, speaks=False)


async def solicit(
    domain: Domain, *options: OptionRequest, hint: IPv6Network = HINT, rapid: bool = True
) -> IaPrefix:
    """What the first router gives to who asks for a prefix."""
    commit = [RapidCommit()] if rapid else []
    message = plain(domain).message(MessageType.SOLICIT, [ia(1, hint)], options=[*options, *commit])
    return lease(await plain(domain).ask(domain.sites[0], message))


def routes(domain: Domain, site: int) -> set[tuple[str, int, str | None]]:
    """Destination, table and next hop of what the binding needs at a router."""
    config = domain.sites[site].config
    known = next(iter(domain.sites[site].mirror.known()))
    routers = {each.config.id: each.config.router() for each in domain.sites}
    paths = Paths(
        config, INTERFACES, routers, Anchors([each.config.anchor() for each in domain.sites])
    )
    return {
        (str(route.destination), route.table, str(route.gateway) if route.gateway else None)
        for route in paths.of(Known(1, known.binding), {}).routes
        if route.interface == INTERFACES["acc0"]
    }


async def test_the_first_part_is_excluded_for_who_asks() -> None:
    domain = domain_of()
    for given in (await solicit(domain, WISH, rapid=False), await solicit(domain, WISH)):
        [option] = given.options
        assert option == PrefixExclude(64, b"\0")
        assert given.prefix.prefixlen == 56
    assert (await domain.binding()).excluded_prefix == IPv6Network((given.prefix[0], 64))


async def test_the_bytes_of_the_option() -> None:
    """Of 60 and 71 bits: eleven bits of the subnet take two octets (section 4.2)."""
    domain = domain_of(exclude=71, lengths=(60,))
    client = plain(domain)
    message = client.message(MessageType.SOLICIT, [ia(1, HINT)], options=[WISH, RapidCommit()])
    reply = await domain.sites[0].send(Arrival(message.encode(), SOURCE))
    assert reply is not None
    prefix = (await domain.binding()).prefix.network_address.packed
    option = bytes.fromhex("0043 0003 47 0000")
    inside = bytes.fromhex("00000e10 00001c20 3c") + prefix + option
    assert bytes.fromhex("001a") + len(inside).to_bytes(2, "big") + inside in reply
    decoded = decode_message(reply)
    assert isinstance(decoded, Message)


@pytest.mark.parametrize(
    ("exclude", "asks", "hint"),
    [
        (64, False, 56),
        (None, True, 56),
        # A part has to be smaller than the whole.
        (64, True, 64),
        (56, True, 56),
        (48, True, 56),
    ],
)
async def test_otherwise_the_prefix_is_whole(exclude: int | None, asks: bool, hint: int) -> None:
    domain = domain_of(exclude)
    wishes = [WISH] if asks else []
    given = await solicit(domain, *wishes, hint=IPv6Network(f"::/{hint}"))
    assert given.options == ()
    assert (await domain.binding()).excluded is None
    await domain.sites[0].look()
    assert {route[2] for route in routes(domain, 0)} == {str(SOURCE)}


async def test_the_part_is_on_the_link_and_the_rest_behind_the_client() -> None:
    domain = domain_of()
    prefix = (await solicit(domain, WISH)).prefix
    part = str(IPv6Network((prefix[0], 64)))
    await domain.sites[0].look()
    assert routes(domain, 0) == {
        (str(prefix), MAIN_TABLE, str(SOURCE)),
        (part, MAIN_TABLE, None),
    }
    client = plain(domain)
    rebind = client.message(MessageType.REBIND, [ia(1, prefix)], options=[WISH])
    [option] = lease(await client.ask(domain.sites[1], rebind)).options
    assert option == PrefixExclude(64, b"\0")
    for site in domain.sites:
        await site.look()
    assert routes(domain, 0) == set()
    assert routes(domain, 1) == {
        (destination, table, via)
        for destination, via in ((str(prefix), str(SOURCE)), (part, None))
        for table in (MAIN_TABLE, ROUTER_DOWN_TABLE)
    }


@pytest.mark.parametrize("before", [True, False])
async def test_every_renewal_decides_anew(before: bool) -> None:
    domain = domain_of()
    client, site = plain(domain), domain.sites[0]
    prefix = (await solicit(domain, *([WISH] if before else []))).prefix
    renew = client.message(
        MessageType.RENEW,
        [ia(1, prefix)],
        server=site.config.server_duid,
        options=[] if before else [WISH],
    )
    given = lease(await client.ask(site, renew))
    assert bool(given.options) is not before
    assert ((await domain.binding()).excluded is None) is before


@pytest.mark.parametrize(
    ("option", "released"),
    [
        (None, True),
        (PrefixExclude(64, b"\0"), True),
        (PrefixExclude(64, b"\1"), False),
        (PrefixExclude(60, b"\0"), False),
        (PrefixExclude(64, b"\0\0"), False),
    ],
)
async def test_a_release_names_no_other_part(option: PrefixExclude | None, released: bool) -> None:
    """Section 6.2: NoBinding, otherwise."""
    domain = domain_of()
    client, site = plain(domain), domain.sites[0]
    given = await solicit(domain, WISH)
    returned = replace(given, preferred=0, valid=0, options=(option,) if option else ())
    release = client.message(
        MessageType.RELEASE, [IaPd(1, 0, 0, (returned,))], server=site.config.server_duid
    )
    reply = await client.ask(site, release)
    if released:
        assert reply.every(IaPd) == ()
    else:
        status = association(reply).status
        assert status is not None
        assert status.code == Status.NO_BINDING
    assert ((await domain.binding()).state is BindingState.RELEASED) is released
