"""The compact chip's AXI4-Lite port on its processor's memory: every register, strobes, holes, the doorbell and the interrupt."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from hw.common.config import CONFIGS
from hw.common.registers import REGISTERS, Access
from hw.compact.encoding import Condition, Operation, Source
from hw.compact.memory_map import is_hole
from hw.compact.processor import Processor
from hw.compact.registers import RegisterPort
from hw.control.axil import axil_signature

from .test_axil import read, write

#: Clears the register space, then stores now and then.
_LOOP = 130
PROGRAM = [
    Source.INPUT << 12 | Operation.LOAD << 8,
    Source.INPUT << 12 | Operation.INDEX << 8,
    *[Operation.STORE << 8 | word for word in range(128)],
]
PROGRAM += [Operation.STORE << 8 | 200, Operation.LOAD << 8 | 200, Operation.STORE << 8 | 201, 1 << 15 | Condition.ALWAYS << 11 | _LOOP]


class Top(wiring.Component):
    """The port on a processor; the controls are the test's."""

    def __init__(self):
        super().__init__({"axil": In(axil_signature(12))})
        self.port = RegisterPort()
        self.processor = Processor(config=CONFIGS["nano"], program=PROGRAM)
        self.up, self.idle, self.answer, self.irq = Signal(), Signal(), Signal(), Signal(2)

    def elaborate(self, platform):
        m = Module()
        m.submodules.port, m.submodules.processor = self.port, self.processor
        wiring.connect(m, wiring.flipped(self.axil), self.port.axil)
        wiring.connect(m, self.port.registers, self.processor.registers)
        m.d.comb += [
            self.port.i_up.eq(self.up), self.port.i_idle.eq(self.idle), self.port.i_answer.eq(self.answer), self.port.i_raise.eq(self.irq),
        ]  # fmt: skip
        return m


def simulate(testbench):
    dut = Top()
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def process(ctx):
        ctx.set(dut.idle, 1)
        for _ in range(2 * len(PROGRAM)):
            await ctx.tick()
        ctx.set(dut.up, 1)
        await testbench(ctx, dut)

    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("seed", range(2))
def test_every_register(seed):
    rng = random.Random(seed)

    async def testbench(ctx, dut):
        held = {}
        for register in REGISTERS.values():
            if register.name == "CONTROL":
                continue
            value = rng.getrandbits(32)
            await write(ctx, dut, rng, register.address, value)
            held[register.name] = value if register.access is Access.RW else 0
        for name, value in held.items():
            assert await read(ctx, dut, rng, REGISTERS[name].address) == value, (name, seed)
        for register in REGISTERS.values():
            if register.access is Access.RW:
                value, strobe = rng.getrandbits(32), rng.randrange(16)
                mask = sum(0xFF << 8 * lane for lane in range(4) if strobe >> lane & 1)
                await write(ctx, dut, rng, register.address, value, strobe)
                expected = (held[register.name] & ~mask) | (value & mask)
                assert await read(ctx, dut, rng, register.address) == expected, (register.name, strobe, seed)

    simulate(testbench)


