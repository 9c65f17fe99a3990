"""The main job on real data: a .tflite in, C out, a test set on an emulated Cortex-M7, every output equal to TFLite
Micro's. Run by `make demo`; needs `pip install -e '.[verify]'`.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from rich.progress import track

import tinyir
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.oracles import run_oracle
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import get_target

HERE = Path(__file__).parent
TARGET = "stm32f746g-disco"


def main() -> None:
    """Compile, run, compare, print."""
    started = time.perf_counter()
    compiled = tinyir.compile(HERE / "digits.tflite", target=TARGET)
    folder = compiled.write(HERE.parents[1] / "out" / "digits")
    print(f"compiled digits.tflite to {folder} in {time.perf_counter() - started:.1f} s")

    with np.load(HERE / "test_set.npz") as data:
        images, labels = data["images"], data["labels"]
    compiler = CrossCompiler.detect()
    program = M7Program.build(folder, get_target(TARGET), compiler)
    model = (HERE / "digits.tflite").read_bytes()
    right = equal = 0
    for image, label in track(list(zip(images, labels, strict=True)), "emulated Cortex-M7", transient=True):
        scores = program.run([image[None]]).outputs[0]
        truth = run_oracle("tflm", model, [image[None]]).outputs[0]
        right += int(scores.argmax() == label)
        equal += int(np.array_equal(scores, truth))
    counted = program.run([images[0][None]], count=True)

    flash = compiled.report["flash_bytes"]
    print(f"accuracy     {right} of {len(labels)} held-out digits ({100 * right / len(labels):.1f} %)")
    print(f"exactness    {equal} of {len(labels)} outputs equal TFLite Micro's, bit for bit")
    print(
        f"RAM          {compiled.arena_bytes:,} bytes of arena with input and output, {counted.stack_bytes:,} of stack"
    )
    print(f"flash        {flash['code']:,} bytes of code, {flash['weights']:,} of constants")
    print(f"instructions {counted.instructions:,} for {compiled.report['macs']:,} multiply-accumulates")
    print(f"on           {TARGET}, emulated; {compiler.version}")
    if equal != len(labels):
        raise SystemExit("some outputs differ from TFLite Micro's")


if __name__ == "__main__":
    main()
