"""The states of the bringup machine, one file each."""
