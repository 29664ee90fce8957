"""Interop with ART, the Adversarial Robustness Toolbox (Nicolae et al. 2018, arXiv 1807.01069); an extra.

`classifier`: a device as an ART classifier, so that ART's black-box attacks run on a phone. `budgeted`: the same under
a budget, with a ledger. `extraction`: our thief as one of ART's extraction attacks.

Raises:
    UsageError: at import, where ART is not installed.
"""

from foundation.errors import UsageError

try:
    # A name of its own: a folder "art" anywhere on the path would pass for a package without contents.
    from art import __version__ as ART_VERSION
except ImportError as error:
    raise UsageError(
        "ART (adversarial-robustness-toolbox) is not installed; edgecat does without it, its interop does not",
        hint="pip install 'edgecat[art]'",
    ) from error

__all__ = ["ART_VERSION"]
