"""Convert images to a network's input, and its output to class names, as the weight set records.

Importing this imports no TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.card import NetworkCard, card_of
from zoo.errors import FileError, InvalidValueError, WeightsError
from zoo.files import expanded
from zoo.pretrained.find import resolve
from zoo.pretrained.records import ImagePreprocessing, class_names, preprocessing

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision's constants, for images in 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)


def preprocess_input(
    image: Any,
    weights: str = "imagenet",
    *,
    model: str | tf.keras.Model | None = None,
    size: Any = None,
) -> np.ndarray:
    """Crop, scale and normalise an image to a network's input for these weights.

    Args:
        image: pixel values in 0..255, [h, w, 3], or [batch, h, w, 3]; or the path of an image
            file (JPEG, PNG, BMP, GIF, WebP, TIFF), rotated as its EXIF data say.
        weights: a set's name, "imagenet" or "cifar10", or "MODEL/SET".
        model: the model's name, for larq-zoo's models (their images are cropped differently); or
            a model from `zoo.load_model` whose file records its preprocessing: then `weights` is
            ignored.
        size: (height, width); by default the size in the record.

    Returns:
        float32, with as many dimensions as `image`.

    Raises:
        WeightsError: no such set is registered, or the model's file records no preprocessing.
        InvalidValueError: `image` is not an image.
    """
    if model is not None and not isinstance(model, str):
        how = _card(model).preprocessing
        if how is None:
            raise _unknown(model)
        return preprocess(image, how, size or _size(model, how))
    return preprocess(image, preprocessing(resolve(weights, model).preprocessing), size)


def preprocess(image: Any, how: ImagePreprocessing, size: Any = None) -> np.ndarray:
    """Apply a known preprocessing, as `preprocess_input`; for one channel, convert to grey."""
    import numpy as np
    import tensorflow as tf

    if isinstance(image, str | Path):
        image = read_image(image)
    pixels = np.asarray(image)
    if pixels.ndim not in (3, 4) or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise InvalidValueError(
            f"An image has the shape (height, width, 3), or with a batch in front, not "
            f"{pixels.shape}."
        )
    if pixels.dtype.kind not in "uif":
        raise InvalidValueError(f"An image holds numbers from 0 to 255, not {pixels.dtype}.")
    if pixels.ndim == 4:
        return np.stack([preprocess(each, how, size) for each in pixels])
    if how.name == "larq-zoo" and size is None:
        from zoo.adapters.larq_zoo import preprocess_input as theirs

        return theirs(pixels)
    if len(how.mean) == 1:
        pixels = luma(pixels)
    height, width = size or (how.size, how.size)
    tensor = tf.convert_to_tensor(pixels)
    if pixels.shape[:2] != (height, width) or how.resize:
        # Scale the shorter side in the record's proportion (256 to 224), for any requested size.
        target = round(min(height, width) * (how.resize or how.size) / how.size)
        shorter = max(target, height, width)
        tensor = centre_crop(
            resize(tensor, shorter_side(tf.shape(tensor)[:2], shorter)), (height, width)
        )
    scaled = tf.cast(tensor, tf.float32) / 255.0
    return ((scaled - tf.constant(how.mean)) / tf.constant(how.std)).numpy()


def decode_predictions(
    predictions: Any,
    top: int = 5,
    weights: str = "imagenet",
    *,
    model: str | tf.keras.Model | None = None,
) -> list[list[tuple[str, str, float]]]:
    """Return the most likely classes of each image, best first, as (identifier, name, score).

    Args:
        predictions: the network's output, [batch, classes].
        top: how many classes to return.
        weights: a set's name, "imagenet" or "cifar10", or "MODEL/SET".
        model: the model's name, if `weights` does not contain it; or a model from `zoo.load_model`
            whose file records its classes: then `weights` is ignored.

    Raises:
        WeightsError: no such set is registered, or the model's file names no classes.
        InvalidValueError: the output's shape does not match its classes.
    """
    if model is not None and not isinstance(model, str):
        own = _card(model).classes
        if own is None:
            raise _unknown(model)
        return top_classes(predictions, own, top)
    names = class_names(resolve(weights, model).classes)
    return top_classes(predictions, names, top)


def _card(model: Any) -> NetworkCard:
    found = card_of(model)
    if found is None:
        raise _unknown(model)
    return found


def _unknown(model: Any) -> WeightsError:
    return WeightsError(
        f"The model '{getattr(model, 'name', model)}' does not record its class names and its "
        "preprocessing: give weights=SET, such as 'imagenet', in place of model=."
    )


def _size(model: Any, how: ImagePreprocessing) -> tuple[int, int] | None:
    """Return the image size of a model; None if it is variable or that of its preprocessing."""
    height, width = model.input_shape[1:3]
    return None if None in (height, width) or height == width == how.size else (height, width)


def top_classes(
    predictions: Any, names: tuple[tuple[str, str], ...], top: int
) -> list[list[tuple[str, str, float]]]:
    """Do the work of `decode_predictions` for classes with these (identifier, name)."""
    import numpy as np

    scores = np.asarray(predictions)
    if scores.ndim != 2 or scores.shape[1] != len(names):
        raise InvalidValueError(
            f"Predictions for these classes must have the shape (batch, {len(names)}), not "
            f"{scores.shape}."
        )
    if top < 1:
        raise InvalidValueError(f"top must be at least 1, not {top}.")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*names[label], float(row[label])) for label in labels]
        for row, labels in zip(scores, best, strict=True)
    ]


def read_image(path: str | Path) -> np.ndarray:
    """Return the pixels of an image file, uint8 [h, w, 3], rotated as its EXIF data say.

    Raises:
        InvalidValueError: the file does not exist, is not an image, or declares an absurd size.
    """
    import tensorflow as tf

    from zoo.images import FORMATS, as_png, upright
    from zoo.untrusted.images import read_image_file

    try:
        contents = as_png(read_image_file(expanded(path)))
    except FileError as error:
        raise InvalidValueError(str(error)) from error
    try:
        image = tf.io.decode_image(contents, channels=3, expand_animations=False)
        return upright(image, tf.constant(contents)).numpy()
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise InvalidValueError(f"'{path}' is not a readable {FORMATS}.") from error


def luma(pixels: np.ndarray) -> np.ndarray:
    """Convert [h, w, 3] to [h, w, 1] by ITU-R 601 luma; bytes in integers, as PIL's "L"."""
    import numpy as np

    weights = np.array([19595, 38470, 7471])
    if pixels.dtype.kind == "f":
        return (pixels @ (weights / 65536))[..., None].astype(pixels.dtype)
    grey = (pixels.astype(np.int64) @ weights + 0x8000) >> 16
    return grey[..., None].astype(pixels.dtype)


def resize(image: tf.Tensor, size) -> tf.Tensor:
    """Resize bilinearly with antialiasing, as PIL: float32 [size[0], size[1], c], not rounded."""
    import tensorflow as tf

    return tf.image.resize(image, size, method="bilinear", antialias=True)


def shorter_side(shape: tf.Tensor, target: int) -> tf.Tensor:
    """Scale [h, w] so that the shorter side is `target`; the longer side is rounded down."""
    import tensorflow as tf

    return target * shape // tf.reduce_min(shape)


def centre_crop(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Return the central `size` of [h, w, c]; a half pixel rounds to even, as in torchvision."""
    import tensorflow as tf

    margin = tf.cast(tf.shape(image)[:2] - tf.constant(size), tf.float32)
    corner = tf.cast(tf.round(margin / 2), tf.int32)
    return tf.slice(image, tf.pad(corner, [[0, 1]]), [*size, -1])
