"""Words are loaded through pointers; loops that do nothing else with their variable become walks of pointers. What is
printed computes the same on this machine and on the M7, in each form of the helpers and at any optimisation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.backends.programs import ALL, case
from tests.loops.kernels import Arrays, data_for, kernel, run
from tests.loops.programs import files_of, folder_of, module_of
from tests.runtime.samples import COMPILERS, needs_m7
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.functions import Body, Function
from tinyir.loops.ir import Kernel
from tinyir.runtime.host import HostProgram
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import CompilerKind

SUMS = """
kernel @sums(in x: i16[{image}], in b: i8[64], out y: i32[4]) {{
  for o in 4 {{
    var s: i32 = 1
    {body}
    y[o] = s
  }}
}}
"""


def sums(*body: str, image: str = "64") -> Kernel:
    return kernel(SUMS.format(image=image, body="\n    ".join(body)))


def printed(k: Kernel) -> str:
    """The kernel's C, without the record of its schedule."""
    c = CWriter()
    Function("f", [Body.of(k, ())]).define(c)
    return c.text()


def pointers(text: str) -> dict[str, str]:
    """Every pointer that is declared in a function, and what it starts at."""
    return dict(re.findall(r"\*(?:const )?(\w+) = (&.*);", text))


def same_on_this_machine(k: Kernel, arrays: Arrays | None = None) -> None:
    """Fail unless the C, optimised and not, gives what the interpreter does."""
    arrays = data_for(k) if arrays is None else arrays
    wanted = list(run(k, arrays).values())
    with folder_of(files_of(module_of([k], [arrays]))) as folder:
        for opt in ("-O0", "-O3"):
            program = HostProgram.build(folder, opt=opt)
            found = program.run([arrays[p.name] for p in k.by_role("in")]).outputs
            for a, b in zip(wanted, found, strict=True):
                np.testing.assert_array_equal(a.reshape(-1), b.reshape(-1))


# -- walks ------------------------------------------------------------------------------------------------------------

WALK = """
    for k in 8 {
      let a: i16x2 = x[2*k + 16] as i16x2
      let c: i16x2 = x[2*k + 2*o] as i16x2
      let d: i8x4 = b[0] as i8x4
      s = smlad(a, c, s)
      s = smlad(a, sxtb16(d), s)
    }
"""


def test_a_walk() -> None:
    """Two ways through x, each with a pointer that moves; the word that stays has one that does not."""
    text = printed(sums(WALK))
    assert text.splitlines()[-16:-3] == [
        "        const int16_t *x_at = &x[16];",
        "        const int16_t *x_at_1 = &x[2 * o];",
        "        const int8_t *const b_at = &b[0];",
        "        const int16_t *const volatile end = x_at + 16;",
        "        do {",
        "            const uint32_t a = tinyir_load32(x_at, 0);",
        "            const uint32_t c = tinyir_load32(x_at_1, 0);",
        "            const uint32_t d = tinyir_load32(b_at, 0);",
        "            s = tinyir_smlad(a, c, s);",
        "            s = tinyir_smlad(a, tinyir_sxtb16(d), s);",
        "            x_at += 2;",
        "            x_at_1 += 2;",
        "        } while (x_at != end);",
    ]
    same_on_this_machine(sums(WALK))


@pytest.mark.parametrize(
    ("index", "start", "step"),
    [
        ("2*k + 1", "&x[1]", 2),  # odd
        ("k + o", "&x[o]", 1),
        ("-2*k + 14", "&x[14]", -2),  # backwards
        ("-3*k + o + 21", "&x[o + 21]", -3),
        ("7*k", "&x[0]", 7),
        ("2*k + -1*o + 3", "&x[-o + 3]", 2),
    ],
)
def test_walks_by_any_step_from_any_place(index: str, start: str, step: int) -> None:
    k = sums(f"for k in 8 {{ let a: i16x2 = x[{index}] as i16x2 s = smlad(a, a, s) }}")
    text = printed(k)
    assert pointers(text) == {"x_at": start}
    assert f"end = x_at {'-' if step < 0 else '+'} {abs(8 * step)};" in text and f"x_at += {step};" in text
    same_on_this_machine(k)


