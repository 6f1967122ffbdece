"""Routing functions, one a file; `ROUTINGS` finds them by the name `NocConfig.routing` uses."""

from hw.common.noc import NocConfig

from .adaptive import Adaptive
from .base import Hop, RoutingFunction
from .o1turn import O1Turn
from .xy import XY
from .yx import YX

ROUTINGS: dict[str, type[RoutingFunction]] = {function.name: function for function in (XY, YX, O1Turn, Adaptive)}


def routing_function(config: NocConfig) -> RoutingFunction:
    """The routing function `config` names."""
    return ROUTINGS[config.routing](config=config)


__all__ = ["ROUTINGS", "Hop", "RoutingFunction", "routing_function"]
