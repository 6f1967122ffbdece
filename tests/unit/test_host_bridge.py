# amaranth: UnusedElaboratable=no
"""From octets to spaces and back: frames, order and errors against the golden bridge, and where it must be exact."""

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.host.bridge import Bridge
from hw.host.protocol import LONGEST_BODY, MAX_WORDS, REPEATS, Space, Status
from sim.golden import host_link
from sim.golden.host_link import frame, pack_request, parse_response
from tb.vip.host_traffic import random_octets

from .host_bench import SIZE, SPACING, Core, Words, drained, receiver, run, send, statuses, ticks


def converse(octets, *, seed=0, slow=False, dead=None, count=None, reset_after=None):
    """Sends octets; responses and accesses of the device, and of the golden bridge."""
    dut, found = Core(), []
    spaces, models = ({space: Words(dead=dead) for space in Space} for _ in range(2))
    golden = host_link.Bridge(models)
    expected = [golden.answer(body) for body in host_link.Deframer().feed(octets)]

    async def sends(ctx):
        await send(ctx, dut, octets)
        await drained(ctx, found, len(expected))
        await ticks(ctx, 200)

    run(dut, sends, receiver(dut, found), spaces=spaces, seed=seed, slow=slow)
    return found, expected, [spaces[space].accesses for space in Space], [models[space].accesses for space in Space]


def agree(octets, **options):
    """The device answers and does what the golden bridge does; the responses."""
    found, expected, did, should = converse(octets, **options)
    assert found == expected
    assert did == should
    return [parse_response(body) for body in found]


@pytest.mark.parametrize(("seed", "slow"), [(1, False), (2, True)])
def test_random_conversations(seed, slow):
    """Everything a bad line can do, with spaces of every speed: responses, accesses and their order are those of the model."""
    responses = agree(random_octets(np.random.default_rng(seed), 20, space_bytes=dict.fromkeys(Space, SIZE)), seed=seed, slow=slow)
    assert {Status.OK, Status.BAD_FRAME, Status.OUT_OF_ORDER} <= {response.status for response in responses}


def requests(*bodies):
    return b"".join(map(frame, bodies))


def write(sequence, address=0, data=(1,), space=Space.MEMORY, **options):
    return pack_request(sequence=sequence, space=space, address=address, write=True, data=data, **options)


def read(sequence, address=0, count=1, space=Space.MEMORY, **options):
    return pack_request(sequence=sequence, space=space, address=address, count=count, **options)


def test_longest_bursts():
    """`MAX_WORDS` words both ways; one word more is refused; `fixed` stays where it is."""
    data = [0x7D7E7D7E ^ index << 8 for index in range(MAX_WORDS)]
    bodies = [
        write(0, 64, data),
        read(1, 64, MAX_WORDS),
        write(2, 8, [1, 2, 3], fixed=True),
        read(3, 8, 3, fixed=True),
        read(4, 0, MAX_WORDS + 1),
    ]
    assert len(bodies[0]) == LONGEST_BODY
    responses = agree(requests(*bodies))
    assert responses[1].words == tuple(data) and responses[3].words == (3, 3, 3) and responses[4].status is Status.REFUSED


def test_every_write_happens_once():
    """A repeat is acknowledged, up to `REPEATS` numbers back; a read is done again; beyond it is out of order."""
    first, second = write(0, 0, [5]), write(1, 4, [6])
    octets = requests(first, second, first, read(REPEATS, 0, restart=True), second, read(1, 4), first, read(REPEATS + 1))
    found, expected, did, should = converse(octets)
    assert found == expected and did == should
    assert [address for address, _, _ in did[Space.MEMORY]] == [0, 4, 0, 4, 0]
    assert statuses(found) == [Status.OK] * 6 + [Status.OUT_OF_ORDER, Status.OK]
    assert parse_response(found[6]).sequence == REPEATS + 1


def test_a_write_that_failed_is_not_taken_for_good():
    """Its answer was lost, and so were those behind it: the repeat still tells. Not so any more once the number has come again."""
    failed, later = write(0, SIZE, [1]), write(1, 0, [2])
    octets = requests(failed, later, failed, later, read(255, restart=True), write(0, 0, [3]), write(0, 0, [3]))
    results = [response.status for response in agree(octets)]
    assert results[:4] == [Status.BUS_ERROR, Status.OK, Status.BUS_ERROR, Status.OK]
    assert results[-2:] == [Status.OK, Status.OK]


def test_restart_at_any_number():
    octets = requests(write(100), write(100, restart=True), read(101), read(102), read(0, restart=True), read(1))
    assert [response.status for response in agree(octets)] == [Status.OUT_OF_ORDER] + [Status.OK] * 5


