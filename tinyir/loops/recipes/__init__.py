from tinyir.loops.recipes import contraction, depthwise, old
from tinyir.loops.recipes.old import RECIPES, block_size, schedule

old.RECIPES["int.conv2d"] = (contraction.pointwise, contraction.convolution)
old.RECIPES["int.dense"] = (contraction.dense,)
old.RECIPES["int.depthwise_conv2d"] = (depthwise.depthwise,)
