"""A service on this machine: a picture by HTTP, the answer as JSON, and one page for a person.

`Service` admits, bounds and answers; `application` is its HTTP side, `serve` runs it on a socket
until a signal. Needs the extra `serve`. There is neither TLS nor any authentication, so it listens
on the machine itself unless it is told otherwise (`docs/service.md`).
"""

from realmnet_runtime.serving.application import application
from realmnet_runtime.serving.limits import ServiceLimits
from realmnet_runtime.serving.server import bound_socket, serve
from realmnet_runtime.serving.service import Service

__all__ = ["Service", "ServiceLimits", "application", "bound_socket", "serve"]
