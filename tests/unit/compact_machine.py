"""The firmware on the model of its processor, with a datapath of numpy: a chip that speaks as the golden one does, made to find errors quickly."""

import numpy as np

from hw.common.isa import OutputMode
from hw.common.registers import REGISTERS, Access
from hw.compact import memory_map as where
from hw.compact.bus import Command, Parameter
from hw.compact.encoding import Condition, Control, Input, Output
from hw.compact.program import program
from sim.golden.execute import Memory
from sim.golden.output import output_rows
from sim.golden.processor import CYCLES, ProcessorModel
from sim.golden.tile import accumulate, matmul

_STEPS_LIMIT = 20_000_000


def _signed(value):
    return value - (1 << 32) if value >> 31 else value


class DatapathModel:
    """Commands of `DatapathBus`, each done at once; `hang` leaves the next transfer unanswered for ever."""

    def __init__(self, config, dram, rng):
        self.config, self.dram = config, dram
        self.sbuf = rng.integers(0, 256, (config.sbuf_lines, config.line_bytes), np.uint8)
        self.psum = rng.integers(0, 1 << 32, (config.psum_banks * config.psum_rows, config.cols), np.uint32)
        self.parameters = dict.fromkeys(Parameter, 0)
        self.error, self.busy, self.hang, self.fetched = False, False, False, []
        self.error_address = 0
        self.stationary = np.zeros((2, config.rows, config.cols), np.int8)
        self.channel = np.zeros(8 * config.cols, np.uint8)
        self.commands = []

    def write(self, index, data):
        parameter = Parameter(index)
        assert not self.busy, parameter
        self.parameters[parameter] = data
        if parameter is Parameter.COMMAND:
            self.error = False
            command = Command(data)
            self.commands.append(command)
            assert 1 <= self.parameters[Parameter.COUNT] < 1 << 16, command
            if self.hang and command in (Command.LOAD, Command.STORE, Command.FETCH):
                self.busy = True
            else:
                getattr(self, f"_{command.name.lower()}")()

    def _walk(self, which, stride):
        """Addresses of the steps; the parameter is left behind the last."""
        first, step = self.parameters[which], _signed(self.parameters[stride])
        count = self.parameters[Parameter.COUNT]
        self.parameters[which] = (first + count * step) % (1 << 32)
        return [first + number * step for number in range(count)]

    def _lines(self):
        lines = [line % (1 << 32) for line in self._walk(Parameter.SBUF, Parameter.SBUF_STRIDE)]
        assert max(lines) < self.config.sbuf_lines
        return lines

    def _copy(self, size):
        """DRAM addresses up to the first that errs."""
        for address in self._walk(Parameter.DRAM, Parameter.DRAM_STRIDE):
            assert 0 <= address < 1 << self.config.axi_address_width and address % size == 0
            if self.dram.bad(address, size):
                self.error, self.error_address = True, address
                return
            yield address

    def _load(self):
        size = self.config.line_bytes
        for address, line in zip(self._copy(size), self._lines(), strict=False):
            self.sbuf[line] = self.dram.data[address : address + size]

    def _store(self):
        size = self.config.line_bytes
        for address, line in zip(self._copy(size), self._lines(), strict=False):
            self.dram.data[address : address + size] = self.sbuf[line]

    def _fetch(self):
        self.fetched += [int(self.dram.data[address : address + 4].view("<u4")[0]) for address in self._copy(4)]

    def _load_stationary(self):
        for line in self._lines():
            self.stationary[1, self.parameters[Parameter.ROW]] = self.sbuf[line].view(np.int8)
            self.parameters[Parameter.ROW] += 1

    def _rows(self):
        first, count = self.parameters[Parameter.PSUM], self.parameters[Parameter.COUNT]
        assert first + count <= len(self.psum)
        self.parameters[Parameter.PSUM] += count
        return slice(first, first + count)

    def _multiply(self):
        flags = self.parameters[Parameter.FLAGS]
        if flags >> 1 & 1:
            self.stationary[0] = self.stationary[1]
            self.parameters[Parameter.FLAGS] &= ~2
        lanes = [lane for lane in range(self.config.rows) if flags >> 8 + lane & 1]
        result = matmul(self.sbuf[self._lines()].view(np.int8)[:, lanes], self.stationary[0][lanes], "int8")
        rows = self._rows()
        self.psum[rows] = accumulate(self.psum[rows], result, "int8") if flags & 1 else result

    def _load_channel(self):
        assert self.parameters[Parameter.COUNT] == 8 and self.parameters[Parameter.SBUF_STRIDE] == 1
        self.channel = self.sbuf[self._lines()].reshape(-1).copy()

    def _evict(self):
        flags, words = self.parameters[Parameter.FLAGS], self.channel.view("<u4").astype(np.uint32)
        bias, scale = words[: self.config.cols], words[self.config.cols :]
        rows = output_rows(self.psum[self._rows()], OutputMode(flags & 7), bias if flags >> 3 & 1 else None, bool(flags >> 4 & 1), scale)
        for line, row in zip(self._lines(), rows, strict=True):
            for part, piece in enumerate(row.reshape(-1, self.config.line_bytes)):
                self.sbuf[line + part] = piece


