"""A JMAP client on one kept connection, for mail (RFC 8620, RFC 8621): as little as the benchmarks need."""

import base64
import http.client
import json
from typing import Any, Final

USING: Final = ("urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail")
SHOWN: Final = ("threadId", "mailboxIds", "keywords", "from", "subject", "receivedAt", "preview")
NEWEST: Final = [{"property": "receivedAt", "isAscending": False}]


class Jmap:
    """One user's account."""

    def __init__(self, port: int, user: str, password: str, timeout: float = 1200) -> None:
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        session = self._request("GET", "/.well-known/jmap")
        self._account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
        self._path = "/" + str(session["apiUrl"]).split("/", 3)[3]

    def _request(self, method: str, path: str, body: str | None = None) -> Any:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        octets = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {octets[:200]!r}")
        return json.loads(octets)

    def calls(self, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """The responses of method calls, tagged c0, c1 ...; ``ValueError`` where one is an error."""
        made = [
            [name, {"accountId": self._account, **arguments}, f"c{number}"]
            for number, (name, arguments) in enumerate(calls)
        ]
        answers = self._request("POST", self._path, json.dumps({"using": USING, "methodCalls": made}))
        for (name, _), (told, response, _) in zip(calls, answers["methodResponses"], strict=True):
            if told != name:
                raise ValueError(f"{name}: {response}")
        return [response for _, response, _ in answers["methodResponses"]]

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The response of one."""
        return self.calls((method, arguments))[0]

    def newest(self, count: int) -> list[Any]:
        """What a list shows of the newest."""
        ids = {"resultOf": "c0", "name": "Email/query", "path": "/ids"}
        _, got = self.calls(
            ("Email/query", {"sort": NEWEST, "limit": count}),
            ("Email/get", {"#ids": ids, "properties": SHOWN}),
        )
        return list(got["list"])

    def states(self) -> dict[str, str]:
        """By method of changes, the state that it may be asked from."""
        emails, threads, boxes, query = self.calls(
            ("Email/get", {"ids": []}),
            ("Thread/get", {"ids": []}),
            ("Mailbox/get", {"ids": []}),
            ("Email/query", {"sort": NEWEST, "limit": 1}),
        )
        return {
            "Email/changes": emails["state"],
            "Thread/changes": threads["state"],
            "Mailbox/changes": boxes["state"],
            "Email/queryChanges": query["queryState"],
        }

    def changes(self, method: str, states: dict[str, str]) -> list[Any]:
        """What changed since: ids, or where they stand now."""
        if method == "Email/queryChanges":
            return list(self.ask(method, sinceQueryState=states[method], sort=NEWEST)["added"])
        told = self.ask(method, sinceState=states[method])
        return [*told["created"], *told["updated"], *told["destroyed"]]

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()
