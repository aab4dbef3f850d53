"""The lease explored: workers, one issue, time and faults, in every order, with the real `yt_fsm.github.lease`."""
