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
from ..runtime.layout import matrix_bytes, pack_matrix, row_lines, tiles
from .quantise import Linear
from .queues import CompileError, Job, Memory
from .ring import Item, Region, Ring, slot_limit, split_sbuf
from .tiling import balanced, step_cycles

#: Lines of the constants of one column tile: 4 of biases, 4 of scale words.
CHANNEL_LINES = 8


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


def channel_constants(layer: Linear, config: ChipConfig) -> np.ndarray:
    """Biases and scale words of every column tile as LoadChannel wants them: uint8."""
    count = tiles(layer.outputs, config.cols)
    words = np.zeros((count, 2, config.cols), "<u4")
    padded = np.zeros((2, count * config.cols), np.uint32)
    padded[0, : layer.outputs] = layer.bias.view(np.uint32)
    if layer.multiplier is not None and layer.shift is not None:
        padded[1, : layer.outputs] = layer.multiplier.astype(np.uint32) | layer.shift.astype(np.uint32) << np.uint32(16)
    words[:, 0] = padded[0].reshape(count, config.cols)
    words[:, 1] = padded[1].reshape(count, config.cols)
    return words.view(np.uint8).reshape(-1)


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
    """State of one compilation: placement in SBUF and the rings between engines."""

    def __init__(self, layers: tuple[Linear, ...], batch: int, config: ChipConfig, dram_bytes: int, block_rows: int) -> None:
        self.layers = layers
        self.config = config
        self.batch = batch
        rows = min(config.psum_rows, block_rows or max(2 * step_cycles(1, config), tiles(batch, 64)))
        self.blocks = balanced(batch, rows)
        self.rows = max(length for _, length in self.blocks)
        self.job = Job(config=config)
        self.memory = Memory(limit=dram_bytes)
        self.mode = OutputMode.INT8 if layers[-1].is_requantised else OutputMode.INT32
        self._place()

    def _place(self) -> None:
        """DRAM buffers, SBUF lines of the weights, and the rings of activations (ring l feeds layer l) and results."""
        moving, stationary, results = split_sbuf(self.config)
        line = self.config.line_bytes
        self.weights: list[int] = []
        self.channels: list[int] = []
        first, size = stationary.stripes[0][0], sum(length for _, length in stationary.stripes)
        end = first
        for index, layer in enumerate(self.layers):
            for name, data, places in (
                ("weights", pack_matrix(layer.weights, self.config), self.weights),
                ("channels", channel_constants(layer, self.config), self.channels),
            ):
                self.memory.add(f"{name}{index}", len(data), data.tobytes())
                places.append(tiles(end, CHANNEL_LINES) * CHANNEL_LINES)
                end = places[-1] + len(data) // line
        if end - first > size:
            raise CompileError(
                f"weights need {(end - first) * line} bytes of SBUF, config {self.config.name!r} keeps {size * line} for them: "
                "use smaller layers or a config with more SBUF"
            )
        self.memory.add("input", matrix_bytes(self.batch, self.layers[0].inputs, 1, self.config))
        self.memory.add("output", matrix_bytes(self.batch, self.layers[-1].outputs, OUTPUT_LINES[self.mode], self.config))
        self.rings = self._activation_rings(moving)
        slots = results.slots(self.rows * OUTPUT_LINES[self.mode], slot_limit(self.config))
        tiles_out = row_lines(self.layers[-1].outputs, 1, self.config)
        count = len(self.blocks) * tiles_out
        self.results = Ring(name="result", slots=slots, items=[Item(first=number, last=number) for number in range(count)])

    def _activation_rings(self, region: Region) -> list[Ring]:
        """Inputs of each layer: two blocks or more of each, in turn in different banks, so that writing one never meets reading another."""
        widths = [row_lines(layer.inputs, 1, self.config) for layer in self.layers]
        block_lines = sum(widths) * self.rows
        slots = region.slots(block_lines, slot_limit(self.config))
        if len(slots) < 2:
            raise CompileError(
                f"activations of {self.rows} rows need {2 * block_lines} lines of SBUF in two banks, config {self.config.name!r} has "
                f"{sum(length for _, length in region.stripes)}: use fewer rows a block or smaller layers"
            )
        items = [Item(first=block, last=block) for block in range(len(self.blocks))]
        rings = []
        for index in range(len(self.layers)):
            offset = sum(widths[:index]) * self.rows
            # Neighbouring layers are shifted by one slot: the block written and the block read in one turn are then in different banks.
            places = [slots[(number + index) % len(slots)] + offset for number in range(len(slots))]
            rings.append(Ring(name=f"activation{index}", slots=places, items=items))
        return rings

    def compile(self) -> CompiledGraph:
        """Emits all queues."""
        self._emit_loads()
        tile = 0
        for turn in range(len(self.blocks) + len(self.layers) - 1):
            for index in range(len(self.layers)):
                if 0 <= turn - index < len(self.blocks):
                    tile = self._emit_layer(index, turn - index, tile)
        program = self.job.program(self.memory, note=f"mlp of {len(self.layers)} layers, batch {self.batch}")
        return CompiledGraph(config=self.config, layers=self.layers, batch=self.batch, program=program)

    def _emit_load(self, name: str, base: int, first: int, lines: int, post: str, wait: tuple[str, int] = ("", 0)) -> None:
        line = self.config.line_bytes
        address = self.memory.buffers[name].address + first * line
        self.job.emit("Load", base=base, dram=address, ap=[(lines, 1, line)], waits=[wait], posts=[(post, 1)])

    def _emit_loads(self) -> None:
        """In order of need: the first weights and block, the constants, the other weights, the other blocks."""
        lines = {name: buffer.size // self.config.line_bytes for name, buffer in self.memory.buffers.items()}
        self._emit_load("weights0", self.weights[0], 0, lines["weights0"], "weights_ready")
        self._emit_input(0)
        for index in range(len(self.layers)):
            self._emit_load(f"channels{index}", self.channels[index], 0, lines[f"channels{index}"], "channels_ready")
            if index:
                self._emit_load(f"weights{index}", self.weights[index], 0, lines[f"weights{index}"], "weights_ready")
        for block in range(1, len(self.blocks)):
            self._emit_input(block)

    def _emit_input(self, block: int) -> None:
        first, rows = self.blocks[block]
        width = row_lines(self.layers[0].inputs, 1, self.config)
        ring = self.rings[0]
        self._emit_load("input", ring.address(block), first * width, rows * width, ring.ready, ring.produce_wait(block))

    def _emit_layer(self, index: int, block: int, tile: int) -> int:
        """Layer `index` of block `block`, its PSUM tiles numbered from `tile` on; the number after the last."""
        layer, config = self.layers[index], self.config
        n_tiles = row_lines(layer.outputs, 1, config)
        for n in range(n_tiles):
            self._emit_tensor(index, block, n, tile + n, last=n == n_tiles - 1)
            self._emit_output(index, block, n, tile + n, last=n == n_tiles - 1)
        return tile + n_tiles

    def _emit_tensor(self, index: int, block: int, n: int, tile: int, *, last: bool) -> None:
        layer, config, ring = self.layers[index], self.config, self.rings[index]
        rows = self.blocks[block][1]
        pitch, width = row_lines(layer.outputs, 1, config), row_lines(layer.inputs, 1, config)
        k_tiles = tiles(layer.inputs, config.rows)
        for k in range(k_tiles):
            begins, ends = n == k == 0, k == k_tiles - 1
            height = min(config.rows, layer.inputs - k * config.rows)
            self.job.emit(
                "LoadStationary", base=self.weights[index] + k * config.rows * pitch + n, ap=[(height, pitch)],
                waits=[("weights_ready", int(begins and block == 0))],
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
        self.job.emit("LoadChannel", base=self.channels[index] + n * CHANNEL_LINES, waits=[("channels_ready", int(block == n == 0))])
        common = {"bias": 1, "relu": int(layer.relu), "psum_bank": tile % config.psum_banks}
        if index < len(self.layers) - 1:
            ring = self.rings[index + 1]
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
            "Evict", mode=int(self.mode), base=self.results.address(number), ap=[(rows, lines)], **common,
            waits=[("psum_full", 1), self.results.produce_wait(number)], posts=[freed, (self.results.ready, 1)],
        )  # fmt: skip
        pitch = row_lines(layer.outputs, lines, config) * config.line_bytes
        address = self.memory.buffers["output"].address + self.blocks[block][0] * pitch + n * lines * config.line_bytes
        self.job.emit(
            "Store", base=self.results.address(number), dram=address, ap=[(lines, 1, config.line_bytes), (rows, lines, pitch)],
            waits=[(self.results.ready, 1)], posts=[self.results.use_post(number)],
        )  # fmt: skip
