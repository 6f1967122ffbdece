"""`meshium matmul` from the command line to the checked result."""

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from scripts.meshium import main
from sim.golden.formats import bf16_bits, bf16_to_values
from sw.runtime.matmul import reference, within

KEYS = {"ok", "max_abs_err", "cycles", "macs", "utilisation", "sim_seconds", "sim_khz", "config_hash"}


#: The header of a terabyte, with nothing behind it.
HUGE = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|i1', 'fortran_order': False, 'shape': (1048576, 1048576), }".ljust(117) + b"\n"


def run(capsys: pytest.CaptureFixture, *arguments: str, device: str = "golden") -> tuple[int, str, str]:
    status = main(["matmul", "--device", device, *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("source", ["sbuf", "dram"])
@pytest.mark.parametrize("dtype", ["int8", "bf16"])
def test_a_product_and_its_json(capsys: pytest.CaptureFixture, dtype: str, source: str) -> None:
    status, out, err = run(capsys, "--m", "20", "--k", "33", "--n", "17", "--dtype", dtype, "--source", source, "--seed", "3", "--json")
    values = json.loads(out)
    assert status == 0 and values["ok"] is True and values.keys() >= KEYS
    assert values["macs"] == 20 * 33 * 17 and values["cycles"] == 0
    assert (values["max_abs_err"] == 0) == (dtype == "int8")
    assert "right" in err


def test_standard_output_is_empty_without_json(capsys: pytest.CaptureFixture) -> None:
    status, out, err = run(capsys, "--m", "4", "--k", "4", "--n", "4", "--config", "small")
    assert (status, out) == (0, "") and "4x4x4 int8" in err


@pytest.mark.parametrize("dtype", ["int8", "bf16"])
def test_files_in_and_out(capsys: pytest.CaptureFixture, tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    kind = np.int8 if dtype == "int8" else np.float32
    a, b = (rng.integers(-50, 50, shape) / (1 if dtype == "int8" else 7) for shape in ((5, 9), (9, 3)))
    np.save(tmp_path / "a.npy", a.astype(kind))
    np.save(tmp_path / "b.npy", b.astype(kind))
    status, _, _ = run(capsys, "--a", f"{tmp_path}/a.npy", "--b", f"{tmp_path}/b.npy", "--save", f"{tmp_path}/out.npz")
    assert status == 0
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.npy", "b.npy", "out.npz"]
    with np.load(tmp_path / "out.npz") as saved:
        if dtype == "int8":
            assert np.array_equal(saved["a"], a) and np.array_equal(saved["c"], a.astype(int) @ b.astype(int))
        else:
            assert np.array_equal(saved["a"], bf16_to_values(bf16_bits(a.astype(np.float32))))
            assert np.allclose(saved["c"], saved["a"].astype(float) @ saved["b"].astype(float), rtol=1e-5, atol=1e-4)


def test_bits_of_bf16_and_one_random_operand(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    bits = bf16_bits(np.array([[1.0, np.inf], [np.nan, -2.0]], np.float32))
    np.save(tmp_path / "a.npy", bits)
    status, out, _ = run(capsys, "--a", f"{tmp_path}/a.npy", "--n", "3", "--json", "--save", f"{tmp_path}/o.npz")
    assert status == 0 and json.loads(out)["dtype"] == "bf16"
    with np.load(tmp_path / "o.npz") as saved:
        assert np.isinf(saved["c"][0]).all() and np.isnan(saved["c"][1]).all()


@pytest.mark.filterwarnings("error")
def test_every_pair_of_special_values(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    # Zeros, ones, least and greatest, subnormals, infinities, quiet and signalling NaN, of both signs.
    half = np.array([0, 1, 0x7F, 0x80, 0x3F80, 0x4049, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0, 0x7FFF], np.uint16)
    values = np.concatenate([half, half | 0x8000])
    np.save(tmp_path / "a.npy", values[:, None])
    np.save(tmp_path / "b.npy", values[None, :])
    for source in ("sbuf", "dram"):
        status, out, _ = run(capsys, "--a", f"{tmp_path}/a.npy", "--b", f"{tmp_path}/b.npy", "--source", source, "--json")
        assert status == 0 and json.loads(out)["ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--m", "0"], "--m must be at least 1, not 0"),
        (["--k", "-5"], "--k must be at least 1, not -5"),
        (["--n", "x"], "'x' is not a valid integer"),
        (["--dtype", "fp8"], "dtype must be one of int8, bf16 on config 'base', not 'fp8'"),
        (["--dtype", "bf16", "--config", "small"], "dtype must be one of int8 on config 'small', not 'bf16'"),
        (["--config", "huge"], "config must be one of nano, small, base, large, not 'huge'"),
        (["--source", "disk"], "source must be one of sbuf, dram, not 'disk'"),
        (["--m", "5000"], "bytes of SBUF, config 'base' has 524288: use smaller sizes or --source dram"),
        (["--m", "1000000", "--k", "1000000", "--source", "dram"], "a needs DRAM up to byte 1000000000000, the limit is 268435456"),
        (["--device", "board"], "--device must be one of golden, rtl, board:PORT, not 'board'"),
        (["--save", "out.txt"], "--save must end in .npz, not 'out.txt'"),
        (["--save", "/nowhere/out.npz"], "--save must name a file in an existing folder"),
        (["--a", "missing.npy"], "missing.npy must be a readable .npy file"),
        (["--a", ""], "'' must be a readable .npy file, but it is no regular file"),
        (["--a", "."], "but it is no regular file"),
        (["--dtype", ""], "dtype must be one of int8, bf16 on config 'base', not ''"),
        (["--save", ""], "--save must end in .npz, not ''"),
        (["--stall", "nan"], "nan is not in the range"),
        (
            ["--m", str(1 << 40), "--source", "dram"],
            "the limit is 268435456: use smaller sizes, or a device with more DRAM (simulated: --dram-mib)",
        ),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--colour"], "No such option"),
    ],
)
def test_bad_input_is_one_line_and_a_status(capsys: pytest.CaptureFixture, arguments: list[str], message: str) -> None:
    status, out, err = run(capsys, *arguments)
    assert status in (1, 2) and out == ""
    assert message in err and err.startswith("meshium: error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (np.zeros((2, 3), np.float64), "must hold int8, or for bf16 float32 or uint16 bits, not float64"),
        (np.zeros((2, 3), np.int32), "not int32: convert it with astype"),
        (np.zeros(3, np.int8), r"must hold a non-empty matrix (2 dimensions, each at least 1), not shape (3,)"),
        (np.zeros((0, 3), np.int8), "not shape (0, 3)"),
        (np.zeros((2, 3), np.float32), "which is an operand of bf16, not of --dtype int8"),
        (np.zeros((2, 4), np.int8), "--k must be 4 as in"),
        (np.array([[{}]], dtype=object), "must be a readable .npy file of numbers"),
        (b"not an array", "must be a readable .npy file of numbers"),
        (b"", "must be a readable .npy file of numbers"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': [[[[[[\n", "must be a readable .npy file of numbers"),
        (b"\x80\x04]q\x00.", "holds Python objects"),
        (HUGE, "must be a readable .npy file of numbers"),
    ],
)
def test_bad_files(capsys: pytest.CaptureFixture, tmp_path: Path, contents: np.ndarray | bytes, message: str) -> None:
    path = tmp_path / "a.npy"
    if isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        np.save(path, contents, allow_pickle=True)
    status, out, err = run(capsys, "--a", str(path), "--k", "3", "--dtype", "int8", "--save", f"{tmp_path}/out.npz")
    assert status == 1 and out == "" and message in err and err.count("\n") == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("kind", ["fortran", "big endian", "bits"])
def test_other_layouts_of_the_same_numbers(capsys: pytest.CaptureFixture, tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(2).integers(-9, 9, (5, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", {"fortran": np.asfortranarray(values), "big endian": values.astype(">f4"), "bits": bf16_bits(values)}[kind])
    np.save(tmp_path / "b.npy", np.eye(7, dtype=np.float32))
    assert run(capsys, "--a", f"{tmp_path}/a.npy", "--b", f"{tmp_path}/b.npy", "--save", f"{tmp_path}/o.npz")[0] == 0
    with np.load(tmp_path / "o.npz") as saved:
        assert np.array_equal(saved["c"], values)


def test_an_error_is_json_too_where_json_was_asked_for(capsys: pytest.CaptureFixture) -> None:
    status, out, _ = run(capsys, "--m", "0", "--json")
    assert status == 1 and json.loads(out) == {"ok": False, "error": "--m must be at least 1, not 0"}


def test_a_full_disk_leaves_the_old_file(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "o.npz").write_bytes(b"old")

    def full(stream: BinaryIO, **_: object) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    status, _, err = run(capsys, "--m", "2", "--k", "2", "--n", "2", "--save", f"{tmp_path}/o.npz")
    assert status == 1 and "o.npz, which is left as it was" in err and "No space left" in err
    assert (tmp_path / "o.npz").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_operands_that_do_not_fit_each_other(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.int8))
    np.save(tmp_path / "b.npy", np.zeros((4, 3), np.int8))
    status, _, err = run(capsys, "--a", f"{tmp_path}/a.npy", "--b", f"{tmp_path}/b.npy")
    assert status == 1 and "columns of A must equal rows of B, not 3" in err


def test_a_wrong_result_is_not_passed_off_as_right(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sim.golden.execute.matmul", lambda moving, stationary, name: np.zeros((len(moving), stationary.shape[1]), np.uint32)
    )
    status, out, err = run(capsys, "--m", "4", "--k", "4", "--n", "4", "--json")
    assert status == 1 and json.loads(out)["ok"] is False and "off by up to" in err


def test_the_reference_tells_right_from_wrong() -> None:
    rng = np.random.default_rng(1)
    a, b = (bf16_bits(rng.standard_normal(shape, np.float32)) for shape in ((6, 40), (40, 5)))
    value, bound = reference(a, b)
    good = value.astype(np.float32)
    assert within(good, value, bound)[0]
    for change in (1e-3, np.nan, np.inf):
        wrong = good.copy()
        wrong[2, 3] += change
        assert not within(wrong, value, bound)[0], change
    huge = bf16_bits(np.full((1, 2), 3e38, np.float32))
    assert np.isnan(reference(huge, huge.T)[1]).all()
    special = bf16_bits(np.array([[np.inf, 1.0]], np.float32))
    value, bound = reference(special, bf16_bits(np.ones((2, 1), np.float32)))
    assert within(np.array([[np.inf]], np.float32), value, bound)[0] and not within(np.array([[np.nan]], np.float32), value, bound)[0]
