"""Fine-tuning a network with its head: options, order, schedule and arithmetic; the loop is `phases.finetune`."""
