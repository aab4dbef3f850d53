"""Other programs, one module each: git, the Hub, the board, codex."""
