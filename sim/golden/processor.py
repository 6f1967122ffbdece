"""Golden model of the compact processor: one instruction at a time, two cycles each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hw.compact.encoding import DATA_ADDRESS_BITS, PROGRAM_ADDRESS_BITS, Condition, Input, Operation, Source

_WORD = (1 << 32) - 1
_ADDRESS = (1 << DATA_ADDRESS_BITS) - 1

#: Cycles of an instruction.
CYCLES = 2


@dataclass(kw_only=True)
class ProcessorModel:
    """Registers and data memory of the processor, and what it does to them.

    Parameters
    ----------
    program : sequence of int
        Words (`hw.compact.encoding`).
    flag : function of Condition
        The conditions that come from outside: BUSY, ERROR, MOVED, DOORBELL.
    read : function of Input
        Inputs of the machine.
    write : function of (port, data, X)
        Outputs of the machine.
    """

    program: Sequence[int]
    flag: Callable[[Condition], bool]
    read: Callable[[Input], int]
    write: Callable[[int, int, int], None]
    memory: list[int] = field(default_factory=lambda: [0] * (_ADDRESS + 1))
    a: int = 0
    x: int = 0
    carry: bool = False
    pc: int = 0
    stack: list[int] = field(default_factory=lambda: [0, 0])

    def step(self) -> None:
        """One instruction."""
        word = self.program[self.pc]
        self.pc += 1
        if word >> 15:
            self._jump(Condition(word >> PROGRAM_ADDRESS_BITS & 15), word & ((1 << PROGRAM_ADDRESS_BITS) - 1))
        else:
            self._operate(word >> 14 & 1, Source(word >> 12 & 3), Operation(word >> 8 & 15), word & _ADDRESS)

    def _jump(self, condition: Condition, target: int) -> None:
        if condition is Condition.RETURN:
            self.pc, self.stack = self.stack[0], [self.stack[1], self.stack[1]]
            return
        if condition is Condition.CALL:
            self.stack = [self.pc, self.stack[0]]
        if self._holds(condition):
            self.pc = target

    def _holds(self, condition: Condition) -> bool:
        own = {
            Condition.ALWAYS: True, Condition.CALL: True, Condition.ZERO: self.a == 0, Condition.NONZERO: self.a != 0,
            Condition.CARRY: self.carry, Condition.NO_CARRY: not self.carry, Condition.NEGATIVE: bool(self.a >> 31), Condition.ODD: bool(self.a & 1),
            Condition.EVEN: not self.a & 1,
        }  # fmt: skip
        if condition in own:
            return own[condition]
        return not self.flag(Condition.BUSY) if condition is Condition.FREE else self.flag(condition)

    def _operate(self, indexed: int, source: Source, operation: Operation, operand: int) -> None:
        address = operand | self.x if indexed else operand
        s = {
            Source.MEMORY: lambda: self.memory[address],
            Source.INPUT: lambda: self.read(Input(operand)) if indexed else operand,
            Source.ROTATED: lambda: self.a >> 4 | self.a << 28 & _WORD,
            Source.SHIFTED: lambda: self.a >> 1,
        }[source]()
        if operation is Operation.STORE:
            self.memory[address] = self.a
        elif operation is Operation.OUTPUT:
            self.write(operand, self.a, self.x)
        elif operation is Operation.INDEX:
            self.x = s & _ADDRESS
        else:
            self._compute(operation, s)

    def _compute(self, operation: Operation, s: int) -> None:
        b = (s, s ^ _WORD, self.a & s, s & ~self.a)[operation & 3]
        result = b
        if operation & 4:
            total = self.a + b + (operation & 3 == 1)
            self.carry, result = bool(total >> 32), total & _WORD
        if operation & 8:
            self.a = result
