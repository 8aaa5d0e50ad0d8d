"""MILA: multi-task learning from videos via efficient inter-frame attention (the method and its data)."""
