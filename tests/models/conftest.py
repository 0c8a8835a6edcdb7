"""What tests of models share."""

import pytest
from trainings import trained_and_saved


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return trained_and_saved(tmp_path_factory.mktemp("run"))
