from functools import partial
from pathlib import Path

import pytest
from tests.system.fakes.tiers import Run, call, make_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path)


@pytest.fixture
def tier2(checkout: Path) -> Run:
    return partial(call, checkout)
