"""`make doctor` and the set-up script: they must work where nothing is installed, and say what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts import bootstrap
from scripts.doctor import Check, check_program, check_usb, doctor, examine, report

doctor_module = sys.modules["scripts.doctor"]
ROOT = Path(__file__).resolve().parents[2]


def plain_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python that sees no packages, as on a fresh machine."""
    return subprocess.run([sys.executable, "-S", "-I", *arguments], capture_output=True, text=True, check=False)


def test_runs_without_packages() -> None:
    result = plain_python(str(ROOT / "scripts/doctor.py"))
    assert "Traceback" not in result.stderr
    assert "perl" in result.stderr and not result.stdout
    assert result.returncode == 0, result.stderr


def test_json_of_command_and_script_name_the_same_checks() -> None:
    command = CliRunner().invoke(doctor, ["--json"])
    script = plain_python(str(ROOT / "scripts/doctor.py"), "--json")
    names = [[check["name"] for check in json.loads(text)["checks"]] for text in (command.output, script.stdout)]
    assert names[0] == names[1] == [check.name for check in examine()]


def test_missing_program_is_named_with_its_package() -> None:
    check = check_program("no-such-tool", "the-package", "for a test")
    assert not check.ok
    assert "apt-get install the-package" in check.remedy


def test_optional_things_do_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    optional, required = Check("a", False, "missing", "get a", False), Check("b", False, "missing", "get b")
    assert report([optional]) == 0
    assert "Nothing required is missing" in capsys.readouterr().err
    assert report([optional, required]) == 1
    assert "1 required thing(s) missing: b" in capsys.readouterr().err
    assert report([required], as_json=True) == 1


@pytest.mark.parametrize("present", [(), ("libusb-1.0.so.0",), ("libftdi1.so.2",), ("libusb-1.0.so.0", "libftdi1.so.2")])
def test_usb_libraries_are_looked_for_where_they_may_be(present: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x86_64-linux-gnu").mkdir()
    for name in present:
        (tmp_path / "x86_64-linux-gnu" / name).touch()
    monkeypatch.setattr(doctor_module, "Path", lambda root: tmp_path if root == "/usr/lib" else tmp_path / "nothing")
    check = check_usb()
    assert check.ok is (len(present) == 2) and not check.required
    assert ("libusb-1.0" in check.found) is ("libusb-1.0.so.0" not in present)
    assert ("libftdi1" in check.found) is ("libftdi1.so.2" not in present)


def test_missing_ensurepip_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What Debian's Python says when its venv package is not there."""
    told = subprocess.CompletedProcess(
        [], 1, stdout="The virtual environment was not created successfully because ensurepip is not available.", stderr=""
    )
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *arguments, **options: told)
    with pytest.raises(SystemExit, match=rf"apt-get install python3\.{sys.version_info[1]}-venv"):
        bootstrap.make_venv(tmp_path / "venv")


def test_old_python_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "MINIMUM", (99, 0))
    with pytest.raises(SystemExit, match=r"python3 must be at least 99\.0, not 3\."):
        bootstrap.main(tmp_path)


def test_setup_needs_no_packages() -> None:
    result = plain_python(str(ROOT / "scripts/bootstrap.py"))
    assert result.returncode != 0
    assert "usage" in result.stderr
