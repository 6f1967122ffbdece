"""Proofs of SBUF: who is accepted, what comes back, and when."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial, reduce
from operator import or_
from typing import Any

from amaranth.hdl import Array, Assert, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.common.config import ChipConfig
from hw.memory.arbiter import PriorityArbiter
from hw.memory.ports import SbufRequest
from hw.memory.sbuf import PORTS, READERS, WRITERS, Sbuf
from tb.formal.runner import Proof


class ArbiterSpec(wiring.Component):
    """`PriorityArbiter` under every request: one grant, to a requester, whenever there is one, and to the lowest."""

    def __init__(self, *, requesters: int) -> None:
        self._requesters = requesters
        super().__init__({"request": In(requesters)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = PriorityArbiter(requesters=self._requesters)
        m.d.comb += dut.i_request.eq(self.request)
        grant = dut.o_grant
        m.d.comb += [
            Assert((grant & (grant - 1))[: self._requesters] == 0),
            Assert((grant & ~dut.i_request) == 0),
            Assert(grant.any() == dut.i_request.any()),
            Cover(dut.i_request.all()),
            Cover(grant[-1]),
        ]
        for index in range(1, self._requesters):
            m.d.comb += Assert(~grant[index] | ~dut.i_request[:index].any())
        return m


class _SbufSpec(wiring.Component):
    """SBUF with free requests on all ports; no assumption, so not even that a refused request stays."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        members = {f"{name}_valid": In(1) for name in PORTS} | {f"{name}_payload": In(SbufRequest(config)) for name in PORTS}
        super().__init__(members | {"any_address": In(config.sbuf_address_width)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Sbuf(config=self._config)
        for name in PORTS:
            request = getattr(dut, name).request
            m.d.comb += [request.valid.eq(getattr(self, f"{name}_valid")), request.payload.eq(getattr(self, f"{name}_payload"))]
        self._properties(m, dut)
        return m

    @abstractmethod
    def _properties(self, m: Module, dut: Sbuf) -> None:
        """Adds the assertions and covers of one proof."""

    def _bank(self, dut: Sbuf, name: str) -> Value:
        return getattr(dut, name).request.payload.address[(self._config.sbuf_bank_lines - 1).bit_length() :]

    @staticmethod
    def _accepted(dut: Sbuf, name: str, *, write: bool) -> Value:
        request = getattr(dut, name).request
        if name not in READERS or name not in WRITERS:
            return request.valid & request.ready & (write == (name in WRITERS))
        return request.valid & request.ready & (request.payload.write == write)


class AcceptSpec(_SbufSpec):
    """A request is accepted if and only if no higher port asks for its bank: priority, one a bank, never idle; `o_waiting` says so."""

    def _properties(self, m: Module, dut: Sbuf) -> None:
        accepted = []
        for number, name in enumerate(PORTS):
            request = getattr(dut, name).request
            ahead = [getattr(dut, other).request.valid & (self._bank(dut, other) == self._bank(dut, name)) for other in PORTS[:number]]
            free = ~reduce(or_, ahead) if ahead else 1
            accepted.append(request.valid & request.ready)
            m.d.comb += [
                Assert(~request.valid | (request.ready == free)),
                Assert(dut.o_waiting[number] == (request.valid & ~request.ready)),
                Cover(request.valid & ~request.ready) if number else Cover(request.valid),
            ]
            # Stated apart from priority: two requests of one cycle never use one bank.
            for other in range(number):
                same = self._bank(dut, PORTS[other]) == self._bank(dut, name)
                m.d.comb += Assert(~(accepted[number] & accepted[other] & same))
        m.d.comb += Cover(Cat(accepted)[1:].all()) if self._config.sbuf_banks >= len(PORTS) - 1 else Cover(Cat(accepted)[-2:].all())


class TimingSpec(_SbufSpec):
    """A response comes in a cycle if and only if the port had a read accepted `sbuf_latency` cycles before: none is lost, added or late."""

    def _properties(self, m: Module, dut: Sbuf) -> None:
        latency = self._config.sbuf_latency
        elapsed = Signal(range(latency + 1))
        with m.If(elapsed != latency):
            m.d.sync += elapsed.eq(elapsed + 1)
        m.d.comb += Assert(~dut.load.response.valid)
        for name in READERS:
            history = Signal(latency, name=f"{name}_history")
            m.d.sync += history.eq(Cat(self._accepted(dut, name, write=False), history)[:latency])
            valid = getattr(dut, name).response.valid
            m.d.comb += [Assert(valid == history[-1]), Cover(history.all()), Cover((elapsed == latency) & ~valid)]


class DataSpec(_SbufSpec):
    """A read returns the last byte written before it, by any port, to any one line, at its place in the rotated word."""

    def _properties(self, m: Module, dut: Sbuf) -> None:
        config = self._config
        lines, width = config.element_bytes, 8 * config.line_bytes
        line_bits = (lines - 1).bit_length()
        watched = Signal(config.sbuf_address_width)
        content, known = Signal(width), Signal()
        # The address is chosen in the first cycle and kept.
        started, chosen = Signal(), Signal.like(watched)
        m.d.comb += watched.eq(Mux(started, chosen, self.any_address))
        m.d.sync += [started.eq(1), chosen.eq(watched)]
        place = watched[:line_bits]
        for name in WRITERS:
            payload = getattr(dut, name).request.payload
            hit = self._accepted(dut, name, write=True) & (payload.address[line_bits:] == watched[line_bits:])
            with m.If(hit & (payload.mask >> place)[0]):
                m.d.sync += [content.eq(_line(payload.data, place, lines, width)), known.eq(1)]
        for name in READERS:
            payload = getattr(dut, name).request.payload
            hit = self._accepted(dut, name, write=False) & (payload.address[line_bits:] == watched[line_bits:])
            due: Value = hit & known
            expected: Value = content
            turned: Value = (watched - payload.address)[:line_bits]
            for stage in range(config.sbuf_latency):
                later = [Signal.like(value, name=f"{name}_{kind}{stage}") for kind, value in (("due", due), ("expected", expected))]
                m.d.sync += [later[0].eq(due), later[1].eq(expected)]
                due, expected = later
                if line_bits:
                    next_turned = Signal(line_bits, name=f"{name}_turned{stage}")
                    m.d.sync += next_turned.eq(turned)
                    turned = next_turned
            response = getattr(dut, name).response
            m.d.comb += [
                Assert(~due | (_line(response.data, turned, lines, width) == expected)),
                Cover(due & (expected == 0x5A)),
            ]


def _line(word: Value, place: Value, lines: int, width: int) -> Value:
    return word if lines == 1 else Array(word[index * width : (index + 1) * width] for index in range(lines))[place]


def _config(latency: int, **changes: Any) -> ChipConfig:
    return ChipConfig(rows=1, cols=1, output_lanes=1, sbuf_bank_lines=16, sbuf_latency=latency, **({"sbuf_banks": 2} | changes))


_FLOAT: dict[str, Any] = {"dtypes": ("int8", "bf16"), "adder_stages": 2, "accumulator_stages": 2}

PROOFS = (
    Proof(
        name="sbuf.arbiter",
        doc="one grant, to the lowest requester, whenever there is one",
        spec=lambda: ArbiterSpec(requesters=5),
        depth=2,
    ),
    Proof(
        name="sbuf.accept",
        doc="a request is accepted if and only if no higher port asks for its bank",
        spec=lambda: AcceptSpec(config=_config(2, sbuf_banks=4)),
        depth=3,
    ),
    *(
        Proof(
            name=f"sbuf.response{latency}",
            doc=f"a response comes if and only if a read was accepted {latency} cycles before",
            spec=partial(TimingSpec, config=_config(latency)),
            depth=latency + 2,
        )
        for latency in (1, 2, 3, 4)
    ),
    Proof(
        name="sbuf.data2",
        doc="a read returns what was last written to the line, with masks and rotation, latency 2",
        spec=lambda: DataSpec(config=_config(2, **_FLOAT)),
        mode="bmc",
        depth=5,
        cover_depth=6,
    ),
    Proof(
        name="sbuf.data4",
        doc="a read returns what was last written to the line, latency 4",
        spec=lambda: DataSpec(config=_config(4)),
        mode="bmc",
        depth=7,
        cover_depth=8,
    ),
)
