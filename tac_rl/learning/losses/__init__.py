"""The losses by the name that the config gives them."""

from tac_rl.learning.losses.base import Loss
from tac_rl.learning.losses.cispo import CISPO
from tac_rl.learning.losses.dpo import DPO
from tac_rl.learning.losses.dr_grpo import DR_GRPO
from tac_rl.learning.losses.grpo import GRPO
from tac_rl.learning.losses.gspo import GSPO
from tac_rl.learning.losses.sft import SFT

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (GRPO, DR_GRPO, GSPO, CISPO, SFT, DPO)}
