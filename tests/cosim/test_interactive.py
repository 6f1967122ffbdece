"""`sim.verilated.interactive`: what PyVerilator documents runs unchanged, and what it could not do."""

import shutil

import pytest

from sim.verilated import interactive as pyverilator
from sim.verilated.build import BuildOptions
from sim.verilated.toolchain import ToolError

COUNTER = """
module counter (input clk, input rst, input en, output [7:0] out);
  reg [7:0] held;
  wire [7:0] next = en ? held + 1 : held;
  assign out = next;
  always @(posedge clk) held <= rst ? 8'd0 : next;
endmodule
"""


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds Verilog text as the file `<name>.v` in an empty working folder, with beside it what `others` holds."""
    monkeypatch.chdir(tmp_path)

    def make(name, text, others=(), **options):
        (tmp_path / f"{name}.v").write_text(text)
        for other, content in dict(others).items():
            (tmp_path / other).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / other).write_text(content)
        return pyverilator.PyVerilator.build(f"{name}.v", **options)

    return make


def test_the_documented_counter(build):
    sim = build("counter", COUNTER)
    sim.io.rst = 1
    sim.clock.tick()
    sim.io.rst = 0
    sim.io.en = 0
    current = sim.io.out
    assert current == 0 and current.value == 0 and isinstance(current, int) and str(current) == repr(current) == "8'h0"
    assert current.signal.width == 8
    sim.io.en = 1
    assert sim.io.out == 1 and current == 0, "a reading stays as it was"
    sim.clock.tick()
    assert sim.io.out == 2 and sim.internals.held == 1
    assert sim["out"] == 2 and "out" in sim and "nothing" not in sim
    sim["en"] = 0
    assert sim["out"] == 1
    assert sorted(sim.io) == ["clk", "en", "out", "rst"]
    assert sim.inputs == [("clk", 1), ("en", 1), ("rst", 1)] and sim.outputs == [("out", 8)]
    assert sim["counter__DOT__held"] == 1 and ("counter__DOT__held", 8) in sim.internal_signals


def test_widths_of_every_kind_of_storage(build):
    sim = build(
        "widths",
        """module widths(input [7:0] a, input [15:0] b, input [31:0] c, input [63:0] d, input [127:0] e, output [247:0] all);
           assign all = {a, b, c, d, e};
           endmodule""",
    )
    assert sim.clock is None
    values = {"a": 0xAA, "b": 0x1BBB, "c": 0x3CCCCCCC, "d": 0x7DDDDDDDDDDDDDDD, "e": 0xFEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE}
    for name, value in values.items():
        sim.io[name] = value
    expected = 0
    for value, width in zip(values.values(), (8, 16, 32, 64, 128), strict=True):
        expected = expected << width | value
    assert sim.io.all == expected and repr(sim.io.all) == f"248'h{expected:x}"
    assert [repr(sim.io[name]) for name in values] == [
        f"{width}'h{value:x}" for value, width in zip(values.values(), (8, 16, 32, 64, 128), strict=True)
    ]
    sim.io.a = 0x1FF
    assert sim.io.a == 0xFF, "cut to its width"


PARENT = """module parent(input clk, input [7:0] in, output [7:0] out);
  reg [7:0] in_reg, out_reg;
  wire [7:0] between, last;
  child child_1(clk, in_reg, between);
  child child_2(clk, between, last);
  assign out = out_reg;
  always @(posedge clk) begin in_reg <= in; out_reg <= last; end
endmodule
"""
CHILD = """module child(input clk, input [7:0] in, output [7:0] out);
  reg [7:0] in_reg, out_reg;
  assign out = out_reg;
  always @(posedge clk) begin in_reg <= in; out_reg <= in_reg + 1; end
