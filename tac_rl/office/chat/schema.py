"""The tables of this service."""

SCHEMA = ""
