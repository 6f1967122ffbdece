"""The logic analyser: captures probes into block RAM around a trigger, for the host to fetch over the link."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, ValueLike
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from ..host.bus import RegisterPort
from .self_test import BlockRegister

#: Bits of CONTROL, written: (offset, width).
CONTROL = {"arm": (0, 1), "trigger": (1, 1), "stop": (2, 1), "rising": (3, 1), "change": (4, 1), "compress": (5, 1)}
#: Bits of CONTROL, read.
STATUS = {"armed": (0, 1), "triggered": (1, 1), "done": (2, 1), "full": (3, 1)}
#: Bits of GEOMETRY and POINTER.
GEOMETRY = {"depth": (0, 17), "width": (17, 10), "stamp": (27, 5)}
POINTER = {"sample": (0, 16), "word": (16, 5)}
#: Numbers of registers that are written in more than one place.
IDENTITY_NUMBER, DATA_NUMBER, VALUE, MASK = 1, 8, 16, 32
#: Most probes, in bits: VALUE and MASK have 16 registers each. Most samples.
MAX_BITS, MAX_DEPTH = 512, 1 << 16
#: Bits of the cycle count beside each sample.
STAMP_BITS = 16

ANALYSER_REGISTERS: tuple[BlockRegister, ...] = (
    BlockRegister(
        name="CONTROL", number=0, access="rw",
        doc="bit 0 (arm) begins a capture, forgetting the last one; bit 1 (trigger) triggers now; bit 2 (stop) ends the capture. With arm: bit 3 "
        "(rising): a match counts only in the first cycle of a row of them; bit 4 (change): any change of the probes in MASK counts, not their "
        "value; bit 5 (compress): store only samples that differ from the one before, the trigger, and one every 2^16 - 1 cycles. "
        "Read: bit 0 armed, bit 1 triggered, bit 2 done, bit 3 full (every place holds a sample)",
    ),
    BlockRegister(name="IDENTITY", number=IDENTITY_NUMBER, access="ro", doc="hash of depth and of names and widths of all probes"),
    BlockRegister(name="GEOMETRY", number=2, access="ro", doc="bits 0..16 depth, bits 17..26 bits of all probes, bits 27..31 bits of a time stamp"),
    BlockRegister(name="AFTER", number=3, access="wo", doc="samples to store after the trigger, at most depth - 1"),
    BlockRegister(name="COUNT", number=4, access="wo", doc="which match triggers: 1 (or 0) the first, at most 65,535"),
    BlockRegister(name="TRIGGER", number=5, access="ro", doc="place of the sample that triggered"),
    BlockRegister(name="NEXT", number=6, access="ro", doc="place after the newest sample: if full, of the oldest; else the oldest is at 0"),
    BlockRegister(name="POINTER", number=7, access="rw", doc="bits 0..15 place of the sample, bits 16..20 its word, that DATA reads"),
    BlockRegister(
        name="DATA", number=DATA_NUMBER, access="ro",
        doc="a word of a sample, probes lowest and in order, then the time stamp: cycles since the sample stored before. Reading it moves POINTER on to the "
        "next word, and to the next sample after the last",
    ),
    BlockRegister(name="VALUE", number=VALUE, access="wo", doc="one register a word of the probes: what they are compared with"),
    BlockRegister(name="MASK", number=MASK, access="wo", doc="one register a word of the probes: which of their bits are compared"),
)  # fmt: skip


def identity(probes: Mapping[str, int], depth: int) -> int:
    """Hash of an analyser's probes (widths by name, in order) and depth: what IDENTITY reads."""
    text = json.dumps([list(probes.items()), depth, STAMP_BITS])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


