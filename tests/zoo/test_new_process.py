"""A new process that imports only zoo: Keras knows the layers; objects of Keras 3 are refused."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo

ROOT = Path(__file__).parents[2]
IMAGES = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype("float32")


def run(code: str, folder: Path, **environment: str) -> str:
    script = folder / "script.py"  # a file, because spawned workers import it again
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


READ = """
import zoo
import multiprocessing
import pickle
import numpy as np

def outputs_of(model):
    return model(np.load("images.npy")).numpy()

if __name__ == "__main__":
    {first}
    np.save("read.npy", outputs_of(model))
    {then}
"""
FIRST = {
    "keras": "import tensorflow as tf; model = tf.keras.models.load_model('model.keras')",
    "h5": "import tensorflow as tf; model = tf.keras.models.load_model('model.h5')",
    "pickle": "model = pickle.load(open('model.pickle', 'rb'))",
}
SPAWN = "np.save('spawned.npy', multiprocessing.get_context('spawn').Pool(1).apply(outputs_of, "
SPAWN += "[model]))"


@pytest.mark.parametrize(
    "form", [pytest.param(f, marks=[] if f == "keras" else [pytest.mark.slow]) for f in FIRST]
)
def test_layers_are_known_by_importing_zoo(form, tmp_path):
    model = zoo.ReActNet20()
    path = tmp_path / f"model.{form}"
    path.write_bytes(pickle.dumps(model)) if form == "pickle" else model.save(path)
    np.save(tmp_path / "images.npy", IMAGES)
    run(READ.format(first=FIRST[form], then=SPAWN if form == "pickle" else ""), tmp_path)
    for each in tmp_path.glob("*d.npy"):
        np.testing.assert_allclose(np.load(each), model(IMAGES), rtol=1e-5, atol=1e-6)
    assert (tmp_path / "spawned.npy").exists() == (form == "pickle")


def test_keras_3_is_not_needed_and_its_objects_are_refused_in_a_sentence(tmp_path):
    code = """
import sys
import zoo
models = [zoo.RealResNet20(weights=None, width=0.25),
          zoo.get_model("QuickNetSmall", weights=None, input_shape=(32, 32, 3))]
print("keras" in sys.modules)
import os
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
def tried(action):
    try:
        action()
        print("no error")
    except zoo.ZooError as error:
        print(error)
for model in models:
    tried(lambda: model.compile(keras.optimizers.Adam(), loss="mse"))
    tried(lambda: model.compile("adam", loss="mse", metrics=["mse", keras.metrics.Mean()]))
    tried(lambda: model.compile("adam", loss={"predictions": keras.losses.MeanSquaredError()}))
    model.compile("adam", loss="mse")
tried(lambda: zoo.RealResNet20(weights=None, input_tensor=keras.Input((32, 32, 3))))
"""
    first, *sentences = run(code, tmp_path, KERAS_BACKEND="not_installed").splitlines()
    assert first == "False"
    argument = "The argument {} is Keras 3's ({})".format
    expected = [
        argument("optimizer", "Adam"),
        argument("metrics", "Mean"),
        argument("loss", "MeanSquaredError"),
    ]
    expected = 2 * expected + ["input_tensor is Keras 3's (KerasTensor)"]
    assert len(sentences) == len(expected)
    for sentence, begins in zip(sentences, expected, strict=True):
        assert sentence.startswith(begins) and "this network is Keras 2's" in sentence
