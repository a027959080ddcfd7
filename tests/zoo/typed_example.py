"""Types that a type checker must see in the package; `make lint` checks them, no test runs."""

from collections.abc import Sequence

from typing_extensions import assert_type

import zoo
from zoo import ReActNetA

model = ReActNetA(weights=None, num_classes=10, width=0.5, input_shape=(None, None, 3))
zoo.XNORNetPlusPlusResNet20(scale="case1", pooling="avg", name="mine", classes=3)
ReActNetA(withd=0.5)  # type: ignore[call-arg]
ReActNetA(num_classes="ten")  # type: ignore[arg-type]
zoo.ReactNetA  # type: ignore[attr-defined]  # noqa: B018

assert_type(zoo.__version__, str)
assert_type(zoo.list_models("react*"), list[str])
assert_type(zoo.profile(model), zoo.Profile)
assert_type(zoo.profile(model).ops, float)
maps: Sequence[zoo.FeatureMap] = zoo.features(model)
assert_type(maps[0].stride, int)
assert_type(zoo.catalog.row("ReActNetA").params, int)
