"""Reads the DMA jobs `floogen traffic` (of FlooNoC, 0.9) writes, and makes packets of them.

A folder holds a file NAME_I.txt for each node, I = x * rows + y, for wide transfers, and NAME_(I + 100).txt for narrow ones. A job is ten lines:
length in bytes, source address, destination address, source and destination protocol (0: AXI4), longest source and destination burst in
bytes, two flags that decouple reads from writes, and a number of errors to inject. An address names a node: node (x, y) has `node_bytes`
from (x * rows + y) * `node_bytes` on. Memory channels lie west of column 0, one a row, from `memory_base` on; in a mesh of tiles they are
where their traffic leaves the mesh, the nodes of column 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.common.noc import PACKET_FLITS, NocConfig

from .mesh import latencies

#: The lines of a job, in order.
FIELDS = (
    "length", "source address", "destination address", "source protocol", "destination protocol", "source burst", "destination burst",
    "decouple flag of reads", "decouple flag of writes", "number of errors",
)  # fmt: skip
#: What narrow files add to the number of their node.
NARROW_OFFSET = 100
#: Bytes a job may move, so that a damaged file does not fill the memory.
LENGTH_LIMIT = 1 << 24
#: (source, destination, flits, earliest cycle), as the traffic engine takes it.
ListedPacket = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class AddressMap:
    """Which addresses are whose: those of floogen's example meshes unless said otherwise.

    Parameters
    ----------
    base : int
        Address of node (0, 0).
    node_bytes : int
        Bytes of each node, and of each memory channel.
    memory_base : int or None
        Address of the memory channel of row 0; None if there is no memory.

    Raises
    ------
    ValueError
        if a field is negative, or `node_bytes` is 0.
    """

    base: int = 0
    node_bytes: int = 0x1_0000
    memory_base: int | None = 0x8000_0000

    def __post_init__(self) -> None:
        if self.base < 0 or self.node_bytes < 1 or (self.memory_base or 0) < 0:
            raise ValueError(f"base and memory_base must be at least 0 and node_bytes at least 1, not {self}")

    def node(self, address: int, config: NocConfig) -> int:
        """Node (y * mesh_x + x) of `address`; ValueError with the limit if there is none."""
        index = (address - self.base) // self.node_bytes
        if 0 <= index < config.nodes:
            x, y = divmod(index, config.mesh_y)
            return y * config.mesh_x + x
        end = self.base + config.nodes * self.node_bytes
        nodes = f"{self.base:#x} to {end - 1:#x}"
        if self.memory_base is None:
            raise ValueError(f"must be that of a node, {nodes}, not {address:#x}")
        row = (address - self.memory_base) // self.node_bytes
        if 0 <= row < config.mesh_y:
            return row * config.mesh_x
        memory = f"{self.memory_base:#x} to {self.memory_base + config.mesh_y * self.node_bytes - 1:#x}"
        raise ValueError(f"must be that of a node, {nodes}, or of a memory channel, {memory}, not {address:#x}")


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """`size` bytes go from node `source` to node `destination`; `initiator`, one of the two, asks for them: a read if it is the destination."""

    source: int
    destination: int
    size: int
    initiator: int

    @property
    def is_read(self) -> bool:
        """Whether data go to the node that asked."""
        return self.initiator == self.destination != self.source


def read_jobs(path: str | Path, *, config: NocConfig, addresses: AddressMap | None = None) -> list[Transfer]:
    """Transfers of a job file, or of all job files of a folder, file by file, in the order of the files.

    Raises
    ------
    ValueError
        if a field is not legal or names a node outside the mesh: with file, line, value, limit and remedy.
    OSError
        if a file cannot be read.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        numbered = [(_number(file), file) for file in path.glob("*.txt")]
        files = [file for number, file in sorted((number, file) for number, file in numbered if number is not None)]
        if not files:
            raise ValueError(f"{path} must hold job files NAME_<number>.txt, but there is none: write them with floogen traffic -o")
    transfers: list[Transfer] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be text: byte {error.start} is not UTF-8; give it a file floogen traffic wrote") from None
        transfers += parse_jobs(text, config=config, addresses=addresses, name=str(file), index=_number(file))
    return transfers


def _number(file: Path) -> int | None:
    found = re.fullmatch(r".*_([0-9]+)", file.stem)
    return int(found[1]) if found else None


