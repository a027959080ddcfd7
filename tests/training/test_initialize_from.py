"""`lqz train ... initialize_from=`: features are kept, a classifier for other classes is new."""

import numpy as np
import pytest

import zoo
from training.recipes.reactnet import ReActNet
from training.recipes.resnet import RealResNet20
from training.settings.configuration import configure_task
from zoo.errors import WeightsError
from zoo.files import sha256
from zoo.pretrained.find import keeping
from zoo.weights import save_weights, torch_state

pytestmark = pytest.mark.usefixtures("small_networks")

WIDTH = {"input_shape": (28, 28, 1), "width": 0.25}


@pytest.fixture
def settings(tiny, tmp_path):
    """Training without a step that could change a weight."""
    kept = {key: value for key, value in tiny.items() if "teacher" not in key and key != "model"}
    kept.pop("schedule_every")
    rate = {"learning_rate": 0.0, "weight_decay": 0.0, "model.width": 0.25}
    return {**kept, **rate, "output_dir": str(tmp_path / "run")}


@pytest.fixture
def trained(tmp_path):
    model = zoo.RealResNet20(weights=None, num_classes=10, **WIDTH)
    save_weights(model, tmp_path / "start.npz")
    return model


def test_a_file_of_another_class_count(settings, trained, tmp_path, capsys):
    start = tmp_path / "start.npz"
    run = configure_task(RealResNet20, {**settings, "initialize_from": str(start)}).run()
    out = capsys.readouterr().out
    assert f"Starting from the weights {start} (start.npz)." in out
    assert "'start.npz' has 10 classes, not 2: realresnet20 gets a new classifier." in out
    (result,) = run.results
    assert result.inputs == {"initialize_from": sha256(start)}
    ours = torch_state(zoo.load_model(str(run.model_path), compile=False))
    theirs = torch_state(trained)
    kernels = [key for key, value in theirs.items() if value.ndim == 4]
    assert len(kernels) == 7
    for key in kernels:
        np.testing.assert_array_equal(ours[key], theirs[key])
    assert ours["fc.weight"].shape[0] == 2


def test_a_registered_name_goes_to_the_first_stage_of_the_network(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    with keeping("ReActNet20", "mine", ".npz", "test", "digest") as draft:
        save_weights(zoo.ReActNet20(weights=None, input_shape=(28, 28, 1)), draft)
    task = configure_task(ReActNet, {**tiny, "initialize_from": "mine"})
    stages = task.planned_stages()
    assert [stage.weights for stage in stages] == [None, "mine", None]
    assert task.config["initialize_from"] == "mine"
    assert "starts from        the weights 'mine'" in "\n".join(dry_run(task))
    assert configure_task(ReActNet, tiny).config["initialize_from"] is None


def dry_run(task):
    from training.loop.dry_run import describe

    return describe(task.plan())


def test_what_is_not_there_is_said_before_anything_is_trained(tiny, tmp_path):
    settings = {**tiny, "output_dir": str(tmp_path / "run"), "initialize_from": "imagenett"}
    with pytest.raises(WeightsError, match="no weights 'imagenett' for ReActNet20"):
        configure_task(ReActNet, settings).run()
    assert not (tmp_path / "run").exists()
