"""Errors of the service, each with the problem document (RFC 9457) that a client gets for it.

    PreheatError                      status
    │   requests.py
    ├── RequestMalformed      400     bytes that are no HTTP/1.1 request
    ├── NotAcceptable         406     an Accept header that admits none of our formats
    ├── RequestTimeout        408     a request that takes longer to arrive than a setting allows
    ├── BodyTooLarge          413     a request body over max_body_bytes
    ├── TargetTooLong         414     an address over max_target_bytes
    ├── UnsupportedMediaType  415     a request body that is not declared as JSON
    ├── CompressionRefused    415     a body that is compressed otherwise than with gzip, or not as it says
    ├── HeadTooLarge          431     a head over max_head_bytes or max_headers
    │   keys.py
    ├── KeyRequired           401     no key, where the service asks for one
    ├── KeyRefused            401     a key that is malformed, unknown, revoked or expired
    ├── ScopeMissing          403     a key without the scope that the route needs
    ├── KeysMissing           403     a request from elsewhere to a service without any keys
    ├── HostNotAllowed        421     a request to a service without keys by a name that is not this machine's
    ├── RateLimited           429     more requests than rate_limit_per_s allows
    │   schedules.py
    ├── ScheduleNotFound      404     no schedule has this id
    ├── RecipeNotFound        404     no recipe has this name
    ├── ScheduleInUse         409     a schedule that a run needs, which is to be deleted
    ├── HandoverRefused       409     an LR that would jump where one schedule takes over from another
    ├── TorchVersionMismatch  409     a schedule stored by a service with another torch
    ├── IterationOutOfRange   422     an iteration outside 0 … total_iterations
    ├── UndefinedLR           422     a formula without a value at an iteration
    ├── NotComparable         422     two schedules without anything in common to compare or to hand over
    ├── NotImportable         422     a schedule of another library that cannot be said as a spec
    ├── NotExpressible        422     a schedule that another library cannot express
    ├── ScheduleUnreadable    500     a stored schedule that is damaged, or written by a later version
    │   computing.py
    ├── LimitExceeded         422     an answer or a request larger than a setting allows
    ├── MemoryExceeded        422     a computation that needed more than compute_memory_bytes
    ├── ComputeTimeout        503     a computation cut off after compute_timeout_s
    ├── ServiceBusy           503     more to compute than compute_workers do and compute_queue lets wait
    ├── WorkerLost            503     a worker process that ended while it worked on the request
    │   service.py
    ├── ServiceStarting       503     a service without a worker process yet, to whoever asks whether it is ready
    ├── ServiceStopping       503     a service that was told to stop, to whoever asks whether it is ready
    ├── TooManyConnections    503     a connection over max_connections
    ├── TooManyWatchers       503     an event stream over max_watchers
    ├── TooManyBodies         503     a body that arrives slowly while max_arriving_bytes are taken
    └── StoreUnavailable      503     the database is locked, read-only, full, corrupt or gone

A spec that breaks rules is `preheat.specs.InvalidSpec`, a ValueError.
"""

from preheat.errors.computing import ComputeTimeout, LimitExceeded, MemoryExceeded, ServiceBusy, WorkerLost
from preheat.errors.keys import HostNotAllowed, KeyRefused, KeyRequired, KeysMissing, RateLimited, ScopeMissing
from preheat.errors.requests import (
    BodyTooLarge,
    CompressionRefused,
    HeadTooLarge,
    NotAcceptable,
    RequestMalformed,
    RequestTimeout,
    TargetTooLong,
    UnsupportedMediaType,
)
from preheat.errors.root import PreheatError
from preheat.errors.schedules import (
    HandoverRefused,
    IterationOutOfRange,
    NotComparable,
    NotExpressible,
    NotImportable,
    RecipeNotFound,
    ScheduleInUse,
    ScheduleNotFound,
    ScheduleUnreadable,
    TorchVersionMismatch,
    UndefinedLR,
)
from preheat.errors.service import (
    ServiceStarting,
    ServiceStopping,
    StoreUnavailable,
    TooManyBodies,
    TooManyConnections,
    TooManyWatchers,
)

__all__ = [
    "BodyTooLarge",
    "CompressionRefused",
    "ComputeTimeout",
    "HandoverRefused",
    "HeadTooLarge",
    "HostNotAllowed",
    "IterationOutOfRange",
    "KeyRefused",
    "KeyRequired",
    "KeysMissing",
    "LimitExceeded",
    "MemoryExceeded",
    "NotAcceptable",
    "NotComparable",
    "NotExpressible",
    "NotImportable",
    "PreheatError",
    "RateLimited",
    "RecipeNotFound",
    "RequestMalformed",
    "RequestTimeout",
    "ScheduleInUse",
    "ScheduleNotFound",
    "ScheduleUnreadable",
    "ScopeMissing",
    "ServiceBusy",
    "ServiceStarting",
    "ServiceStopping",
    "StoreUnavailable",
    "TargetTooLong",
    "TooManyBodies",
    "TooManyConnections",
    "TooManyWatchers",
    "TorchVersionMismatch",
    "UndefinedLR",
    "UnsupportedMediaType",
    "WorkerLost",
]
