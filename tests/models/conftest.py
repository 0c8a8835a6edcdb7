"""What tests of the classifier share."""

import pytest
from trainings import fit, make


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A classifier trained for an epoch, and its checkpoint in a run folder."""
    run = tmp_path_factory.mktemp("run")
    classifier = make()
    trainer = fit(classifier, run)
    path = run / "checkpoints" / "best.ckpt"
    trainer.save_checkpoint(path)
    return classifier.eval(), path
