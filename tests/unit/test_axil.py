"""AXI4-Lite port and register file: protocol under random pauses, every access kind, strobes, holes."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from hw.common.registers import REGISTERS, Access
from hw.control.axil import AxiLite, RegisterBus, axil_signature, share_bus
from hw.control.csr import RegisterFile

#: A register that `Late` answers, the cycles it takes, and what it says.
ELSEWHERE, LATE, SAID = "CYCLES", 9, 0x12345678


class Late(wiring.Component):
    """Answers reads of one register after a while."""

    def __init__(self):
        super().__init__({"bus": In(RegisterBus())})

    def elaborate(self, platform):
        m = Module()
        wait = Signal(range(LATE + 1))
        with m.If(self.bus.read & (self.bus.address == REGISTERS[ELSEWHERE].address)):
            m.d.sync += wait.eq(LATE)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(wait == 1):
            m.d.comb += [self.bus.answered.eq(1), self.bus.read_data.eq(SAID)]
        return m


class Top(wiring.Component):
    """All registers in a file, or one of them elsewhere."""

    def __init__(self, *, elsewhere=()):
        super().__init__({"axil": In(axil_signature(12))})
        self.registers = RegisterFile(elsewhere=elsewhere)

    def elaborate(self, platform):
        m = Module()
        m.submodules.axil = axil = AxiLite()
        m.submodules.registers = self.registers
        m.submodules.late = late = Late()
        wiring.connect(m, wiring.flipped(self.axil), axil.axil)
        if hasattr(self.registers, f"r_{ELSEWHERE.lower()}"):
            wiring.connect(m, axil.bus, self.registers.bus)
        else:
            share_bus(m, axil.bus, self.registers.bus, late.bus)
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


def simulate(testbench, *, elsewhere=()):
    dut = Top(elsewhere=elsewhere)
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


def test_latency_of_accesses_and_who_goes_first():
    """From the cycle in which all of an access has been taken to its response: 5 cycles, of the one that waits 9."""

    async def testbench(ctx, dut):
        axil = dut.axil

        async def respond(kinds):
            """Offers accesses in one cycle; the cycles after which they are answered."""
            for name in ("aw", "w") * ("b" in kinds) + ("ar",) * ("r" in kinds):
                ctx.set(getattr(axil, f"{name}valid"), 1)
                assert ctx.get(getattr(axil, f"{name}ready"))
            ctx.set(axil.bready, 1)
            ctx.set(axil.rready, 1)
            seen = {}
            for cycle in range(1, 16):
                await ctx.tick()
                for name in ("aw", "w", "ar"):
                    ctx.set(getattr(axil, f"{name}valid"), 0)
                seen |= {kind: cycle for kind in kinds if ctx.get(getattr(axil, f"{kind}valid"))}
            return seen

        for _ in range(3):
            assert await respond("b") == {"b": 5}
            assert await respond("r") == {"r": 5}
            assert await respond("br") == {"b": 5, "r": 9}

    simulate(testbench)


def test_a_write_has_taken_effect_when_it_is_answered():
    async def testbench(ctx, dut):
        axil = dut.axil
        for value in (0x5A5A5A5A, 0xFFFFFFFF, 0):
            for name, held in (("awaddr", REGISTERS["WATCHDOG"].address), ("wdata", value), ("wstrb", 15), ("awvalid", 1), ("wvalid", 1)):
                ctx.set(getattr(axil, name), held)
            await ctx.tick()
            ctx.set(axil.awvalid, 0)
            ctx.set(axil.wvalid, 0)
            await ctx.tick().until(axil.bvalid)
            assert ctx.get(dut.registers.r_watchdog) == value
            ctx.set(axil.bready, 1)
            await ctx.tick()
            ctx.set(axil.bready, 0)

    simulate(testbench)


def test_registers_elsewhere_are_answered_elsewhere():
    rng = random.Random(2)

    async def testbench(ctx, dut):
        await write(ctx, dut, rng, REGISTERS["WATCHDOG"].address, 77)
        for _ in range(3):
            assert await read(ctx, dut, rng, REGISTERS[ELSEWHERE].address) == SAID
            assert await read(ctx, dut, rng, REGISTERS["WATCHDOG"].address) == 77
            # Writes to it are answered in the file and change nothing.
            await write(ctx, dut, rng, REGISTERS[ELSEWHERE].address, 5)

    simulate(testbench, elsewhere=(ELSEWHERE,))


@pytest.mark.parametrize("name", ["WATCHDOG", "CONTROL", "IRQ_STATUS", "NOTHING"])
def test_only_read_only_registers_can_be_elsewhere(name):
    with pytest.raises(ValueError, match=f"must be read-only ones of the table, not '{name}'"):
        RegisterFile(elsewhere=(name,))
