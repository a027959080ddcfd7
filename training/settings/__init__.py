"""Convert the text of a command line to fields of components, and fields to a command line."""
