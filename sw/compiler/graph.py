"""Compiles a chain of int8 `Linear` layers (an MLP) into one job.

Weights and channel constants are loaded once and stay in SBUF, as do the activations between layers. The batch is cut into blocks of rows, and the
tensor engine works on layer l of block t - l in turn t, so while the output stage requantises one block the array is busy with the next::

    tensor   L0(0)  L0(1) L1(0)  L0(2) L1(1) ...
    output          L0(0)  ...   L0(1) L1(0) ...
    load     x(0) x(1) x(2) ...                      store  ... y(0) y(1)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import OUTPUT_LINES, OutputMode

from ..isa.program import Program
from ..runtime.layout import row_lines, tiles
from .placement import CHANNEL_LINES, ActivationError, Placement
from .quantise import Linear
from .queues import CompileError, Job
from .tiling import balanced, step_cycles

#: Rows of a block that keep the array busy: enough to hide the way from PSUM through the output stage, few enough to start and end quickly.
BLOCK_ROWS = 48
#: Cycles that a load takes besides its lines: the way to memory and back, and through the semaphore.
LOAD_LATENCY = 120


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """A program with buffers `input` (int8 [batch, inputs]) and `output` ([batch, outputs], int8 or int32), rows padded to whole lines."""

    config: ChipConfig
    layers: tuple[Linear, ...]
    batch: int
    program: Program

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return self.batch * sum(layer.inputs * layer.outputs for layer in self.layers)

    @property
    def output_type(self) -> type:
        """numpy type of the results."""
        return np.int8 if self.layers[-1].is_requantised else np.int32


def compile_graph(
    layers: Sequence[Linear], *, batch: int, config: ChipConfig, dram_bytes: int = 1 << 32, block_rows: int = 0
) -> CompiledGraph:
    """One job that runs `batch` rows through `layers`.

    Parameters
    ----------
    layers : sequence of Linear
        Each takes what the one before gives; all but the last give int8.
    batch : int
        Rows, at least 1.
    config : ChipConfig
    dram_bytes : int
        DRAM there is.
    block_rows : int
        Rows of a block; 0 chooses the smallest that keeps the array busy.

    Raises
    ------
    CompileError, ConfigError
        if layers do not fit each other, or the network does not fit SBUF or DRAM.
    """
    config.require_chip()
    config.dtype("int8")
    _check(layers, batch)
    return _Compiler(tuple(layers), batch, config, dram_bytes, block_rows).compile()


def _check(layers: Sequence[Linear], batch: int) -> None:
    if not layers:
        raise CompileError("layers must be at least one, not none")
    if batch < 1:
        raise CompileError(f"batch must be at least 1, not {batch!r}")
    for index, (layer, following) in enumerate(itertools.pairwise(layers)):
        if layer.outputs != following.inputs:
            raise CompileError(f"layer {index + 1} must take {layer.outputs} inputs, which layer {index} gives, not {following.inputs}")
        if not layer.is_requantised:
            raise CompileError(f"layer {index} must be requantised to int8: only the last layer may keep int32")


class _Compiler:
    """State of one compilation: emits the queues of a placed network."""

    def __init__(self, layers: tuple[Linear, ...], batch: int, config: ChipConfig, dram_bytes: int, block_rows: int) -> None:
        self.layers = layers
        self.config = config
        self.batch = batch
        self.dram_bytes = dram_bytes
        self.job = Job(config=config)
        self.mode = OutputMode.INT8 if layers[-1].is_requantised else OutputMode.INT32
        rows = min(config.psum_rows, block_rows or max(BLOCK_ROWS, step_cycles(1, config) + BLOCK_ROWS // 3))
        while True:
            self.blocks = balanced(batch, rows)
            try:
                self.at = Placement(layers=layers, blocks=self.blocks, config=config, mode=self.mode, dram_bytes=dram_bytes)
                break
            except ActivationError:
                # Shorter blocks may fit, where the choice is ours.
                if block_rows or rows == 1:
                    raise
                rows = tiles(rows, 2)
        self.rows = self.at.rows
        self.ahead = self._blocks_ahead()

    def compile(self) -> CompiledGraph:
        """Emits all queues."""
        self._emit_loads()
        tile = 0
        for turn in range(len(self.blocks) + len(self.layers) - 1):
            for index in range(len(self.layers)):
                if 0 <= turn - index < len(self.blocks):
                    tile = self._emit_layer(index, turn - index, tile)
        program = self.job.program(self.at.memory, note=f"mlp of {len(self.layers)} layers, batch {self.batch}")
        if program.dram_bytes > self.dram_bytes:
            raise CompileError(
                f"{program.note} needs {program.dram_bytes} bytes of DRAM with its queues, the limit is {self.dram_bytes}: use smaller batches or more DRAM"
            )
        return CompiledGraph(config=self.config, layers=self.layers, batch=self.batch, program=program)

    def _emit_load(self, name: str, base: int, first: int, lines: int, post: str, waits: Sequence[tuple[str, int]] = ()) -> None:
        line = self.config.line_bytes
        address = self.at.memory.buffers[name].address + first * line
        self.job.emit("Load", base=base, dram=address, ap=[(lines, 1, line)], waits=waits, posts=[(post, 1)])

    def _emit_loads(self) -> None:
        """In order of need: the first weights and block, the constants, the other weights, the other blocks."""
        lines = {name: buffer.size // self.config.line_bytes for name, buffer in self.at.memory.buffers.items()}
        self._emit_load("weights0", self.at.weights[0], 0, lines["weights0"], "weights_ready")
        self._emit_input(0)
        for index in range(len(self.layers)):
            self._emit_load(f"channels{index}", self.at.channels[index], 0, lines[f"channels{index}"], "channels_ready")
            if index:
                self._emit_load(f"weights{index}", self.at.weights[index], 0, lines[f"weights{index}"], "weights_ready")
        for block in range(1, len(self.blocks)):
            self._emit_input(block)

    def _emit_input(self, block: int) -> None:
        first, rows = self.blocks[block]
        width = row_lines(self.layers[0].inputs, 1, self.config)
        ring = self.at.rings[0]
        paced = ("pace", int(block >= self.ahead))
        self._emit_load("input", ring.address(block), first * width, rows * width, ring.ready, [ring.produce_wait(block), paced])

    def _blocks_ahead(self) -> int:
        """Blocks that are loaded before they are needed: no more than it takes, for the loads share the memory with the instructions."""
        width = row_lines(self.layers[0].inputs, 1, self.config)
        products = [row_lines(layer.outputs, 1, self.config) * tiles(layer.inputs, self.config.rows) for layer in self.layers]
        turn = sum(products) * step_cycles(self.rows, self.config)
        return tiles(self.rows * width + LOAD_LATENCY, turn)

    def _emit_layer(self, index: int, block: int, tile: int) -> int:
        """Layer `index` of block `block`, its PSUM tiles numbered from `tile` on; the number after the last."""
        layer, config = self.layers[index], self.config
        n_tiles = row_lines(layer.outputs, 1, config)
        for n in range(n_tiles):
            self._emit_tensor(index, block, n, tile + n, last=n == n_tiles - 1)
            self._emit_output(index, block, n, tile + n, last=n == n_tiles - 1)
        return tile + n_tiles

    def _emit_tensor(self, index: int, block: int, n: int, tile: int, *, last: bool) -> None:
        layer, config, ring = self.layers[index], self.config, self.at.rings[index]
        rows = self.blocks[block][1]
        pitch, width = row_lines(layer.outputs, 1, config), row_lines(layer.inputs, 1, config)
        k_tiles = tiles(layer.inputs, config.rows)
        for k in range(k_tiles):
            begins, ends = n == k == 0, k == k_tiles - 1
            height = min(config.rows, layer.inputs - k * config.rows)
            self.job.emit(
                "LoadStationary", base=self.at.weights[index] + k * config.rows * pitch + n, ap=[(height, pitch)],
                waits=[("weights_ready", int(begins and block == 0))],
                posts=[("pace", int(begins and index == 0 and block + self.ahead < len(self.blocks)))],
            )  # fmt: skip
            self.job.emit(
                "MultiplyMoving", base=ring.address(block) + k, ap=[(rows, width)], accumulate=int(k > 0), psum_bank=tile % config.psum_banks,
                waits=[(ring.ready, int(begins)), ("psum_free", int(k == 0 and tile >= config.psum_banks))],
                posts=[(ring.free, ring.use_post(block)[1] if last and ends else 0), ("psum_full", int(ends))],
            )  # fmt: skip

    def _emit_output(self, index: int, block: int, n: int, tile: int, *, last: bool) -> None:
        config, layer = self.config, self.layers[index]
        total = sum(row_lines(item.outputs, 1, config) for item in self.layers) * len(self.blocks)
        rows = self.blocks[block][1]
        freed = ("psum_free", int(tile + config.psum_banks < total))
        self.job.emit("LoadChannel", base=self.at.channels[index] + n * CHANNEL_LINES, waits=[("channels_ready", int(block == n == 0))])
        common = {"bias": 1, "relu": int(layer.relu), "psum_bank": tile % config.psum_banks}
        if index < len(self.layers) - 1:
            ring = self.at.rings[index + 1]
            pitch = row_lines(layer.outputs, 1, config)
            wait = ring.produce_wait(block) if n == 0 else (ring.free, 0)
            self.job.emit(
                "Evict", mode=int(OutputMode.INT8), base=ring.address(block) + n, ap=[(rows, pitch)], **common,
                waits=[("psum_full", 1), wait], posts=[freed, (ring.ready, int(last))],
            )  # fmt: skip
            return
        number = block * row_lines(layer.outputs, 1, config) + n
        lines = OUTPUT_LINES[self.mode]
        self.job.emit(
            "Evict", mode=int(self.mode), base=self.at.results.address(number), ap=[(rows, lines)], **common,
            waits=[("psum_full", 1), self.at.results.produce_wait(number)], posts=[freed, (self.at.results.ready, 1)],
        )  # fmt: skip
        pitch = row_lines(layer.outputs, lines, config) * config.line_bytes
        address = self.at.memory.buffers["output"].address + self.blocks[block][0] * pitch + n * lines * config.line_bytes
        self.job.emit(
            "Store", base=self.at.results.address(number), dram=address, ap=[(lines, 1, config.line_bytes), (rows, lines, pitch)],
            waits=[(self.at.results.ready, 1)], posts=[self.at.results.use_post(number)],
        )  # fmt: skip
