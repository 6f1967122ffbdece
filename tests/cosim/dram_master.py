"""The DRAM model of the harness, driven from Python pin by pin, and a master that issues bursts."""

import ctypes
import subprocess
from collections import deque
from ctypes import c_bool, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim.verilated import build, toolchain
from sim.verilated.cache import BuildCache
from sim.verilated.dram import DramModel, DramParameters

LINE = 16


class AddressPins(ctypes.Structure):
    """Layout of `AddressPins` in dram.h."""

    _fields_ = (
        [("address", c_uint64)]
        + [(name, c_uint32) for name in ("id", "length", "size", "burst", "lock", "cache", "prot", "qos")]
        + [("valid", c_bool)]
    )


class MasterPins(ctypes.Structure):
    """Layout of `MasterPins` in dram.h."""

    _fields_ = [("ar", AddressPins), ("aw", AddressPins)]
    _fields_ += [(name, c_bool) for name in ("w_valid", "w_last", "b_ready", "r_ready")] + [
        ("w_data", c_uint8 * 128),
        ("w_strobe", c_uint8 * 16),
    ]


class SlavePins(ctypes.Structure):
    """Layout of `SlavePins` in dram.h."""

    _fields_ = [(name, c_bool) for name in ("ar_ready", "aw_ready", "w_ready", "b_valid", "r_valid", "r_last")]
    _fields_ += [(name, c_uint32) for name in ("b_id", "b_resp", "r_id", "r_resp")] + [("r_data", c_uint8 * 128)]


def _library() -> ctypes.CDLL:
    source = Path(__file__).with_name("dram_pins.cpp")
    parts = {"source": source.read_text(), "header": (build.SOURCES / "dram.h").read_text(), "compiler": toolchain.compiler_version()}

    def compile_it(folder: Path) -> None:
        command = [
            toolchain.compiler(),
            "-std=gnu++17",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            *build.ISOLATION,
            "-I",
            str(build.SOURCES),
        ]
        subprocess.run([*command, str(source), "-o", str(folder / "dram.so")], check=True)

    library = ctypes.CDLL(str(BuildCache().get(parts, compile_it, label="DRAM model") / "dram.so"))
    library.dram_new.restype, library.dram_new.argtypes = c_void_p, [ctypes.POINTER(DramParameters), c_void_p]
    library.dram_delete.restype, library.dram_delete.argtypes = None, [c_void_p]
    library.dram_poison.restype, library.dram_poison.argtypes = None, [c_void_p, c_uint64, c_uint64]
    library.dram_step.restype = None
    library.dram_step.argtypes = [c_void_p, ctypes.POINTER(MasterPins), ctypes.POINTER(SlavePins), ctypes.c_int, c_uint64]
    library.dram_violation.restype, library.dram_violation.argtypes = ctypes.c_char_p, [c_void_p]
    library.dram_idle.restype, library.dram_idle.argtypes = ctypes.c_int, [c_void_p]
    return library


class Pins:
    """A DRAM whose pins are set and read from Python; checks that what it offers is held until it is taken."""

    def __init__(self, model: DramModel, *, dram_bytes: int = 1 << 16, seed: int = 1) -> None:
        self.library = _library()
        self.memory = np.zeros(dram_bytes, np.uint8)
        parameters = model.parameters(dram_bytes=dram_bytes, line_bytes=LINE, seed=seed)
        self.handle = self.library.dram_new(ctypes.byref(parameters), self.memory.ctypes.data)
        for address, count in model.poison:
            self.library.dram_poison(self.handle, address, address + count)
        self.master, self.slave = MasterPins(), SlavePins()
        self.cycle = 0

    def __enter__(self) -> "Pins":
        return self

    def __exit__(self, *exception: object) -> None:
        self.library.dram_delete(self.handle)

    def step(self, in_reset: bool = False) -> None:
        """One clock edge with the pins as they are."""
        offered = {kind: getattr(self.slave, f"{kind}_valid") and not getattr(self.master, f"{kind}_ready") for kind in "rb"}
        before = bytes(self.slave)
        self.library.dram_step(self.handle, ctypes.byref(self.master), ctypes.byref(self.slave), in_reset, self.cycle)
        after = SlavePins.from_buffer_copy(before)
        for kind, names in (("r", ("r_valid", "r_id", "r_resp", "r_last", "r_data")), ("b", ("b_valid", "b_id", "b_resp"))):
            if offered[kind] and not in_reset:
                assert all(bytes(_bytes(self.slave, name)) == bytes(_bytes(after, name)) for name in names), (
                    f"{kind} not held in cycle {self.cycle}"
                )
        self.cycle += 1

    @property
    def violation(self) -> str:
        return self.library.dram_violation(self.handle).decode()

    @property
    def idle(self) -> bool:
        return bool(self.library.dram_idle(self.handle))


