"""What a student learns from: a teacher's answers, its score maps, the labels."""

from __future__ import annotations

import math

import msgspec

from realmnet_runtime.errors import ConfigurationError


class DistilSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the three losses of distillation.

    Attributes:
        temperature: by which both models' logits are divided before they are compared; above 1 it
            lets a student see how sure its teacher is of what it rejects.
        soft: weight of the comparison of answers.
        maps: weight of the comparison of score maps.
        truth: weight of the stage's own loss of labels; 0 for pictures without any.
        from_stage: first stage, from 1, in which the teacher is asked; those before it learn from
            the labels alone, at weight 1.

    Raises:
        ConfigurationError: a value outside its range, no weight above 0, or stages that would
            learn nothing.
    """

    temperature: float = 2.0
    soft: float = 1.0
    maps: float = 0.1
    truth: float = 0.5
    from_stage: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise ConfigurationError(
                f"temperature {self.temperature} must be a number above 0; 1 compares answers as "
                "they are, 2 softens them"
            )
        weights = {"soft": self.soft, "maps": self.maps, "truth": self.truth}
        for name, weight in weights.items():
            if not 0.0 <= weight < math.inf:
                raise ConfigurationError(f"weight {name} {weight} must be a number from 0 up")
        if not any(weights.values()):
            raise ConfigurationError(
                "soft, maps and truth are all 0; a student needs at least one weight above 0"
            )
        if self.from_stage < 1:
            raise ConfigurationError(f"from_stage {self.from_stage}; stages count from 1")
        if self.from_stage > 1 and self.truth == 0.0:
            raise ConfigurationError(
                f"from_stage {self.from_stage} with truth 0: the stages before it would learn "
                "nothing; give truth a weight or begin with stage 1"
            )

    def require_stages(self, stages: int) -> None:
        """Refuse a first stage that a preset of so many stages does not have.

        Raises:
            ConfigurationError: no such stage; the teacher would never be asked.
        """
        if self.from_stage > stages:
            raise ConfigurationError(
                f"from_stage {self.from_stage} of a preset with {stages} stages; give 1 to {stages}"
            )

    @property
    def asks_teacher(self) -> bool:
        """Whether any of the teacher's answers counts."""
        return self.soft > 0.0 or self.maps > 0.0
