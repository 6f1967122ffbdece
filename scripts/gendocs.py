"""Makes the reference pages of docs/ and the SystemRDL export from the tables in `hw`.

`python -m scripts.gendocs` writes them; with `--check` it writes nothing and exits 1 if one is out of date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from hw.common import isa
from hw.common.config import CONFIGS, ChipConfig
from hw.common.dtypes import DTYPES
from hw.common.isa import ENGINES, Cause, OutputMode
from hw.common.noc import NOC_CONFIGS, NocConfig

from .gendocs_boards import boards_page
from .gendocs_host_link import host_link_page
from .gendocs_noc import formats_page
from .gendocs_registers import noc_registers_page, noc_systemrdl, registers_page, systemrdl
from .markdown import member_docs, notice, table

ROOT = Path(__file__).resolve().parent.parent


def _byte_map(instruction: isa.Instruction) -> str:
    """The instruction word as a picture: one line a 32-bit word, highest bit left."""
    owner = {}
    for field in instruction.all_fields:
        for bit in range(field.offset, field.offset + field.width):
            owner[bit] = field.name
    lines = []
    for word in range(ENGINES[instruction.engine].bits // 32):
        runs: list[tuple[str, int]] = []
        for bit in reversed(range(32 * word, 32 * word + 32)):
            name = owner.get(bit, "0")
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + 1)
            else:
                runs.append((name, 1))
        lines.append(f"{32 * word + 31:>4}  | " + " | ".join(f"{name}:{width}" for name, width in runs) + f" |  {32 * word}")
    return "```\n" + "\n".join(lines) + "\n```\n"


def _access_pattern() -> str:
    """The loops an access pattern stands for."""
    dims = range(isa.DIMENSIONS)
    loops = [f"{'    ' * depth}for i{dim} in range(size{dim}):" for depth, dim in enumerate(reversed(dims))]
    offsets = " + ".join(f"i{dim} * stride{dim}" for dim in dims)
    loops.append(f"{'    ' * len(dims)}use(base + {offsets})")
    return (
        "```python\n" + "\n".join(loops) + "\n```\n\n"
        "Sizes count from 1, strides are signed. SBUF addresses and strides are in lines of `cols` bytes, DRAM ones in bytes.\n"
    )  # fmt: skip


def isa_page() -> str:
    """docs/isa.md."""
    text = [notice("hw/common/isa.py"), "# Instruction set\n"]
    text.append(inspect.cleandoc(isa.__doc__ or "").split("\n\n")[1] + "\n")
    text += ["## Engines\n"]
    text.append(
        table(
            ("engine", "index", "bytes per instruction", "does"), [(e.name, e.index, e.instruction_bytes, e.doc) for e in ENGINES.values()]
        )
    )
    text.append("## Header of every instruction\n")
    text.append(table(("field", "bits", "meaning"), [(f.name, f"{f.offset}..{f.offset + f.width - 1}", f.doc) for f in isa.HEADER]))
    text.append(
        "Before it starts, an instruction waits until the semaphore of wait0 holds at least its count, subtracts the count, then does the same for wait1. "
        "Once it has completed, it adds the counts of post0 and post1. A count of 0 means no wait or no post.\n"
    )
    text += ["## Access patterns\n", _access_pattern()]
    for engine in ENGINES.values():
        text.append(f"## The {engine.name} engine\n")
        for item in isa.instructions_of(engine.name):
            text += [f"### {item.name}\n", f"`{item.mnemonic}`, opcode 0x{item.opcode:02x}. {item.doc}\n", _byte_map(item)]
            text.append(
                table(
                    ("field", "bits", "range", "meaning"),
                    [
                        (f.name, f"{f.offset}..{f.offset + f.width - 1}", f"{f.low}..{f.high}", f.doc)
                        for f in item.all_fields
                        if f not in isa.HEADER
                    ],
                )
            )
    modes, causes = member_docs(OutputMode), member_docs(Cause)
    text += ["## Output modes\n", table(("mode", "name", "what Evict writes"), [(m.value, m.name, modes[m.name]) for m in OutputMode])]
    text += ["## Operand types\n"]
    text.append(table(("code", "name", "bytes", "summed in"), [(d.code, d.name, d.bytes, d.accumulator) for d in DTYPES.values()]))
    text += ["## Causes of a halt\n", "Checked in this order; the first that fails is the cause.\n"]
    text.append(table(("cause", "name", "meaning"), [(c.value, c.name, causes.get(c.name, "no error")) for c in Cause]))
    return "\n".join(text)


def config_page() -> str:
    """docs/config.md."""
    text = [notice("hw/common/config.py"), "# Configuration\n"]
    text.append(
        "Every parameter of the chip is a field of `ChipConfig`; the RTL, the golden model, the compiler and the harness read nothing else.\n"
    )
    text.append(
        table(("field", "default", "meaning"), [(f"`{name}`", f"`{default}`", doc) for name, default, doc in ChipConfig.documentation()])
    )
    text.append("## Named configurations\n")
    names = [name for name, _, _ in ChipConfig.documentation() if name != "name"]
    derived = ("sbuf_bytes", "psum_bytes", "axi_data_width")
    rows: list[tuple[object, ...]] = [
        (f"`{field}`", *(_plain(getattr(c, field)) for c in CONFIGS.values())) for field in (*names, *derived)
    ]
    rows.append(("hash", *(f"{c.hash:08x}" for c in CONFIGS.values())))
    text.append(table(("field", *CONFIGS), rows))
    return "\n".join(text)


def noc_config_page() -> str:
    """docs/noc_config.md."""
    text = [notice("hw/common/noc.py"), "# Configuration of the mesh\n"]
    text.append(
        "Every parameter of the mesh is a field of `NocConfig`; the RTL, the golden model, traffic and benches read nothing else.\n"
    )
    text.append(
        table(("field", "default", "meaning"), [(f"`{name}`", f"`{default}`", doc) for name, default, doc in NocConfig.documentation()])
    )
    text.append("## Named configurations\n")
    names = [name for name, _, _ in NocConfig.documentation() if name != "name"]
    derived = ("nodes", "classes", "lanes", "round_trip")
    rows: list[tuple[object, ...]] = [(f"`{field}`", *(getattr(c, field) for c in NOC_CONFIGS.values())) for field in (*names, *derived)]
    rows.append(("hash", *(f"{c.hash:08x}" for c in NOC_CONFIGS.values())))
    text.append(table(("field", *NOC_CONFIGS), rows))
    text.append("## Derived sizes\n")
    text.append(table(("name", "meaning"), [(f"`{name}`", inspect.getdoc(getattr(NocConfig, name))) for name in derived]))
    return "\n".join(text)


def _plain(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


PAGES = {
    "docs/isa.md": isa_page,
    "docs/registers.md": registers_page,
    "docs/config.md": config_page,
    "docs/boards.md": boards_page,
    "docs/host_link.md": host_link_page,
    "docs/registers.rdl": systemrdl,
    "docs/noc_formats.md": formats_page,
    "docs/noc_config.md": noc_config_page,
    "docs/noc_registers.md": noc_registers_page,
    "docs/noc_registers.rdl": noc_systemrdl,
}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a page is out of date.")
def main(check: bool) -> None:
    """Makes the generated pages of docs/."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make().rstrip("\n") + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    click.echo(f"{'out of date' if check else 'written'}: {', '.join(stale) or 'none'}", err=True)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
