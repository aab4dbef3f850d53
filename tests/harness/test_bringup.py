"""The example bringup is right, and wrong models are found out."""


def test_the_checks_of_the_example_and_of_wrong_models_pass(checks):
    assert "passed" in checks("bringup_checks.py")
