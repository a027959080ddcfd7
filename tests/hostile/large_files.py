"""Files that take memory, disk or time when they are opened carelessly, one of each kind."""

import io
import json
import os
import struct
import zipfile
import zlib

import h5py
import numpy as np
import tensorflow as tf
from making_files import Files, harmless, rewritten

LARGE = Files()
GIB = 2**30


@LARGE
def hdf5_of_three_gigabytes(folder, marker):
    """1.25 MB whose chunks say 3 GB."""
    with h5py.File(folder / "large.h5", "w") as file:
        file.create_dataset("kernel", (3 * GIB // 4,), "f4", chunks=(2**18,))
        file["filling"] = np.zeros(2**18 + 2**16, "f4")
    return folder / "large.h5"


@LARGE
def hdf5_of_zeros(folder, marker):
    with h5py.File(folder / "zeros.h5", "w") as file:
        kernel = file.create_dataset(
            "kernel", (40 * GIB // 4,), "f4", chunks=(2**22,), compression="gzip"
        )
        kernel[: 2**22] = 0
    return folder / "zeros.h5"


@LARGE
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


@LARGE
def npz_of_gigabytes(folder, marker):
    """1.3 kB that declare 2.8 GiB."""
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (7 * GIB // 10,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(folder / "large.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1.weight.npy", header.getvalue() + bytes(1000))
    return folder / "large.npz"


@LARGE
def npz_of_zeros(folder, marker):
    """A deflated array that takes more memory than is allowed."""
    with zipfile.ZipFile(folder / "zeros.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(1000))
    content = bytearray((folder / "zeros.npz").read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    (folder / "zeros.npz").write_bytes(content)
    return folder / "zeros.npz"


@LARGE
def npz_of_many_members(folder, marker):
    """60,000 of them."""
    array = io.BytesIO()
    np.save(array, np.zeros(1))
    with zipfile.ZipFile(folder / "many.npz", "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number}.npy", array.getvalue())
    return folder / "many.npz"


@LARGE
def keras_that_fills_the_disk(folder, marker):
    """With a fourth member, Keras unpacks all of them into the temporary folder."""
    source, _ = harmless(folder)
    changes = {"assets/filling": bytes(200 * 2**20)}
    return rewritten(source, folder / "disk.keras", changes, zipfile.ZIP_DEFLATED)


@LARGE
def network_of_terabytes(folder, marker):
    source, config = harmless(folder)
    dense = next(each for each in config["config"]["layers"] if each["class_name"] == "Dense")
    dense["config"]["units"] = 2**40
    return rewritten(source, folder / "network.keras", {"config.json": json.dumps(config)})


@LARGE
def output_of_terabytes(folder, marker):
    image = tf.keras.Input((4, 4, 1))
    tf.keras.Model(image, tf.keras.layers.UpSampling2D(2**20)(image)).save(folder / "output.keras")
    return folder / "output.keras"


@LARGE
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


@LARGE
def narrow_png(folder, marker):
    """3.6 kB: one pixel wide, 900,000 high. Scaled to 256 pixels' width it is 700 GB."""
    return png(folder / "narrow.png", 1, 900_000, bytes(2 * 900_000))


@LARGE
def large_png(folder, marker):
    return png(folder / "large.png", 60_000, 60_000)


@LARGE
def sparse_png(folder, marker):
    png(folder / "sparse.png", 8, 8, bytes(72))
    os.truncate(folder / "sparse.png", 5 * GIB)
    return folder / "sparse.png"
