"""What is behind the HTTPS port: well-known paths and the API, as one table of routes."""

from __future__ import annotations

from collections.abc import Callable

from a3mailer import __version__
from a3mailer.app.api import exposed
from a3mailer.app.verbs.office import Office
from a3mailer.config.tree import Settings
from a3mailer.edge.http.api.authorise import Authorise
from a3mailer.edge.http.api.hooks import HooksApi
from a3mailer.edge.http.api.openapi import openapi
from a3mailer.edge.http.api.sending import SendingApi
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.routes import Route, Routes
from a3mailer.edge.http.wellknown import WellKnown
from a3mailer.identity.authenticator import Authenticator
from a3mailer.runtime.http import HttpClient
from a3mailer.store.ports import Store
from a3mailer.transfer.applications.sending import Sending
from a3mailer.transfer.policy.policy import Policy


def public(
    settings: Callable[[], Settings],
    policy: Policy,
    sending: Sending,
    store: Store,
    authenticator: Authenticator,
    http: HttpClient,
    office: Callable[[], Office],
    further: tuple[Route, ...] = (),
) -> HttpDoor:
    """The door of the https listener."""
    api = (
        *SendingApi(sending, store, settings).routes(),
        *HooksApi(store, http.permitted).routes(),
        *exposed(office),
    )
    known = WellKnown(settings, policy.fronts).routes()
    routes = (*known, *further, *api)
    routes += (openapi(routes, __version__),)
    return HttpDoor(Routes(routes), authorise=Authorise(authenticator, settings))
