"""The real `ytfsm` that waits three seconds for a later bid to withdraw, not a minute and a half."""

import sys

from machines.__main__ import main
from yt_fsm.github import lease

if __name__ == "__main__":
    lease.PATIENCE_SECS = 3.0
    sys.argv[0] = "ytfsm"
    main()
