"""IPV6_ADDR_PREFERENCES beside ``setsc()``, on this kernel and on one that keeps the flag."""

from __future__ import annotations

import asyncio
import errno
import socket
import warnings
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

import pytest

import moorage
from moorage import aio
from tests.hooked import HookedSocket
from tests.small_daemon import FIXED, LOOPBACK, Start, gives

PREFERENCES = (socket.IPPROTO_IPV6, moorage.IPV6_ADDR_PREFERENCES)
TEMPORARY = 0x0001  # IPV6_PREFER_SRC_TMP


@pytest.fixture
def hooked() -> Iterator[HookedSocket]:
    with HookedSocket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        yield sock


# ---- the draft's flag --------------------------------------------------------------------------


def test_that_the_kernel_drops_the_flag_is_told(sock: socket.socket) -> None:
    before = sock.getsockopt(*PREFERENCES)
    with pytest.raises(moorage.FlagNotKept, match="on_net=True") as caught:
        moorage.require_src_on_net(sock)
    assert caught.value.errno == errno.EOPNOTSUPP
    assert sock.getsockopt(*PREFERENCES) == before


def test_a_kernel_that_keeps_the_flag(hooked: socket.socket, start: Start) -> None:
    daemon = start(gives(LOOPBACK))
    moorage.setsc(hooked, FIXED)
    moorage.require_src_on_net(hooked)
    assert hooked.getsockopt(*PREFERENCES) & moorage.IPV6_REQUIRE_SRC_ON_NET
    moorage.setsc(hooked, FIXED)
    moorage.require_src_on_net(hooked, False)
    moorage.setsc(hooked, FIXED)
    assert [request.on_net for request in daemon.requests] == [False, True, False]


def test_the_draft_sets_the_flag_by_itself(hooked: socket.socket, start: Start) -> None:
    daemon = start(gives(LOOPBACK))
    hooked.setsockopt(*PREFERENCES, moorage.IPV6_REQUIRE_SRC_ON_NET)
    moorage.setsc(hooked, FIXED)
    assert [request.on_net for request in daemon.requests] == [True]


def test_other_flags_stay(hooked: socket.socket) -> None:
    hooked.setsockopt(*PREFERENCES, TEMPORARY)
    moorage.require_src_on_net(hooked)
    assert hooked.getsockopt(*PREFERENCES) & TEMPORARY
    moorage.require_src_on_net(hooked, False)
    assert hooked.getsockopt(*PREFERENCES) & TEMPORARY


def test_resetting_works_on_every_kernel(sock: socket.socket) -> None:
    moorage.require_src_on_net(sock, False)


def test_only_ipv6_sockets_have_the_flag() -> None:
    with socket.socket(socket.AF_INET) as sock, pytest.raises(OSError, match="not supported"):
        moorage.require_src_on_net(sock)


# ---- flags of RFC 5014 -------------------------------------------------------------------------


def blocking(sock: socket.socket) -> IPv6Address:
    return moorage.setsc(sock, FIXED)


async def in_loop(sock: socket.socket) -> IPv6Address:
    return await aio.setsc(sock, FIXED)


def awaiting(sock: socket.socket) -> IPv6Address:
    return asyncio.run(in_loop(sock))


@pytest.mark.parametrize("ask", [blocking, awaiting])
def test_a_warning_once_a_socket(
    ask: Callable[[socket.socket], IPv6Address], sock: socket.socket, start: Start
) -> None:
    start(gives(LOOPBACK))
    sock.setsockopt(*PREFERENCES, TEMPORARY)
    with pytest.warns(moorage.AddressPreferencesWarning, match="0x401") as warned:
        assert ask(sock) == LOOPBACK
    assert [each.filename for each in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(sock) == LOOPBACK
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(*PREFERENCES, TEMPORARY)
        with pytest.warns(moorage.AddressPreferencesWarning):
            ask(other)


def test_no_warning_without_such_flags(
    sock: socket.socket, hooked: socket.socket, start: Start
) -> None:
    start(gives(LOOPBACK))
    moorage.require_src_on_net(hooked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (sock, hooked):
            moorage.setsc(each, FIXED)
