"""What limits a trained model, and the one step to try next: pure rules on what its session has found."""
