"""The channel dependency graph of a mesh: it must have no cycle, or packets can wait for one another for ever."""

from hw.common.noc import NocConfig


def check_acyclic(config: NocConfig) -> None:
    """Raises `ConfigError`, with the cycle, if packets of `config` can wait in a circle."""
