"""The networks as PyTorch modules, one file a paper. Needs torch (`pip install posert[train]`); running a bundle does not."""
