"""Files that do harm when they are opened carelessly, one of each kind.

Each function makes one in a folder. RUNS are those that write the file `marker` when Keras, NumPy
or TensorFlow open them; the others take memory, time or other files.
"""

import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

RUNS, OTHERS = {}, {}
GIB = 2**30


def runs(make):
    RUNS[make.__name__] = make
    return make


def other(make):
    OTHERS[make.__name__] = make
    return make


class Harm:
    """Unpickled, it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch '{self.marker}'",))


def harmless(folder, layer=None):
    """A small network as .keras, and its configuration."""
    image = tf.keras.Input((4,), name="image")
    layer = layer or tf.keras.layers.Activation("relu", name="last")
    model = tf.keras.Model(image, layer(tf.keras.layers.Dense(3, name="dense")(image)))
    path = folder / "harmless.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return path, json.loads(archive.read("config.json"))


def rewritten(source, target, changes, compression=zipfile.ZIP_STORED):
    """A zip with other contents of some members; None leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in [*old.namelist(), *(each for each in changes if each not in old.namelist())]:
            content = changes.get(name, old.read(name) if name in old.namelist() else None)
            if content is not None:
                new.writestr(name, content)
    return target


def with_last_layer(folder, name, **changes):
    source, config = harmless(folder)
    layer = config["config"]["layers"][-1]
    layer.pop("build_config", None)
    layer.update(changes)
    return rewritten(source, folder / name, {"config.json": json.dumps(config)})


def lambda_model(marker):
    image = tf.keras.Input((4,))
    code = f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"
    model = tf.keras.Model(image, tf.keras.layers.Lambda(eval(code), name="harm")(image))
    marker.unlink()  # building it ran it
    return model


# --- what writes the marker ---


@runs
def lambda_in_hdf5(folder, marker):
    lambda_model(marker).save(folder / "lambda.h5")
    return folder / "lambda.h5"


@runs
def hdf5_named_keras(folder, marker):
    return lambda_in_hdf5(folder, marker).rename(folder / "renamed.keras")


@runs
def saved_model(folder, marker):
    class Writes(tf.keras.layers.Layer):
        def call(self, x):
            tf.io.write_file(str(marker), "x")
            return 2 * x

    image = tf.keras.Input((4,))
    tf.keras.Model(image, Writes()(image)).save(folder / "saved")
    return folder / "saved"


@runs
def pickle_in_keras(folder, marker):
    """Keras reads the weights as .npz, pickles and all, where there are no .h5."""
    source, _ = harmless(folder)
    content = io.BytesIO()
    np.savez(content, **{"layers/dense": np.array({"0": Harm(marker)}, dtype=object)})
    changes = {"model.weights.h5": None, "model.weights.npz": content.getvalue()}
    return rewritten(source, folder / "pickle.keras", changes)


@runs
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


@runs
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


