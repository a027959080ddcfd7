"""From the text of a command line to the fields of a component, and back."""
