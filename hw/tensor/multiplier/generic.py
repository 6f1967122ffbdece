"""The multiplier that is left to synthesis: the behaviour all others are held to."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed

from .port import OPERAND_BITS, PRODUCT_BITS


def foreground(m: Module, background: Value, swap: Value, *, stages: int) -> Value:
    """The stationary operand in front of the multiplier: for a moving operand of now (one stage), else for one that a register holds back."""
    front = Signal(len(background), name="foreground", reset_less=True)
    with m.If(swap):
        m.d.sync += front.eq(background)
    return Mux(swap, background, front) if stages == 1 else front


def delayed(m: Module, value: Value, cycles: int, name: str, *, control: bool = False) -> Value:
    """`value` some cycles later. Only `control` is reset."""
    value = Value.cast(value)
    for cycle in range(cycles):
        later = Signal(Shape.cast(value.shape()), name=name if cycles == 1 else f"{name}_{cycle}", reset_less=not control)
        m.d.sync += later.eq(value)
        value = later
    return value


def generic_product(m: Module, moving: Value, stationary: Value, *, stages: int) -> Value:
    """The product of two int8 operands, `stages` cycles later."""
    product = Signal(signed(PRODUCT_BITS), name="product")
    m.d.comb += product.eq(moving[:OPERAND_BITS].as_signed() * stationary[:OPERAND_BITS].as_signed())
    return delayed(m, product, stages, "int_product")
