"""The lab's GitHub: the far end of the real gh and git, on one Unix socket and a folder of bare repositories."""
