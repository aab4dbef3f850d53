"""The engine of ytfsm, and one module for each outside program."""
