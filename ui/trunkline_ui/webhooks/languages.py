"""How a receiver verifies, with the official libraries of Standard Webhooks."""

from typing import Final

import msgspec


class Language(msgspec.Struct, frozen=True):
    name: str
    install: str
    code: str


LANGUAGES: Final = (
    Language(
        "Python",
        "pip install standardwebhooks",
        """\
import os
from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])  # whsec_...

def receive(body: bytes, headers: dict[str, str]) -> int:
    try:
        event = webhook.verify(body, headers)  # the body as it came, not parsed and written again
    except WebhookVerificationError:
        return 400
    if not seen_before(headers["webhook-id"]):
        handle(event["type"], event["tenant"], event["data"])
    return 204
""",
    ),
    Language(
        "JavaScript",
        "npm install standardwebhooks",
        """\
import express from "express";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET); // whsec_...
const app = express();

app.post("/webhooks", express.raw({ type: "application/json" }), (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body.toString("utf8"), request.headers);
  } catch {
    return response.sendStatus(400);
  }
  if (!seenBefore(request.headers["webhook-id"])) handle(event);
  response.sendStatus(204);
});
""",
    ),
    Language(
        "Go",
        "go get github.com/standard-webhooks/standard-webhooks/libraries",
        """\
import (
    "io"
    "net/http"
    "os"

    standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func receive(w http.ResponseWriter, r *http.Request) {
    webhook, err := standardwebhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET")) // whsec_...
    if err != nil {
        http.Error(w, "no secret", http.StatusInternalServerError)
        return
    }
    body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
    if err != nil || webhook.Verify(body, r.Header) != nil {
        http.Error(w, "not verified", http.StatusBadRequest)
        return
    }
    if !seenBefore(r.Header.Get("webhook-id")) {
        handle(body)
    }
    w.WriteHeader(http.StatusNoContent)
}
""",
    ),
    Language(
        "Ruby",
        "gem install standardwebhooks",
        """\
require "standardwebhooks"

WEBHOOK = StandardWebhooks::Webhook.new(ENV.fetch("WEBHOOK_SECRET")) # whsec_...

# In a Rails controller
def receive
  names = %w[webhook-id webhook-timestamp webhook-signature]
  headers = names.to_h { |name| [name, request.headers[name]] }
  event = WEBHOOK.verify(request.raw_post, headers)
  handle(event) unless seen_before?(headers["webhook-id"])
  head :no_content
rescue StandardWebhooks::WebhookVerificationError
  head :bad_request
end
""",
    ),
    Language(
        "PHP",
        "composer require standard-webhooks/standard-webhooks",
        """\
<?php
require __DIR__ . '/vendor/autoload.php';

$webhook = new \\StandardWebhooks\\Webhook(getenv('WEBHOOK_SECRET')); // whsec_...
$headers = array_change_key_case(getallheaders(), CASE_LOWER);
try {
    $event = $webhook->verify(file_get_contents('php://input'), $headers);
} catch (\\StandardWebhooks\\Exception\\WebhookVerificationException $error) {
    http_response_code(400);
    exit;
}
if (!seen_before($headers['webhook-id'])) {
    handle($event);
}
http_response_code(204);
""",
    ),
)
