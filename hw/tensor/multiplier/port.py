"""What every multiplier of a processing element looks like, and how many register stages each family's can have."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Bits of an operand and of a product.
OPERAND_BITS, PRODUCT_BITS = 8, 16


class MultiplierPort(wiring.Signature):
    """One int8 multiplier with its stationary operand, seen from the processing element.

    `product` is `moving` times the stationary operand, both signed, `multiplier_stages` cycles later. The stationary operand is
    `background` as it is in a cycle with `swap`, for that cycle's `moving` and all after it. Nothing is reset; nothing stalls.

    Members
    -------
    moving : Out(8)
    background : Out(8)
    swap : Out(1)
    product : In(signed(16))
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "moving": Out(unsigned(OPERAND_BITS)),
                "background": Out(unsigned(OPERAND_BITS)),
                "swap": Out(1),
                "product": In(signed(PRODUCT_BITS)),
            }
        )
