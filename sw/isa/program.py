"""One job for a chip: instruction queues, named DRAM buffers, and the file both are kept in.

File: 8 bytes magic, then little-endian 32-bit version, config hash and length of the header, the header (JSON), the payload (queues, then
the contents of the buffers that have any), and the SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES

MAGIC = b"MESHPROG"
VERSION = 1
_HEAD = struct.Struct("<8sIII")
_DIGEST = hashlib.sha256().digest_size


class ProgramError(ValueError):
    """A program that is damaged, does not fit, or belongs to another configuration."""


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """A named range of DRAM; `data` (if any) is written there when the program is loaded."""

    address: int
    size: int
    data: bytes | None = None

    def __post_init__(self) -> None:
        if self.address < 0 or self.size < 0:
            raise ProgramError(f"buffer address and size must not be negative, not {self.address} and {self.size}")
        if self.data is not None and len(self.data) != self.size:
            raise ProgramError(f"buffer data must have size {self.size}, not {len(self.data)} bytes")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One job.

    Parameters
    ----------
    config_hash : int
        `ChipConfig.hash` of the only configuration that may run it.
    queues : mapping of engine name to instruction words
        Missing engines have nothing to do.
    buffers : mapping of name to Buffer
    queue_base : int
        DRAM address at which the queues are placed, in engine order; a multiple of 64.
    note : str
        What it is, for reports.

    Raises
    ------
    ProgramError
        if an engine is unknown, a word does not fit its engine, buffers overlap each other or the queues.
    """

    config_hash: int
    queues: Mapping[str, Sequence[int]]
    buffers: Mapping[str, Buffer] = field(default_factory=dict)
    queue_base: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        for engine, words in self.queues.items():
            if engine not in ENGINES:
                raise ProgramError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
            bits = ENGINES[engine].bits
            for index, word in enumerate(words):
                if not 0 <= word < 1 << bits:
                    raise ProgramError(f"word {index} of {engine} must fit {bits} bits, not {word:#x}")
        object.__setattr__(self, "queues", {engine: tuple(self.queues.get(engine, ())) for engine in ENGINES})
        object.__setattr__(self, "buffers", dict(self.buffers))
        if self.queue_base < 0 or self.queue_base % 64:
            raise ProgramError(f"queue_base must be a multiple of 64, not {self.queue_base}")
        spans = [(item.address, item.address + item.size, name) for name, item in self.buffers.items()]
        spans.append((self.queue_base, self.queue_base + self.queue_bytes, "(queues)"))
        spans = sorted(span for span in spans if span[1] > span[0])
        for (_, end, name), (start, _, other) in itertools.pairwise(spans):
            if start < end:
                raise ProgramError(f"buffers must not overlap, but {other} at {start:#x} begins before {name} ends at {end:#x}")

    @property
    def queue_bytes(self) -> int:
        """Bytes of all queues."""
        return sum(ENGINES[engine].instruction_bytes * len(words) for engine, words in self.queues.items())

    @property
    def queue_addresses(self) -> dict[str, int]:
        """DRAM address of each queue. The engines with the longer instructions come first, so every base is aligned."""
        result, address = {}, self.queue_base
        for engine in sorted(ENGINES.values(), key=lambda item: -item.instruction_bytes):
            result[engine.name] = address
            address += engine.instruction_bytes * len(self.queues[engine.name])
        return result

    @property
    def dram_bytes(self) -> int:
        """Bytes of DRAM it needs from address 0 on."""
        ends = [item.address + item.size for item in self.buffers.values()]
        return max([self.queue_base + self.queue_bytes, *ends])

    def queue_data(self, engine: str) -> bytes:
        """The bytes of a queue."""
        size = ENGINES[engine].instruction_bytes
        return b"".join(word.to_bytes(size, "little") for word in self.queues[engine])

    def require(self, config: ChipConfig) -> None:
        """Raises `ProgramError` unless the program was made for `config`."""
        if self.config_hash != config.hash:
            raise ProgramError(
                f"program was compiled for config hash {self.config_hash:#010x}, but config {config.name!r} has {config.hash:#010x}: "
                "compile it again for this configuration"
            )

    # File ----------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The whole file."""
        header = {
            "note": self.note,
            "queue_base": self.queue_base,
            "queues": {engine: len(words) for engine, words in self.queues.items()},
            "buffers": {name: [item.address, item.size, item.data is not None] for name, item in self.buffers.items()},
        }
        text = json.dumps(header).encode()
        payload = b"".join(self.queue_data(engine) for engine in self.queues)
        payload += b"".join(item.data for item in self.buffers.values() if item.data is not None)
        body = _HEAD.pack(MAGIC, VERSION, self.config_hash, len(text)) + text + payload
        return body + hashlib.sha256(body).digest()

    def save(self, path: str | Path) -> None:
        """Writes the file; a file of that name is replaced whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.to_bytes())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path, *, config: ChipConfig | None = None) -> Self:
        """Reads a file; with `config`, refuses a program for another configuration."""
        program = cls.from_bytes(Path(path).read_bytes(), source=str(path))
        if config is not None:
            program.require(config)
        return program

    @classmethod
    def from_bytes(cls, raw: bytes, *, source: str = "program") -> Self:
        """The program in `raw`; `ProgramError` names `source` and what is wrong with it."""
        if len(raw) < _HEAD.size + _DIGEST or raw[: len(MAGIC)] != MAGIC:
            raise ProgramError(f"{source} is not a Meshium program file: it must begin with {MAGIC!r}, not {raw[: len(MAGIC)]!r}")
        _, version, config_hash, length = _HEAD.unpack_from(raw)
        if version != VERSION:
            raise ProgramError(f"{source} has file version {version}, this software reads {VERSION}: compile it again")
        if hashlib.sha256(raw[:-_DIGEST]).digest() != raw[-_DIGEST:]:
            raise ProgramError(f"{source} is damaged: its checksum does not match its {len(raw)} bytes; compile it again")
        header = json.loads(raw[_HEAD.size : _HEAD.size + length])
        offset = _HEAD.size + length
        queues = {}
        for engine, count in header["queues"].items():
            size = ENGINES[engine].instruction_bytes
            queues[engine] = [int.from_bytes(raw[offset + i * size : offset + (i + 1) * size], "little") for i in range(count)]
            offset += count * size
        buffers = {}
        for name, (address, size, has_data) in header["buffers"].items():
            buffers[name] = Buffer(address=address, size=size, data=raw[offset : offset + size] if has_data else None)
            offset += size if has_data else 0
        return cls(config_hash=config_hash, queues=queues, buffers=buffers, queue_base=header["queue_base"], note=header["note"])
