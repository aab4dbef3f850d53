"""The engine: a state machine whose every transition is persisted; it knows no issue, no GitHub, no model, no board."""