@pytest.mark.parametrize(
    "body",
    [
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 s = smlad(a, a, (s + index(k))) }",  # its number
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 s = smlad(a, a, (s + where [0 <= k + o < 3] 5 else 7)) }",
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 s = smlad(a, a, (s + i32(b[k]))) }",  # an element
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 s = smlad(a, a, (s + i32(b[[index(k)]]))) }",  # a table
        "for k in 4 { s = smlad(x[2*k] as i16x2, x[2*k] as i16x2, s) }",  # a word that is no local
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 let c: i16x2 = sxtb16(b[4*k] as i8x4) s = smlad(a, c, s) }",
        "for k in 4 { let a: i16x2 = x[2*o] as i16x2 s = smlad(a, a, s) }",  # nothing moves
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 if 0 <= k < 2 { s = smlad(a, a, s) } }",
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 for l in 2 { s = smlad(a, a, s) } }",
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 y[k] = smlad(a, a, s) }",  # a store
        "for k in 4 { let a: i16x2 = x[2*k] as i16x2 var t: i32 = 3 s = smlad(a, a, (s + t)) }",
    ],
)
def test_other_loops_are_no_walks(body: str) -> None:
    text = printed(sums(body))
    assert "while" not in text and "for (int32_t k = 0; k < 4; k++)" in text
    same_on_this_machine(sums(body))


def test_constants_beside_a_walk_are_no_reason_against_it() -> None:
    body = "for k in 4 { let a: i16x2 = x[2*k] as i16x2 s = smlad(a, a, (s + i32(b[o]))) s = (s + index(o)) }"
    assert "while" in printed(sums(body))
    same_on_this_machine(sums(body))


def test_a_loop_of_one_round() -> None:
    k = sums("for k in 1 { let a: i16x2 = x[2*k + 1] as i16x2 s = smlad(a, a, s) }")
    assert "while" in printed(k)
    same_on_this_machine(k)


# -- reach ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("buffer", "dtype", "places", "starts"),
    [
        ("x", "i16x2", (0, 2047), [0]),  # 4094 bytes
        ("x", "i16x2", (0, 2048), [0, 2048]),
        ("x", "i16x2", (2047, 0, 2048, 1), [0, 2048]),
        ("x", "i16x2", (5, 4000, 2052, 2053, 8000), [5, 2053, 8000]),
        ("w", "i8x4", (0, 4095), [0]),
        ("w", "i8x4", (0, 4096), [0, 4096]),
        ("w", "i8x4", (8191, 3, 4098, 4099), [3, 4099]),
    ],
)
@pytest.mark.parametrize("loop", [True, False])
def test_words_out_of_reach_have_pointers_of_their_own(
    buffer: str, dtype: str, places: tuple[int, ...], starts: list[int], loop: bool
) -> None:
    fetched = "a{0}" if dtype == "i16x2" else "sxtb16(a{0})"
    step = "2*k + " if loop else ""
    lines = [f"let a{i}: {dtype} = {buffer}[{step}{place}] as {dtype}" for i, place in enumerate(places)]
    lines += [f"s = smlad({fetched.format(i)}, {fetched.format(i)}, s)" for i in range(len(places))]
    body = "\n".join(["for k in 3 {", *lines, "}"] if loop else lines)
    k = kernel(
        f"""
        kernel @far(in x: i16[8100], const w: i8[8300], out y: i32[1]) {{
          var s: i32 = 1
          {body}
          y[0] = s
        }}
        """
    )
    text = printed(k)
    assert sorted(pointers(text).values()) == sorted(f"&{buffer}[{start}]" for start in starts)
    assert ("while" in text) == loop
    distances = [int(n) for n in re.findall(r"load32\(\w+, (\d+)\)", text)]
    assert len(distances) == len(places) and max(distances) <= 4095
    same_on_this_machine(k)


