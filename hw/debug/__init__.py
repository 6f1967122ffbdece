"""What finds faults on a board: the memory self-test and the logic analyser."""