@runs
def module_beside_it(folder, marker):
    """A network of a module that lies where Python looks for modules."""
    (folder / "harm_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    source, config = harmless(folder)
    config.update(module="harm_module", class_name="Functional", registered_name=None)
    return rewritten(source, folder / "module.keras", {"config.json": json.dumps(config)})


@runs
def pickle_in_npz(folder, marker):
    np.savez(folder / "pickle.npz", np.array([Harm(marker)], dtype=object))
    return folder / "pickle.npz"


# --- what leads to other files ---


def secret(folder):
    (folder / "secret.bin").write_bytes(bytes(range(48)))
    return folder / "secret.bin"


@other
def hdf5_external_link(folder, marker):
    with h5py.File(folder / "target.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    with h5py.File(folder / "external_link.h5", "w") as file:
        file["kernel"] = h5py.ExternalLink("target.h5", "/kernel")
    return folder / "external_link.h5"


@other
def hdf5_soft_link(folder, marker):
    with h5py.File(folder / "soft_link.h5", "w") as file:
        file["a"] = np.zeros(3)
        file["b"] = h5py.SoftLink("/a")
    return folder / "soft_link.h5"


@other
def hdf5_loop(folder, marker):
    with h5py.File(folder / "loop.h5", "w") as file:
        file.create_group("a")["b"] = file["/"]
    return folder / "loop.h5"


@other
def hdf5_external_storage(folder, marker):
    with h5py.File(folder / "storage.h5", "w") as file:
        file.create_dataset("kernel", (12,), "f4", external=[(str(secret(folder)), 0, 48)])
    return folder / "storage.h5"


@other
def hdf5_virtual(folder, marker):
    with h5py.File(folder / "target.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(folder / "target.h5", "kernel", (3,))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("kernel", layout)
    return folder / "virtual.h5"


@other
def zip_that_leads_outside(folder, marker):
    np.savez(folder / "slip.npz", np.zeros(3))
    with zipfile.ZipFile(folder / "slip.npz", "a") as archive:
        archive.writestr("../../outside.npy", b"harm")
    return folder / "slip.npz"


# --- what takes memory, disk or time ---


@other
def hdf5_of_three_gigabytes(folder, marker):
    """1.25 MB whose chunks say 3 GB."""
    with h5py.File(folder / "large.h5", "w") as file:
        file.create_dataset("kernel", (3 * GIB // 4,), "f4", chunks=(2**18,))
        file["filling"] = np.zeros(2**18 + 2**16, "f4")
    return folder / "large.h5"


@other
def hdf5_of_zeros(folder, marker):
    with h5py.File(folder / "zeros.h5", "w") as file:
        kernel = file.create_dataset(
            "kernel", (40 * GIB // 4,), "f4", chunks=(2**22,), compression="gzip"
        )
        kernel[: 2**22] = 0
    return folder / "zeros.h5"


@other
def hdf5_of_one_text_many_times(folder, marker):
    """A list of texts that are all the same 8 MiB: read, they are 31 GiB."""
    with h5py.File(folder / "texts.h5", "w") as file:
        file.attrs["layer_names"] = np.array(["x" * 2**23] + ["y"] * 3_999, dtype=object)
    path = folder / "texts.h5"
    content = bytearray(path.read_bytes())
    # Each text is its length, the address of its heap, and its number there.
    first = content.index(struct.pack("<I", 2**23))
    entry = content[first : first + 16]
    at = first
    while content[at + 16 : at + 20] == struct.pack("<I", 1):
        at += 16
        content[at : at + 16] = entry
    path.write_bytes(content)
    return path


@other
def npz_of_gigabytes(folder, marker):
    """1.3 kB that declare 2.8 GiB."""
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (7 * GIB // 10,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(folder / "large.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1.weight.npy", header.getvalue() + bytes(1000))
    return folder / "large.npz"


@other
def npz_of_zeros(folder, marker):
    """A deflated array that takes more memory than is allowed."""
    with zipfile.ZipFile(folder / "zeros.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(1000))
    content = bytearray((folder / "zeros.npz").read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    (folder / "zeros.npz").write_bytes(content)
    return folder / "zeros.npz"


@other
def npz_of_many_members(folder, marker):
    """60,000 of them."""
    array = io.BytesIO()
    np.save(array, np.zeros(1))
    with zipfile.ZipFile(folder / "many.npz", "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number}.npy", array.getvalue())
    return folder / "many.npz"


@other
def keras_that_fills_the_disk(folder, marker):
    """With a fourth member, Keras unpacks all of them into the temporary folder."""
    source, _ = harmless(folder)
    changes = {"assets/filling": bytes(200 * 2**20)}
    return rewritten(source, folder / "disk.keras", changes, zipfile.ZIP_DEFLATED)


@other
def network_of_terabytes(folder, marker):
    source, config = harmless(folder)
    dense = next(each for each in config["config"]["layers"] if each["class_name"] == "Dense")
    dense["config"]["units"] = 2**40
    return rewritten(source, folder / "network.keras", {"config.json": json.dumps(config)})


@other
def output_of_terabytes(folder, marker):
    image = tf.keras.Input((4, 4, 1))
    tf.keras.Model(image, tf.keras.layers.UpSampling2D(2**20)(image)).save(folder / "output.keras")
    return folder / "output.keras"


@other
def nested_architecture(folder, marker):
    source, _ = harmless(folder)
    text = '{"class_name":' * 100_000 + "1" + "}" * 100_000
    return rewritten(source, folder / "nested.keras", {"config.json": text})


def png(path, width, height, rows=b""):
    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )
    return path


@other
def narrow_png(folder, marker):
    """3.6 kB: one pixel wide, 900,000 high. Scaled to 256 pixels' width it is 700 GB."""
    return png(folder / "narrow.png", 1, 900_000, bytes(2 * 900_000))


@other
def large_png(folder, marker):
    return png(folder / "large.png", 60_000, 60_000)


@other
def sparse_png(folder, marker):
    png(folder / "sparse.png", 8, 8, bytes(72))
    os.truncate(folder / "sparse.png", 5 * GIB)
    return folder / "sparse.png"


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
        OTHERS[f"{make.__name__}{suffix}"] = make


for _suffix in (".npz", ".h5", ".keras", ".png", ".pth"):
    _no_files(_suffix)

ALL = {**RUNS, **OTHERS}
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
