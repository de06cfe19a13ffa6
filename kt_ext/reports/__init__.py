"""Tables and pictures of a search and of what it found."""
