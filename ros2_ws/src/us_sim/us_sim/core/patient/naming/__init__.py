"""What a label means: names of structures, the label sets of others, and what a file says of itself."""
