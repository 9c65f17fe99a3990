"""The program on this machine."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.runtime.samples import SAMPLE, assert_equal, changed, dense, expected, inputs
from tinyir.runtime.host import GuardError, HostProgram


@pytest.fixture(scope="module")
def sample() -> HostProgram:
    return HostProgram.build(SAMPLE)


@pytest.mark.parametrize("own_buffers", [False, True])
def test_outputs(sample: HostProgram, own_buffers: bool) -> None:
    for seed in range(5):
        result = sample.run(inputs(seed), own_buffers=own_buffers)
        assert result.status == 0 and result.instructions is None
        assert_equal(result.outputs, expected(inputs(seed)))


def test_the_arena_after_each_op(sample: HostProgram) -> None:
    seen: list[tuple[int, NDArray[np.uint8]]] = []
    sample.run(inputs(), observe=lambda op, arena: seen.append((op, arena)))
    assert [op for op, _ in seen] == [0, 1, 2, 3]
    first = sample.info.ops[0].outputs[0].read(seen[0][1])
    np.testing.assert_array_equal(first, dense(inputs()[0]))


def test_an_observer_may_fail(sample: HostProgram) -> None:
    def fail(op: int, _: object) -> None:
        raise RuntimeError(f"no more after {op}")

    with pytest.raises(RuntimeError, match="no more after 0"):
        sample.run(inputs(), observe=fail)
    assert sample.run(inputs()).status == 0


def test_what_the_program_refuses(sample: HostProgram) -> None:
    memory = np.zeros(1024, np.uint8)
    at = memory.ctypes.data + -memory.ctypes.data % 8
    own = [at + 256, at + 320, at + 384, at + 448]
    assert sample.invoke(at, own[:2], own[2:]) == 0
    assert sample.invoke(0, own[:2], own[2:]) == 1
    assert sample.invoke(at, [own[0], 0], own[2:]) == 1
    assert sample.invoke(at + 4, own[:2], own[2:]) == 2


def test_the_arena_is_overwritten_unless_told(sample: HostProgram) -> None:
    def slack(fresh: bool) -> list[int]:
        last: list[NDArray[np.uint8]] = []
        sample.run(inputs(), observe=lambda _, arena: last.append(arena), fresh_arena=fresh)
        return [int(byte) for byte in last[-1][176:180]]

    assert slack(True) == [0xA5] * 4
    sample._arena.bytes[176:180] = [1, 2, 3, 4]
    assert slack(False) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("out[21] = 1.0f;", "0 bytes past the end of the arena"),
        ("out[-25] = 1.0f;", "4 bytes before the arena"),
    ],
)
def test_a_write_beside_the_arena(tmp_path: Path, line: str, where: str) -> None:
    folder = changed(tmp_path, "out[i] = (float)in[i] * 0.5f + b[i];\n    }", f"out[i] = b[i];\n    }}\n    {line}")
    broken = HostProgram.build(folder)
    with pytest.raises(GuardError, match=where) as caught:
        broken.run(inputs(), observe=lambda op, arena: None)
    assert caught.value.op == 2 and "in op 2 `scale`" in caught.value.message
    with pytest.raises(GuardError, match=where):
        broken.run(inputs())


def test_a_write_beside_a_buffer(tmp_path: Path) -> None:
    folder = changed(tmp_path, "int8_t *const hidden", "output1[16] = 0;\n    int8_t *const hidden")
    with pytest.raises(GuardError, match="0 bytes past the end of `h`"):
        HostProgram.build(folder).run(inputs(), own_buffers=True)
