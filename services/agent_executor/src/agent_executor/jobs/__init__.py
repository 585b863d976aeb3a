"""Jobs: their rows, their life to exactly one final state, and what finishes those that a crash left."""
