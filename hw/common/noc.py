"""The one source of every parameter of the mesh: routers, local ports, golden model, traffic, benches and docs read it.

A `NocConfig` is immutable and checked when it is made, so a configuration that exists can be built.
The named instances are in `NOC_CONFIGS`; `NocConfig.named("fast")` finds one, `dataclasses.replace` varies one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from .config import ConfigError, _field

#: Raised whenever the meaning of a flit field, a register of the mesh or a field of `NocConfig` changes.
NOC_VERSION = 1

#: Legal payload widths, in bits: a packet header fits in the narrowest.
PAYLOAD_BITS = (64, 128, 256, 512)
TOPOLOGIES = ("mesh", "torus")
TORUS_SCHEMES = ("none", "dateline")
ARBITRATIONS = ("round_robin", "age")
#: VC classes a packet of one virtual network may be in, per routing function: (on a mesh, on a torus with a dateline); 0: not built.
ROUTING_CLASSES = {"xy": (1, 2), "yx": (1, 2), "o1turn": (2, 4), "adaptive": (2, 0)}
#: Names of the virtual networks, in the order of their VCs.
VIRTUAL_NETWORKS = ("request", "response", "collective")
#: Classes of service where `qos` is set, and the grants each may have in a round.
QOS_WEIGHTS = (1, 2, 4, 8)
#: Cycles from a flit leaving a queue to the next flit taking its place, without extra link stages: the credit, then the flit.
BASE_ROUND_TRIP = 2
#: Longest packet, its header flit included.
PACKET_FLITS = 256


@dataclass(frozen=True, kw_only=True)
class NocConfig:
    """Parameters of one mesh of routers.

    The `vcs` virtual channels of a link are split evenly over the virtual networks; those of one network over the classes of
    the routing function; what is left are the *lanes* of a class. VC number = (network * classes + class) * lanes + lane. The adaptive
    function has uneven classes: VC 0 of a network is the escape channel, the others are its adaptive lanes.

    Raises
    ------
    ConfigError
        if any field is outside its limits, or two fields contradict each other.
    """

    name: str = _field("custom", "Name used in file names and reports; it does not enter the hash.")
    mesh_x: int = _field(4, "Columns of nodes; x grows to the east.")
    mesh_y: int = _field(4, "Rows of nodes; y grows to the north.")
    topology: str = _field("mesh", "`mesh`, or `torus`: the last node of a row or column is the neighbour of the first.")
    torus_scheme: str = _field("none", "How a torus stays free of deadlock: `dateline` doubles the VC classes. A mesh has `none`.")
    routing: str = _field("xy", "Routing function: " + ", ".join(f"`{name}`" for name in ROUTING_CLASSES) + ".")
    payload_bits: int = _field(64, "Payload of a flit.")
    virtual_networks: int = _field(
        1, "Message classes that never wait for one another: " + ", ".join(VIRTUAL_NETWORKS) + ", in this order."
    )
    vcs: int = _field(4, "V: virtual channels of a link.")
    depth: int = _field(4, "B: flits buffered per VC at the receiving end of a link.")
    arbitration: str = _field("age", "Which input goes first: `round_robin` (least recently served) or `age` (oldest packet).")
    age_bits: int = _field(6, "Bits of the creation stamp a flit carries where arbitration is `age`.")
    age_tick: int = _field(16, "Cycles a step of the creation stamp takes.")
    qos: bool = _field(False, "Lanes are classes of service (four, weighted) instead of being chosen by destination.")
    link_stages: int = _field(0, "Extra registers on each link, in each direction; 0: the receiving queue is the link register.")
    watchdog_limit: int = _field(0, "Cycles the flit at the head of a queue may wait before the watchdog raises an error; 0: no watchdog.")

    def __post_init__(self) -> None:
        for name, low, high in (
            ("mesh_x", 1, 16), ("mesh_y", 1, 16), ("virtual_networks", 1, len(VIRTUAL_NETWORKS)), ("vcs", 1, 16), ("depth", 2, 64),
            ("age_bits", 2, 16), ("age_tick", 1, 1024), ("link_stages", 0, 16), ("watchdog_limit", 0, 1 << 20),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"{name} must be an integer, not {value!r}")
            if not low <= value <= high:
                raise ConfigError(f"{name} must be {low} to {high}, not {value!r}")
        for name, legal in (
            ("topology", TOPOLOGIES), ("torus_scheme", TORUS_SCHEMES), ("routing", tuple(ROUTING_CLASSES)),
            ("payload_bits", PAYLOAD_BITS), ("arbitration", ARBITRATIONS), ("qos", (False, True)),
        ):  # fmt: skip
            if getattr(self, name) not in legal:
                raise ConfigError(f"{name} must be one of {', '.join(map(str, legal))}, not {getattr(self, name)!r}")
        if self.topology == "torus" and self.torus_scheme == "none":
            raise ConfigError("torus_scheme must be dateline on a torus, not 'none': its rings are cycles of channels, which deadlock")
        if self.topology == "mesh" and self.torus_scheme != "none":
            raise ConfigError(f"torus_scheme must be none on a mesh, not {self.torus_scheme!r}: there is no ring to cut")
        if not self.classes:
            raise ConfigError(f"routing must be xy, yx or o1turn on a torus, not {self.routing!r}: its escape channel would be a ring")
        needed = self.virtual_networks * self.classes
        if self.vcs < needed:
            raise ConfigError(
                f"vcs must be at least {needed} for routing {self.routing!r} on a {self.topology} with {self.virtual_networks} virtual networks, not {self.vcs}"
            )
        if self.vcs % (self.virtual_networks if self.routing == "adaptive" else needed):
            raise ConfigError(
                f"vcs must be a multiple of {self.virtual_networks if self.routing == 'adaptive' else needed}, not {self.vcs}: "
                "virtual networks and routing classes share them evenly"
            )
        if self.qos and self.lanes != len(QOS_WEIGHTS):
            raise ConfigError(f"vcs must leave {len(QOS_WEIGHTS)} lanes a class for qos, not {self.lanes}: one for each class of service")
        if self.depth < self.round_trip:
            raise ConfigError(
                f"depth must be at least {self.round_trip} with link_stages {self.link_stages}, not {self.depth}: "
                "a shallower queue runs dry while its credits travel"
            )
        if self.arbitration == "age" and self.watchdog_limit and self.watchdog_limit >= self.age_tick << (self.age_bits - 1):
            raise ConfigError(
                f"watchdog_limit must be below age_tick * 2**(age_bits - 1) = {self.age_tick << (self.age_bits - 1)}, not {self.watchdog_limit}: "
                "older packets would look young"
            )

    # Derived sizes -------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> int:
        """Nodes of the mesh; node number = y * mesh_x + x."""
        return self.mesh_x * self.mesh_y

    @property
    def classes(self) -> int:
        """VC classes of one virtual network: what the routing function and the torus scheme need to stay acyclic."""
        return ROUTING_CLASSES[self.routing][self.topology == "torus"]

    @property
    def network_vcs(self) -> int:
        """VCs of one virtual network."""
        return self.vcs // self.virtual_networks

    @property
    def lanes(self) -> int:
        """Interchangeable VCs of one class; of the adaptive class where routing is `adaptive` (its escape class has one)."""
        return self.network_vcs - 1 if self.routing == "adaptive" else self.network_vcs // self.classes

    @property
    def round_trip(self) -> int:
        """Cycles from a flit leaving a queue until another can stand in its place: the least depth that keeps a VC at full rate."""
        return BASE_ROUND_TRIP + 2 * self.link_stages

    @property
    def x_bits(self) -> int:
        """Bits of an x coordinate."""
        return max(1, (self.mesh_x - 1).bit_length())

    @property
    def y_bits(self) -> int:
        """Bits of a y coordinate."""
        return max(1, (self.mesh_y - 1).bit_length())

    @property
    def vc_bits(self) -> int:
        """Bits of a VC number."""
        return max(1, (self.vcs - 1).bit_length())

    @property
    def stamp_bits(self) -> int:
        """Bits of the creation stamp in a flit: none with round robin."""
        return self.age_bits if self.arbitration == "age" else 0

    def vc_class(self, vc: int) -> int:
        """Class of VC number `vc` in its virtual network."""
        local = vc % self.network_vcs
        return min(local, 1) if self.routing == "adaptive" else local // self.lanes

    def vc_number(self, *, network: int, vc_class: int, lane: int) -> int:
        """VC number of `lane` of `vc_class` of `network`; the escape class of `adaptive` has one lane, which any `lane` names."""
        base = network * self.network_vcs
        if self.routing == "adaptive":
            return base + (1 + lane if vc_class else 0)
        return base + vc_class * self.lanes + lane

    # Identity ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)

    @property
    def hash(self) -> int:
        """32-bit identity of everything that shapes the hardware, `name` left out."""
        identity = {key: value for key, value in self.to_dict().items() if key != "name"}
        identity["noc_version"] = NOC_VERSION
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
        return int.from_bytes(digest[:4], "little")

    @classmethod
    def named(cls, name: str) -> NocConfig:
        """The named instance; `ConfigError` lists the names there are."""
        try:
            return NOC_CONFIGS[name]
        except KeyError:
            raise ConfigError(f"noc config must be one of {', '.join(NOC_CONFIGS)}, not {name!r}") from None

    @classmethod
    def documentation(cls) -> list[tuple[str, Any, str]]:
        """(field, default, description) of every parameter, in order: the docs table is made from it."""
        return [(item.name, item.default, item.metadata["doc"]) for item in fields(cls)]


_lean = NocConfig(name="lean", mesh_x=8, mesh_y=8, vcs=1, depth=2, arbitration="round_robin")
_deep = NocConfig(name="deep", mesh_x=8, mesh_y=8, vcs=1, depth=8, arbitration="round_robin")
_fast = NocConfig(name="fast", mesh_x=8, mesh_y=8, vcs=4, depth=4)

#: The named instances, smallest first.
NOC_CONFIGS: dict[str, NocConfig] = {config.name: config for config in (_lean, _deep, _fast)}
