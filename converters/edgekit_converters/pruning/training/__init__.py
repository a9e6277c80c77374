"""Fine-tuning: data, labels, loss, epochs, checkpoints, teacher."""
