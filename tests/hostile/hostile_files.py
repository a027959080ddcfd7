"""Files that do harm when they are opened carelessly, one of each kind.

Each function makes one in a folder. RUNS are those that write the file `marker` when Keras, NumPy
or TensorFlow open them; the others take memory, time or other files.
"""

import io
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
from large_files import LARGE
from making_files import Files, harmless, rewritten, with_last_layer

RUNS, LINKS, NO_FILES = Files(), Files(), Files()


class Harm:
    """Unpickled, it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch '{self.marker}'",))


def lambda_model(marker):
    image = tf.keras.Input((4,))
    code = f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"
    model = tf.keras.Model(image, tf.keras.layers.Lambda(eval(code), name="harm")(image))
    marker.unlink()  # building it ran it
    return model


# --- what writes the marker ---


@RUNS
def lambda_in_hdf5(folder, marker):
    lambda_model(marker).save(folder / "lambda.h5")
    return folder / "lambda.h5"


@RUNS
def hdf5_named_keras(folder, marker):
    return lambda_in_hdf5(folder, marker).rename(folder / "renamed.keras")


@RUNS
def saved_model(folder, marker):
    class Writes(tf.keras.layers.Layer):
        def call(self, x):
            tf.io.write_file(str(marker), "x")
            return 2 * x

    image = tf.keras.Input((4,))
    tf.keras.Model(image, Writes()(image)).save(folder / "saved")
    return folder / "saved"


@RUNS
def pickle_in_keras(folder, marker):
    """Keras reads the weights as .npz, pickles and all, where there are no .h5."""
    source, _ = harmless(folder)
    content = io.BytesIO()
    np.savez(content, **{"layers/dense": np.array({"0": Harm(marker)}, dtype=object)})
    changes = {"model.weights.h5": None, "model.weights.npz": content.getvalue()}
    return rewritten(source, folder / "pickle.keras", changes)


@RUNS
def system_call(folder, marker):
    """A layer whose function is os.system, called with a command in place of a tensor."""
    function = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }
    config = {
        "name": "last",
        "function": function,
        "function_type": "function",
        "output_shape": None,
        "output_shape_type": "raw",
        "arguments": {},
    }
    nodes = [["_CONSTANT_VALUE", -1, f"touch '{marker}'", {}]]
    return with_last_layer(
        folder,
        "system.keras",
        module="keras.layers",
        class_name="Lambda",
        registered_name=None,
        config=config,
        inbound_nodes=nodes,
    )


@RUNS
def tensorflow_operation(folder, marker):
    """A layer that is TensorFlow's function to write a file."""
    config = {"name": "last", "dtype": "float32", "function": "io.write_file"}
    nodes = [["_CONSTANT_VALUE", -1, str(marker), {"contents": "x"}]]
    return with_last_layer(
        folder,
        "operation.keras",
        module="tf_keras.src.layers.core.tf_op_layer",
        class_name="TFOpLambda",
        registered_name="TFOpLambda",
        config=config,
        inbound_nodes=nodes,
    )


@RUNS
def module_beside_it(folder, marker):
    """A network of a module that lies where Python looks for modules."""
    (folder / "harm_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    source, config = harmless(folder)
    config.update(module="harm_module", class_name="Functional", registered_name=None)
    return rewritten(source, folder / "module.keras", {"config.json": json.dumps(config)})


@RUNS
def pickle_in_npz(folder, marker):
    np.savez(folder / "pickle.npz", np.array([Harm(marker)], dtype=object))
    return folder / "pickle.npz"


# --- what leads to other files ---


def secret(folder):
    (folder / "secret.bin").write_bytes(bytes(range(48)))
    return folder / "secret.bin"


@LINKS
def hdf5_external_link(folder, marker):
    with h5py.File(folder / "target.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    with h5py.File(folder / "external_link.h5", "w") as file:
        file["kernel"] = h5py.ExternalLink("target.h5", "/kernel")
    return folder / "external_link.h5"


@LINKS
def hdf5_soft_link(folder, marker):
    with h5py.File(folder / "soft_link.h5", "w") as file:
        file["a"] = np.zeros(3)
        file["b"] = h5py.SoftLink("/a")
    return folder / "soft_link.h5"


@LINKS
def hdf5_loop(folder, marker):
    with h5py.File(folder / "loop.h5", "w") as file:
        file.create_group("a")["b"] = file["/"]
    return folder / "loop.h5"


@LINKS
def hdf5_external_storage(folder, marker):
    with h5py.File(folder / "storage.h5", "w") as file:
        file.create_dataset("kernel", (12,), "f4", external=[(str(secret(folder)), 0, 48)])
    return folder / "storage.h5"


@LINKS
def hdf5_virtual(folder, marker):
    with h5py.File(folder / "target.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(folder / "target.h5", "kernel", (3,))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("kernel", layout)
    return folder / "virtual.h5"


@LINKS
def zip_that_leads_outside(folder, marker):
    np.savez(folder / "slip.npz", np.zeros(3))
    with zipfile.ZipFile(folder / "slip.npz", "a") as archive:
        archive.writestr("../../outside.npy", b"harm")
    return folder / "slip.npz"


# --- what is no file ---


def _no_files(suffix):
    def pipe(folder, marker):
        os.mkfifo(folder / f"pipe{suffix}")
        return folder / f"pipe{suffix}"

    def device(folder, marker):
        (folder / f"device{suffix}").symlink_to("/dev/zero")
        return folder / f"device{suffix}"

    def directory(folder, marker):
        (folder / f"folder{suffix}").mkdir()
        return folder / f"folder{suffix}"

    for make in (pipe, device, directory):
        NO_FILES[f"{make.__name__}{suffix}"] = make


for _suffix in (".npz", ".h5", ".keras", ".png", ".pth"):
    _no_files(_suffix)

ALL = {**RUNS, **LINKS, **LARGE, **NO_FILES}
# Their weights alone do no harm, so that they are refused only when they do not fit; one of each
# format is enough where only weights are read.
HARMLESS_WEIGHTS = {
    "tensorflow_operation",
    "module_beside_it",
    "network_of_terabytes",
    "output_of_terabytes",
}


def open_carelessly(path: Path) -> None:
    """As Keras and NumPy do if they are told to trust the file."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=True) as archive:
            for key in archive.files:
                archive[key]
        return
    model = tf.keras.models.load_model(path, compile=False, safe_mode=False)
    model(tf.zeros([1, 4]))
