"""sim.golden.packets: what goes in as bytes comes out as the same bytes, in the format the documents show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.common.noc import PACKET_FLITS, PAYLOAD_BITS, NocConfig
from hw.noc.flit import ErrorReason, PacketKind, header_layout
from sim.golden.packets import HEADER_FIELDS, Beats, Flits, Header, beats_of, depacketise, failure_arrival, packetise

CONFIGS = {bits: NocConfig(mesh_x=3, mesh_y=2, payload_bits=bits, virtual_networks=2) for bits in PAYLOAD_BITS}
widths = st.sampled_from(PAYLOAD_BITS)
headers = st.builds(
    Header,
    source=st.tuples(st.integers(0, 15), st.integers(0, 15)),
    kind=st.sampled_from(list(PacketKind)),
    network=st.integers(0, 2),
    tag=st.integers(0, 7),
    address=st.integers(0, (1 << 40) - 1),
    strobe=st.integers(0, 255),
)


def changed(header: Header, strobe: int) -> Header:
    return Header(source=header.source, kind=header.kind, network=header.network, tag=header.tag, address=header.address, strobe=strobe)


@given(widths, headers, st.binary(max_size=2000))
def test_bytes_survive(bits: int, header: Header, content: bytes) -> None:
    config = CONFIGS[bits]
    beats = beats_of(config, content)
    header = changed(header, beats.strobe) if content else header
    flits, failure = packetise(config, header, (2, 1), beats)
    assert failure is None
    assert len(flits.tail) == 1 + -(-len(content) // (bits // 8)) and flits.tail.sum() == flits.tail[-1] == 1
    (arrival,) = depacketise(config, 3, flits)
    assert (arrival.header, arrival.vc, arrival.beats.content) == (header, 3, content)
    assert len(arrival.beats.data) == max(1, len(flits.tail) - 1)


@given(widths, headers)
def test_header_has_the_layout_of_the_hardware(bits: int, header: Header) -> None:
    config = CONFIGS[bits]
    row = header.row(config)
    fields = {name: getattr(header, name, 0) for name, _ in HEADER_FIELDS} | {
        "src_x": header.source[0],
        "src_y": header.source[1],
        "strobe": header.strobe,
    }
    assert int.from_bytes(row.tobytes(), "little") == header_layout(config).const(fields).as_bits()
    assert len(row) == bits // 8 and Header.from_row(config, row) == header


def test_header_by_hand() -> None:
    header = Header(source=(3, 2), kind=PacketKind.MESSAGE, network=1, tag=5, address=0x12_3456_789A, strobe=0x0F)
    assert header.row(CONFIGS[64]).tobytes() == bytes([0x23, 4 | 1 << 3 | 5 << 5, 0x9A, 0x78, 0x56, 0x34, 0x12, 0x0F])


@given(widths, st.lists(st.booleans(), max_size=6), st.binary(min_size=1, max_size=300), st.data())
def test_empty_beats_do_not_count(bits: int, places: list[bool], content: bytes, data: st.DataObject) -> None:
    config = CONFIGS[bits]
    beats = beats_of(config, content)
    header = Header(source=(0, 0), kind=PacketKind.WRITE, network=0, strobe=beats.strobe)
    expected, _ = packetise(config, header, (0, 0), beats)
    for _ in places:
        place = data.draw(st.integers(0, len(beats.data)))
        beats = Beats(np.insert(beats.data, place, 7, axis=0), np.insert(beats.keep, place, False, axis=0))
    flits, failure = packetise(config, header, (0, 0), beats)
    assert failure is None and beats.content == content
    np.testing.assert_array_equal(flits.payload, expected.payload)


@pytest.mark.parametrize(("rows", "reason"), [(PACKET_FLITS - 1, None), (PACKET_FLITS, ErrorReason.TOO_LONG), (300, ErrorReason.TOO_LONG)])
def test_longest_packet(rows: int, reason: ErrorReason | None) -> None:
    beats = beats_of(CONFIGS[64], bytes(8 * rows))
    flits, failure = packetise(CONFIGS[64], Header(source=(0, 0), kind=0, network=0, strobe=255), (0, 0), beats)
    assert len(flits.tail) == PACKET_FLITS and flits.tail[-1] and (failure and failure.reason) == reason


@pytest.mark.parametrize("destination", [(3, 0), (0, 2), (15, 15)])
def test_bad_destination(destination: tuple[int, int]) -> None:
    header = Header(source=(1, 1), kind=PacketKind.WRITE, network=1, tag=6, address=77, strobe=255)
    flits, failure = packetise(CONFIGS[64], header, destination, beats_of(CONFIGS[64], bytes(800)))
    assert not len(flits.tail) and failure is not None
    arrival = failure_arrival(CONFIGS[64], failure)
    assert arrival.header == Header(source=destination, kind=PacketKind.ERROR, network=1, tag=6, address=77, strobe=1)
    assert (arrival.vc, arrival.beats.content, arrival.beats.keep.shape) == (2, b"", (1, 8))


@pytest.mark.parametrize("change", ["strobe", "hole"])
def test_wrong_keep(change: str) -> None:
    beats = beats_of(CONFIGS[64], bytes(20))
    strobe = beats.strobe ^ 1 if change == "strobe" else beats.strobe
    if change == "hole":
        beats.keep[0, 3] = False
    flits, failure = packetise(CONFIGS[64], Header(source=(0, 0), kind=0, network=0, strobe=strobe), (0, 0), beats)
    assert len(flits.tail) == 4 and failure is not None and failure.reason is ErrorReason.WRONG_KEEP


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tag must be 0 to 2\*\*3 - 1, not 8"):
        Header(source=(0, 0), kind=0, network=0, tag=8)
    with pytest.raises(ValueError, match=r"source must be two coordinates of 0 to 15, not \(16, 0\)"):
        Header(source=(16, 0), kind=0, network=0)
    with pytest.raises(ValueError, match="strobe must have 8 bits, a bit for each byte of a flit, not 0x100"):
        Header(source=(0, 0), kind=0, network=0, strobe=256).row(CONFIGS[64])
    with pytest.raises(ValueError, match="tail must be set on the last flit, not clear"):
        depacketise(CONFIGS[64], 0, Flits(np.zeros((1, 8), dtype=np.uint8), np.zeros(1, dtype=np.bool_)))
