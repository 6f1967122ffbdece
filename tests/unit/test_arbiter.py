# amaranth: UnusedElaboratable=no
"""`PriorityArbiter`: every request pattern."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.memory.arbiter import PriorityArbiter


@pytest.mark.parametrize("requesters", [1, 2, 5])
def test_grants_the_lowest_requester(requesters: int) -> None:
    dut = PriorityArbiter(requesters=requesters)
    assert dut.requesters == requesters

    async def bench(ctx: Any) -> None:
        for request in range(1 << requesters):
            ctx.set(dut.i_request, request)
            assert ctx.get(dut.o_grant) == request & -request, f"request {request:b}"

    sim = Simulator(dut)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("value", [0, -1, 1.5, "2"])
def test_rejects_bad_requesters(value: Any) -> None:
    with pytest.raises(ValueError, match=f"requesters must be a positive integer, not {value!r}"):
        PriorityArbiter(requesters=value)
