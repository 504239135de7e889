"""The chat, with Rocket.Chat's REST API."""
