"""What Kie itself lists and says of its models, kept on this machine, and how that differs from what is bundled."""
