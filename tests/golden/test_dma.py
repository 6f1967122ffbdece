"""Access patterns and bursts against loops written straight from the definitions."""

import numpy as np
import pytest

from hw.common.config import CONFIGS
from sim.golden.dma import burst_limit, bursts, pattern_addresses


def naive_addresses(base, sizes, strides):
    return [
        base + i0 * strides[0] + i1 * strides[1] + i2 * strides[2] + i3 * strides[3]
        for i3 in range(sizes[3]) for i2 in range(sizes[2]) for i1 in range(sizes[1]) for i0 in range(sizes[0])
    ]  # fmt: skip


def naive_bursts(addresses, config):
    result = []
    for address in addresses:
        if (
            result
            and result[-1][0] + result[-1][1] * config.line_bytes == address
            and result[-1][1] < burst_limit(config)
            and address % 4096
        ):
            result[-1][1] += 1
        else:
            result.append([address, 1])
    return result


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_against_loops(config, seed):
    rng = np.random.default_rng(seed)
    sizes = [int(rng.choice([1, 2, 3, 7, 13])) for _ in range(4)]
    strides = [int(rng.integers(-40, 41)) * config.line_bytes for _ in range(4)]
    for dim in range(int(rng.integers(5))):
        strides[dim] = int(np.prod(sizes[:dim])) * config.line_bytes
    base = 4096 * int(rng.integers(300, 400)) - config.line_bytes * int(rng.integers(0, 50))
    addresses = pattern_addresses(base, sizes, strides)
    assert addresses.dtype == np.int64 and addresses.tolist() == naive_addresses(base, sizes, strides), f"seed {seed}"
    assert bursts(addresses, config=config).tolist() == naive_bursts(addresses.tolist(), config), f"seed {seed}"


def test_wide_addresses():
    """48-bit bases and the largest strides stay exact."""
    last = pattern_addresses((1 << 48) - 16, [1, 1, 1, 65535], [0, 0, 0, -(1 << 31)])[-1]
    assert last == (1 << 48) - 16 - 65534 * (1 << 31)


@pytest.mark.parametrize("sizes,strides,message", [
    ([1, 2], [1], "equally many"), ([], [], "at least one"), ([0], [1], "sizes must be at least 1, not \\[0\\]"),
])  # fmt: skip
def test_bad_pattern(sizes, strides, message):
    with pytest.raises(ValueError, match=message):
        pattern_addresses(0, sizes, strides)


@pytest.mark.parametrize("addresses,message", [([], "at least one"), ([0, 3], "multiples of 4, not 3")])
def test_bad_addresses(addresses, message):
    with pytest.raises(ValueError, match=message):
        bursts(np.array(addresses, dtype=np.int64), config=CONFIGS["nano"])
