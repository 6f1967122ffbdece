"""The router: one cycle, full rate on all outputs at once, credits back in the cycle of leaving. Traffic of every kind is in tb/tb_router.py."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.mesh import Mesh
from hw.noc.router import Router
from sim.verilog import emit

N, E, S, W, L = Port
CONFIGS = {
    "lean": NocConfig(mesh_x=3, mesh_y=3, vcs=1, depth=2, arbitration="round_robin"),
    "fast": NocConfig(mesh_x=3, mesh_y=3, vcs=4, depth=4),
}


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def send(ctx: Any, dut: Router, port: Port, *, vc: int = 0, dst: tuple[int, int], route: Port, payload: int = 0, tail: int = 1) -> None:
    """Puts a flit on an input for this cycle."""
    hop = dut.i[port].hop
    ctx.set(hop.valid, 1)
    ctx.set(hop.vc, vc)
    ctx.set(hop.flit.dst_x, dst[0])
    ctx.set(hop.flit.dst_y, dst[1])
    ctx.set(hop.flit.route, 1 << route)
    ctx.set(hop.flit.payload, payload)
    ctx.set(hop.flit.tail, tail)


def place(ctx: Any, dut: Router) -> None:
    """The middle of a 3x3 mesh, with links that are up."""
    ctx.set(dut.x, 1)
    ctx.set(dut.y, 1)
    for port in Port:
        ctx.set(dut.o[port].up, 1)


#: In by, destination, out by, and the route at the next router.
PATHS = [
    (W, (2, 1), E, L), (W, (1, 2), N, L), (W, (1, 0), S, L), (W, (1, 1), L, None), (W, (2, 2), E, N), (W, (2, 0), E, S),
    (E, (0, 2), W, N), (E, (0, 1), W, L), (N, (1, 0), S, L), (N, (1, 1), L, None), (S, (1, 2), N, L),
    (L, (0, 0), W, S), (L, (2, 1), E, L), (L, (1, 1), L, None),
]  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_flit_takes_one_cycle(name: str) -> None:
    """On the right output in the cycle after it came, with its route at the next router; its credit goes back in that cycle."""
    config = CONFIGS[name]
    dut = Router(config=config)

    async def testbench(ctx: Any) -> None:
        place(ctx, dut)
        for payload, (port, dst, out, following) in enumerate(PATHS, 1000):
            vc = payload % config.vcs
            send(ctx, dut, port, vc=vc, dst=dst, route=out, payload=payload)
            assert all(ctx.get(dut.o[other].hop.valid) == 0 for other in Port)
            await ctx.tick()
            ctx.set(dut.i[port].hop.valid, 0)
            assert [ctx.get(dut.o[other].hop.valid) for other in Port] == [other is out for other in Port], (port, dst)
            hop = dut.o[out].hop
            assert (ctx.get(hop.vc), ctx.get(hop.flit.payload)) == (vc, payload)
            assert (ctx.get(hop.flit.dst_x), ctx.get(hop.flit.dst_y)) == dst
            assert ctx.get(hop.flit.route) == (0 if following is None else 1 << following), (port, dst)
            assert [ctx.get(dut.i[other].credit) for other in Port] == [(other is port) << vc for other in Port]
            ctx.set(dut.o[out].credit, 1 << vc)
            await ctx.tick()
            ctx.set(dut.o[out].credit, 0)

    simulate(dut, testbench)


@pytest.mark.parametrize("name", CONFIGS)
def test_five_flits_a_cycle(name: str) -> None:
    """Five streams that do not meet keep every output busy in every cycle."""
    config = CONFIGS[name]
    dut = Router(config=config)
    flows = [(W, (2, 1), E), (E, (0, 1), W), (N, (1, 0), S), (S, (1, 2), N), (L, (1, 1), L)]

    async def testbench(ctx: Any) -> None:
        place(ctx, dut)
        for cycle in range(50):
            for port, dst, out in flows:
                send(ctx, dut, port, vc=cycle % config.vcs, dst=dst, route=out, payload=cycle)
            for _, _, out in flows:
                assert ctx.get(dut.o[out].hop.valid) == (cycle > 0), cycle
                if cycle:
                    assert ctx.get(dut.o[out].hop.flit.payload) == cycle - 1
                    ctx.set(dut.o[out].credit, 1 << ctx.get(dut.o[out].hop.vc))
            await ctx.tick()

    simulate(dut, testbench)


def test_a_packet_holds_its_vc_only() -> None:
    """While a packet waits for its next flit, its VC is closed to other packets; other VCs of the output are open."""
    dut = Router(config=CONFIGS["fast"])

    async def testbench(ctx: Any) -> None:
        place(ctx, dut)
        send(ctx, dut, W, vc=1, dst=(2, 1), route=E, payload=1, tail=0)
        await ctx.tick()
        ctx.set(dut.i[W].hop.valid, 0)
        send(ctx, dut, L, vc=1, dst=(2, 1), route=E, payload=2)
        assert ctx.get(dut.o[E].hop.flit.payload) == 1
        await ctx.tick()
        send(ctx, dut, L, vc=2, dst=(2, 1), route=E, payload=3)
        for _ in range(5):
            assert ctx.get(dut.o[E].hop.valid) == 0
            await ctx.tick()
            ctx.set(dut.i[L].hop.valid, 0)
            if ctx.get(dut.o[E].hop.valid):
                break
        assert (ctx.get(dut.o[E].hop.flit.payload), ctx.get(dut.o[E].hop.vc)) == (3, 2)
        send(ctx, dut, W, vc=1, dst=(2, 1), route=E, payload=4)
        await ctx.tick()
        ctx.set(dut.i[W].hop.valid, 0)
        assert ctx.get(dut.o[E].hop.flit.payload) == 4
        await ctx.tick()
        assert (ctx.get(dut.o[E].hop.valid), ctx.get(dut.o[E].hop.flit.payload)) == (1, 2)

    simulate(dut, testbench)


def test_routers_of_a_mesh_are_one_module() -> None:
    """However many routers, the Verilog has one."""
    text = emit(Mesh(config=NocConfig(mesh_x=3, mesh_y=2, vcs=1, depth=2)), name="mesh")
    assert [line.partition("(")[0] for line in text.splitlines() if line.startswith("module router")] == ["module router"]
    assert sum(line.startswith("  router router_") for line in text.splitlines()) == 6


def test_bad_config_is_refused() -> None:
    for part in (Router, Mesh):
        with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
            part(config="fast")
