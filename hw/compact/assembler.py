"""Assembler of the compact processor: a program is Python that calls one method per instruction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .encoding import DATA_ADDRESS_BITS, PROGRAM_ADDRESS_BITS, Condition, Input, Operation, Output, Source

_WORD = (1 << 32) - 1


class AssemblyError(ValueError):
    """A program that cannot be: the message names the label, operand or limit."""


@dataclass(frozen=True)
class Cell:
    """A word of the data memory; `indexed` ones are found at `address | X`."""

    address: int
    indexed: bool = False

    def at_x(self) -> Cell:
        """The same, indexed."""
        return replace(self, indexed=True)

    def __add__(self, offset: int) -> Cell:
        return replace(self, address=self.address + offset)


@dataclass(frozen=True)
class Program:
    """An assembled program: words, and the addresses of its labels."""

    words: tuple[int, ...]
    labels: dict[str, int]


class Assembler:
    """Collects instructions and makes words of them.

    Immediates below 256 are part of an instruction; larger ones live in cells of the data memory, which `constant` hands out and
    `load_constants` fills: the program must do so before it uses one.

    Parameters
    ----------
    spare : list of int
        Addresses of the data memory that the program leaves to variables and constants.

    Raises
    ------
    AssemblyError
        from any method: for what the machine does not have, a label met twice or never, or memory that does not suffice.
    """

    def __init__(self, *, spare: list[int]) -> None:
        self._spare = list(spare)
        self._words: list[int | tuple[Condition, str]] = []
        self._labels: dict[str, int] = {}
        self._variables: dict[str, Cell] = {}
        self._constants: dict[int, Cell] = {}
        self._unique = 0
        self._closed = False

    # Memory --------------------------------------------------------------------------------------------------

    def _take(self, what: str, count: int = 1) -> Cell:
        for start in self._spare:
            wanted = range(start, start + count)
            if start % count == 0 and all(address in self._spare for address in wanted):
                self._spare = [address for address in self._spare if address not in wanted]
                return Cell(start)
        raise AssemblyError(f"data memory must have {count} aligned words for {what}, {len(self._spare)} are left")

    def variable(self, name: str, count: int = 1) -> Cell:
        """The cell called `name`, the first of `count` (a power of two; addresses are aligned to it); always the same for one name."""
        if name not in self._variables:
            self._variables[name] = self._take(name, count)
        return self._variables[name]

    def constant(self, value: int) -> Cell:
        """The cell that holds `value`."""
        value &= _WORD
        if value not in self._constants:
            if self._closed:
                raise AssemblyError(f"constant {value:#x} must be used before load_constants")
            self._constants[value] = self._take(f"constant {value:#x}")
        return self._constants[value]

    def load_constants(self, label: str) -> None:
        """Subroutine `label`, to be placed behind the last use of a constant: fills their cells."""
        self._closed = True
        self.label(label)
        for value, cell in sorted(self._constants.items()):
            self.build(value)
            self.store(cell)
        self.ret()

    def build(self, value: int) -> None:
        """A = `value`, of immediates alone."""
        value &= _WORD
        if value < 256:
            self.load(value)
            return
        if value ^ _WORD < 256:
            self.invert(value ^ _WORD)
            return
        turns = next((turn for turn in range(1, 8) if self._rotated(value, -turn) < 256), None)
        if turns is not None:  # one byte, somewhere
            self.load(self._rotated(value, -turns))
            self.rotate(4 * turns)
            return
        self.load(value & 0xFF)
        for place in (8, 16, 24):
            self.rotate(8)
            if value >> place & 0xFF:
                self.or_(value >> place & 0xFF)
        self.rotate(8)

    @staticmethod
    def _rotated(value: int, nibbles: int) -> int:
        """Rotated right by `nibbles`, left where negative."""
        turn = 4 * nibbles % 32
        return (value >> turn | value << (32 - turn)) & _WORD

    # Instructions --------------------------------------------------------------------------------------------

    def _emit(self, operation: Operation, source: Source = Source.MEMORY, operand: int = 0, indexed: bool = False) -> None:
        if not 0 <= operand < 1 << DATA_ADDRESS_BITS:
            raise AssemblyError(f"operand must be 0 to {(1 << DATA_ADDRESS_BITS) - 1}, not {operand!r}")
        self._words.append(indexed << 14 | source << 12 | operation << 8 | operand)

    def _with(self, operation: Operation, value: Cell | Input | int) -> None:
        if isinstance(value, Input):
            self._emit(operation, Source.INPUT, value, True)
        elif isinstance(value, int) and 0 <= value < 256:
            self._emit(operation, Source.INPUT, value)
        else:
            cell = self.constant(value) if isinstance(value, int) else value
            self._emit(operation, Source.MEMORY, cell.address, cell.indexed)

    def load(self, value: Cell | Input | int) -> None:
        """A = value; a large number takes several instructions and no constant."""
        if isinstance(value, int) and not isinstance(value, Input) and not 0 <= value < 256:
            self.build(value)
        else:
            self._with(Operation.LOAD, value)

    def invert(self, value: Cell | int) -> None:
        """A = ~value."""
        self._with(Operation.INVERT, value)

    def add(self, value: Cell | int) -> None:
        """A = A + value; carry."""
        self._with(Operation.ADD, value)

    def subtract(self, value: Cell | int) -> None:
        """A = A - value; carry: no borrow."""
        self._with(Operation.SUBTRACT, value)

    def compare(self, value: Cell | int) -> None:
        """Carry: A >= value."""
        self._with(Operation.COMPARE, value)

    def and_(self, value: Cell | int) -> None:
        """A = A & value."""
        self._with(Operation.AND, value)

    def or_(self, value: Cell | int) -> None:
        """A = A | value."""
        self._with(Operation.OR, value)

    def index(self, value: Cell | int) -> None:
        """X = value."""
        self._with(Operation.INDEX, value)

    def store(self, cell: Cell) -> None:
        """Cell = A."""
        self._emit(Operation.STORE, Source.MEMORY, cell.address, cell.indexed)

    def output(self, port: int) -> None:
        """A goes to an `Output` or a parameter of the datapath."""
        if port >= 16:
            port = Output(port)
        self._emit(Operation.OUTPUT, Source.MEMORY, port)

    def rotate(self, bits: int) -> None:
        """A rotated right by a multiple of 4."""
        if bits % 4:
            raise AssemblyError(f"rotation must be a multiple of 4, not {bits!r}")
        for _ in range(bits % 32 // 4):
            self._emit(Operation.LOAD, Source.ROTATED)

    def shift(self) -> None:
        """A shifted right by 1."""
        self._emit(Operation.LOAD, Source.SHIFTED)

    # Flow ----------------------------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        """Names the next instruction."""
        if name in self._labels:
            raise AssemblyError(f"label {name!r} must be placed once")
        self._labels[name] = len(self._words)

    def unique(self, stem: str) -> str:
        """A label name that nothing else has."""
        self._unique += 1
        return f"{stem}.{self._unique}"

    def jump(self, label: str, condition: Condition = Condition.ALWAYS) -> None:
        """Goes to `label` if the condition holds."""
        self._words.append((condition, label))

    def call(self, label: str) -> None:
        """Goes to the subroutine `label`; at most `CALL_DEPTH` deep."""
        self.jump(label, Condition.CALL)

    def ret(self) -> None:
        """Back to behind the call."""
        self._words.append(1 << 15 | Condition.RETURN << PROGRAM_ADDRESS_BITS)

    def assemble(self) -> Program:
        """The program."""
        if len(self._words) > 1 << PROGRAM_ADDRESS_BITS:
            raise AssemblyError(f"program must be at most {1 << PROGRAM_ADDRESS_BITS} words, not {len(self._words)}")
        words = []
        for word in self._words:
            if isinstance(word, tuple):
                condition, label = word
                if label not in self._labels:
                    raise AssemblyError(f"label {label!r} must be placed somewhere")
                word = 1 << 15 | condition << PROGRAM_ADDRESS_BITS | self._labels[label]
            words.append(word)
        return Program(tuple(words), dict(self._labels))
