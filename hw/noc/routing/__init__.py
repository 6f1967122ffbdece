"""Routing functions, one a file; `ROUTINGS` finds them by the name `NocConfig.routing` uses."""

from hw.common.noc import NocConfig

from .base import Hop, RoutingFunction
from .xy import XY

ROUTINGS: dict[str, type[RoutingFunction]] = {"xy": XY}


def routing_function(config: NocConfig) -> RoutingFunction:
    """The routing function `config` names."""
    return ROUTINGS[config.routing](config=config)


__all__ = ["ROUTINGS", "Hop", "RoutingFunction", "routing_function"]
