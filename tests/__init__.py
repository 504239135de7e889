"""A package, so that no library of that name is taken for it."""
