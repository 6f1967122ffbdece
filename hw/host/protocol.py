"""What goes over the host link: the one source for the bridge, the host library, the models and docs/host_link.md.

A frame is framed as RFC 1662 frames octets: `FLAG`, the body with every `FLAG` and `ESCAPE` in it replaced by `ESCAPE` and
the octet exclusive-or `ESCAPE_MASK`, `FLAG`. One flag may end a frame and begin the next, and any number of them may stand between frames: an empty
frame is none. All fields are little-endian; the last four octets of the body are the CRC-32 (that of IEEE 802.3, RFC 1952) of those before.

==========  ======  =================================================================================
request     octets  meaning
==========  ======  =================================================================================
sequence    1       number of the frame, modulo 256
operation   1       `OPERATION`: space, write, fixed, restart
count       1       words to read or write, 1..`MAX_WORDS`
address     4       byte address in the space, a multiple of 4
data        4*n     the words of a write
==========  ======  =================================================================================

==========  ======  =================================================================================
response    octets  meaning
==========  ======  =================================================================================
sequence    1       of the request; of the frame expected next where the status is BAD_FRAME or OUT_OF_ORDER
status      1       `Status`
data        4*n     the words of a read (n = count), if the status is OK
==========  ======  =================================================================================

Length. A body shorter than a header, longer than `LONGEST_BODY` octets (without CRC), or not as long as its operation and count say, is as bad as one
with a wrong CRC, and so is one that ends with an escape or lost a stop bit. Everything between two flags is a frame, garbage too.

Order and loss. The board executes a frame only if its sequence number is the one it expects, or if it has `restart` set, which sets that
number; then it expects the next, whatever the status. A frame of one of the `REPEATS` numbers before is one whose answer was lost: a read is executed
again, a write only answered: with OK, or with the status it had if it is the last write that went wrong. Any other number is answered
OUT_OF_ORDER. So every write happens once, and in order, whatever is lost. A frame with `restart` is executed however often it comes: it should do no harm
(reading MAGIC). A read that moves something on (a download pointer) moves it on again when it is repeated: check the pointer.

Order of the checks: BAD_FRAME, OUT_OF_ORDER, REFUSED, then the words one by one; the first that fails ends the frame.

Flow. The board keeps what it has received and not executed in a buffer of `RECEIVE_BUFFER` octets (bodies without flags, escapes and CRC, and 1 octet
more a frame). A host may have as many frames on their way as fit; one that does not is dropped and counted, never half executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

FLAG, ESCAPE, ESCAPE_MASK = 0x7E, 0x7D, 0x20
#: Longest burst of a frame, in words of 32 bits.
MAX_WORDS = 60
#: Octets of header of a request and of a response, of a CRC, of a word.
REQUEST_HEADER, RESPONSE_HEADER, CRC_BYTES, WORD_BYTES = 7, 2, 4, 4
#: Longest body of a frame without CRC: a write of `MAX_WORDS` words.
LONGEST_BODY = REQUEST_HEADER + WORD_BYTES * MAX_WORDS
#: Octets of the board's receive buffer: a block RAM of 512, less the CRC of the frame that is coming in and what tells full from empty.
RECEIVE_BUFFER = 504
#: Frames before the expected one that count as repeated.
REPEATS = 64


class Space(IntEnum):
    """What an address names."""

    BOARD = 0
    """Registers of the board (`BOARD_REGISTERS`)."""
    CSR = 1
    """Registers of the chip (hw/common/registers.py)."""
    MEMORY = 2
    """The memory behind the chip's AXI port."""
    SBUF = 3
    """SBUF, line 0 first, lane 0 of a line lowest. A write takes effect when the last word of its line has come."""


#: Bits of the operation octet: (offset, width).
OPERATION = {"space": (0, 2), "write": (2, 1), "fixed": (3, 1), "restart": (7, 1)}


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    """Everything was executed."""
    BAD_FRAME = 1
    """CRC or length is wrong; nothing was executed."""
    OUT_OF_ORDER = 2
    """A frame before this one is missing; nothing was executed."""
    REFUSED = 3
    """Count, alignment or a reserved bit; nothing was executed."""
    BUS_ERROR = 4
    """The address does not exist or answered with an error; the words before it have been written."""
    TIMEOUT = 5
    """Nothing answered within `BUS_TIMEOUT` cycles. From then on the space is not asked again, and every access to it ends so, until RESET:
    an answer that comes late could be taken for that to another request. Board registers are always asked."""


#: Cycles after which the bridge gives up a word.
BUS_TIMEOUT = 65536


@dataclass(frozen=True, kw_only=True)
class BoardRegister:
    """One 32-bit register of the board."""

    name: str
    address: int
    access: str
    doc: str


#: "MBRD" in ASCII, little-endian.
BOARD_MAGIC = 0x4452424D
PROTOCOL_VERSION = 1
#: Byte addresses where the registers of the self-test and of the logic analyser begin, and bytes of each block.
SELF_TEST_BASE, ANALYSER_BASE, BLOCK_BYTES = 0x100, 0x200, 0x100

BOARD_REGISTERS: dict[str, BoardRegister] = {
    register.name: register
    for register in (
        BoardRegister(name="MAGIC", address=0x00, access="ro", doc='"MBRD" in ASCII: the board side of a Meshium chip answers here'),
        BoardRegister(name="PROTOCOL", address=0x04, access="ro", doc="PROTOCOL_VERSION of the bridge"),
        BoardRegister(name="CONFIG_HASH", address=0x08, access="ro", doc="hash of the chip's configuration, as in its own register"),
        BoardRegister(name="MEMORY_BYTES", address=0x0C, access="ro", doc="bytes of the memory behind the chip's AXI port"),
        BoardRegister(name="SBUF_BYTES", address=0x10, access="ro", doc="bytes of SBUF"),
        BoardRegister(name="CLOCK_HZ", address=0x14, access="ro", doc="frequency of the chip's clock"),
        BoardRegister(name="RECEIVE_BUFFER", address=0x18, access="ro", doc="octets of the receive buffer"),
        BoardRegister(name="FEATURES", address=0x1C, access="ro", doc="bit 0: self-test, bit 1: logic analyser"),
        BoardRegister(name="STATUS", address=0x20, access="ro", doc="bit 0: the interrupt pin of the chip"),
        BoardRegister(name="RESET", address=0x24, access="w1s", doc="bit 0: resets the chip, its AXI port and self-test, not the link"),
        BoardRegister(name="BAD_FRAMES", address=0x28, access="ro", doc="frames with a wrong CRC or length since power-up, up to 255"),
        BoardRegister(name="DROPPED_FRAMES", address=0x2C, access="ro", doc="frames that found the receive buffer full, up to 255"),
        BoardRegister(name="LINE_ERRORS", address=0x30, access="ro", doc="octets without a stop bit, up to 255"),
        BoardRegister(name="SCRATCH", address=0x34, access="rw", doc="keeps what is written: a first test of the link"),
    )
}
