"""The assembler of the compact processor: words, constants, and every refusal."""

import random

import pytest

from hw.compact.assembler import Assembler, AssemblyError, Cell
from hw.compact.encoding import Condition, Input, Operation, Output, Source
from sim.golden.processor import ProcessorModel


def run(assembler, steps, memory=None):
    """The model after so many instructions."""
    model = ProcessorModel(
        program=assembler.assemble().words, flag=lambda condition: False, read=lambda which: 0, write=lambda port, data, x: None,
        memory=list(memory or [0] * 256),
    )  # fmt: skip
    for _ in range(steps):
        model.step()
    return model


def test_words():
    assembler = Assembler(spare=[200])
    assembler.label("begin")
    assembler.load(7)
    assembler.load(Cell(9).at_x())
    assembler.load(Input.ERROR_ADDRESS)
    assembler.rotate(4)
    assembler.store(Cell(255))
    assembler.output(Output.DONE)
    assembler.jump("begin", Condition.ODD)
    assert assembler.assemble().words == (
        Source.INPUT << 12 | Operation.LOAD << 8 | 7,
        1 << 14 | Operation.LOAD << 8 | 9,
        1 << 14 | Source.INPUT << 12 | Operation.LOAD << 8 | Input.ERROR_ADDRESS,
        Source.ROTATED << 12 | Operation.LOAD << 8,
        Operation.STORE << 8 | 255,
        Operation.OUTPUT << 8 | Output.DONE,
        1 << 15 | Condition.ODD << 11,
    )
    assert assembler.assemble().labels == {"begin": 0}


@pytest.mark.parametrize("seed", [0])
def test_any_number_can_be_built(seed):
    rng = random.Random(seed)
    corners = [0, 255, 256, 0xFF0, 0x80000000, 0xFFFFFF00, 0xFFFFFFFF, 0xF0000000, 0x00FF00FF, 0x12345678, 0xFFFF0000]
    for value in corners + [rng.getrandbits(32) for _ in range(50)]:
        assembler = Assembler(spare=[])
        assembler.build(value)
        words = len(assembler.assemble().words)
        assert run(assembler, words).a == value, hex(value)
        assert words <= 12


def test_constants_and_variables_share_what_is_spare():
    assembler = Assembler(spare=[3, 8, 9, 10, 11, 40])
    array = assembler.variable("array", 4)
    assert array == Cell(8) and assembler.variable("array", 4) == array and assembler.variable("single") == Cell(3)
    assembler.call("constants")
    assembler.load(1)
    assembler.add(0x12345678)
    assembler.and_(0x12345678)
    assembler.jump("over")
    assembler.load_constants("constants")
    assembler.label("over")
    model = run(assembler, len(assembler.assemble().words))
    assert model.memory[40] == 0x12345678 and model.a == 0x12345679 & 0x12345678
    with pytest.raises(AssemblyError, match="0x777 must be used before load_constants"):
        assembler.add(0x777)


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda a: a.store(Cell(256)), "operand must be 0 to 255, not 256"),
        (lambda a: (a.jump("nowhere"), a.assemble()), "label 'nowhere' must be placed somewhere"),
        (lambda a: (a.label("twice"), a.label("twice")), "label 'twice' must be placed once"),
        (lambda a: a.rotate(6), "rotation must be a multiple of 4, not 6"),
        (lambda a: a.variable("large", 4), "data memory must have 4 aligned words for large, 1 are left"),
        (lambda a: (a.add(0x1234), a.add(0x5678)), "data memory must have 1 aligned words for constant 0x5678, 0 are left"),
        (
            lambda a: (a.rotate(28 * 4), [a.ret() for _ in range(2048)], a.ret(), a.assemble()),
            "program must be at most 2048 words, not 2053",
        ),
        (lambda a: a.output(31), "31 is not a valid Output"),
    ],
)
def test_refusals(spoil, message):
    with pytest.raises(ValueError, match=message):
        spoil(Assembler(spare=[1]))
