"""Signs records and verifies them: DSSE envelopes, and the keys that are trusted."""

from wherry.signing.envelope import Signer, Verified, open_envelope, sign, verify
from wherry.signing.folder import KEYS_VARIABLE, KeyFolder, keys_folder, load_keyring, load_signer
from wherry.signing.keyring import Keyring, TrustedKey
from wherry.signing.payloads import APPROVAL, BLESSING, CHECKPOINT, WAIVER
from wherry.signing.stamp import check_stamp, is_stamped_by, stamp

__all__ = [
    "APPROVAL",
    "BLESSING",
    "CHECKPOINT",
    "KEYS_VARIABLE",
    "WAIVER",
    "KeyFolder",
    "Keyring",
    "Signer",
    "TrustedKey",
    "Verified",
    "check_stamp",
    "is_stamped_by",
    "keys_folder",
    "load_keyring",
    "load_signer",
    "open_envelope",
    "sign",
    "stamp",
    "verify",
]
