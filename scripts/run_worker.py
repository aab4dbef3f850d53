#!/usr/bin/env python3
"""The worker's entry that the specification names (§15.1): `ytfsm run`, with the same options."""

import sys

from machines.__main__ import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
