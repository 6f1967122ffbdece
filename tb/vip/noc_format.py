"""Flits and link signals of the mesh as integers; packets for testbenches."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.common.noc import NocConfig
from hw.noc.link import hop_layout
from sim.golden.router import Flit

#: Flit number and packet number in the low 32 bits of every payload: who sees a flit knows which it is. The rest is random.
INDEX_BITS, PACKET_BITS = 8, 24
#: They are multiplied by an odd number, so that each of those bits takes both values within a few packets.
_SCRAMBLE = 0x9E3779B1
_LOW = 1 << (INDEX_BITS + PACKET_BITS)


def noc_config() -> NocConfig:
    """The configuration the device was built with, from `MESHIUM_CONFIG`. `RuntimeError` outside a run."""
    try:
        text = os.environ["MESHIUM_CONFIG"]
    except KeyError:
        raise RuntimeError("MESHIUM_CONFIG must be set: run the testbench through make sim TB=...") from None
    return NocConfig(**json.loads(text))


class HopFormat:
    """The signal `hop` of a link: (VC, `Flit`) to bits and back.

    Parameters
    ----------
    config : NocConfig
    """

    def __init__(self, config: NocConfig) -> None:
        layout: Any = hop_layout(config)
        flit = layout["flit"]
        self._fields = {"valid": (layout["valid"].offset, 1), "vc": (layout["vc"].offset, config.vc_bits)}
        for name, field in flit.shape:
            self._fields[name] = (flit.offset + field.offset, field.width)
        self.width: int = layout.size

    def pack(self, vc: int, flit: Flit) -> int:
        """Bits of a cycle with a flit."""
        values = {"valid": 1, "vc": vc, "payload": flit.payload, "tail": int(flit.tail), "dst_x": flit.dst[0], "dst_y": flit.dst[1]}
        values |= {"route": flit.route, "stamp": flit.stamp}
        return sum(values[name] << offset for name, (offset, _) in self._fields.items())

    def idle(self, rng: np.random.Generator) -> int:
        """Bits of a cycle without one: garbage beside `valid`."""
        garbage = int.from_bytes(rng.bytes((self.width + 7) // 8), "little") & ((1 << self.width) - 1)
        return garbage & ~(1 << self._fields["valid"][0])

    def unpack(self, bits: int) -> tuple[int, Flit] | None:
        """(VC, flit) of a cycle, None where there is none."""
        get = {name: bits >> offset & ((1 << width) - 1) for name, (offset, width) in self._fields.items()}
        if not get["valid"]:
            return None
        return get["vc"], Flit(get["payload"], bool(get["tail"]), (get["dst_x"], get["dst_y"]), get["route"], get.get("stamp", 0))


@dataclass(frozen=True)
class Numbering:
    """Makes payloads that say which flit they are."""

    config: NocConfig
    rng: np.random.Generator

    def payload(self, packet: int, index: int) -> int:
        """Random, but for its low bits."""
        if packet >> PACKET_BITS or index >> INDEX_BITS:
            raise ValueError(f"packet and index must fit in {PACKET_BITS} and {INDEX_BITS} bits, not {packet} and {index}")
        bits = int.from_bytes(self.rng.bytes(self.config.payload_bits // 8), "little")
        return bits // _LOW * _LOW + (index << PACKET_BITS | packet) * _SCRAMBLE % _LOW


def numbered(payload: int) -> tuple[int, int]:
    """(packet, index) of a payload."""
    low = payload * pow(_SCRAMBLE, -1, _LOW) % _LOW
    return low & ((1 << PACKET_BITS) - 1), low >> PACKET_BITS
