"""A small deterministic trainer for multi-layer perceptrons: numpy, float64, Adam, one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Adam's decay rates and the guard against division by zero.
_DECAY1, _DECAY2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, kw_only=True)
class Training:
    """What decides the result of a training, apart from the data."""

    sizes: tuple[int, ...]
    seed: int = 0
    epochs: int = 80
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-4

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes must be at least two numbers above 0, not {self.sizes!r}")


def forward(parameters: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Activations of every layer, `x` first and the logits last; ReLU between layers. `parameters` alternates weights and biases."""
    values = [x]
    for index in range(0, len(parameters), 2):
        y = values[-1] @ parameters[index] + parameters[index + 1]
        values.append(np.maximum(y, 0) if index + 2 < len(parameters) else y)
    return values


def _gradients(parameters: list[np.ndarray], x: np.ndarray, labels: np.ndarray, decay: float) -> list[np.ndarray]:
    """Of the mean cross entropy plus weight decay."""
    values = forward(parameters, x)
    shifted = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    error = shifted / shifted.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    result: list[np.ndarray] = []
    for index in reversed(range(0, len(parameters), 2)):
        below = values[index // 2]
        result[:0] = [below.T @ error + decay * parameters[index], error.sum(axis=0)]
        error = (error @ parameters[index].T) * (below > 0)
    return result


def train(x: np.ndarray, labels: np.ndarray, training: Training) -> list[np.ndarray]:
    """Weights and biases, alternating, after `training`."""
    rng = np.random.default_rng(training.seed)
    parameters: list[np.ndarray] = []
    for inputs, outputs in zip(training.sizes[:-1], training.sizes[1:], strict=True):
        parameters += [rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs), np.zeros(outputs)]
    first = [np.zeros_like(item) for item in parameters]
    second = [np.zeros_like(item) for item in parameters]
    step = 0
    for _ in range(training.epochs):
        order = rng.permutation(len(x))
        for begin in range(0, len(x), training.batch):
            chosen = order[begin : begin + training.batch]
            step += 1
            for index, gradient in enumerate(_gradients(parameters, x[chosen], labels[chosen], training.decay)):
                first[index] = _DECAY1 * first[index] + (1 - _DECAY1) * gradient
                second[index] = _DECAY2 * second[index] + (1 - _DECAY2) * gradient**2
                mean = first[index] / (1 - _DECAY1**step)
                spread = second[index] / (1 - _DECAY2**step)
                parameters[index] = parameters[index] - training.rate * mean / (np.sqrt(spread) + _EPSILON)
    return parameters
