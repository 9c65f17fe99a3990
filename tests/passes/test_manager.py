"""The pass manager: what it checks, shows, counts and leaves behind when a pass fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from tinyir.cli import main
from tinyir.diagnostics import InternalError, IRError, UsageError
from tinyir.frontends.text import load_text, parse
from tinyir.ir.core import Module
from tinyir.ir.printer import print_module
from tinyir.passes import registry
from tinyir.passes.manager import PassManager, parse_pipeline, run_line
from tinyir.passes.registry import Pass, load_pass_file

TEXT = """func @main(%x: tensor<4xi8>) {
  %a = int.clamp(%x) {lo = -128, hi = 127} : tensor<4xi8> loc("relu" op 2)
  %y = int.widen(%a) : tensor<4xi32> loc("wide" op 3)
  func.return(%y)
}"""


@pytest.fixture
def broken_passes() -> Iterator[None]:
    """Passes that fail, registered for one test."""
    before = dict(registry._registered)

    @dataclass(frozen=True)
    class BreakTypes(Pass):
        """Leave IR that the verifier refuses."""

        name: ClassVar[str] = "break-types"

        def run(self, module: Module) -> dict[str, int]:
            module.main.ops[-2].attrs["offset"] = 1
            module.main.ops[-2].result.type = module.main.args[0].type
            return {}

    @dataclass(frozen=True)
    class Crash(Pass):
        """Fail with a foreign exception, after a change."""

        name: ClassVar[str] = "crash"
        how: str = "badly"

        def run(self, module: Module) -> dict[str, int]:
            module.main.ops[-2].attrs["offset"] = 77
            raise KeyError(self.how)

    @dataclass(frozen=True)
    class Refuse(Pass):
        """Refuse the model."""

        name: ClassVar[str] = "refuse"

        def run(self, module: Module) -> dict[str, int]:
            raise module.main.ops[-2].fail("is not to my taste", help="try another")

    yield
    registry._registered.clear()
    registry._registered.update(before)


def manager(pipeline: str, **options: object) -> PassManager:
    return PassManager(parse_pipeline(pipeline), **options)  # type: ignore[arg-type]


def test_passes_run_in_order_and_report_what_they_did() -> None:
    module = parse(TEXT)
    runs = manager("canonicalize,fold-pad").run(module)
    assert [run.name for run in runs] == ["canonicalize", "fold-pad"]
    assert runs[0].statistics == {"drop_full_clamp": 1}
    assert [op.opname for op in module.main.ops] == ["int.widen", "func.return"]


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("broken_passes")
def test_broken_ir_names_the_pass_and_shows_the_op() -> None:
    with pytest.raises(IRError, match=r"`int\.widen` has the type tensor<4xi8>") as caught:
        manager("canonicalize,break-types,fold-pad").run(parse(TEXT))
    assert caught.value.notes[:2] == [
        'the op is: %y = int.widen(%x) {offset = 1} : tensor<4xi8> loc("wide" op 3)',
        "while running `break-types` (2 of 3), which left IR that breaks a rule",
    ]


@pytest.mark.usefixtures("broken_passes")
def test_verification_can_be_left_out() -> None:
    manager("canonicalize,break-types", verify_each=False).run(parse(TEXT))


@pytest.mark.usefixtures("broken_passes")
def test_a_refusal_keeps_its_kind_and_help() -> None:
    with pytest.raises(IRError, match="is not to my taste") as caught:
        manager("refuse").run(parse(TEXT))
    assert caught.value.help == "try another"
    assert "while running `refuse` (1 of 1)" in caught.value.notes


@pytest.mark.usefixtures("broken_passes")
def test_a_crash_becomes_an_internal_error() -> None:
    with pytest.raises(InternalError, match="internal error in the pass `crash`: KeyError: 'badly'") as caught:
        manager("crash").run(parse(TEXT))
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.usefixtures("broken_passes")
def test_the_reproducer_is_the_ir_before_the_failing_pass(tmp_path: Path) -> None:
    repro = tmp_path / "new" / "repro.tir"
    with pytest.raises(InternalError) as caught:
        manager("canonicalize,crash{how=fast},fold-pad", reproducer=repro).run(parse(TEXT))
    assert caught.value.notes[-1] == f"to reproduce: tinyir opt {repro}"
    assert repro.read_text().splitlines()[0] == '// RUN: tinyir opt %s --passes="crash{how=fast},fold-pad"'
    before = parse(TEXT)
    manager("canonicalize").run(before)
    assert load_text(repro) == before


@pytest.mark.usefixtures("broken_passes")
def test_opt_runs_a_reproducer_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InternalError):
        manager("canonicalize,crash", reproducer=Path("repro.tir")).run(parse(TEXT))
    assert main(["opt", "repro.tir"]) == 1
    assert "internal error in the pass `crash`" in capsys.readouterr().err


@pytest.mark.usefixtures("broken_passes")
def test_big_constants_of_a_reproducer_are_beside_it(tmp_path: Path) -> None:
    elements = ", ".join(str(i) for i in range(100))
    text = f"""func @main() {{
      %k = nn.const() {{value = dense<100xi8, [{elements}]>}} : tensor<100xi8>
      %y = int.widen(%k) : tensor<100xi32>
      func.return(%y)
    }}"""
    with pytest.raises(InternalError):
        manager("crash", reproducer=tmp_path / "repro.tir").run(parse(text))
    assert 'resource @k = "repro.npz:k"' in (tmp_path / "repro.tir").read_text()
    assert load_text(tmp_path / "repro.tir") == parse(text)


@pytest.mark.usefixtures("broken_passes")
def test_a_reproducer_that_cannot_be_written_does_not_hide_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InternalError, match="KeyError") as caught:
        manager("crash", reproducer=tmp_path / "file" / "repro.tir").run(parse(TEXT))
    assert caught.value.notes[-1].startswith("cannot write a reproducer")


def test_the_run_line_loads_the_files_that_passes_come_from(tmp_path: Path) -> None:
    file = tmp_path / "from_file.py"
    file.write_text(PASS_FILE.format(name="from-file-run-line"))
    (cls,) = load_pass_file(file)
    assert run_line([cls()]) == f'RUN: tinyir opt %s --load-pass="{file}" --passes="from-file-run-line"'


PASS_FILE = """
from dataclasses import dataclass
from typing import ClassVar
from tinyir.passes.registry import Pass