def _bytes(pins: SlavePins, name: str) -> bytes:
    value = getattr(pins, name)
    return bytes(value) if isinstance(value, ctypes.Array) else int(value).to_bytes(4, "little")


def address_pins(address: int, beats: int, identity: int = 0, /, **changes: int) -> AddressPins:
    """A legal burst, unless `changes` make it something else."""
    return AddressPins(**({"address": address, "length": beats - 1, "id": identity, "size": 4, "burst": 1, "valid": True} | changes))


@dataclass
class Burst:
    """A burst, and what became of it: cycles in which address, beats (or response) were transferred, data, responses."""

    address: int
    beats: int
    identity: int = 0
    data: np.ndarray | None = None
    address_cycle: int = -1
    cycles: list[int] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)


def transfer(
    pins: Pins, reads: list[Burst], writes: list[Burst], *, rng: np.random.Generator | None = None, limit: int = 20_000
) -> list[Burst]:
    """Carries out bursts, reads and writes at once; with `rng` the master stalls too. Bursts in the order of their read beats and responses."""
    asked, offered, sending = deque(reads), deque(writes), deque(writes)
    waiting_reads, waiting_writes, order, beat = [], [], [], 0
    while asked or offered or sending or waiting_reads or waiting_writes:
        assert pins.cycle < limit, "transfers did not end"
        master, slave = pins.master, pins.slave

        def go() -> bool:
            return rng is None or bool(rng.random() < 0.6)

        if not master.ar.valid and asked and go():
            master.ar = address_pins(asked[0].address, asked[0].beats, asked[0].identity)
        if not master.aw.valid and offered and go():
            master.aw = address_pins(offered[0].address, offered[0].beats, offered[0].identity)
        if not master.w_valid and sending and go():
            ctypes.memmove(master.w_data, sending[0].data[beat * LINE : (beat + 1) * LINE].tobytes(), LINE)
            master.w_strobe[0] = master.w_strobe[1] = 0xFF
            master.w_valid, master.w_last = True, beat == sending[0].beats - 1
        master.r_ready, master.b_ready = go(), go()
        taken = {name: getattr(slave, f"{name}_ready") for name in ("ar", "aw", "w")}
        if slave.r_valid and master.r_ready:
            burst = next(item for item in waiting_reads if item.identity == slave.r_id)
            burst.cycles.append(pins.cycle)
            burst.responses.append(slave.r_resp)
            part = np.frombuffer(bytes(slave.r_data)[:LINE], np.uint8)
            burst.data = part if burst.data is None else np.concatenate([burst.data, part])
            order.append(burst)
            assert slave.r_last == (len(burst.cycles) == burst.beats)
            if slave.r_last:
                waiting_reads.remove(burst)
        if slave.b_valid and master.b_ready:
            burst = next(item for item in waiting_writes if item.identity == slave.b_id)
            burst.cycles.append(pins.cycle)
            burst.responses.append(slave.b_resp)
            order.append(burst)
            waiting_writes.remove(burst)
        cycle = pins.cycle
        pins.step()
        assert not pins.violation
        if master.ar.valid and taken["ar"]:
            asked[0].address_cycle = cycle
            waiting_reads.append(asked.popleft())
            master.ar.valid = False
        if master.aw.valid and taken["aw"]:
            offered[0].address_cycle = cycle
            waiting_writes.append(offered.popleft())
            master.aw.valid = False
        if master.w_valid and taken["w"]:
            beat += 1
            if master.w_last:
                sending.popleft()
                beat = 0
            master.w_valid = False
    return order
