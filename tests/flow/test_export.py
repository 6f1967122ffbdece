"""`make verilog`: the file, its ports, what Verilator says of it, and errors."""

import re
from pathlib import Path

import pytest

from hw.common.config import CONFIGS
from scripts import verilog
from sim.verilated import toolchain


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Verilog of nano, in a folder of its own; the Verilog itself comes from the usual cache."""
    text = verilog.chip_verilog(CONFIGS["nano"])
    monkeypatch.setattr(verilog, "build_root", lambda: tmp_path)
    monkeypatch.setattr(verilog, "chip_verilog", lambda config: text)
    assert verilog.main(["nano"]) == 0
    return tmp_path / "verilog" / "meshium_nano.v"


def test_prints_path_and_module_count(exported: Path, capsys: pytest.CaptureFixture) -> None:
    verilog.main(["nano"])
    count = len(re.findall(r"^module ", exported.read_text(), flags=re.M))
    assert capsys.readouterr().out == f"{exported}: {count} modules\n"
    assert count > 10
    assert [item.name for item in exported.parent.iterdir()] == [exported.name], "a temporary file was left"


def test_one_processing_element_and_flat_ports(exported: Path) -> None:
    text = exported.read_text()
    assert len(re.findall(r"^module pe\(", text, flags=re.M)) == 1
    top = re.search(r"^module meshium_nano\((.*?)\);", text, flags=re.M | re.S)
    assert top is not None
    ports = set(re.split(r",\s*", top[1]))
    expected = {
        "clk",
        "rst",
        "irq",
        "s_axil_awaddr",
        "s_axil_wvalid",
        "s_axil_rdata",
        "m_axi_araddr",
        "m_axi_wlast",
        "m_axi_rready",
        "m_axi_bid",
    }
    assert expected <= ports, f"missing: {expected - ports}"


def test_verilator_accepts_it(exported: Path, tmp_path: Path) -> None:
    arguments = ["--lint-only", "--top-module", "meshium_nano", "-Wno-lint", "-Wno-style", exported.name]
    assert toolchain.run_verilator(arguments, cwd=exported.parent) == ""
    broken = tmp_path / "broken.v"
    broken.write_text(exported.read_text().replace("endmodule", "", 1))
    with pytest.raises(toolchain.ToolError, match="Verilator must accept the design"):
        toolchain.run_verilator([*arguments[:-1], broken.name], cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["pico"], 1, "config must be one of nano, small, base, large, not 'pico'"),
        ([], 2, "exactly one configuration must be named, not 0"),
        (["nano", "base"], 2, "exactly one configuration must be named, not 2"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture) -> None:
    assert verilog.main(arguments) == status
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_an_interrupted_export_keeps_the_old_file(exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    before = exported.read_text()

    class Text(str):
        def encode(self, *_: object) -> bytes:
            raise OSError("disk full")

    monkeypatch.setattr(verilog, "chip_verilog", lambda config: Text("module x; endmodule"))
    assert verilog.main(["nano"]) == 1
    assert "disk full" in capsys.readouterr().err
    assert exported.read_text() == before and [item.name for item in exported.parent.iterdir()] == [exported.name]