class CompactMachine:
    """Transport of a chip, as `GoldenChip`; a job runs to its end inside the write to CONTROL."""

    def __init__(self, config, *, dram_bytes=1 << 20, seed=0):
        self.config = config
        self.rng = np.random.default_rng(seed)
        self.dram = Memory(size=dram_bytes)
        self.datapath = DatapathModel(config, self.dram, self.rng)
        self.labels = program(config).labels
        self.reset()

    def reset(self):
        self.datapath.busy = self.datapath.error = False
        # Memories do not power up zero.
        memory = [int(value) for value in self.rng.integers(0, 1 << 32, 256)]
        self.processor = ProcessorModel(
            program=program(self.config).words, flag=self._flag, read=self._read, write=self._write, memory=memory
        )
        self.irq_status, self.control, self.doorbell, self.since, self.cycle, self.moved = 0, 0, False, 0, 0, False
        self.trace = []
        while not self.control >> Control.IDLE & 1:
            self._step()
        self.boot_steps = self.cycle // CYCLES

    def _flag(self, condition):
        return {
            Condition.BUSY: self.datapath.busy, Condition.ERROR: self.datapath.error, Condition.MOVED: self.moved,
            Condition.DOORBELL: self.doorbell,
        }[condition]  # fmt: skip

    def _read(self, which):
        return (self.cycle - self.since) & 0xFFFF if which is Input.TIME else self.datapath.error_address

    def _write(self, port, data, x):
        if port < 16:
            self.datapath.write(port, data)
            for word in self.datapath.fetched:
                self.processor.memory[self.processor.x] = word
                self.processor.x += 1
            self.datapath.fetched.clear()
        elif port == Output.CONTROL:
            self.control = data
            self.doorbell &= not data >> Control.ANSWER & 1
            self.moved &= not data >> Control.STILL & 1
            self.irq_status |= data >> Control.IRQ_DONE & 3
        else:
            self.trace.append((self.cycle, Output(port), data, x >> 4 & 3))

    def _step(self):
        assert self.cycle < CYCLES * _STEPS_LIMIT, f"no end, at {self.processor.pc}"
        self.processor.step()
        self.cycle += CYCLES

    # The transport -------------------------------------------------------------------------------------------

    @property
    def sbuf(self):
        return self.datapath.sbuf

    @property
    def psum(self):
        return self.datapath.psum.reshape(self.config.psum_banks, self.config.psum_rows, self.config.cols)

    def poison(self, address, size):
        self.dram.poison(address, size)

    def write_memory(self, address, data):
        raw = (
            np.frombuffer(data, np.uint8) if isinstance(data, (bytes, bytearray)) else np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        )
        self.dram.data[address : address + len(raw)] = raw

    def read_memory(self, address, size):
        return self.dram.data[address : address + size].copy()

    def read_register(self, address):
        word = address // 4
        if address == REGISTERS["IRQ_STATUS"].address:
            return self.irq_status
        return 0 if word >= where.REGISTER_WORDS or where.is_hole(word) else self.processor.memory[word]

    def write_register(self, address, value):
        register = next((item for item in REGISTERS.values() if item.address == address), None)
        if register is None or register.access is Access.RO:
            return
        if register.access is Access.RW:
            self.processor.memory[address // 4] = value
        elif register.access is Access.W1C:
            self.irq_status &= ~value
        elif value & 1 and self.control >> Control.IDLE & 1:
            self.doorbell, self.since = True, self.cycle
            while self.doorbell or not self.control >> Control.IDLE & 1:
                self._step()
                if self.processor.pc == self.labels["stuck"]:
                    return

    def wait_interrupt(self, limit_cycles):
        assert self.read_register(REGISTERS["IRQ_ENABLE"].address) & self.irq_status
