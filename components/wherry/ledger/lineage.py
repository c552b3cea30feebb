"""Tells OpenLineage of a stage, where somebody set up a place for its events.

``OPENLINEAGE__TRANSPORT__TYPE`` and its like, ``OPENLINEAGE_URL`` or ``OPENLINEAGE_CONFIG`` say
where to (https://openlineage.io/docs/client/python); without one of them nothing is sent. The audit
log stays the truth: these events are a copy for other people's tools, and one that cannot be sent
stops nothing.
"""

import os
import sys
import uuid
from typing import Any, Final

from wherry.contracts.errors import ExtraMissingError
from wherry.ledger.records import AuditRow, Named, Stage

_VARIABLES: Final = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT__TYPE")
_NAMESPACE: Final = "wherry"
_PRODUCER: Final = "https://github.com/wherry-ml/wherry"


def tell(row: AuditRow) -> None:
    """Sends the event of a stage's audit row, if a place for it is set up.

    Raises:
        ExtraMissingError: if there is a place, but no client.
    """
    if row.stage is None or not any(os.environ.get(name) for name in _VARIABLES):
        return
    try:
        from openlineage.client import OpenLineageClient
    except ImportError as error:
        raise ExtraMissingError(
            "OpenLineage events are asked for, but its client is not installed.",
            remedy='Run: pip install "openlineage-python"',
        ) from error
    try:
        OpenLineageClient().emit(_event(row, row.stage))
    except Exception as error:  # each transport has exceptions of its own
        print(f"OpenLineage was not told: {type(error).__name__}.", file=sys.stderr)


def _event(row: AuditRow, stage: Stage) -> Any:
    from openlineage.client.event_v2 import (
        InputDataset,
        Job,
        OutputDataset,
        Run,
        RunEvent,
        RunState,
    )

    run = row.run.id if row.run and row.run.id else row.event_id
    return RunEvent(
        eventTime=row.ts,
        eventType=RunState.FAIL if row.outcome == "failed" else RunState.COMPLETE,
        run=Run(str(uuid.uuid5(uuid.NAMESPACE_URL, f"{_PRODUCER}/{run}/{stage.name}"))),
        job=Job(_NAMESPACE, stage.name),
        inputs=[InputDataset(*_dataset(one)) for one in stage.inputs],
        outputs=[OutputDataset(*_dataset(one)) for one in stage.outputs],
        producer=_PRODUCER,
    )


def _dataset(named: Named) -> tuple[str, str]:
    # By its bytes: what one stage writes and another one reads is one data set then.
    return _NAMESPACE, named.digest