def test_a_pointer_stands_before_its_first_word() -> None:
    """In a block of its own, after what stands before it."""
    k = sums("s = (s + 3)", "if 0 <= o < 2 { let a: i16x2 = x[2*o] as i16x2 s = smlad(a, a, s) }")
    lines = [line.strip() for line in printed(k).splitlines()]
    at = lines.index("const int16_t *const x_at = &x[2 * o];")
    assert lines[at - 1 : at + 2] == ["if (o < 2) {", lines[at], "const uint32_t a = tinyir_load32(x_at, 0);"]
    same_on_this_machine(k)


def test_words_of_scratch_that_is_written_in_between() -> None:
    k = kernel(
        """
        kernel @k(in x: i16[8], scratch z: i16[8], out y: i32[2]) {
          for v in 8 { z[v] = x[v] }
          let a: i16x2 = z[2] as i16x2
          z[2] = x[0]
          let c: i16x2 = z[2] as i16x2
          y[0] = smlad(a, a, 0)
          y[1] = smlad(c, c, 0)
        }
        """
    )
    assert pointers(printed(k)) == {"z_at": "&z[2]"} and "int16_t *const z_at" in printed(k)
    same_on_this_machine(k)


def test_pointers_are_not_called_what_something_else_is() -> None:
    """By the names that they have in C."""
    k = kernel(
        """
        kernel @k(in x: i16[8], in x_at: i16[8], out end: i32[1]) {
          var s: i32 = 0
          for k in 2 { let a: i16x2 = x[2*k] as i16x2 let b: i16x2 = x_at[2*k] as i16x2 s = smlad(a, b, s) }
          end[0] = s
        }
        """
    )
    assert list(pointers(printed(k))) == ["x_at_1", "x_at_at"] and "volatile end_1" in printed(k)
    same_on_this_machine(k)


# -- the same bytes, however it is built ------------------------------------------------------------------------------

BUILDS = [
    ("-O3", ()),
    ("-O0", ()),
    ("-O2", ()),
    ("-Os", ()),
    ("-O3", ("-DTINYIR_NO_ASM",)),
    ("-O0", ("-DTINYIR_NO_ASM",)),
]


@needs_m7
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("float")])
def test_the_same_bytes_however_built(name: str, compiler: CompilerKind, tmp_path: Path) -> None:
    """Instructions in order, intrinsics and what the compiler makes of them."""
    made = case(name)
    folder = made.program.write(tmp_path)
    found = CrossCompiler.detect(compiler)
    for opt, defines in BUILDS:
        program = M7Program.build(folder, "cortex-m7", CrossCompiler(compiler, (*found.command, *defines)), opt)
        for given, wanted in zip(made.inputs, made.outputs, strict=True):
            outputs = program.run(given).outputs
            assert [o.tobytes() for o in outputs] == [w.tobytes() for w in wanted], (opt, defines)


@needs_m7
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("opt", ["-O1", "-O3"])
def test_walks_and_far_words_on_the_m7(compiler: CompilerKind, opt: str) -> None:
    far = "let a0: i16x2 = x[2*k] as i16x2 let a1: i16x2 = x[2*k + 4001] as i16x2"
    kernels = [
        sums(WALK),
        sums("for k in 8 { let a: i16x2 = x[-3*k + o + 21] as i16x2 s = smlad(a, a, s) }"),
        sums(f"for k in 8 {{ {far} s = smlad(a0, a1, s) }}", image="4100"),
    ]
    arrays = [data_for(k) for k in kernels]
    with folder_of(files_of(module_of(kernels))) as folder:
        program = M7Program.build(folder, "cortex-m7", CrossCompiler.detect(compiler), opt)
    given = [arrays[i][p.name] for i, k in enumerate(kernels) for p in k.by_role("in")]
    for k, data, found in zip(kernels, arrays, program.run(given).outputs, strict=True):
        np.testing.assert_array_equal(run(k, data)["y"], found)