def parse_jobs(
    text: str, *, config: NocConfig, addresses: AddressMap | None = None, name: str = "jobs", index: int | None = None
) -> list[Transfer]:
    """Transfers of the text of one job file. `index` is the number in the file's name: it tells reads from writes; without it all are writes.

    Jobs of no bytes, which floogen writes for nodes that have nothing to do, are left out.

    Raises
    ------
    ValueError
        as `read_jobs`.
    """
    addresses = addresses or AddressMap()
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) % len(FIELDS):
        raise ValueError(
            f"{name}, line {lines[-1][0]}: a job must have {len(FIELDS)} lines, not {len(lines) % len(FIELDS)}: the file ends in mid-job; write it again"
        )
    transfers = []
    for first in range(0, len(lines), len(FIELDS)):
        job = lines[first : first + len(FIELDS)]
        values = [_value(name, number, field, line) for (number, line), field in zip(job, FIELDS, strict=True)]
        if not values[0]:
            continue
        ends = []
        for at in (1, 2):
            try:
                ends.append(addresses.node(values[at], config))
            except ValueError as error:
                raise ValueError(
                    f"{name}, line {job[at][0]}: {FIELDS[at]} {error}: make the mesh, {config.mesh_x}x{config.mesh_y}, that of the jobs"
                ) from None
        transfers.append(Transfer(source=ends[0], destination=ends[1], size=values[0], initiator=_initiator(ends, index, config)))
    return transfers


def _value(name: str, number: int, field: str, text: str) -> int:
    """A line of a job, checked."""
    where = f"{name}, line {number}: {field}"
    try:
        value = int(text, 0)
    except ValueError:
        raise ValueError(f"{where} must be a number, decimal or 0x.., not {text!r}: write the file again with floogen traffic") from None
    low, high, remedy = 0, LENGTH_LIMIT, "split the transfer"
    if "address" in field:
        high, remedy = (1 << 64) - 1, "addresses have at most 64 bits"
    elif "protocol" in field or "errors" in field:
        high, remedy = 0, "only AXI4 jobs without errors are traffic of a mesh"
    elif "flag" in field:
        high, remedy = 1, "a flag is 0 or 1"
    elif "burst" in field:
        low, remedy = 1, "floogen writes 256"
    if not low <= value <= high:
        raise ValueError(f"{where} must be {low} to {high}, not {value}: {remedy}")
    return value


def _initiator(ends: Sequence[int], index: int | None, config: NocConfig) -> int:
    """Which end the file belongs to; the source if the number fits neither or both."""
    for offset in (0, NARROW_OFFSET):
        if index is not None and 0 <= index - offset < config.nodes:
            x, y = divmod(index - offset, config.mesh_y)
            if y * config.mesh_x + x in ends:
                return y * config.mesh_x + x
    return ends[0]


def listed_packets(transfers: Sequence[Transfer], *, config: NocConfig, bytes_limit: int | None = None) -> list[ListedPacket]:
    """The packets of `transfers`, in the order each node sends them.

    A write is one or more packets from source to destination, a head flit and the data each, as long as 256 flits or `bytes_limit` bytes of data
    allow. A read is a request of one flit and such packets back, which start no sooner than the request arrives in an empty mesh. A node
    starts on its next transfer when its own port has taken the one before: a flit a cycle.

    Raises
    ------
    ValueError
        if `bytes_limit` is below 1.
    """
    if bytes_limit is not None and bytes_limit < 1:
        raise ValueError(f"bytes_limit must be at least 1, not {bytes_limit!r}")
    flit_bytes = config.payload_bits // 8
    packet_bytes = min((PACKET_FLITS - 1) * flit_bytes, bytes_limit or PACKET_FLITS * flit_bytes)
    free = [0] * config.nodes
    packets: list[ListedPacket] = []
    for transfer in transfers:
        asked = 0
        if transfer.is_read:
            packets.append((transfer.destination, transfer.source, 1, free[transfer.destination]))
            # Lists of nodes are what `latencies` makes arrays of; its annotation asks for arrays.
            asked = free[transfer.destination] + int(latencies(config, [transfer.destination], [transfer.source])[0])  # type: ignore[arg-type]
            free[transfer.destination] += 1
        for size in _pieces(transfer.size, packet_bytes):
            flits = 1 + -(-size // flit_bytes)
            # A response waits for its request, not for what else its sender has to do: that sits in the sender's queue.
            earliest = asked if transfer.is_read else free[transfer.source]
            packets.append((transfer.source, transfer.destination, flits, earliest))
            if transfer.is_read:
                asked += flits
            else:
                free[transfer.source] += flits
    return packets


def _pieces(size: int, limit: int) -> Iterator[int]:
    for start in range(0, size, limit):
        yield min(limit, size - start)
