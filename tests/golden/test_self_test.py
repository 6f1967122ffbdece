"""The model of the self-test: March C- as the book has it, the faults it must find, generators and signatures."""

import itertools
import random

import pytest

from hw.common.config import ChipConfig
from hw.debug.lfsr import POLYNOMIAL, signature, step
from hw.debug.march import BACKGROUNDS, MARCH_C_MINUS, OPERATIONS
from hw.debug.self_test import CONTROL, FOUND, PATTERN, RESULT, STATUS, Command
from sim.golden.self_test import SelfTestModel, fill_lines, packed, unpacked

CONFIG = ChipConfig(
    name="narrow", rows=4, cols=4, sbuf_banks=1, sbuf_bank_lines=32, psum_rows=8, psum_banks=2, output_lanes=1, dma_burst_lines=16
)
LINES, BITS = 4, 4


class Cells:
    """Lines of which every bit is a cell; `broken(cells, before, line)` changes them after a write, as a fault does."""

    def __init__(self, broken=None, decode=lambda line: [line], seed=0):
        rng = random.Random(seed)
        self.cells = [rng.getrandbits(32) for _ in range(CONFIG.sbuf_lines)]
        self.broken, self.decode = broken, decode

    def read(self, line):
        # Two lines at once: the wired and of both; none: the line floats high.
        result = 0xFFFFFFFF
        for each in self.decode(line):
            result &= self.cells[each]
        return result

    def write(self, line, data):
        before = list(self.cells)
        for each in self.decode(line):
            self.cells[each] = data
        if self.broken:
            self.broken(self.cells, before, line)


def march(memory, *, background="solid", first=0, last=LINES - 1):
    model = SelfTestModel(CONFIG, memory)
    word, alternate = BACKGROUNDS[background]
    for number, value in ((1, first), (2, last), (PATTERN, word), (0, Command.MARCH | alternate << CONTROL["alternate"][0])):
        model.write(number, value)
    return model


def failures(model):
    return model.read(1) >> RESULT["failures"][0]


def test_the_elements_are_those_of_the_book():
    assert [str(element) for element in MARCH_C_MINUS] == ["up(w0)", "up(r0,w1)", "up(r1,w0)", "down(r0,w1)", "down(r1,w0)", "down(r0)"]
    assert OPERATIONS == 10


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_accesses_of_a_march(background):
    model = march(Cells(), background=background, first=1, last=3)
    word, alternate = BACKGROUNDS[background]
    zero = {line: word ^ (0xFFFFFFFF if alternate and line & 1 else 0) for line in range(4)}
    expected = [(line, True, 0) for line in (1, 2, 3)]
    for lines, old, new in (((1, 2, 3), 0, 1), ((1, 2, 3), 1, 0), ((3, 2, 1), 0, 1), ((3, 2, 1), 1, 0)):
        expected += [entry for line in lines for entry in ((line, False, old), (line, True, new))]
    expected += [(line, False, 0) for line in (3, 2, 1)]
    assert [(item.line, item.write, item.data) for item in model.accesses] == [
        (line, write, zero[line] ^ (0xFFFFFFFF if value else 0)) for line, write, value in expected
    ]
    assert failures(model) == 0 and not model.read(0) >> STATUS["failed"][0] & 1 and model.read(PATTERN) == word


def single_faults():
    for line, bit in itertools.product(range(LINES), range(BITS)):
        mask = 1 << bit
        for value in (0, 1):

            def stuck(cells, before, at, line=line, mask=mask, value=value):
                cells[line] = cells[line] & ~mask | mask * value

            def transition(cells, before, at, line=line, mask=mask, value=value):
                if before[line] & mask != mask * value and cells[line] & mask == mask * value:
                    cells[line] = before[line]

            yield f"line {line} bit {bit} stuck at {value}", stuck
            yield f"line {line} bit {bit} does not change to {value}", transition


def couplings():
    for aggressor, victim in itertools.permutations(range(LINES), 2):
        for bit, rising in itertools.product(range(BITS), (False, True)):
            mask = 1 << bit
            for effect in ("inverts", "sets", "clears"):

                def coupled(cells, before, at, aggressor=aggressor, victim=victim, mask=mask, rising=rising, effect=effect):
                    old, new = before[aggressor] & mask, cells[aggressor] & mask
                    if at == aggressor and old != new and bool(new) == rising:
                        cells[victim] = {"inverts": cells[victim] ^ mask, "sets": cells[victim] | mask, "clears": cells[victim] & ~mask}[
                            effect
                        ]

                yield f"{aggressor} {'rising' if rising else 'falling'} {effect} {victim} bit {bit}", coupled


