"""The resolvers: for each noun of GitHub's schema, what answers its fields. Importing this registers them all."""

from yt_fsm.lab.github.answers import (  # noqa: F401 (imported for what they register)
    commit,
    issue,
    mutation,
    owner,
    project,
    pull,
    repository,
    search,
)
