"""The instruction and register tables: no overlap, everything fits, words survive the round trip."""

import random

import pytest

from hw.common.config import CONFIGS
from hw.common.isa import BY_OPCODE, ENGINES, INSTRUCTIONS, Cause, OutputMode, instructions_of, pack, row_lines, rows_limit, unpack
from hw.common.registers import REGISTERS, SPACE_BYTES


@pytest.mark.parametrize("instruction", INSTRUCTIONS.values(), ids=str)
def test_fields_are_disjoint_and_fit(instruction):
    covered = 0
    for field in instruction.all_fields:
        mask = (1 << field.width) - 1 << field.offset
        assert not covered & mask, field.name
        covered |= mask
    bits = ENGINES[instruction.engine].bits
    assert covered < 1 << bits
    assert covered ^ instruction.reserved_mask == (1 << bits) - 1
    assert BY_OPCODE[instruction.engine, instruction.opcode] is instruction


def test_opcodes_differ_across_engines():
    assert len({item.opcode for item in INSTRUCTIONS.values()}) == len(INSTRUCTIONS)
    assert 0 not in {item.opcode for item in INSTRUCTIONS.values()}, "a zeroed word must be illegal"
    assert sum(len(list(instructions_of(engine))) for engine in ENGINES) == len(INSTRUCTIONS)


@pytest.mark.parametrize("instruction", INSTRUCTIONS.values(), ids=str)
@pytest.mark.parametrize("extreme", ["low", "high", "random"])
def test_round_trip(instruction, extreme):
    rng = random.Random(1)
    values = {}
    for field in instruction.all_fields:
        if field.name != "opcode":
            values[field.name] = rng.randint(field.low, field.high) if extreme == "random" else getattr(field, extreme)
    word = pack(instruction, values)
    assert unpack(instruction, word) == values | {"opcode": instruction.opcode}
    assert not word & instruction.reserved_mask


def test_pack_names_what_is_wrong():
    load = INSTRUCTIONS["Load"]
    with pytest.raises(ValueError, match=r"Load\.size0 must be 0 to 65535, not 65536"):
        pack(load, {"size0": 65536})
    with pytest.raises(ValueError, match=r"Load\.stride1 must be -32768 to 32767, not 32768"):
        pack(load, {"stride1": 32768})
    with pytest.raises(ValueError, match="Load has no field 'sise0'"):
        pack(load, {"sise0": 1})
    with pytest.raises(ValueError, match="opcode follows"):
        pack(load, {"opcode": 1})
    with pytest.raises(KeyError, match="no field 'x'"):
        load.field("x")


def test_row_lines_and_limits():
    config = CONFIGS["small"]
    evict = INSTRUCTIONS["Evict"]
    assert [row_lines(evict, {"mode": mode}) for mode in OutputMode] == [1, 4, 2, 4, 4]
    assert [row_lines(INSTRUCTIONS["MultiplyMoving"], {"dtype": code}) for code in range(2)] == [1, 2]
    assert row_lines(INSTRUCTIONS["LoadChannel"], {}) == 8
    assert rows_limit(INSTRUCTIONS["LoadStationary"], config) == config.rows
    assert rows_limit(INSTRUCTIONS["MultiplyMoving"], config) == rows_limit(evict, config) == config.psum_rows
    assert [cause.value for cause in Cause] == list(range(len(Cause)))


def test_registers_are_disjoint_words_inside_the_space():
    addresses = [register.address for register in REGISTERS.values()]
    assert len(set(addresses)) == len(addresses)
    assert all(address % 4 == 0 and 0 <= address < SPACE_BYTES for address in addresses)
    for register in REGISTERS.values():
        covered = 0
        for bits in register.bits:
            mask = (1 << bits.width) - 1 << bits.offset
            assert not covered & mask and mask < 1 << 32, (register.name, bits.name)
            covered |= mask
