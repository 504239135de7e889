"""What every test shares: no network for the libraries, and in CI no test may be skipped for a missing part."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OMP_NUM_THREADS", "1")


pytest_plugins = ("tests.docker_helpers", "tests.sandbox_helpers")


LONG = (
    *("test_compose", "test_art_learner", "test_tac_containers", "test_serving_vllm", "test_training_faults"),
    "test_training",
)
"""Files of few and long tests. Begun last they would keep one core waiting for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.skipped and os.environ.get("TAC_RL_CI") and "gpu" not in item.keywords:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything but GPU tests must run: {report.longrepr}"
    return report
