"""What models are, take and cost, from the rows of registries; and the check of inputs against them."""
