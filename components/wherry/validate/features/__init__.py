"""What rows show without their texts: a narrow table on disk, for judges and plots."""

from wherry.validate.features.columns import COLUMNS, FeatureTable, Instruments, Storage

__all__ = ["COLUMNS", "FeatureTable", "Instruments", "Storage"]
