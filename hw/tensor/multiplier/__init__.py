"""Multipliers of a processing element: one primitive for each FPGA family (docs/multipliers.md)."""
