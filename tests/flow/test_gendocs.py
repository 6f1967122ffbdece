"""The generated pages are those the tables make, and PeakRDL reads the register maps as the RTL has them."""

import re
import subprocess
import sys

import pytest
from systemrdl import RDLCompiler
from systemrdl.node import RegNode

from hw.common.noc import NocConfig
from hw.common.noc_registers import NOC_REGISTERS, Reason
from hw.common.registers import REGISTERS
from scripts.gendocs import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES)
def test_committed_page_is_up_to_date(page):
    assert (ROOT / page).read_text() == PAGES[page]().rstrip("\n") + "\n", f"{page} is out of date: run make docs"


def test_page_of_the_mesh_names_every_parameter_and_reason():
    page = PAGES["docs/noc_config.md"]()
    for name, default, doc in NocConfig.documentation():
        assert f"| `{name}` | `{default}` | {doc} |" in page
    page = PAGES["docs/noc_registers.md"]()
    assert all(f"| {reason.value} | {reason.name} | " in page for reason in Reason)


@pytest.mark.parametrize(("page", "registers"), [("docs/registers.rdl", REGISTERS), ("docs/noc_registers.rdl", NOC_REGISTERS)])
def test_systemrdl_has_every_register(tmp_path, page, registers):
    (tmp_path / "map.rdl").write_text(PAGES[page]())
    compiler = RDLCompiler()
    compiler.compile_file(str(tmp_path / "map.rdl"))
    found = {node.inst_name: node.absolute_address for node in compiler.elaborate().descendants() if isinstance(node, RegNode)}
    assert found == {register.name: register.address for register in registers.values()}


def test_peakrdl_writes_a_c_header_that_compiles(tmp_path):
    header = tmp_path / "meshium.h"
    subprocess.run(
        [sys.executable, "-m", "peakrdl", "c-header", str(ROOT / "docs/registers.rdl"), "-o", str(header)], check=True, capture_output=True
    )
    assert len(re.findall(r"^\s*uint32_t\s+\w+;", header.read_text(), re.M)) == len(REGISTERS)
    (tmp_path / "main.c").write_text('#include "meshium.h"\nint main(void) { return 0; }\n')
    subprocess.run(["g++", "-fsyntax-only", "-x", "c++", str(tmp_path / "main.c")], check=True)
