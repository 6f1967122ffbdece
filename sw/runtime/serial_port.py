"""Serial ports: the UART of a board, or the pseudo-terminal of a simulated one. Whatever keeps one from being opened is said in words."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from serial import Serial, SerialException
from serial.tools import list_ports

from .errors import DeviceError

#: Seconds a read waits for an octet.
READ_SECONDS = 0.01
#: Seconds a write waits for room: an operating system that has none for that long has nobody who takes the octets.
WRITE_SECONDS = 5.0


def open_port(name: str, *, baud: int) -> Serial:
    """An open port at `baud` bits a second, 8 bits, no parity, one stop bit, for this process alone.

    Raises
    ------
    DeviceError
        if there is no such port, it is not ours to use, or it cannot do that rate.
    """
    try:
        port = Serial(name, baud, timeout=READ_SECONDS, write_timeout=WRITE_SECONDS, exclusive=True)
    except (OSError, ValueError) as error:
        raise DeviceError(f"port {name} cannot be opened: {_reason(name, baud, error)}") from error
    # USB bridges hold octets back for 16 ms in the hope of more, unless told otherwise; where they cannot be told, all works, slower.
    with suppress(OSError, ValueError, NotImplementedError):
        port.set_low_latency_mode(True)
    return port


def _reason(name: str, baud: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        known = ", ".join(item.device for item in list_ports.comports()) or "none"
        return f"there is no such port; ports of this machine: {known}; is the board plugged in, or the simulated one (meshium simboard) running?"
    if code == errno.EACCES:
        group = _group(name)
        return f"no permission; join its group (sudo usermod -aG {group} $USER) and log in again"
    if code == errno.EBUSY or (isinstance(error, SerialException) and "exclusively lock" in str(error)):
        return "it is in use by another program; close that first"
    if "baud" in str(error).lower():
        return f"it does not take {baud} bits a second: {error}"
    return f"{error}; is it a serial port?"


def _group(name: str) -> str:
    try:
        return Path(name).group()
    except (OSError, KeyError):
        return "dialout"
