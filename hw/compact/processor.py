"""The compact chip's processor: an accumulator machine of 32 bits with program and data in block RAM."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.bank import NO_CHECK
from .alu import Alu
from .bus import DatapathBus, Parameter
from .encoding import CALL_DEPTH, DATA_ADDRESS_BITS, PROGRAM_ADDRESS_BITS, Condition, Input, Operation
from .memory_map import REGISTER_WORDS

#: Bits of `Input.TIME`.
TIME_BITS = 16


class RegisterAccess(wiring.Signature):
    """The register space in the processor's data memory, seen from who asks. Reads and writes are on their own.

    Members
    -------
    write : Out(1), write_address : Out(7), write_data : Out(32), write_strobe : Out(4), written : In(1)
        Written in the first cycle with `write` and `written`.
    read : Out(1), read_address : Out(7), taken : In(1), read_data : In(32)
        `read_data` is the word in the cycle after the first with `read` and `taken`.
    """

    def __init__(self) -> None:
        width = (REGISTER_WORDS - 1).bit_length()
        super().__init__(
            {
                "write": Out(1), "write_address": Out(width), "write_data": Out(32), "write_strobe": Out(4), "written": In(1),
                "read": Out(1), "read_address": Out(width), "taken": In(1), "read_data": In(32),
            }
        )  # fmt: skip


class Processor(wiring.Component):
    """Runs a program (`encoding.py`) from address 0.

    Registers: A (32 bits), X (8), carry, program counter, `CALL_DEPTH` return addresses. An instruction takes two cycles: in the first the data
    memory is read, in the second A, X or a memory word is written and the next instruction is read. Words
    that the datapath fetches go to the data memory at X, which moves on; the second cycle of a STORE that meets one is repeated. The registers'
    accesses use the second cycles, in which the processor does not read: they never slow it down. A read is served within two cycles, a write at
    the first instruction that is no STORE, unless a word is fetched or a register read.

    Latency: the first instruction ends in the third cycle after reset. Reset: begins at address 0; A, X, carry, the return addresses and
    the data memory keep what they hold.

    Parameters
    ----------
    config : ChipConfig
    program : sequence of int
        Words of 16 bits.

    Members
    -------
    bus : Out(DatapathBus)
    registers : In(RegisterAccess)
    i_doorbell : In(1)
        `Condition.DOORBELL`.
    i_restart : In(1)
        `Input.TIME` is 0 in the next cycle.
    i_moved : In(1)
        `Condition.MOVED`.
    o_write : Out(1), o_port : Out(4), o_data : Out(32)
        An `Output` from 16 on is written, numbered from 0.
    o_x : Out(8)
        X.

    Raises
    ------
    ValueError
        if there is no program, it does not fit, or a word does not.
    """

    def __init__(self, *, config: ChipConfig, program: Sequence[int]) -> None:
        limit = 1 << PROGRAM_ADDRESS_BITS
        if not 1 <= len(program) <= limit:
            raise ValueError(f"program must be 1 to {limit} words, not {len(program)}: shorten it")
        if not all(0 <= word < 1 << 16 for word in program):
            raise ValueError(f"program must be words of 16 bits, not {next(word for word in program if not 0 <= word < 1 << 16):#x}")
        self._config = config
        self._program = tuple(program)
        super().__init__(
            {
                "bus": Out(DatapathBus(config)), "registers": In(RegisterAccess()), "i_doorbell": In(1), "i_restart": In(1), "i_moved": In(1),
                "o_write": Out(1), "o_port": Out(4), "o_data": Out(32), "o_x": Out(DATA_ADDRESS_BITS),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Filled up to a power of two, so that block RAMs hold some bits of all words, and nothing need choose among their outputs.
        depth = 1 << (len(self._program) - 1).bit_length()
        m.submodules.program = program = Memory(shape=16, depth=depth, init=self._program)
        word = program.read_port()
        instruction = word.data
        operand, operation = instruction[:DATA_ADDRESS_BITS], instruction[8:12]
        # `second`: of the two cycles. `ready`: the instruction is one, which it is not in the first cycle after reset.
        second, ready, advance, execute = Signal(init=1), Signal(), Signal(), Signal()
        # The first instruction follows the last address.
        pc, following = Signal(PROGRAM_ADDRESS_BITS, init=-1 % (1 << PROGRAM_ADDRESS_BITS)), Signal(PROGRAM_ADDRESS_BITS)
        stores = operation == Operation.STORE
        m.d.comb += [
            execute.eq(second & ready & ~instruction[15]),
            advance.eq(second & ~(execute & stores & self.bus.fetched)),
            word.addr.eq(following),
            word.en.eq(advance),
        ]
        m.d.sync += ready.eq(1)
        with m.If(~second | advance):
            m.d.sync += second.eq(~second)

        m.submodules.alu = alu = Alu()
        self._compute(m, alu, instruction, execute)
        address = Signal(DATA_ADDRESS_BITS)
        m.d.comb += address.eq(operand | Mux(instruction[14], self.o_x, 0))
        self._memory(m, alu, address, second, execute & stores)
        with m.If(execute & (operation == Operation.INDEX)):
            m.d.sync += self.o_x.eq(alu.o_s)
        with m.If(self.bus.fetched):
            m.d.sync += self.o_x.eq(self.o_x + 1)
        outputs = execute & (operation == Operation.OUTPUT)
        m.d.comb += [
            self.bus.write.eq(outputs & ~operand[4]),
            self.bus.index.eq(Parameter(operand[:4])),
            self.bus.data.eq(alu.o_a),
            self.o_write.eq(outputs & operand[4]),
            self.o_port.eq(operand[:4]),
            self.o_data.eq(alu.o_a),
        ]
        self._jump(m, instruction, alu, pc, following, advance)
        return m

    def _compute(self, m: Module, alu: Alu, instruction: Value, execute: Value) -> None:
        """What S is beside the memory: immediate and inputs."""
        time = Signal(TIME_BITS)
        m.d.sync += time.eq(Mux(self.i_restart, 0, time + 1))
        small = Signal(max(TIME_BITS, self._config.axi_address_width, DATA_ADDRESS_BITS))
        m.d.comb += small.eq(instruction[:DATA_ADDRESS_BITS])
        with m.If(instruction[14]):
            m.d.comb += small.eq(Mux(instruction[0] == Input.TIME, time, self.bus.error_address))
        m.d.comb += [
            alu.i_input.eq(small),
            alu.i_source.eq(instruction[12:14]),
            alu.i_operation.eq(instruction[8:12]),
            alu.i_execute.eq(execute),
        ]

    def _memory(self, m: Module, alu: Alu, address: Value, second: Value, stores: Value) -> None:
        """The data memory: the datapath's words first, then the processor; registers in the second of its cycles, when it does not store."""
        bus, registers = self.bus, self.registers
        # No word is read and written in one cycle but one the datapath fetches, which nobody reads before the end of the command.
        m.submodules.data = memory = self.memory = Memory(shape=32, depth=1 << DATA_ADDRESS_BITS, init=[], attrs=NO_CHECK)
        read, write = memory.read_port(), memory.write_port(granularity=8)
        m.d.comb += [
            read.en.eq(~second | registers.read),
            read.addr.eq(Mux(second, registers.read_address, address)),
            registers.taken.eq(second),
            registers.read_data.eq(read.data),
            alu.i_memory.eq(read.data),
            registers.written.eq(second & ~stores & ~bus.fetched & ~registers.read),
            write.addr.eq(registers.write_address),
            write.data.eq(registers.write_data),
            write.en.eq(registers.write_strobe & (registers.write & registers.written).replicate(4)),
        ]
        with m.If(stores):
            m.d.comb += [write.addr.eq(address), write.data.eq(alu.o_a), write.en.eq(0xF)]
        with m.If(bus.fetched):
            m.d.comb += [write.addr.eq(self.o_x), write.data.eq(bus.word), write.en.eq(0xF)]

    def _jump(self, m: Module, instruction: Value, alu: Alu, pc: Signal, following: Signal, advance: Value) -> None:
        """Where the program goes on: whether it jumps is found out in the first cycle of an instruction, the address made in the second."""
        condition, holds, taken = instruction[PROGRAM_ADDRESS_BITS:15], Signal(), Signal()
        conditions: dict[Condition, Value] = {
            Condition.ALWAYS: Const(1), Condition.CALL: Const(1), Condition.RETURN: Const(1), Condition.ZERO: alu.o_zero,
            Condition.NONZERO: ~alu.o_zero, Condition.CARRY: alu.o_carry, Condition.NO_CARRY: ~alu.o_carry, Condition.NEGATIVE: alu.o_a[31],
            Condition.ODD: alu.o_a[0], Condition.BUSY: self.bus.busy, Condition.FREE: ~self.bus.busy, Condition.ERROR: self.bus.error,
            Condition.MOVED: self.i_moved, Condition.DOORBELL: self.i_doorbell, Condition.EVEN: ~alu.o_a[0],
        }  # fmt: skip
        with m.Switch(condition):
            for name, value in conditions.items():
                with m.Case(name):
                    m.d.comb += holds.eq(value)
        m.d.sync += taken.eq(instruction[15] & holds)
        stack = [Signal(PROGRAM_ADDRESS_BITS, name=f"return{level}") for level in range(CALL_DEPTH)]
        after = Signal.like(pc)
        m.d.comb += [after.eq(pc + 1), following.eq(after)]
        with m.If(taken):
            m.d.comb += following.eq(Mux(condition == Condition.RETURN, stack[0], instruction[:PROGRAM_ADDRESS_BITS]))
        with m.If(advance):
            m.d.sync += pc.eq(following)
            with m.If(taken & (condition == Condition.CALL)):
                m.d.sync += Cat(stack).eq(Cat(after, *stack[:-1]))
            with m.If(taken & (condition == Condition.RETURN)):
                m.d.sync += Cat(stack[:-1]).eq(Cat(stack[1:]))
