"""The catalog: every row against the model it describes, filters, unknown names."""

import csv
import gc

import pytest
import tensorflow as tf

import zoo
from zoo import catalog
from zoo.errors import UnknownNameError
from zoo.pretrained.records import sets_of

QUICK = {"BinaryAlexNet", "QuickNetSmall"}


def test_rows_are_those_of_the_table():
    with catalog.TABLE.open(newline="", encoding="utf-8") as lines:
        names = [line["model"] for line in csv.DictReader(lines)]
    assert [row.model for row in catalog.rows()] == names == zoo.list_models()
    assert len(names) == len(set(names)) >= 30


# models/test_every_model.py builds our default networks and counts them.
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[] if row.model in QUICK else [pytest.mark.slow], id=row.model)
        for row in catalog.rows(origin="larq-zoo")
    ],
)
def test_model_has_the_counts_of_its_row(row):
    model = zoo.get_model(row.model, weights=None)
    counted = zoo.profile(model)
    assert {name: getattr(row, name) for name in catalog.COUNTED} == {
        name: getattr(counted, name) for name in catalog.COUNTED
    }
    assert row.ops == counted.ops
    assert model.output_shape == (None, {"imagenet": 1000, "cifar10": 10}[row.dataset])
    del model
    tf.keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize("row", catalog.rows(), ids=lambda row: row.model)
def test_row_is_plausible(row):
    assert row.origin in ("zoo", "larq-zoo")
    assert row.module.split(".")[0] == {"zoo": "zoo", "larq-zoo": "larq_zoo"}[row.origin]
    assert row.paper == f"arXiv:{row.arxiv}" and len(row.arxiv) == 10
    assert row.top1 is None or 30 < row.top1 < 100
    assert row.top5 is None or row.top1 < row.top5 < 100
    assert row.params <= 8 * row.memory_bytes <= 32 * row.params


# Published accuracies, copied from the papers (not from the table).
PUBLISHED = {
    "ReActNetA": (69.4, None),
    "ReActNetB": (70.1, None),
    "ReActNetC": (71.4, None),
    "ReActNet18": (65.5, None),
    "BiRealNet18": (56.4, 79.5),
    "BiRealNet34": (62.2, 83.9),
    "BiRealNet50": (62.6, 83.9),
    "XNORNetPlusPlusResNet18": (57.1, 79.9),
    "XNORNetPlusPlusAlexNet": (46.9, 71.0),
    "SDBNNResNet18": (66.5, 86.7),
    "SDBNNResNet18Cifar": (92.5, None),
    "SDBNNResNet20": (86.9, None),
    "SDBNNVGGSmall": (90.8, None),
}


def test_published_accuracies():
    ours = {row.model: (row.top1, row.top5) for row in catalog.rows(origin="zoo")}
    assert {name: value for name, value in ours.items() if value != (None, None)} == PUBLISHED


def test_weights_that_can_be_had():
    assert sets_of("ReActNetA") == ("imagenet (downloadable)",)
    assert sets_of("SDBNNResNet18") == ("imagenet (manual download)",)
    assert sets_of("QuickNet") == ("imagenet (downloadable)",)
    assert sets_of("XNORNetPlusPlusResNet18") == ()
    assert sets_of("RealResNet34") == ("imagenet (manual download)",)
    assert sets_of("RealResNet20") == ("cifar10 (shipped)",)
    sets = ("cifar10-hour (shipped)", "cifar10 (shipped)")
    assert sets_of("ReActNet20") == sets


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ReActNetA", ["ReActNetA"]),
        ("reactneta", ["ReActNetA"]),
        ("REACTNET1*", ["ReActNet18"]),
        ("reactnet?", ["ReActNetA", "ReActNetB", "ReActNetC"]),
        (["quicknet", "*vggs*"], ["SDBNNVGGSmall", "QuickNet"]),
        (("QuickNet*",), ["QuickNetSmall", "QuickNet", "QuickNetLarge"]),
        ("reactnet[AB]", ["ReActNetA", "ReActNetB"]),
        ("nothing*", []),
        ([], []),
    ],
    ids=str,
)
def test_filters(pattern, expected):
    assert zoo.list_models(pattern) == expected
    assert [row.model for row in catalog.rows(pattern)] == expected


def test_origins():
    ours, theirs = (set(zoo.list_models(origin=origin)) for origin in ("zoo", "larq-zoo"))
    assert {"ReActNetA", "BiRealNet18"} <= ours and {"QuickNet", "BiRealNet"} <= theirs
    assert not ours & theirs and ours | theirs == set(zoo.list_models())
    assert zoo.list_models("*birealnet*", "larq-zoo") == ["BiRealNet"]
    assert ours <= set(dir(zoo)) and ours <= set(zoo.__all__)


def test_every_model_of_larq_zoo_is_listed():
    import larq_zoo

    functions = {
        name
        for module in (larq_zoo.literature, larq_zoo.sota)
        for name in dir(module)
        if name[0].isupper() and not name.endswith("Factory")
    }
    assert functions == set(zoo.list_models(origin="larq-zoo"))


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("ReActNetAA", "ReActNetA"), ("reactneta", "ReActNetA"), ("QuikNet", "QuickNet")],
)
def test_unknown_model(wrong, nearest):
    for call in (catalog.row, zoo.get_model):
        with pytest.raises(UnknownNameError) as error:
            call(wrong)
        text = str(error.value)
        assert f"There is no model '{wrong}'; did you mean '{nearest}'?" in text
        assert "\n" not in text and all(name in text for name in zoo.list_models())
    with pytest.raises(UnknownNameError, match=r"There is no model 'zzzzzz'\. Valid names: "):
        zoo.get_model("zzzzzz")


def test_a_name_twice_is_refused(tmp_path, monkeypatch):
    table = tmp_path / "catalog.csv"
    lines = catalog.TABLE.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")
    monkeypatch.setattr(catalog, "TABLE", table)
    catalog._rows.cache_clear()
    try:
        with pytest.raises(ValueError, match="names ReActNetA twice"):
            catalog.rows()
    finally:
        catalog._rows.cache_clear()
