"""Makes the digits example: a small int8 CNN trained on scikit-learn's handwritten digits.

    python -m venv /tmp/tfvenv
    /tmp/tfvenv/bin/pip install tensorflow==2.21.0 scikit-learn
    /tmp/tfvenv/bin/python examples/digits/train.py

writes `digits.tflite` and `test_set.npz` beside this file, in half a minute on two cores, and prints the accuracies
that README.md quotes.  TensorFlow makes the model; nothing needs it afterwards, so it is imported only where it is used
and `load_split` can be called without it.

    train.py --classes 0,1,2,3,4 --out /tmp/half

trains the same network on some of the digits.  The output has one entry per listed class, in the listed order, and the
labels of `test_set.npz` count in that order too.  The split into training and held-out images is made before classes
are chosen: with one `--seed`, no model has seen a held-out image of any digit.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.int8]
Labels = npt.NDArray[np.uint8]

HELD_OUT = 450  # of 1797 images
SLICE = 200  # of the held-out images, kept in test_set.npz
MAX_PIXEL = 16.0


@dataclass(frozen=True)
class Split:
    """Images are [n, 8, 8, 1], 0 to 1; labels count in the order of the chosen classes."""

    train_images: Floats
    train_labels: Labels
    test_images: Floats
    test_labels: Labels


def load_split(classes: list[int], seed: int = 0) -> Split:
    """The 1797 digits, 1347 for training and 450 held out (each digit in proportion), then only `classes` of both."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images / MAX_PIXEL).astype(np.float32)[..., np.newaxis]
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=HELD_OUT, random_state=seed, stratify=digits.target
    )
    return Split(*_choose(train_x, train_y, classes), *_choose(test_x, test_y, classes))


def _choose(images: Floats, digits: npt.NDArray[np.int64], classes: list[int]) -> tuple[Floats, Labels]:
    position = np.full(10, -1)
    position[classes] = np.arange(len(classes))
    labels = position[digits]
    return images[labels >= 0], labels[labels >= 0].astype(np.uint8)


def shift_images(images: Floats, rng: np.random.Generator) -> Floats:
    """Each image moved by -1, 0 or 1 pixels down and right, zeros moving in."""
    n, h, w, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    down, right = rng.integers(0, 3, size=(2, n, 1, 1))
    rows = down + np.arange(h)[:, np.newaxis]
    cols = right + np.arange(w)
    shifted: Floats = padded[np.arange(n)[:, np.newaxis, np.newaxis], rows, cols]
    return shifted


