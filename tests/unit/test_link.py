"""The link to a board: every word once and in order over lines that lose, damage, double and delay octets, and errors in words."""

import random

import numpy as np
import pytest

from hw.host.protocol import BOARD_REGISTERS, MAX_WORDS, RECEIVE_BUFFER, Space, Status
from sim.golden.host_link import Response, frame, pack_response
from sw.runtime.errors import AccessError, DeviceError, LinkError
from sw.runtime.link import Link
from sw.runtime.link_window import ANSWERS_IN_FLIGHT, GIVE_UP_SECONDS

from .link_bench import BAUD, LinkBench

SCRATCH = BOARD_REGISTERS["SCRATCH"].address


@pytest.mark.parametrize("count", [0, 1, 2, MAX_WORDS - 1, MAX_WORDS, MAX_WORDS + 1, 3 * MAX_WORDS, 1000])
def test_bursts_of_any_length(count: int) -> None:
    bench = LinkBench()
    words = np.random.default_rng(count).integers(0, 2**32, count, dtype=np.uint32)
    before = bench.link.counters.requests
    bench.link.write(Space.MEMORY, 400, words)
    found = bench.link.read(Space.MEMORY, 400, count)
    assert found.dtype == np.uint32 and np.array_equal(found, words)
    assert bench.memory.words[100 : 100 + count] == words.tolist() and sum(bench.memory.words) == int(words.sum(dtype=np.uint64))
    assert bench.link.counters.requests - before == 2 * -(-count // MAX_WORDS) and bench.link.counters.retries == 0


def test_fixed_addresses_and_registers() -> None:
    bench = LinkBench()
    bench.link.write(Space.MEMORY, 8, range(1, 130), fixed=True)
    assert bench.memory.words[:4] == [0, 0, 129, 0] and bench.memory.written[2] == 129
    assert bench.link.read(Space.MEMORY, 8, 70, fixed=True).tolist() == [129] * 70
    bench.link.write_board("SCRATCH", 0xFFFFFFFF)
    assert bench.link.board("SCRATCH") == 0xFFFFFFFF


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("rates", "late"),
    [((0.001, 0, 0), 0), ((0, 0.001, 0), 0), ((0, 0, 0.001), 0), ((0, 0, 0), 0.3), ((4e-4, 4e-4, 4e-4), 0.1)],
    ids=["lost", "damaged", "doubled", "late", "all"],
)
def test_every_word_once_over_a_bad_line(rates: tuple[float, float, float], late: float, seed: int) -> None:
    bench = LinkBench(seed=seed, rates=rates, late=late)
    rng = random.Random(seed)
    for _ in range(12):
        first, count = rng.randrange(2000), rng.randrange(1, 600)
        words = [rng.getrandbits(32) for _ in range(count)]
        before = list(bench.memory.written)
        bench.link.write(Space.MEMORY, 4 * first, words)
        happened = [after - earlier for after, earlier in zip(bench.memory.written, before, strict=True)]
        assert happened == [int(first <= at < first + count) for at in range(4000)]
        assert bench.link.read(Space.MEMORY, 4 * first, count).tolist() == words
    # A line that is only late may be thought to have lost something.
    assert bench.link.counters.retries or not any(rates), bench.link.counters


def test_the_window_is_kept_full_and_never_overrun() -> None:
    bench = LinkBench()
    bench.link.write(Space.MEMORY, 0, range(2000))
    assert 2 * (4 * MAX_WORDS) < bench.line.most_in_flight <= RECEIVE_BUFFER
    start = bench.line.now
    bench.link.write(Space.MEMORY, 0, range(2000))
    # The line's time for the octets and no more: nothing waits for a pause.
    assert bench.line.now - start < 1.2 * 10 * 4 * 2000 / BAUD
    bench.line.most_in_flight = 0
    bench.link.read(Space.MEMORY, 0, 4000)
    assert 8 * 8 < bench.line.most_in_flight <= RECEIVE_BUFFER


