"""The GEMM scheduler: plans cover every product once, rings never overwrite what is in use, programs compute the right numbers on the golden chip.

Every run has SBUF and PSUM of random contents, so an operand used before it is loaded gives a wrong result.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.common.config import ChipConfig, ConfigError
from hw.common.isa import OutputMode
from sw.compiler.choose import candidates
from sw.compiler.gemm import compile_gemm
from sw.compiler.queues import CompileError, Job, Memory
from sw.compiler.ring import Item, Region, Ring, slot_limit, split_sbuf
from sw.compiler.stream import chunks_of
from sw.compiler.tiling import Blocking, Shape, balanced, groups_of, make_plan, step_cycles
from sw.isa.assembler import Operation
from sw.runtime.device import open_device
from sw.runtime.matmul import reference, run_matmul, within

SMALL = ChipConfig.named("small")
BASE = ChipConfig.named("base")
FEW = {"rows": 4, "cols": 4, "output_lanes": 4, "psum_rows": 8, "psum_banks": 2, "semaphores": 8, "semaphore_width": 4}
MIXED = ChipConfig(name="mixed", **FEW, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2, sbuf_banks=4, sbuf_bank_lines=64)
SINGLE = ChipConfig(name="single", **FEW, sbuf_banks=1, sbuf_bank_lines=64)
PAIR = ChipConfig(name="pair", **FEW, sbuf_banks=2, sbuf_bank_lines=32)


def operands(rng: np.random.Generator, m: int, k: int, n: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    if dtype == "int8":
        return rng.integers(-128, 128, (m, k), np.int8), rng.integers(-128, 128, (k, n), np.int8)
    bits = [(rng.standard_normal(shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16) for shape in ((m, k), (k, n))]
    return bits[0], bits[1]


def run(config: ChipConfig, m: int, k: int, n: int, *, dtype: str = "int8", source: str = "dram", seed: int = 0) -> None:
    a, b = operands(np.random.default_rng([seed, m, k, n]), m, k, n, dtype)
    with open_device("golden", config, dram_bytes=1 << 21, seed=seed) as device:
        outcome = run_matmul(device, a, b, source=source)
    good, worst = within(outcome.c, *reference(a, b))
    assert good, f"{config.name} {m}x{k}x{n} {dtype} {source} seed {seed}: off by {worst}"
    assert outcome.result.macs >= m * k * n


SHAPES = [
    (1, 1, 1), (4, 4, 4), (8, 8, 8), (9, 9, 9), (7, 8, 9), (1, 37, 1), (37, 1, 1), (1, 1, 37), (65, 3, 5), (31, 32, 17), (5, 33, 3),
    (64, 64, 64), (129, 9, 24),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("source", ["sbuf", "dram"])
def test_shapes_on_small(shape: tuple[int, int, int], source: str) -> None:
    run(SMALL, *shape, source=source)


@pytest.mark.parametrize("dtype", ["int8", "bf16"])
@pytest.mark.parametrize("source", ["sbuf", "dram"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 33, 18), (3, 5, 1), (130, 20, 50)], ids=str)
def test_both_types_on_base(shape: tuple[int, int, int], source: str, dtype: str) -> None:
    run(BASE, *shape, source=source, dtype=dtype)


@pytest.mark.parametrize("config", [SINGLE, PAIR, MIXED], ids=lambda config: config.name)
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 9, 9), (40, 50, 30), (3, 200, 5), (100, 2, 3)], ids=str)
def test_tiny_memories_from_dram(config: ChipConfig, shape: tuple[int, int, int]) -> None:
    """SBUF far smaller than the operands, two PSUM banks, 4-bit semaphores: every ring wraps many times."""
    for dtype in config.dtypes:
        run(config, *shape, dtype=dtype)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.sampled_from([SMALL, MIXED, SINGLE, PAIR]), st.integers(0, 1 << 16))
def test_random_shapes(m: int, k: int, n: int, config: ChipConfig, seed: int) -> None:
    run(config, m, k, n, seed=seed)


@pytest.mark.parametrize("choice", range(20))
def test_every_candidate_is_correct_not_only_the_best(choice: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = candidates(Shape(m=70, k=50, n=60, dtype="int8", config=SMALL))
    assert len(found) >= 20
    monkeypatch.setattr("sw.compiler.gemm.candidates", lambda shape: [found[choice]])
    run(SMALL, 70, 50, 60)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(1, 64),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([0, 3, 8]),
)
def test_a_plan_covers_every_product_once(m: int, k: int, n: int, rows: int, first: int, group: int, tail: int) -> None:
    shape = Shape(m=m, k=k, n=n, dtype="int8", config=SMALL)
    plan = make_plan(shape, Blocking(rows=rows, first_group=first, group=group, tail_rows=tail))
    count = np.zeros((m, shape.k_tiles, shape.n_tiles), int)
    seen: dict[int, int] = {}
    for step in plan.steps:
        tile = plan.tiles[step.tile]
        count[tile.row : tile.row + tile.rows, step.k, tile.n] += 1
        assert step.k == seen.get(step.tile, -1) + 1, "tiles of k must come in order"
        seen[step.tile] = step.k
    assert np.all(count == 1)
    assert list(seen) == sorted(seen) == list(range(len(plan.tiles)))


def test_the_tensor_engine_waits_once_from_sbuf() -> None:
    gemm = compile_gemm(m=128, k=128, n=128, dtype="int8", config=BASE, source="sbuf")
    waits = [Operation(engine="tensor", word=word).values for word in gemm.program.queues["tensor"]]
    counts = [(values["wait0_count"], values["wait1_count"]) for values in waits]
    assert counts == [(1, 0)] + [(0, 0)] * (len(counts) - 1), "one wait, for the operands, then none"


def test_operands_lie_in_different_banks() -> None:
    for source in ("sbuf", "dram"):
        gemm = compile_gemm(m=512, k=256, n=128, dtype="bf16" if source == "dram" else "int8", config=BASE, source=source)
        banks: dict[str, set[int]] = {"LoadStationary": set(), "MultiplyMoving": set()}
        for word in gemm.program.queues["tensor"]:
            op = Operation(engine="tensor", word=word)
            assert op.instruction is not None
            last = op.values["base"] + (op.values["size0"] - 1) * op.values["stride0"]
            banks[op.instruction.name] |= {op.values["base"] // BASE.sbuf_bank_lines, last // BASE.sbuf_bank_lines}
        assert not banks["LoadStationary"] & banks["MultiplyMoving"], source


def test_a_large_product_is_estimated_near_its_peak() -> None:
    best = min(candidates(Shape(m=512, k=512, n=512, dtype="int8", config=BASE)), key=lambda item: item.cycles)
    assert best.resident and best.blocking.rows >= 256
    assert 32 * 32 * 512 / best.cycles > 0.994


def test_step_cycles_of_base() -> None:
    assert [step_cycles(rows, BASE) for rows in (1, 32, 33, 512)] == [32, 32, 33, 512]
    assert step_cycles(3, SMALL) == 21 and step_cycles(64, SMALL) == 64


def test_parts() -> None:
    assert balanced(10, 4) == [(0, 4), (4, 3), (7, 3)] and balanced(4, 4) == [(0, 4)] and balanced(1, 9) == [(0, 1)]
    assert groups_of(6, 4, 1) == [(0, 4), (4, 1), (5, 1)] and groups_of(2, 4, 1) == [(0, 2)]
    assert chunks_of(12, 4, gradual=True) == [(0, 1), (1, 2), (3, 4), (7, 4), (11, 1)]
    assert chunks_of(12, 5, gradual=False) == [(0, 4), (4, 4), (8, 4)]


def test_ring_posts_only_what_is_waited_for() -> None:
    items = [Item(first=0, last=5), Item(first=1, last=2), Item(first=6, last=7), Item(first=8, last=8)]
    ring = Ring(name="x", slots=[0, 10], items=items)
    assert [ring.address(index) for index in range(4)] == [0, 10, 0, 10]
    assert [ring.produce_wait(index)[1] for index in range(4)] == [0, 0, 1, 1]
    assert {step: ring.use_post(step)[1] for step in range(9) if ring.use_post(step)[1]} == {5: 2}
    assert [step for step in range(9) if ring.use_wait(step)[1]] == [0, 1, 6, 8]


def test_ring_refusals() -> None:
    with pytest.raises(CompileError, match="item 1 is used at step 1, before its slot is free"):
        Ring(name="x", slots=[0], items=[Item(first=0, last=1), Item(first=1, last=2)])
    with pytest.raises(CompileError, match="needs at least one slot"):
        Ring(name="x", slots=[], items=[])
    with pytest.raises(CompileError, match="two items must not be used for the first time in one step"):
        Ring(name="x", slots=[0, 1], items=[Item(first=0, last=1), Item(first=0, last=2)])


def test_regions_are_apart_and_slots_change_banks() -> None:
    for config in (BASE, SMALL, PAIR, SINGLE, ChipConfig.named("nano")):
        taken = [set(range(first, first + count)) for region in split_sbuf(config) for first, count in region.stripes]
        assert sum(map(len, taken)) == len(set().union(*taken)) == config.sbuf_lines
    assert Region(stripes=((0, 8), (8, 6))).slots(4, 9) == [0, 8, 4]
    assert slot_limit(PAIR) == 15 and slot_limit(BASE) == 64


@pytest.mark.parametrize("mode", [OutputMode.RAW, OutputMode.INT32])
def test_results_of_32_bits_agree_in_both_modes(mode: OutputMode) -> None:
    gemm = compile_gemm(m=3, k=3, n=3, dtype="int8", config=SMALL, mode=mode)
    assert gemm.program.buffers["c"].size == 3 * 4 * 8


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"m": 0}, ValueError, "m must be at least 1, not 0"),
        ({"k": -3}, ValueError, "k must be at least 1, not -3"),
        ({"n": 0}, ValueError, "n must be at least 1, not 0"),
        ({"dtype": "bf16"}, ConfigError, "dtype must be one of int8 on config 'small', not 'bf16'"),
        ({"source": "tape"}, ValueError, "source must be one of sbuf, dram, not 'tape'"),
        ({"m": 4096, "k": 64}, CompileError, "need 262720 bytes of SBUF, config 'small' has 65536: use smaller sizes or --source dram"),
        ({"m": 4096, "source": "dram", "dram_bytes": 4096}, CompileError, "a needs DRAM up to byte 32768, the limit is 4096"),
        ({"source": "dram", "dram_bytes": 1087}, CompileError, "needs 1088 bytes of DRAM with its queues, the limit is 1087"),
        ({"config": ChipConfig(rows=4, cols=8, output_lanes=8)}, ConfigError, "a chip needs rows == cols"),
    ],
)
def test_refusals(changes: dict, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        compile_gemm(**{"m": 8, "k": 8, "n": 8, "dtype": "int8", "config": SMALL, **changes})


def test_too_little_sbuf_and_too_few_semaphores() -> None:
    with pytest.raises(CompileError, match=r"too little SBUF \(.* bytes\) for one tile of int8"):
        compile_gemm(m=4, k=4, n=4, dtype="int8", config=ChipConfig(rows=16, cols=16, sbuf_banks=2, sbuf_bank_lines=16), source="dram")
    few = ChipConfig(rows=4, cols=4, output_lanes=4, semaphores=4, psum_rows=8, sbuf_bank_lines=64)
    with pytest.raises(CompileError, match="more than the 4 semaphores"):
        compile_gemm(m=40, k=300, n=40, dtype="int8", config=few, source="dram")
    with pytest.raises(CompileError, match="Evict has two wait slots, not 3"):
        Job(config=SMALL).emit("Evict", waits=[("a", 1), ("b", 1), ("c", 1)])
    with pytest.raises(CompileError, match="x needs DRAM up to byte 5, the limit is 4"):
        Memory(limit=4).add("x", 5)