endmodule
"""


@pytest.mark.parametrize("place", ["child.v", "parts/child.v"])
def test_hierarchy(build, place):
    sim = build("parent", PARENT, {place: CHILD}, verilog_path=["parts"] if "/" in place else [])
    sim.io.in_ = 7
    for count in range(1, 7):
        sim.clock.tick()
        inside = sim.internals
        assert inside.in_reg == 7
        assert inside.child_1.in_reg == (7 if count > 1 else 0) and inside.child_1.out_reg == (8 if count > 2 else 1)
        assert inside.child_2.out_reg == (1 if count < 3 else 2 if count < 5 else 9)
        assert sim.io.out == [0, 1, 1, 2, 2, 9][count - 1]
    assert sim.io["in"] == 7
    assert isinstance(sim.internals.child_1, pyverilator.Submodule)
    text = repr(sim.internals)
    assert "Submodule" in text and "in_reg" in text and "8'h7" in text
    assert "child_1" in dir(sim.internals) and "in_reg" in sim.internals.child_1
    assert sim.internals.child_1["in_reg"].signal.modular_name == ("child_1", "in_reg")


def test_memories_are_arrays(build):
    sim = build(
        "memories",
        """module memories(input clk, input write, input [4:0] at, input [71:0] data, output [71:0] wide_out, output [7:0] narrow_out);
           reg [71:0] wide [0:31];
           reg [7:0] narrow [4:11];
           assign wide_out = wide[at];
           assign narrow_out = narrow[at[3:0]];
           always @(posedge clk) if (write) begin wide[at] <= data; narrow[at[3:0]] <= data[7:0]; end
           endmodule""",
    )
    wide, narrow = sim.internals.wide, sim.internals.narrow
    assert (wide.width, wide.depth, narrow.width, len(narrow)) == (72, 32, 8, 8)
    assert wide.array.shape == (32, 3) and narrow.array.shape == (8,) and narrow.array.dtype == "uint8"
    sim.io.at, sim.io.data, sim.io.write = 5, 0xAB0123456789ABCDEF, 1
    sim.clock.tick()
    assert wide[5] == 0xAB0123456789ABCDEF and narrow[5] == 0xEF and narrow.array[1] == 0xEF
    sim.io.write = 0
    narrow.array[:] = range(8)
    sim.eval()
    assert sim.io.narrow_out == 1, "the storage itself, not a copy"
    narrow[5] = 0x77
    wide[5] = (1 << 72) - 2
    assert sim.io.narrow_out == 0x77 and sim.io.wide_out == (1 << 72) - 2
    assert list(narrow)[:3] == [0, 0x77, 2]
    with pytest.raises(IndexError, match="index must be 4 to 11, not 3"):
        narrow[3]


def test_run_passes_many_cycles(build):
    sim = build("counter", COUNTER)
    sim.io.en = 1
    before = int(sim.io.out)
    assert sim.run(1000) == 1000
    assert sim.io.out == (before + 1000) % 256


def test_internal_registers_can_be_set(build):
    sim = build("counter", COUNTER)
    sim.internals.held = 41
    assert sim.io.out == 41
    sim.io.en = 1
    sim.clock.tick()
    assert sim.internals.held == 42


def test_waveform(build, tmp_path):
    sim = build("counter", COUNTER)
    sim.start_vcd_trace("test.vcd")
    with pytest.raises(ValueError, match="needs tracing to be off"):
        sim.start_vcd_trace("other.vcd")
    sim.io.en = 1
    for _ in range(3):
        sim.clock.tick()
    assert sim.run(2) == 2
    sim.add_to_vcd_trace()
    sim.stop_vcd_trace()
    text = (tmp_path / "test.vcd").read_text()
    assert "held" in text and "$enddefinitions" in text
    # One sample at the start, two a tick, one by hand; each is written twice, 5 time units apart.
    assert max(int(line[1:]) for line in text.splitlines() if line.startswith("#")) <= 10 * (1 + 2 * 5 + 1)
    assert "b00000101" in text.split("$enddefinitions")[1]
    for call in (sim.stop_vcd_trace, sim.add_to_vcd_trace, sim.flush_vcd_trace):
        with pytest.raises(ValueError, match="needs tracing to be on"):
            call()
    with pytest.raises(OSError, match="waveform must be writable"):
        sim.start_vcd_trace(str(tmp_path / "missing" / "x.vcd"))


def test_gtkwave_is_named_where_it_is_missing(build, monkeypatch, tmp_path):
    sim = build("counter", COUNTER)
    with pytest.raises(ValueError, match="call start_gtkwave"):
        sim.send_to_gtkwave(sim.io)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="gtkwave must be on PATH"):
        sim.start_gtkwave()
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    sim.start_gtkwave()
    sim.send_to_gtkwave(sim.io)
    sim.send_signals_to_gtkwave(sim.internals)
    sim.io.out.send_to_gtkwave()
    sim.clock.tick()
    sim.stop_gtkwave()
    assert (tmp_path / "gtkwave.vcd").stat().st_size > 100


FINISHER = """module finisher(input clk, input rst, input now);
  always @(posedge clk) if (!rst && now) $finish;
