"""Files of schedules: what is written comes back, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.loops.kernels import kernel
from tinyir.diagnostics import UsageError
from tinyir.loops.schedule import ScheduleError, apply
from tinyir.loops.schedule_file import (
    StoredSchedule,
    fingerprint,
    parse_schedules,
    read_schedules,
    replay,
    schedules_text,
    write_schedules,
)

COPY = """
kernel @copy(in x: i8[6, 4], out y: i8[6, 4]) {
  for i in 6 {
    for j in 4 {
      y[i, j] = x[i, j]
    }
  }
}
"""

TEXT = """\
# Schedules of kernels, for `tinyir compile --schedule`.
format = 1

[kernels."copy"]
fingerprint = "0123456789abcdef"
steps = [
  "split(i, 2, io, ii)",
  "unroll(ii)",
]

[kernels."plain \\"one\\""]
fingerprint = "ff"
steps = []
"""

SCHEDULES = {
    "copy": StoredSchedule("0123456789abcdef", ("split(i, 2, io, ii)", "unroll(ii)")),
    'plain "one"': StoredSchedule("ff", ()),
}


def test_text() -> None:
    assert schedules_text(SCHEDULES) == TEXT
    assert parse_schedules(TEXT, "f") == SCHEDULES


@given(st.dictionaries(st.text(), st.builds(StoredSchedule, st.text(), st.lists(st.text()).map(tuple))))
def test_any_text_comes_back(schedules: dict[str, StoredSchedule]) -> None:
    assert parse_schedules(schedules_text(schedules), "f") == schedules


def test_the_order_of_kernels_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    write_schedules(dict.fromkeys("zay", SCHEDULES["copy"]), path)
    assert list(read_schedules(path)) == ["z", "a", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = ", "f is no TOML: "),
        ("", "f has no `format`; this tinyir reads format = 1"),
        ("format = 2", "f has format = 2; this tinyir reads format = 1"),
        ("format = 1\nkernel = 3", "f: `kernel` is not what"),
        ("format = 1\nkernels = 3", "f: `kernels` is not what"),
        ("format = 1\nkernels.a = 3", "f: kernel `a` must have `fingerprint` and `steps`"),
        ("format = 1\n[kernels.a]\nsteps = []", "f: kernel `a` must have"),
        ("format = 1\n[kernels.a]\nsteps = []\nfingerprint = 'f'\nmore = 1", "nothing else"),
        ("format = 1\n[kernels.a]\nsteps = []\nfingerprint = 3", "f: kernel `a`: `fingerprint` must be a string"),
        ("format = 1\n[kernels.a]\nsteps = 'unroll(i)'\nfingerprint = 'f'", "f: kernel `a`: `steps` must be a list"),
        ("format = 1\n[kernels.a]\nsteps = [1]\nfingerprint = 'f'", "f: kernel `a`: `steps` must be a list"),
        ("format = 1\n[kernels.a]\n[kernels.a]", "f is no TOML: "),
    ],
)
def test_damaged_files(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedules(text, "f")
    assert message in caught.value.message


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*missing\.toml: No such file"):
        read_schedules(tmp_path / "missing.toml")
    with pytest.raises(UsageError, match="cannot write"):
        write_schedules(SCHEDULES, tmp_path / "missing" / "s.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScheduleError, match="no text in UTF-8"):
        read_schedules(tmp_path / "binary")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    write_schedules({}, path)
    write_schedules(SCHEDULES, path)
    assert path.read_text() == TEXT
    assert list(tmp_path.iterdir()) == [path]


def test_replay() -> None:
    plain = kernel(COPY)
    assert replay(plain, SCHEDULES["copy"], "f") == apply(plain, SCHEDULES["copy"].steps)
    assert replay(plain, StoredSchedule("", ()), "f") == plain


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("unrol(ii)", "f: kernel `copy`, step 2 `unrol(ii)`: `unrol(ii)` is no schedule step"),
        ("unroll(k)", "f: kernel `copy`, step 2 `unroll(k)`: copy: cannot find the loop `k`"),
        ("split(ii, 7, a, b)", "f: kernel `copy`, step 2 `split(ii, 7, a, b)`: copy: cannot split"),
        ("split(ii)", "f: kernel `copy`, step 2 `split(ii)`: "),
    ],
)
def test_a_step_that_cannot_be_taken(step: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        replay(kernel(COPY), StoredSchedule("", ("split(i, 2, io, ii)", step)), "f")
    assert message in caught.value.message


def test_fingerprints() -> None:
    plain = kernel(COPY)
    assert len(fingerprint(plain)) == 16
    assert fingerprint(replace(plain, name="other", doc=("more",))) == fingerprint(plain)
    other = kernel(COPY.replace("i8[6", "i8[7").replace("i in 6", "i in 7"))
    assert fingerprint(other) != fingerprint(plain)
    assert fingerprint(kernel(COPY.replace("x[i, j]", "x[j, j]"))) != fingerprint(plain)