def test_answers_on_their_way_are_bounded() -> None:
    bench = LinkBench()
    bench.link.read(Space.MEMORY, 0, 4000)
    # Escapes may double the octets of a frame.
    assert 2000 < bench.line.most_answers < 2 * (ANSWERS_IN_FLIGHT + 4 * MAX_WORDS)


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("how", ["spoil", "swallow"])
@pytest.mark.parametrize("place", [0, 1, 7])
def test_what_is_lost_is_sent_again_at_once(kind: str, how: str, place: int) -> None:
    """One frame of many: what follows tells that it is lost, so nothing waits for time to pass, and no more than a window goes again."""
    bench = LinkBench()
    getattr(bench.line, how).add((bench.line.frames if how == "spoil" else bench.line.answers) + place)
    bench.memory.words[:] = range(4000)
    if kind == "write":
        bench.link.write(Space.MEMORY, 0, range(1, 1001))
        assert bench.memory.words[:1001] == [*range(1, 1001), 1000] and max(bench.memory.written) == 1
    else:
        assert bench.link.read(Space.MEMORY, 0, 1000).tolist() == list(range(1000))
    counters = bench.link.counters
    in_flight = 2 if kind == "write" else ANSWERS_IN_FLIGHT // (4 * MAX_WORDS) + 1
    assert counters.timeouts == 0 and 1 <= counters.retries <= (in_flight if how == "spoil" else 1), counters
    assert counters.bad_frames == (how == "spoil")


def test_nothing_is_sent_after_a_refusal() -> None:
    bench = LinkBench()
    before = bench.link.counters.requests
    with pytest.raises(AccessError, match="a write of 60 words at MEMORY 0x3e80 with BUS_ERROR"):
        bench.link.write(Space.MEMORY, 16000, range(3000))
    assert bench.link.counters.requests - before <= 2


def test_a_smaller_buffer_is_respected() -> None:
    bench = LinkBench(connect=False)
    bench.board.words[BOARD_REGISTERS["RECEIVE_BUFFER"].address // 4] = 300
    bench.link.connect()
    bench.link.write(Space.MEMORY, 0, range(600))
    assert 247 < bench.line.most_in_flight <= 300


def test_numbers_wrap_and_a_second_host_takes_over() -> None:
    bench = LinkBench()
    for value in range(600):
        bench.link.write(Space.MEMORY, 4 * (value % 7), [value])
    # The first host dies in the middle of a frame, with an answer on its way.
    bench.line.write(frame(bytes(20))[:9])
    second = Link(bench.line, name="line", baud=BAUD, clock=lambda: bench.line.now)
    second.connect()
    second.write(Space.MEMORY, 0, range(100))
    assert second.read(Space.MEMORY, 0, 100).tolist() == list(range(100))


def test_refused_accesses_say_which() -> None:
    bench = LinkBench()
    with pytest.raises(
        AccessError, match=r"ended a write of 40 words at MEMORY 0x3e80 with BUS_ERROR: there is nothing at that address"
    ) as caught:
        bench.link.write(Space.MEMORY, 4 * 3940, range(100))
    assert caught.value.status is Status.BUS_ERROR and bench.memory.words[3999] == 59
    with pytest.raises(AccessError, match=r"ended a read of 1 word at MEMORY 0x3e80 with BUS_ERROR"):
        bench.link.read(Space.MEMORY, 16000, 1)
    assert bench.link.read(Space.MEMORY, 4 * 3999, 1).tolist() == [59]
    bench.memory.silent = True
    with pytest.raises(
        AccessError, match="with TIMEOUT: nothing answered on the board, and this space stays silent until the board is reset"
    ):
        bench.link.read(Space.MEMORY, 0, 1)
    assert bench.link.board("SCRATCH") == 0


@pytest.mark.parametrize("address", [-4, 2, 1 << 32, (1 << 32) - 4])
def test_addresses_are_checked(address: int) -> None:
    bench = LinkBench()
    with pytest.raises(ValueError, match="address must be a multiple of 4 with all 2 words below 2"):
        bench.link.read(Space.MEMORY, address, 2)
    with pytest.raises(ValueError, match="address must be a multiple of 4 with all 2 words below 2"):
        bench.link.write(Space.MEMORY, address, [1, 2])


@pytest.mark.parametrize("word", [-1, 1 << 32])
def test_words_are_checked(word: int) -> None:
    bench = LinkBench()
    with pytest.raises(ValueError, match=rf"words must be 0 to 2\*\*32 - 1, not {word}"):
        bench.link.write(Space.MEMORY, 0, [0, word])
    assert sum(bench.memory.written) == 0
    with pytest.raises(ValueError, match="baud must be at least 1, not 0"):
        Link(bench.line, name="line", baud=0)


def test_silence_is_given_up_in_words() -> None:
    bench = LinkBench(connect=False)
    bench.line.mute = True
    with pytest.raises(
        LinkError, match=r"no answer from line to a read of 1 word at BOARD 0x0, sent \d+ times \(1\d octets, frame \d+\)"
    ) as caught:
        bench.link.connect()
    assert str(caught.value).endswith("heard nothing") and 2 <= bench.line.now < 5


def test_noise_is_shown() -> None:
    bench = LinkBench(connect=False)
    bench.line.mute = True
    bench.line.hear(bytes(range(80, 110)) + b"\x7e")
    with pytest.raises(LinkError, match=r"heard 31 octets \(50 51 52 .* 5f \.\.\.\), in them 0 good frames and 1 damaged ones"):
        bench.link.connect()


def test_a_board_that_falls_silent_ends_in_bounded_time() -> None:
    bench = LinkBench()
    bench.line.mute = True
    start = bench.line.now
    with pytest.raises(
        LinkError, match=r"no answer from line to a write of 60 words at MEMORY 0x0, sent \d+ times .* within \d\.\d s; heard nothing"
    ):
        bench.link.write(Space.MEMORY, 0, range(1000))
    assert GIVE_UP_SECONDS <= bench.line.now - start < 2 * GIVE_UP_SECONDS + 3


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.8])
def test_a_board_that_becomes_slow_is_not_given_up(seconds: float) -> None:
    """As a simulated one on a machine that has other work: while answers come, nothing is asked again, or the second answers would be waited for."""
    bench = LinkBench()
    bench.memory.words[:256] = range(256)
    for _ in range(10):
        bench.link.read(Space.MEMORY, 0, 64)
    bench.line.pace = seconds / 264
    for _ in range(3):
        assert bench.link.read(Space.MEMORY, 0, 256).tolist() == list(range(256))
        assert bench.link.read(Space.MEMORY, 4, 1).tolist() == [1]
    # One answer may be late at first, and its window goes again.
    assert bench.link.counters.timeouts <= 4, bench.link.counters


