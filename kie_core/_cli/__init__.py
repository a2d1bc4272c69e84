"""The command line. Results go to stdout, everything else to stderr; no module here is loaded by the library."""