endmodule
"""


def test_finish_belongs_to_one_instance(build):
    first, second = build("finisher", FINISHER), build("finisher", FINISHER)
    calls = []
    for sim in (first, second):
        sim.io.rst, sim.io.now = 0, 0
        sim.clock.tick()
        assert sim.finished is False
    second.set_vl_finish_callback(lambda sim, file, line, scope: (calls.append((sim, line)), setattr(sim, "finished", True)))
    second.io.now = 1
    second.clock.tick()
    assert second.finished and not first.finished and calls == [(second, 2)]
    first.io.now = 1
    assert first.run(5) == 1 and first.finished
    first.finished = False
    second.finished = False
    second.set_vl_finish_callback(None)
    second.clock.tick()
    assert second.finished and len(calls) == 1 and not first.finished


def test_arguments_and_defines(build):
    text = """module stepper(input clk, output reg [7:0] count);
      integer step;
      initial count = 0;
      always @(posedge clk) if ($value$plusargs("step=%d", step)) count <= count + step; else count <= count + `STEP;
    endmodule"""
    plain = build("stepper", text, verilog_defines=["STEP=3"])
    given = build("stepper", text, verilog_defines=["STEP=3"], command_args=["+step=5"], json_data={"rules": [1, 2]})
    for sim in (plain, given):
        sim.clock.tick()
    assert (plain.io.count, given.io.count) == (3, 5)
    assert given.json_data == {"rules": [1, 2]}


def test_escaped_and_odd_names(build):
    names = ["_a", "a__b", "a___a", "__x", r"\$^_^", r"\%20", r"\.][."]
    ports = [f"input {name} " for name in names] + [f"output {name}_out " for name in names]
    sim = build(
        "names", f"module names({', '.join(ports)});\n" + "".join(f"assign {name}_out = {name} ;\n" for name in names) + "endmodule\n"
    )
    for name in (name.removeprefix("\\") for name in names):
        for value in (1, 0):
            sim.io[name] = value
            assert sim.io[f"{name}_out"] == value, name


def test_bad_use_is_refused(build):
    sim = build("counter", COUNTER)
    with pytest.raises(ValueError, match="no signal 'nothing'"):
        sim.io["nothing"]
    with pytest.raises(ValueError, match="no signal 'nothing' to set"):
        sim.io.nothing = 1
    with pytest.raises(AttributeError, match="has no signal 'nothing'; it has clk, en, out, rst"):
        _ = sim.io.nothing
    with pytest.raises(TypeError, match="must be an input or an internal signal to be set, not 'out'"):
        sim.io.out = 1
    with pytest.raises(ValueError, match="port must exist"):
        sim["nothing"]
    with pytest.raises(ValueError, match="port must be an input"):
        sim["out"] = 1
    with pytest.raises(ValueError, match=r"must end in \.v"):
        pyverilator.PyVerilator.build("counter.sv")
    with pytest.raises(TypeError, match="verilog_defines must be a list of strings, not 'A'"):
        pyverilator.PyVerilator.build("counter.v", verilog_defines="A")
    with pytest.raises(ToolError, match=r"broken\.v:1"):
        build("broken", "module broken(input a; endmodule\n")
    with pytest.raises(ValueError, match="optimise must be"):
        BuildOptions(optimise="-Ofast")
    with pytest.raises(TypeError, match="clock must be an Input"):
        pyverilator.Clock(sim.io.out.signal)
    sim.close()
    with pytest.raises(ValueError, match="must be open"):
        sim.clock.tick()
