"""Import of LLaMA-Factory's training arguments (its YAML): transformers' own, with other defaults for WSD."""

from dataclasses import replace
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.importers.transformers import from_trainer
from preheat.conversions.known import Known
from preheat.errors import NotImportable


def from_llama_factory(source: Any, known: Known) -> Imported:
    """A spec from a configuration of LLaMA-Factory. Raises NotImportable.

    A warmup_stable_decay holds for a third of what follows the warm-up, rounded down, and decays over the rest, unless
    lr_scheduler_kwargs says otherwise (llamafactory/train/trainer_utils.py, create_custom_scheduler). Packing makes the
    number of samples another than that of the data set: then dataset_size is the number of packed ones.
    """
    fields = Fields(source)
    fields.refuse("loraplus_lr_ratio", "gives LoRA's B matrices an LR of their own: write it as a param group")
    fields.take("loraplus_lr_embedding")  # of use with loraplus_lr_ratio alone
    if fields.take("stage") == "ppo":
        raise NotImportable("stage ppo counts its steps by ppo_buffer_size and ppo_epochs: give total_iterations")
    if fields.flag("use_muon"):
        raise NotImportable("use_muon gives two optimizers LRs of their own: write them as param groups")
    cut_off = fields.take("max_samples")
    found = from_trainer(fields, known, HARMLESS["llama-factory"], {"warmup_stable_decay": _stable_and_decay})
    if cut_off is None:
        return found
    reason = "cuts each data set off: dataset_size must be the number of samples that are left"
    return replace(found, not_carried=[NotCarried("max_samples", reason), *found.not_carried])


def _stable_and_decay(left: int) -> dict[str, Any]:
    stable = left // 3
    return {"num_stable_steps": stable, "num_decay_steps": left - stable}
