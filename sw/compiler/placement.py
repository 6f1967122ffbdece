"""Where an MLP lies: DRAM buffers, SBUF lines of its weights and constants, rings of its activations and results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import OUTPUT_LINES, OutputMode

from ..runtime.layout import matrix_bytes, pack_matrix, row_lines, tiles
from .quantise import Linear
from .queues import CompileError, Memory
from .ring import Item, Region, Ring, slot_limit, split_sbuf

#: Lines of the constants of one column tile: 4 of biases, 4 of scale words.
CHANNEL_LINES = 8


class ActivationError(CompileError):
    """Activations or results of a block do not fit SBUF; fewer rows may."""


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


class Placement:
    """Where everything of a network lies.

    Parameters
    ----------
    layers : sequence of Linear
    blocks : list of (first row, rows)
        How the batch is cut.
    config : ChipConfig
    mode : OutputMode
        Of the last layer.
    dram_bytes : int
        DRAM there is.

    Members
    -------
    memory : Memory
        DRAM buffers `weights<l>`, `channels<l>`, `input`, `output`.
    weights, channels : lists of int
        First SBUF line of each layer's weights and constants.
    rings : list of Ring
        Inputs of each layer, an item a block.
    results : Ring
        Column tiles of the last layer on their way to DRAM.

    Raises
    ------
    CompileError
        if SBUF or DRAM is too small.
    """

    def __init__(
        self, *, layers: Sequence[Linear], blocks: list[tuple[int, int]], config: ChipConfig, mode: OutputMode, dram_bytes: int
    ) -> None:
        self.layers = layers
        self.config = config
        self.blocks = blocks
        self.rows = max(length for _, length in blocks)
        self.memory = Memory(limit=dram_bytes)
        batch = sum(length for _, length in blocks)
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
        self.memory.add("input", matrix_bytes(batch, self.layers[0].inputs, 1, self.config))
        self.memory.add("output", matrix_bytes(batch, self.layers[-1].outputs, OUTPUT_LINES[mode], self.config))
        self.rings = self._activation_rings(moving)
        slots = results.slots(self.rows * OUTPUT_LINES[mode], slot_limit(self.config))
        if not slots:
            raise ActivationError(f"results of {self.rows} rows do not fit the SBUF of config {config.name!r}: use fewer rows a block")
        tiles_out = row_lines(self.layers[-1].outputs, 1, self.config)
        count = len(self.blocks) * tiles_out
        self.results = Ring(name="result", slots=slots, items=[Item(first=number, last=number) for number in range(count)])

    def _activation_rings(self, region: Region) -> list[Ring]:
        """Inputs of each layer: two blocks or more of each, in turn in different banks, so that writing one never meets reading another."""
        widths = [row_lines(layer.inputs, 1, self.config) for layer in self.layers]
        block_lines = sum(widths) * self.rows
        slots = region.slots(block_lines, slot_limit(self.config))
        if len(slots) < 2:
            raise ActivationError(
                f"activations of {self.rows} rows need {2 * block_lines} lines of SBUF in two banks, config {self.config.name!r} has "
                f"{sum(length for _, length in region.stripes)}: use fewer rows a block or smaller layers"
            )
        items = [Item(first=block, last=block) for block in range(len(self.blocks))]
        rings = []
        for index in range(len(self.layers)):
            offset = sum(widths[:index]) * self.rows
            # Turn t reads slots t .. t + layers - 1. Shifting each layer by two slots puts what it writes two beyond what it reads, where
            # the array does not read before the next turn's own step of that block: the output stage finds its bank free.
            places = [slots[(number + 2 * index) % len(slots)] + offset for number in range(len(slots))]
            rings.append(Ring(name=f"activation{index}", slots=places, items=items))
        return rings