def test_holes_read_zero_and_keep_what_the_firmware_has_there():
    rng = random.Random(0)
    used = {register.address for register in REGISTERS.values()}
    assert not any(is_hole(address // 4) for address in used)

    async def testbench(ctx, dut):
        holes = [4 * word for word in range(128) if 4 * word not in used]
        for address in holes + rng.sample(range(512, 4096, 4), 8) + [0xFFC]:
            await write(ctx, dut, rng, address, 0xFFFFFFFF)
            assert await read(ctx, dut, rng, address) == 0, hex(address)
        assert all(ctx.get(dut.processor.memory.data[word]) == 0 for word in range(128) if 4 * word not in used)
        # Nor does a write far up reach the register that its low bits name.
        for register in REGISTERS.values():
            await write(ctx, dut, rng, rng.choice((0x200, 0x400, 0x800)) + register.address, 0xFFFFFFFF)
            assert ctx.get(dut.processor.memory.data[register.address // 4]) == 0, register.name
        # What firmware keeps in a hole is not shown.
        for word in (32, 63, 13, 79, 127):
            ctx.set(dut.processor.memory.data[word], 0x12345678)
            assert is_hole(word) and await read(ctx, dut, rng, 4 * word) == 0, word
        for address in (0x200 + REGISTERS["WATCHDOG"].address, 0x800 + REGISTERS["LOAD_QUEUE_COUNT"].address):
            assert await read(ctx, dut, rng, address) == 0, hex(address)

    simulate(testbench)


def test_no_access_before_the_firmware_is_up_nor_with_the_doorbell_pending():
    rng = random.Random(1)

    async def testbench(ctx, dut):
        axil = dut.axil

        async def held_off(cycles=20):
            for signal in (axil.arvalid, axil.awvalid, axil.wvalid):
                ctx.set(signal, 1)
            ctx.set(axil.awaddr, REGISTERS["WATCHDOG"].address)
            for _ in range(cycles):
                *_, answered = await ctx.tick().sample(axil.arready | axil.awready | axil.wready | axil.rvalid | axil.bvalid)
                assert not answered
            for signal in (axil.arvalid, axil.awvalid, axil.wvalid):
                ctx.set(signal, 0)

        ctx.set(dut.up, 0)
        await held_off()
        ctx.set(dut.up, 1)
        for value, strobe, idle, rings in ((1, 15, 1, 1), (0xFFFFFFFE, 15, 1, 0), (1, 14, 1, 0), (1, 15, 0, 0), (1, 1, 1, 1)):
            ctx.set(dut.idle, idle)
            await write(ctx, dut, rng, REGISTERS["CONTROL"].address, value, strobe)
            assert ctx.get(dut.port.o_doorbell) == rings, (value, strobe, idle)
            if rings:
                await held_off()
                ctx.set(dut.answer, 1)
                await ctx.tick()
                ctx.set(dut.answer, 0)
            assert await read(ctx, dut, rng, REGISTERS["CONTROL"].address) == 0
        for address in (0x210, 0x410, 0x810):
            ctx.set(dut.idle, 1)
            await write(ctx, dut, rng, address, 1)
            assert not ctx.get(dut.port.o_doorbell), hex(address)

    simulate(testbench)


def test_interrupt():
    rng = random.Random(2)
    status, enable = REGISTERS["IRQ_STATUS"].address, REGISTERS["IRQ_ENABLE"].address

    async def raise_(ctx, dut, bits):
        ctx.set(dut.irq, bits)
        await ctx.tick()
        ctx.set(dut.irq, 0)

    async def testbench(ctx, dut):
        for bits in range(4):
            for enabled in range(4):
                await write(ctx, dut, rng, enable, enabled)
                await raise_(ctx, dut, bits)
                assert await read(ctx, dut, rng, status) == bits
                assert ctx.get(dut.port.o_irq) == bool(bits & enabled)
                for cleared in (0, 1, 2):
                    await write(ctx, dut, rng, status, 0xFFFFFFFC | cleared)
                await write(ctx, dut, rng, status, 1, strobe=14)
                assert await read(ctx, dut, rng, status) == 0 and not ctx.get(dut.port.o_irq)
        await raise_(ctx, dut, 3)
        await write(ctx, dut, rng, status, 1)
        assert await read(ctx, dut, rng, status) == 2
        # Set and cleared at once stays set.
        ctx.set(dut.irq, 2)
        await write(ctx, dut, rng, status, 2)
        ctx.set(dut.irq, 0)
        assert await read(ctx, dut, rng, status) == 2

    simulate(testbench)


def test_an_access_takes_no_more_than_its_cycles():
    rng = random.Random(3)

    async def testbench(ctx, dut):
        axil = dut.axil
        ctx.set(axil.rready, 1)
        ctx.set(axil.bready, 1)
        for _ in range(30):
            await ctx.tick().repeat(rng.randrange(1, 5))
            ctx.set(axil.arvalid, 1)
            cycles = 0
            while not ctx.get(axil.rvalid):
                (_, _, ready) = await ctx.tick().sample(axil.arready)
                cycles += 1
                if ready:
                    ctx.set(axil.arvalid, 0)
            assert 2 <= cycles <= 4, cycles

    simulate(testbench)
