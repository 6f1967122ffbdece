"""The compact chip: the same instructions and registers in a few thousand LUTs, behind one microcoded processor."""
