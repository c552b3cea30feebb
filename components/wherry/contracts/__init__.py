"""The values that rooms hand each other: frozen, versioned, and light to import."""

from wherry.contracts.approval import Approval, check_approvals, person
from wherry.contracts.blessing import Blessing, Check, Waiver
from wherry.contracts.dataset import (
    Cleaned,
    Dataset,
    Kind,
    Message,
    Row,
    Source,
    Split,
    fault_of,
    read_rows,
)
from wherry.contracts.digest import (
    ArtifactRef,
    Digest,
    FileEntry,
    Manifest,
    digest_bytes,
    digest_file,
    digest_record,
)
from wherry.contracts.errors import WherryError
from wherry.contracts.ladder import Ladder, Rung
from wherry.contracts.model import ModelRef
from wherry.contracts.paired import PairedTest, PairedTests
from wherry.contracts.release import Code, Deployment, Lineage, Release
from wherry.contracts.scores import Confusion, Metric, Scores
from wherry.contracts.settings import read_settings
from wherry.contracts.uri import Uri, parse_uri
from wherry.contracts.validation import (
    Change,
    Expectation,
    Quarantined,
    ReasonCount,
    SetAside,
    Since,
    ValidationReport,
)

__all__ = [
    "Approval",
    "ArtifactRef",
    "Blessing",
    "Change",
    "Check",
    "Cleaned",
    "Code",
    "Confusion",
    "Dataset",
    "Deployment",
    "Digest",
    "Expectation",
    "FileEntry",
    "Kind",
    "Ladder",
    "Lineage",
    "Manifest",
    "Message",
    "Metric",
    "ModelRef",
    "PairedTest",
    "PairedTests",
    "Quarantined",
    "ReasonCount",
    "Release",
    "Row",
    "Rung",
    "Scores",
    "SetAside",
    "Since",
    "Source",
    "Split",
    "Uri",
    "ValidationReport",
    "Waiver",
    "WherryError",
    "check_approvals",
    "digest_bytes",
    "digest_file",
    "digest_record",
    "fault_of",
    "parse_uri",
    "person",
    "read_rows",
    "read_settings",
]
