"""The list of mutants stays true: each place is in the code, once, and each test is there."""

from __future__ import annotations

import re

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_changes_and_the_test_that_finds_it_are_there(mutant: Mutant) -> None:
    assert (ROOT / "batchxfer" / mutant.file).read_text().count(mutant.code) == 1
    file, name = mutant.test
    assert re.search(rf"(def|class) \w*{name}", (ROOT / "tests" / file).read_text())


def test_each_promise_has_a_mutant() -> None:
    assert {mutant.promise for mutant in MUTANTS} == set(range(1, 13))
