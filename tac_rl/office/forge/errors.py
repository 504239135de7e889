"""Refusals, with the status codes and bodies of GitLab."""

from typing import Any


class ForgeError(Exception):
    """Something was refused: the status and the JSON body that GitLab would answer with."""

    def __init__(self, status: int, message: Any, *, key: str = "message") -> None:
        super().__init__(message if isinstance(message, str) else repr(message))
        self.status = status
        self.body: dict[str, Any] = {key: message}

    @property
    def text(self) -> str:
        """For a person: one line."""
        message = next(iter(self.body.values()))
        if isinstance(message, dict):
            return "; ".join(f"{field} {', '.join(problems)}" for field, problems in message.items())
        return str(message)


def not_found(what: str = "") -> ForgeError:
    return ForgeError(404, f"404 {what} Not Found" if what else "404 Not found")


def unauthorized() -> ForgeError:
    return ForgeError(401, "401 Unauthorized")


def forbidden(why: str = "") -> ForgeError:
    return ForgeError(403, f"403 Forbidden - {why}" if why else "403 Forbidden")


def bad_request(message: str) -> ForgeError:
    return ForgeError(400, message)


def invalid(field: str, *problems: str) -> ForgeError:
    """A record that doesn't validate."""
    return ForgeError(400, {field: list(problems)})


def conflict(message: str) -> ForgeError:
    return ForgeError(409, message)
