"""A fixed-priority arbiter: the lowest requester wins."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class PriorityArbiter(wiring.Component):
    """Grants the lowest-numbered requester, in the same cycle.

    Combinational, no state. Work-conserving: a grant is given whenever there is a request. At most one bit of `o_grant` is set, and
    only one that requests. Not fair: requester i is served in the first cycle in which none of 0..i-1 requests.

    Parameters
    ----------
    requesters : int
        Number of requesters, at least 1.

    Members
    -------
    i_request : In(requesters)
    o_grant : Out(requesters)

    Raises
    ------
    ValueError
        if `requesters` is not a positive integer.
    """

    def __init__(self, *, requesters: int) -> None:
        if not isinstance(requesters, int) or requesters < 1:
            raise ValueError(f"requesters must be a positive integer, not {requesters!r}")
        self._requesters = requesters
        super().__init__({"i_request": In(requesters), "o_grant": Out(requesters)})

    @property
    def requesters(self) -> int:
        """Number of requesters."""
        return self._requesters

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for index in range(self._requesters):
            m.d.comb += self.o_grant[index].eq(self.i_request[index] & ~self.i_request[:index].any())
        return m
