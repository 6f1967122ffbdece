"""What a Verilated chip can end with."""


class SimulationError(RuntimeError):
    """The model itself ended the simulation: an assertion or `$finish`."""


class ProtocolError(SimulationError):
    """The chip broke a rule of AXI4 or AXI4-Lite; the message is about the first time it did."""


class RegisterError(SimulationError):
    """A register access was answered with an error."""


class SimulationTimeout(TimeoutError):
    """A limit of cycles was reached; the message says where each engine stands."""
