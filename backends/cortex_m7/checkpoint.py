"""NAME_params_save and NAME_params_load: parameters to bytes and back."""

from __future__ import annotations

from tinyir.backends.cortex_m7.cwriter import LINE_WIDTH, CWriter
from tinyir.backends.cortex_m7.program import Program
from tinyir.checkpoint import HEADER_BYTES, checkpoint_bytes, identity

HELPERS = frozenset({"tinyir_checkpoint_begin", "tinyir_checkpoint_check", "tinyir_crc32"})
"""The support functions that they call."""


def state_identity(program: Program) -> bytes:
    """What checkpoints of this program are marked with."""
    fields = [(param.name, str(param.type.storage.numpy), param.type.shape) for param in program.params]
    return identity(str(program.module.attrs.get("state_sha256", "")), fields)


def declare_checkpoint(program: Program, c: CWriter) -> None:
    """Size and functions, for the header."""
    name, upper = program.name, program.name.upper()
    c.line()
    c.comment(["A checkpoint: the parameters with a version, what they belong to, and a CRC-32. Any alignment."])
    c.line(f"#define {upper}_CHECKPOINT_BYTES {checkpoint_bytes(program.params_bytes)}")
    c.line()
    c.comment([f"Writes {upper}_CHECKPOINT_BYTES bytes. Returns 0; 1 for a null pointer."])
    c.line(f"int {name}_params_save(const {name}_params *p, uint8_t *out);")
    c.line()
    c.comment(
        [
            "Sets the parameters to those of a checkpoint of `bytes` bytes. Returns 0, or why nothing has changed:",
            "1: a null pointer; 6: bytes are missing or too many; 7: no checkpoint, or one of another version;",
            "8: the parameters are those of another model; 9: damaged, the CRC-32 does not fit.",
        ]
    )
    c.line(f"int {name}_params_load({name}_params *p, const uint8_t *in, uint32_t bytes);")


def define_checkpoint(program: Program, c: CWriter) -> None:
    """The functions."""
    name, size = program.name, program.params_bytes
    copies = [(HEADER_BYTES + p.offset, p.field, p.type.bytes) for p in program.params]
    end = HEADER_BYTES + size
    c.line()
    with c.block(f"static const uint8_t {name}_identity[32] =", "};"):
        words = [f"0x{byte:02x}" for byte in state_identity(program)]
        per_line = (LINE_WIDTH - 3) // 6
        for i in range(0, len(words), per_line):
            c.line(f"{', '.join(words[i : i + per_line])},")
    c.line()
    with c.block(f"int {name}_params_save(const {name}_params *p, uint8_t *out)"):
        with c.block("if (p == 0 || out == 0)"):
            c.line("return 1;")
        c.line(f"tinyir_checkpoint_begin(out, {name}_identity, {size}u);")
        for offset, field, count in copies:
            c.line(f"tinyir_copy_bytes(out + {offset}, (const uint8_t *)p->{field}, {count}u);")
        c.line(f"tinyir_put_u32(out + {end}, tinyir_crc32(out, {end}u));")
        c.line("return 0;")
    c.line()
    with c.block(f"int {name}_params_load({name}_params *p, const uint8_t *in, uint32_t bytes)"):
        with c.block("if (p == 0 || in == 0)"):
            c.line("return 1;")
        c.line(f"const int status = tinyir_checkpoint_check(in, bytes, {name}_identity, {size}u);")
        with c.block("if (status != 0)"):
            c.line("return status;")
        for offset, field, count in copies:
            c.line(f"tinyir_copy_bytes((uint8_t *)p->{field}, in + {offset}, {count}u);")
        c.line("return 0;")
