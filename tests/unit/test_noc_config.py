"""Configurations of the mesh: those that cannot be built are refused with a reason; VC numbers, sizes, identity."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from hw.common.config import ConfigError
from hw.common.noc import NOC_CONFIGS, ROUTING_CLASSES, NocConfig

REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({name: 0}, f"{name} must be 1 to 16, not 0") for name in ("mesh_x", "mesh_y", "vcs")),
    *(({name: 17}, f"{name} must be 1 to 16, not 17") for name in ("mesh_x", "mesh_y", "vcs")),
    ({"mesh_x": -1}, "mesh_x must be 1 to 16, not -1"),
    ({"mesh_x": 2.0}, "mesh_x must be an integer, not 2.0"),
    ({"mesh_y": "4"}, "mesh_y must be an integer, not '4'"),
    ({"vcs": True}, "vcs must be an integer, not True"),
    ({"depth": 1}, "depth must be 2 to 64, not 1"),
    ({"depth": 65}, "depth must be 2 to 64, not 65"),
    ({"virtual_networks": 0}, "virtual_networks must be 1 to 3, not 0"),
    ({"virtual_networks": 4}, "virtual_networks must be 1 to 3, not 4"),
    ({"age_bits": 1}, "age_bits must be 2 to 16, not 1"),
    ({"age_tick": 0}, "age_tick must be 1 to 1024, not 0"),
    ({"link_stages": -1}, "link_stages must be 0 to 16, not -1"),
    ({"link_stages": 17}, "link_stages must be 0 to 16, not 17"),
    ({"watchdog_limit": 1 << 21}, "watchdog_limit must be 0 to 1048576, not 2097152"),
    ({"topology": "ring"}, "topology must be one of mesh, torus, not 'ring'"),
    ({"torus_scheme": "bubble"}, "torus_scheme must be one of none, dateline, not 'bubble'"),
    ({"routing": "west_first"}, "routing must be one of xy, yx, o1turn, adaptive, not 'west_first'"),
    ({"payload_bits": 32}, "payload_bits must be one of 64, 128, 256, 512, not 32"),
    ({"payload_bits": 96}, "payload_bits must be one of 64, 128, 256, 512, not 96"),
    ({"arbitration": "random"}, "arbitration must be one of round_robin, age, not 'random'"),
    ({"qos": "yes"}, "qos must be one of False, True, not 'yes'"),
    ({"topology": "torus"}, "torus_scheme must be dateline on a torus, not 'none': its rings are cycles of channels, which deadlock"),
    ({"torus_scheme": "dateline"}, "torus_scheme must be none on a mesh, not 'dateline': there is no ring to cut"),
    (
        {"topology": "torus", "torus_scheme": "dateline", "routing": "adaptive"},
        "routing must be xy, yx or o1turn on a torus, not 'adaptive': its escape channel would be a ring",
    ),
    ({"routing": "o1turn", "vcs": 1}, "vcs must be at least 2 for routing 'o1turn' on a mesh with 1 virtual networks, not 1"),
    ({"routing": "adaptive", "vcs": 1}, "vcs must be at least 2 for routing 'adaptive' on a mesh with 1 virtual networks, not 1"),
    ({"virtual_networks": 3, "vcs": 2}, "vcs must be at least 3 for routing 'xy' on a mesh with 3 virtual networks, not 2"),
    (
        {"topology": "torus", "torus_scheme": "dateline", "routing": "o1turn", "vcs": 3},
        "vcs must be at least 4 for routing 'o1turn' on a torus with 1 virtual networks, not 3",
    ),
    ({"routing": "o1turn", "vcs": 3}, "vcs must be a multiple of 2, not 3: virtual networks and routing classes share them evenly"),
    (
        {"routing": "adaptive", "virtual_networks": 2, "vcs": 5},
        "vcs must be a multiple of 2, not 5: virtual networks and routing classes share them evenly",
    ),
    ({"qos": True, "vcs": 2}, "vcs must leave 4 lanes a class for qos, not 2: one for each class of service"),
    ({"link_stages": 2}, "depth must be at least 6 with link_stages 2, not 4: a shallower queue runs dry while its credits travel"),
    ({"watchdog_limit": 512}, "watchdog_limit must be below age_tick * 2**(age_bits - 1) = 512, not 512: older packets would look young"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[" ".join(f"{k}={v}" for k, v in fields.items()) for fields, _ in REFUSED])
def test_what_cannot_be_built_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NocConfig(**fields)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"mesh_x": 1, "mesh_y": 1}, {"mesh_x": 16, "mesh_y": 16}, {"mesh_x": 1, "mesh_y": 16}, {"vcs": 1, "depth": 2}, {"vcs": 16, "depth": 64},
        {"link_stages": 1, "depth": 4}, {"link_stages": 16, "depth": 34}, {"watchdog_limit": 511}, {"payload_bits": 512},
        {"watchdog_limit": 1 << 20, "arbitration": "round_robin"}, {"virtual_networks": 3, "vcs": 3}, {"qos": True, "vcs": 4},
        {"topology": "torus", "torus_scheme": "dateline", "vcs": 2}, {"routing": "adaptive", "virtual_networks": 2, "vcs": 6},
    ],
)  # fmt: skip
def test_limits_themselves_are_legal(fields: dict[str, Any]) -> None:
    config = NocConfig(**fields)
    assert {name: getattr(config, name) for name in fields} == fields


BUILT = [(topology, name) for topology, name in product(("mesh", "torus"), ROUTING_CLASSES) if ROUTING_CLASSES[name][topology == "torus"]]


@pytest.mark.parametrize(("topology", "name"), BUILT)
@pytest.mark.parametrize(("networks", "lanes"), [(1, 1), (1, 3), (2, 2), (3, 1)])
def test_every_vc_has_one_place(topology: str, name: str, networks: int, lanes: int) -> None:
    """Network, class and lane to VC number and back; each number once."""
    classes = ROUTING_CLASSES[name][topology == "torus"]
    vcs = networks * (1 + lanes if name == "adaptive" else lanes * classes)
    config = NocConfig(
        topology=topology, torus_scheme="dateline" if topology == "torus" else "none", routing=name, virtual_networks=networks, vcs=vcs
    )
    assert (config.classes, config.lanes, config.network_vcs) == (classes, lanes, vcs // networks)
    numbers = []
    for network, vc_class in product(range(networks), range(classes)):
        width = 1 if name == "adaptive" and vc_class == 0 else lanes
        for lane in range(width):
            number = config.vc_number(network=network, vc_class=vc_class, lane=lane)
            assert (number // config.network_vcs, config.vc_class(number)) == (network, vc_class)
            numbers.append(number)
    assert numbers == list(range(vcs))
    if name == "adaptive":
        assert {config.vc_number(network=0, vc_class=0, lane=lane) for lane in range(lanes)} == {0}


@pytest.mark.parametrize(
    ("size", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (16, 4)]
)  # fmt: skip
def test_widths(size: int, bits: int) -> None:
    config = NocConfig(mesh_x=size, mesh_y=1, vcs=size)
    assert (config.x_bits, config.y_bits, config.vc_bits, config.nodes) == (bits, 1, bits, size)
    assert NocConfig(mesh_x=1, mesh_y=size).y_bits == bits


def test_stamps_and_round_trip() -> None:
    assert NocConfig(age_bits=9).stamp_bits == 9
    assert NocConfig(arbitration="round_robin").stamp_bits == 0
    assert [NocConfig(link_stages=stages, depth=64).round_trip for stages in (0, 1, 16)] == [2, 4, 34]


def test_identity() -> None:
    """The name does not matter; everything else does."""
    base = NocConfig(vcs=8, depth=8)
    assert replace(base, name="other").hash == base.hash
    others = [
        {"mesh_x": 5}, {"mesh_y": 5}, {"topology": "torus", "torus_scheme": "dateline"}, {"routing": "yx"}, {"payload_bits": 128}, {"virtual_networks": 2},
        {"vcs": 4}, {"depth": 9}, {"arbitration": "round_robin"}, {"age_bits": 7}, {"age_tick": 8},
        {"qos": True, "vcs": 4}, {"link_stages": 1}, {"watchdog_limit": 9},
    ]  # fmt: skip
    hashes = [replace(base, **other).hash for other in others]
    assert len({base.hash, *hashes}) == len(others) + 1
    assert NocConfig(**base.to_dict()) == base


def test_named_configurations() -> None:
    for name, config in NOC_CONFIGS.items():
        assert NocConfig.named(name) is config and config.name == name
    with pytest.raises(ConfigError, match="noc config must be one of lean, deep, fast, not 'quick'"):
        NocConfig.named("quick")


def test_every_field_is_documented() -> None:
    rows = NocConfig.documentation()
    assert [name for name, _, _ in rows] == list(NocConfig().to_dict())
    assert all(text.endswith(".") for _, _, text in rows)
