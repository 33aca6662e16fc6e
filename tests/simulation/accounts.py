"""Regions that belong to accounts: two deployments on one account know each other's responses, others do not."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from turnout.sim.faults import error_body
from turnout.sim.plain_region import PlainRegion
from turnout.sim.service import Service
from turnout.sim.upstream import Answer


class Account:
    """What one account at a provider remembers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns: OrderedDict[str, int] = OrderedDict()
        self.responses: dict[str, Mapping[str, Any]] = {}
        self.made: set[str] = set()
        """Ids of all responses that there ever were."""

    def forget(self) -> None:
        """Nothing of what it made is there any more."""
        self.turns.clear()
        self.responses.clear()


class AccountRegion(PlainRegion):
    """Speaks so much of the Responses API as worlds need: create, retrieve, delete."""

    def __init__(self, service: Service, account: Account, *, seed: int) -> None:
        super().__init__(service, seed=seed)
        self.account = account
        self.turns = account.turns
        self.foreign: list[str] = []
        """Ids of responses that this account has never made."""

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Answer:
        response_id = unquote(path.rpartition("/responses/")[2]) if "/responses/" in path else None
        for named in (response_id, body.get("previous_response_id")):
            if named is not None and named not in self.account.made:
                self.foreign.append(named)
        if response_id is not None:
            return self._existing(method, response_id)
        answer = super().answer(method, path, query, headers, body)
        if answer.status == 200:
            self.account.made.add(answer.body["id"])
            self.account.responses[answer.body["id"]] = answer.body
        return answer

    def _existing(self, method: str, response_id: str) -> Answer:
        responses = self.account.responses
        if response_id not in responses:
            return Answer(
                404, error_body(f"Response with id '{response_id}' not found.", "invalid_request_error", None)
            )
        if method == "DELETE":
            del responses[response_id], self.turns[response_id]
            return Answer(200, {"id": response_id, "object": "response", "deleted": True})
        return Answer(200, responses[response_id])
