"""Registers over the watchdogs of a mesh: what a host reads to learn who waits for whom (docs/noc_registers.md)."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.common.noc import NOC_VERSION, NocConfig
from hw.common.noc_registers import NOC_REGISTERS, pack
from hw.common.registers import SPACE_BYTES
from hw.control.axil import AxiLite, axil_signature
from hw.control.csr import RegisterFile

from .watchdog import WatchSignature, wait_layout


class Monitor(wiring.Component):
    """AXI4-Lite subordinate with the identity of a mesh, the first error of its watchdogs and the probe.

    Latency: that of `AxiLite`; registers follow `watch` by one cycle, PROBE_DATA follows PROBE_SELECT by one, which is less than an access
    takes. Every access is answered OKAY. Reset: nothing selected, interrupt off.

    Parameters
    ----------
    config : NocConfig
        `watchdog_limit` above 0.

    Members
    -------
    axil : In(axil_signature)
    watch : In(WatchSignature)
        That of `Mesh`.
    interrupt : Out(1)
        STATUS.fired while IRQ_ENABLE.fired; high until cleared or disabled.

    Raises
    ------
    ValueError
        if `config.watchdog_limit` is 0.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        if not config.watchdog_limit:
            raise ValueError("config.watchdog_limit must be at least 1, not 0: there is nothing to read without a watchdog")
        self._config = config
        super().__init__({"axil": In(axil_signature((SPACE_BYTES - 1).bit_length())), "watch": In(WatchSignature()), "interrupt": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, watch, table = self._config, self.watch, NOC_REGISTERS
        m.submodules.axil = axil = AxiLite()
        m.submodules.registers = registers = RegisterFile(registers=table)
        connect(m, flipped(self.axil), axil.axil)
        connect(m, axil.bus, registers.bus)
        geometry = pack(table["GEOMETRY"].bits, mesh_x=config.mesh_x, mesh_y=config.mesh_y, vcs=config.vcs, depth=config.depth)
        # The mesh may be large: a register between its multiplexers and those of the register file.
        fired, error, probe = Signal(), Signal.like(watch.error), Signal(wait_layout())
        m.d.sync += [fired.eq(watch.error.valid), error.eq(watch.error), probe.eq(watch.probe)]
        m.d.comb += [
            registers.r_magic.eq(table["MAGIC"].reset),
            registers.r_version.eq(NOC_VERSION),
            registers.r_config_hash.eq(config.hash),
            registers.r_geometry.eq(geometry),
            registers.r_watchdog_limit.eq(config.watchdog_limit),
            registers.r_status[0].eq(fired),
            registers.r_status[1].eq(self.interrupt),
            registers.r_error_queue.eq(error.queue),
            registers.r_error_queue[31].eq(error.valid),
            registers.r_error_wait.eq(error.wait),
            registers.r_error_count.eq(watch.count),
            registers.r_probe_data.eq(probe),
            watch.select.eq(registers.r_probe_select),
            watch.clear.eq(registers.r_control[0]),
            self.interrupt.eq(fired & registers.r_irq_enable[0]),
        ]
        return m
