"""What a run leaves for others: its adapter with a model card, or merged weights (door: `export.py`)."""
