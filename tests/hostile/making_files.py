"""Small files to make hostile ones from, and collections of the functions that make them."""

import json
import zipfile

import tensorflow as tf


class Files(dict):
    """Functions that make a file in a folder, by their names."""

    def __call__(self, make):
        self[make.__name__] = make
        return make


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
