"""The parts of the finetuning phase; see `phases.finetune` for how they work together."""