def test_endless_noise_ends_in_bounded_time() -> None:
    bench = LinkBench()
    read = bench.line.read
    bench.line.mute = True

    def noisy(size: int = 1) -> bytes:
        bench.line.hear(b"\x7e\x01\x02\x7e")
        return read(size)

    bench.line.read = noisy  # type: ignore[method-assign]
    start = bench.line.now
    with pytest.raises(LinkError, match="0 good frames"):
        bench.link.read(Space.MEMORY, 0, 10)
    assert bench.line.now - start < 2 * GIVE_UP_SECONDS + 3


def test_an_unplugged_port_is_an_error_of_the_device() -> None:
    bench = LinkBench()
    bench.line.broken = True
    with pytest.raises(LinkError, match=r"line took no octets, while sending a read of 1 word at BOARD 0x34: .*was the board unplugged"):
        bench.link.board("SCRATCH")
    assert issubclass(LinkError, DeviceError) and issubclass(AccessError, DeviceError)


def test_a_board_that_was_reset_meanwhile_is_noticed() -> None:
    bench = LinkBench()
    bench.link.read(Space.MEMORY, 0, 100)
    # It asks for a frame that is nobody's.
    bench.line.hear(frame(pack_response(Response((bench.link._window._next + 100) % 256, Status.OUT_OF_ORDER, ()))))
    with pytest.raises(LinkError, match=r"the board on line expects frame \d+, not one of .*: it was reset or programmed meanwhile"):
        bench.link.read(Space.MEMORY, 0, 1)


def test_something_else_that_answers_is_refused() -> None:
    bench = LinkBench(connect=False)
    bench.board.words[0] = 0x12345678
    with pytest.raises(LinkError, match="MAGIC must read 0x4452424d, not 0x12345678: what answers on line is no Meshium board"):
        bench.link.connect()
