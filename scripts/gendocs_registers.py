"""Register maps as reference pages and as SystemRDL, for `scripts.gendocs`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from hw.common import noc_registers, registers
from hw.common.noc_registers import NOC_REGISTERS, OVERDUE, QUEUE_BITS, Reason
from hw.common.registers import REGISTERS, Access, Bits, Register

from .markdown import member_docs, notice, table


def _bit_range(bits: Bits) -> str:
    return f"{bits.offset}..{bits.offset + bits.width - 1}" if bits.width > 1 else str(bits.offset)


def registers_page() -> str:
    """docs/registers.md."""
    text = [
        notice("hw/common/registers.py"),
        "# Registers\n",
        inspect.cleandoc(registers.__doc__ or "").split("\n\n", 1)[1] + "\n",
    ]
    return "\n".join([*text, *_tables(REGISTERS)])


def _tables(registers: Mapping[str, Register]) -> list[str]:
    """Kinds of access, map, bit fields."""
    access = member_docs(Access)
    text = ["## Kinds of access\n", table(("kind", "who may change it"), [(a.value, access[a.name]) for a in Access])]
    text.append("## Map\n")
    rows = [(f"0x{r.address:03x}", r.name, r.access.value, f"0x{r.reset:x}", r.doc) for r in registers.values()]
    text.append(table(("address", "name", "access", "reset", "meaning"), rows))
    text.append("## Bit fields\n")
    text.append(
        table(
            ("register", "field", "bits", "meaning"), [(r.name, b.name, _bit_range(b), b.doc) for r in registers.values() for b in r.bits]
        )
    )
    return text


def noc_registers_page() -> str:
    """docs/noc_registers.md."""
    reasons = member_docs(Reason)
    text = [
        notice("hw/common/noc_registers.py"),
        "# Registers of the mesh\n",
        inspect.cleandoc(noc_registers.__doc__ or "").split("\n\n", 1)[1] + "\n",
        "They are there where `watchdog_limit` is above 0 (`hw/noc/monitor.py`). As SystemRDL: `docs/noc_registers.rdl`.\n",
        *_tables(NOC_REGISTERS),
        "## Reasons to wait\n",
        table(("reason", "name", "meaning"), [(r.value, r.name, reasons[r.name]) for r in Reason]),
        "## Who waits for whom\n",
        *_search(),
    ]
    return "\n".join(text)


def _search() -> list[str]:
    """Steps from the interrupt to the chain, with the places of the fields."""
    queue = ", ".join(f"{bits.name} in bits {_bit_range(bits)}" for bits in QUEUE_BITS)
    return [
        "1. Write 1 to IRQ_ENABLE, or read STATUS now and then.",
        "2. When `fired` is set, ERROR_QUEUE names the first queue whose flit has waited too long, and ERROR_WAIT what it waited for.",
        f"3. Write the name of a queue ({queue}) to PROBE_SELECT and read PROBE_DATA: what the flit at its head waits for now.",
        "4. Go on from queue to queue. CREDIT on a link: the queue at the other end, on the VC it wants. CREDIT on the local port: the node does not "
        "take what has arrived. LOCK: the owner, in the same router. A queue met twice is a deadlock.",
        "5. `sim/golden/waits.py` does so for all queues at once: `explain(read_heads(probe, config), config)` is the text.",
        "6. Write 1 to CONTROL to forget the errors. What still waits is reported again when it has waited for another limit.\n",
        f"`waited` counts the ends of halves of the limit during a wait, up to {OVERDUE}, at which the error is raised: never before the limit is over, "
        "and at most two cycles after half as much again.\n",
    ]


def systemrdl() -> str:
    """docs/registers.rdl."""
    return _systemrdl("meshium", "hw/common/registers.py", REGISTERS)


def noc_systemrdl() -> str:
    """docs/noc_registers.rdl."""
    return _systemrdl("meshium_noc", "hw/common/noc_registers.py", NOC_REGISTERS)


def _systemrdl(name: str, source: str, registers: Mapping[str, Register]) -> str:
    """A register map as SystemRDL 2.0, for PeakRDL and its exporters."""
    software = {
        Access.RO: "sw = r; hw = w;",
        Access.RW: "sw = rw; hw = r;",
        Access.W1S: "sw = w; hw = r; singlepulse;",
        Access.W1C: "sw = rw; hw = rw; onwrite = woclr; hwset;",
    }
    lines = [
        f"// Made by `make docs` from {source}.",
        f"addrmap {name} {{",
        "    default regwidth = 32;",
        "    default accesswidth = 32;",
    ]
    for register in registers.values():
        lines += ["    reg {", f'        desc = "{register.doc.replace(chr(34), chr(39))}";']
        for bits in register.bits or (Bits(name="value", offset=0, width=32, doc=register.doc),):
            reset = register.reset >> bits.offset & (1 << bits.width) - 1
            lines.append(
                f"        field {{ {software[register.access]} }} {bits.name}[{bits.offset + bits.width - 1}:{bits.offset}] = 0x{reset:x};"
            )
        lines.append(f"    }} {register.name} @ 0x{register.address:03x};")
    return "\n".join([*lines, "};", ""])
