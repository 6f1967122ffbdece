"""The compact processor's instruction word: 16 bits, decoded almost without logic.

====  ========================================================================================================
bits  of a jump (bit 15 set)
====  ========================================================================================================
14-11 `Condition`
10-0  address in the program
====  ========================================================================================================

====  ========================================================================================================
bits  of all others
====  ========================================================================================================
14    indexed: the address is `operand | X`; with source INPUT: an input of the machine, not an immediate
13-12 `Source`, S
11-8  `Operation`
7-0   operand: an address of the data memory, an immediate, the number of an `Input` or an `Output`
====  ========================================================================================================
"""

from enum import IntEnum

#: Bits of an address in the program, of an address of the data memory, and of an operand.
PROGRAM_ADDRESS_BITS, DATA_ADDRESS_BITS = 11, 8

#: Return addresses the processor holds: calls may be nested as deep.
CALL_DEPTH = 2


class Condition(IntEnum):
    """When a jump is taken."""

    ALWAYS = 0
    CALL = 1
    """Always; the address of the next instruction is pushed."""
    RETURN = 2
    """Always, to the address that is popped."""
    ZERO = 3
    """A is 0."""
    NONZERO = 4
    CARRY = 5
    """The last addition carried, or the last subtraction or comparison did not borrow: A >= S, unsigned."""
    NO_CARRY = 6
    NEGATIVE = 7
    """Bit 31 of A is set."""
    ODD = 8
    """Bit 0 of A is set."""
    BUSY = 9
    """The datapath runs a command."""
    FREE = 10
    ERROR = 11
    """Its last command met an error."""
    MOVED = 12
    """Something moved in it since this was last cleared."""
    DOORBELL = 13
    """The host asks for a job."""
    EVEN = 14


class Source(IntEnum):
    """What S is."""

    MEMORY = 0
    INPUT = 1
    """Not indexed: the operand itself, 8 bits. Indexed: an `Input`."""
    ROTATED = 2
    """A rotated right by 4."""
    SHIFTED = 3
    """A shifted right by 1; a zero comes in."""


class Operation(IntEnum):
    """What is done with A and S. Bit 3: A is written. Bit 2: with A + B rather than B, and the carry flag follows. Bits 1-0, B: S, ~S, A & S, ~A & S.

    The carry into the sum is bit 1-0 == 1, which makes A + ~S + 1 of a subtraction.
    """

    STORE = 0b0000
    """A goes to the data memory."""
    OUTPUT = 0b0010
    """A goes to an `Output`."""
    INDEX = 0b0001
    """X becomes the low bits of S."""
    COMPARE = 0b0101
    """Only the carry flag changes, as by SUBTRACT."""
    LOAD = 0b1000
    INVERT = 0b1001
    """A becomes ~S."""
    AND = 0b1010
    ADD = 0b1100
    SUBTRACT = 0b1101
    OR = 0b1111


class Input(IntEnum):
    """Inputs of the machine."""

    TIME = 0
    """Cycles since the doorbell, modulo 2**16."""
    ERROR_ADDRESS = 1
    """`DatapathBus.error_address`."""


class Output(IntEnum):
    """Outputs of the machine; below 16, the operand is a `Parameter` of the datapath."""

    CONTROL = 16
    """Bits of `Control`."""
    TRACE = 17
    """Bits 2-0: state of the engine that X[5:4] names. Bits 7-3: `trace_start`, for a cycle."""
    DONE = 18
    """Bits 4-0: `trace_done`, for a cycle; the state of the engine that X[5:4] names becomes 0."""


class Control(IntEnum):
    """Bits of `Output.CONTROL`."""

    UP = 0
    """Registers may be accessed; held until the next write."""
    IDLE = 1
    """The doorbell may ring; held until the next write."""
    ANSWER = 2
    """Takes the doorbell back."""
    STILL = 3
    """Clears `Condition.MOVED`."""
    IRQ_DONE = 4
    """Sets bit 0 of IRQ_STATUS."""
    IRQ_ERROR = 5
    """Sets bit 1 of IRQ_STATUS."""
