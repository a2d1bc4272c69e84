"""What goes over the wire: the API, files, and the connections for both."""
