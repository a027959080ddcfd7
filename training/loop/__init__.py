"""How a list of stages is trained, whatever the recipe."""
