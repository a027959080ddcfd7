"""Tasks and docs found in source text."""

from training.settings.discovery import find_task, larq_zoo_tasks, recipe_tasks
from zoo.field_docs import field_docs

RECIPE = '''
import tensorflow_that_is_not_there
from zookeeper import task
import zookeeper

@task
class ReActNet(Base):
    """Trains ReActNet.

    At length.
    """

@zookeeper.task
class BiRealNet:
    pass

@component
class Helper:
    pass
'''


class Documented:
    # Unrelated.

    # How often
    # it is done.
    epochs = 3

    # ---- more ----
    # The rate.
    rate: float = 0.1
    bare = 1
    below = 2
    """A string
    below."""

    # Not this one.
    @property
    def computed(self):
        """Of the method.

        In detail.
        """


class Derived(Documented):
    epochs = 4
    # Another rate.
    rate: float = 0.2


def test_tasks_are_found_without_importing(tmp_path):
    (tmp_path / "one.py").write_text(RECIPE)
    (tmp_path / "_machinery.py").write_text(RECIPE)
    tasks = recipe_tasks(tmp_path, "some.package")
    assert [(task.name, task.module, task.summary) for task in tasks] == [
        ("BiRealNet", "some.package.one", ""),
        ("ReActNet", "some.package.one", "Trains ReActNet."),
    ]
    for name in ("ReActNet", "reactnet", "re_act_net", "re-act-net"):
        found = find_task(name, tasks)
        assert found is not None and found.name == "ReActNet"
    assert find_task("ReAct", tasks) is None


def test_every_task_of_larq_zoo_is_found():
    names = [task.name for task in larq_zoo_tasks()]
    assert len(names) == 21 and {"TrainBinaryAlexNet", "TrainR2B", "TrainQuickNet"} <= set(names)


def test_docs_of_fields():
    expected = {
        "epochs": "How often it is done.",
        "rate": "The rate.",
        "below": "A string below.",
        "computed": "Of the method.",
    }
    assert field_docs(Documented) == expected
    assert field_docs(Derived) == expected | {"rate": "Another rate."}
    assert field_docs(int) == {}
