"""docs/host_link.md: the protocol of the host link, for `scripts.gendocs`."""

from __future__ import annotations

import inspect
from typing import Any

from hw.boards.top import Led
from hw.host import protocol
from hw.host.protocol import (
    BOARD_REGISTERS,
    BUS_TIMEOUT,
    ESCAPE,
    ESCAPE_MASK,
    FLAG,
    LONGEST_BODY,
    MAX_WORDS,
    OPERATION,
    RECEIVE_BUFFER,
    REPEATS,
)

from .markdown import member_docs, notice, table

_PATH = """```
 rx --> UartReceiver --> Deframer --> PacketRing --> Bridge --+--> board registers, self-test, logic analyser
                          CRC-32       512 octets      |      +--> CsrAccess ----> AXI4-Lite of the chip
 tx <-- UartTransmitter <-- Framer <-- PacketRing <----+      +--> BoardMemory <-- AXI4 of the chip
                                                              +--> WordAccess ---> SBUF (debug port of the chip)
```
"""

_EXAMPLE = """## By hand

Reading the board's MAGIC, with `restart` so that any number will do:

```python
from hw.host.protocol import Space
from sim.golden.host_link import Deframer, frame, pack_request, parse_response

sent = frame(pack_request(sequence=7, space=Space.BOARD, address=0, count=1, restart=True))
# ... write `sent` to the serial port, read `came` from it ...
(body,) = Deframer().feed(came)
print(parse_response(body))  # Response(sequence=7, status=<Status.OK: 0>, words=(1146245709,))
```
"""


def _tables(text: str) -> str:
    """The tables of a docstring (reStructuredText, `=` rules) as Markdown."""
    out: list[str] = []
    rows: list[tuple[str, str, str]] = []
    inside = 0
    for line in text.splitlines():
        if line.startswith("==="):
            inside += 1
            if inside == 3:
                out += [table(rows[0], rows[1:])]
                inside, rows = 0, []
        elif inside:
            head, octets, rest = line.split(maxsplit=2)
            rows.append((head, octets, rest))
        else:
            out.append(line)
    return "\n".join(out)


def _members(kind: Any) -> list[tuple[int, str, str]]:
    """(number, name, meaning) of an enumeration."""
    docs = member_docs(kind)
    return [(item.value, item.name, " ".join(docs[item.name].split())) for item in kind]


def host_link_page() -> str:
    """docs/host_link.md."""
    limits = (
        ("FLAG, ESCAPE, ESCAPE_MASK", f"0x{FLAG:02X}, 0x{ESCAPE:02X}, 0x{ESCAPE_MASK:02X}", "octets of RFC 1662"),
        ("MAX_WORDS", MAX_WORDS, "longest burst of a frame, in words of 32 bits"),
        ("LONGEST_BODY", LONGEST_BODY, "octets of the longest body, without CRC"),
        ("RECEIVE_BUFFER", RECEIVE_BUFFER, "octets of requests the board keeps, each counted as its body and 1"),
        ("REPEATS", REPEATS, "frames before the expected one that count as repeated"),
        ("BUS_TIMEOUT", BUS_TIMEOUT, "cycles after which a word is given up"),
    )
    bits = [(name, f"{offset}..{offset + width - 1}" if width > 1 else offset) for name, (offset, width) in OPERATION.items()]
    return "\n".join(
        [
            notice("hw/host/protocol.py"),
            "# The host link\n",
            "A UART (8 data bits, no parity, 1 stop bit) from the host to every board, and what goes over it. The model is "
            "`sim/golden/host_link.py`, the hardware `hw/host`, the whole board `hw/boards/top.py`, the host's side `sw/runtime/link.py`.\n",
            _PATH,
            "## Frames\n",
            _tables(inspect.cleandoc(protocol.__doc__ or "").split("\n\n", 1)[1]) + "\n",
            "## Operation\n",
            table(("field", "bits"), bits),
            "The other bits are reserved: a request in which one is set is REFUSED.\n",
            "## Spaces\n",
            table(("number", "space", "what an address names"), _members(protocol.Space)),
            "## Status\n",
            table(("number", "status", "meaning"), _members(protocol.Status)),
            "## Limits\n",
            table(("name", "value", "meaning"), limits),
            "## Registers of the board\n",
            "Blocks of 64 registers each: the self-test from `0x100`, the logic analyser from `0x200`, where FEATURES says that they are there.\n",
            table(
                ("address", "name", "access", "meaning"),
                [(f"0x{item.address:02x}", item.name, item.access, item.doc) for item in BOARD_REGISTERS.values()],
            ),
            "## LEDs\n",
            table(("LED", "name", "shows"), _members(Led)),
            _EXAMPLE,
        ]
    )
