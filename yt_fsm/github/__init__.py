"""GitHub, through gh: issues as subjects, the lease on one, the project they are on, and what a run says there."""
