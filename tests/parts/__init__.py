"""What many tests are built of, each thing once: see tests/README.md."""
