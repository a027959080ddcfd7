"""Package metadata. Tool settings live in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

# Read, not imported: what the package needs may not be there yet.
PACKAGE = Path(__file__).parent / "zoo" / "__init__.py"
[VERSION] = re.findall(r'^__version__ = "(.+)"$', PACKAGE.read_text(encoding="utf-8"), re.MULTILINE)

# Ranges that were resolved and run together. larq needs Keras 2 (tf_keras, of TensorFlow's own
# minor version); zookeeper caps protobuf and tensorflow-datasets, which together cap TensorFlow.
INSTALL_REQUIRES = [
    "tensorflow>=2.19.1,<2.20",
    "tf_keras>=2.19,<2.20",
    "larq>=0.14,<0.15",
    "larq-zoo>=2.4,<2.5",
    "zookeeper>=1.4,<1.5",
    "tensorflow-datasets>=4.8.3,<4.9",
    "tensorflow-metadata<1.15",  # later ones need a newer protobuf; pip takes long to find out
    "protobuf>=3.20.3,<3.21",
    "numpy>=1.26,<2",
    "click>=8.1",
    "rich>=13",
    "psutil>=5.9",
    "filelock>=3.12",
    "requests>=2.31",
    "urllib3>=2",
    "tqdm>=4.60",
    "matplotlib>=3.8",
    "h5py>=3.10",
    "pillow>=10",
]

# tools/prepare_fashion_mnist.py: another version might compress to other bytes.
ZOPFLI = "zopfli==0.4.3"

# OpenVINO's maintainers call BinaryConvolution obsolete: no version is let in that was not tried.
OPENVINO = "openvino>=2026.4.1,<2026.5"
LCE = "larq-compute-engine>=0.16,<0.17"

# The newest onnx and tf2onnx that live with the protobuf that zookeeper allows.
ONNX = ["tf2onnx>=1.17,<1.18", "onnx>=1.17,<1.18", "onnxruntime>=1.20"]

# `lqz train --program`: the newest JAX that lives with NumPy 1.26 beside TensorFlow 2.19. Its
# runner needs no TensorFlow and takes any newer JAX.
PORTABLE = [
    "jax==0.7.1; python_version >= '3.11'",
    "jaxlib==0.7.1; python_version >= '3.11'",
    "pillow>=10",
]

DOCS = ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26"]
NOTEBOOKS = ["ipykernel>=6.29", "ipywidgets>=8", "nbclient>=0.10"]

EXTRAS_REQUIRE = {
    "convert": ["torch>=2.0"],  # `lqz convert --to torch`; its files are read without it
    "data": [ZOPFLI],
    "portable": PORTABLE,
    "openvino": [OPENVINO],
    "lce": [LCE],
    "onnx": ONNX,
    "docs": DOCS,
    "notebooks": [*NOTEBOOKS, "jupyterlab>=4", OPENVINO],
    "test": [
        *DOCS,
        *NOTEBOOKS,
        *PORTABLE,
        OPENVINO,
        LCE,
        *ONNX,
        "pytest>=8",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "selenium>=4.20",
        "scipy>=1.11",
        ZOPFLI,
        "build>=1.2",
        "jedi>=0.19",
        "setuptools>=65",
        "wheel",
    ],
    "lint": [
        "ruff==0.17.5",
        "mypy==2.4.1",
        "types-psutil",
        "types-requests",
        "types-tqdm",
        "pre-commit>=4",
    ],
}

setup(
    name="binary-zoo",
    version=VERSION,
    description="Binary neural networks for Keras: ReActNet, Bi-Real Net, XNOR-Net++ and SD-BNN",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["zoo", "zoo.*", "training", "training.*"]),
    package_data={
        "zoo": [
            "py.typed",
            "*.pyi",
            "*.csv",
            "pretrained/*.json",
            "pretrained/*.csv",
            "pretrained/shipped/**/*",
        ],
        "zoo.deploy.c": ["sources/**/*"],
        "training": ["*.mplstyle"],
        "training.data": ["embedded/**/*"],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["lqz = training.cli:main"]},
)
