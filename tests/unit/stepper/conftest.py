from functools import partial
from pathlib import Path

import pytest
from tests.stepper import small
from tests.stepper.small import Play


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Plays a small workflow."""
    return partial(small.play, tmp_path)
