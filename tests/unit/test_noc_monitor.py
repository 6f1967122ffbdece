"""The registers of a mesh over AXI4-Lite: identity, the first error, clear, interrupt and probe."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NOC_VERSION, NocConfig
from hw.common.noc_registers import NOC_MAGIC, NOC_REGISTERS, OVERDUE, Reason, pack, unpack
from hw.common.registers import Access
from hw.control.axil import axil_signature
from hw.noc.flit import Port
from hw.noc.link import LinkSignature
from hw.noc.mesh import Mesh
from hw.noc.monitor import Monitor
from sim.golden.waits import Wait, explain, select_value

from .noc_watch_bench import Nodes, simulate
from .test_axil import read, write

CONFIG = NocConfig(mesh_x=2, mesh_y=1, vcs=1, depth=2, arbitration="round_robin", watchdog_limit=10)


class Top(wiring.Component):
    """A mesh and its monitor."""

    def __init__(self, config: NocConfig) -> None:
        self.mesh, self.monitor = Mesh(config=config), Monitor(config=config)
        links = {"i": In(LinkSignature(config)).array(config.nodes), "o": Out(LinkSignature(config)).array(config.nodes)}
        super().__init__(links | {"axil": In(axil_signature(12)), "interrupt": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.mesh, m.submodules.monitor = self.mesh, self.monitor
        for node in range(len(self.i)):
            wiring.connect(m, wiring.flipped(self.i[node]), self.mesh.i[node])
            wiring.connect(m, self.mesh.o[node], wiring.flipped(self.o[node]))
        wiring.connect(m, wiring.flipped(self.axil), self.monitor.axil)
        wiring.connect(m, self.mesh.watch, self.monitor.watch)
        m.d.comb += self.interrupt.eq(self.monitor.interrupt)
        return m


class Host:
    """Register accesses by name."""

    def __init__(self, ctx: Any, dut: Any, seed: int) -> None:
        self._ctx, self._dut, self._rng = ctx, dut, random.Random(seed)

    async def get(self, name: str) -> int:
        return int(await read(self._ctx, self._dut, self._rng, NOC_REGISTERS[name].address))

    async def put(self, name: str, value: int) -> None:
        await write(self._ctx, self._dut, self._rng, NOC_REGISTERS[name].address, value)

    async def fields(self, name: str) -> dict[str, int]:
        return unpack(NOC_REGISTERS[name].bits, await self.get(name))


def test_a_host_finds_the_closed_sink() -> None:
    """Node 1 stops taking: interrupt, first error, the whole chain by the probe, clear, and traffic again."""
    dut, seed = Top(CONFIG), 51

    async def testbench(ctx: Any) -> None:
        nodes, host = Nodes(ctx, dut, CONFIG), Host(ctx, dut, seed)
        identity = {name: await host.get(name) for name in ("MAGIC", "VERSION", "CONFIG_HASH", "WATCHDOG_LIMIT")}
        assert identity == {"MAGIC": NOC_MAGIC, "VERSION": NOC_VERSION, "CONFIG_HASH": CONFIG.hash, "WATCHDOG_LIMIT": 10}
        assert await host.fields("GEOMETRY") == {"mesh_x": 2, "mesh_y": 1, "vcs": 1, "depth": 2}
        for name in ("STATUS", "IRQ_ENABLE", "ERROR_QUEUE", "ERROR_WAIT", "ERROR_COUNT", "PROBE_SELECT", "PROBE_DATA", "CONTROL"):
            assert await host.get(name) == 0, name

        nodes.open[1] = False
        nodes.send(1, 1)
        nodes.send(1, 1)
        await nodes.step(20)
        nodes.send(0, 1, tails="111111")
        await nodes.step(30)
        assert nodes.taken == [0, 2] and not ctx.get(dut.interrupt)
        assert await host.fields("STATUS") == {"fired": 1, "interrupt": 0}
        await host.put("IRQ_ENABLE", 1)
        assert ctx.get(dut.interrupt) and await host.fields("STATUS") == {"fired": 1, "interrupt": 1}
        # Which of the two is overdue first depends on where in a tick the traffic began.
        first = await host.fields("ERROR_QUEUE")
        waits = {(0, Port.LOCAL): Wait(1, OVERDUE, Reason.CREDIT, Port.EAST), (1, Port.WEST): Wait(1, OVERDUE, Reason.CREDIT, Port.LOCAL)}
        assert first["valid"] and first["vc"] == 0
        assert Wait.unpack(await host.get("ERROR_WAIT")) == waits[first["node"], Port(first["port"])]
        assert await host.get("ERROR_COUNT") == 2

        heads = {}
        for node in range(CONFIG.nodes):
            for port in range(8):
                await host.put("PROBE_SELECT", select_value(node, port, 0))
                wait = Wait.unpack(await host.get("PROBE_DATA"))
                if wait.valid:
                    heads[node, port, 0] = wait
        assert sorted(heads) == [(0, Port.LOCAL, 0), (1, Port.WEST, 0)]
        assert explain(heads, CONFIG).endswith("=> node 1 takes nothing from VC 0")
        for nowhere in (select_value(2, Port.WEST, 0), select_value(255, Port.LOCAL, 0), select_value(1, Port.WEST, 1)):
            await host.put("PROBE_SELECT", nowhere)
            assert await host.get("PROBE_SELECT") == nowhere and await host.get("PROBE_DATA") == 0

        nodes.open[1] = True
        await nodes.step(20)
        assert nodes.taken == [0, 8]
        assert (await host.fields("STATUS"))["fired"] == 1, "an error stays until it is cleared"
        await host.put("CONTROL", 1)
        assert not ctx.get(dut.interrupt)
        for name in ("STATUS", "ERROR_QUEUE", "ERROR_WAIT", "ERROR_COUNT"):
            assert await host.get(name) == 0, name

    simulate(dut, testbench)


@pytest.mark.parametrize("seed", range(2))
def test_what_the_watchdogs_say_is_what_is_read(seed: int) -> None:
    """Random words at the monitor's own pins: all fields arrive, read-only registers stay, the pulse of clear is one cycle."""
    config = NocConfig(mesh_x=16, mesh_y=3, vcs=16, depth=64, watchdog_limit=500)
    dut = Monitor(config=config)

    async def testbench(ctx: Any) -> None:
        host, rng = Host(ctx, dut, seed), random.Random(seed)
        assert await host.fields("GEOMETRY") == {"mesh_x": 16, "mesh_y": 3, "vcs": 16, "depth": 64}
        for _ in range(5):
            queue, wait, probe = (
                rng.getrandbits(len(layout.as_value())) for layout in (dut.watch.error.queue, dut.watch.error.wait, dut.watch.probe)
            )
            count = rng.getrandbits(16)
            ctx.set(dut.watch.error.queue.as_value(), queue)
            ctx.set(dut.watch.error.wait.as_value(), wait)
            ctx.set(dut.watch.error.valid, 1)
            ctx.set(dut.watch.count, count)
            ctx.set(dut.watch.probe.as_value(), probe)
            for register in NOC_REGISTERS.values():
                if register.access is Access.RO:
                    await host.put(register.name, rng.getrandbits(32))
            assert await host.get("ERROR_QUEUE") == queue | 1 << 31, seed
            assert (await host.get("ERROR_WAIT"), await host.get("ERROR_COUNT"), await host.get("PROBE_DATA")) == (wait, count, probe), seed
            select = rng.getrandbits(16) & 0xFF7F
            await host.put("PROBE_SELECT", select)
            assert ctx.get(dut.watch.select.as_value()) == select, seed
        pulses = []
        axil = dut.axil
        ctx.set(axil.awaddr, NOC_REGISTERS["CONTROL"].address)
        ctx.set(axil.wdata, 1)
        ctx.set(axil.wstrb, 15)
        ctx.set(axil.awvalid, 1)
        ctx.set(axil.wvalid, 1)
        for _ in range(6):
            await ctx.tick()
            ctx.set(axil.awvalid, 0)
            ctx.set(axil.wvalid, 0)
            pulses.append(ctx.get(dut.watch.clear))
        assert sum(pulses) == 1

    simulate(dut, testbench)


def test_table_is_sound() -> None:
    """Addresses and fields do not overlap; values pack and unpack."""
    assert [register.address for register in NOC_REGISTERS.values()] == sorted({register.address for register in NOC_REGISTERS.values()})
    for register in NOC_REGISTERS.values():
        assert register.address % 4 == 0 and register.address < 4096
        taken = [bit for bits in register.bits for bit in range(bits.offset, bits.offset + bits.width)]
        assert len(taken) == len(set(taken)) and all(bit < 32 for bit in taken), register.name
        full = {bits.name: (1 << bits.width) - 1 for bits in register.bits}
        assert unpack(register.bits, pack(register.bits, **full)) == full
    with pytest.raises(ValueError, match="field must be one of mesh_x, mesh_y, vcs, depth, not 'mesh_z'"):
        pack(NOC_REGISTERS["GEOMETRY"].bits, mesh_z=1)
    with pytest.raises(ValueError, match="vcs must be 0 to 255, not 256"):
        pack(NOC_REGISTERS["GEOMETRY"].bits, vcs=256)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
        Monitor(config="fast")
    with pytest.raises(ValueError, match="watchdog_limit must be at least 1, not 0: there is nothing to read"):
        Monitor(config=NocConfig())
