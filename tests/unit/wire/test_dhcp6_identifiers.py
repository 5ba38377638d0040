from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import DUID_UUID, DHCP6OptClientId, DHCP6OptServerId

from moorage.wire.dhcp6 import ClientId, ServerId, decode_options, encode_options
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KNOWN = decoders(ClientId, ServerId)

GOLDEN = bytes.fromhex(
    "0001"  # option-code: Client Identifier
    "0012"  # option-len 18
    "0004"  # DUID-UUID
    "00112233445566778899aabbccddeeff"  # UUID
    "0002"  # option-code: Server Identifier
    "0012"  # option-len 18
    "0004"  # DUID-UUID
    "ffeeddccbbaa99887766554433221100"  # UUID
)
CLIENT = ClientId(bytes.fromhex("000400112233445566778899aabbccddeeff"))
SERVER = ServerId(bytes.fromhex("0004ffeeddccbbaa99887766554433221100"))


def test_golden() -> None:
    assert encode_options([CLIENT, SERVER]) == GOLDEN
    assert decode_options(GOLDEN, KNOWN) == (CLIENT, SERVER)


def test_the_same_duid_is_not_the_same_option() -> None:
    assert len({ClientId(CLIENT.duid), ServerId(CLIENT.duid)}) == 2


def test_scapy_agrees() -> None:
    client = DUID_UUID(uuid="00112233-4455-6677-8899-aabbccddeeff")
    server = DUID_UUID(uuid="ffeeddcc-bbaa-9988-7766-554433221100")
    assert bytes(DHCP6OptClientId(duid=client) / DHCP6OptServerId(duid=server)) == GOLDEN
    parsed = DHCP6OptClientId(GOLDEN)
    assert bytes(parsed.duid) == CLIENT.duid
    assert bytes(parsed[DHCP6OptServerId].duid) == SERVER.duid


duids = st.binary(min_size=3, max_size=130)


@given(duids.map(ClientId) | duids.map(ServerId))
def test_everything_survives(option: ClientId | ServerId) -> None:
    assert decode_options(encode_options([option]), KNOWN) == (option,)


@pytest.mark.parametrize("option", [ClientId, ServerId])
@pytest.mark.parametrize("size", [0, 2, 131])
def test_length_that_no_duid_has_is_refused(
    option: type[ClientId] | type[ServerId], size: int
) -> None:
    with pytest.raises(WireError, match=f"{size} bytes"):
        option.decode(bytes(size))
    with pytest.raises(ValueError, match=f"{size} bytes") as caught:
        option(bytes(size)).encode()
    assert not isinstance(caught.value, WireError)
