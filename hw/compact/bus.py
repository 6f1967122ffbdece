"""Between the processor of the compact chip and its datapath: parameters, one command at a time, and how it ended."""

from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig


class Parameter(enum.Enum, shape=4):
    """What `index` of a write names. Written only while `busy` is low. A stride and FLAGS keep their value from command to command; the others are
    what a command counts with, and it leaves them moved on as described (after an error: somewhere on the way)."""

    SBUF = 0
    """First SBUF line; left behind the last step (SBUF + COUNT * SBUF_STRIDE) by all commands but FETCH."""
    SBUF_STRIDE = 1
    """Lines from step to step, signed."""
    DRAM = 2
    """First DRAM byte address; left behind the last step (DRAM + COUNT * DRAM_STRIDE) by LOAD, STORE and FETCH."""
    DRAM_STRIDE = 3
    """Bytes from step to step, signed."""
    COUNT = 4
    """Steps, 1..65535; every command counts it down to 0, so it is written for each."""
    PSUM = 5
    """PSUM bank * `psum_rows` + row; MULTIPLY and EVICT leave it behind the last row, ready to go on."""
    ROW = 6
    """Stationary row; LOAD_STATIONARY leaves it behind the last row, ready to go on."""
    FLAGS = 7
    """MULTIPLY: bit 0 accumulate, bit 1 swap (at the first row; cleared by the command), bits 8.. lanes (a bit a row that takes part).
    EVICT: bits 0..2 OutputMode, bit 3 bias, bit 4 ReLU."""
    COMMAND = 15
    """Starts a `Command`; only while `busy` is low."""


class Command(enum.Enum, shape=4):
    """What the datapath does."""

    NONE = 0
    LOAD = 1
    """COUNT lines from DRAM to SBUF."""
    STORE = 2
    """COUNT lines from SBUF to DRAM; ends when the last write is acknowledged."""
    LOAD_STATIONARY = 3
    """COUNT rows from SBUF into the background of array rows ROW, ROW + 1, ..."""
    MULTIPLY = 4
    """COUNT moving rows from SBUF through the array into PSUM; ends when the last row is written."""
    LOAD_CHANNEL = 5
    """Eight lines from SBUF: biases, then scale words, of the output stage. COUNT must be 8 and SBUF_STRIDE 1."""
    EVICT = 6
    """COUNT rows from PSUM through the output stage to SBUF; step is the row's first line."""
    FETCH = 7
    """Reads COUNT words of 32 bits at DRAM, DRAM + DRAM_STRIDE, ... for the processor: each is at `word` in a cycle with `fetched`. Of a line of
    more than 32 bits the word is the part that DRAM points at."""


class DatapathBus(wiring.Signature):
    """Seen from the processor.

    Members
    -------
    write : Out(1), index : Out(Parameter), data : Out(32)
        A parameter or a command is written.
    busy : In(1)
        From the cycle after a COMMAND to its end.
    fetched : In(1), word : In(32)
        Pulse: `word` is the next one of a FETCH. Never refused, at most one in two cycles; the last comes before `busy` falls.
    error : In(1), error_address : In(axi_address_width)
        AXI answered the last LOAD, STORE or FETCH with an error: at the first such address; nothing was written to SBUF (or
        `fetched`) from there on. Cleared by the next command.
    moved : In(1)
        Memory or AXI took part in a transfer in this cycle: progress, for the watchdog.
    """

    def __init__(self, config: ChipConfig) -> None:
        super().__init__(
            {
                "write": Out(1), "index": Out(Parameter), "data": Out(32), "busy": In(1), "fetched": In(1), "word": In(32),
                "error": In(1), "error_address": In(config.axi_address_width), "moved": In(1),
            }
        )  # fmt: skip
