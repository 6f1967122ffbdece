"""A sequencer between a DRAM, an engine and semaphores made of Python, watched in every cycle."""

from collections import deque

import numpy as np
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.isa import BY_OPCODE, ENGINES, INSTRUCTIONS, instructions_of, pack, unpack
from hw.control.command import EngineState
from hw.control.decode import channels, snake
from hw.control.sequencer import Sequencer, TraceState
from tests.unit.random_instructions import legal_values

OKAY, SLVERR = 0, 2

CONFIG = ChipConfig(rows=4, cols=4, sbuf_banks=2, sbuf_bank_lines=64, psum_rows=16, output_lanes=1, queue_depth=4, axi_address_width=24)
WINDOW = (0, 1 << 24)
SIZES = {f"size{dim}": 1 for dim in range(4)}


def word(name, **values):
    """An instruction of one step, unless `values` say otherwise."""
    known = {item.name for item in INSTRUCTIONS[name].fields}
    return pack(INSTRUCTIONS[name], {key: value for key, value in SIZES.items() if key in known} | values)


def program(rng, engine, config, count, window=WINDOW):
    """Legal instructions; on the tensor engine the first loads a block."""
    kinds = list(instructions_of(engine))
    chosen = [kinds[0] if index == 0 else rng.choice(kinds) for index in range(count)]
    return [pack(kind, legal_values(rng, kind, config, window)) for kind in chosen]


