"""What the names of the original system stand on."""
