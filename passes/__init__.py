"""Passes: IR to IR, each in its own file, named like its class.

Importing this package imports no pass; `tinyir.passes.registry` finds one by its name. A new pass is a file here, a
line in `BUILTIN`, and a test file.
"""

BUILTIN = (
    "add-preprocessing",
    "replace-classifier",
    "select-params",
    "stamp-params",
    "canonicalize",
    "fold-pad",
    "strip-io",
    "legalize-quant",
    "build-backward",
    "prune-backward",
    "bit-masks",
    "narrow-gradients",
    "augment",
    "hwc-to-chw",
    "fuse-ops",
    "reorder-updates",
    "lower-to-loops",
    "schedule-loops",
    "plan-memory",
)
"""Every pass of this package: `fuse-ops` is the class `FuseOps` in fuse_ops.py."""
