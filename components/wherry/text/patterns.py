"""Names what must not stand in training data: personal data and secrets, as patterns.

A pattern is a regular expression in Rust's dialect (https://docs.rs/regex), which knows no
look-around and takes time linear in the text, whatever a team writes. What an expression cannot
say, a check does on the few spans that it found: a check digit, a length by country, a label
such as ``version`` right before.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

Check = Literal[
    "", "luhn", "card", "iban", "ssn", "phone", "phone_with_country", "ip", "email", "record", "key"
]
"""What a match must stand besides the expression; see `wherry.text.checks`."""
Sort = Literal["pii", "secret"]
"""What a match is: personal data, or a key, token or password."""


@dataclass(frozen=True)
class Pattern:
    r"""One thing to find in a text. Patterns of one name are counted together.

    Example::

        Pattern("badge", r"\bB-[0-9]{6}\b", context=r"(?i)\b(?:badge|staff)\b")
    """

    name: str
    """Small letters, digits and underscores; a redacted text shows it as ``[BADGE]``."""
    regex: str
    """In Rust's dialect. If it has a group ``(?P<value>…)``, which must end the match, only that
    group is meant."""
    context: str = ""
    """An expression that must match nearby, such as ``(?i)\\bphone\\b``; empty if none must."""
    check: Check = ""
    reach: int = 32
    """The furthest that the context may stand before or after the match, in characters."""
    hint: str = ""
    """A cheaper expression that each text with a match also matches; empty for `regex` itself."""
    sort: Sort = "pii"

    def __post_init__(self) -> None:
        """Refuses what could never work.

        Raises:
            ValueError: naming the field, its value and what was expected.
        """
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise ValueError(
                f"name must be small letters, digits and underscores, got {self.name!r}"
            )
        if not self.regex:
            raise ValueError(f"regex of pattern {self.name!r} must not be empty")
        if self.check not in get_args(Check):
            choices = ", ".join(filter(None, get_args(Check)))
            raise ValueError(f"check must be one of {choices} or empty, got {self.check!r}")
        if self.sort not in get_args(Sort):
            raise ValueError(f"sort must be pii or secret, got {self.sort!r}")
        if self.reach < 0:
            raise ValueError(f"reach must be at least 0 characters, got {self.reach}")

    @property
    def column(self) -> str:
        """The column of `wherry.text.measure` that tells of it, such as ``pii_email``."""
        return f"{self.sort}_{self.name}"

    @property
    def placeholder(self) -> str:
        """What stands in a redacted text, such as ``[EMAIL]``."""
        return f"[{self.name.upper()}]"


_PHONE_WORD: Final = (
    r"(?i)(?:\b(?:tel|telephones?|phones?|phoned|phoning|call(?:ed|ing|back)?|mobiles?|mob|cell|"
    r"cellphone|fax|whatsapp|sms|dial|pager|hotline|(?:contact|my|his|her|our|your|their) number|"
    r"(?:contact|reach|ring|text) (?:me|us|him|her|them)|"
    r"(?:telefon|handy|mobil|mobilfunk|fax)(?:nummer|nr)?|(?:rück)?rufnummer|téléphone|portable|"
    r"teléfono|móvil|telefono|cellulare|telefone|celular|numéro)\b|(?-i:\bPh[.:])|☎|📞)"
)
_GAP: Final = r"[ \u{a0}\u{2010}\u{2011}./()-]{0,3}"
"""Between two digits of a telephone number; the hyphens are those that word processors write."""
_RECORD_WORD: Final = (
    r"(?i)\b(?:mrn|mr#|mr[. ]{0,2}(?:no|nr|num|number)\b|"
    r"(?:medical|health|hospital|patient)[ -]?(?:record|chart|file)s?|"
    r"(?:patient|pt\.?|hospital|chart)[ -]?(?:id|identifier|number|no|nr|num)|"
    r"(?:patient|pt) ?#|nhs)"
)
_RECORD_FILLER: Final = r"(?:[\s:#.=(-]|\b(?:is|no|nr|num|number|id|identifier|mrn)\b)*"
_RECORD: Final = r"(?P<value>[a-z]{0,4}[-/]?[0-9][a-z0-9]*(?:[-/ ][0-9][a-z0-9]*)*)\b"

# A Unicode \b takes Rust's slow path on a text beyond ASCII. Where each text is searched it stands
# for ASCII's alone, and the check looks at the neighbours.
PII: Final[tuple[Pattern, ...]] = (
    Pattern(
        "email",
        r"[\p{L}\p{N}_][\p{L}\p{N}._%+'-]*@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+"
        r"\p{L}[\p{L}-]*\p{L}",
        check="email",
        hint="@",
    ),
    Pattern(
        "phone",
        rf"(?:\+|\(\+)[1-9][0-9]{{0,2}}\)?(?:{_GAP}[0-9]){{6,14}}",
        check="phone_with_country",
        hint=r"\+[0-9]",
    ),
    Pattern(
        "phone",
        rf"\(?[0-9](?:{_GAP}[0-9]){{6,14}}",
        context=_PHONE_WORD,
        check="phone",
        hint=rf"[0-9](?:{_GAP}[0-9]){{6}}",
    ),
    Pattern("card", r"[0-9](?:[ \u{a0}-]?[0-9]){12,}", check="card"),
    Pattern(
        "iban",
        r"(?i-u)\b[A-Z]{2}[0-9]{2}",
        check="iban",
        hint=r"(?i-u)\b[A-Z]{2}[0-9]{2}(?u:[ \u{a0}-]?)[A-Z0-9]{4}(?u:[ \u{a0}-]?)[A-Z0-9]{4}",
    ),
    Pattern(
        "ssn",
        r"(?-u:\b)[0-9]{3}[-\u{2010}-\u{2013}][0-9]{2}[-\u{2010}-\u{2013}][0-9]{4}(?-u:\b)",
        check="ssn",
    ),
    Pattern(
        "ssn",
        r"\b[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}\b",
        context=r"(?i)\b(?:ssns?|ss#|social[ -]security)",
        check="ssn",
        hint=r"(?i)\bss[n#]|social[ -]sec",
    ),
    Pattern("ip", r"(?-u:\b)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?-u:\b)", check="ip"),
    Pattern("ip", r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*", check="ip"),
    Pattern(
        "mrn",
        _RECORD_WORD + _RECORD_FILLER + _RECORD,
        check="record",
        hint=r"(?i)mrn|mr#|mr[. ]{0,2}n[our]|nhs|(?-u:\b)pt\.?[ -]?(?:id|n|#)|"
        r"(?:medical|health|hospital|patient|chart)[ -]?(?:rec|chart|file|id|n|#)",
    ),
)
"""Personal data. An address of a private network counts as an IP address: it names a machine of
somebody's house. The loopback, unspecified and broadcast addresses name nobody and do not."""

