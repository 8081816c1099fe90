"""The recipe wizard and the pages of a recipe."""
