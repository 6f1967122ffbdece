"""Plays payloads into streams of a device and writes down what comes out, at random paces; for tests of the local port."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import ResetInserter, Signal, Value
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.flit import PacketKind
from hw.noc.packetiser import sent_beat_layout
from sim.golden.packets import Beats, Header, beats_of, packetise


class Event(NamedTuple):
    """A transfer: in which cycle, and the payload as an integer."""

    cycle: int
    payload: int


class Packet(NamedTuple):
    """A packet as a sender means it."""

    header: Header
    destination: tuple[int, int]
    beats: Beats
    service: int = 0
    ordered: int = 1
    stamp: int | None = None


#: What transferred on each stream, by name.
Log = dict[str, list[Event]]


class Player:
    """Plays payloads into streams of `dut` and writes down what comes out. Building a simulator takes longer than most runs: one may be used again."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self._reset = Signal()
        self._simulator = Simulator(ResetInserter({"sync": self._reset})(dut))
        self._simulator.add_clock(1e-6)
        self._simulator.add_testbench(self._testbench)
        self._run: Any = None

    async def _testbench(self, ctx: Any) -> None:
        await self._run(ctx)

    def play(
        self,
        *,
        send: Mapping[str, tuple[Any, Sequence[int]]],
        take: Mapping[str, Any],
        cycles: int,
        seed: int,
        offer: float = 1.0,
        accept: float = 1.0,
        until: Callable[[Log], bool] | None = None,
        reset_at: int | None = None,
    ) -> Log:
        """Offers the payloads of `send` and takes from the streams of `take`, each in a share of cycles; checks that what is offered stays offered.

        Runs for `cycles`, or until `until` says that all is there and 20 cycles more. At `reset_at` the device is reset for a cycle, and what is
        left of each list in `send` is offered anew from its start.
        """
        log: Log = {name: [] for name in (*send, *take)}
        rng = np.random.default_rng(seed)

        async def testbench(ctx: Any) -> None:
            left = {name: list(payloads) for name, (_, payloads) in send.items()}
            offered, held, last = dict.fromkeys(send, False), dict[str, int](), cycles
            for cycle in range(cycles):
                if cycle == reset_at:
                    ctx.set(self._reset, 1)
                    await ctx.tick()
                    ctx.set(self._reset, 0)
                    left = {name: list(payloads) for name, (_, payloads) in send.items()}
                    offered, held = dict.fromkeys(send, False), {}
                    for events in log.values():
                        events.clear()
                for name, (port, _) in send.items():
                    offered[name] = bool(left[name]) and (offered[name] or rng.random() < offer)
                    ctx.set(port.valid, offered[name])
                    ctx.set(Value.cast(port.payload), left[name][0] if offered[name] else int(rng.integers(1 << 62)))
                ready = {name: rng.random() < accept for name in take}
                for name, port in take.items():
                    ctx.set(port.ready, ready[name])
                for name, port in take.items():
                    valid, payload = ctx.get(port.valid), ctx.get(Value.cast(port.payload))
                    assert name not in held or (valid and payload == held[name]), f"{name} takes back its offer: seed {seed}, cycle {cycle}"
                    held.pop(name, None)
                    if valid and ready[name]:
                        log[name].append(Event(cycle, payload))
                    elif valid:
                        held[name] = payload
                for name, (port, _) in send.items():
                    if offered[name] and ctx.get(port.ready):
                        log[name].append(Event(cycle, left[name].pop(0)))
                        offered[name] = False
                if cycle >= last:
                    return
                if until and last == cycles and until(log):
                    last = cycle + 20
                await ctx.tick()

        if self._run:
            self._simulator.reset()
        self._run = testbench
        self._simulator.run()
        return log


def play(dut: Any, **how: Any) -> Log:
    """One run of a device, see `Player.play`."""
    return Player(dut).play(**how)


def random_packet(
    rng: np.random.Generator, config: NocConfig, *, network: int, source: tuple[int, int], destination: tuple[int, int], beats: Beats
) -> Packet:
    """A packet with random fields; its strobe is that of `beats`."""
    header = Header(
        source=source,
        kind=int(rng.choice(list(PacketKind))),
        network=network,
        tag=int(rng.integers(8)),
        address=int(rng.integers(1 << 40)),
        strobe=beats.strobe or int(rng.integers(1 << 8)),
    )
    stamp = int(rng.integers(1 << config.stamp_bits)) if config.stamp_bits and rng.random() < 0.5 else None
    return Packet(header, destination, beats, int(rng.integers(4)), int(rng.integers(2)), stamp)


def random_beats(rng: np.random.Generator, config: NocConfig, *, count: int) -> Beats:
    """`count` beats with data and a random strobe on the last, with empty beats between, before and behind them."""
    size = config.payload_bits // 8
    beats = beats_of(config, rng.bytes(count * size))
    data, keep = beats.data.copy(), beats.keep.copy()
    if count:
        keep[-1] = rng.random(size) < 0.5
        keep[-1, rng.integers(size)] = True
    for place in rng.integers(len(data) + 1, size=rng.integers(3)):
        data, keep = np.insert(data, place, rng.integers(256), axis=0), np.insert(keep, place, False, axis=0)
    return Beats(data, keep)


def sent(config: NocConfig, packet: Packet) -> list[int]:
    """`packet` as payloads of a packetiser's input. All but the first beat carry other users and destinations, which must not matter."""
    layout, rows = sent_beat_layout(config), []
    for place, (row, keep) in enumerate(zip(packet.beats.data, packet.beats.keep, strict=True)):
        user = {
            "kind": packet.header.kind,
            "tag": packet.header.tag,
            "address": packet.header.address,
            "strobe": packet.header.strobe,
            "service": packet.service,
            "ordered": packet.ordered,
        }
        if config.stamp_bits:
            user |= {"stamped": int(packet.stamp is not None), "stamp": packet.stamp or 0}
        beat = {
            "data": int.from_bytes(row.tobytes(), "little"),
            "keep": int.from_bytes(np.packbits(keep, bitorder="little").tobytes(), "little"),
            "last": place == len(packet.beats.data) - 1,
            "dest_x": packet.destination[0] if not place else 15,
            "dest_y": packet.destination[1] if not place else 15,
            "user": user if not place else dict.fromkeys(user, 0),
        }
        rows.append(layout.const(beat).as_bits())
    return rows


def payloads(config: NocConfig, packet: Packet) -> list[tuple[int, int]]:
    """(payload, tail) of the flits the golden model makes of `packet`."""
    flits, _ = packetise(config, packet.header, packet.destination, packet.beats)
    return [(int.from_bytes(row.tobytes(), "little"), int(tail)) for row, tail in zip(flits.payload, flits.tail, strict=True)]
