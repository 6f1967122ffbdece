"""Cosim of `hw.noc.node_port.NodeMesh`: bytes in at the AXI4-Stream pins of one node, the same bytes out at those of another.

Sources and sinks are those of cocotbext-axi, which nobody here wrote: they bind to the pins by prefix and keep the rules of the protocol.
"""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from hw.common.noc import VIRTUAL_NETWORKS, NocConfig
from hw.noc.depacketiser import received_user_layout
from hw.noc.flit import ADDRESS_BITS, NODE_BITS, TAG_BITS, ErrorReason, PacketKind
from hw.noc.node_port import NodeMesh
from hw.noc.packetiser import sent_user_layout
from tb.registry import Bench
from tb.vip.clock import start
from tb.vip.noc_format import noc_config
from tb.vip.scoreboard import Scoreboard

BENCH = Bench(
    name="node",
    doc="a mesh with local ports, bytes in and out at its AXI4-Stream pins: contents, source, order, errors of packets that cannot be sent",
    top=lambda config: NodeMesh(config=config),
    configs=(NocConfig(name="networks2x2", mesh_x=2, mesh_y=2, vcs=4, virtual_networks=2, depth=2),),
    flags=("--inline-mult", "1"),
)

#: Simulated time a frame may take to arrive, in microseconds.
LIMIT_US = 200


class Environment:
    """A source and a sink for each network of each node, and what each sink is to see of each source."""

    def __init__(self, dut: Any) -> None:
        self.dut, self.config = dut, noc_config()
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.networks = VIRTUAL_NETWORKS[: self.config.virtual_networks]
        ends = [(node, network) for node in range(self.config.nodes) for network in range(len(self.networks))]

        def part(kind: Any, side: str, node: int, network: int) -> Any:
            bus = AxiStreamBus.from_prefix(dut, f"node{node}_{side}_axis_{self.networks[network]}")
            made = kind(bus, dut.clk, dut.rst)
            made.log.setLevel("WARNING")
            return made

        self.sources = {end: part(AxiStreamSource, "s", *end) for end in ends}
        self.sinks = {end: part(AxiStreamSink, "m", *end) for end in ends}
        self.expected: dict[tuple[int, int, int], Scoreboard] = {}
        self.due = dict.fromkeys(ends, 0)

    def pace(self, share: float) -> None:
        """Lets sources and sinks pause at random."""
        if share < 1:
            for part in (*self.sources.values(), *self.sinks.values()):
                part.set_pause_generator(iter(lambda: bool(self.rng.random() > share), None))

    def scores(self, destination: int, source: int, network: int) -> Scoreboard:
        key = (destination, source, network)
        return self.expected.setdefault(key, Scoreboard(f"to {destination} from {source}, {self.networks[network]}"))

    def send(self, source: int, network: int, place: tuple[int, int], data: bytes, *, kind: PacketKind, tag: int, address: int) -> None:
        """Queues a packet of `data`, not empty, for the node at `place`."""
        lanes = self.config.payload_bits // 8
        strobe = (1 << (len(data) - 1) % lanes + 1) - 1
        values = {"kind": int(kind), "tag": tag, "address": address, "strobe": strobe, "ordered": 1}
        user = sum(values.get(name, 0) << field.offset for name, field in sent_user_layout(self.config))
        dest = place[0] | place[1] << NODE_BITS
        self.sources[source, network].send_nowait(AxiStreamFrame(data, tdest=dest, tuser=user))
        if place[0] < self.config.mesh_x and place[1] < self.config.mesh_y:
            destination = place[1] * self.config.mesh_x + place[0]
            self.scores(destination, source, network).expect((data, int(kind), network, tag, address))
            self.due[destination, network] += 1
        else:
            # The response network brings the failure back, as if the node that is not there had sent it; those of a network in order.
            self.scores(source, -1 - network, 1).expect(
                (b"", int(PacketKind.ERROR), network, tag, address, int(ErrorReason.NO_SUCH_NODE), place)
            )
            self.due[source, 1] += 1

    async def receive(self) -> None:
        """Takes all that is due, in the order in which it comes at each sink, and compares."""
        for (node, network), count in self.due.items():
            for _ in range(count):
                frame = await with_timeout(self.sinks[node, network].recv(compact=False), LIMIT_US, "us")
                self._compare(node, network, frame)
        await ClockCycles(self.dut.clk, 50)
        assert all(sink.empty() for sink in self.sinks.values()), "more has arrived than was sent"
        for scores in self.expected.values():
            scores.finish()

    def _compare(self, node: int, network: int, frame: AxiStreamFrame) -> None:
        # Uncompacted, because a frame of null bytes alone would lose its TUSER.
        data = bytes(byte for byte, keep in zip(frame.tdata, frame.tkeep, strict=True) if keep)
        user, identity = (value[0] if isinstance(value, list) else value for value in (frame.tuser, frame.tid))
        fields = {name: user >> field.offset & (1 << field.width) - 1 for name, field in received_user_layout(self.config)}
        x, y = identity & 15, identity >> NODE_BITS & 15
        seen = (data, fields["kind"], fields["network"], fields["tag"], fields["address"])
        if fields["kind"] == PacketKind.ERROR:
            self.scores(node, -1 - fields["network"], 1).observe((*seen, fields["strobe"], (x, y)))
        else:
            vc = identity >> 2 * NODE_BITS
            assert vc // self.config.network_vcs == network, f"VC {vc} must be one of the {self.networks[network]} network"
            self.scores(node, y * self.config.mesh_x + x, network).observe(seen)


@cocotb.test()
@cocotb.parametrize(share=[1.0, 0.5])
async def packets(dut: Any, share: float) -> None:
    """Packets of 1 to 300 bytes between all nodes on both networks; some are for nodes that do not exist and come back as errors."""
    environment = Environment(dut)
    environment.pace(share)
    await start(dut)
    rng, config = environment.rng, environment.config
    for _ in range(120):
        source, network = int(rng.integers(config.nodes)), int(rng.integers(len(environment.networks)))
        bad = rng.random() < 0.15
        place = (int(rng.integers(2, 16)), int(rng.integers(16))) if bad else (int(rng.integers(2)), int(rng.integers(2)))
        data = rng.bytes(int(rng.choice([1, 7, 8, 9, 16, 63, 300])))
        kind = PacketKind.WRITE if rng.random() < 0.5 else PacketKind.MESSAGE
        tag, address = int(rng.integers(1 << TAG_BITS)), int(rng.integers(1 << ADDRESS_BITS))
        environment.send(source, network, place, data, kind=kind, tag=tag, address=address)
    await environment.receive()


@cocotb.test()
async def longest(dut: Any) -> None:
    """A packet of 256 flits to the far corner and one to the own node, at once."""
    environment = Environment(dut)
    await start(dut)
    size = 255 * environment.config.payload_bits // 8
    for place in ((1, 1), (0, 0)):
        environment.send(0, 0, place, environment.rng.bytes(size), kind=PacketKind.WRITE, tag=1, address=64)
    await environment.receive()
