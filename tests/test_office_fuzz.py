"""Requests made up from each service's OpenAPI document: a short, repeatable run of bench/office_fuzz.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.office_fuzz import fuzz, serving
from tac_rl.office.base import ServiceName

EXAMPLES = 2
"""Of each operation; the benchmark makes 10,000 requests a service."""
AT_LEAST = {
    ServiceName.CHAT: 150,
    ServiceName.FORGE: 150,
    ServiceName.TRACKER: 80,
    ServiceName.DRIVE: 40,
    ServiceName.CONTROL: 4,
}
"""Requests: fewer mean that operations have left the document."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with serving(tmp_path_factory.mktemp("office")) as urls:
        yield urls


@pytest.mark.parametrize("service", list(ServiceName))
def test_no_made_up_request_gets_a_server_error_or_an_undocumented_answer(
    office: dict[str, str], service: ServiceName, tmp_path: Path
) -> None:
    found = fuzz(service, office[service], EXAMPLES, 1, tmp_path, phases="fuzzing")
    assert found["which"] == []
    assert (found["exit"], found["said"]) == (0, "")
    assert found["requests"] >= AT_LEAST[service]
