"""Which of its productive ports the head of an adaptive VC asks for."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .flit import flit_layout
from .routing import Hop


def room_layout(config: NocConfig) -> data.StructLayout:
    """Credits and locks of all VCs of the four links, in the order of `Port`."""
    return data.StructLayout(
        {
            "credits": data.ArrayLayout(data.ArrayLayout(range(config.depth + 1), config.vcs), 4),
            "locked": data.ArrayLayout(config.vcs, 4),
        }
    )


class AdaptiveChoice(wiring.Component):
    """Chooses one of `hops` for the head of an adaptive VC."""

    def __init__(self, *, config: NocConfig, hops: tuple[Hop, ...]) -> None:
        self._config, self._hops = config, hops
        super().__init__(
            {
                "valid": In(1),
                "leave": In(1),
                "head": In(flit_layout(config)),
                "room": In(room_layout(config)),
                "selected": Out(len(hops)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        raise NotImplementedError
