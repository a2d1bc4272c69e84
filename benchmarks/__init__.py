"""How fast kie-core is, next to what else one could use: ``python -m benchmarks``."""