_KEYWORDS: Final = (
    r"(?i)PRIVATE KEY|AKIA|ASIA|aws|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|xapp-|"
    r"hooks\.slack|AIza|sk-|sk_|rk_|hf_|api_org_|eyJ|npm_|pypi-|://|pass|pwd|secret|"
    r"api[ _-]?key|token|authorization|access[ _-]?key|account[ _-]?key|credential"
)


def _secret(name: str, regex: str, check: Check = "") -> Pattern:
    return Pattern(name, regex, check=check, hint=_KEYWORDS, sort="secret")


SECRETS: Final[tuple[Pattern, ...]] = (
    _secret(
        "private_key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\s\\:,.-]*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"|[A-Za-z0-9+/=\s\\]*)",
    ),
    _secret("aws_key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    _secret(
        "aws_key",
        r"(?i)\baws[a-z0-9_ .-]{0,24}(?:secret|key)[a-z0-9_ .-]{0,24}[\"']?\s*(?:[:=]{1,2}>?|is)"
        r"\s*[\"']?(?P<value>[a-z0-9/+=]{40})\b",
        check="key",
    ),
    _secret("github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})"),
    _secret("gitlab_token", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)-[A-Za-z0-9_.-]{20,255}"),
    _secret("slack_token", r"\b(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,250}"),
    _secret("slack_token", r"\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,200}"),
    _secret("google_key", r"\bAIza[A-Za-z0-9_-]{35}"),
    _secret("anthropic_key", r"\bsk-ant-[A-Za-z0-9_-]{20,250}"),
    _secret(
        "openai_key", r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,250}", check="key"
    ),
    _secret("hf_token", r"\b(?:hf_|api_org_)[A-Za-z0-9]{30,80}\b"),
    _secret("stripe_key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}"),
    _secret("package_token", r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250})\b"),
    _secret("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    _secret(
        "url_password",
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@]{1,64}:(?P<value>[^\s/@:\[\]{}<>$]{3,128})@",
    ),
    _secret(
        "password",
        r"(?i)(?:pass(?:word|wd|phrase|code)|\bpwd|secret|api[ _-]?key|(?:access|account)[ _-]?key|"
        r"(?:access|auth|api|refresh|bearer)[ _-]?token|credentials?|authorization)[a-z0-9_]{0,16}"
        r"[\"'`]?\s*(?:[:=]{1,3}>?|>|\bis\b)\s*(?:bearer\s+|basic\s+)?[\"'`]?"
        r"(?P<value>[^\s\"'`\[\]<>{}(),;]{8,256})",
        "key",
    ),
    # An option of a command, which needs no sign before its value.
    _secret(
        "password",
        r"(?i)--(?:[a-z0-9]+-){0,3}(?:password|passwd|pass|secret|token|api-?key)"
        r"\s+[\"'`]?(?P<value>[^\s\"'`\[\]<>{}(),;]{8,256})",
        "key",
    ),
)
"""Secrets: the forms that providers publish, and what is called a password and looks like one."""
