"""A provider's own id that another process has seen is found through Redis; the two Routers share nothing else."""

import time

import pytest

from tests.conftest import router_of
from tests.valkey import ValkeyServer
from turnout import NotFoundError
from turnout.sim.fake_cloud import FakeCloud


def test_another_processes_raw_ids_are_asked_for(cloud: FakeCloud, valkey: ValkeyServer) -> None:
    settings = {"redis_url": valkey.url, "accept_raw_ids": True}
    with (
        router_of(cloud, "eastus", "westus", **settings) as one,
        router_of(cloud, "eastus", "westus", **settings) as two,
    ):
        made = one.responses("gpt", "Hello")
        raw = next(iter(cloud[made.route.deployment].responses))
        time.sleep(1.0)  # what one process learns, the others may ask for within a second
        followed = two.responses("gpt", "Go on", previous_response_id=raw)
        assert followed.route.deployment == made.route.deployment
        assert two.get_responses(raw).output_text == made.output_text
        with pytest.raises(NotFoundError):
            two.responses("gpt", "Go on", previous_response_id=raw[:-4] + "0000")
        valkey.kill()
        assert one.responses("gpt", "Go on", previous_response_id=raw).route.deployment == made.route.deployment
        with pytest.raises(NotFoundError):
            two.get_responses(raw[:-4] + "0001")