@pytest.mark.parametrize("kind", [single_faults, couplings])
def test_every_fault_is_found(kind):
    faults = list(kind())
    assert len(faults) >= 64
    missed = [name for name, broken in faults for seed in (0, 1) if not failures(march(Cells(broken, seed=seed)))]
    assert not missed


def test_every_address_fault_is_found():
    for line, other in itertools.permutations(range(LINES), 2):
        for name, decode in (
            ("none", lambda at, line=line: [] if at == line else [at]),
            ("another", lambda at, line=line, other=other: [other] if at == line else [at]),
            ("two", lambda at, line=line, other=other: [at, other] if at == line else [at]),
        ):
            assert failures(march(Cells(decode=decode))), (name, line, other)


def test_the_first_failing_read_is_kept():
    def stuck(cells, before, at):
        cells[2] |= 1 << 7

    model = march(Cells(stuck), background="double stripes")
    assert model.read(FOUND) == 0x33333333 | 1 << 7
    assert model.read(1) & 0xFFFFF == 2 and failures(model) == 3
    assert model.read(0) >> STATUS["failing_element"][0] & 7 == 1 and not model.read(0) >> STATUS["ones"][0] & 1

    def stuck_low(cells, before, at):
        cells[3] &= ~(1 << 31)

    model = march(Cells(stuck_low))
    assert (
        model.read(FOUND) == 0x7FFFFFFF
        and model.read(0) >> STATUS["ones"][0] & 1
        and model.read(0) >> STATUS["failing_element"][0] & 7 == 2
    )


def test_the_generator_has_the_longest_period():
    def product(left, right):
        def applied(images, state):
            result = 0
            for bit, image in enumerate(images):
                result ^= image if state >> bit & 1 else 0
            return result

        return [applied(left, image) for image in right]

    def power(images, exponent):
        result = [1 << bit for bit in range(32)]
        while exponent:
            result = product(images, result) if exponent & 1 else result
            images, exponent = product(images, images), exponent >> 1
        return result

    one_step, period = [step(1 << bit) for bit in range(32)], 2**32 - 1
    identity = [1 << bit for bit in range(32)]
    assert power(one_step, period) == identity
    assert period == 3 * 5 * 17 * 257 * 65537
    assert all(power(one_step, period // prime) != identity for prime in (3, 5, 17, 257, 65537))
    assert POLYNOMIAL == 1 << 31 | 1 << 21 | 1 << 1 | 1


def test_fill_then_signature():
    memory = Cells()
    model = SelfTestModel(CONFIG, memory)
    for number, value in ((1, 0), (2, 31), (PATTERN, 0xC0FFEE), (0, Command.FILL)):
        model.write(number, value)
    lines = [words[0] for words in fill_lines([0xC0FFEE], 33)]
    assert memory.cells == lines[:32] and model.read(PATTERN) == lines[32] and len(set(lines)) == 33
    for number, value in (
        (PATTERN, 0),
        (0, Command.SIGNATURE | 1 << CONTROL["rows"][0]),
        (2, 28),
        (0, Command.SIGNATURE | 1 << CONTROL["rows"][0]),
    ):
        if number == 0 and model._last == 31:
            with pytest.raises(ValueError, match=r"last must be reached from line 0 by steps of 4, not 31"):
                model.write(number, value)
        else:
            model.write(number, value)
    assert model.read(PATTERN) == signature(lines[0:32:4], 0)


def test_a_wrong_bit_is_another_signature():
    rng = random.Random(7)
    lines = [rng.getrandbits(32) for _ in range(64)]
    right = signature(lines, 0)
    for at, bit in itertools.product(range(64), range(32)):
        wrong = list(lines)
        wrong[at] ^= 1 << bit
        assert signature(wrong, 0) != right


def test_lines_and_words():
    assert unpacked(packed([1, 2, 3]), 3) == [1, 2, 3] and packed([1, 2]) == 1 | 2 << 32
