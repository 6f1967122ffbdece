"""Cosim of a whole board at its pins: a UART nobody here wrote on one side, the golden board as the model on the other."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from hw.boards.top import BoardTop, Led
from hw.common.config import CONFIGS
from hw.common.registers import REGISTERS, SPACE_BYTES
from hw.debug.self_test import PATTERN, Command
from hw.host.protocol import BOARD_REGISTERS, ESCAPE, FLAG, LONGEST_BODY, MAX_WORDS, Space, Status
from sim.golden.chip import GoldenChip
from sim.golden.host_link import frame, pack_request, parse_response
from sw.compiler.gemm import compile_gemm
from sw.runtime.device import Device
from sw.runtime.layout import pack_matrix
from tb.registry import Bench
from tb.vip import config as built_config
from tb.vip.clock import PERIOD_NS
from tb.vip.host_board import DIVISOR, HostEnd, board_of, board_register, chip_register, self_test_register
from tb.vip.host_traffic import MOST_WORDS, random_octets

BENCH = Bench(
    name="board_top",
    doc="a whole board at its UART against the golden board: every space, a bad line, lost and repeated frames, resets, a product",
    top=lambda config: BoardTop(board=board_of(config)),
    configs=(CONFIGS["nano"], CONFIGS["small"]),
    ports={"leds": "leds"},
)

OCTET_NS = 10 * DIVISOR * PERIOD_NS


async def connected(dut: Any, **options: Any) -> HostEnd:
    """A host that has just been plugged in."""
    host = HostEnd(dut, board_of(built_config()), **options)
    await host.begin()
    return host


def random_words(rng: np.random.Generator, count: int) -> list[int]:
    return [int(word) for word in rng.integers(1 << 32, size=count)]


@cocotb.test()
@cocotb.parametrize(bit_ns=[78, 80, 82])
async def identity(dut: Any, bit_ns: int) -> None:
    """What a driver reads first, with a host's clock that is off either way; SCRATCH; what is not there."""
    host = await connected(dut, bit_ns=bit_ns)
    for name, register in BOARD_REGISTERS.items():
        host.request(Space.BOARD, register.address, count=1)
        if name == "SCRATCH":
            host.request(Space.BOARD, register.address, write=True, data=[0x7D7E55AA])
            host.request(Space.BOARD, register.address, count=1)
            host.request(Space.BOARD, 0, write=True, data=[0])
    await host.settle()
    for space, address in (
        (Space.BOARD, 0x38),
        (Space.BOARD, 0x80),
        (Space.BOARD, 0x300),
        (Space.CSR, SPACE_BYTES),
        (Space.MEMORY, 1 << 31),
    ):
        host.request(space, address, count=1)
    for name in ("MAGIC", "VERSION", "CONFIG_HASH", "GEOMETRY", "STATUS", "WATCHDOG"):
        host.request(*chip_register(name), count=1)
    await host.settle()
    host.scores.finish()


