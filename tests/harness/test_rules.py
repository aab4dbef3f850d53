"""What a model may do while it runs and in its trace (§10.3), on transformers 5 and 4."""

import os

import pytest


def test_the_checks_of_the_rules_pass(checks):
    assert "passed" in checks("rules_checks.py")


@pytest.mark.skipif("YT_PYTHON_TRANSFORMERS_4" not in os.environ, reason="needs a Python with transformers 4.57")
@pytest.mark.parametrize("name", ["rules_checks.py", "bringup_checks.py", "reference_checks.py"])
def test_they_pass_on_transformers_4_as_well(checks, name):
    assert "passed" in checks(name, python=os.environ["YT_PYTHON_TRANSFORMERS_4"])
