"""The commands of `lqz`: one file or folder each."""