@cocotb.test()
async def bursts(dut: Any) -> None:
    """All spaces, longest frames, window full; the ends of every space, parts of lines, `fixed`."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    config, memory_bytes = host.board.config, host.board.memory_bytes
    for space, size in ((Space.MEMORY, memory_bytes), (Space.SBUF, config.sbuf_bytes)):
        for address in (0, size - 4 * 64):
            await host.burst(space, address, random_words(rng, 64))
            assert len(await host.burst(space, address, 64)) == 64
        host.request(space, size - 8, write=True, data=[1, 2, 3])
        host.request(space, size - 8, count=3)
        host.request(space, 64, write=True, fixed=True, data=random_words(rng, 5))
        host.request(space, 64, fixed=True, count=7)
        for _ in range(6):
            start = 4 * int(rng.integers(50))
            host.request(space, start, write=True, data=random_words(rng, int(rng.integers(1, 7))))
            host.request(space, start, count=int(rng.integers(1, 12)))
            await host.settle(left=2)
        await host.settle()
    bases = [REGISTERS[name].address for name in ("DRAM_BASE_LO", "DRAM_BASE_HI", "DRAM_SIZE_LO")]
    host.request(Space.CSR, bases[0], write=True, data=[64, 0, 4096])
    host.request(Space.CSR, bases[0], count=3)
    await host.settle()
    host.scores.finish()


@cocotb.test()
async def bad_line(dut: Any) -> None:
    """Frames lost, doubled, cut, garbled, of the wrong length, garbage between them: every response, and memory in the end."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    # A burst may begin in the last of the 512 bytes and run over them: those are written too, for SBUF is anything after power-up. Whole lines, as the
    # last word of a line writes it.
    words = 128 + 16
    assert words >= 128 + MOST_WORDS and not 4 * words % built_config().line_bytes
    for space in (Space.MEMORY, Space.SBUF):
        await host.burst(space, 0, random_words(rng, words))
    octets = random_octets(rng, 40, space_bytes={Space.BOARD: 0x40, Space.CSR: 0x20, Space.MEMORY: 512, Space.SBUF: 512})
    for first in range(0, len(octets), 8):
        host.send(octets[first : first + 8])
        await host.settle(left=3)
    await host.settle()
    host.request(Space.BOARD, 0, count=1, restart=True, sequence=0)
    for space in (Space.MEMORY, Space.SBUF):
        await host.burst(space, 0, words)
    for name in ("BAD_FRAMES", "DROPPED_FRAMES", "LINE_ERRORS"):
        await host.read(board_register(name))
    host.scores.finish()


@cocotb.test()
async def host_dies(dut: Any) -> None:
    """In the middle of a frame, behind an escape, in the middle of an octet, in a break: the next host's first frame is answered."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    body = pack_request(sequence=9, space=Space.MEMORY, address=0, write=True, data=random_words(rng, 3))
    for end in (frame(body)[:9], bytes((FLAG, 1, ESCAPE)), bytes(LONGEST_BODY + 40)):
        host.send(end)
        await host.settle()
        host.request(Space.BOARD, 0, count=2, restart=True, sequence=int(rng.integers(256)))
        await host.settle()
    # An octet that ends in a break: no stop bit.
    dut.rx.value = 0
    await Timer(15 * DIVISOR * PERIOD_NS, "ns")
    dut.rx.value = 1
    host.golden.lose_octet()
    host.expect(None)
    await Timer(2 * OCTET_NS, "ns")
    host.request(Space.BOARD, BOARD_REGISTERS["BAD_FRAMES"].address, count=3, restart=True, sequence=3)
    await host.settle()
    assert dut.leds.value[int(Led.LINK_ERROR)] == 1, "the LED must tell of errors of the link"
    host.scores.finish()


@cocotb.test()
async def lost_responses(dut: Any) -> None:
    """A write is done once however often it comes; what stands before and behind the window is out of order."""
    host = await connected(dut)
    place = 0x40
    host.request(Space.MEMORY, place, write=True, data=[1, 2])
    host.request(Space.MEMORY, place, write=True, data=[3, 4])
    for sequence in (0, 1, 0):
        host.send(frame(pack_request(sequence=sequence, space=Space.MEMORY, address=place, write=True, data=[sequence, sequence])))
    host.request(Space.MEMORY, place, count=2)
    await host.settle()
    assert parse_response(host.responses[-1]).words == (3, 4), "a repeated write must not be done again"
    for sequence in (4, 100, 188, 194, 195):
        host.send(frame(pack_request(sequence=sequence, space=Space.MEMORY, address=place, count=1)))
    await host.settle()
    wanted = [Status.OUT_OF_ORDER] * 3 + [Status.OUT_OF_ORDER, Status.OK]
    assert [parse_response(body).status for body in host.responses[-5:]] == wanted
    host.scores.finish()


@cocotb.test()
async def overrun(dut: Any) -> None:
    """More than the buffer holds: what does not fit is dropped whole and counted, everything else answered, and it goes on."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    await host.burst(Space.MEMORY, 0, random_words(rng, MAX_WORDS))
    for _ in range(5):
        host.request(Space.MEMORY, 0, count=MAX_WORDS)
    # The reads' answers keep the bridge busy: two of these writes fit the buffer behind them, the third does not.
    for _ in range(2):
        host.request(Space.MEMORY, 4 * MAX_WORDS, write=True, data=random_words(rng, MAX_WORDS))
    lost = pack_request(sequence=host.sequence, space=Space.MEMORY, address=0, write=True, data=[0] * MAX_WORDS)
    host.send_unanswered(frame(lost))
    host.golden.drop()
    host.sequence += 1
    await host.settle()
    host.request(Space.MEMORY, 0, count=4)
    await host.settle()
    assert parse_response(host.responses[-1]).status is Status.OUT_OF_ORDER
    host.sequence -= 2
    host.send(frame(lost))
    host.sequence += 1
    assert await host.burst(Space.MEMORY, 0, MAX_WORDS) == [0] * MAX_WORDS
    assert await host.read(board_register("DROPPED_FRAMES")) == 1
    host.scores.finish()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Both directions without a gap: frames back to back, as many as fit on their way."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    words = random_words(rng, 4 * MAX_WORDS)
    began = cocotb.utils.get_sim_time("ns")
    sent = await _octets_sent(host, Space.MEMORY, words)
    took = (cocotb.utils.get_sim_time("ns") - began) / OCTET_NS
    # Behind the last octet come one response and what the bridge takes for a frame.
    assert took < sent + 30, f"{sent} octets must take their own time on the line, not {took:.0f} octet times"
    received = len(host.octets_in)
    for _ in range(4):
        host.request(Space.MEMORY, 0, count=MAX_WORDS)
    await host.settle()
    times = [time for time, _ in host.octets_in[received:]]
    assert times[-1] - times[0] < (len(times) + 2) * OCTET_NS, f"{len(times)} octets must come without a gap"
    host.scores.finish()


