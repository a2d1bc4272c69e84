"""Results on this disk, and files of this disk at Kie."""
