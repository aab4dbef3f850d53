"""One file a state: what holds on entry, what it does, which events it may leave."""
