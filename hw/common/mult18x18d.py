"""The multiplier block of Lattice ECP5, MULT18X18D, with its own registers.

Source: Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage Guide": input registers A and B each with a clock enable, a pipeline register behind the
partial products, an output register. Parameters and ports are spelt as in Project Trellis and Yosys (`ecp5/cells_bb.v`).
"""

from amaranth.hdl import C, Cat, ClockSignal, Instance, Module, Signal, Value, signed

#: Bits of the primitive's operands, which are signed, and of its product.
WIDTH, PRODUCT_WIDTH = 18, 36


def mult18x18d(m: Module, name: str, a: Value, b: Value, *, inputs: bool = True, b_enable: Value = C(1)) -> Signal:
    """The product of `a` and `b` from one MULT18X18D, in domain "sync". Its registers are not reset.

    Latency: two cycles, one without the input registers. Throughput: a product a cycle.

    Parameters
    ----------
    m : Module
        Gets the block.
    name : str
        Of the submodule; `<name>_product` is that of the product.
    a, b : Value
        Of up to 18 bits, signed or, with at most 17, unsigned.
    inputs : bool
        Whether operands go through the block's input registers. The output register is always there.
    b_enable : Value
        Clock enable of B's input register, of one bit.

    Raises
    ------
    ValueError
        if an operand is wider.
    """
    clock = "CLK0" if inputs else "NONE"
    product = Signal(signed(PRODUCT_WIDTH), name=f"{name}_product")
    m.submodules[name] = Instance(
        "MULT18X18D",
        p_REG_INPUTA_CLK=clock, p_REG_INPUTA_CE="CE0", p_REG_INPUTB_CLK=clock, p_REG_INPUTB_CE="CE1", p_REG_INPUTC_CLK="NONE",
        p_REG_PIPELINE_CLK="NONE", p_REG_PIPELINE_CE="CE0",
        p_REG_OUTPUT_CLK="CLK0", p_REG_OUTPUT_CE="CE0",
        p_SOURCEB_MODE="B_SHIFT", p_MULT_BYPASS="DISABLED", p_RESETMODE="SYNC", p_GSR="DISABLED",
        i_SIGNEDA=C(1), i_SIGNEDB=C(1), i_SOURCEA=C(0), i_SOURCEB=C(0),
        i_CLK0=ClockSignal(), i_CE0=C(1), i_CE1=b_enable, i_RST0=C(0),
        **_bits("i_A", _extended("a", a)), **_bits("i_B", _extended("b", b)), **_bits("o_P", product),
    )  # fmt: skip
    return product


def _extended(name: str, operand: Value) -> Value:
    """An operand, as wide as the primitive's."""
    shape = operand.shape()
    widest = WIDTH if shape.signed else WIDTH - 1
    if shape.width > widest:
        raise ValueError(f"{name} must have at most {widest} bits, not {shape!r}")
    above = operand[-1] if shape.signed else C(0, 1)
    return Cat(operand, above.replicate(WIDTH - shape.width))


def _bits(prefix: str, value: Value) -> dict[str, Value]:
    """Single-bit ports `prefix`0, `prefix`1, ... of an instance."""
    return {f"{prefix}{bit}": value[bit] for bit in range(len(value))}
