"""Instruction encoding: assembler, disassembler and the program file."""
