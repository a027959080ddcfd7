"""Binary neural networks for Keras. `python -m tools.write_stub` wrote this."""

from os import PathLike
from typing import Any, Literal

from tf_keras import Model

from zoo import catalog as catalog
from zoo import deploy as deploy
from zoo import layers as layers
from zoo import quantizers as quantizers
from zoo import weights as weights
from zoo.errors import ZooError as ZooError
from zoo.feature_maps import FeatureMap as FeatureMap
from zoo.feature_maps import features as features
from zoo.lookup import get_model as get_model
from zoo.lookup import list_models as list_models
from zoo.lookup import load_model as load_model
from zoo.preprocessing import decode_predictions as decode_predictions
from zoo.preprocessing import preprocess_input as preprocess_input
from zoo.profile import Profile as Profile
from zoo.profile import profile as profile

__version__: str

def ReActNetA(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    width: float = 1.0,
    stem_strides: int = 2,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """ReActNet-A: MobileNet's layout with binary 3x3 and 1x1 convolutions, each with a shortcut.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale, as in Bi-
            Real Net's paper; the authors' code does not.
        width: Multiplies every channel count.
        stem_strides: Stride of the first convolution: 2 for 224x224, 1 for small images.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def ReActNetB(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    width: float = 1.0,
    stem_strides: int = 2,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """ReActNet-B: as A, but 1x1 convolutions that double the channels are real, in 4 groups.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale, as in Bi-
            Real Net's paper; the authors' code does not.
        width: Multiplies every channel count.
        stem_strides: Stride of the first convolution: 2 for 224x224, 1 for small images.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def ReActNetC(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    width: float = 1.0,
    stem_strides: int = 2,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """ReActNet-C: as A, but 1x1 convolutions that double the channels are real.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale, as in Bi-
            Real Net's paper; the authors' code does not.
        width: Multiplies every channel count.
        stem_strides: Stride of the first convolution: 2 for 224x224, 1 for small images.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def ReActNet18(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """ReAct on Bi-Real Net's ResNet-18: RSign, binary 3x3, batch norm, + shortcut, RPReLU.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale, as in Bi-
            Real Net's paper; the authors' code does not.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def ReActNet34(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """ReAct on Bi-Real Net's ResNet-34.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale, as in Bi-
            Real Net's paper; the authors' code does not.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def ReActNet20(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """ReAct on the ResNet-20 body at 32x32.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale, as in Bi-
            Real Net's paper; the authors' code does not.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def BiRealNet18(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    binary_activations: bool = True,
    clip_slope: float = 0.0,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Bi-Real Net 18: sign, binary 3x3, batch norm, + shortcut; no other activation.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale (the paper,
            section 3.3); the authors' code does not.
        binary_activations: False: clip(-1, x, 1) instead of the sign, the paper's pretraining
            (section 3.4), with binary_weights=False.
        clip_slope: Slope of this clip beyond +-1; the pretraining starts with 0.1.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def BiRealNet34(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    binary_activations: bool = True,
    clip_slope: float = 0.0,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Bi-Real Net 34.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale (the paper,
            section 3.3); the authors' code does not.
        binary_activations: False: clip(-1, x, 1) instead of the sign, the paper's pretraining
            (section 3.4), with binary_weights=False.
        clip_slope: Slope of this clip beyond +-1; the pretraining starts with 0.1.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def BiRealNet50(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    binary_activations: bool = True,
    clip_slope: float = 0.0,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Bi-Real Net 50: bottlenecks with a shortcut around each of their three convolutions.

    Two feature maps pass from block to block: `mid` has the bottleneck's width, and `full` is four
    times as wide. The first 1x1 convolution is real.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale (the paper,
            section 3.3); the authors' code does not.
        binary_activations: False: clip(-1, x, 1) instead of the sign, the paper's pretraining
            (section 3.4), with binary_weights=False.
        clip_slope: Slope of this clip beyond +-1; the pretraining starts with 0.1.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def BiRealNet20(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    magnitude_aware_gradient: bool = False,
    binary_activations: bool = True,
    clip_slope: float = 0.0,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Bi-Real Net on the ResNet-20 body at 32x32.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        magnitude_aware_gradient: Multiply the gradient of a binary kernel by its scale (the paper,
            section 3.3); the authors' code does not.
        binary_activations: False: clip(-1, x, 1) instead of the sign, the paper's pretraining
            (section 3.4), with binary_weights=False.
        clip_slope: Slope of this clip beyond +-1; the pretraining starts with 0.1.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def XNORNetPlusPlusResNet18(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    scale: str = "case4",
    activation: str = "relu",
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """XNOR-Net++ ResNet-18: a shortcut around two convolutions; first, last and 1x1 are real.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        scale: Shape of the learned factor, 'case1' to 'case4' (section 3; case4 is the best).
        activation: Keras activation after each binary convolution.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def XNORNetPlusPlusAlexNet(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    scale: str = "case4",
    activation: str = "relu",
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """XNOR-Net++ AlexNet: XNOR-Net's layout; hidden dense layers are binary convolutions.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        scale: Shape of the learned factor, 'case1' to 'case4' (section 3; case4 is the best).
        activation: Keras activation after each binary convolution.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def XNORNetPlusPlusResNet20(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    scale: str = "case4",
    activation: str = "relu",
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """XNOR-Net++ on the ResNet-20 body at 32x32.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        scale: Shape of the learned factor, 'case1' to 'case4' (section 3; case4 is the best).
        activation: Keras activation after each binary convolution.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def SDBNNResNet18(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """SD-BNN on Bi-Real Net's ResNet-18 (ImageNet), with a PReLU per channel after each sum.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def SDBNNResNet34(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """SD-BNN on Bi-Real Net's ResNet-34 (ImageNet).

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def SDBNNResNet18Cifar(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """SD-BNN ResNet-18 (CIFAR-10): one shortcut around two convolutions, 64 to 512 channels.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def SDBNNResNet20(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """SD-BNN ResNet-20 (CIFAR-10): a shortcut around every convolution, hardtanh after each sum.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def SDBNNVGGSmall(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """SD-BNN VGG-Small (CIFAR-10): six 3x3 convolutions, the first real; pool before batch norm.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def RealResNet20(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "cifar10",
    include_top: bool = True,
    num_classes: int = 10,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    width: float = 1.0,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Real-valued ResNet-20 at 32x32, with a shortcut around every convolution.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        width: Multiplies every channel count.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """

def RealResNet34(
    *,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    input_tensor: Any | None = None,
    weights: str | PathLike[str] | None = "imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    classifier_activation: str | None = "softmax",
    binary_weights: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Real-valued ResNet-34 in torchvision's layout and with its names: the ImageNet teacher.

    Args:
        input_shape: (height, width, channels) of the image; by default the paper's.
        input_tensor: A Keras tensor to use as the image.
        weights: None for random weights, the name of a registered set, or the path of a file.
        include_top: False ends with the last feature map, before pooling and classifier.
        num_classes: Number of classes; if the weights have other classes, the classifier is new.
        classifier_activation: Activation of the classifier; None gives logits.
        binary_weights: False gives the first training stage: binary activations, real weights.
        pooling: With include_top=False: 'avg' or 'max' adds the mean or maximum over each channel,
            (batch, channels).
        classes: Another name for num_classes, as in tf.keras.applications.
        name: Keras's name of the model; by default the network's, lower case.

    Returns:
        A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
        weight set says, to (batch, num_classes).

    Raises:
        ZooError: for a wrong argument, or weights that cannot be found.
    """
