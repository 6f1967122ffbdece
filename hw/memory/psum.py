"""PSUM: banks of 32-bit rows that take a row a cycle, overwriting or accumulating, while another bank is read."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In

from ..common.config import ChipConfig
from .accumulator import Accumulator
from .bank import NO_CHECK
from .ports import PsumRead, PsumWrite, psum_row_layout

#: Rows up to which all banks lie in one memory, which is there twice: block RAM is that deep however few rows a bank has, so the second copy costs
#: less than the multiplexers between memories of one bank each.
SHARED_ROWS = 512


def psum_write_latency(config: ChipConfig) -> int:
    """Cycles from a write pulse to the cycle that writes the memory: reading the old row, then the adder."""
    return 1 + config.accumulator_stages


class PsumBanks(wiring.Component):
    """`psum_banks` memories of `psum_rows` rows, and one adder a column that all of them share.

    Write: a pulse in cycle t is in the memory at the end of cycle t + `write_latency`, so a read accepted or an accumulation arriving in
    cycle t + `write_latency` + 1 or later sees it, and one in an earlier cycle gets the row as it was: no forwarding, the tensor
    engine holds back a row that would accumulate too early. A read in cycle t + `write_latency` itself, of the same row, gets the row as it was in
    simulation and something undefined in block RAM: the tensor engine holds back rows for so long, and an Evict waits for the done of what it reads.
    Overwriting takes the same path and time. Throughput: a write every cycle for ever.

    Read: `read_latency` cycles from acceptance to the response (the memory, then a register behind the bank multiplexer), one a cycle. A
    request is refused only in a cycle in which a row is accumulated into the same bank, because both need its one read port.

    All of this is the same whether the banks are memories of their own or, up to `SHARED_ROWS` rows in all, lie in one memory for the adders and
    one of equal contents for `read`. `read.request.ready` comes three gates behind `write` and the request; `response` from flip-flops.

    Memories are undefined at power-up; overwriting never lets old contents through. Reset forgets every write and read on its way.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    write : In(PsumWrite)
        `is_float` is ignored where only one kind of number is built.
    read : In(PsumRead)

    Raises
    ------
    TypeError
        if `config` is not a ChipConfig.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        super().__init__({"write": In(PsumWrite(config)), "read": In(PsumRead(config))})

    @property
    def write_latency(self) -> int:
        """Cycles from a write pulse to the cycle that writes it; readable in the next."""
        return psum_write_latency(self._config)

    @property
    def read_latency(self) -> int:
        """Cycles from an accepted read to its response."""
        return 2

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        read, write = self.read, self.write
        adding, reading = Signal(), Signal()
        m.d.comb += [
            adding.eq(write.valid & write.accumulate),
            read.request.ready.eq(~(adding & (write.bank == read.request.payload.bank))),
            reading.eq(read.request.valid & read.request.ready),
        ]
        # Both users of a memory's read port see its output in the next cycle.
        old_row, read_row = Signal(psum_row_layout(self._config)), Signal(psum_row_layout(self._config))
        valid, target, sums = self._accumulate(m, old_row)
        store = self._share if self._config.psum_banks * self._config.psum_rows <= SHARED_ROWS else self._separate
        store(m, adding, reading, (old_row, read_row), (valid, target, sums))
        answering, answer = Signal(), Signal.like(read_row, reset_less=True)
        m.d.sync += [answering.eq(reading), read.response.valid.eq(answering), answer.eq(read_row)]
        m.d.comb += read.response.data.eq(answer)
        return m

    def _memory(self, depth: int) -> memory.Memory:
        return memory.Memory(shape=32 * self._config.cols, depth=depth, init=[], attrs=NO_CHECK)

    def _share(self, m: Module, adding: Signal, reading: Signal, outputs: tuple[Any, Any], stored: tuple[Value, Any, Value]) -> None:
        """Two memories of all banks, written alike: `bank0` is read by the adders, `bank_copy` by the reader."""
        config, (valid, target, sums) = self._config, stored
        users = (("bank0", adding, self.write), ("bank_copy", reading, self.read.request.payload))
        for (name, used, place), output in zip(users, outputs, strict=True):
            m.submodules[name] = storage = self._memory(config.psum_banks * config.psum_rows)
            port, write = storage.read_port(), storage.write_port()
            m.d.comb += [
                port.en.eq(used),
                port.addr.eq(Cat(place.row, place.bank)),
                Value.cast(output).eq(port.data),
                write.en.eq(valid),
                write.addr.eq(Cat(target.row, target.bank)),
                write.data.eq(sums),
            ]

    def _separate(self, m: Module, adding: Signal, reading: Signal, outputs: tuple[Any, Any], stored: tuple[Value, Any, Value]) -> None:
        """A memory a bank, whose read port the adders and the reader share."""
        config, write, (valid, target, sums) = self._config, self.write, stored
        asked = self.read.request.payload
        add_bank, read_bank = Signal.like(write.bank), Signal.like(asked.bank)
        m.d.sync += [add_bank.eq(write.bank), read_bank.eq(asked.bank)]
        for bank in range(config.psum_banks):
            m.submodules[f"bank{bank}"] = storage = self._memory(config.psum_rows)
            port, write_port = storage.read_port(), storage.write_port()
            add_here, read_here = Signal(name=f"add_here{bank}"), Signal(name=f"read_here{bank}")
            m.d.comb += [
                add_here.eq(adding & (write.bank == bank)),
                read_here.eq(reading & (asked.bank == bank)),
                port.en.eq(add_here | read_here),
                port.addr.eq(Mux(add_here, write.row, asked.row)),
                write_port.en.eq(valid & (target.bank == bank)),
                write_port.addr.eq(target.row),
                write_port.data.eq(sums),
            ]
            for chosen, output in zip((add_bank, read_bank), outputs, strict=True):
                with m.If(chosen == bank):
                    m.d.comb += Value.cast(output).eq(port.data)

    def _accumulate(self, m: Module, old_row: Any) -> tuple[Value, Any, Value]:
        """The adders, fed one cycle after the write pulse, and beside them the way of the row's address: what to write, where, and whether."""
        config, write = self._config, self.write
        new_row = Signal(psum_row_layout(config), reset_less=True)
        accumulate, is_float = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [new_row.eq(write.data), accumulate.eq(write.accumulate), is_float.eq(write.is_float)]
        sums = Signal(psum_row_layout(config))
        for col in range(config.cols):
            m.submodules[f"accumulator{col}"] = adder = Accumulator(config=config)
            m.d.comb += [
                adder.memory.eq(old_row[col]),
                adder.data.eq(new_row[col]),
                adder.accumulate.eq(accumulate),
                adder.is_float.eq(is_float),
                sums[col].eq(adder.o),
            ]
        place = data.StructLayout({"bank": config.psum_bank_width, "row": config.psum_row_width})
        valid, target = write.valid, Signal(place)
        m.d.comb += [target.bank.eq(write.bank), target.row.eq(write.row)]
        for stage in range(self.write_latency):
            later, moved = Signal(name=f"valid{stage}"), Signal(place, name=f"target{stage}", reset_less=True)
            m.d.sync += [later.eq(valid), moved.eq(target)]
            valid, target = later, moved
        return valid, target, Value.cast(sums)
