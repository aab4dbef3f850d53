"""One file a machine: its states and its transition table."""

from machines.bringup import MACHINE as BRINGUP
from yt_fsm.engine.machine import Definition

MACHINES: dict[str, Definition] = {machine.name: machine for machine in (BRINGUP,)}