async def _octets_sent(host: HostEnd, space: Space, words: list[int]) -> int:
    """Writes words with the window full; how many octets that took."""
    count = 0
    for first in range(0, len(words), MAX_WORDS):
        body = pack_request(sequence=host.sequence, space=space, address=4 * first, write=True, data=words[first : first + MAX_WORDS])
        host.sequence += 1
        host.send(frame(body))
        count += len(frame(body))
        await host.settle(left=2) if first else None
    await host.settle()
    return count


@cocotb.test()
async def resets(dut: Any) -> None:
    """The reset pin in the middle of a frame and of a response: number 0 is expected and answered, memory is as it was."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    for _ in range(4):
        words = random_words(rng, 8)
        await host.burst(Space.MEMORY, 64, words)
        host.send_unanswered(frame(pack_request(sequence=host.sequence, space=Space.MEMORY, address=64, count=8)))
        host.send_unanswered(frame(pack_request(sequence=host.sequence + 1, space=Space.MEMORY, address=64, write=True, data=[1, 2, 3, 4])))
        # Before the last octet of the write: it must not be done.
        await Timer(int(rng.integers(50, 350)) * OCTET_NS // 10, "ns")
        await host.reset()
        host.request(Space.MEMORY, 64, count=8)
        await host.settle()
        assert parse_response(host.responses[-1]).words == tuple(words), "a reset must leave the memory alone"
        assert await host.read(board_register("BAD_FRAMES"), poll=True) <= 1
    host.scores.finish()


class Recorder(GoldenChip):
    """A chip that does not run: it keeps what a driver writes."""

    def __init__(self, host: HostEnd) -> None:
        self.writes: list[tuple[Space, int, list[int]]] = []
        super().__init__(host.board.config, dram_bytes=host.board.memory_bytes)

    def write_memory(self, address: int, data: Any) -> None:
        """Kept as words."""
        self.writes.append((Space.MEMORY, address, [int(word) for word in np.frombuffer(bytes(data), "<u4")]))

    def write_register(self, address: int, value: int) -> None:
        """Kept."""
        self.writes.append((Space.CSR, address, [value]))


async def prepare(host: HostEnd, m: int, k: int, n: int) -> Any:
    """Puts a product of random matrices on the board, everything but the doorbell; the compiled program."""
    rng, config = np.random.default_rng(cocotb.RANDOM_SEED), host.board.config
    gemm = compile_gemm(m=m, k=k, n=n, dtype="int8", config=config, source="dram", dram_bytes=host.board.memory_bytes)
    a, b = rng.integers(-128, 128, (m, k), dtype=np.int8), rng.integers(-128, 128, (k, n), dtype=np.int8)
    recorder = Recorder(host)
    Device(recorder).load(gemm.program, {"a": pack_matrix(a, config), "b": pack_matrix(b, config)})
    for space, address, words in recorder.writes:
        await host.burst(space, address, words)
    await host.write(chip_register("IRQ_ENABLE"), 1)
    return gemm


@cocotb.test()
async def product(dut: Any) -> None:
    """A product, all of it over the link: memory and registers in the end, and the interrupt on its way."""
    host = await connected(dut)
    cols = host.board.config.cols
    gemm = await prepare(host, cols + 1, cols + 2, 2 * cols)
    await host.write(chip_register("CONTROL"), 1)
    await host.until(board_register("STATUS"), lambda value: value == 1)
    assert dut.leds.value[int(Led.IRQ)] == 1
    for name in ("STATUS", "ERROR_ENGINE", "LOAD_RETIRED", "TENSOR_RETIRED", "STORE_RETIRED", "TENSOR_ROWS", "TENSOR_MACS_LO"):
        await host.read(chip_register(name))
    buffer = gemm.program.buffers["c"]
    assert len(await host.burst(Space.MEMORY, buffer.address, buffer.size // 4)) == buffer.size // 4
    await host.write(chip_register("IRQ_STATUS"), 3)
    assert await host.read(board_register("STATUS")) == 0
    host.scores.finish()


@cocotb.test()
async def self_test(dut: Any) -> None:
    """Fill, signature and march over some lines, each to its end: contents, signatures and results; the host reads SBUF at the same time."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = await connected(dut)
    words, lines = host.board.config.line_bytes // 4, 40
    pattern = random_words(rng, words)
    for number, values in ((1, [3]), (2, [3 + lines - 1]), (PATTERN, pattern)):
        await host.burst(*self_test_register(number), values)
    for command in (Command.FILL, Command.SIGNATURE, Command.MARCH):
        await host.write(self_test_register(0), command)
        # Meanwhile the host reads lines nobody has written.
        host.request(Space.SBUF, 4096, count=MAX_WORDS, poll=True)
        await host.until(self_test_register(0), lambda value: not value & 1)
        await host.burst(*self_test_register(PATTERN), words)
        # What a failing read was is only defined if there was one.
        assert not await host.read(self_test_register(0), poll=True) & 2, "no read must fail"
        assert not await host.read(self_test_register(1), poll=True) >> 20, "no failures must be counted"
        await host.burst(Space.SBUF, 3 * 4 * words, words * lines)
    host.scores.finish()


@cocotb.test()
async def reset_register(dut: Any) -> None:
    """RESET in the middle of a job and of a march: the chip is as after power-up, memory and link stay, the job runs to its end afterwards."""
    host = await connected(dut)
    cols = host.board.config.cols
    await prepare(host, cols, cols, cols)
    await host.write(self_test_register(2), host.board.config.sbuf_lines - 1)
    # All in one go: the march has no time to end, and in its way the job has not either.
    host.request(*self_test_register(0), write=True, data=[Command.MARCH])
    host.request(*chip_register("CONTROL"), write=True, data=[1])
    host.request(*board_register("RESET"), write=True, data=[1])
    await host.settle()
    for name in ("STATUS", "IRQ_ENABLE", "LOAD_QUEUE_COUNT", "WATCHDOG"):
        await host.read(chip_register(name))
    assert not await host.read(self_test_register(0), poll=True) & 1, "the self-test must be idle"
    assert await host.read(board_register("FEATURES")) & 1
    await prepare(host, cols, cols, cols)
    await host.write(chip_register("CONTROL"), 1)
    await host.until(board_register("STATUS"), lambda value: value == 1)
    assert await host.read(chip_register("STATUS")) & 0b111 == 0b010
    host.scores.finish()
