"""Planning problems for the tests of the arena solver: random ones, chains of layers, training programs."""

from __future__ import annotations

import random
from itertools import permutations

from tinyir.passes.arena import Buffer, Overlap

Case = tuple[list[Buffer], list[Overlap]]


def random_case(
    seed: int, count: int, steps: int, most: int, aligns: tuple[int, ...] = (1,), share: float = 0.0
) -> Case:
    """Buffers with lives up to six steps; `share` of the pairs that can have an overlap have one, of any kind."""
    chance = random.Random(seed)
    buffers = []
    for index in range(count):
        first = chance.randrange(steps)
        last = min(steps - 1, first + chance.randrange(6))
        buffers.append(Buffer(f"b{index}", chance.randint(0, most), chance.choice(aligns), first, last))
    overlaps = []
    for source, result in permutations(buffers, 2):
        if source.last == result.first and chance.random() < share:
            below = chance.randint(-result.bytes - 2, max(1, result.bytes // 4))
            above = chance.randint(below - 1, max(below, source.bytes + 2))
            overlaps.append(Overlap(source.name, result.name, below, above, chance.random() < 0.4))
    return buffers, overlaps


def network(seed: int, layers: int) -> Case:
    """Inverted residual blocks: pointwise convolutions that overlap diagonally, depthwise ones and adds in place."""
    chance = random.Random(seed)
    sides = [chance.choice([24, 32, 48])]
    net = Network(4 * 3 * sides[0] ** 2)
    block_input, channels = net.layer([0], 8 * sides[0] ** 2, chance.randrange(2000)), 8
    while len(net.lives) < layers:
        side, wide = sides[-1], channels * chance.choice([2, 3, 4, 6])
        smaller = side > 6 and chance.random() < 0.3
        sides.append((side + 1) // 2 if smaller else side)
        value = net.layer([block_input], wide * side**2, 2 * channels, diagonal=side**2)
        value = net.layer([value], wide * sides[-1] ** 2, chance.randrange(400), in_place=not smaller)
        add = not smaller and chance.random() < 0.6
        channels = channels if add else chance.choice([8, 16, 24, 40, 64])
        value = net.layer([value], channels * sides[-1] ** 2, 2 * wide, diagonal=sides[-1] ** 2)
        block_input = net.layer([block_input, value], channels * sides[-1] ** 2, in_place=True) if add else value
    return net.case()


class Network:
    """Layers one after the other, each with its inputs, its result and scratch."""

    def __init__(self, input_bytes: int) -> None:
        self.sizes = [input_bytes]
        self.lives = [[0, 0]]
        self.step = 0
        self.wishes: list[tuple[int, int, bool, int]] = []

    def layer(
        self, inputs: list[int], size: int, scratch: int = 0, *, in_place: bool = False, diagonal: int = 0
    ) -> int:
        """Append a layer; `diagonal` is the number of pixels of a pointwise convolution."""
        self.step += 1
        for index in inputs:
            self.lives[index][1] = self.step
        if scratch:
            self.sizes.append(scratch)
            self.lives.append([self.step, self.step])
        self.sizes.append(size)
        self.lives.append([self.step, self.step])
        result = len(self.sizes) - 1
        self.wishes += [(index, result, in_place, diagonal) for index in inputs if in_place or diagonal]
        return result

    def case(self) -> Case:
        """The problem; a source that is still needed later has no overlap."""
        sized = enumerate(zip(self.sizes, self.lives, strict=True))
        buffers = [Buffer(f"t{i}", size, 8, first, last) for i, (size, (first, last)) in sized]
        overlaps = []
        for s, r, in_place, pixels in self.wishes:
            source, result = buffers[s], buffers[r]
            if source.last == result.first:
                step = (source.bytes - result.bytes) // pixels if pixels else 0
                below = min(step, step * pixels) + 1
                overlaps.append(Overlap(source.name, result.name, below, source.bytes - 1, in_place))
        return buffers, overlaps


def training(seed: int, layers: int) -> Case:
    """Activations kept for the backward pass, gradients that overlap along the chain, weight gradients."""
    chance = random.Random(seed)
    sizes = [4 * round(2 ** chance.uniform(6, 14)) for _ in range(layers + 1)]
    end = 2 * layers + 1
    buffers, overlaps = [], []
    for layer, size in enumerate(sizes):
        last = end - layer if chance.random() < 0.4 else layer + 1
        buffers.append(Buffer(f"a{layer}", size, 4, layer, last))
        buffers.append(Buffer(f"g{layer}", size, 4, end - layer - 1, end - layer))
        buffers.append(Buffer(f"w{layer}", size // 8 * 4, 4, end - layer, end - layer))
    by_name = {b.name: b for b in buffers}
    for layer in range(layers):
        source, result = by_name[f"g{layer + 1}"], by_name[f"g{layer}"]
        below = min(0, source.bytes - result.bytes) + 1
        overlaps.append(Overlap(source.name, result.name, below, source.bytes - 1, False))
    return buffers, overlaps