def build_network(num_classes: int) -> Any:
    """The Keras network, up to the logits.

        8x8x1   conv 3x3, 16, relu6
        8x8x16  depthwise 3x3, relu6; pointwise 32, relu
        8x8x32  residual: x + pointwise(depthwise(x)), then relu
        8x8x32  depthwise 3x3 stride 2, relu6; pointwise 48, relu
        4x4x48  residual: x + pointwise(depthwise(x)), no activation
        4x4x48  average pool 2x2; flatten; dense

    A batch normalisation follows each convolution, which the converter folds into it.
    """
    import tensorflow as tf

    layers = tf.keras.layers

    def conv(x: Any, name: str, channels: int, kernel: int = 1, act: str | None = None) -> Any:
        x = layers.Conv2D(channels, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.Activation(act, name=name)(x) if act else x

    def depthwise(x: Any, name: str, stride: int = 1) -> Any:
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.Activation("relu6", name=name)(x)

    image = tf.keras.Input((8, 8, 1), name="image")
    x = conv(image, "stem", 16, kernel=3, act="relu6")
    x = conv(depthwise(x, "dw1"), "pw1", 32, act="relu")
    x = layers.Add(name="sum2")([x, conv(depthwise(x, "dw2"), "pw2", 32)])
    x = layers.Activation("relu", name="block2")(x)
    x = conv(depthwise(x, "dw3", stride=2), "pw3", 48, act="relu")
    x = layers.Add(name="block4")([x, conv(depthwise(x, "dw4"), "pw4", 48)])
    x = layers.Flatten(name="features")(layers.AveragePooling2D(2, name="pool")(x))
    x = layers.Dense(num_classes, name="logits")(layers.Dropout(0.2, name="dropout")(x))
    return tf.keras.Model(image, x, name="digits")


def train(network: Any, images: Floats, labels: Labels, *, epochs: int, seed: int) -> None:
    """AdamW with a cosine rate; the images are shuffled and shifted anew in each epoch.

    The number of epochs is fixed: no data outside `images` takes part, not even to choose when to stop.
    """
    import tensorflow as tf

    batch = 32
    rate = tf.keras.optimizers.schedules.CosineDecay(3e-3, decay_steps=epochs * -(-len(images) // batch))
    loss = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    network.compile(tf.keras.optimizers.AdamW(rate, weight_decay=1e-3), loss, metrics=["accuracy"])
    targets = np.eye(network.output_shape[-1], dtype=np.float32)[labels]
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        history = network.fit(
            shift_images(images[order], rng), targets[order], batch_size=batch, shuffle=False, verbose=0
        ).history
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:3d}: loss {history['loss'][0]:.4f}, accuracy {history['accuracy'][0]:.4f}")


def quantise(network: Any, images: Floats) -> bytes:
    """Softmax appended, then the .tflite: int8 in and out, ranges measured on `images`.

    Weights of convolutions get a scale per output channel.  Those of the dense layer get one scale, since the op
    version with several (12) is newer than what microcontroller runtimes commonly read.
    """
    import tensorflow as tf

    # A fixed batch of one: otherwise the flatten becomes SHAPE, STRIDED_SLICE, PACK and RESHAPE.
    image = tf.keras.Input(batch_shape=(1, 8, 8, 1), name="image")
    fixed = tf.keras.Model(image, tf.keras.layers.Softmax(name="probabilities")(network(image)), name="model")

    def representative() -> Iterator[list[Floats]]:
        for image in images:
            yield [image[np.newaxis]]

    converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return bytes(converter.convert())


def run_int8(model: bytes, images: Floats) -> tuple[Bytes, Bytes]:
    """The images as the model takes them, and its outputs, by TFLite's reference kernels."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(
        model_content=model, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    inputs = np.clip(np.round(images / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
    outputs = []
    for image in inputs:
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(sink["index"])[0])
    return inputs, np.array(outputs)


def accuracy(outputs: npt.NDArray[Any], labels: Labels) -> str:
    right = int((outputs.argmax(axis=-1) == labels).sum())
    return f"{100 * right / len(labels):.2f} % ({right} of {len(labels)})"


def parse_classes(text: str) -> list[int]:
    """`0,1,2` -> [0, 1, 2]; at least two digits, none twice."""
    try:
        classes = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is not a list of digits such as 0,1,2") from None
    if len(classes) < 2 or len(set(classes)) < len(classes) or not set(classes) <= set(range(10)):
        raise argparse.ArgumentTypeError(f"`{text}`: need two or more different digits from 0 to 9")
    return classes


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the int8 digits model and write it with a slice of test data.")
    parser.add_argument("--classes", type=parse_classes, default=list(range(10)), help="digits to learn: 0,1,2,3,4")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the initial weights and the shifts")
    args = parser.parse_args()

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels round differently on each processor
    import tensorflow as tf

    tf.keras.config.disable_interactive_logging()
    tf.keras.utils.set_random_seed(args.seed)
    tf.config.experimental.enable_op_determinism()

    data = load_split(args.classes, args.seed)
    network = build_network(len(args.classes))
    train(network, data.train_images, data.train_labels, epochs=args.epochs, seed=args.seed)
    model = quantise(network, data.train_images)
    inputs, outputs = run_int8(model, data.test_images)

    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "digits.tflite").write_bytes(model)
    np.savez_compressed(args.out / "test_set.npz", images=inputs[:SLICE], labels=data.test_labels[:SLICE])

    print(f"float, held-out: {accuracy(network.predict(data.test_images, verbose=0), data.test_labels)}")
    print(f"int8,  held-out: {accuracy(outputs, data.test_labels)}")
    print(f"int8,  slice:    {accuracy(outputs[:SLICE], data.test_labels[:SLICE])}")
    print(f"wrote digits.tflite ({len(model)} bytes) and test_set.npz to {args.out}")


if __name__ == "__main__":
    main()
