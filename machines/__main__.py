"""The console script `ytfsm`: hands the machines to the command line."""

from machines import MACHINES
from yt_fsm.cli.main import run_app


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    run_app(MACHINES)


if __name__ == "__main__":
    main()
