"""Stand-ins for the far end of every service, so that real clients run anywhere (design: the lab)."""
