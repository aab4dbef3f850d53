"""What machines and their states are built of, a room each: README.md beside this shows them and walks through them."""
