"""What other open routers reach on an 8x8 mesh: the points our curves and tables are drawn beside.

All measured in one harness with the method of docs/noc_benchmarks.md (single-flit packets of 64 bits, XY routing, sources without end, 1,000 cycles of
warm-up, 3,000 measured, latency from generation to ejection), the BookSim row with BookSim 2's own model.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One router.

    `saturation`: pattern to the highest load whose mean latency is at most three times that at zero load, `accepted`: flits per node and
    cycle under uniform traffic at load 1.0, `hop` cycles, `zero_load` mean latency under uniform traffic.
    """

    name: str
    hop: int
    zero_load: float
    accepted: float
    saturation: dict[str, float] = field(default_factory=dict)


PATTERN_NAMES = ("uniform", "transpose", "bit_complement", "tornado", "hot_spot")


def _peer(name: str, hop: int, zero_load: float, accepted: float, *saturation: float) -> Peer:
    return Peer(name=name, hop=hop, zero_load=zero_load, accepted=accepted, saturation=dict(zip(PATTERN_NAMES, saturation, strict=False)))


#: In the order of PATTERN_NAMES; a pattern that was not measured is left out.
PEERS = (
    _peer("basejump bsg_mesh_router_buffered, FIFO 2", 1, 6.33, 0.293, 0.273, 0.143, 0.204, 0.204, 0.120),
    _peer("basejump bsg_mesh_router_buffered, FIFO 8", 1, 6.33, 0.380, 0.372, 0.143, 0.227, 0.250, 0.127),
    _peer("ESP lookahead router, queue 4", 1, 6.33, 0.361, 0.349, 0.143, 0.227, 0.242, 0.127),
    _peer("FlooNoC floo_router 2/2", 2, 12.65, 0.326, 0.319, 0.150, 0.204, 0.227, 0.127),
    _peer("BookSim 2 model, 4 VC x 4 flits", 3, 20.6, 0.404, 0.418, 0.143, 0.234, 0.273),
)


def best_peer(pattern: str) -> tuple[float, str]:
    """Highest saturation of any peer, and whose it is."""
    return max((peer.saturation[pattern], peer.name) for peer in PEERS if pattern in peer.saturation)
