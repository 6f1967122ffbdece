"""The host link: a UART, its frames, and the bridge to registers and memories. Protocol: docs/host_link.md."""
