"""What the service counts, for Prometheus."""

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """A registry of its own, so that several services in one process don't add up."""

    def __init__(self, *, run: str, version: int) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tacrl_requests", "Answered requests", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "tacrl_request_seconds", "Duration", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.tokens = Counter("tacrl_tokens", "Tokens of chat completions", ["kind"], registry=self.registry)
        self.solving = Gauge("tacrl_solving", "Tasks that are being worked on", registry=self.registry)
        self.solved = Counter(
            "tacrl_solved", "Tasks worked on, by ending", ["ending"], registry=self.registry
        )
        self.engine_restarts = Counter(
            "tacrl_engine_restarts", "Engines that died and were replaced", registry=self.registry
        )
        Gauge("tacrl_policy_version", "The served policy version", ["run"], registry=self.registry).labels(
            run
        ).set(version)

    def page(self) -> web.Response:
        return web.Response(
            body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
