"""The words of a purchase: a job, the request that it becomes, and what an answer means. Pure."""
