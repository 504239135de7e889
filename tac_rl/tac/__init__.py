"""Unmodified task packages of TheAgentCompany: loaded, initialised, run and graded (docs/tac.md)."""
