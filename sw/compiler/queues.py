"""Collects the instructions of one job: a queue an engine, semaphores by name, DRAM buffers one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES

from ..isa.assembler import operation
from ..isa.program import Buffer, Program

#: DRAM buffers begin at multiples of this: a burst never has to be cut at the start of one.
BUFFER_ALIGNMENT = 4096
#: The same in a memory of less than `ROOMY_BYTES`, where so much would be lost in gaps: the longest line there is.
PACKED_ALIGNMENT, ROOMY_BYTES = 128, 1 << 20


class CompileError(ValueError):
    """What was asked for does not fit this configuration: the message names the value, the limit and the remedy."""


class Memory:
    """DRAM of a job or of several that share it: named buffers from address 0 on.

    Parameters
    ----------
    limit : int
        Bytes there are.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._alignment = BUFFER_ALIGNMENT if limit >= ROOMY_BYTES else PACKED_ALIGNMENT
        self.buffers: dict[str, Buffer] = {}
        self.end = 0

    @property
    def next_address(self) -> int:
        """Where the next thing begins."""
        return -(-self.end // self._alignment) * self._alignment

    def add(self, name: str, size: int, data: bytes | None = None) -> int:
        """Reserves `size` bytes called `name`; their address.

        Raises
        ------
        CompileError
            if they do not fit.
        """
        address = self.next_address
        if address + size > self._limit:
            raise CompileError(
                f"{name} needs DRAM up to byte {address + size}, the limit is {self._limit}: "
                "use smaller sizes, or a device with more DRAM (simulated: --dram-mib)"
            )
        self.buffers[name] = Buffer(address=address, size=size, data=data)
        self.end = address + size
        return address


class Job:
    """Instructions of one job in the making.

    Parameters
    ----------
    config : ChipConfig
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self.config = config
        self._queues: dict[str, list[int]] = {engine: [] for engine in ENGINES}
        self._semaphores: dict[str, int] = {}

    def semaphore(self, name: str) -> int:
        """Number of the semaphore called `name`, reserved at its first use."""
        if name not in self._semaphores:
            if len(self._semaphores) == self.config.semaphores:
                raise CompileError(
                    f"the job needs more than the {self.config.semaphores} semaphores of config {self.config.name!r}: choose another"
                )
            self._semaphores[name] = len(self._semaphores)
        return self._semaphores[name]

    def emit(
        self,
        instruction: str,
        *,
        ap: Sequence[Sequence[int]] = (),
        waits: Sequence[tuple[str, int]] = (),
        posts: Sequence[tuple[str, int]] = (),
        **fields: int,
    ) -> None:
        """Appends an instruction to the queue of its engine. Waits and posts are (semaphore name, count), those of count 0 are left out."""
        slots: dict[str, tuple[int, int]] = {}
        for kind, pairs in (("wait", waits), ("post", posts)):
            used = [(self.semaphore(name), count) for name, count in pairs if count]
            if len(used) > 2:
                raise CompileError(f"{instruction} has two {kind} slots, not {len(used)}")
            slots |= {f"{kind}{index}": pair for index, pair in enumerate(used)}
        built = operation(instruction, ap=ap, **slots, **fields)
        self._queues[built.engine].append(built.word)

    def program(self, memory: Memory, *, note: str = "") -> Program:
        """The finished job; its queues lie behind the buffers of `memory`."""
        return Program(
            config_hash=self.config.hash,
            queues=self._queues,
            buffers=memory.buffers,
            queue_base=memory.next_address,
            note=note,
        )
