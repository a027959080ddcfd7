"""Helpers of the downloads' tests: a body, checks of the disk, and a downloading process."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.errors import WeightsError
from zoo.pretrained.download import download

ROOT = Path(__file__).parents[3]
BODY = bytes(range(256)) * 2000  # 512,000 bytes
DIGEST = hashlib.sha256(BODY).hexdigest()


def refused(address, target, says, **arguments):
    """Assert one sentence, and that no file or folder remains."""
    with pytest.raises(WeightsError, match=says) as caught:
        download(address, target, **arguments)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and text.count(". ") == 0, text
    assert not target.parent.exists()


def only(target):
    """Assert that the complete file exists, and nothing else."""
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == [target.name]


CHILD = """
import resource, sys
from pathlib import Path
from zoo.errors import WeightsError
from zoo.pretrained.download import download
from zoo.pretrained.http import Patience
if int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    download(sys.argv[1], Path(sys.argv[2]))
except WeightsError as error:
    sys.exit(str(error))
"""


def child(address, target, most_bytes=0, **arguments):
    """Start a process that downloads; its files may have at most `most_bytes`."""
    command = [sys.executable, "-c", CHILD, address, str(target), str(most_bytes)]
    return subprocess.Popen(
        command,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **{"stderr": subprocess.PIPE, **arguments},
    )
