"""report.json, typed, and inputs checked before anything runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.samples import SAMPLE, inputs
from tinyir.diagnostics import UsageError
from tinyir.runtime.program import ProgramError, ProgramInfo


def test_the_report_is_read() -> None:
    info = ProgramInfo.load(SAMPLE)
    assert (info.prefix, info.arena_bytes, info.macs) == ("sample", 180, 512)
    assert [str(op) for op in info.ops] == ["op 0 `dense1`", "op 1 `dense2`", "op 2 `scale`", "op 3 `reverse`"]
    assert (info.inputs[0].scale, info.inputs[1].scale) == (0.5, None)
    arena = np.arange(180, dtype=np.uint8)
    np.testing.assert_array_equal(info.ops[0].outputs[0].read(arena), arena[160:176].view(np.int8).reshape(1, 16))


def test_a_folder_without_a_report(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"report\.json: No such file"):
        ProgramInfo.load(tmp_path)


def _change(report: Any, path: str, value: Any) -> None:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in parents:
        report = report[key]
    if value is None:
        del report[last]
    else:
        report[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("entry", None, "no field 'entry'"),
        ("inputs.0.dtype", "int64", "dtype 'int64' is none of"),
        ("inputs.0.bytes", 17, r"x: int8\[1, 16\] takes 16 bytes, not 17"),
        ("ops.1.index", 4, "not numbered"),
        ("ops.0.outputs.0.offset", 170, "outside the arena"),
        ("arena_align", 12, "not a power of two"),
        ("ops", 3, "not iterable"),
    ],
)
def test_a_report_that_does_not_hold_together(tmp_path: Path, path: str, value: Any, message: str) -> None:
    report = json.loads((SAMPLE / "report.json").read_text())
    _change(report, path, value)
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(ProgramError, match=message):
        ProgramInfo.load(tmp_path)


def test_inputs_by_name_or_in_order() -> None:
    info, (x, offset) = ProgramInfo.load(SAMPLE), inputs()
    for given in ([x, offset], {"offset": offset, "x": x}):
        bound = info.bind(given)
        assert bound[0] is x and bound[1] is offset


def test_inputs_that_do_not_fit() -> None:
    info, (x, offset) = ProgramInfo.load(SAMPLE), inputs()
    with pytest.raises(UsageError, match="has 2 inputs, 1 were given"):
        info.bind([x])
    with pytest.raises(UsageError, match="inputs are named x, offset, not x, y"):
        info.bind({"x": x, "y": offset})
    with pytest.raises(UsageError, match=r"`x` is int8\[1, 16\], an array of float32\[1, 16\]"):
        info.bind([offset, offset])
    with pytest.raises(UsageError, match=r"an array of int8\[16\]"):
        info.bind([x[0], offset])


def test_strided_inputs_become_contiguous() -> None:
    info, (x, offset) = ProgramInfo.load(SAMPLE), inputs()
    wide = np.repeat(x, 2, axis=1)
    assert info.bind([wide[:, ::2], offset])[0].flags.c_contiguous
