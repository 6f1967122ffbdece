"""Reference page of the mesh's formats, for `scripts.gendocs`."""

from __future__ import annotations

from hw.common.noc import NOC_CONFIGS
from hw.noc.flit import ErrorReason, Field, PacketKind, Port, flit_fields, header_fields

from .markdown import member_docs, notice, table


def _fields(fields: tuple[Field, ...]) -> str:
    rows, offset = [], 0
    for field in fields:
        rows.append((f"`{field.name}`", f"{offset + field.width - 1}:{offset}", field.width, field.doc))
        offset += field.width
    return table(("field", "bits", "width", "meaning"), rows)


def formats_page() -> str:
    """Flits, headers, kinds of packets, reasons of errors, ports."""
    config = NOC_CONFIGS["fast"]
    kinds, reasons = member_docs(PacketKind), member_docs(ErrorReason)
    text = [
        notice("hw/noc/flit.py"),
        "# Flits and packets",
        "",
        f"Widths are those of `{config.name}`: {config.mesh_x}x{config.mesh_y} nodes, {config.payload_bits}-bit payload. Bit 0 is the lowest.",
        "",
        "## A flit",
        "",
        _fields(flit_fields(config)),
        "## A packet's header",
        "",
        "The payload of a head flit.",
        "",
        _fields(header_fields(config)),
        "## Kinds of packets",
        "",
        table(("kind", "number", "meaning"), [(f"`{kind.name}`", kind.value, kinds[kind.name]) for kind in PacketKind]),
        "## Reasons of an error",
        "",
        table(("reason", "number", "meaning"), [(f"`{reason.name}`", reason.value, reasons[reason.name]) for reason in ErrorReason]),
        "## Ports",
        "",
        table(("port", "number", "leads to"), [(port.name.lower(), port.value, _leads_to(port)) for port in Port]),
    ]
    return "\n".join(text)


def _leads_to(port: Port) -> str:
    dx, dy = port.step
    return "the node itself" if port is Port.LOCAL else f"(x{dx:+d}, y)" if dx else f"(x, y{dy:+d})"
