"""FPGA boards: what is on them, and the tops that put a chip there."""
