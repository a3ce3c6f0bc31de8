"""Results for people: learning curves, and a page that holds all that a set of files says."""
