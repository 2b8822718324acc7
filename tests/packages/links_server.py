"""An authorization server and a downstream that asks for its tokens, both by authlib, for tests/packages/links.sh.

POST /token grants tokens to the client `tidegate` (client credentials, RFC 6749); POST /orders takes a message that comes
with a valid one. GET /seen says what was taken and how many tokens were granted. POST /revoke makes every token void.
"""

import sys

from authlib.integrations.flask_oauth2 import (
    AuthorizationServer,
    ResourceProtector,
    current_token,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from flask import Flask, jsonify, request

SECRET = sys.argv[2]
TOKENS, ORDERS, GRANTED = {}, [], []


class Client(ClientMixin):
    client_id = "tidegate"

    def check_client_secret(self, client_secret):
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope):
        return " ".join(word for word in (scope or "").split() if word == "orders")


class Token(TokenMixin):
    def __init__(self, token):
        self.token = token

    def check_client(self, client):
        return client.client_id == "tidegate"

    def get_scope(self):
        return self.token.get("scope", "")

    def get_expires_in(self):
        return self.token["expires_in"]

    def is_expired(self):
        return False

    def is_revoked(self):
        return False


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return TOKENS.get(token_string)


class Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


def keep(token, _request):
    TOKENS[token["access_token"]] = Token(token)
    GRANTED.append(token["access_token"])


app = Flask("links")
server = AuthorizationServer(
    app, query_client=lambda name: Client() if name == "tidegate" else None, save_token=keep
)
server.register_grant(Grant)
protect = ResourceProtector()
protect.register_token_validator(Validator())


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/orders")
@protect("orders")
def orders():
    assert current_token
    ORDERS.append([request.headers["webhook-id"], request.headers.get("x-client", "")])
    return jsonify(ok=True)


@app.post("/revoke")
def revoke():
    TOKENS.clear()
    return jsonify(ok=True)


@app.get("/seen")
def seen():
    return jsonify(orders=ORDERS, granted=GRANTED)


app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
