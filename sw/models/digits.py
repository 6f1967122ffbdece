"""Handwritten digits: a 64-32-10 perceptron on scikit-learn's 1,797 images of 8x8 pixels, quantised to int8.

Trained when first asked for, with a fixed seed, and kept under `build/`. A fifth of the images, 360, is held out: training and the choice of
scales never see it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..compiler.quantise import Linear, quantise, quantise_linear, scale_of
from .training import Training, forward, train

#: Images that are held out.
HELD_OUT = 360
SPLIT_SEED = 2024
TRAINING = Training(sizes=(64, 32, 10), seed=1)
#: A pixel is 0 to 16; a real input is pixel / 16.
PIXEL_TOP = 16
#: Where trained weights are kept, from the current directory.
CACHE = Path("build/models")


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The data split and the network in float and in int8.

    Members
    -------
    parameters : list of arrays
        Float weights and biases, alternating.
    layers : tuple of Linear
        The int8 network; the last layer gives int32 logits.
    logit_scale : float array [10]
        What one unit of each logit is worth.
    images, labels
        The held-out images as float rows of 64 (0..1), and what they show.
    inputs : int8 [360, 64]
        The same, quantised.
    """

    parameters: list[np.ndarray]
    layers: tuple[Linear, ...]
    logit_scale: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    inputs: np.ndarray

    @property
    def float_accuracy(self) -> float:
        """Share of held-out images that the float network gets right."""
        return float(np.mean(forward(self.parameters, self.images)[-1].argmax(axis=1) == self.labels))

    def accuracy(self, logits: np.ndarray) -> float:
        """Share of held-out images that these int32 logits get right."""
        return float(np.mean((logits * self.logit_scale).argmax(axis=1) == self.labels))


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, held-out images and labels; always the same."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(data.data))
    x, labels = data.data[order] / PIXEL_TOP, data.target[order].astype(np.int64)
    return x[HELD_OUT:], labels[HELD_OUT:], x[:HELD_OUT], labels[:HELD_OUT]


def _trained(x: np.ndarray, labels: np.ndarray, cache: Path) -> list[np.ndarray]:
    """Weights from the cache, or trained and put there. The name of the file is made of all that decides its contents."""
    identity = json.dumps({**asdict(TRAINING), "split": SPLIT_SEED, "held_out": HELD_OUT}, sort_keys=True)
    digest = hashlib.sha256(identity.encode() + x.tobytes() + labels.tobytes()).hexdigest()[:16]
    path = cache / f"digits-{digest}.npz"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return [stored[name] for name in stored.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        pass  # absent or damaged: trained again and replaced
    parameters = train(x, labels, TRAINING)
    cache.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=cache, prefix=".digits-", suffix=".npz")
    try:
        with os.fdopen(descriptor, "wb") as target:
            np.savez(target, *parameters)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return parameters


def digits(cache: Path = CACHE) -> Digits:
    """The trained and quantised network with its held-out images."""
    x, labels, images, expected = split()
    parameters = _trained(x, labels, cache)
    input_scale = 1 / 127
    hidden_scale = float(scale_of(forward(parameters, x)[1]))
    first, _ = quantise_linear(parameters[0], parameters[1], input_scale=input_scale, output_scale=hidden_scale, relu=True)
    last, logit_scale = quantise_linear(parameters[2], parameters[3], input_scale=hidden_scale, output_scale=None, relu=False)
    return Digits(
        parameters=parameters, layers=(first, last), logit_scale=logit_scale, images=images, labels=expected,
        inputs=quantise(images, input_scale),
    )  # fmt: skip
