"""The lease explored: every interleaving of a few workers, one issue, time and faults, with the real `yt_fsm.lease`."""
