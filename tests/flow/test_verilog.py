"""`sim.verilog`: every distinct module once, readable names, the same bytes every time, the same behaviour as Amaranth's own output."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from amaranth.back import verilog as amaranth_verilog
from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, EnableInserter, Module, ResetInserter, ResetSignal, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from sim.verilated.build import BuildOptions
from sim.verilated.interactive import PyVerilator
from sim.verilog import emit, module_names


class Mac(wiring.Component):
    """a * b + k, registered."""

    def __init__(self, *, k: int = 0) -> None:
        self._k = k
        super().__init__({"a": In(signed(8)), "b": In(signed(8)), "o": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a * self.b + self._k)
        return m


class PE(wiring.Component):
    """Nested parts, a memory, an FSM, a struct port of which the parent may leave fields open."""

    def __init__(self, *, k: int = 0) -> None:
        self._k = k
        layout = data.StructLayout({"x": 3, "y": 4})
        super().__init__({"a": In(8), "b": In(8), "w": In(1), "s": In(layout), "east": Out(8), "o": Out(16), "t": Out(layout)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.mac = mac = Mac(k=self._k)
        m.submodules.table = table = memory.Memory(shape=8, depth=16, init=[])
        write, read = table.write_port(), table.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.a),
            write.data.eq(self.b),
            write.en.eq(self.w),
            read.addr.eq(self.b),
            mac.a.eq(self.a),
            mac.b.eq(read.data),
        ]
        m.d.sync += [self.east.eq(self.a), self.t.eq(self.s)]
        with m.FSM():
            with m.State("PASS"):
                m.d.comb += self.o.eq(mac.o)
                with m.If(self.w):
                    m.next = "FLIP"
            with m.State("FLIP"):
                m.d.comb += self.o.eq(~mac.o)
                m.next = "PASS"
        return m


class Grid(wiring.Component):
    """n x n elements; those of the last column leave `east` open, those of the first row and column have constants at `s`."""

    def __init__(self, *, n: int, odd_one: int = 0) -> None:
        self._n, self._odd_one = n, odd_one
        super().__init__({"a": In(8).array(n), "b": In(8).array(n), "w": In(1), "o": Out(16).array(n, n)})

    def elaborate(self, platform):
        m = Module()
        for row in range(self._n):
            east = self.a[row]
            for col in range(self._n):
                m.submodules[f"pe_{row}_{col}"] = pe = PE(k=self._odd_one if row == col == 1 else 0)
                m.d.comb += [pe.a.eq(east), pe.b.eq(self.b[col]), pe.w.eq(self.w), self.o[row][col].eq(pe.o)]
                if row and col:
                    m.d.comb += pe.s.eq(east)
                east = pe.east
        return m


def test_identical_modules_are_written_once():
    text = emit(Grid(n=4), name="grid")
    assert sorted(module_names(text)) == ["grid", "mac", "pe"]
    assert len(re.findall(r"^  pe pe_\d_\d \(", text, flags=re.M)) == 16


def test_same_bytes_every_time():
    assert emit(Grid(n=3), name="grid") == emit(Grid(n=3), name="grid")


def test_modules_that_differ_in_a_constant_stay_apart():
    text = emit(Grid(n=2, odd_one=5), name="grid")
    assert sorted(module_names(text)) == ["grid", "mac", "mac_2", "pe", "pe_2"]
    instances = dict(re.findall(r"^  (pe\w*) (pe_\d_\d) \(", text, flags=re.M)[::-1])
    assert set(instances) == {"pe", "pe_2"}


def test_wires_are_named_after_instances_and_clock_comes_first():
    text = emit(Grid(n=2), name="grid")
    assert ".east(pe_0_1__a)" in text
    assert text.split("module grid(")[1].startswith("clk, rst, a__0, a__1, b__0")


@pytest.mark.parametrize("seed", [0, 1])
def test_behaves_like_the_output_of_amaranth(tmp_path, seed):
    rng = np.random.default_rng(seed)
    sims = []
    for folder, text in (
        ("merged", emit(Grid(n=2, odd_one=3), name="grid")),
        ("plain", amaranth_verilog.convert(Grid(n=2, odd_one=3), name="grid")),
    ):
        path = tmp_path / folder / "grid.v"
        path.parent.mkdir()
        path.write_text(text)
        sims.append(PyVerilator.build(str(path), options=BuildOptions(public=True, optimise="-O0")))
    outputs = [f"o__{row}__{col}" for row in range(2) for col in range(2)]
    changes = 0
    for cycle in range(200):
        pins = {name: int(rng.integers(256)) for name in ("a__0", "a__1", "b__0", "b__1")} | {
            "w": int(rng.integers(2)),
            "rst": int(cycle < 2),
        }
        for sim in sims:
            for name, value in pins.items():
                sim.io[name] = value
            sim.clock.tick()
        seen = [[int(sim.io[name]) for name in outputs] for sim in sims]
        assert seen[0] == seen[1], f"seed {seed}, cycle {cycle}"
        changes += any(seen[0])
    assert changes > 50


class Transformed(wiring.Component):
    """A part behind a transformer, which has to reach every register of it."""

    def __init__(self) -> None:
        super().__init__({"enable": In(1), "a": In(8), "o": Out(16), "p": Out(16)})

    def elaborate(self, platform):
        m = Module()
        inner, renamed = Grid(n=1), Mac()
        m.submodules.inner = EnableInserter(self.enable)(inner)
        m.submodules.renamed = DomainRenamer({"sync": "sync"})(renamed)
        m.d.comb += [inner.a[0].eq(self.a), self.o.eq(inner.o[0][0]), renamed.a.eq(self.a), self.p.eq(renamed.o)]
        return m


def test_transformed_parts_keep_their_transformation():
    text = emit(Transformed(), name="transformed")
    body = text.split("module transformed__inner__pe_0_0__mac")[1].split("endmodule")[0]
    assert "enable" in body


class Total(wiring.Component):
    """Sum of the squares of `a`."""

    def __init__(self) -> None:
        super().__init__({"a": In(signed(8)), "o": Out(24)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.mac = mac = Mac()
        m.d.comb += [mac.a.eq(self.a), mac.b.eq(self.a)]
        m.d.sync += self.o.eq(self.o + mac.o)
        return m


class Restarted(wiring.Component):
    """Equal parts: one is reset with the domain alone, one by `clear` too, one by both, one by `other` in a part that `clear` resets."""

    def __init__(self, *, depth: int = 1) -> None:
        self._depth = depth
        self.outputs = ("plain", "cleared", "both", *(["nested"] if depth else []))
        super().__init__({"clear": In(1), "other": In(1), "a": In(signed(8))} | {name: Out(24) for name in self.outputs})

    def elaborate(self, platform):
        m = Module()
        m.submodules.plain = plain = Total()
        m.submodules.cleared = ResetInserter(self.clear)(cleared := Total())
        m.submodules.both = ResetInserter(self.other)(ResetInserter(self.clear)(both := Total()))
        for part, output in ((plain, self.plain), (cleared, self.cleared), (both, self.both)):
            m.d.comb += [part.a.eq(self.a), output.eq(part.o)]
        if self._depth:
            m.submodules.nested = ResetInserter({"sync": self.clear})(nested := Restarted(depth=0))
            m.d.comb += [nested.a.eq(self.a), nested.clear.eq(self.other), self.nested.eq(nested.cleared)]
        return m


def test_parts_with_resets_of_their_own_are_the_modules_they_are_without():
    text = emit(Restarted(), name="restarted")
    assert sorted(module_names(text)) == ["mac", "restarted", "restarted_2", "total"]
    assert len(re.findall(r"^  total \S+ +\(", text, flags=re.M)) == 2 * 3


class Moved(wiring.Component):
    """Equal parts: one in `sync`; the others in a domain of its clock that `other` resets, two of them reset by `clear` too."""

    outputs = ("plain", "moved", "cleared", "after")

    def __init__(self) -> None:
        super().__init__({"clear": In(1), "other": In(1), "a": In(signed(8))} | {name: Out(24) for name in self.outputs})

    def elaborate(self, platform):
        m = Module()
        m.domains.own = ClockDomain()
        m.d.comb += [ClockSignal("own").eq(ClockSignal()), ResetSignal("own").eq(self.other)]
        m.submodules.plain = plain = Total()
        m.submodules.moved = DomainRenamer("own")(moved := Total())
        m.submodules.cleared = DomainRenamer("own")(ResetInserter(self.clear)(cleared := Total()))
        m.submodules.after = ResetInserter({"own": self.clear, "sync": self.other})(DomainRenamer("own")(after := Total()))
        for part, output in ((plain, self.plain), (moved, self.moved), (cleared, self.cleared), (after, self.after)):
            m.d.comb += [part.a.eq(self.a), output.eq(part.o)]
        return m


def test_parts_in_other_domains_are_the_modules_they_are_without():
    text = emit(Moved(), name="moved")
    assert sorted(module_names(text)) == ["mac", "moved", "total"]
    assert len(re.findall(r"^  total \S+ +\(", text, flags=re.M)) == 4


@pytest.mark.parametrize("top", [Restarted, Moved])
def test_parts_with_resets_and_domains_of_their_own_behave_like_the_output_of_amaranth(tmp_path, top):
    sims = []
    for folder, text in (("merged", emit(top(), name="top")), ("flat", amaranth_verilog.convert(top(), name="top"))):
        path = tmp_path / folder / "top.v"
        path.parent.mkdir()
        path.write_text(text)
        sims.append(PyVerilator.build(str(path), options=BuildOptions(public=True, optimise="-O0")))
    rng = np.random.default_rng(5)
    ways = set()
    for cycle in range(300):
        pins = {"a": int(rng.integers(1, 100)), "rst": int(cycle < 2 or cycle == 150)}
        pins |= {name: int(rng.integers(6) == 0) for name in ("clear", "other")}
        for sim in sims:
            for name, value in pins.items():
                sim.io[name] = value
            sim.clock.tick()
        seen = [[int(sim.io[name]) for name in top().outputs] for sim in sims]
        assert seen[0] == seen[1], f"cycle {cycle}"
        ways.add(tuple(value == 0 for value in seen[0]))
    # Each was seen to be reset, and not to be, when the others were not.
    alone = (False, False, True, True) if top is Restarted else (False, True, True, True)
    assert ways >= {(False, True, True, True), alone, (False, False, False, False), (True, True, True, True)}
    assert top is Restarted or ways >= {(False, False, True, True)}


class Secretive(wiring.Component):
    """Its result is in no signature."""

    def __init__(self) -> None:
        super().__init__({"a": In(8)})
        self.secret = Signal(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.secret.eq(self.a + 1)
        return m


class Peeking(wiring.Component):
    """Reads a signal of its part that is in no signature: such parts cannot be cut out."""

    def __init__(self) -> None:
        super().__init__({"a": In(8), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = Secretive()
        m.d.comb += [part.a.eq(self.a), self.o.eq(part.secret)]
        return m


def test_parts_whose_signals_are_read_from_outside_stay_inside(tmp_path):
    text = emit(Peeking(), name="peeking")
    assert module_names(text) == ["peeking", "peeking__part"]
    (tmp_path / "peeking.v").write_text(text)
    sim = PyVerilator.build(str(tmp_path / "peeking.v"), options=BuildOptions(public=True, optimise="-O0"))
    sim.io.rst, sim.io.a = 0, 41
    sim.clock.tick()
    assert sim.io.o == 42


class Inward(wiring.Component):
    """A part reads a port of the top, which nobody else reads."""

    a: In(8)
    b: In(8)
    o: Out(8)

    def elaborate(self, platform):
        outer, m = self, Module()

        class Part(wiring.Component):
            i: In(8)
            o: Out(8)

            def elaborate(self, platform):
                m = Module()
                m.d.comb += self.o.eq(self.i + outer.b)
                return m

        m.submodules.part = part = Part()
        m.d.comb += [part.i.eq(self.a), self.o.eq(part.o)]
        return m


def test_parts_that_read_ports_of_the_top_stay_inside(tmp_path):
    text = emit(Inward(), name="inward")
    assert module_names(text) == ["inward", "inward__part"]
    (tmp_path / "inward.v").write_text(text)
    sim = PyVerilator.build(str(tmp_path / "inward.v"), options=BuildOptions(public=True, optimise="-O0"))
    sim.io.a, sim.io.b = 41, 100
    assert sim.io.o == 141


def test_zero_memories_power_up_undefined_and_registers_by_choice():
    with_values, without = emit(Grid(n=1), name="grid"), emit(Grid(n=1), name="grid", initial_values=False)
    assert not re.search(r"^\s*initial\b", with_values, flags=re.M)
    assert re.search(r"reg \[7:0\] east = ", with_values)
    # Yosys starts its combinational blocks with registers of its own, which hold nothing.
    assert not re.search(r"^\s*reg (?!\\\$auto\$)[^;]*=", without, flags=re.M)


def test_memory_contents_that_are_not_zero_are_kept():
    class Rom(wiring.Component):
        def __init__(self):
            super().__init__({"address": In(2), "o": Out(8)})

        def elaborate(self, platform):
            m = Module()
            m.submodules.rom = rom = memory.Memory(shape=8, depth=4, init=[1, 2, 0, 0x5A])
            port = rom.read_port(domain="comb")
            m.d.comb += [port.addr.eq(self.address), self.o.eq(port.data)]
            return m

    assert "8'h5a" in emit(Rom(), name="rom")


def test_refuses_what_it_cannot_convert():
    with pytest.raises(ValueError, match="name must be a Verilog identifier, not '4x4'"):
        emit(Mac(), name="4x4")
    with pytest.raises(TypeError, match="component must be an Amaranth elaboratable, not 3"):
        emit(3, name="three")
    with pytest.raises(TypeError, match="ports must be given"):
        emit(Module(), name="bare")


def test_the_same_text_whatever_the_order_of_sets():
    """Names hash differently in every run of Python: the text, and with it the bits of a bitstream, must not."""
    program = "from hw.boards.boards import BOARDS, make_top; from sim.verilog import emit; print(emit(make_top(BOARDS['icebreaker']), name='top'))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": str(seed)}, check=True, capture_output=True, text=True
        ).stdout
        for seed in range(1, 5)
    }
    assert len(texts) == 1 and "chip_clk" in texts.pop()
