"""AXI4-Lite port and register file: protocol under random pauses, every access kind, strobes, holes."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from hw.common.registers import REGISTERS, Access
from hw.control.axil import AxiLite, axil_signature
from hw.control.csr import RegisterFile


class Top(wiring.Component):
    def __init__(self):
        super().__init__({"axil": In(axil_signature(12))})
        self.registers = RegisterFile()

    def elaborate(self, platform):
        m = Module()
        m.submodules.axil = axil = AxiLite()
        m.submodules.registers = self.registers
        wiring.connect(m, wiring.flipped(self.axil), axil.axil)
        wiring.connect(m, axil.bus, self.registers.bus)
        return m


async def write(ctx, dut, rng, address, data, strobe=15):
    """Address and data in random order and distance; returns after the response."""
    axil = dut.axil
    delay = {"aw": rng.randrange(4), "w": rng.randrange(4)}
    sent = set()
    for cycle in range(40):
        ctx.set(axil.awvalid, "aw" not in sent and cycle >= delay["aw"])
        ctx.set(axil.awaddr, address)
        ctx.set(axil.wvalid, "w" not in sent and cycle >= delay["w"])
        ctx.set(axil.wdata, data)
        ctx.set(axil.wstrb, strobe)
        _, _, aw, w = await ctx.tick().sample(axil.awvalid & axil.awready, axil.wvalid & axil.wready)
        sent |= {name for name, done in (("aw", aw), ("w", w)) if done}
        if len(sent) == 2:
            break
    assert len(sent) == 2, "write never accepted"
    ctx.set(axil.awvalid, 0)
    ctx.set(axil.wvalid, 0)
    for _ in range(rng.randrange(3)):
        await ctx.tick()
    ctx.set(axil.bready, 1)
    *_, resp = await ctx.tick().sample(axil.bresp).until(axil.bvalid)
    ctx.set(axil.bready, 0)
    assert resp == 0


async def read(ctx, dut, rng, address):
    axil = dut.axil
    ctx.set(axil.araddr, address)
    ctx.set(axil.arvalid, 1)
    await ctx.tick().until(axil.arready)
    ctx.set(axil.arvalid, 0)
    for _ in range(rng.randrange(3)):
        await ctx.tick()
    ctx.set(axil.rready, 1)
    (value,) = await ctx.tick().sample(axil.rdata).until(axil.rvalid)
    ctx.set(axil.rready, 0)
    return value


def simulate(testbench):
    dut = Top()
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def process(ctx):
        await testbench(ctx, dut)

    sim.add_testbench(process)
    sim.run()


@pytest.mark.parametrize("seed", range(3))
def test_every_register(seed):
    rng = random.Random(seed)

    async def testbench(ctx, dut):
        for register in REGISTERS.values():
            if register.access is Access.RO:
                ctx.set(getattr(dut.registers, f"r_{register.name.lower()}"), register.address * 0x10001)
        for register in REGISTERS.values():
            value = rng.getrandbits(32)
            if register.access is Access.RW:
                assert await read(ctx, dut, rng, register.address) == register.reset, register.name
            await write(ctx, dut, rng, register.address, value)
            got = await read(ctx, dut, rng, register.address)
            expected = {Access.RO: register.address * 0x10001, Access.RW: value, Access.W1S: 0, Access.W1C: 0}[register.access]
            assert got == expected, (register.name, seed)
        for register in REGISTERS.values():
            if register.access is Access.RW:
                held = await read(ctx, dut, rng, register.address)
                value, strobe = rng.getrandbits(32), rng.randrange(16)
                mask = sum(0xFF << 8 * lane for lane in range(4) if strobe >> lane & 1)
                await write(ctx, dut, rng, register.address, value, strobe)
                assert await read(ctx, dut, rng, register.address) == (held & ~mask) | (value & mask), (register.name, strobe, seed)

    simulate(testbench)


def test_holes_read_zero_and_ignore_writes():
    rng = random.Random(0)
    used = {register.address for register in REGISTERS.values()}

    async def testbench(ctx, dut):
        holes = [address for address in range(0, 4096, 4) if address not in used]
        for address in rng.sample(holes, 16) + [0xFFC]:
            await write(ctx, dut, rng, address, 0xFFFFFFFF)
            assert await read(ctx, dut, rng, address) == 0, hex(address)
        for register in REGISTERS.values():
            if register.access is Access.RW:
                assert await read(ctx, dut, rng, register.address) == register.reset, register.name

    simulate(testbench)


def test_write_one_to_set_is_a_pulse():

    async def testbench(ctx, dut):
        pulses = []

        async def watch():
            for _ in range(12):
                _, _, value = await ctx.tick().sample(dut.registers.r_control)
                pulses.append(value)

        ctx.set(dut.axil.awaddr, REGISTERS["CONTROL"].address)
        ctx.set(dut.axil.wdata, 1)
        ctx.set(dut.axil.wstrb, 15)
        ctx.set(dut.axil.awvalid, 1)
        ctx.set(dut.axil.wvalid, 1)
        await ctx.tick()
        ctx.set(dut.axil.awvalid, 0)
        ctx.set(dut.axil.wvalid, 0)
        await watch()
        assert pulses.count(1) == 1 and sum(pulses) == 1, pulses

    simulate(testbench)


def test_write_one_to_clear_keeps_new_events():
    rng = random.Random(0)

    async def testbench(ctx, dut):
        registers = dut.registers
        ctx.set(registers.set_irq_status, 3)
        await ctx.tick()
        ctx.set(registers.set_irq_status, 0)
        assert await read(ctx, dut, rng, REGISTERS["IRQ_STATUS"].address) == 3
        await write(ctx, dut, rng, REGISTERS["IRQ_STATUS"].address, 1)
        assert await read(ctx, dut, rng, REGISTERS["IRQ_STATUS"].address) == 2
        ctx.set(registers.set_irq_status, 2)  # set again in every cycle, the clearing one included
        await write(ctx, dut, rng, REGISTERS["IRQ_STATUS"].address, 2)
        ctx.set(registers.set_irq_status, 0)
        assert await read(ctx, dut, rng, REGISTERS["IRQ_STATUS"].address) == 2

    simulate(testbench)


def test_responses_hold_until_ready():
    async def testbench(ctx, dut):
        axil = dut.axil
        ctx.set(axil.araddr, REGISTERS["WATCHDOG"].address)
        ctx.set(axil.arvalid, 1)
        await ctx.tick().until(axil.arready)
        ctx.set(axil.araddr, REGISTERS["DRAM_BASE_LO"].address)  # a second read waits behind the first
        for _ in range(6):
            await ctx.tick()
        for _ in range(5):
            _, _, valid, value = await ctx.tick().sample(axil.rvalid, axil.rdata)
            assert valid and value == REGISTERS["WATCHDOG"].reset

    simulate(testbench)
