"""What a machine can run. Only the standard library is imported at module level, so that this works before set-up."""
