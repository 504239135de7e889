"""A trained policy at work: an OpenAI-compatible endpoint, and `/solve`, which lets it do a task (door: `serve.py`)."""
