"""The text of the printed program around the statements: its docstring, ports, functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tinyir import __version__
from tinyir.backends.numpy_statements import Statements, type_text
from tinyir.ir.core import Func, Module
from tinyir.ir.training import INIT, STEP, rng_index
from tinyir.ir.types import TensorType

FUNCTIONS = {
    STEP: "One step of training: the loss before it, then the new value of each parameter.",
    INIT: "The values of the parameters that the model came with.",
}


def program_text(name: str, module: Module, printed: Sequence[Statements]) -> str:
    """NAME.py, from the functions of the program, @main first."""
    func, statements = module.main, printed[0]
    own = [arg.name or variable for arg, variable in zip(func.args, statements.parameters, strict=True)]
    inputs = _port_names(func, "inputs", own)
    outputs = _port_names(func, "outputs", [v.name or f"output{i}" for i, v in enumerate(func.outputs)])
    lines = [
        *_docstring(name, module, inputs, outputs),
        "",
        "from pathlib import Path",
        "",
        "import numpy as np",
        "",
        f"import {name}_kernels as K",
        f"from {name}_kernels.program import Tensor, check, load_weights, main",
        "",
        f'W = load_weights(Path(__file__).with_name("{name}_weights.npz"))',
        "",
        *_ports("INPUTS", inputs, [arg.type for arg in func.args]),
        *_ports("OUTPUTS", outputs, [value.type for value in func.outputs]),
        *(line for other in printed if other.func.name == STEP for line in _training_constants(other.func, module)),
        "",
        "",
        *_run_function(statements),
        "",
        "",
        *(line for other in printed[1:] for line in [*_function(other), "", ""]),
        'if __name__ == "__main__":',
        "    raise SystemExit(main(run, INPUTS, OUTPUTS))",
    ]
    return "\n".join(lines) + "\n"


def _training_constants(step: Func, module: Module) -> list[str]:
    """What a trainer must know besides the functions."""
    return [
        f"CLASSES = {step.attrs.get('classes')}",
        f"RNG = {rng_index(step)}  # which parameter holds a seed and the number of steps",
        f"STATE_SHA256 = {json.dumps(str(module.attrs.get('state_sha256', '')))}",
    ]


def _run_function(statements: Statements) -> list[str]:
    head = [
        '"""One inference. Raises ValueError for an input of another type or shape."""',
        f"check({', '.join(['INPUTS', *statements.parameters])})",
    ]
    return _definition("run", head, statements)


def _function(statements: Statements) -> list[str]:
    """A function besides `run`: a step of training, the first values of the parameters."""
    return _definition(statements.func.name, [f'"""{FUNCTIONS[statements.func.name]}"""'], statements)


def _definition(name: str, body: list[str], statements: Statements) -> list[str]:
    results, parameters = statements.results, statements.parameters
    kind = "np.ndarray" if len(results) == 1 else "tuple[np.ndarray, ...]"
    for section in statements.sections:
        if section.lines:
            body += ["", *section.heading, *section.lines]
    body += ["", f"return {results[0] if len(results) == 1 else _tuple(results)}"]
    head = f"def {name}({', '.join(f'{name}: np.ndarray' for name in parameters)}) -> {kind}:"
    return [head, *(f"    {line}" if line else "" for line in body)]


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _port_names(func: Func, attribute: str, defaults: Sequence[str]) -> list[str]:
    """What the model calls its inputs or outputs, else what the IR calls them."""
    names = func.attrs.get(attribute, ())
    return [str(name) for name in names] if len(names) == len(defaults) else list(defaults)


def _ports(variable: str, names: Sequence[str], types: Sequence[TensorType]) -> list[str]:
    """The description of the inputs or outputs as data."""
    items = [f"    {_port(name, type)}," for name, type in zip(names, types, strict=True)]
    return [f"{variable} = (", *items, ")"] if items else [f"{variable} = ()"]


def _port(name: str, type: TensorType) -> str:
    shape = _tuple([str(n) for n in type.shape])
    text = f'{json.dumps(name)}, "{type.storage.numpy}", {shape}'
    if type.quant is not None and not type.quant.per_axis:
        text += f", scale={type.quant.scale!r}, zero_point={type.quant.zero_point}"
    return f"Tensor({text})"


def _docstring(name: str, module: Module, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    func = module.main
    xs, ys = _numbered("x", len(inputs)), _numbered("y", len(outputs))
    command = [f"python {name}.py", *(f"{x}.npy" for x in xs), *(f"-o {y}.npy" for y in ys)]
    sha256 = str(module.attrs.get("sha256", ""))
    lines = [
        f"{name}: one inference in NumPy, a statement for each op.",
        "",
        f"Printed by tinyir {__version__}" + (f" from the model with the SHA-256 {sha256}." if sha256 else "."),
        "",
        "Inputs:",
        *_described(inputs, [arg.type for arg in func.args]),
        "Outputs:",
        *_described(outputs, [value.type for value in func.outputs]),
        "",
        "Needs NumPy alone, and beside this file:",
        f"    {name}_weights.npz: the constants",
        f"    {name}_kernels/: the functions that the statements call",
        "In Python:",
        f"    from {name} import run; {', '.join(ys)} = run({', '.join(xs)})",
        "In a shell (without files it runs on random inputs, without -o it prints):",
        f"    {' '.join(command)}",
    ]
    escaped = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in lines]
    return [f'"""{escaped[0]}', *escaped[1:], '"""']


def _numbered(letter: str, count: int) -> list[str]:
    return [letter] if count == 1 else [f"{letter}{i}" for i in range(count)]


def _described(names: Sequence[str], types: Iterable[TensorType]) -> list[str]:
    return [f"    {json.dumps(name)[1:-1]}: {type_text(type)}" for name, type in zip(names, types, strict=True)]