@dataclass(frozen=True)
class FromFile(Pass):
    '''A pass in a file.'''

    name: ClassVar[str] = "{name}"
    times: int = 1

    def run(self, module):
        return {{"ran": self.times}}
"""


# -- watching ---------------------------------------------------------------------------------------------------------


def test_dumps_are_numbered(tmp_path: Path) -> None:
    module = parse(TEXT)
    manager("canonicalize,fold-pad,canonicalize", dump_dir=tmp_path / "dump").run(module)
    names = sorted(path.name for path in (tmp_path / "dump").iterdir())
    assert names == ["00_input.tir", "01_canonicalize.tir", "02_fold-pad.tir", "03_canonicalize.tir"]
    assert load_text(tmp_path / "dump" / "00_input.tir") == parse(TEXT)
    assert load_text(tmp_path / "dump" / "03_canonicalize.tir") == module


def test_the_ir_is_printed_after_the_named_pass() -> None:
    out, module = io.StringIO(), parse(TEXT)
    manager("canonicalize,fold-pad", print_after=["canonicalize"], out=out).run(module)
    assert out.getvalue() == f"// IR after `canonicalize` (1 of 2)\n{print_module(module)}\n"


def test_the_ir_is_printed_after_all() -> None:
    out = io.StringIO()
    manager("canonicalize,fold-pad", print_after=["all"], out=out).run(parse(TEXT))
    titles = [line for line in out.getvalue().splitlines() if line.startswith("//")]
    assert titles == ["// IR after `canonicalize` (1 of 2)", "// IR after `fold-pad` (2 of 2)"]


def test_printing_after_a_pass_that_does_not_run_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot print the IR after `fold_pad`") as caught:
        manager("canonicalize,fold-pad", print_after=["fold_pad"])
    assert caught.value.help == "did you mean `fold-pad`?"


def test_tables_of_times_and_statistics() -> None:
    out = io.StringIO()
    manager("canonicalize,fold-pad", timing=True, stats=True, out=out).run(parse(TEXT))
    words = [line.split() for line in out.getvalue().splitlines()]
    assert ["pass", "ms", "share"] in words and ["pass", "what", "times"] in words
    assert ["canonicalize", "drop_full_clamp", "1"] in words
    assert any(row[:1] == ["total"] and row[2:] == ["100%"] for row in words)
