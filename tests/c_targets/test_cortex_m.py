"""Exported C as firmware of a microcontroller; qemu emulates it and its memory."""

from dataclasses import replace

import numpy as np
import pytest

from tools.c_targets.cortex_m import M3, M4, M7, Part, build_firmware, run_firmware
from tools.c_targets.matrix import SMALL_PART
from tools.c_targets.targets import PORTABLE
from zoo.errors import DeployError

pytestmark = [pytest.mark.c_targets, pytest.mark.timeout(900)]


@pytest.mark.parametrize("core", [M4, M7], ids=lambda core: core.name)
@pytest.mark.parametrize("name", ["ReActNet20", "SDBNNResNet20"])
def test_networks_in_the_memory_of_a_real_part(name, core, exports, builder, pixels, images):
    pixels, images = pixels[::10], images[::10]
    expected = builder.build(PORTABLE, exports[name]).run(images, 10)
    firmware = build_firmware(core, SMALL_PART, exports[name], optimize="-O3")
    assert firmware.flash <= SMALL_PART.flash and firmware.ram <= SMALL_PART.ram
    found = run_firmware(firmware, pixels, 10)
    assert found.results.same_as(expected)
    assert found.stack < SMALL_PART.stack  # no memory below the stack was overwritten
    assert found.calibration == pytest.approx(2_000_000, abs=100)


def test_without_a_floating_point_unit(exports, builder, pixels, images):
    expected = builder.build(PORTABLE, exports["ReActNet20"]).run(images[:3], 10)
    firmware = build_firmware(M3, SMALL_PART, exports["ReActNet20"], optimize="-O3")
    found = run_firmware(firmware, pixels[:3], 10)
    assert found.results.same_as(expected)


def test_instructions_are_counted_again_to_the_same(exports, pixels):
    firmware = build_firmware(M4, SMALL_PART, exports["ReActNet20"], optimize="-O3", watch=False)
    counts = run_firmware(firmware, pixels[[0, 1, 0]], 10).instructions
    # The count of binary layers does not depend on the image; that of the signs hardly does.
    assert counts[0] == pytest.approx(counts[2], abs=200)
    assert np.ptp(counts) < 0.01 * counts[0]


@pytest.mark.parametrize(
    ("part", "what"), [(Part(1 << 19, 1 << 16), "RAM"), (Part(1 << 16, 1 << 17), "FLASH")]
)
def test_a_network_too_large_for_a_part(part, what, exports):
    with pytest.raises(DeployError, match=rf"`{what}' overflowed by \d+ bytes\.$") as error:
        build_firmware(M4, part, exports["ReActNet20"])
    assert "\n" not in str(error.value)


def test_a_stack_that_overflows_is_a_fault(exports, pixels):
    part = replace(SMALL_PART, stack=1024)
    firmware = build_firmware(M4, part, exports["ReActNet20"])
    with pytest.raises(DeployError, match=r"a fault on a Cortex-M4; its stack has 1,024 bytes\.$"):
        run_firmware(firmware, pixels[:1], 10)
