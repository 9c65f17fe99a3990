"""Schedules that are saved and replayed by whole compilations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import RealModel, needs_models
from tinyir.backends.base import Files
from tinyir.cli import main
from tinyir.diagnostics import TinyIRWarning, UsageError
from tinyir.loops.recipes.policy import LEVELS, Level
from tinyir.loops.schedule import ScheduleError
from tinyir.loops.schedule_file import StoredSchedule, read_schedules, write_schedules
from tinyir.pipeline import Options, compile_file

DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "digits.tflite"


def saved(model: Path, path: Path, level: Level = "speed") -> Files:
    """The files of the program, its schedules saved at `path`."""
    return compile_file(model, Options(level=level, save_schedule=path, measure=False)).files


def replayed(model: Path, path: Path, level: Level = "size") -> Files:
    """The files of the program with the schedules of the file."""
    return compile_file(model, Options(level=level, schedule=path, measure=False)).files


@pytest.mark.parametrize("level", LEVELS)
def test_a_replayed_program_is_the_same_to_the_byte(level: Level, tmp_path: Path) -> None:
    path = tmp_path / 'a file, {of} "schedules".toml'
    files = saved(DIGITS, path, level)
    assert replayed(DIGITS, path) == files
    assert files["digits.c"] != saved(DIGITS, tmp_path / "b.toml", "size" if level != "size" else "speed")["digits.c"]


@needs_models
@pytest.mark.parametrize("name", ["ad01_int8", "hello_world_float", "kws_ref_model", "mcunet_vww", "vww_96_float"])
def test_real_models(name: str, tmp_path: Path) -> None:
    model = RealModel(name).path
    files = saved(model, tmp_path / "s.toml")
    assert replayed(model, tmp_path / "s.toml") == files


def test_a_saved_schedule_of_a_replayed_program_is_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    saved(DIGITS, one)
    compile_file(DIGITS, Options(schedule=one, save_schedule=two, measure=False))
    assert one.read_bytes() == two.read_bytes()


def test_a_stale_schedule_leaves_its_kernel_to_the_level(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    saved(DIGITS, path)
    content = read_schedules(path)
    write_schedules(content | {"conv2d_2": StoredSchedule("0" * 16, ("nonsense()",))}, path)
    with pytest.warns(TinyIRWarning, match="schedule of `conv2d_2` was made for another kernel of the name; -O size"):
        found = compile_file(DIGITS, Options(level="size", schedule=path, measure=False)).module.kernels
    plain = compile_file(DIGITS, Options(level="size", measure=False)).module.kernels
    fast = compile_file(DIGITS, Options(level="speed", measure=False)).module.kernels
    assert found == fast | {"conv2d_2": plain["conv2d_2"]}
    assert plain["conv2d_2"] != fast["conv2d_2"]


def test_kernels_without_a_schedule_and_schedules_without_a_kernel(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    saved(DIGITS, path)
    content = read_schedules(path)
    stored = content.pop("conv2d_0")
    write_schedules(content | {"conv2d_99": stored}, path)
    with pytest.warns(TinyIRWarning) as caught:
        replayed(DIGITS, path)
    messages = [str(warning.message) for warning in caught]
    assert messages == [
        f"{path}: the schedule of `conv2d_0` is missing; -O size takes its place",
        f"{path}: the program has no kernel `conv2d_99`",
    ]


def test_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    write_schedules({"conv2d_0": StoredSchedule("0" * 16, ())}, path)
    with pytest.raises(ScheduleError) as caught:
        replayed(DIGITS, path)
    assert caught.value.message == f"{path} has no schedule for any kernel of this program"
    assert "the file has `conv2d_0`" in caught.value.notes


def test_a_refused_step_names_file_kernel_and_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    saved(DIGITS, path)
    content = read_schedules(path)
    stored = content["conv2d_2"]
    write_schedules(content | {"conv2d_2": StoredSchedule(stored.fingerprint, ("simplify()", "unroll(q)"))}, path)
    out = tmp_path / "out"
    arguments = ["compile", str(DIGITS), "-o", str(out), "--schedule", str(path), "--dump-dir", str(tmp_path / "dump")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert f"error: {path}: kernel `conv2d_2`, step 2 `unroll(q)`: " in error and "Traceback" not in error
    assert not out.exists()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, one, two = tmp_path / "s.toml", tmp_path / "one", tmp_path / "two"
    assert main(["compile", str(DIGITS), "-o", str(one), "-O", "speed", "--save-schedule", str(path)]) == 0
    assert main(["compile", str(DIGITS), "-o", str(two), "-O", "size", "--schedule", str(path)]) == 0
    assert capsys.readouterr().err == ""
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}
    content = read_schedules(path)
    write_schedules({name: stored for name, stored in content.items() if name != "conv2d_0"}, path)
    assert main(["verify", str(DIGITS), "--on", "numpy,host", "--schedule", str(path)]) == 0
    assert capsys.readouterr().err.startswith(f"warning: {path}: the schedule of `conv2d_0` is missing")


def test_a_pipeline_of_your_own_names_the_file_itself(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leaves no place for files of schedules"):
        compile_file(DIGITS, Options(passes="canonicalize", schedule=tmp_path / "s.toml"))


def test_numpy_has_no_schedules(tmp_path: Path) -> None:
    """The same options serve every executor of `verify`."""
    options = Options(backend="numpy", schedule=tmp_path / "missing.toml")
    assert "digits.py" in compile_file(DIGITS, options).files
