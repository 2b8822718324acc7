"""What schemathesis has to know about Tidegate beyond its OpenAPI document.

JSON Schema cannot say everything that the API asks of a request: that one moment lies after another, that
two fields are not given together, how many bytes of UTF-8 a text has. A request that the document allows may
be refused for such a reason, and for no other.
"""

import re

import schemathesis
from schemathesis.core.failures import Failure

# Reasons that no schema can state, as the API words them.
BEYOND_SCHEMAS = re.compile(
    "|".join(
        [
            # Two fields, or two values, that do not go together.
            r"^give .+ or .+, not both$",
            r"^give (one of them|each item)",
            r"; give (it once|one of them)",
            r"it would expire before it is due",
            r"it would be over before the message is due",
            r"shorter than initial",
            r"has no effect beside schedule",
            r"it has no effect on every",
            r"expires_at is not after",
            r"only a (reschedule|move) ",
            r"a move (leads|needs)",
            r"^is the queue itself",
            r"^carries callbacks",
            r"needs due_at or delay",
            r"^missing; (say|expected the queue that|a move|expected for example \"dead\")",
            r"contradicts filter",
            r"differs from the header Idempotency-Key",
            r"names one message; leave the filters",
            r"nothing is to be changed",
            # The header's quotes and the field must name the same key; a text in bytes, not in characters.
            r"found \d+ bytes, expected",
            r"came as payload(_base64)?; give payload",
            # Bounds of time: a text may write the same duration in many ways.
            r"^found \S+, expected \S+ to \S+$",
            r"^found .*, expected (up to 60s|at most 366 days|a moment to come|a moment after)",
            r"^expected at most 366 days from now$",
            r"is not a valid moment",
            r"expected a moment",
            # What exists in this configuration.
            r"there is no queue",
            r"nobody is called here",
            r"time zone",
            r"callback",
            r"^has no effect in the queue .* whose workers say how long they need",
            r"^has no effect in the queue .* whose messages do not bring their own url",
            r"^has no effect without url",
            r"the downstream\.timeout of the queue",
            # Patterns of cron, base64, addresses, and headers that Tidegate sets.
            r"cron",
            r"pattern",
            r"base64",
            r"^the url ",
            # Texts with a meaning, and which limits a queue has.
            r"is not a valid (limit name|rate|quota)",
            r"the queue has no (limit|fairness)",
            r"digits behind the point",
            r"^the limit \"",
            r"is set by Tidegate (itself|to the name)",
            r"each message also gets the label",
            # What an override needs, and what it may be about in this configuration.
            r"^found (none|more than one) of them, expected one of",
            r"an override ends by itself",
            r"expected a moment within",
            r"^expected one of rate, quota and concurrency",
            r"would change nothing",
            r"^there is no limit",
            r"expected the name of a limit",
            r"the override is not complete",
            # What another answer made: a cursor, a token of a claim, the id of another queue.
            r"cursor",
            r"token",
            r"id of the queue",
            r"unknown event",
        ]
    )
)


class ValidRequestRefused(Failure):
    """The document allows this request, and the API does not, for a reason that a schema can state."""

    def __init__(self, operation, reasons):
        super().__init__(
            operation=operation,
            title="The API refuses what the document allows",
            message="\n".join(reasons),
        )


@schemathesis.check
def allowed_requests_are_taken(ctx, response, case):
    """Stands in for positive_data_acceptance."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in (400, 415):
        return
    if case.operation.label == "GET /v1/queues/{queue}/receipts":
        # The fields of a receipt that comes as a query, and what they may say, are those that its queue names.
        return
    problem = response.json()
    faults = [
        f"{fault['pointer']}: {fault['detail']}"
        for fault in problem.get("errors", [{"pointer": "", "detail": problem["detail"]}])
        if not BEYOND_SCHEMAS.search(fault["detail"])
    ]
    if faults:
        raise ValidRequestRefused(case.operation.label, faults)


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Nobody waits for a message that will not come."""
    for place in (case.body, case.query):
        if isinstance(place, dict) and "wait" in place and case.meta.generation.mode.is_positive:
            place["wait"] = "10ms"
