"""Jobs as floogen itself writes them, jobs written here, and everything that can be wrong with one."""

import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.common.noc import NocConfig
from sim.golden.noc_jobs import AddressMap, Transfer, listed_packets, parse_jobs, read_jobs
from sim.golden.traffic import traffic_matrix

CONFIG = NocConfig(mesh_x=4, mesh_y=4)
EXAMPLES = Path(str(files("floogen") / "examples"))


def job(length=64, source=0x0, destination=0x1_0000, **fields):
    values = [length, hex(source), hex(destination), 0, 0, 256, 256, 0, 0, 0]
    for at, value in fields.items():
        values[int(at[4:]) - 1] = value
    return "".join(f"{value}\n" for value in values)


def floogen(tmp_path, *options, example="nw_mesh_xy"):
    command = [
        str(Path(sys.executable).parent / "floogen"),
        "traffic",
        "-c",
        str(EXAMPLES / f"{example}.yml"),
        "-o",
        str(tmp_path / "jobs"),
        *options,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return tmp_path / "jobs"


@pytest.mark.parametrize("theirs,ours", [("transpose", "transpose"), ("bit_complement", "bit_complement")])
def test_floogen_patterns(tmp_path, theirs, ours):
    """Two patterns that do not depend on how nodes are numbered: each node's jobs go where our matrix says, of the sizes asked for."""
    folder = floogen(tmp_path, "--traffic-type", theirs, "--num-narrow-bursts", "2", "--num-wide-bursts", "3", "--wide-burst-length", "4")
    transfers = read_jobs(folder, config=CONFIG)
    assert len(transfers) == 16 * 5 and Counter(one.size for one in transfers) == {8: 32, 256: 48}
    targets = traffic_matrix(ours, 4, 4).argmax(axis=1)
    assert all(one.destination == targets[one.source] and one.initiator == one.source for one in transfers)
    assert {one.source for one in transfers} == set(range(16))


def test_floogen_reads_from_memory(tmp_path):
    """Matrix product from memory: five reads and a write of each node, between it and column 0."""
    folder = floogen(tmp_path, "--traffic-type", "matmul", "--num-narrow-bursts", "1", "--num-wide-bursts", "0", example="axi_mesh_xy")
    transfers = read_jobs(folder, config=CONFIG)
    reads = [one for one in transfers if one.is_read]
    assert len(transfers) == 16 * 6 and len(reads) == 12 * 5 + 4 * 3  # a node of column 0 does not ask itself
    assert all(one.source % 4 == 0 for one in reads)
    with pytest.raises(
        ValueError, match=r"_100.txt, line 2: source address must be that of a node, 0x0 to 0xfffff, not 0x80000000: make the mesh"
    ):
        read_jobs(folder, config=CONFIG, addresses=AddressMap(memory_base=None))


def test_floogen_one_hop(tmp_path):
    """Only node (0, 0) has anything to do: to (0, 1). A mesh too small for the jobs is refused."""
    folder = floogen(tmp_path, "--traffic-type", "onehop", "--num-narrow-bursts", "1", "--num-wide-bursts", "1")
    found = read_jobs(folder, config=CONFIG)
    assert {(one.source, one.destination) for one in found} == {(0, 4)}
    assert read_jobs(folder / "mesh_0.txt", config=CONFIG) == [Transfer(source=0, destination=4, size=1024, initiator=0)]
    with pytest.raises(
        ValueError, match=r"mesh_0.txt, line 3: destination address must be that of a node, 0x0 to 0xffff, .*not 0x10000.*1x1"
    ):
        read_jobs(folder, config=NocConfig(mesh_x=1, mesh_y=1))


def test_who_asks():
    """Addresses count down columns. The number of the file says whose DMA engine moves the data."""
    wide = NocConfig(mesh_x=3, mesh_y=2)
    text = job(source=0x2_0000, destination=0x5_0000)  # (1, 0) is node 1, (2, 1) is node 5
    for index, initiator, is_read in ((2, 1, False), (102, 1, False), (5, 5, True), (105, 5, True), (None, 1, False), (3, 1, False)):
        assert parse_jobs(text, config=wide, index=index) == [Transfer(source=1, destination=5, size=64, initiator=initiator)]
        assert parse_jobs(text, config=wide, index=index)[0].is_read == is_read
    here = AddressMap(base=0x1000, node_bytes=16, memory_base=None)
    assert parse_jobs(job(source=0x1000, destination=0x105F), config=wide, addresses=here)[0].destination == 5
    assert parse_jobs(job(source=0x8001_0000, destination=0), config=wide)[0].source == 3  # memory of row 1
    assert parse_jobs("", config=wide) == parse_jobs("\n" + job(length=0, source=1 << 60), config=wide) == []
    assert not Transfer(source=1, destination=1, size=1, initiator=1).is_read


@pytest.mark.parametrize("text,message", [
    (job(length=-5), "jobs, line 1: length must be 0 to 16777216, not -5: split"),
    (job(length=1 << 25), "jobs, line 1: length must be 0 to 16777216, not 33554432"),
    (job() + job(length="eight"), "jobs, line 11: length must be a number, decimal or 0x.., not 'eight'"),
    (job() + job(line2="0x999_0000"), "jobs, line 12: source address must be that of a node, 0x0 to 0xfffff, or of a memory channel, 0x80000000 to .*"
     "not 0x9990000: make the mesh, 4x4, that of the jobs"),
    (job(destination=0x10_0000), "jobs, line 3: destination address .*not 0x100000"),
    (job(destination=0x8004_0000), "jobs, line 3: destination address .*not 0x80040000"),
    (job(line3="-0x10"), "jobs, line 3: destination address must be 0 to 18446744073709551615, not -16"),
    (job(line4=1), "jobs, line 4: source protocol must be 0 to 0, not 1: only AXI4"),
    (job(line7=0), "jobs, line 7: destination burst must be 1 to .*not 0"),
    (job(line8=2), "jobs, line 8: decouple flag of reads must be 0 to 1, not 2"),
    (job(line10=3), "jobs, line 10: number of errors must be 0 to 0, not 3"),
    (job() + "64\n0x0\n", "jobs, line 12: a job must have 10 lines, not 2: the file ends in mid-job"),
    (job() + "\n\n64\n", "jobs, line 13: a job must have 10 lines, not 1"),
])  # fmt: skip
def test_bad_jobs(text, message):
    with pytest.raises(ValueError, match=message):
        parse_jobs(text, config=CONFIG)


def test_bad_files(tmp_path):
    with pytest.raises(ValueError, match=r"must hold job files NAME_<number>\.txt, but there is none"):
        read_jobs(tmp_path, config=CONFIG)
    (tmp_path / "mesh_0.txt").write_bytes(b"64\n\xff\xfe")
    with pytest.raises(ValueError, match=r"mesh_0\.txt must be text: byte 3 is not UTF-8"):
        read_jobs(tmp_path, config=CONFIG)
    with pytest.raises(FileNotFoundError):
        read_jobs(tmp_path / "nothing.txt", config=CONFIG)
    for wrong in ({"base": -1}, {"node_bytes": 0}, {"memory_base": -1}):
        with pytest.raises(ValueError, match="must be at least 0 and node_bytes at least 1, not AddressMap"):
            AddressMap(**wrong)


def test_packets():
    """Worked out by hand: 64-bit flits, a head each."""
    write = Transfer(source=0, destination=3, size=20, initiator=0)
    read = Transfer(source=3, destination=0, size=8, initiator=0)
    # The write takes cycles 0 to 3 of node 0's port, the request cycle 4; it is 3 hops to node 3, so it arrives in cycle 8.
    assert listed_packets([write, read, write], config=CONFIG) == [(0, 3, 4, 0), (0, 3, 1, 4), (3, 0, 2, 8), (0, 3, 4, 5)]
    long = Transfer(source=1, destination=2, size=255 * 8 + 1, initiator=1)
    assert listed_packets([long], config=CONFIG) == [(1, 2, 256, 0), (1, 2, 2, 256)]
    assert listed_packets([long], config=NocConfig(payload_bits=512)) == [(1, 2, 33, 0)]
    assert listed_packets([write], config=CONFIG, bytes_limit=8) == [(0, 3, 2, 0), (0, 3, 2, 2), (0, 3, 2, 4)]
    assert listed_packets([], config=CONFIG) == []
    with pytest.raises(ValueError, match="bytes_limit must be at least 1, not 0"):
        listed_packets([write], config=CONFIG, bytes_limit=0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(1, 9000), st.booleans()), max_size=12),
    st.sampled_from([64, 128, 256, 512]),
)
def test_every_byte_is_carried(moves, payload_bits):
    config = NocConfig(mesh_x=4, mesh_y=4, payload_bits=payload_bits)
    transfers = [Transfer(source=s, destination=d, size=size, initiator=d if read else s) for s, d, size, read in moves]
    packets = listed_packets(transfers, config=config)
    wanted, found, busy = Counter(), Counter(), Counter()
    for one in transfers:
        wanted[one.source, one.destination] += -(-one.size * 8 // payload_bits)
        wanted[one.destination, one.source] += 0
    requests = Counter((one.destination, one.source) for one in transfers if one.is_read)
    for source, destination, flits, earliest in packets:
        assert 1 <= flits <= 256 and earliest >= 0
        found[source, destination] += flits - 1
        busy[source, destination] += 1
    assert +found == +wanted
    assert sum(flits == 1 for _, _, flits, _ in packets) == requests.total()
