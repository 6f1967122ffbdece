"""SBUF: the banked scratchpad between DMA, tensor engine and output stage."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .arbiter import PriorityArbiter
from .bank import Bank
from .ports import SbufPort

#: The ports, highest priority first; also the bits of `Sbuf.o_waiting`.
PORTS = ("stationary", "moving", "output", "load", "store")
#: Ports that may read, and ports that may write.
READERS = ("stationary", "moving", "output", "store")
WRITERS = ("output", "load")


class Sbuf(wiring.Component):
    """Banked scratchpad with five ports of fixed priority.

    A bank is a contiguous range of `sbuf_bank_lines` lines and serves one request a cycle, a read or a write; different banks serve
    different ports at once, so up to `sbuf_banks` requests a cycle. Every port can be accepted in every cycle.

    Priority is the order of `PORTS`, decided per bank in the cycle of the request. `stationary` is accepted in the cycle it asks, always.
    Any other port is accepted in the first cycle in which no higher port asks for the same bank: a waiting `load` waits exactly as long
    as `stationary`, `moving` and `output` keep using its bank, a waiting `store` as long as those or `load` do. One free cycle is enough.

    Latency: the response of a read comes exactly `sbuf_latency` cycles after its acceptance, rotated so that the addressed line is lowest:
    1: the memory, then bank multiplexer and rotation. 2: a register behind those. 3: another between memory and multiplexer.
    4: another behind the arbiter, before the multiplexers of the banks. A write is seen by every read accepted in a later cycle, by any port.
    `write` is looked at for `output` only: `stationary`, `moving` and `store` always read, `load` always writes and gets no response.
    `ready` comes three or four gates behind `valid` and the bank of the ports before it, and looks at no `valid` of its own; with latency 2 and
    more, `response` comes from flip-flops.

    Reset drops the responses under way and keeps the contents, which are undefined at power-up.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    stationary, moving, output, load, store : In(SbufPort(config))
    o_waiting : Out(5)
        One bit a port, in the order of `PORTS`: a request is valid but not accepted in this cycle.

    Raises
    ------
    TypeError
        if `config` is not a ChipConfig (which is checked when it is made).
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        super().__init__({name: In(SbufPort(config)) for name in PORTS} | {"o_waiting": Out(len(PORTS))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        ports = [getattr(self, name) for name in PORTS]
        line_bits = (config.element_bytes - 1).bit_length()
        range_bits = (config.sbuf_bank_lines - 1).bit_length()
        words = []
        payloads = self._payloads(m, range_bits)
        for index in range(config.sbuf_banks):
            request, grant = Signal(len(PORTS), name=f"request{index}"), Signal(len(PORTS), name=f"grant{index}")
            m.submodules[f"arbiter{index}"] = arbiter = PriorityArbiter(requesters=len(PORTS))
            m.d.comb += [
                request.eq(Cat(port.request.valid & (port.request.payload.address[range_bits:] == index) for port in ports)),
                arbiter.i_request.eq(request),
                grant.eq(arbiter.o_grant),
            ]
            words.append(self._bank(m, index, grant, payloads, line_bits))
        for number, (name, port) in enumerate(zip(PORTS, ports, strict=True)):
            bank = port.request.payload.address[range_bits:]
            # What its bank's arbiter says, a few gates earlier: a higher port asks for the same bank.
            ahead = [other.request.valid & (other.request.payload.address[range_bits:] == bank) for other in ports[:number]]
            m.d.comb += [
                port.request.ready.eq(~Cat(ahead).any()),
                self.o_waiting[number].eq(port.request.valid & ~port.request.ready),
            ]
            if name in READERS:
                self._response(m, name, bank, words)
        return m

    def _payloads(self, m: Module, range_bits: int) -> dict[str, Any]:
        """The requests in the cycle in which the banks are used, by port: `address` inside a bank, `write`, `mask`, `data`."""
        payloads = {}
        for name in PORTS:
            now: Any = getattr(self, name).request.payload
            values = {"address": now.address[:range_bits], "write": now.write, "mask": now.mask, "data": now.data}
            if self._config.sbuf_latency == 4:
                later = {key: Signal(len(value), name=f"{name}_{key}", reset_less=True) for key, value in values.items()}
                m.d.sync += [later[key].eq(value) for key, value in values.items()]
                values = dict(later)
            payloads[name] = values
        return payloads

    def _bank(self, m: Module, index: int, grant: Signal, payloads: dict[str, Any], line_bits: int) -> Value:
        """The bank `index` with its input multiplexer; gives the word read, before the response multiplexer."""
        config = self._config
        bank = Bank(depth=config.sbuf_bank_lines // config.element_bytes, lines=config.element_bytes, line_width=8 * config.line_bytes)
        m.submodules[f"bank{index}"] = bank
        if config.sbuf_latency == 4:
            # The bank is used one cycle after the grant; order within the bank stays, so the write rule stays.
            later = Signal(len(PORTS), name=f"granted{index}")
            m.d.sync += later.eq(grant)
            grant = later
        granted = {name: grant[number] for number, name in enumerate(PORTS)}
        writer, other = payloads["output"], payloads["load"]
        m.d.comb += [
            bank.i_enable.eq(grant.any()),
            bank.i_write.eq((granted["output"] & writer["write"]) | granted["load"]),
            bank.i_address.eq(reduce(or_, (Mux(granted[name], payloads[name]["address"][line_bits:], 0) for name in PORTS))),
            bank.i_mask.eq(Mux(granted["load"], other["mask"], writer["mask"])),
            bank.i_data.eq(Mux(granted["load"], other["data"], writer["data"])),
        ]
        if config.sbuf_latency < 3:
            return bank.o_data
        word = Signal(8 * config.word_bytes, name=f"word{index}", reset_less=True)
        m.d.sync += word.eq(bank.o_data)
        return word

    def _response(self, m: Module, name: str, bank: Value, words: list[Value]) -> None:
        """Follows a read of port `name` to the cycle in which `words` hold it; selects and rotates its word."""
        config = self._config
        port = getattr(self, name)
        lines = config.element_bytes
        reading: Value = port.request.valid & port.request.ready
        if name in WRITERS:
            reading &= ~port.request.payload.write
        # One-hot, from flip-flops: a bank's share of the multiplexer is then one gate.
        hits: Value = Cat(reading & (bank == index) for index in range(config.sbuf_banks))
        line: Value = port.request.payload.address[: (lines - 1).bit_length()]
        for stage in range(1 if config.sbuf_latency < 3 else config.sbuf_latency - 1):
            next_hits = Signal(config.sbuf_banks, name=f"{name}_hits{stage}")
            m.d.sync += next_hits.eq(hits)
            hits = next_hits
            if lines > 1:
                next_line = Signal(len(line), name=f"{name}_line{stage}", reset_less=True)
                m.d.sync += next_line.eq(line)
                line = next_line
        word = Signal(8 * config.word_bytes, name=f"{name}_word")
        rotated = Signal(8 * config.word_bytes, name=f"{name}_rotated")
        m.d.comb += [
            word.eq(reduce(or_, (Mux(hits[index], data, 0) for index, data in enumerate(words)))),
            rotated.eq(word),
        ]
        with m.Switch(line):
            for offset in range(1, lines):
                with m.Case(offset):
                    m.d.comb += rotated.eq(word.rotate_right(offset * 8 * config.line_bytes))
        valid, answer = hits.any(), rotated
        if config.sbuf_latency > 1:
            valid, answer = Signal(name=f"{name}_valid"), Signal(8 * config.word_bytes, name=f"{name}_answer", reset_less=True)
            m.d.sync += [valid.eq(hits.any()), answer.eq(rotated)]
        m.d.comb += [port.response.valid.eq(valid), port.response.data.eq(answer)]
