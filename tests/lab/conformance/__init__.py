"""The conformance suite: operations by clients, each outcome asserted, printed as a table into tests/lab/README.md."""
