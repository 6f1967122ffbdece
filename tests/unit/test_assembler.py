"""Text, operations and words go round without loss; every refusal names what, its value and its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.common.isa import ENGINES, INSTRUCTIONS, pack
from sw.isa.assembler import AssemblyError, Operation, assemble, disassemble, format_word, operation, parse_line


@st.composite
def _legal_words(draw: st.DrawFn) -> tuple[str, int]:
    instruction = INSTRUCTIONS[draw(st.sampled_from(sorted(INSTRUCTIONS)))]
    values = {item.name: draw(st.integers(item.low, item.high)) for item in instruction.all_fields if item.name != "opcode"}
    return instruction.engine, pack(instruction, values)


@settings(max_examples=300, deadline=None)
@given(_legal_words())
def test_every_field_value_goes_through_text(pair: tuple[str, int]) -> None:
    engine, word = pair
    parsed = parse_line(format_word(engine, word))
    assert (parsed.engine, parsed.word) == (engine, word)
    assert not format_word(engine, word).startswith(".word")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ENGINES)), st.data())
def test_any_word_goes_through_text(engine: str, data: st.DataObject) -> None:
    word = data.draw(st.integers(0, (1 << ENGINES[engine].bits) - 1))
    parsed = parse_line(format_word(engine, word))
    assert (parsed.engine, parsed.word) == (engine, word)


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
@pytest.mark.parametrize("extreme", ["low", "high"])
def test_extremes_of_every_field(name: str, extreme: str) -> None:
    instruction = INSTRUCTIONS[name]
    values = {item.name: getattr(item, extreme) for item in instruction.all_fields if item.name != "opcode"}
    word = pack(instruction, values)
    assert parse_line(format_word(instruction.engine, word)).word == word
    assert Operation(engine=instruction.engine, word=word).values == {**values, "opcode": instruction.opcode}


def test_text_of_a_whole_program_goes_round() -> None:
    rng = np.random.default_rng(7)
    queues = {engine: [int.from_bytes(rng.bytes(spec.instruction_bytes), "little") for _ in range(5)] for engine, spec in ENGINES.items()}
    queues["tensor"].append(operation("LoadStationary", base=4, ap=[(4, 2)], wait0=(3, 7)).word)
    assert assemble(disassemble(queues)) == queues


def test_defaults_and_order_of_operands() -> None:
    short = parse_line("mm psum_bank=2 ap=8:1 accumulate=1 base=3")
    assert short.values["size0"] == 8 and short.values["size3"] == 1 and short.values["stride3"] == 0
    assert short.word == operation("MultiplyMoving", base=3, ap=[(8, 1)], psum_bank=2, accumulate=1).word
    assert assemble("# nothing\n\n  lds base=0x10 # there\n")["tensor"] == [operation("LoadStationary", base=16).word]


def test_bytes_are_little_endian_and_as_long_as_the_engine_says() -> None:
    raw = operation("Load", base=1).to_bytes()
    assert len(raw) == 64 and raw[0] == 0x01 and raw[10] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jump base=0", "line 1: mnemonic must be one of load, store, lds, mm, ldc, evict or .word, not 'jump'"),
        ("mm base", "operand must be key=value, not 'base'"),
        ("mm base=x", "base must be a number, not 'x'"),
        ("mm dtype=fp8", "dtype must be a number or one of int8, bf16, not 'fp8'"),
        ("mm base=1 base=2", "base must be given once"),
        ("mm psum_row=4096", "MultiplyMoving.psum_row must be 0 to 4095, not 4096"),
        ("mm ap=1:40000", "MultiplyMoving.stride0 must be -32768 to 32767, not 40000"),
        ("mm ap=1:1,1:1,1:1,1:1,1:1", "ap must have at most 4 dimensions, not 5"),
        ("load ap=1:1", "dimension 0 of ap must be size:stride:dram_stride, not 1:1"),
        ("ldc ap=1:1", "ap must have at most 0 dimensions, not 1"),
        ("mm wait0=3", "wait0 must be semaphore:count, not '3'"),
        ("mm wait0=32:1", "MultiplyMoving.wait0_semaphore must be 0 to 31, not 32"),
        ("mm wait0=0:2048", "MultiplyMoving.wait0_count must be 0 to 2047, not 2048"),
        ("mm colour=1", "MultiplyMoving has no field 'colour'"),
        ("mm opcode=1", "opcode follows from the instruction"),
        (".word vector 0", ".word must have an engine (load, tensor, output, store) and a number"),
        (f".word tensor {1 << 256:#x}", "word must fit 256 bits of tensor"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(text)
    assert message in str(caught.value)


def test_refuses_a_pair_for_a_plain_field() -> None:
    with pytest.raises(AssemblyError, match="base must be one number"):
        operation("LoadChannel", base=(1, 2))
