"""The bus behind the bridge: words of 32 bits in four spaces, one access at a time; and the small port of register blocks on the board."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

#: Bits of a byte address in a space.
ADDRESS_BITS = 32


class HostBus(wiring.Signature):
    """One space of the host link, seen from the bridge.

    Members
    -------
    request : Out(stream of {address (bytes, a multiple of 4), write, data})
        The payload stays as it is until the response, so that nobody else has to keep it.
    response : In {valid, data, error}
        Pulse: exactly one for each request, writes too, in a later cycle than its transfer. The next request is made after it.
    """

    def __init__(self) -> None:
        request = data.StructLayout({"address": ADDRESS_BITS, "write": 1, "data": 32})
        response = wiring.Signature({"valid": Out(1), "data": Out(32), "error": Out(1)})
        super().__init__({"request": Out(stream.Signature(request)), "response": In(response)})


class RegisterPort(wiring.Signature):
    """A block of up to 64 registers on the board (self-test, logic analyser), seen from who reads and writes.

    Members
    -------
    address : Out(6)
        Register number. `data` is its value in the cycle after, as long as `address` stays.
    write : Out(1), value : Out(32)
        Pulse: `value` is written to `address`.
    read : Out(1)
        Pulse, in the cycle in which `data` is taken: what a read moves on (a download pointer) moves on now.
    data : In(32)
    """

    def __init__(self) -> None:
        super().__init__({"address": Out(6), "write": Out(1), "value": Out(32), "read": Out(1), "data": In(32)})
