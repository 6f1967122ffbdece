# amaranth: UnusedElaboratable=no
"""`OutputStage` between models of PSUM and SBUF that refuse at random: every write, every done, latency and throughput."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig, ConfigError
from hw.common.isa import OUTPUT_LINES, OutputMode
from hw.control.command import EngineState
from hw.vector.output import OutputStage
from sim.golden.output import output_rows

BOTH = ("int8", "bf16")
#: fp32: zeros, infinities, NaNs, subnormals, ties of bf16, the largest and the smallest normal.
SPECIALS = [
    *(0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 1, 0x80000001),
    *(0x3F800000, 0xBF808000, 0x3F818000, 0x7F7FFFFF, 0x00800000),
]
INTEGERS = [0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 127, 128, -128 & 0xFFFFFFFF, -129 & 0xFFFFFFFF]


def tiny(**changes: Any) -> ChipConfig:
    floats: dict[str, Any] = {"adder_stages": 2, "accumulator_stages": 2} if "bf16" in changes.get("dtypes", ()) else {}
    array = {"rows": 4, "cols": 4, "output_lanes": 4}
    values: dict[str, Any] = array | {"sbuf_banks": 2, "sbuf_bank_lines": 128, "psum_banks": 2, "psum_rows": 16}
    return ChipConfig(**(values | floats | changes))


def modes_of(config: ChipConfig) -> list[OutputMode]:
    integers = [OutputMode.INT8, OutputMode.INT32] if config.has_int else []
    return [OutputMode.RAW, *integers, *([OutputMode.BF16, OutputMode.FP32] if config.has_float else [])]


def evict(mode: OutputMode, base: int, rows: int, *, stride: int | None = None, **fields: int) -> tuple[str, dict[str, int]]:
    step = OUTPUT_LINES[mode] if stride is None else stride
    values = {"mode": int(mode), "base": base, "size0": rows, "stride0": step} | {f"size{dim}": 1 for dim in (1, 2, 3)}
    return "evict", values | fields


@dataclass
class Bench:
    """Runs a list of instructions; `refuse` is the chance that PSUM or SBUF refuses in a cycle."""

    config: ChipConfig
    seed: int
    refuse: float = 0.0
    gap: float = 0.0
    psum_latency: int = 2
    log: dict[str, list[int]] = field(
        default_factory=lambda: {key: [] for key in ("accept", "done", "write", "psum", "moved", "refused", "state")}
    )

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        config = self.config
        shape = (config.psum_banks, config.psum_rows, config.cols)
        self.psum = self.rng.integers(1 << 32, size=shape, dtype=np.uint32)
        picked = self.rng.choice(np.array(SPECIALS + INTEGERS, np.uint32), size=shape)
        self.psum = np.where(self.rng.random(shape) < 0.5, picked, self.psum)
        self.sbuf = self.rng.integers(256, size=(config.sbuf_lines, config.line_bytes), dtype=np.uint8)

    def put_channel(self, base: int, bias: np.ndarray, scale: np.ndarray) -> None:
        words = np.concatenate([bias, scale]).astype("<u4")
        self.sbuf[base : base + 8] = words.view(np.uint8).reshape(8, -1)

    def model(self, program: list[tuple[str, dict[str, int]]]) -> np.ndarray:
        """SBUF after `program`, by the golden model; notes how many writes each instruction makes."""
        config = self.config
        sbuf = self.sbuf.copy()
        bias, scale = np.zeros(config.cols, np.uint32), np.zeros(config.cols, np.uint32)
        self.writes = []
        for name, values in program:
            if name == "load_channel":
                words = sbuf[values["base"] : values["base"] + 8].reshape(-1).view("<u4")
                bias, scale = words[: config.cols], words[config.cols :]
                continue
            mode = OutputMode(values["mode"])
            grid = np.indices([values[f"size{dim}"] for dim in (3, 2, 1, 0)]).reshape(4, -1)
            starts = values["base"] + sum(grid[3 - dim] * values.get(f"stride{dim}", 0) for dim in range(4))
            first = values.get("psum_row", 0)
            bits = self.psum[values.get("psum_bank", 0), first : first + len(starts)]
            rows = output_rows(bits, mode, bias if values.get("bias") else None, bool(values.get("relu")), scale)
            lines = OUTPUT_LINES[mode]
            for start, row in zip(starts, rows, strict=True):
                sbuf[start : start + lines] = row.reshape(lines, -1)
            self.writes.append(len(starts) * max(1, lines // config.element_bytes))
        return sbuf

    def run(self, program: list[tuple[str, dict[str, int]]], limit: int = 20000) -> None:
        self.final = self.model(program)
        self.dut = OutputStage(config=self.config)
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)

        async def bench(ctx: Any) -> None:
            await self._drive(ctx, program, limit)

        sim.add_testbench(bench)
        sim.run()
        np.testing.assert_array_equal(self.sbuf, self.final, err_msg=f"seed {self.seed}")

    async def _drive(self, ctx: Any, program: list[tuple[str, dict[str, int]]], limit: int) -> None:
        dut, note = self.dut, f"seed {self.seed}"
        queue, order = list(program), [name for name, _ in program]
        psum_due: dict[int, int] = {}
        sbuf_due: dict[int, int] = {}
        held: dict[str, Any] = {}
        offered, quiet = False, 0
        totals = np.cumsum(self.writes).tolist()
        for cycle in range(limit):
            offered = bool(queue) and (offered or self.rng.random() >= self.gap)
            for name in ("load_channel", "evict"):
                port = getattr(dut, f"i_{name}")
                chosen = offered and queue[0][0] == name
                ctx.set(port.valid, chosen)
                if chosen:
                    ctx.set(port.payload, queue[0][1])
            for port, due in ((dut.psum, psum_due), (dut.sbuf, sbuf_due)):
                ctx.set(port.request.ready, self.rng.random() >= self.refuse)
                ctx.set(port.response.valid, cycle in due)
                # Garbage when there is no response: it must not get in.
                shape = port.response.data if port is dut.sbuf else port.response.data.as_value()
                ctx.set(shape, due.pop(cycle) if cycle in due else int(self.rng.integers(1 << 30)))
            for key, port in (("psum", dut.psum), ("sbuf", dut.sbuf)):
                valid, ready = ctx.get(port.request.valid), ctx.get(port.request.ready)
                payload = ctx.get(port.request.payload.as_value())
                if key in held:
                    assert valid and payload == held[key], f"{note}: {key} request changed while refused, cycle {cycle}"
                held.pop(key, None)
                if valid:
                    self.log["moved" if ready else "refused"].append(cycle)
                if valid and ready:
                    (self._read_psum if key == "psum" else self._access_sbuf)(ctx, cycle, psum_due if key == "psum" else sbuf_due)
                elif valid:
                    held[key] = payload
            for name in ("load_channel", "evict"):
                if ctx.get(getattr(dut, f"done_{name}")):
                    assert order and order[0] == name, f"{note}: done_{name} out of order, cycle {cycle}"
                    order.pop(0)
                    self.log["done"].append(cycle)
                    if name == "evict":
                        last_write = self.log["write"][totals.pop(0) - 1]
                        assert last_write == cycle - 1, f"{note}: done_evict, cycle {cycle}"
            self.log["state"].append(ctx.get(dut.o_state).value)
            port = getattr(dut, f"i_{queue[0][0]}") if offered else None
            if port is not None and ctx.get(port.ready):
                self.log["accept"].append(cycle)
                queue.pop(0)
                offered = False
            await ctx.tick()
            quiet = 0 if queue or order else quiet + 1
            if quiet == 20:
                break
        assert not queue and not order, f"{note}: not done after {limit} cycles"
        assert len(self.log["write"]) == sum(self.writes) and not psum_due and not sbuf_due, note
        self._check_states([name for name, _ in program])

    def _check_states(self, names: list[str]) -> None:
        """Every state is that of the cycle before; only whether a beat was computed is not seen here."""
        moved, refused = {*self.log["moved"], *self.log["accept"]}, set(self.log["refused"])
        spans = list(zip(names, self.log["accept"], self.log["done"], strict=True))
        for cycle, state in enumerate(self.log["state"]):
            before = cycle - 1
            inside = {name for name, accept, done in spans if accept <= before < done}
            wants = EngineState.IDLE
            if before in moved:
                wants = EngineState.BUSY
            elif inside:
                wants = EngineState.MEMORY if before in refused or "load_channel" in inside else EngineState.HAZARD
            computed = state == EngineState.BUSY.value and "evict" in inside
            assert state == wants.value or computed, f"seed {self.seed}: state {state}, not {wants}, cycle {cycle}"
        assert self.log["state"][-1] == EngineState.IDLE.value

    def _read_psum(self, ctx: Any, cycle: int, due: dict[int, int]) -> None:
        payload = ctx.get(self.dut.psum.request.payload)
        row = self.psum[payload["bank"], payload["row"]]
        self.log["psum"].append(cycle)
        due[cycle + self.psum_latency] = int.from_bytes(row.astype("<u4").tobytes(), "little")

    def _access_sbuf(self, ctx: Any, cycle: int, due: dict[int, int]) -> None:
        payload = ctx.get(self.dut.sbuf.request.payload)
        lines, size = self.config.element_bytes, self.config.line_bytes
        base = payload["address"] - payload["address"] % lines
        if payload["write"]:
            content = payload["data"].to_bytes(lines * size, "little")
            self.log["write"].append(cycle)
            for line in range(lines):
                if payload["mask"] >> line & 1:
                    self.sbuf[base + line] = np.frombuffer(content[line * size : (line + 1) * size], np.uint8)
        else:
            assert payload["address"] % lines == 0
            due[cycle + self.config.sbuf_latency] = int.from_bytes(self.sbuf[base : base + lines].tobytes(), "little")


def channels(bench: Bench, base: int) -> None:
    """Biases with special values and scales that land in, at the edge of and outside the int8 range."""
    cols, rng = bench.config.cols, bench.rng
    bias = np.where(rng.random(cols) < 0.5, rng.choice(np.array(SPECIALS, np.uint32), cols), rng.integers(1 << 32, size=cols))
    shift = rng.choice([0, 16, 30, 38, 40, 47, 63], cols)
    # The bits above the shift are unused and must not matter.
    bench.put_channel(base, bias, rng.integers(1, 1 << 16, cols) | shift << 16 | rng.integers(1 << 10, size=cols) << 22)


CONFIGS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int8, 1 lane": {"output_lanes": 1},
    "int8, 2 of 8 lanes": {"rows": 8, "cols": 8, "output_lanes": 2},
    "both": {"dtypes": BOTH},
    "both, 1 lane": {"dtypes": BOTH, "output_lanes": 1},
    "both, 4 of 8 lanes": {"dtypes": BOTH, "rows": 8, "cols": 8, "sbuf_latency": 1},
    "bf16": {"dtypes": ("bf16",), "accumulator_stages": 3},
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("refuse", [0.0, 0.5])
def test_every_mode(name: str, refuse: float) -> None:
    """All modes with and without bias and ReLU, M of 1, 2 and psum_rows, between LoadChannels."""
    config = tiny(**CONFIGS[name])
    bench = Bench(config, seed=len(name) * 7 + int(refuse * 10), refuse=refuse, gap=refuse / 2, psum_latency=1 + len(name) % 4)
    channels(bench, 0)
    channels(bench, 8)
    program: list[tuple[str, dict[str, int]]] = []
    for index, mode in enumerate(modes_of(config)):
        program.append(("load_channel", {"base": 8 * (index % 2)}))
        for bias, relu in [(0, 0)] if mode == OutputMode.RAW else [(0, 0), (1, 0), (0, 1), (1, 1)]:
            rows = [1, 2, config.psum_rows, 3][2 * bias + relu]
            base = 16 + 4 * int(bench.rng.integers(20))
            program.append(evict(mode, base, rows, bias=bias, relu=relu, psum_bank=bias, psum_row=relu if rows < 4 else 0))
    bench.run(program)


def test_saturation_and_ties() -> None:
    config = tiny()
    bench = Bench(config, seed=1, refuse=0.3)
    values = np.array([[254, 255, 256, 257], [-257, -256, -255, -258], [1, 3, 5, -1], [-3, -5, 253, -2147483648]])
    bench.psum[0, :4] = values.astype(np.int32).view(np.uint32)
    bench.put_channel(0, np.zeros(4), np.full(4, 1 | 1 << 16))
    bench.run([("load_channel", {"base": 0}), evict(OutputMode.INT8, 16, 4)])
    assert bench.sbuf[16:20].view(np.int8).tolist() == [[127, 127, 127, 127], [-128, -128, -128, -128], [0, 2, 2, 0], [-2, -2, 126, -128]]


def test_scale_and_bias_are_zero_after_reset() -> None:
    bench = Bench(tiny(), seed=2)
    bench.run([evict(OutputMode.INT8, 16, 3, bias=1)])
    assert not bench.sbuf[16:19].any()


@pytest.mark.parametrize("seed", [3, 4])
def test_access_patterns(seed: int) -> None:
    """Four dimensions, negative strides, odd lines of a word."""
    config = tiny(dtypes=BOTH)
    bench = Bench(config, seed=seed, refuse=0.2)
    channels(bench, 0)
    pattern = {"size0": 2, "stride0": -1, "size1": 2, "stride1": 7, "size2": 2, "stride2": 19, "size3": 2, "stride3": -43}
    wide = {key: value * 4 if key.startswith("stride") else value for key, value in pattern.items()}
    bench.run(
        [
            ("load_channel", {"base": 0}),
            evict(OutputMode.INT8, 101, 1, **pattern),
            evict(OutputMode.FP32, 204, 1, bias=1, **(wide | {"stride3": 20, "stride2": -80})),
            evict(OutputMode.BF16, 64, 16, stride=-2, relu=1),
        ]
    )


THROUGHPUT = [
    ({}, OutputMode.INT8, 1),
    ({}, OutputMode.RAW, 4),
    ({"output_lanes": 1}, OutputMode.INT8, 4),
    ({"dtypes": BOTH}, OutputMode.BF16, 1),
    ({"dtypes": BOTH}, OutputMode.FP32, 2),
    ({"dtypes": BOTH, "output_lanes": 2}, OutputMode.BF16, 2),
    ({"dtypes": BOTH, "output_lanes": 1}, OutputMode.INT32, 4),
    ({"dtypes": BOTH, "accumulator_stages": 6}, OutputMode.INT8, 1),
]


@pytest.mark.parametrize(("changes", "mode", "cycles"), THROUGHPUT)
@pytest.mark.parametrize("psum_latency", [1, 2, 5])
def test_latency_and_throughput(changes: dict[str, Any], mode: OutputMode, cycles: int, psum_latency: int) -> None:
    """`cycles` a row, two Evicts without a gap, and the stated latency."""
    config = tiny(**changes)
    bench = Bench(config, seed=5, psum_latency=psum_latency)
    bench.run([evict(mode, 16, 16), evict(mode, 96, 16, psum_bank=1)])
    writes = bench.log["write"]
    per_row = len(writes) // 32
    span = writes[-1] - writes[per_row - 1]
    assert span == 31 * cycles
    # The beats of the first write beyond its first one.
    more = cycles // per_row - 1
    assert writes[0] - bench.log["accept"][0] == OutputStage(config=config).latency + psum_latency + more
    assert bench.log["psum"][0] == bench.log["accept"][0] + 2
    if cycles == 1:
        assert bench.log["psum"] == list(range(2, 34))
        assert set(bench.log["state"][bench.log["psum"][0] + 1 : writes[-1] + 2]) == {EngineState.BUSY.value}


def test_load_channel_timing() -> None:
    config = tiny(dtypes=BOTH, sbuf_latency=3)
    bench = Bench(config, seed=6)
    first, second = ("load_channel", {"base": 8}), ("load_channel", {"base": 0})
    bench.run([evict(OutputMode.INT8, 32, 2), first, second, evict(OutputMode.INT8, 40, 1, bias=1)])
    accept, done = bench.log["accept"], bench.log["done"]
    assert accept[1] == done[0], "a LoadChannel is taken in the cycle of the last done_evict"
    assert done[1] - accept[1] == 8 // 2 + 3 + 2
    assert accept[2] == done[1]
    assert accept[3] == done[2]


def test_states() -> None:
    bench = Bench(tiny(), seed=8, refuse=0.8)
    bench.run([("load_channel", {"base": 0}), evict(OutputMode.INT8, 32, 1)])
    seen = set(bench.log["state"])
    assert seen == {state.value for state in EngineState}, seen


def test_rejects_bad_config() -> None:
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 3"):
        OutputStage(config=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cols must be at least 4 for an output stage, not 2"):
        OutputStage(config=tiny(cols=2, output_lanes=2))