def test_an_error_ends_a_burst():
    """The words before it are written, none after; a read says nothing but the status."""
    responses = agree(requests(write(0, SIZE - 8, [1, 2, 3, 4]), read(1, SIZE - 8, 4), read(2, SIZE - 8, 2)))
    assert [response.status for response in responses] == [Status.BUS_ERROR, Status.BUS_ERROR, Status.OK]
    assert responses[2].words == (1, 2)


def test_reserved_bits_are_refused():
    bodies = [bytearray(read(number)) for number in range(4)]
    for bit, body in zip((4, 5, 6), bodies, strict=False):
        body[1] |= 1 << bit
    assert [item.status for item in agree(requests(*map(bytes, bodies)))] == [Status.REFUSED] * 3 + [Status.OK]


def test_time_out_is_exact_and_leaves_the_others_alone():
    """A space that does not answer: TIMEOUT from then on without being asked, until the board is reset. The board is asked every time."""
    dut, found = Core(timeout=256), []
    spaces = {space: Words(dead=16 if space in (Space.CSR, Space.BOARD) else None) for space in Space}
    times = []

    async def sends(ctx):
        await send(ctx, dut, requests(read(0, 8, 4, Space.CSR), read(1, 8, 1, Space.CSR), read(2, 8, 2, Space.SBUF)))
        await drained(ctx, found, 3)
        ctx.set(dut.restart, 1)
        await ctx.tick()
        ctx.set(dut.restart, 0)
        await send(ctx, dut, requests(write(3, 8, [5], Space.CSR), write(3, 8, [5], Space.CSR), read(4, 16, 1, Space.BOARD)))
        await drained(ctx, found, 6)
        await send(ctx, dut, requests(read(5, 8, 1, Space.BOARD)))
        await drained(ctx, found, 7)

    async def timed(ctx):
        while True:
            while not ctx.get(dut.csr.request.valid):
                await ctx.tick()
            cycles = 0
            while not ctx.get(dut.bridge.write):
                await ctx.tick()
                cycles += 1
            times.append(cycles)

    from amaranth.sim import Simulator

    from .host_bench import server

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for space in Space:
        port = getattr(dut, space.name.lower())
        if space is Space.CSR:
            continue
        sim.add_testbench(server(port, spaces[space], np.random.default_rng(0), slow=False), background=True)
    sim.add_testbench(receiver(dut, found), background=True)
    sim.add_testbench(timed, background=True)
    sim.add_testbench(sends)
    sim.run()
    ok, late = Status.OK, Status.TIMEOUT
    # Number 3 is repeated: what it ended with is told again. The board's dead register does not keep the others from being asked.
    assert statuses(found) == [late, late, ok, late, late, late, late]
    assert len(spaces[Space.SBUF].accesses) == 2
    # Asked for the timeout and the cycle that finds it, once before the reset and once after.
    assert times[:1] == [256 + 1] and len(times) == 2


def test_reset_in_the_middle_of_everything():
    """In a frame, in an access, in a response: afterwards number 0 is expected and answered."""
    for moment in (60, 200, 262, 330):
        reset = Signal()
        inner, found = Core(), []
        dut = ResetInserter(reset)(inner)
        spaces = {space: Words() for space in Space}
        state = {"reset": False}

        async def sends(ctx, inner=inner, found=found, reset=reset, moment=moment, state=state):
            octets = requests(write(0, 0, [1, 2]), read(1))
            for index in range(min(moment // SPACING, len(octets))):
                await send(ctx, inner, octets[index : index + 1])
            await ticks(ctx, 1 + max(0, moment - SPACING * len(octets)))
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            await ticks(ctx, 200)
            found.clear()
            await send(ctx, inner, b"~" + requests(read(0, 4, 1)))
            await ticks(ctx, 300)

        from amaranth.sim import Simulator

        from .host_bench import server

        sim = Simulator(dut)
        sim.add_clock(1e-6)
        for space in Space:
            sim.add_testbench(
                server(getattr(inner, space.name.lower()), spaces[space], np.random.default_rng(1), slow=False), background=True
            )
        sim.add_testbench(receiver(inner, found), background=True)
        sim.add_testbench(sends)
        sim.run()
        # A response that was cut off ends in garbage; the answer to the good frame is the last.
        assert parse_response(found[-1]).status is Status.OK and parse_response(found[-1]).sequence == 0, moment


@pytest.mark.parametrize(("options", "message"), [
    ({"timeout": 3}, "timeout must be a power of two of at least 4, not 3"),
    ({"timeout": 100}, "timeout must be a power of two of at least 4, not 100"),
    ({"address_bits": 33}, "address_bits must be 12 to 32, not 33"),
    ({"address_bits": 11}, "address_bits must be 12 to 32, not 11"),
])  # fmt: skip
def test_refuses_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        Bridge(**options)