class Bench:
    """Drives one cycle at a time. What happened is in the logs, as tuples that begin with the cycle.

    Parameters
    ----------
    config, engine
    words : instruction words, at `base` in DRAM
    seed : of all randomness
    pause : probability that each side refuses or delays in a cycle
    latency : cycles from an accepted burst request to its first beat
    work : cycles from a command to its done (random from 1 up to it with pause)
    window : base and size of the DRAM window
    """

    def __init__(self, config, engine, words, *, seed=0, pause=0.0, latency=5, work=3, window=(0, 1 << 24), base=0x1000):
        self.config, self.engine, self.words = config, engine, list(words)
        self.rng, self.pause, self.latency, self.work = np.random.default_rng(seed), pause, latency, work
        self.window, self.base, self.seed = window, base, seed
        self.dut = Sequencer(config=config, engine=engine)
        self.size = ENGINES[engine].instruction_bytes
        self.memory = {base + self.size * index: word for index, word in enumerate(words)}
        self.bad: set[int] = set()
        self.names = channels(engine)
        self.bursts: deque = deque()
        self.running = {name: deque() for name in self.names}
        self.requests, self.starts, self.dones, self.waits, self.posts, self.states, self.finished = [], [], [], [], [], [], []
        self.accepts, self.completes, self.serves = True, True, True
        self.refused_posts: set[int] = set()
        self.error = None
        self.halt = None
        self.now = 0
        self._held = {}
        self._beat_offered = False

    def run(self, testbench):
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)

        async def wrapped(ctx):
            self.ctx = ctx
            reach = 1 << self.config.axi_address_width
            ctx.set(self.dut.i_window.low, min(self.window[0], reach))
            ctx.set(self.dut.i_window.high, min(sum(self.window), reach))
            await testbench(self)

        sim.add_testbench(wrapped)
        sim.run()

    async def start(self, *, base=None, count=None):
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.i_base, self.base if base is None else base)
        ctx.set(dut.i_count, len(self.words) if count is None else count)
        ctx.set(dut.i_start, 1)
        self._held.clear()
        for queue in self.running.values():
            queue.clear()
        await self.cycle()
        ctx.set(dut.i_start, 0)

    async def until(self, condition, limit=5000):
        """Cycles until `condition()` holds."""
        for _ in range(limit):
            if condition():
                return
            await self.cycle()
        raise AssertionError(f"nothing after {limit} cycles (seed {self.seed}): {self.status()}")

    def status(self):
        get, dut = self.ctx.get, self.dut
        names = ("halted", "finished", "waiting", "inflight", "cause", "index", "address", "retired")
        return {name: int(get(getattr(dut, f"o_{name}"))) for name in names}

    @property
    def over(self):
        """Whether the queue has ended and nothing is in flight."""
        status = self.status()
        return bool((status["halted"] or status["finished"]) and not status["inflight"])

    def _go(self):
        return self.rng.random() >= self.pause

    async def cycle(self):
        ctx, dut = self.ctx, self.dut
        done = self._drive()
        beat = self._beat()
        # Combinational answers come last: they depend on what the sequencer offers now.
        wait = None
        if ctx.get(dut.wait.valid):
            wait = (int(ctx.get(dut.wait.semaphore)), int(ctx.get(dut.wait.count)))
            ctx.set(dut.wait.ready, self.serves and self._go())
        for slot, port in enumerate(dut.post):
            ctx.set(port.ready, 0)
            if ctx.get(port.valid):
                post = (int(ctx.get(port.semaphore)), int(ctx.get(port.count)))
                ctx.set(port.overflow, post[0] in self.refused_posts)
                ctx.set(port.ready, 1)
                self.posts.append((self.now, slot, *post))
        offers = {name: getattr(dut, f"o_{name}") for name in self.names} | {"fetch": dut.fetch.request, "wait": dut.wait}
        for name, offer in offers.items():
            self._watch(name, offer)
        if wait and ctx.get(dut.wait.ready):
            self.waits.append((self.now, *wait))
        if ctx.get(dut.fetch.request.valid) and ctx.get(dut.fetch.request.ready):
            self._request()
        started = self._commands()
        assert ctx.get(dut.o_start) == started and ctx.get(dut.o_done) == done
        waited = wait and ctx.get(dut.wait.ready)
        progress = sum(bool(what) << place for place, what in enumerate((started, done, waited, beat)))
        assert ctx.get(dut.o_progress) == progress, f"progress (seed {self.seed}, cycle {self.now})"
        self.states.append(TraceState(ctx.get(dut.o_state)))
        if ctx.get(dut.o_finished):
            self.finished.append(self.now)
        await ctx.tick()
        self.now += 1

    def _drive(self):
        """Inputs that depend on nothing of this cycle; the mask of dones."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.fetch.request.ready, self._go())
        mask = 0
        for position, name in enumerate(self.names):
            ctx.set(getattr(dut, f"o_{name}").ready, self.accepts and self._go())
            queue = self.running[name]
            done = self.completes and bool(queue) and queue[0][0] <= self.now
            if done:
                _, index = queue.popleft()
                self.dones.append((self.now, index, name))
            ctx.set(getattr(dut, f"done_{name}"), done)
            mask |= done << position
        ctx.set(dut.engine_state, EngineState.BUSY if any(self.running.values()) else EngineState.IDLE)
        cause, address = self.error or (0, 0)
        ctx.set(dut.i_error.valid, self.error is not None)
        ctx.set(dut.i_error.cause, cause)
        ctx.set(dut.i_error.address, address)
        ctx.set(dut.i_halt, self.halt is not None)
        ctx.set(dut.i_halt_cause, self.halt or 0)
        self.error = self.halt = None
        return mask

    def _beat(self):
        """Offers the next beat of the oldest burst; whether one was taken (the fetcher takes every one at once)."""
        ctx, response = self.ctx, self.dut.fetch.response
        ready = bool(self.bursts) and self.bursts[0][0] <= self.now and (self._beat_offered or self._go())
        ctx.set(response.valid, ready)
        if not ready:
            return False
        _, beats, bad = self.bursts[0]
        data = beats.popleft()
        ctx.set(response.payload.data, data)
        ctx.set(response.payload.resp, SLVERR if bad else OKAY)
        ctx.set(response.payload.last, not beats)
        if not beats:
            self.bursts.popleft()
        assert ctx.get(response.ready), "a fetch beat was refused"
        return True

    def _request(self):
        ctx, payload = self.ctx, self.dut.fetch.request.payload
        line = self.config.line_bytes
        address, length = int(ctx.get(payload.address)), int(ctx.get(payload.length)) + 1
        assert address % line == 0 and address // 4096 == (address + length * line - 1) // 4096, hex(address)
        self.requests.append((self.now, address, length))
        image = b"".join(
            self.memory.get(place, 0).to_bytes(self.size, "little") for place in range(address, address + length * line, self.size)
        )
        beats = deque(int.from_bytes(image[line * beat : line * (beat + 1)], "little") for beat in range(length))
        self.bursts.append((self.now + self.latency, beats, address in self.bad))

    def _commands(self):
        """Takes the commands that are accepted in this cycle."""
        ctx = self.ctx
        mask = 0
        for position, name in enumerate(self.names):
            command = getattr(self.dut, f"o_{name}")
            if ctx.get(command.valid) and ctx.get(command.ready):
                payload = {key: int(ctx.get(command.payload[key])) for key, _ in command.payload.shape()}
                work = int(self.rng.integers(1, self.work + 1)) if self.pause else self.work
                self.running[name].append((max(self.now + work, *(end for end, _ in self.running[name]), 0), len(self.starts)))
                self.starts.append((self.now, name, payload))
                mask |= 1 << position
        return mask

    def _watch(self, name, offer):
        """The rule of streams: an offer that was not taken stays as it is."""
        get = self.ctx.get
        content = (get(offer.semaphore), get(offer.count)) if name == "wait" else get(offer.payload).as_bits()
        valid, ready = get(offer.valid), get(offer.ready)
        halted = get(self.dut.o_halted) and name != "fetch"
        if name in self._held and not halted:
            assert valid and content == self._held[name], f"{name}: offer withdrawn or changed (seed {self.seed}, cycle {self.now})"
        self._held.pop(name, None)
        if valid and not ready and not get(self.dut.i_start):
            self._held[name] = content

    # What must have happened ---------------------------------------------------------------------------------

    def check_order(self, count):
        """The first `count` instructions, and no others, were started in order, each after its own waits and with the right fields."""
        context = f"seed {self.seed}"
        assert len(self.starts) == count, f"{context}: {self.status()}"
        expected_waits, loaded, previous = [], False, -1
        for index in range(count):
            instruction = BY_OPCODE[self.engine, self.words[index] & 0xFF]
            values = unpack(instruction, self.words[index])
            cycle, name, payload = self.starts[index]
            assert name == snake(instruction.name) and cycle > previous, f"{context}, instruction {index}"
            wanted = {field.name: values[field.name] for field in instruction.fields}
            if name == "multiply_moving":
                wanted["swap"] = loaded
            loaded = name == "load_stationary" or (loaded and name != "multiply_moving")
            assert payload == wanted, f"{context}, instruction {index}"
            for slot in ("wait0", "wait1"):
                if values[f"{slot}_count"]:
                    expected_waits.append((previous, cycle, values[f"{slot}_semaphore"], values[f"{slot}_count"]))
            previous = cycle
        assert len(self.waits) >= len(expected_waits), context
        for (cycle, *wait), (low, high, *wanted) in zip(self.waits, expected_waits, strict=False):
            assert wait == wanted and low < cycle < high, f"{context}: wait {wait} at {cycle}, wanted {wanted} in {low}..{high}"
        return len(expected_waits)

    def wanted_posts(self, indices):
        """(slot, semaphore, count) of the posts of these instructions."""
        result = []
        for index in indices:
            values = unpack(BY_OPCODE[self.engine, self.words[index] & 0xFF], self.words[index])
            result += [
                (slot, values[f"post{slot}_semaphore"], values[f"post{slot}_count"]) for slot in range(2) if values[f"post{slot}_count"]
            ]
        return result
