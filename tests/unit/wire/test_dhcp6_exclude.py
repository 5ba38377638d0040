from __future__ import annotations

from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.wire.dhcp6 import IaPd, IaPrefix, PrefixExclude, decode_options, encode_options
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KNOWN = decoders(PrefixExclude)

# The example of RFC 6603 section 4.2.
DELEGATED = IPv6Network("2001:db8:dead:bee0::/59")
EXCLUDED = IPv6Network("2001:db8:dead:beef::/64")
GOLDEN = bytes.fromhex(
    "0043"  # option-code: Prefix Exclude
    "0002"  # option-len 2
    "40"  # prefix-len 64
    "78"  # the five bits 01111 behind the /59, and three of padding
)


def test_golden() -> None:
    option = PrefixExclude.of(DELEGATED, EXCLUDED)
    assert encode_options([option]) == GOLDEN
    assert decode_options(GOLDEN, KNOWN) == (option,)
    assert option.within(DELEGATED) == EXCLUDED


def test_it_stands_in_an_ia_prefix() -> None:
    option = PrefixExclude.of(DELEGATED, EXCLUDED)
    ia = IaPd(1, 0, 0, (IaPrefix(1, 2, DELEGATED, (option,)),))
    assert IaPd.decode(ia.encode()) == ia


prefixes = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False),
    st.integers(0, 2**128 - 1),
    st.integers(0, 127),
)


@given(prefixes, st.data())
def test_every_part_of_every_prefix(delegated: IPv6Network, data: st.DataObject) -> None:
    length = data.draw(st.integers(delegated.prefixlen + 1, 128))
    offset = data.draw(st.integers(0, (1 << (128 - delegated.prefixlen)) - 1))
    start = int(delegated.network_address) + offset
    excluded = IPv6Network((start, length), strict=False)
    option = PrefixExclude.of(delegated, excluded)
    assert PrefixExclude.decode(option.encode()) == option
    assert option.within(delegated) == excluded


@pytest.mark.parametrize("excluded", [DELEGATED, "2001:db8::/64", "2001:db8:dead:bec0::/58"])
def test_what_is_no_part_cannot_be_excluded(excluded: str | IPv6Network) -> None:
    with pytest.raises(ValueError, match="no part"):
        PrefixExclude.of(DELEGATED, IPv6Network(excluded))


@pytest.mark.parametrize("body", ["", "40", "81ff", "40" + 17 * "00"])
def test_malformed(body: str) -> None:
    with pytest.raises(WireError):
        PrefixExclude.decode(bytes.fromhex(body))


@pytest.mark.parametrize("option", [PrefixExclude(59, b"\0"), PrefixExclude(64, b"\0\0")])
def test_what_does_not_fit_the_delegated_prefix(option: PrefixExclude) -> None:
    with pytest.raises(WireError):
        option.within(DELEGATED)