class Analyser(wiring.Component):
    """Samples all probes every cycle, and keeps `depth` samples around the cycle that was asked for.

    Registers: `ANALYSER_REGISTERS`. A capture begins with arm, triggers at the COUNT-th match of probes & MASK with VALUE & MASK and ends AFTER samples
    later; what came before the trigger is kept as far as there is room. Which samples are compared: from that of the cycle of the write on.

    Latency: a sample is compared one cycle after it was taken and stored in the next; DATA is the word at POINTER from the third cycle after the pulse that
    moved it. Throughput: a sample a cycle. Reset ends the capture;
    what is in the memory is kept, registers that are only written, too.

    Parameters
    ----------
    probes : mapping of name to int
        Widths; their order is that of the bits of a sample.
    depth : int
        Samples, a power of two from 16 to 65,536.

    Members
    -------
    registers : In(RegisterPort)
    i_<name> : In(width), for each probe
        Used by a flip-flop only.

    Raises
    ------
    ValueError
        if there are no probes or too many bits of them, or `depth` is no such number.
    """

    def __init__(self, *, probes: Mapping[str, int], depth: int) -> None:
        self._probes = dict(probes)
        self._bits = sum(probes.values())
        if not 1 <= self._bits <= MAX_BITS:
            raise ValueError(f"probes must have 1 to {MAX_BITS} bits together, not {self._bits}: leave some out")
        if not isinstance(depth, int) or not 16 <= depth <= MAX_DEPTH or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 16 to {MAX_DEPTH}, not {depth!r}")
        self._depth = depth
        super().__init__({"registers": In(RegisterPort())} | {f"i_{name}": In(width) for name, width in probes.items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        state = _State(self._bits, self._depth)
        # What is read where it is written at that moment is of no sample that anybody fetches yet.
        attributes = {"no_rw_check": "1"}
        m.submodules.samples = samples = memory.Memory(shape=self._bits + STAMP_BITS, depth=self._depth, init=[], attrs=attributes)
        self._write(m, state)
        self._capture(m, state, samples.write_port())
        self._read(m, state, samples.read_port())
        return m

    def _write(self, m: Module, state: _State) -> None:
        """Registers that are written; CONTROL as pulses."""
        registers = self.registers
        for number, target in ((3, state.after), (4, state.count)):
            with m.If(registers.write & (registers.address == number)):
                m.d.sync += target.eq(registers.value)
        for base, target in ((VALUE, state.value), (MASK, state.mask)):
            for word in range(0, self._bits, 32):
                with m.If(registers.write & (registers.address == base + word // 32)):
                    m.d.sync += target[word : word + 32].eq(registers.value)
        with m.If(registers.write & (registers.address == 0)):
            m.d.comb += state.control.eq(registers.value)

    def _capture(self, m: Module, state: _State, write: Any) -> None:
        arm, force, stop = (Signal(name=name) for name in ("arm", "force", "stop"))
        m.d.sync += Cat(arm, force, stop).eq(state.control)
        # A sample, the one before it, and what is known of the older one of them, which is stored now.
        taken, sample = Signal(self._bits, reset_less=True), Signal(self._bits, reset_less=True)
        hit, hit_before, moved, fresh = (Signal(name=name, reset_less=True) for name in ("hit", "hit_before", "moved", "fresh"))
        m.d.sync += [
            taken.eq(Cat(getattr(self, f"i_{name}") for name in self._probes)),
            sample.eq(taken),
            hit.eq(((taken ^ state.value) & state.mask) == 0),
            hit_before.eq(hit),
            moved.eq(((taken ^ sample) & state.mask) != 0),
            fresh.eq(~state.compress | (taken != sample)),
        ]
        stamp, forced, fires, matches, stores = Signal(STAMP_BITS), Signal(), Signal(), Signal(), Signal()
        # What counters say, known from flip-flops: the stamp is at its end or nothing has been stored yet; the next match triggers.
        overdue, due, keeps = Signal(init=1), Signal(), Signal()
        m.d.comb += [
            matches.eq(Mux(state.change, moved, hit & ~(state.rising & hit_before))),
            fires.eq(state.armed & ~state.triggered & (forced | (matches & due))),
            keeps.eq(state.armed & (fresh | overdue)),
            stores.eq(keeps | fires),
            write.addr.eq(state.place),
            write.data.eq(Cat(sample, stamp)),
            write.en.eq(stores),
        ]
        with m.If(stores):
            m.d.sync += [stamp.eq(1), overdue.eq(0), state.place.eq(state.place + 1), state.full.eq(state.full | state.place.all())]
        with m.Elif(state.armed):
            m.d.sync += [stamp.eq(stamp + 1), overdue.eq(stamp == (1 << STAMP_BITS) - 2)]
        with m.If(state.armed & matches & ~state.triggered):
            m.d.sync += [state.matches.eq(state.matches - 1), due.eq(state.matches == 2)]
        with m.If(fires):
            m.d.sync += [state.triggered.eq(1), state.trigger.eq(state.place), state.left.eq(state.after)]
        with m.Elif(keeps & state.triggered):
            m.d.sync += state.left.eq(state.left - 1)
        with m.If((fires & (state.after == 0)) | (keeps & state.triggered & (state.left == 1)) | (stop & state.armed)):
            m.d.sync += [state.armed.eq(0), state.done.eq(1)]
        m.d.sync += forced.eq((forced | force) & ~fires & state.armed)
        with m.If(state.control[0]):
            # Whoever reads the status next must not find the end of the last capture.
            m.d.sync += [Cat(state.rising, state.change, state.compress).eq(state.control[3:]), state.done.eq(0)]
        with m.If(arm):
            m.d.sync += [state.armed.eq(1), state.triggered.eq(0), state.done.eq(0), state.full.eq(0), state.place.eq(0)]
            m.d.sync += [stamp.eq(0), overdue.eq(1), state.matches.eq(state.count), due.eq(state.count[1:] == 0), forced.eq(force)]

    def _read(self, m: Module, state: _State, read: Any) -> None:
        """The pointer addresses the memory, two registers before DATA: accesses of the host are further apart."""
        registers = self.registers
        words = -(-(self._bits + STAMP_BITS) // 32)
        at = Signal(range(self._depth))
        word, word_following = Signal(range(max(2, words))), Signal(range(max(2, words)))
        taken = registers.read & (registers.address == DATA_NUMBER)
        ends = taken & (word == words - 1)
        m.d.comb += word_following.eq(Mux(ends, 0, word + taken))
        with m.If(ends):
            m.d.sync += at.eq(at + 1)
        with m.If(registers.write & (registers.address == 7)):
            m.d.comb += word_following.eq(registers.value[16:])
            m.d.sync += at.eq(registers.value[:16])
        m.d.comb += read.addr.eq(at)
        m.d.sync += word.eq(word_following)
        # The memory is slow: what it gives has a register of its own, and the choice of a word comes behind it.
        sample = Signal(self._bits + STAMP_BITS, reset_less=True)
        m.d.sync += sample.eq(read.data)
        parts = Array(sample[low : low + 32] for low in range(0, len(sample), 32))
        geometry = {"depth": self._depth, "width": self._bits, "stamp": STAMP_BITS}
        values: dict[int, ValueLike] = {
            0: Cat(state.armed, state.triggered, state.done, state.full),
            IDENTITY_NUMBER: identity(self._probes, self._depth),
            2: sum(value << GEOMETRY[name][0] for name, value in geometry.items()),
            5: state.trigger,
            6: state.place,
            7: Cat(at, Const(0, POINTER["word"][0] - len(at)), word),
        }
        other, is_data = Signal(32), Signal()
        m.d.sync += is_data.eq(registers.address == DATA_NUMBER)
        m.d.comb += registers.data.eq(Mux(is_data, parts[word], other))
        with m.Switch(registers.address):
            for number, value in values.items():
                with m.Case(number):
                    m.d.sync += other.eq(value)
            with m.Default():
                m.d.sync += other.eq(0)


class _State:
    """What a capture is to do, and how far it is."""

    def __init__(self, bits: int, depth: int) -> None:
        self.control = Signal(6, name="control")
        self.armed, self.triggered, self.done, self.full = (Signal(name=name) for name in STATUS)
        self.rising, self.change, self.compress = (Signal(name=name) for name in ("rising", "change", "compress"))
        self.place, self.trigger = (Signal(range(depth), name=name) for name in ("place", "trigger"))
        self.after, self.left = (Signal(range(depth), name=name, reset_less=True) for name in ("after", "left"))
        self.count, self.matches = (Signal(16, name=name, reset_less=True) for name in ("count", "matches"))
        self.value, self.mask = (Signal(bits, name=name, reset_less=True) for name in ("value", "mask"))
