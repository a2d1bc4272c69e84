"""Every job with its price and its task, durable before money can be spent: pure steps, transactions, two databases."""
