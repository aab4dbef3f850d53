"""What the bringup machine's states do: one issue's model, from its text to a checked branch."""
