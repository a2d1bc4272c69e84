"""The plugins, and the dispatcher that picks the one which owns a job; with it, from inputs to a request and back."""
