"""The tests' own tools: real processes, real servers, and a truth that is kept outside."""
