"""What moves jobs: sent once, asked about when a result is likely, taken up again after a crash."""
