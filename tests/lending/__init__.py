"""The lending under random interleavings. tests/test_lending.py runs it in generated projects."""
