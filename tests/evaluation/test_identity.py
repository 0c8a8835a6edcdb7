"""Results carry the digests of what was tested, and the code that made them."""

import subprocess

import numpy as np

from fer.evaluation import identity
from fer.evaluation.identity import code_facts, images_digest


def test_the_digest_of_images_is_of_names_and_labels_in_any_order():
    names, labels = np.array(["a.png", "b.png"]), np.array(["happy", "sad"])
    digest = images_digest(names, labels)
    assert digest == images_digest(names[::-1], labels[::-1])
    assert digest != images_digest(names, labels[::-1])
    assert digest != images_digest(np.array(["a.png", "c.png"]), labels)


def test_commit_and_changes(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True
        )

    monkeypatch.setattr(identity, "PROJECT", tmp_path)
    assert identity._commit.__wrapped__() == (None, None)
    git("init", "-q")
    (tmp_path / "fer").mkdir()
    (tmp_path / "fer" / "__init__.py").write_text("")
    assert identity._commit.__wrapped__() == (None, None)  # a repository, but not of this code
    git("add", ".")
    git("commit", "-qm", "first")
    commit, dirty = identity._commit.__wrapped__()
    assert (len(commit), dirty) == (40, False)
    (tmp_path / "fer" / "__init__.py").write_text("changed")
    assert identity._commit.__wrapped__() == (commit, True)


def test_versions_and_threads():
    facts = code_facts()
    assert "torch " in facts["versions"]
    assert facts["threads"] >= 1
