"""What may stand before a deployed model's answers, by name: an answer policy on the device, or MAD on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from attack.oracle import Oracle
from defense.policies.mad import MadOracle
from foundation.answers import AnswerPolicy
from foundation.errors import UsageError

_MAD = ("mad", "mad_argmax")


@dataclass(frozen=True)
class Defence:
    """A way to answer.

    Attributes:
        name: the one way to write it.
        policy: under which the model is deployed.
        mad_budget: how far MAD moves an answer on the host, in L1; None: the device's answers as they come.
        keep_top1: MAD leaves the best class the best.
    """

    name: str
    policy: AnswerPolicy
    mad_budget: float | None = None
    keep_top1: bool = False

    @classmethod
    def parse(cls, text: str) -> Defence:
        """Read an answer policy, `mad:E` or `mad_argmax:E` with 0 < E ≤ 2.

        Raises:
            UsageError: anything else.
        """
        kind, _, rest = text.partition(":")
        if kind not in _MAD:
            policy = AnswerPolicy.parse(text)
            return cls(str(policy), policy)
        try:
            # Numbers are read as those of policies are.
            (budget,) = AnswerPolicy.parse(f"reverse_sigmoid:1,{rest}").parameters[1:]
        except UsageError:
            budget = 0.0
        if not 0 < budget <= 2:
            raise UsageError(f"unknown defence {text!r}", hint=f"{kind}:E, where 0 < E ≤ 2 is a distance in L1")
        return cls(f"{kind}:{budget:g}", AnswerPolicy("scores"), budget, kind == "mad_argmax")

    @property
    def applied(self) -> Literal["device", "host"]:
        """Where answers are cut down or disturbed; what is done on the host leaves the device undefended."""
        return "device" if self.mad_budget is None else "host"

    @property
    def keeps_top1(self) -> bool:
        """Whether the best class stays by construction; see `AnswerPolicy.keeps_top1`."""
        return self.policy.keeps_top1 if self.mad_budget is None else self.keep_top1

    def before(self, oracle: Oracle, surrogate: nn.Module) -> Oracle:
        """The oracle as others meet it; it must answer under `policy`.

        Args:
            oracle: the deployed model.
            surrogate: MAD's idea of the thief; see `MadOracle`.
        """
        if self.mad_budget is None:
            return oracle
        return MadOracle(oracle, surrogate, self.mad_budget, keep_top1=self.keep_top1)
