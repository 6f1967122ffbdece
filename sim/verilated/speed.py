"""How fast a simulation is beside the fastest it could be."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Cycles and seconds of the same work done twice: through Python, and as a bare C++ loop over recorded inputs."""

    cycles: int
    seconds: float
    bare_seconds: float

    @property
    def hertz(self) -> float:
        """Simulated cycles a second from Python."""
        return self.cycles / self.seconds

    @property
    def ratio(self) -> float:
        """Speed from Python over speed of the bare loop."""
        return self.bare_seconds / self.seconds
