"""The instructions of the FPU: what `decode` does not handle itself."""

from __future__ import annotations

from tinyir.machine import MachineInstr, make, make_fp
from tinyir.machine.timing import FP_WORD, Port
from tinyir.runtime.decode_operands import Operands

_MACS = frozenset({"vfma", "vfms", "vfnma", "vfnms", "vmla", "vmls", "vnmla", "vnmls"})


def decode_fp(ops: Operands) -> MachineInstr:
    """An instruction whose name begins with a V."""
    name, regs = ops.name, ops.registers
    if name in _MACS:
        return make_fp.fp_mac(regs[0], regs[1], regs[2], name)
    if name in ("vmul", "vnmul"):
        return make_fp.fp_multiply(regs[0], regs[-2], regs[-1], name)
    if name in ("vdiv", "vsqrt"):
        return make_fp.fp_divide(regs[0], *regs[1:], name=name)
    if name in ("vcmp", "vcmpe"):
        return make_fp.fp_compare(*regs, name=name)
    if name == "vmrs":
        return make_fp.fp_flags()
    if name.startswith("vsel"):
        return make_fp.fp_select(regs[0], regs[1], regs[2], name)
    if name == "vmov":
        return _move(ops)
    if name.startswith(("vldr", "vldm", "vpop", "vstr", "vstm", "vpush")):
        return _memory(ops)
    if name.startswith(("vadd", "vsub", "vcvt", "vabs", "vneg", "vmax", "vmin", "vrint")):
        return make_fp.fp_sum(regs[0], *regs[1:], name=name)
    return make.system(name)


def _move(ops: Operands) -> MachineInstr:
    regs = ops.registers
    if ops.has_constant:
        return make_fp.fp_move(regs[0], None)
    half = len(regs) // 2
    outs, sources = tuple(regs[:half]), tuple(regs[half:])
    to_fp, from_fp = (
        outs[0].startswith("s") and outs[0][1:].isdigit(),
        sources[0][1:].isdigit() and sources[0][0] == "s",
    )
    if to_fp and from_fp:
        return make_fp.fp_move(outs[0], sources[0])
    if to_fp:
        return make_fp.fp_from_core(outs, sources)
    return make_fp.fp_to_core(outs, sources)


def _memory(ops: Operands) -> MachineInstr:
    name, regs = ops.name, ops.registers
    if name.startswith(("vldr", "vstr")) and len(regs) == 1:
        if name.startswith("vldr"):
            return make_fp.fp_load(regs[0], ops.base, offset=ops.offset)
        return make_fp.fp_store(regs[0], ops.base, offset=ops.offset)
    if name.startswith(("vldr", "vstr")):
        base, moved, update = ops.base, regs, False
    elif name in ("vpop", "vpush"):
        base, moved, update = "sp", regs, True
    else:
        base, moved, update = regs[0], regs[1:], ops.updates
    if name.startswith(("vl", "vpop")):
        return make.load_several(moved, base, latency=FP_WORD, update=update, name=name)
    return make.store_several(moved, base, port=Port.FP_DATA, update=update, name=name)
