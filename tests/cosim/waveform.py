"""Signals of a board in a waveform of the simulator, cycle by cycle."""

from collections.abc import Iterable
from pathlib import Path


def read_waveform(path: Path, names: Iterable[str]) -> dict[str, list[int]]:
    """Values by cycle of the signals of these names, those nearest to the top; undefined bits as 0.

    A cycle is 10 units of time; its values are those after the rising edge that begins it.
    """
    wanted = set(names)
    places: dict[str, tuple[int, str]] = {}
    depth = 0
    with path.open() as stream:
        for line in stream:
            words = line.split()
            if words[:1] == ["$scope"]:
                depth += 1
            elif words[:1] == ["$upscope"]:
                depth -= 1
            elif words[:1] == ["$var"] and words[4] in wanted and (words[4] not in places or depth < places[words[4]][0]):
                places[words[4]] = (depth, words[3])
            elif words[:1] == ["$enddefinitions"]:
                break
        if missing := wanted - set(places):
            raise ValueError(f"waveform {path} must have all signals, not lack {', '.join(sorted(missing))}")
        # Two names may be of one signal.
        codes: dict[str, list[str]] = {}
        for name, (_, code) in places.items():
            codes.setdefault(code, []).append(name)
        values, columns = dict.fromkeys(wanted, 0), {name: [0] * 0 for name in wanted}
        time = -1
        for line in stream:
            if line[0] == "#":
                # What was set at a multiple of 10 holds for the cycle that began there.
                if time >= 0 and time % 10 == 0:
                    for name, column in columns.items():
                        column.append(values[name])
                time = int(line[1:])
            elif line[0] in "01xz":
                values.update(dict.fromkeys(codes.get(line[1:].strip(), ()), int(line[0] == "1")))
            elif line[0] == "b" and (found := codes.get(line.split()[1])):
                values.update(dict.fromkeys(found, int(line[1:].split()[0].translate(str.maketrans("xz", "00")), 2)))
    return columns
