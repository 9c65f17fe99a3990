from tinyir.loops.recipes import contraction, old
from tinyir.loops.recipes.old import RECIPES, block_size, schedule

old.RECIPES["int.conv2d"] = (contraction.pointwise, contraction.convolution)
old.RECIPES["int.dense"] = (contraction.dense,)
